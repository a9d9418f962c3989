//! The measured joint positions, merged by joint name from any number of publishers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Time by the node's clock, nanoseconds.
pub type TimeNs = i64;

/// Seconds from `from` to `to`.
pub fn seconds_between(from: TimeNs, to: TimeNs) -> f64 {
    (to - from) as f64 * 1e-9
}

/// A clock that jumps back by more than this was set, or a simulation was restarted.
const CLOCK_RESET_S: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    position: f64,
    velocity: f64,
    stamp: TimeNs,
}

/// Position and velocity of the planned joints at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmState {
    /// rad or m, in the order of the joints asked for
    pub position: Vec<f64>,
    /// rad/s or m/s; measured, or the difference of the last two positions
    pub velocity: Vec<f64>,
    /// Stamp of the oldest of the joints.
    pub stamp: TimeNs,
}

/// Why no state can be given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StateError {
    #[error("no joint state received yet; is anything published on joint_states, or on what it is remapped to?")]
    Nothing,
    #[error("joint '{joint}' is missing from the joint states received so far: {known}")]
    Missing { joint: String, known: String },
    #[error("the state of joint '{joint}' is {age_s:.3} s old, the limit is {limit_s} s")]
    Stale {
        joint: String,
        age_s: f64,
        limit_s: f64,
    },
}

/// Last known state of every joint that any publisher mentions.
#[derive(Default)]
pub struct JointStates {
    samples: HashMap<String, Sample>,
    /// Of the last message, by the machine's clock.
    arrived: Option<Instant>,
}

impl JointStates {
    /// Takes a message's joints. Entries without a finite position are ignored, and so are those older than what is
    /// known: messages of two publishers may overtake each other. `velocities` may be empty.
    pub fn update(
        &mut self,
        names: &[String],
        positions: &[f64],
        velocities: &[f64],
        stamp: TimeNs,
    ) {
        self.arrived = Some(Instant::now());
        for (i, (name, &position)) in names.iter().zip(positions).enumerate() {
            if !position.is_finite() {
                continue;
            }
            let last = self.samples.get(name).copied();
            let velocity = match velocities.get(i).copied().filter(|v| v.is_finite()) {
                Some(velocity) => velocity,
                None => last.map_or(0.0, |last| last.velocity_to(position, stamp)),
            };
            let late = last.is_some_and(|last| {
                stamp < last.stamp && seconds_between(stamp, last.stamp) < CLOCK_RESET_S
            });
            if !late {
                let sample = Sample {
                    position,
                    velocity,
                    stamp,
                };
                // The name is copied once per joint, not per message.
                match self.samples.get_mut(name) {
                    Some(known) => *known = sample,
                    None => drop(self.samples.insert(name.clone(), sample)),
                }
            }
        }
    }

    /// The state of `joints`, none older than `max_age_s`.
    ///
    /// # Errors
    /// [`StateError`], naming the joint.
    pub fn read(
        &self,
        joints: &[String],
        now: TimeNs,
        max_age_s: f64,
    ) -> Result<ArmState, StateError> {
        if self.samples.is_empty() {
            return Err(StateError::Nothing);
        }
        let mut state = ArmState {
            position: Vec::with_capacity(joints.len()),
            velocity: Vec::with_capacity(joints.len()),
            stamp: now,
        };
        for joint in joints {
            let sample = self.samples.get(joint).ok_or_else(|| StateError::Missing {
                joint: joint.clone(),
                known: self.known_names(),
            })?;
            let age_s = seconds_between(sample.stamp, now);
            if age_s > max_age_s {
                return Err(StateError::Stale {
                    joint: joint.clone(),
                    age_s,
                    limit_s: max_age_s,
                });
            }
            state.position.push(sample.position);
            state.velocity.push(sample.velocity);
            state.stamp = state.stamp.min(sample.stamp);
        }
        Ok(state)
    }

    /// Since the last message, by the machine's clock.
    pub fn silent_for(&self) -> Duration {
        self.arrived.map_or(Duration::MAX, |at| at.elapsed())
    }

    /// Age of the oldest of `joints` in seconds, None if one is unknown.
    pub fn age_s(&self, joints: &[String], now: TimeNs) -> Option<f64> {
        joints.iter().try_fold(0.0, |oldest: f64, joint| {
            let sample = self.samples.get(joint)?;
            Some(oldest.max(seconds_between(sample.stamp, now)))
        })
    }

    fn known_names(&self) -> String {
        let mut names: Vec<&str> = self.samples.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.join(", ")
    }
}

impl Sample {
    fn velocity_to(&self, position: f64, stamp: TimeNs) -> f64 {
        match seconds_between(self.stamp, stamp) {
            dt if dt > 1e-6 => (position - self.position) / dt,
            _ => self.velocity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: TimeNs = 1_000_000_000;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn joints_are_merged_by_name_from_several_publishers() {
        let mut states = JointStates::default();
        states.update(
            &names(&["b", "finger", "a"]),
            &[2.0, 9.0, 1.0],
            &[0.2, 0.0, 0.1],
            S,
        );
        states.update(&names(&["c"]), &[3.0], &[0.3], S + S / 10);
        let state = states
            .read(&names(&["a", "b", "c"]), S + S / 5, 0.5)
            .unwrap();
        assert_eq!(state.position, [1.0, 2.0, 3.0]);
        assert_eq!(state.velocity, [0.1, 0.2, 0.3]);
        assert_eq!(state.stamp, S);
    }

    #[test]
    fn missing_and_stale_joints_are_named() {
        let mut states = JointStates::default();
        assert_eq!(
            states.read(&names(&["a"]), S, 1.0),
            Err(StateError::Nothing)
        );
        states.update(&names(&["a", "b"]), &[1.0, f64::NAN], &[], S);
        let missing = states.read(&names(&["a", "b"]), S, 1.0).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "joint 'b' is missing from the joint states received so far: a"
        );
        let stale = states.read(&names(&["a"]), 3 * S, 1.0).unwrap_err();
        assert_eq!(
            stale.to_string(),
            "the state of joint 'a' is 2.000 s old, the limit is 1 s"
        );
    }

    #[test]
    fn late_messages_are_ignored_but_a_clock_reset_is_not() {
        let mut states = JointStates::default();
        let a = names(&["a"]);
        states.update(&a, &[1.0], &[0.0], 10 * S);
        states.update(&a, &[2.0], &[0.0], 10 * S - S / 10);
        assert_eq!(states.read(&a, 10 * S, 1.0).unwrap().position, [1.0]);
        states.update(&a, &[3.0], &[0.0], 2 * S);
        assert_eq!(states.read(&a, 2 * S, 1.0).unwrap().position, [3.0]);
    }

    #[test]
    fn velocity_is_estimated_where_it_is_not_measured() {
        let mut states = JointStates::default();
        let a = names(&["a"]);
        states.update(&a, &[1.0], &[], S);
        states.update(&a, &[1.5], &[], S + S / 2);
        let velocity = states.read(&a, S + S / 2, 1.0).unwrap().velocity[0];
        assert!((velocity - 1.0).abs() < 1e-9);
    }
}
