//! Watches an arm that follows a trajectory.

use super::execution::Motion;
use super::failure::Failure;
use super::lock;
use super::patience::PAUSED;
use super::state::{seconds_between, ArmState, TimeNs};
use crate::planner::Stage;
use std::time::Duration;

/// Joint states may pause this long during a motion before it is given up: by the node's clock, which a simulation may slow
/// down, and by the machine's, as a simulation that has died stops the node's clock too.
pub const BLIND_S: f64 = 1.0;
const SILENT: Duration = Duration::from_secs(2);
/// A clock that is this much before the start of the motion was set back: nobody knows when the motion ends.
const CLOCK_RESET_S: f64 = 1.0;
/// A measured state may be this much behind the trajectory, or before it: the command, the controller and the joint states
/// take their time, and clocks differ. Within it the arm must be near where it should be.
const BEHIND_S: f64 = 0.3;
const AHEAD_S: f64 = 0.1;
const WINDOW_STEP_S: f64 = 0.02;

/// A motion that the controller has.
pub struct ArmMonitor<'a> {
    motion: &'a Motion<'a>,
    /// The controller began between these two.
    sent: TimeNs,
    accepted: TimeNs,
}

impl<'a> ArmMonitor<'a> {
    /// To be made when the controller is known to have the trajectory that was sent at a time.
    pub fn start(motion: &'a Motion<'a>, sent: TimeNs) -> Self {
        Self {
            motion,
            sent,
            accepted: motion.shared.now(),
        }
    }

    /// Since the controller has begun at the latest.
    pub fn elapsed_s(&self) -> f64 {
        seconds_between(self.accepted, self.motion.shared.now())
    }

    /// The measured state; sends feedback.
    ///
    /// # Errors
    /// [`Failure::Execution`]: no joint states, or the arm is not where the trajectory goes.
    pub fn look(&self) -> Result<ArmState, Failure> {
        let m = self.motion;
        let progress = self.elapsed_s() / m.trajectory.duration_s();
        m.goal.enter(Stage::Execute, progress.min(1.0));
        let silent = if m.parameters.use_sim_time {
            PAUSED
        } else {
            SILENT
        };
        if lock(&m.shared.joint_states).silent_for() > silent {
            return Err(Failure::Execution(format!(
                "during execution: no joint states for {silent:?}"
            )));
        }
        if self.elapsed_s() < -CLOCK_RESET_S {
            return Err(Failure::Execution(format!(
                "the clock was set back by {:.1} s during execution",
                -self.elapsed_s()
            )));
        }
        let state = m
            .shared
            .arm_state(m.robot, BLIND_S)
            .map_err(|error| Failure::Execution(format!("during execution: {error}")))?;
        let tolerance = m.parameters.controller_path_tolerance_rad;
        if tolerance > 0.0 {
            self.check_path(&state, tolerance)?;
        }
        Ok(state)
    }

    /// Whether the arm is at the trajectory's end; None as long as it may still come.
    ///
    /// # Errors
    /// [`Failure::Execution`] where it should have been there.
    pub fn arrival(&self, state: &ArmState) -> Result<Option<()>, Failure> {
        let (m, p) = (self.motion, self.motion.parameters);
        let late_s = self.elapsed_s() - m.trajectory.duration_s();
        if late_s < 0.0 {
            return Ok(None);
        }
        let end = m.trajectory.sample(m.trajectory.duration_s()).position;
        match first_beyond(&state.position, &end, p.controller_goal_tolerance_rad) {
            None => Ok(Some(())),
            Some((j, distance)) if late_s > p.controller_goal_time_tolerance_s => {
                Err(Failure::Execution(format!(
                    "joint '{}' is {distance:.4} away from the end of the trajectory {late_s:.2} s after it was due, the limit is {} (controller.goal_tolerance)",
                    m.robot.kinematics.joint_names()[j], p.controller_goal_tolerance_rad
                )))
            }
            Some(_) => Ok(None),
        }
    }

    fn check_path(&self, state: &ArmState, tolerance: f64) -> Result<(), Failure> {
        let m = self.motion;
        let first_s = seconds_between(self.accepted, state.stamp) - BEHIND_S;
        let last_s = seconds_between(self.sent, state.stamp) + AHEAD_S;
        let steps = ((last_s - first_s) / WINDOW_STEP_S).ceil() as usize;
        let mut nearest = (0, f64::INFINITY);
        for step in 0..=steps {
            let time_s = first_s + (last_s - first_s) * step as f64 / steps as f64;
            let wanted = m
                .trajectory
                .sample(time_s.clamp(0.0, m.trajectory.duration_s()));
            let furthest = furthest(&state.position, &wanted.position);
            if furthest.1 < nearest.1 {
                nearest = furthest;
            }
        }
        match nearest {
            (j, distance) if distance > tolerance => Err(Failure::Execution(format!(
                "joint '{}' is {distance:.4} away from the trajectory, the limit is {tolerance} (controller.path_tolerance)",
                m.robot.kinematics.joint_names()[j]
            ))),
            _ => Ok(()),
        }
    }
}

/// First joint that is further away than the tolerance, and how far.
pub fn first_beyond(position: &[f64], target: &[f64], tolerance: f64) -> Option<(usize, f64)> {
    distances(position, target).find(|(_, distance)| *distance > tolerance)
}

/// The joint that is furthest away, and how far.
fn furthest(position: &[f64], target: &[f64]) -> (usize, f64) {
    distances(position, target).fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a })
}

fn distances<'a>(
    position: &'a [f64],
    target: &'a [f64],
) -> impl Iterator<Item = (usize, f64)> + 'a {
    let each = position.iter().zip(target).map(|(p, t)| (p - t).abs());
    each.enumerate()
}
