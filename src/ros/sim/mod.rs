//! A simulated arm with gripper and one object, for demos and tests without Gazebo.
//!
//! To the planner it is a robot like any other: `joint_states`, a joint_trajectory_controller's topic and action with its
//! rules, and a `control_msgs/GripperCommand` action.

pub mod controller_server;
pub mod follower;
pub mod gripper;
pub mod node;
pub mod parameters;

use crate::geometry::Pose;
use crate::robot::RobotModel;
use crate::ros::controller_rules::{self, CommandedTrajectory, Rejection};
use crate::ros::state::ArmState;
use crate::ros::stopping::stopping;
use follower::{Jump, TrajectoryFollower};
use gripper::{SimulatedGripper, SimulatedObject};

/// Why the arm does not follow a trajectory.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotFollowed {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Jump(#[from] Jump),
}

/// The arm, its gripper and the object; time in seconds since the start.
pub struct SimulatedArm {
    robot: RobotModel,
    start_position: Vec<f64>,
    pub follower: TrajectoryFollower,
    pub gripper: Option<SimulatedGripper>,
    pub object: Option<SimulatedObject>,
    /// Where the joints are stuck, whatever they are told.
    blocked: Option<Vec<f64>>,
    now_s: f64,
}

impl SimulatedArm {
    /// An arm at rest. `start_position`: rad or m, one a joint; empty: the middle of each range.
    ///
    /// # Errors
    /// A message if the position does not fit the joints or their limits.
    pub fn new(
        robot: RobotModel,
        start_position: &[f64],
        gripper_speed_m_s: f64,
        object: Option<SimulatedObject>,
    ) -> Result<Self, String> {
        let limits = &robot.limits;
        let start_position = match start_position.is_empty() {
            true => limits
                .lower
                .iter()
                .zip(&limits.upper)
                .map(|(l, u)| 0.5 * (l + u))
                .collect(),
            false => start_position.to_vec(),
        };
        if start_position.len() != limits.dof() {
            return Err(format!(
                "start.position has {} values, the robot has {} joints: {}",
                start_position.len(),
                limits.dof(),
                limits.names.join(", ")
            ));
        }
        if let Some(v) = limits.violation(&start_position, 0.0) {
            return Err(format!(
                "start.position: joint '{}' at {} is outside [{}, {}]",
                v.joint, v.value, v.lower, v.upper
            ));
        }
        let names = robot.kinematics.joint_names().to_vec();
        let gripper = robot
            .gripper
            .as_ref()
            .map(|gripper| SimulatedGripper::new(gripper.geometry.clone(), gripper_speed_m_s));
        Ok(Self {
            follower: TrajectoryFollower::new(names, start_position.clone()),
            start_position,
            gripper,
            object,
            robot,
            blocked: None,
            now_s: 0.0,
        })
    }

    pub fn robot(&self) -> &RobotModel {
        &self.robot
    }

    /// Starts to follow a trajectory instead of the running one.
    ///
    /// # Errors
    /// [`NotFollowed`]; the running trajectory goes on.
    pub fn command(&mut self, trajectory: &CommandedTrajectory) -> Result<(), NotFollowed> {
        controller_rules::check(trajectory, self.follower.joints())?;
        Ok(self.follower.command(trajectory, self.now_s)?)
    }

    /// Slows down to a stop.
    pub fn hold(&mut self) {
        let state = ArmState {
            position: self.follower.position.clone(),
            velocity: self.follower.velocity.clone(),
            stamp: 0,
        };
        // One point after the present time has nothing that could be refused.
        let _ = self
            .follower
            .command(&stopping(&state, &self.robot), self.now_s);
    }

    /// Blocks the joints where they are, as a brake or an obstacle would, or lets them go.
    pub fn set_blocked(&mut self, blocked: bool) {
        match (blocked, self.blocked.take()) {
            (true, stuck) => {
                self.blocked = Some(stuck.unwrap_or_else(|| self.follower.position.clone()));
            }
            (false, Some(stuck)) => {
                let names = self.follower.joints().to_vec();
                self.follower = TrajectoryFollower::new(names, stuck);
            }
            (false, None) => {}
        }
    }

    /// Where the joints are, rad or m; where they are told to be is the follower's.
    pub fn position(&self) -> &[f64] {
        self.blocked.as_deref().unwrap_or(&self.follower.position)
    }

    /// rad/s or m/s
    pub fn velocity(&self) -> Vec<f64> {
        match self.blocked {
            Some(_) => vec![0.0; self.follower.velocity.len()],
            None => self.follower.velocity.clone(),
        }
    }

    /// Moves arm, fingers and object on to a time.
    pub fn step(&mut self, now_s: f64) {
        let dt_s = (now_s - self.now_s).max(0.0);
        self.now_s = now_s;
        self.follower.step(now_s);
        let world_from_gripper = self.world_from_gripper();
        if let Some(gripper) = &mut self.gripper {
            gripper.step(dt_s, &world_from_gripper, self.object.as_mut());
        }
    }

    /// Back to the start, with open fingers.
    pub fn reset(&mut self) {
        let names = self.follower.joints().to_vec();
        self.follower = TrajectoryFollower::new(names, self.start_position.clone());
        self.blocked = None;
        if let Some(gripper) = &mut self.gripper {
            gripper.open_at_once();
        }
    }

    /// Pose of the ACRONYM gripper frame; the tool's where the robot has no gripper.
    pub fn world_from_gripper(&self) -> Pose {
        let world_from_tool = self.robot.kinematics.tool_pose(self.position());
        match &self.robot.gripper {
            Some(gripper) => world_from_tool * gripper.tool_from_gripper,
            None => world_from_tool,
        }
    }
}
