//! Sends a trajectory to the controller's topic and watches the arm until it has arrived.
//!
//! The topic carries no answer, so everything the controller would refuse is checked before, and what it did is read
//! from `joint_states`. Nothing here sends a trajectory that is not a verified phase of a plan, or a stop.

use super::active_goal::ActiveGoal;
use super::controller_rules::{self, CommandedPoint, CommandedTrajectory};
use super::convert;
use super::failure::Failure;
use super::parameters::Parameters;
use super::shared::Shared;
use super::state::{seconds_between, ArmState};
use crate::planner::Stage;
use crate::robot::RobotModel;
use crate::trajectory::TimedTrajectory;
use std::time::Duration;

/// How often the arm is looked at.
const PERIOD: Duration = Duration::from_millis(10);
/// Joint states may pause this long during a motion before it is given up.
const BLIND_S: f64 = 1.0;
/// A clock that is this much before the start of the motion was set back: nobody knows when the motion ends.
const CLOCK_RESET_S: f64 = 1.0;
/// A stop takes at least this long, so that the controller has a way to go.
const SHORTEST_STOP_S: f64 = 0.05;

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
/// Afterwards: the arm does not arrive, joint states stop, or the goal is interrupted; the arm is then stopped.
pub fn execute(
    shared: &Shared,
    robot: &RobotModel,
    parameters: &Parameters,
    trajectory: &TimedTrajectory,
    goal: &ActiveGoal,
) -> Result<ArmState, Failure> {
    let command = commanded(trajectory, parameters.controller_sample_period_s);
    controller_rules::check(&command, robot.kinematics.joint_names())?;
    if shared.outputs.trajectory.listeners() == 0 {
        return Err(Failure::ControllerUnavailable(format!(
            "nobody listens on the controller's topic '{}'",
            parameters.controller_topic
        )));
    }
    let state = shared.arm_state(robot, parameters.state_max_age_s)?;
    check_at_start(robot, &state, &trajectory.sample(0.0).position, parameters)?;
    goal.check()?;

    shared
        .outputs
        .trajectory
        .publish(&convert::trajectory_to_message(&command));
    let outcome = watch(shared, robot, parameters, trajectory, goal);
    if outcome.is_err() && parameters.controller_stop_on_cancel {
        stop(shared, robot);
    }
    outcome
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

fn watch(
    shared: &Shared,
    robot: &RobotModel,
    parameters: &Parameters,
    trajectory: &TimedTrajectory,
    goal: &ActiveGoal,
) -> Result<ArmState, Failure> {
    // By the node's clock: a simulation may be slower than the machine, or stand still.
    let started = shared.now();
    let duration_s = trajectory.duration_s();
    let end = trajectory.sample(duration_s).position;
    loop {
        std::thread::sleep(PERIOD);
        let elapsed_s = seconds_between(started, shared.now());
        if elapsed_s < -CLOCK_RESET_S {
            return Err(Failure::Execution(format!(
                "the clock was set back by {:.1} s during execution",
                -elapsed_s
            )));
        }
        goal.enter(Stage::Execute, (elapsed_s / duration_s).min(1.0));
        goal.check()?;
        let state = shared
            .arm_state(robot, BLIND_S)
            .map_err(|error| Failure::Execution(format!("during execution: {error}")))?;
        if elapsed_s < duration_s {
            continue;
        }
        let away = first_beyond(
            &state.position,
            &end,
            parameters.controller_goal_tolerance_rad,
        );
        match away {
            None => return Ok(state),
            Some((j, distance))
                if elapsed_s > duration_s + parameters.controller_goal_time_tolerance_s =>
            {
                return Err(Failure::Execution(format!(
                    "joint '{}' is {distance:.4} away from the end of the trajectory {:.2} s after it was due, the limit is {} (controller.goal_tolerance)",
                    robot.kinematics.joint_names()[j],
                    elapsed_s - duration_s,
                    parameters.controller_goal_tolerance_rad
                )));
            }
            Some(_) => {}
        }
    }
}

/// First joint that is further away than the tolerance, and how far.
fn first_beyond(position: &[f64], target: &[f64], tolerance: f64) -> Option<(usize, f64)> {
    position
        .iter()
        .zip(target)
        .map(|(p, t)| (p - t).abs())
        .enumerate()
        .find(|(_, distance)| *distance > tolerance)
}

/// Brings the arm to rest where it is; false if its state is not known.
pub fn stop(shared: &Shared, robot: &RobotModel) -> bool {
    let Ok(state) = shared.arm_state(robot, BLIND_S) else {
        return false;
    };
    let command = stopping(&state, robot);
    shared
        .outputs
        .trajectory
        .publish(&convert::trajectory_to_message(&command));
    true
}

/// One point at rest. A controller interpolates to it from the present motion: with the point at half the way that the
/// present speed would go, each joint slows down evenly within its acceleration limit and does not turn back.
fn stopping(state: &ArmState, robot: &RobotModel) -> CommandedTrajectory {
    let limits = &robot.limits;
    let time_s = state
        .velocity
        .iter()
        .zip(&limits.acceleration)
        .map(|(v, a)| v.abs() / a)
        .fold(SHORTEST_STOP_S, f64::max);
    let positions = (0..state.position.len())
        .map(|j| {
            let rest = state.position[j] + 0.5 * time_s * state.velocity[j];
            rest.clamp(
                limits.lower[j].min(state.position[j]),
                limits.upper[j].max(state.position[j]),
            )
        })
        .collect();
    CommandedTrajectory {
        joint_names: robot.kinematics.joint_names().to_vec(),
        points: vec![CommandedPoint {
            time_s,
            positions,
            velocities: vec![0.0; state.position.len()],
            accelerations: Vec::new(),
        }],
        start_in_s: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::robot::toy_robots::shipped;
    use crate::ros::sim::follower::TrajectoryFollower;

    #[test]
    fn a_stop_slows_every_joint_evenly_within_its_limits() {
        let robot = shipped("panda");
        let limits = &robot.limits;
        let middle = |j: usize| 0.5 * (limits.lower[j] + limits.upper[j]);
        let state = ArmState {
            position: (0..limits.dof()).map(middle).collect(),
            velocity: (0..limits.dof())
                .map(|j| limits.velocity[j] * if j % 2 == 0 { 0.9 } else { -0.4 })
                .collect(),
            stamp: 0,
        };
        let command = stopping(&state, &robot);
        controller_rules::check(&command, robot.kinematics.joint_names()).unwrap();
        let mut arm = TrajectoryFollower::new(limits.names.clone(), state.position.clone());
        arm.velocity.clone_from(&state.velocity);
        arm.command(&command, 0.0).unwrap();
        let dt_s = 1e-3;
        let mut before = state.velocity.clone();
        let steps = (command.points[0].time_s / dt_s) as usize;
        for i in 1..=steps {
            arm.step(i as f64 * dt_s);
            for (j, before) in before.iter().enumerate() {
                let (v, joint) = (arm.velocity[j], &limits.names[j]);
                let acceleration = (v - before).abs() / dt_s;
                assert!(
                    acceleration <= 1.001 * limits.acceleration[j],
                    "{joint}: {acceleration}"
                );
                assert!(v * state.velocity[j] >= -1e-9, "{joint} turns back");
            }
            before.clone_from(&arm.velocity);
        }
        arm.step(10.0);
        assert!(!arm.is_moving());
        for (j, &position) in arm.position.iter().enumerate() {
            assert!(limits.lower[j] <= position && position <= limits.upper[j]);
        }
    }

    #[test]
    fn a_resting_arm_is_held_where_it_is() {
        let robot = shipped("panda");
        let position = vec![0.1, -0.5, 0.2, -2.0, 0.1, 1.5, 0.7];
        let state = ArmState {
            velocity: vec![0.0; 7],
            position: position.clone(),
            stamp: 0,
        };
        let command = stopping(&state, &robot);
        assert_eq!(command.points.len(), 1);
        assert_eq!(command.points[0].positions, position);
        assert!(command.points[0].time_s > 0.0);
    }

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
