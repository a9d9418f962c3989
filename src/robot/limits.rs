//! Joint limits.

use rand::{Rng, RngExt};

use super::RobotError;
use crate::lanes::{Lanes, LANES};

/// Limits of the planned joints, in their order; every vector has length D. rad or m, per s, s^2, s^3.
#[derive(Clone, Debug, PartialEq)]
pub struct JointLimits {
    pub names: Vec<String>,
    /// Continuous joints get one turn each way.
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    pub velocity: Vec<f64>,
    pub acceleration: Vec<f64>,
    pub jerk: Vec<f64>,
    /// Joints without an end stop.
    pub continuous: Vec<bool>,
}

/// The first limit a configuration breaks.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitViolation {
    pub joint: String,
    pub value: f64,
    pub lower: f64,
    pub upper: f64,
}

impl JointLimits {
    /// Number of joints D.
    pub fn dof(&self) -> usize {
        self.names.len()
    }

    /// Range of joint `j` that random configurations are drawn from: one turn for continuous joints.
    pub fn sampling_range(&self, j: usize) -> (f64, f64) {
        if self.continuous[j] {
            let pi = std::f64::consts::PI;
            return (self.lower[j].max(-pi), self.upper[j].min(pi));
        }
        (self.lower[j], self.upper[j])
    }

    /// Fills `q` (length D) with sixteen configurations drawn evenly between the joint limits.
    pub fn draw_lanes<R: Rng + ?Sized>(&self, rng: &mut R, q: &mut [Lanes]) {
        for (j, value) in q.iter_mut().enumerate() {
            let (low, high) = self.sampling_range(j);
            *value = Lanes::from(std::array::from_fn::<f32, LANES, _>(|_| {
                rng.random_range(low..high) as f32
            }));
        }
    }

    /// The first joint outside its position limits by more than `tolerance` (rad or m), or not finite.
    pub fn violation(&self, q: &[f64], tolerance: f64) -> Option<LimitViolation> {
        q.iter().enumerate().find_map(|(j, &value)| {
            let inside = value >= self.lower[j] - tolerance && value <= self.upper[j] + tolerance;
            (!inside).then(|| LimitViolation {
                joint: self.names[j].clone(),
                value,
                lower: self.lower[j],
                upper: self.upper[j],
            })
        })
    }

    /// Refuses empty ranges and limits that are not positive and finite.
    pub(super) fn validate(&self) -> Result<(), RobotError> {
        for (j, name) in self.names.iter().enumerate() {
            let refuse = |what, value, allowed: String| {
                Err(RobotError::Limit {
                    joint: name.clone(),
                    what,
                    value,
                    allowed,
                })
            };
            let (lower, upper) = (self.lower[j], self.upper[j]);
            if !(lower.is_finite() && upper.is_finite() && lower < upper) {
                return refuse(
                    "lower limit",
                    lower,
                    format!("it must be finite and below the upper limit {upper}"),
                );
            }
            for (what, value) in [
                ("velocity limit", self.velocity[j]),
                ("acceleration limit", self.acceleration[j]),
                ("jerk limit", self.jerk[j]),
            ] {
                if !(value.is_finite() && value > 0.0) {
                    let hint = "it must be greater than 0; give it in the URDF or in the settings' joint_limits";
                    return refuse(what, value, hint.into());
                }
            }
        }
        Ok(())
    }
}
