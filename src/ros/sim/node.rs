//! The simulated arm as a ROS node.

use super::controller_server::{ControllerServer, MotionGoal, MotionHandle};
use super::gripper::SimulatedObject;
use super::parameters::SimParameters;
use super::SimulatedArm;
use crate::geometry::Pose;
use crate::robot::PoseSettings;
use crate::ros::action_server::{self, ActionHandler, GoalHandle, DEFAULT_RESULT_TIMEOUT};
use crate::ros::goal_registry::GoalId;
use crate::ros::services::respond;
use crate::ros::state::TimeNs;
use crate::ros::{controller_rules, convert, lock, parameter_services, robot_source};
use crate::scene::{MeshDistance, TriangleMesh};
use futures::task::{LocalSpawn, LocalSpawnExt};
use futures::{Stream, StreamExt};
use r2r::control_msgs::action::GripperCommand;
use r2r::{geometry_msgs, sensor_msgs, std_msgs, std_srvs, trajectory_msgs, vision_msgs};
use r2r::{Clock, Node, Publisher, QosProfile};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Why the simulation cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    #[error(transparent)]
    Ros(#[from] r2r::Error),
    #[error("{0}")]
    Robot(#[from] robot_source::RobotSourceError),
    #[error("object.mesh_file: {0}")]
    Mesh(#[from] crate::scene::mesh::MeshError),
    #[error("{0}")]
    Parameter(String),
    #[error(transparent)]
    Spawn(#[from] futures::task::SpawnError),
}

type GripperGoal = GoalHandle<GripperCommand::Action>;

/// Everything the tasks of the node share; they run one at a time.
pub(super) struct Simulation {
    arm: SimulatedArm,
    started: Instant,
    gripper_goal: Option<GripperGoal>,
    motion_goal: Option<MotionGoal>,
    object_start: Option<Pose>,
    accepted: u32,
    rejected: u32,
    publishers: Publishers,
    clock: Arc<Mutex<Clock>>,
    base_link: String,
    object_id: String,
}

struct Publishers {
    joint_states: Publisher<sensor_msgs::msg::JointState>,
    object_pose: Publisher<geometry_msgs::msg::PoseStamped>,
    object_poses: Publisher<vision_msgs::msg::Detection3DArray>,
    accepted: Publisher<std_msgs::msg::UInt32>,
    rejected: Publisher<std_msgs::msg::UInt32>,
    last_rejection: Publisher<std_msgs::msg::String>,
    // Kept: a latched message lives as long as its publisher.
    _robot_description: Publisher<std_msgs::msg::String>,
}

/// Builds the simulation and spawns its tasks.
///
/// # Errors
/// [`SimError`] for a robot, mesh, pose or name that cannot be used.
pub fn start(
    node: &mut Node,
    parameters: &SimParameters,
    spawner: &impl LocalSpawn,
) -> Result<(), SimError> {
    let source = robot_source::RobotSource::from_sim(parameters);
    let urdf = source.read_urdf()?;
    let robot = source.build(&urdf)?;
    let object = load_object(parameters)?;
    let object_start = object.as_ref().map(|object| object.world_from_object);
    let base_link = robot.kinematics.base_link().to_owned();
    let arm = SimulatedArm::new(
        robot,
        &parameters.start_position,
        parameters.gripper_speed_m_s,
        object,
    )
    .map_err(SimError::Parameter)?;

    let simulation = Rc::new(RefCell::new(Simulation {
        arm,
        started: Instant::now(),
        gripper_goal: None,
        motion_goal: None,
        object_start,
        accepted: 0,
        rejected: 0,
        publishers: create_publishers(node, &urdf)?,
        clock: node.get_ros_clock(),
        base_link,
        object_id: parameters.object_id.clone(),
    }));
    simulation.borrow().publish_counts("");

    let step = Duration::from_secs_f64(1.0 / parameters.joint_states_rate_hz);
    each_tick(node, step, spawner, &simulation, Simulation::step)?;
    let object_period = Duration::from_secs_f64(1.0 / parameters.object_rate_hz);
    each_tick(node, object_period, spawner, &simulation, |s| {
        s.publish_object()
    })?;

    let trajectories = node.subscribe::<trajectory_msgs::msg::JointTrajectory>(
        &parameters.controller_topic,
        QosProfile::default().keep_last(1),
    )?;
    each(trajectories, spawner, &simulation, |s, m| {
        s.on_trajectory(&m)
    })?;
    let places =
        node.subscribe::<geometry_msgs::msg::PoseStamped>("~/place_object", QosProfile::default())?;
    each(places, spawner, &simulation, |s, m| s.place_object(&m))?;
    let resets = node.create_service::<std_srvs::srv::Trigger::Service>(
        "~/reset",
        QosProfile::services_default(),
    )?;
    each(resets, spawner, &simulation, |s, request| {
        s.reset();
        let response = std_srvs::srv::Trigger::Response {
            success: true,
            message: String::new(),
        };
        respond(request, response);
    })?;

    let blocks = node.create_service::<std_srvs::srv::SetBool::Service>(
        "~/block",
        QosProfile::services_default(),
    )?;
    each(blocks, spawner, &simulation, |s, request| {
        s.arm.set_blocked(request.message.data);
        let response = std_srvs::srv::SetBool::Response {
            success: true,
            message: String::new(),
        };
        respond(request, response);
    })?;

    spawner.spawn_local(action_server::serve(
        node,
        &parameters.controller_action,
        DEFAULT_RESULT_TIMEOUT,
        ControllerServer(simulation.clone()),
    )?)?;
    if simulation.borrow().arm.gripper.is_some() {
        let handler = GripperServer(simulation.clone());
        let server = action_server::serve(
            node,
            &parameters.gripper_action,
            DEFAULT_RESULT_TIMEOUT,
            handler,
        )?;
        spawner.spawn_local(server)?;
    }
    let values = Arc::new(Mutex::new(parameters.clone()));
    spawner.spawn_local(parameter_services::serve(node, values)?)?;
    Ok(())
}

fn create_publishers(node: &mut Node, urdf: &str) -> r2r::Result<Publishers> {
    let latched = || QosProfile::default().keep_last(1).transient_local();
    let robot_description = node.create_publisher("robot_description", latched())?;
    robot_description.publish(&std_msgs::msg::String {
        data: urdf.to_owned(),
    })?;
    Ok(Publishers {
        joint_states: node.create_publisher("joint_states", QosProfile::default())?,
        object_pose: node.create_publisher("object_pose", QosProfile::default())?,
        object_poses: node.create_publisher("object_poses", QosProfile::default())?,
        accepted: node.create_publisher("~/accepted_trajectories", latched())?,
        rejected: node.create_publisher("~/rejected_trajectories", latched())?,
        last_rejection: node.create_publisher("~/last_rejection", latched())?,
        _robot_description: robot_description,
    })
}

fn load_object(parameters: &SimParameters) -> Result<Option<SimulatedObject>, SimError> {
    if parameters.object_mesh_file.is_empty() {
        return Ok(None);
    }
    let [x, y, z, roll, pitch, yaw] = parameters.object_pose[..] else {
        return Err(SimError::Parameter(format!(
            "object.pose has {} values, it needs 6: x, y, z, roll, pitch, yaw",
            parameters.object_pose.len()
        )));
    };
    let pose = PoseSettings {
        xyz: [x, y, z],
        rpy: [roll, pitch, yaw],
    };
    let mesh = TriangleMesh::load(&parameters.object_mesh_file, parameters.object_mesh_scale)?;
    Ok(Some(SimulatedObject {
        distance: Box::new(MeshDistance::new(&mesh)?),
        world_from_object: pose.into(),
    }))
}

/// Spawns a task that handles each element of a stream.
fn each<T: 'static>(
    stream: impl Stream<Item = T> + Unpin + 'static,
    spawner: &impl LocalSpawn,
    simulation: &Rc<RefCell<Simulation>>,
    handle: impl Fn(&mut Simulation, T) + 'static,
) -> Result<(), SimError> {
    let simulation = simulation.clone();
    spawner.spawn_local(stream.for_each(move |item| {
        handle(&mut simulation.borrow_mut(), item);
        futures::future::ready(())
    }))?;
    Ok(())
}

/// Spawns a task that runs on a wall timer.
fn each_tick(
    node: &mut Node,
    period: Duration,
    spawner: &impl LocalSpawn,
    simulation: &Rc<RefCell<Simulation>>,
    handle: impl Fn(&mut Simulation) + 'static,
) -> Result<(), SimError> {
    let mut timer = node.create_wall_timer(period)?;
    let simulation = simulation.clone();
    spawner.spawn_local(async move {
        while timer.tick().await.is_ok() {
            handle(&mut simulation.borrow_mut());
        }
    })?;
    Ok(())
}

impl Simulation {
    fn step(&mut self) {
        let now_s = self.started.elapsed().as_secs_f64();
        self.arm.step(now_s);
        let goal = self.motion_goal.take();
        self.motion_goal = goal.and_then(|goal| goal.look(&mut self.arm, now_s));
        self.watch_gripper_goal();
        self.publish_joint_states();
    }

    fn on_trajectory(&mut self, message: &trajectory_msgs::msg::JointTrajectory) {
        if self.command(message).is_ok() {
            if let Some(replaced) = self.motion_goal.take() {
                replaced.replaced();
            }
        }
    }

    /// Whether the controller's action takes a trajectory.
    pub(super) fn accepts_motion(
        &mut self,
        message: &trajectory_msgs::msg::JointTrajectory,
    ) -> bool {
        let trajectory = convert::trajectory_from_message(message, self.now());
        let joints = self.arm.follower.joints();
        match controller_rules::check(&trajectory, joints) {
            Ok(()) => true,
            Err(reason) => {
                self.reject(&reason.to_string());
                false
            }
        }
    }

    /// Follows an accepted goal of the controller's action instead of the running command.
    pub(super) fn start_motion(&mut self, handle: MotionHandle) {
        match self.command(&handle.goal().trajectory) {
            Err(reason) => MotionGoal::refuse(handle, reason),
            Ok(()) => {
                if let Some(replaced) = self.motion_goal.replace(MotionGoal::new(handle)) {
                    replaced.replaced();
                }
            }
        }
    }

    fn command(&mut self, message: &trajectory_msgs::msg::JointTrajectory) -> Result<(), String> {
        let trajectory = convert::trajectory_from_message(message, self.now());
        self.arm.step(self.started.elapsed().as_secs_f64());
        match self.arm.command(&trajectory) {
            Ok(()) => {
                self.accepted += 1;
                self.publish_counts("");
                Ok(())
            }
            Err(reason) => {
                let reason = reason.to_string();
                self.reject(&reason);
                Err(reason)
            }
        }
    }

    fn reject(&mut self, reason: &str) {
        self.rejected += 1;
        r2r::log_error!("sim_arm", "trajectory rejected: {reason}");
        self.publish_counts(reason);
    }

    fn place_object(&mut self, message: &geometry_msgs::msg::PoseStamped) {
        let Some(object) = &mut self.arm.object else {
            r2r::log_error!("sim_arm", "place_object: there is no object");
            return;
        };
        match convert::pose_from_message(&message.pose, "place_object") {
            Ok(pose) => object.world_from_object = pose,
            Err(error) => r2r::log_error!("sim_arm", "{error}"),
        }
    }

    fn reset(&mut self) {
        self.arm.reset();
        if let Some(replaced) = self.motion_goal.take() {
            replaced.replaced();
        }
        if let (Some(object), Some(start)) = (&mut self.arm.object, self.object_start) {
            object.world_from_object = start;
        }
    }

    /// Ends the gripper's goal when the fingers have come to rest or the client has changed its mind.
    fn watch_gripper_goal(&mut self) {
        let (Some(goal), Some(gripper)) = (self.gripper_goal.take(), &mut self.arm.gripper) else {
            return;
        };
        if goal.is_canceling() {
            gripper.command(gripper.opening_m());
            goal.canceled(GripperCommand::Result::default());
        } else if gripper.is_settled() {
            let force = goal.goal().command.max_effort;
            goal.succeed(GripperCommand::Result {
                position: 0.5 * gripper.opening_m(),
                effort: if gripper.is_holding() { force } else { 0.0 },
                stalled: gripper.is_holding(),
                reached_goal: gripper.has_arrived(),
            });
        } else {
            self.gripper_goal = Some(goal);
        }
    }

    fn publish_joint_states(&self) {
        let follower = &self.arm.follower;
        let mut message = sensor_msgs::msg::JointState {
            name: follower.joints().to_vec(),
            position: self.arm.position().to_vec(),
            velocity: self.arm.velocity(),
            ..Default::default()
        };
        message.header.stamp = convert::time_to_message(self.now());
        if let (Some(gripper), Some(model)) = (&self.arm.gripper, &self.arm.robot().gripper) {
            for joint in &model.finger_joints {
                message.name.push(joint.clone());
                message.position.push(0.5 * gripper.opening_m());
                message.velocity.push(0.0);
            }
        }
        let _ = self.publishers.joint_states.publish(&message);
    }

    fn publish_object(&self) {
        let Some(object) = &self.arm.object else {
            return;
        };
        let mut pose = geometry_msgs::msg::PoseStamped {
            pose: convert::pose_to_message(&object.world_from_object),
            ..Default::default()
        };
        pose.header.stamp = convert::time_to_message(self.now());
        pose.header.frame_id = self.base_link.clone();

        let mut hypothesis = vision_msgs::msg::ObjectHypothesisWithPose::default();
        hypothesis.hypothesis.class_id = self.object_id.clone();
        hypothesis.hypothesis.score = 1.0;
        hypothesis.pose.pose = pose.pose.clone();
        let detection = vision_msgs::msg::Detection3D {
            header: pose.header.clone(),
            id: self.object_id.clone(),
            results: vec![hypothesis],
            ..Default::default()
        };
        let detections = vision_msgs::msg::Detection3DArray {
            header: pose.header.clone(),
            detections: vec![detection],
        };
        let _ = self.publishers.object_pose.publish(&pose);
        let _ = self.publishers.object_poses.publish(&detections);
    }

    fn publish_counts(&self, rejection: &str) {
        let count = |data| std_msgs::msg::UInt32 { data };
        let _ = self.publishers.accepted.publish(&count(self.accepted));
        let _ = self.publishers.rejected.publish(&count(self.rejected));
        if !rejection.is_empty() {
            let _ = self
                .publishers
                .last_rejection
                .publish(&std_msgs::msg::String {
                    data: rejection.to_owned(),
                });
        }
    }

    fn now(&self) -> TimeNs {
        lock(&self.clock)
            .get_now()
            .map_or(0, |now| now.as_nanos() as TimeNs)
    }
}

/// Serves the gripper's action; a new command replaces the running one.
struct GripperServer(Rc<RefCell<Simulation>>);

impl ActionHandler<GripperCommand::Action> for GripperServer {
    fn accepts(&mut self, _id: &GoalId, goal: &GripperCommand::Goal) -> bool {
        let position = goal.command.position;
        if !position.is_finite() {
            r2r::log_error!("sim_arm", "gripper command {position} is not finite");
        }
        position.is_finite()
    }

    fn start(&mut self, goal: GripperGoal) {
        let mut simulation = self.0.borrow_mut();
        goal.execute();
        if let Some(gripper) = &mut simulation.arm.gripper {
            gripper.command(2.0 * goal.goal().command.position);
        }
        if let Some(replaced) = simulation.gripper_goal.replace(goal) {
            replaced.abort(GripperCommand::Result::default());
        }
    }
}
