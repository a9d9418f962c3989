//! The controller behind its topic, which carries no answer: what it did is read from `joint_states`.

use super::arm_monitor::ArmMonitor;
use super::convert;
use super::execution::{stop, Motion};
use super::failure::Failure;
use super::state::{ArmState, TimeNs};
use std::thread;
use std::time::Duration;

/// How often the arm is looked at.
const PERIOD: Duration = Duration::from_millis(10);

/// Publishes the trajectory and waits until the arm has arrived.
///
/// # Errors
/// See [`super::execution::execute`].
pub fn follow(motion: &Motion) -> Result<ArmState, Failure> {
    let output = &motion.shared.outputs.trajectory;
    if output.listeners() == 0 {
        return Err(Failure::ControllerUnavailable(format!(
            "nobody listens on the controller's topic '{}'",
            motion.parameters.controller_topic
        )));
    }
    motion.check_start()?;
    let sent = motion.shared.now();
    output.publish(&convert::trajectory_to_message(&motion.command));
    let outcome = watch(motion, sent);
    if outcome.is_err() && motion.parameters.controller_stop_on_cancel {
        stop(motion.shared, motion.robot, motion.parameters);
    }
    outcome
}

fn watch(motion: &Motion, sent: TimeNs) -> Result<ArmState, Failure> {
    let watch = ArmMonitor::start(motion, sent);
    loop {
        thread::sleep(PERIOD);
        motion.goal.check()?;
        let state = watch.look()?;
        if watch.arrival(&state)?.is_some() {
            return Ok(state);
        }
    }
}
