//! The Franka Hand behind the actions of franka_gripper: Move opens, Grasp closes and holds with force.

use super::action_client::ActionClient;
use super::failure::Failure;
use super::goal_registry::GoalStatus;
use super::gripper_client::{run, GripperTask};
use r2r::franka_msgs::action::{Grasp, Move};
use r2r::Node;

/// The clients of both actions.
pub struct FrankaHand {
    open: ActionClient<Move::Action>,
    close: ActionClient<Grasp::Action>,
    name: String,
}

impl FrankaHand {
    /// `name`: of the node that serves `NAME/move` and `NAME/grasp`.
    ///
    /// # Errors
    /// An r2r error for an invalid name.
    pub fn create(node: &mut Node, name: &str) -> r2r::Result<Self> {
        Ok(Self {
            open: ActionClient::create(node, &format!("{name}/move"))?,
            close: ActionClient::create(node, &format!("{name}/grasp"))?,
            name: name.to_owned(),
        })
    }

    /// See [`super::gripper_client::GripperClient::open`].
    ///
    /// # Errors
    /// [`Failure::Gripper`], or the interrupt of the goal.
    pub fn open(&self, width_m: f64, task: &GripperTask<'_>) -> Result<(), Failure> {
        let command = Move::Goal {
            width: width_m,
            speed: task.parameters.gripper_speed_m_s,
        };
        let outcome = run(&self.open, command, task)?;
        match outcome.status == GoalStatus::Succeeded && outcome.result.success {
            true => Ok(()),
            false => Err(Failure::Gripper(format!(
                "gripper '{}/move': told to go to {width_m:.4} m, ended with status {:?}: {}",
                self.name, outcome.status, outcome.result.error
            ))),
        }
    }

    /// See [`super::gripper_client::GripperClient::close`]. The hand itself judges by the width whether it holds something.
    ///
    /// # Errors
    /// [`Failure::GraspEmpty`], [`Failure::Gripper`], or the interrupt of the goal.
    pub fn close(&self, width_m: f64, task: &GripperTask<'_>) -> Result<(), Failure> {
        let p = task.parameters;
        let mut command = Grasp::Goal {
            width: width_m,
            speed: p.gripper_speed_m_s,
            force: p.gripper_force_n,
            ..Default::default()
        };
        command.epsilon.inner = p.gripper_epsilon_inner_m;
        command.epsilon.outer = p.gripper_epsilon_outer_m;
        if width_m == 0.0 {
            // Of unknown width: anything that is wider than nothing.
            command.width = 0.5 * (p.gripper_min_width_m + p.gripper_width_open_m);
            command.epsilon.inner = command.width - p.gripper_min_width_m;
            command.epsilon.outer = p.gripper_width_open_m - command.width;
        }
        let (width, epsilon) = (command.width, command.epsilon.clone());
        let outcome = run(&self.close, command, task)?;
        let (result, status) = (outcome.result, outcome.status);
        if status == GoalStatus::Succeeded && result.success {
            return Ok(());
        }
        // Without an error the hand closed, but to a width outside the bounds: that is all it says of an empty hand.
        match result.error.is_empty() && status != GoalStatus::Canceled {
            true => Err(Failure::GraspEmpty(format!(
                "gripper '{}/grasp' holds nothing of {:.4} m to {:.4} m (gripper.epsilon_inner, gripper.epsilon_outer)",
                self.name,
                width - epsilon.inner,
                width + epsilon.outer
            ))),
            false => Err(Failure::Gripper(format!(
                "gripper '{}/grasp' ended with status {status:?}: {}",
                self.name, result.error
            ))),
        }
    }
}
