//! What the node's tasks and its planning thread share.

use super::action_client::ActionClient;
use super::cloud_input::CloudSlot;
use super::library::ObjectLibrary;
use super::lifecycle::Lifecycle;
use super::lock;
use super::objects::{ObjectPoses, ObservedPose};
use super::outputs::Outputs;
use super::parameters::Parameters;
use super::scene_store::SceneStore;
use super::state::{ArmState, JointStates, StateError, TimeNs};
use super::tf::{TransformBuffer, TransformError};
use crate::geometry::Pose;
use crate::robot::RobotModel;
use r2r::control_msgs::action::FollowJointTrajectory;
use r2r::Clock;
use std::sync::{Arc, Mutex};

/// How far the robot model is.
#[derive(Clone)]
pub enum RobotStatus {
    /// Waiting for the topic `robot_description`.
    Waiting,
    /// The text has arrived, the model is being built.
    Building,
    Ready(Arc<RobotModel>),
    Failed(String),
}

/// Every field is locked for a few statements only, never while another one is.
pub struct Shared {
    pub parameters: Arc<Mutex<Parameters>>,
    pub robot: Mutex<RobotStatus>,
    pub joint_states: Mutex<JointStates>,
    pub transforms: Mutex<TransformBuffer>,
    pub object_poses: Mutex<ObjectPoses>,
    pub scene: Mutex<SceneStore>,
    pub cloud: Mutex<CloudSlot>,
    pub library: Arc<ObjectLibrary>,
    pub outputs: Outputs,
    pub controller_action: ActionClient<FollowJointTrajectory::Action>,
    pub clock: Arc<Mutex<Clock>>,
    /// Goals are taken, and the controller is commanded, only while it is active.
    pub lifecycle: Lifecycle,
}

impl Shared {
    /// Time by the node's clock.
    pub fn now(&self) -> TimeNs {
        lock(&self.clock)
            .get_now()
            .map_or(0, |now| now.as_nanos() as TimeNs)
    }

    /// A copy of the present parameters.
    pub fn parameters(&self) -> Parameters {
        lock(&self.parameters).clone()
    }

    pub fn robot(&self) -> RobotStatus {
        lock(&self.robot).clone()
    }

    /// The measured state of the planned joints, if it is fresh.
    ///
    /// # Errors
    /// [`StateError`], naming the joint.
    pub fn arm_state(&self, robot: &RobotModel, max_age_s: f64) -> Result<ArmState, StateError> {
        let now = self.now();
        lock(&self.joint_states).read(robot.kinematics.joint_names(), now, max_age_s)
    }

    /// A pose in the planning frame, which is the robot's base link.
    ///
    /// # Errors
    /// [`TransformError`], naming frames and times.
    pub fn to_planning_frame(
        &self,
        robot: &RobotModel,
        observed: &ObservedPose,
    ) -> Result<Pose, TransformError> {
        if observed.frame.is_empty() {
            return Ok(observed.frame_from_object);
        }
        let base = robot.kinematics.base_link();
        let base_from_frame =
            lock(&self.transforms).lookup(base, &observed.frame, observed.stamp)?;
        Ok(base_from_frame * observed.frame_from_object)
    }
}
