//! Sends a trajectory to the controller, by topic or action, and watches the arm until it has arrived.
//!
//! Everything the controller would refuse is checked before. Nothing here sends a trajectory that is not a verified phase
//! of a plan, or a stop.

use super::active_goal::ActiveGoal;
use super::arm_monitor::{first_beyond, BLIND_S};
use super::controller_rules::{self, CommandedPoint, CommandedTrajectory};
use super::convert;
use super::failure::Failure;
use super::parameters::Parameters;
use super::shared::Shared;
use super::state::ArmState;
use super::stopping::stopping;
use super::{action_controller, topic_controller};
use crate::robot::RobotModel;
use crate::trajectory::TimedTrajectory;

/// One phase on its way to the controller.
pub struct Motion<'a> {
    pub shared: &'a Shared,
    pub robot: &'a RobotModel,
    pub parameters: &'a Parameters,
    pub goal: &'a ActiveGoal,
    pub trajectory: &'a TimedTrajectory,
    /// The points of the trajectory that are sent.
    pub command: CommandedTrajectory,
}

/// The points that are sent for a trajectory.
pub fn commanded(trajectory: &TimedTrajectory, period_s: f64) -> CommandedTrajectory {
    let points = trajectory.points(period_s);
    CommandedTrajectory {
        joint_names: trajectory.joint_names().to_vec(),
        points: points
            .into_iter()
            .map(|point| CommandedPoint {
                time_s: point.time_s,
                positions: point.state.position,
                velocities: point.state.velocity,
                accelerations: point.state.acceleration,
            })
            .collect(),
        start_in_s: None,
    }
}

/// Executes one phase; returns the measured state at its end.
///
/// # Errors
/// Before anything is sent: no controller, a trajectory it would refuse, an arm that is not at the start.
/// Afterwards: the controller reports a failure or vanishes, the arm leaves the trajectory or does not arrive, joint
/// states stop, or the goal is interrupted; the arm is then stopped.
pub fn execute(
    shared: &Shared,
    robot: &RobotModel,
    parameters: &Parameters,
    trajectory: &TimedTrajectory,
    goal: &ActiveGoal,
) -> Result<ArmState, Failure> {
    let command = commanded(trajectory, parameters.controller_sample_period_s);
    controller_rules::check(&command, robot.kinematics.joint_names())?;
    let motion = Motion {
        shared,
        robot,
        parameters,
        goal,
        trajectory,
        command,
    };
    match parameters.controller_mode.as_str() {
        "action" => action_controller::follow(&motion),
        _ => topic_controller::follow(&motion),
    }
}

impl Motion<'_> {
    /// The last look before a trajectory is sent.
    ///
    /// # Errors
    /// The arm is not at the start, its state is not known, or the goal is interrupted.
    pub fn check_start(&self) -> Result<(), Failure> {
        let p = self.parameters;
        let state = self.shared.arm_state(self.robot, p.state_max_age_s)?;
        let start = self.trajectory.sample(0.0).position;
        check_at_start(self.robot, &state, &start, p)?;
        self.goal.check()
    }
}

fn check_at_start(
    robot: &RobotModel,
    state: &ArmState,
    start: &[f64],
    parameters: &Parameters,
) -> Result<(), Failure> {
    match first_beyond(&state.position, start, parameters.state_start_tolerance_rad) {
        Some((j, distance)) => Err(Failure::SceneChanged(format!(
            "joint '{}' is {distance:.4} away from the start of the trajectory, the limit is {} (state.start_tolerance)",
            robot.kinematics.joint_names()[j], parameters.state_start_tolerance_rad
        ))),
        None => Ok(()),
    }
}

/// Brings the arm to rest where it is, whoever moves it; false if its state is not known.
pub fn stop(shared: &Shared, robot: &RobotModel, parameters: &Parameters) -> bool {
    match parameters.controller_mode.as_str() {
        "none" => true,
        // The controller itself holds the arm where a goal is cancelled.
        "action" => {
            shared.controller_action.cancel_all();
            true
        }
        _ => {
            let Ok(state) = shared.arm_state(robot, BLIND_S) else {
                return false;
            };
            let message = convert::trajectory_to_message(&stopping(&state, robot));
            shared.outputs.trajectory.publish(&message);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::robot::toy_robots::shipped;

    #[test]
    fn the_joint_that_is_away_is_named() {
        let robot = shipped("panda");
        let state = ArmState {
            position: vec![0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.0],
            velocity: vec![0.0; 7],
            stamp: 0,
        };
        let failure = check_at_start(&robot, &state, &[0.0; 7], &Parameters::default());
        assert_eq!(
            failure.unwrap_err().to_string(),
            "joint 'panda_joint3' is 0.0500 away from the start of the trajectory, the limit is 0.02 (state.start_tolerance)"
        );
    }
}
