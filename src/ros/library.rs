//! The known objects: their shapes and grasp fields, made in a background thread at start and when objects are added.

use super::lock;
use crate::field::{GraspNetwork, ObjectModel, ObjectStore};
use crate::planner::prepare_grasps;
use crate::scene::TriangleMesh;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// `objects.file`: the known objects by id.
///
/// ```yaml
/// objects:
///   mug: {mesh: meshes/mug.obj, scale: 0.001}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsFile {
    pub objects: BTreeMap<String, ObjectEntry>,
}

/// Where an object's shape comes from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectEntry {
    /// STL, OBJ or PLY; relative to the YAML file.
    pub mesh: PathBuf,
    /// Factor from the file's unit to metres.
    #[serde(default = "one")]
    pub scale: f64,
}

fn one() -> f64 {
    1.0
}

impl ObjectsFile {
    /// Reads the file; mesh paths become relative to its folder.
    ///
    /// # Errors
    /// A message with the path and what is wrong.
    pub fn load(path: &Path) -> Result<Self, String> {
        let bad = |reason: String| format!("objects.file '{}': {reason}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let mut file: ObjectsFile = serde_yaml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in file.objects.values_mut() {
            entry.mesh = folder.join(&entry.mesh);
        }
        Ok(file)
    }
}

/// The shape of an object to be learned.
pub enum ObjectSource {
    File {
        path: PathBuf,
        scale: f64,
    },
    Mesh(TriangleMesh),
    /// Kept under the object's id, see `dfp object`.
    Stored(ObjectStore),
}

/// How far an object's model is.
#[derive(Clone)]
pub enum ModelStatus {
    Loading,
    Ready(Arc<ObjectModel>),
    Failed(String),
}

/// The models by id, and the thread that makes them.
pub struct ObjectLibrary {
    models: Mutex<BTreeMap<String, ModelStatus>>,
    changed: Condvar,
    orders: Mutex<mpsc::Sender<(String, ObjectSource)>>,
    /// Why `objects.file` could not be read.
    fault: Mutex<Option<String>>,
}

impl ObjectLibrary {
    /// Starts the thread. It reads the network's weights first; `model_file` empty: those that come with the package.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn start(model_file: String) -> std::io::Result<Arc<Self>> {
        let (orders, inbox) = mpsc::channel();
        let library = Arc::new(Self {
            models: Mutex::default(),
            changed: Condvar::new(),
            orders: Mutex::new(orders),
            fault: Mutex::default(),
        });
        // The thread must not keep its own library alive: it ends when the last user drops it.
        let weak = Arc::downgrade(&library);
        thread::Builder::new()
            .name("objects".into())
            .spawn(move || {
                let network = load_network(&model_file);
                for (id, source) in inbox {
                    let status = learn(&id, source, &network);
                    match weak.upgrade() {
                        Some(library) => library.finish(id, status),
                        None => return,
                    }
                }
            })?;
        Ok(library)
    }

    /// Orders the model of an object; an older model of the same id is forgotten.
    pub fn add(&self, id: &str, source: ObjectSource) {
        lock(&self.models).insert(id.to_owned(), ModelStatus::Loading);
        if lock(&self.orders).send((id.to_owned(), source)).is_err() {
            let reason = "the thread that loads objects has ended".to_owned();
            self.finish(id.to_owned(), ModelStatus::Failed(reason));
        }
    }

    /// Why `objects.file` could not be read, if so.
    pub fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// What is wrong with the list of objects itself.
    pub fn set_fault(&self, fault: Option<String>) {
        *lock(&self.fault) = fault;
    }

    pub fn get(&self, id: &str) -> Option<ModelStatus> {
        lock(&self.models).get(id).cloned()
    }

    /// Waits up to `timeout` for a change; then look again with [`get`](Self::get).
    pub fn wait_for_change(&self, timeout: Duration) {
        let models = lock(&self.models);
        drop(self.changed.wait_timeout(models, timeout));
    }

    /// Forgets an object; false if it was not known.
    pub fn remove(&self, id: &str) -> bool {
        lock(&self.models).remove(id).is_some()
    }

    /// Every id with its status, sorted.
    pub fn statuses(&self) -> Vec<(String, ModelStatus)> {
        let models = lock(&self.models);
        models
            .iter()
            .map(|(id, status)| (id.clone(), status.clone()))
            .collect()
    }

    fn finish(&self, id: String, status: ModelStatus) {
        // Removed while it was made: it stays removed.
        if let Some(slot) = lock(&self.models).get_mut(&id) {
            *slot = status;
        }
        self.changed.notify_all();
    }
}

fn load_network(model_file: &str) -> Result<GraspNetwork, String> {
    match model_file.is_empty() {
        true => {
            GraspNetwork::shipped().map_err(|error| format!("the weights of this package: {error}"))
        }
        false => GraspNetwork::load(Path::new(model_file))
            .map_err(|error| format!("planning.model_file '{model_file}': {error}")),
    }
}

/// From the store; what had to be made anew goes back to it.
fn learn_stored(
    id: &str,
    store: &ObjectStore,
    network: &GraspNetwork,
) -> Result<ObjectModel, String> {
    let stored = store.load(id, network).map_err(|error| error.to_string())?;
    prepare_grasps(&stored.model);
    if let Some(reason) = stored.rebuilt {
        r2r::log_info!("planner", "object '{id}' was prepared anew: {reason}");
        if let Err(error) = store.save(&stored.model, network) {
            r2r::log_warn!("planner", "object '{id}' could not be kept: {error}");
        }
    }
    Ok(stored.model)
}

fn learn(id: &str, source: ObjectSource, network: &Result<GraspNetwork, String>) -> ModelStatus {
    let make = || -> Result<ObjectModel, String> {
        let network = network.as_ref().map_err(String::clone)?;
        let mesh = match source {
            ObjectSource::File { path, scale } => {
                TriangleMesh::load(path, scale).map_err(|error| error.to_string())?
            }
            ObjectSource::Mesh(mesh) => mesh,
            ObjectSource::Stored(store) => return learn_stored(id, &store, network),
        };
        let model = ObjectModel::from_mesh(id, Arc::new(mesh), network)
            .map_err(|error| error.to_string())?;
        // Here and not in the first goal.
        prepare_grasps(&model);
        Ok(model)
    };
    // A panic would end the thread, and every later object would wait for ever.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)) {
        Ok(Ok(model)) => {
            if let Some(warning) = model.size_warning() {
                r2r::log_warn!("planner", "object {warning}");
            }
            ModelStatus::Ready(Arc::new(model))
        }
        Ok(Err(reason)) => ModelStatus::Failed(format!("object '{id}': {reason}")),
        Err(_) => ModelStatus::Failed(format!("object '{id}': internal error while it was loaded")),
    }
}
