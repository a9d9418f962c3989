//! Commands the gripper through a `control_msgs/GripperCommand` action.

use super::active_goal::ActiveGoal;
use super::failure::Failure;
use super::lock;
use super::parameters::Parameters;
use crate::planner::Stage;
use futures::{Future, FutureExt};
use r2r::control_msgs::action::GripperCommand;
use r2r::{ActionClient, GoalStatus, Node};
use std::sync::Mutex;
use std::time::Duration;

/// How long a gripper may take to say whether it will do what it is told.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The action's client; its answers arrive through the node's loop, the planning thread waits for them.
pub struct GripperClient {
    client: Mutex<ActionClient<GripperCommand::Action>>,
    name: String,
}

impl GripperClient {
    /// # Errors
    /// An r2r error for an invalid name.
    pub fn create(node: &mut Node, name: &str) -> r2r::Result<Self> {
        Ok(Self {
            client: Mutex::new(node.create_action_client::<GripperCommand::Action>(name)?),
            name: name.to_owned(),
        })
    }

    /// Moves the fingers to a distance and waits until they rest; returns the distance reached.
    ///
    /// # Errors
    /// [`Failure::Gripper`], or the interrupt of the goal.
    pub fn move_to(
        &self,
        width_m: f64,
        parameters: &Parameters,
        goal: &ActiveGoal,
    ) -> Result<f64, Failure> {
        goal.enter(Stage::Gripper, 0.0);
        let mut command = GripperCommand::Goal::default();
        command.command.position = width_m * parameters.gripper_width_to_position;
        command.command.max_effort = parameters.gripper_force_n;
        let request = lock(&self.client)
            .send_goal_request(command)
            .map_err(|error| self.failed(&error.to_string()))?;
        let (_, result, _feedback) = self
            .wait(goal, ANSWER_TIMEOUT, request)?
            .ok_or_else(|| self.failed("no answer"))?
            .map_err(|error| self.failed(&error.to_string()))?;
        let timeout = Duration::from_secs_f64(parameters.gripper_timeout_s);
        let (status, result) = self
            .wait(goal, timeout, result)?
            .ok_or_else(|| self.failed(&format!("not at {width_m:.4} m within {timeout:?}")))?
            .map_err(|error| self.failed(&error.to_string()))?;
        let reached_m = result.position / parameters.gripper_width_to_position;
        if status != GoalStatus::Succeeded || !(result.reached_goal || result.stalled) {
            let reason =
                format!("told to go to {width_m:.4} m, ended at {reached_m:.4} m with {status}");
            return Err(self.failed(&reason));
        }
        goal.enter(Stage::Gripper, 1.0);
        Ok(reached_m)
    }

    fn wait<T>(
        &self,
        goal: &ActiveGoal,
        timeout: Duration,
        future: impl Future<Output = T>,
    ) -> Result<Option<T>, Failure> {
        let mut future = Box::pin(future);
        goal.wait(timeout, || future.as_mut().now_or_never())
    }

    fn failed(&self, reason: &str) -> Failure {
        Failure::Gripper(format!("gripper '{}': {reason}", self.name))
    }
}
