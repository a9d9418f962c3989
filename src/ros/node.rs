//! `planner_node`: puts the parts together and takes them apart again.

use super::action_client::ActionClient;
use super::action_server;
use super::active_goal::Interrupt;
use super::cloud_input;
use super::diagnostics;
use super::gripper_client::{GripperClient, GripperError};
use super::library::ObjectLibrary;
use super::lifecycle::Lifecycle;
use super::lifecycle_server::LifecycleServer;
use super::loading::Loading;
#[cfg(moveit_msgs)]
use super::moveit;
use super::outputs::{Output, Outputs};
use super::parameter_services;
use super::parameters::Parameters;
use super::perception::{self, SubscribeError};
use super::pick::Picker;
use super::pick_server::{GoalGate, PickServer};
use super::scene_input::{self, SceneInputError};
use super::score::{self, ScoreError};
use super::services;
use super::shared::{RobotStatus, Shared};
use super::spin;
use super::status::{Activity, StatusBoard};
use futures::executor::LocalPool;
use futures::task::{LocalSpawn, LocalSpawnExt};
use r2r::{std_msgs, Node, QosProfile};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Waiting goals are looked after this often.
const SWEEP_PERIOD: Duration = Duration::from_millis(100);
/// The goal in work has this long to end when the node is told to.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The last answers get this long to leave.
const FAREWELL: Duration = Duration::from_millis(100);

/// Why the node cannot start. A file that cannot be used is no such reason, see [`super::loading`].
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Ros(#[from] r2r::Error),
    #[error(transparent)]
    Gripper(#[from] GripperError),
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
        let library = ObjectLibrary::start(parameters.planning_model_file.clone())?;
        let outputs = Outputs::create(node, &parameters.controller_topic)?;
        let gripper = GripperClient::create(node, &parameters)?;
        let shared = Arc::new(Shared {
            parameters: Arc::new(Mutex::new(parameters.clone())),
            robot: Mutex::new(RobotStatus::Waiting),
            joint_states: Mutex::default(),
            transforms: Mutex::default(),
            object_poses: Mutex::default(),
            scene: Mutex::default(),
            cloud: Mutex::default(),
            library,
            outputs,
            controller_action: ActionClient::create(node, &parameters.controller_action)?,
            clock: node.get_ros_clock(),
            lifecycle: Lifecycle::new(Output::create(
                node,
                "~/transition_event",
                QosProfile::default(),
            )?),
        });
        let status = Arc::new(StatusBoard::default());
        status.set_activity(&shared, Activity::Unconfigured, None);
        if parameters.use_sim_time {
            node.get_time_source().enable_sim_time(node)?;
        }
        perception::start(node, spawner, &shared)?;
        let scene_inbox = scene_input::start(node, spawner, &shared)?;
        #[cfg(moveit_msgs)]
        moveit::start(node, spawner, scene_inbox)?;
        #[cfg(not(moveit_msgs))]
        drop(scene_inbox);
        cloud_input::start(node, spawner, &shared)?;
        let loading = Loading::new(shared.clone(), status.clone(), parameters.clone());
        let loading = Arc::new(loading);
        listen_to_description(node, spawner, &loading)?;

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
        let lifecycle = LifecycleServer {
            shared: shared.clone(),
            status: status.clone(),
            gate: gate.clone(),
            loading,
        };
        lifecycle.start(node, spawner, parameters.autostart)?;
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

/// Each new text on `robot_description`, once the node is configured without a file.
fn listen_to_description(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    loading: &Arc<Loading>,
) -> Result<(), SubscribeError> {
    let loading = loading.clone();
    let latched = QosProfile::default().keep_last(1).transient_local();
    perception::subscribe(
        node,
        spawner,
        "robot_description",
        latched,
        move |message: std_msgs::msg::String| {
            loading.on_description(message.data);
            Ok(())
        },
    )
}
