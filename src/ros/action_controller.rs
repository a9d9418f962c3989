//! The controller behind its action, control_msgs/FollowJointTrajectory.

use super::action_client::{Outcome, PeerFault};
use super::arm_monitor::{first_beyond, ArmMonitor, BLIND_S};
use super::convert;
use super::execution::Motion;
use super::failure::Failure;
use super::goal_registry::GoalStatus;
use super::state::ArmState;
use r2r::control_msgs::action::FollowJointTrajectory;
use r2r::control_msgs::msg::JointTolerance;
use std::time::Duration;

/// The controller may report its end this much after its own tolerance.
const REPORT_MARGIN_S: f64 = 2.0;
/// Joint states may show the arrival this much after the controller reported it.
const ARRIVAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Sends the trajectory as a goal and waits for the controller's result; success counts when the joint states agree.
///
/// # Errors
/// See [`super::execution::execute`].
pub fn follow(motion: &Motion) -> Result<ArmState, Failure> {
    let (client, p) = (&motion.shared.controller_action, motion.parameters);
    client.find(motion.goal).map_err(failure)?;
    motion.check_start()?;
    let latest_s =
        motion.trajectory.duration_s() + p.controller_goal_time_tolerance_s + REPORT_MARGIN_S;
    let sent = motion.shared.now();
    let mut watch = None;
    let outcome = client.perform(
        goal_message(motion),
        motion.goal,
        p.controller_stop_on_cancel,
        || {
            let watch = watch.get_or_insert_with(|| ArmMonitor::start(motion, sent));
            watch.look()?;
            match watch.elapsed_s() {
                elapsed_s if elapsed_s > latest_s => Err(Failure::Execution(format!(
                    "the controller has not ended its goal after {elapsed_s:.1} s, it was due after {:.1} s",
                    motion.trajectory.duration_s()
                ))),
                _ => Ok(()),
            }
        },
    );
    let ended = check_outcome(&outcome.map_err(failure)?);
    if ended.is_err() {
        // `~/stop` ends our goal and the controller's: whichever is heard of first, it is the reason.
        motion.goal.check()?;
    }
    ended?;
    arrived(motion)
}

/// What a fault of the controller's action server means for our goal.
fn failure(fault: PeerFault) -> Failure {
    let reason = format!("the controller's {fault}");
    match fault {
        PeerFault::Ended(failure) => failure,
        PeerFault::Absent(_) | PeerFault::Silent(_) => Failure::ControllerUnavailable(reason),
        PeerFault::Rejected(_) => Failure::ControllerRejected(reason),
        PeerFault::Gone(_) | PeerFault::Ros(_) => Failure::Execution(reason),
    }
}

fn goal_message(motion: &Motion) -> FollowJointTrajectory::Goal {
    let p = motion.parameters;
    let tolerances = |position: f64| {
        let joints = motion.command.joint_names.iter();
        joints
            .map(|name| JointTolerance {
                name: name.clone(),
                position,
                ..Default::default()
            })
            .collect()
    };
    FollowJointTrajectory::Goal {
        trajectory: convert::trajectory_to_message(&motion.command),
        path_tolerance: match p.controller_path_tolerance_rad {
            // Left out, the controller's own holds; a zero says the same.
            0.0 => Vec::new(),
            tolerance => tolerances(tolerance),
        },
        goal_tolerance: tolerances(p.controller_goal_tolerance_rad),
        goal_time_tolerance: convert::duration_to_message(p.controller_goal_time_tolerance_s),
        ..Default::default()
    }
}

/// Success, or the controller's own code and words.
fn check_outcome(outcome: &Outcome<FollowJointTrajectory::Result>) -> Result<(), Failure> {
    type R = FollowJointTrajectory::Result;
    let (code, words) = (outcome.result.error_code, &outcome.result.error_string);
    let succeeded = outcome.status == GoalStatus::Succeeded;
    if succeeded && code == R::SUCCESSFUL as i32 {
        return Ok(());
    }
    let names = [
        (R::INVALID_GOAL as i32, "INVALID_GOAL"),
        (R::INVALID_JOINTS as i32, "INVALID_JOINTS"),
        (R::OLD_HEADER_TIMESTAMP as i32, "OLD_HEADER_TIMESTAMP"),
        (R::PATH_TOLERANCE_VIOLATED as i32, "PATH_TOLERANCE_VIOLATED"),
        (R::GOAL_TOLERANCE_VIOLATED as i32, "GOAL_TOLERANCE_VIOLATED"),
    ];
    let name = names.iter().find(|(known, _)| *known == code);
    let name = name.map_or("no known error", |(_, name)| name);
    let reason = format!(
        "the controller ended its goal with status {:?}, error code {code} ({name}): {words}",
        outcome.status
    );
    // INVALID_GOAL is also what a goal ends with that another took over from: the arm may have moved.
    let never_moved = code == R::INVALID_JOINTS as i32 || code == R::OLD_HEADER_TIMESTAMP as i32;
    Err(match never_moved {
        true => Failure::ControllerRejected(reason),
        false => Failure::Execution(reason),
    })
}

/// The measured state at the end, once it agrees with what the controller said.
fn arrived(motion: &Motion) -> Result<ArmState, Failure> {
    let p = motion.parameters;
    let end = motion
        .trajectory
        .sample(motion.trajectory.duration_s())
        .position;
    let tolerance = p.controller_goal_tolerance_rad;
    let state = || motion.shared.arm_state(motion.robot, BLIND_S);
    let near = motion.goal.wait(ARRIVAL_TIMEOUT, || {
        let state = state().ok()?;
        first_beyond(&state.position, &end, tolerance)
            .is_none()
            .then_some(state)
    })?;
    if let Some(state) = near {
        return Ok(state);
    }
    let state = state().map_err(|error| Failure::Execution(format!("after execution: {error}")))?;
    match first_beyond(&state.position, &end, tolerance) {
        None => Ok(state),
        Some((j, distance)) => Err(Failure::Execution(format!(
            "the controller reports success, but joint '{}' is {distance:.4} away from the end of the trajectory, the limit is {tolerance} (controller.goal_tolerance)",
            motion.robot.kinematics.joint_names()[j]
        ))),
    }
}
