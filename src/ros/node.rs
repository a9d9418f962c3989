//! `planner_node`: puts the parts together and takes them apart again.

use super::action_server;
use super::active_goal::Interrupt;
use super::diagnostics;
use super::gripper_client::GripperClient;
use super::library::{ObjectLibrary, ObjectSource, ObjectsFile};
use super::lock;
use super::outputs::Outputs;
use super::parameter_services;
use super::parameters::Parameters;
use super::perception::{self, SubscribeError};
use super::pick::Picker;
use super::pick_server::{GoalGate, PickServer};
use super::robot_source::RobotSource;
use super::scene_input::{self, SceneInputError};
use super::scene_store::SceneStore;
use super::score::{self, ScoreError};
use super::services;
use super::shared::{RobotStatus, Shared};
use super::spin;
use super::status::{Activity, StatusBoard};
use crate::field::ObjectStore;
use futures::executor::LocalPool;
use futures::task::{LocalSpawn, LocalSpawnExt};
use r2r::{std_msgs, Node, QosProfile};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Waiting goals are looked after this often.
const SWEEP_PERIOD: Duration = Duration::from_millis(100);
/// The goal in work has this long to end when the node is told to.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The last answers get this long to leave.
const FAREWELL: Duration = Duration::from_millis(100);

/// Why the node cannot start. A file that cannot be used is no such reason: it fails the goals that need it, with its
/// name and what is wrong, and shows in the diagnostics.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Ros(#[from] r2r::Error),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Scene(#[from] SceneInputError),
    #[error(transparent)]
    Score(#[from] ScoreError),
    #[error(transparent)]
    Spawn(#[from] futures::task::SpawnError),
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A node whose parts are running.
pub struct PlannerNode {
    shared: Arc<Shared>,
    status: Arc<StatusBoard>,
    gate: Arc<GoalGate>,
    planning: JoinHandle<()>,
}

impl PlannerNode {
    /// Creates topics, services and the action, and starts the threads. Returns at once; the robot model and the
    /// objects are made in the background.
    ///
    /// # Errors
    /// [`NodeError`], most often a bad name of a topic or action.
    pub fn start(
        node: &mut Node,
        parameters: Parameters,
        spawner: &(impl LocalSpawn + Clone + 'static),
    ) -> Result<Self, NodeError> {
        let library = load_objects(&parameters)?;
        let outputs = Outputs::create(node, &parameters.controller_topic)?;
        let gripper = match parameters.gripper_type.as_str() {
            "gripper_command" => Some(GripperClient::create(node, &parameters.gripper_action)?),
            _ => None,
        };
        let shared = Arc::new(Shared {
            parameters: Arc::new(Mutex::new(parameters.clone())),
            robot: Mutex::new(RobotStatus::Waiting),
            joint_states: Mutex::default(),
            transforms: Mutex::default(),
            object_poses: Mutex::default(),
            scene: Mutex::new(load_scene(&parameters)),
            library,
            outputs,
            clock: node.get_ros_clock(),
        });
        let status = Arc::new(StatusBoard::default());
        status.set_activity(&shared, Activity::Unconfigured, None);
        if parameters.use_sim_time {
            node.get_time_source().enable_sim_time(node)?;
        }
        perception::start(node, spawner, &shared)?;
        scene_input::start(node, spawner, &shared)?;
        start_robot(node, spawner, &shared, &status, &parameters)?;

        let gate = Arc::new(GoalGate::default());
        let picker = Picker::new(shared.clone(), status.clone(), gripper);
        let (server, planning) =
            PickServer::start(shared.clone(), status.clone(), gate.clone(), picker)?;
        let result_timeout = Duration::from_secs_f64(parameters.action_result_timeout_s);
        spawner.spawn_local(action_server::serve(
            node,
            "~/plan_grasp_motion",
            result_timeout,
            server,
        )?)?;
        services::start(node, spawner, &shared, &status, &gate)?;
        score::start(node, spawner, &shared)?;
        spawner.spawn_local(parameter_services::serve(node, shared.parameters.clone())?)?;
        let running = Self {
            shared,
            status,
            gate,
            planning,
        };
        running.start_timers(node, spawner, parameters.diagnostics_period_s)?;
        Ok(running)
    }

    fn start_timers(
        &self,
        node: &mut Node,
        spawner: &impl LocalSpawn,
        diagnostics_period_s: f64,
    ) -> Result<(), NodeError> {
        let name = node.name()?;
        let mut timer = node.create_wall_timer(Duration::from_secs_f64(diagnostics_period_s))?;
        let (shared, status) = (self.shared.clone(), self.status.clone());
        spawner.spawn_local(async move {
            while timer.tick().await.is_ok() {
                diagnostics::publish(&shared, &status, &name);
            }
        })?;
        let mut timer = node.create_wall_timer(SWEEP_PERIOD)?;
        let (shared, status, gate) = (self.shared.clone(), self.status.clone(), self.gate.clone());
        spawner.spawn_local(async move {
            while timer.tick().await.is_ok() {
                gate.sweep(&shared, &status);
            }
        })?;
        Ok(())
    }

    /// Whether a goal is in work or waits.
    pub fn is_busy(&self) -> bool {
        self.gate.pending() > 0
    }

    /// Ends the goals, stops the arm if one was moving it, and lets the answers leave.
    pub fn shut_down(self, node: &mut Node, pool: &mut LocalPool) {
        self.status
            .set_activity(&self.shared, Activity::ShuttingDown, None);
        self.gate.set_enabled(false);
        self.gate.interrupt_all(Interrupt::ShuttingDown);
        self.gate.close();
        spin::spin_until(node, pool, SHUTDOWN_TIMEOUT, || self.planning.is_finished());
        spin::spin_until(node, pool, FAREWELL, || false);
    }
}

/// A scene that cannot be read is kept as a fault: planning without the obstacles would be dangerous.
fn load_scene(parameters: &Parameters) -> SceneStore {
    match parameters.scene_file.as_str() {
        "" => SceneStore::default(),
        file => SceneStore::load(Path::new(file)).unwrap_or_else(|fault| {
            r2r::log_error!("planner", "{fault}");
            SceneStore {
                fault: Some(fault),
                ..SceneStore::default()
            }
        }),
    }
}

fn load_objects(parameters: &Parameters) -> std::io::Result<Arc<ObjectLibrary>> {
    let file = match parameters.objects_file.as_str() {
        "" => Ok(ObjectsFile::default()),
        file => ObjectsFile::load(Path::new(file)),
    };
    let fault = file.as_ref().err().cloned();
    let library = ObjectLibrary::start(parameters.planning_model_file.clone(), fault)?;
    for (id, entry) in file.unwrap_or_default().objects {
        let (path, scale) = (entry.mesh, entry.scale);
        library.add(&id, ObjectSource::File { path, scale });
    }
    add_stored(&library, parameters);
    Ok(library)
}

/// The objects of `objects.folder`, or of the user's; those of the file stay as they are.
fn add_stored(library: &ObjectLibrary, parameters: &Parameters) {
    let folder = match parameters.objects_folder.as_str() {
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

/// Makes the robot model from the file, or from each new text on `robot_description`.
fn start_robot(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    shared: &Arc<Shared>,
    status: &Arc<StatusBoard>,
    parameters: &Parameters,
) -> Result<(), NodeError> {
    let source = RobotSource::from_planner(parameters);
    if !parameters.robot_urdf_file.is_empty() {
        match source.read_urdf() {
            Ok(urdf) => build_robot(shared, status, &source, urdf)?,
            Err(error) => {
                r2r::log_error!("planner", "no robot model: {error}");
                *lock(&shared.robot) = RobotStatus::Failed(error.to_string());
            }
        }
        return Ok(());
    }
    let (shared, status) = (shared.clone(), status.clone());
    let mut last = String::new();
    let latched = QosProfile::default().keep_last(1).transient_local();
    let topic = "robot_description";
    perception::subscribe(
        node,
        spawner,
        topic,
        latched,
        move |m: std_msgs::msg::String| {
            if m.data == last {
                return Ok(());
            }
            last.clone_from(&m.data);
            build_robot(&shared, &status, &source, m.data).map_err(|error| error.to_string())
        },
    )?;
    Ok(())
}

/// Builds in a thread: fitting spheres and sampling self-collisions takes up to seconds.
fn build_robot(
    shared: &Arc<Shared>,
    status: &Arc<StatusBoard>,
    source: &RobotSource,
    urdf: String,
) -> std::io::Result<()> {
    *lock(&shared.robot) = RobotStatus::Building;
    let (shared, status, source) = (shared.clone(), status.clone(), source.clone());
    thread::Builder::new().name("robot".into()).spawn(move || {
        let built = std::panic::catch_unwind(|| source.build(&urdf));
        let robot = match built {
            Ok(Ok(robot)) => RobotStatus::Ready(Arc::new(robot)),
            Ok(Err(error)) => RobotStatus::Failed(error.to_string()),
            Err(_) => RobotStatus::Failed("internal error while the model was built".into()),
        };
        if let RobotStatus::Failed(reason) = &robot {
            r2r::log_error!("planner", "no robot model: {reason}");
        }
        *lock(&shared.robot) = robot;
        if status.activity() == Activity::Unconfigured {
            let ready = matches!(shared.robot(), RobotStatus::Ready(_));
            let activity = if ready {
                Activity::Idle
            } else {
                Activity::Unconfigured
            };
            status.set_activity(&shared, activity, None);
        }
    })?;
    Ok(())
}
