//! Commands the gripper through the action that `gripper.type` names.

use super::action_client::{ActionClient, Outcome, PeerFault};
use super::action_server::Action;
use super::active_goal::ActiveGoal;
use super::failure::Failure;
#[cfg(franka_msgs)]
use super::franka_hand::FrankaHand;
use super::goal_registry::GoalStatus;
use super::parameters::Parameters;
use super::patience::Patience;
use super::shared::Shared;
use crate::planner::Stage;
use r2r::control_msgs::action::{GripperCommand, ParallelGripperCommand};
use r2r::Node;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum GripperError {
    #[error(transparent)]
    Ros(#[from] r2r::Error),
    #[error("gripper.type is franka, but this node was built without franka_msgs")]
    NoFranka,
}

/// The client of the gripper's action.
pub enum GripperClient {
    Command(ActionClient<GripperCommand::Action>),
    Parallel(ActionClient<ParallelGripperCommand::Action>),
    #[cfg(franka_msgs)]
    Franka(FrankaHand),
}

/// The goal for which the gripper acts.
pub struct GripperTask<'a> {
    pub shared: &'a Shared,
    pub parameters: &'a Parameters,
    pub goal: &'a ActiveGoal,
}

/// Where the fingers of a position-controlled gripper came to rest.
struct Reached {
    width_m: f64,
    status: GoalStatus,
    reached_goal: bool,
    stalled: bool,
}

impl GripperClient {
    /// The client that the parameters ask for; None where there is no gripper.
    ///
    /// # Errors
    /// [`GripperError`]
    pub fn create(node: &mut Node, p: &Parameters) -> Result<Option<Self>, GripperError> {
        Ok(Some(match p.gripper_type.as_str() {
            "gripper_command" => Self::Command(ActionClient::create(node, &p.gripper_action)?),
            "parallel_gripper" => Self::Parallel(ActionClient::create(node, &p.gripper_action)?),
            #[cfg(franka_msgs)]
            "franka" => Self::Franka(FrankaHand::create(node, &p.gripper_franka_name)?),
            #[cfg(not(franka_msgs))]
            "franka" => return Err(GripperError::NoFranka),
            _ => return Ok(None),
        }))
    }

    /// Opens the fingers to a distance and waits until they are there.
    ///
    /// # Errors
    /// [`Failure::Gripper`], or the interrupt of the goal.
    pub fn open(&self, width_m: f64, task: &GripperTask<'_>) -> Result<(), Failure> {
        task.goal.enter(Stage::Gripper, 0.0);
        #[cfg(franka_msgs)]
        if let Self::Franka(hand) = self {
            return hand.open(width_m, task);
        }
        let reached = self.move_to(width_m, task)?;
        match reached.status == GoalStatus::Succeeded && (reached.reached_goal || reached.stalled) {
            true => Ok(()),
            false => Err(reached.failure(width_m, task.parameters)),
        }
    }

    /// Closes the fingers around something of about a width (0: unknown) and waits until they hold it.
    ///
    /// # Errors
    /// [`Failure::GraspEmpty`], [`Failure::Gripper`], or the interrupt of the goal.
    pub fn close(&self, width_m: f64, task: &GripperTask<'_>) -> Result<(), Failure> {
        task.goal.enter(Stage::Gripper, 0.0);
        #[cfg(franka_msgs)]
        if let Self::Franka(hand) = self {
            return hand.close(width_m, task);
        }
        let _ = width_m;
        // To nothing: the object stops the fingers, and their force holds it.
        let (reached, p) = (self.move_to(0.0, task)?, task.parameters);
        let succeeded = reached.status == GoalStatus::Succeeded && reached.reached_goal;
        // Some controllers abort where the fingers stall: around an object that is what they are for.
        if !succeeded && !reached.stalled {
            return Err(reached.failure(0.0, p));
        }
        match reached.width_m < p.gripper_min_width_m {
            true => Err(Failure::GraspEmpty(format!(
                "the gripper closed to {:.4} m and holds nothing (gripper.min_width {} m)",
                reached.width_m, p.gripper_min_width_m
            ))),
            false => Ok(()),
        }
    }

    fn move_to(&self, width_m: f64, task: &GripperTask<'_>) -> Result<Reached, Failure> {
        let p = task.parameters;
        let position = width_m * p.gripper_width_to_position;
        let width = |position: f64| position / p.gripper_width_to_position;
        match self {
            Self::Command(client) => {
                let mut command = GripperCommand::Goal::default();
                command.command.position = position;
                command.command.max_effort = p.gripper_force_n;
                let Outcome { status, result } = run(client, command, task)?;
                Ok(Reached {
                    width_m: width(result.position),
                    status,
                    reached_goal: result.reached_goal,
                    stalled: result.stalled,
                })
            }
            Self::Parallel(client) => {
                let mut command = ParallelGripperCommand::Goal::default();
                if !p.gripper_joint_name.is_empty() {
                    command.command.name = vec![p.gripper_joint_name.clone()];
                }
                command.command.position = vec![position];
                command.command.velocity = vec![p.gripper_speed_m_s * p.gripper_width_to_position];
                command.command.effort = vec![p.gripper_force_n];
                let Outcome { status, result } = run(client, command, task)?;
                let position = result.state.position.first().copied();
                Ok(Reached {
                    width_m: width(position.unwrap_or(f64::NAN)),
                    status,
                    reached_goal: result.reached_goal,
                    stalled: result.stalled,
                })
            }
            #[cfg(franka_msgs)]
            Self::Franka(_) => Err(Failure::Internal(
                "the Franka hand has its own commands".into(),
            )),
        }
    }
}

impl Reached {
    fn failure(&self, wanted_m: f64, p: &Parameters) -> Failure {
        Failure::Gripper(format!(
            "gripper '{}': told to go to {wanted_m:.4} m, ended at {:.4} m with status {:?}",
            p.gripper_action, self.width_m, self.status
        ))
    }
}

/// Sends one command and waits for its result, no longer than `gripper.timeout`.
///
/// # Errors
/// [`Failure::Gripper`], or the interrupt of the goal.
pub fn run<A: Action>(
    client: &ActionClient<A>,
    command: A::Goal,
    task: &GripperTask<'_>,
) -> Result<Outcome<A::Result>, Failure> {
    let (p, goal) = (task.parameters, task.goal);
    let fault = |fault| match fault {
        PeerFault::Ended(failure) => failure,
        fault => Failure::Gripper(format!("the gripper's {fault}")),
    };
    client.find(goal).map_err(fault)?;
    let patience = Patience::start(task.shared, p.use_sim_time, p.gripper_timeout_s);
    let outcome = client.perform(command, goal, true, || {
        goal.keep_alive();
        match patience.is_over() {
            true => Err(Failure::Gripper(format!(
                "the gripper has not ended its motion within {} s (gripper.timeout)",
                p.gripper_timeout_s
            ))),
            false => Ok(()),
        }
    });
    goal.enter(Stage::Gripper, 1.0);
    outcome.map_err(fault)
}
