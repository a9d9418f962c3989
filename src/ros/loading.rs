//! What the node knows from files and from `robot_description`: loaded when it is configured, forgotten when it is cleaned up.
//!
//! A file that cannot be used does not stop the node: it fails the goals that need it, with its name and what is wrong, and
//! shows in the diagnostics.

use super::library::{ObjectSource, ObjectsFile};
use super::lock;
use super::parameters::Parameters;
use super::robot_source::RobotSource;
use super::scene_input;
use super::scene_store::SceneStore;
use super::shared::{RobotStatus, Shared};
use super::status::{Activity, StatusBoard};
use crate::field::ObjectStore;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Fills the shared state.
pub struct Loading {
    shared: Arc<Shared>,
    status: Arc<StatusBoard>,
    /// As given at start.
    parameters: Parameters,
    source: RobotSource,
    description: Mutex<Description>,
    /// Grows with every order for a robot model: an older one that is still being made is thrown away.
    order: AtomicU64,
}

/// The last text of `robot_description`.
#[derive(Default)]
struct Description {
    text: Option<String>,
    wanted: bool,
}

impl Loading {
    pub fn new(shared: Arc<Shared>, status: Arc<StatusBoard>, parameters: Parameters) -> Self {
        Self {
            source: RobotSource::from_planner(&parameters),
            shared,
            status,
            parameters,
            description: Mutex::default(),
            order: AtomicU64::new(0),
        }
    }

    /// Reads the files and begins to make the models; returns at once.
    pub fn load(self: &Arc<Self>) {
        self.load_scene();
        self.load_objects();
        if self.parameters.robot_urdf_file.is_empty() {
            let mut description = lock(&self.description);
            description.wanted = true;
            let text = description.text.clone();
            drop(description);
            text.into_iter().for_each(|text| self.build_robot(text));
            return;
        }
        match self.source.read_urdf() {
            Ok(urdf) => self.build_robot(urdf),
            Err(error) => self.set_robot(RobotStatus::Failed(error.to_string())),
        }
    }

    /// Forgets robot, objects and obstacles.
    pub fn forget(&self) {
        lock(&self.description).wanted = false;
        self.order.fetch_add(1, Ordering::AcqRel);
        *lock(&self.shared.robot) = RobotStatus::Waiting;
        scene_input::clear(&self.shared);
        lock(&self.shared.scene).fault = None;
        self.shared.library.set_fault(None);
    }

    /// A message on `robot_description`.
    pub fn on_description(self: &Arc<Self>, text: String) {
        let mut description = lock(&self.description);
        if description.text.as_ref() == Some(&text) {
            return;
        }
        description.text = Some(text.clone());
        let wanted = description.wanted;
        drop(description);
        if wanted {
            self.build_robot(text);
        }
    }

    /// A scene that cannot be read is kept as a fault: planning without the obstacles would be dangerous.
    fn load_scene(&self) {
        let loaded = match self.parameters.scene_file.as_str() {
            "" => Ok(SceneStore::default()),
            file => SceneStore::load(Path::new(file)),
        };
        let mut scene = lock(&self.shared.scene);
        match loaded {
            Ok(loaded) => scene.obstacles.extend(loaded.obstacles),
            Err(fault) => {
                r2r::log_error!("planner", "{fault}");
                scene.fault = Some(fault);
            }
        }
    }

    fn load_objects(&self) {
        let library = &self.shared.library;
        let file = match self.parameters.objects_file.as_str() {
            "" => Ok(ObjectsFile::default()),
            file => ObjectsFile::load(Path::new(file)),
        };
        library.set_fault(file.as_ref().err().cloned());
        for (id, entry) in file.unwrap_or_default().objects {
            let (path, scale) = (entry.mesh, entry.scale);
            library.add(&id, ObjectSource::File { path, scale });
        }
        self.add_stored();
    }

    /// The objects of `objects.folder`, or of the user's; those of the file stay as they are.
    fn add_stored(&self) {
        let library = &self.shared.library;
        let folder = match self.parameters.objects_folder.as_str() {
            "" => ObjectStore::default_folder(),
            folder => Some(PathBuf::from(folder)),
        };
        let Some(store) = folder.map(ObjectStore::new) else {
            return;
        };
        match store.names() {
            Ok(names) => {
                for id in names.iter().filter(|id| library.get(id).is_none()) {
                    library.add(id, ObjectSource::Stored(store.clone()));
                }
            }
            Err(error) => r2r::log_error!("planner", "objects.folder: {error}"),
        }
    }

    /// Builds in a thread: fitting spheres and sampling self-collisions takes up to seconds.
    fn build_robot(self: &Arc<Self>, urdf: String) {
        let order = self.order.fetch_add(1, Ordering::AcqRel) + 1;
        *lock(&self.shared.robot) = RobotStatus::Building;
        let this = self.clone();
        let spawned = thread::Builder::new().name("robot".into()).spawn(move || {
            let built = std::panic::catch_unwind(|| this.source.build(&urdf));
            if this.order.load(Ordering::Acquire) != order {
                return;
            }
            this.set_robot(match built {
                Ok(Ok(robot)) => RobotStatus::Ready(Arc::new(robot)),
                Ok(Err(error)) => RobotStatus::Failed(error.to_string()),
                Err(_) => RobotStatus::Failed("internal error while the model was built".into()),
            });
        });
        if let Err(error) = spawned {
            self.set_robot(RobotStatus::Failed(error.to_string()));
        }
    }

    fn set_robot(&self, robot: RobotStatus) {
        if let RobotStatus::Failed(reason) = &robot {
            r2r::log_error!("planner", "no robot model: {reason}");
        }
        *lock(&self.shared.robot) = robot;
        if self.status.activity() == Activity::Unconfigured {
            self.status.refresh(&self.shared, true);
        }
    }
}
