//! How much noise a level stands for.

use serde::{Deserialize, Serialize};

/// Geometric noise levels on R^3 x SO(3) about the finger centre.
///
/// `t` runs from 0 (the finest level) to 1 (uniform orientation, positions all over the object's
/// neighbourhood). Rotations are disturbed by IGSO(3) with parameter `sigma(t)` rad, positions by a
/// Gaussian of `sigma(t) * length_m`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseSchedule {
    /// Rotation noise at t = 0, rad.
    pub sigma_min_rad: f32,
    /// Rotation noise at t = 1, rad; 1.7 is uniform on SO(3) but for a few percent.
    pub sigma_max_rad: f32,
    /// Translation noise that goes with one radian, m.
    pub length_m: f32,
}

impl Default for NoiseSchedule {
    fn default() -> Self {
        Self {
            sigma_min_rad: 0.04,
            sigma_max_rad: 1.7,
            length_m: 0.08,
        }
    }
}

impl NoiseSchedule {
    /// Rotation noise of a level, rad.
    pub fn sigma(&self, t: f32) -> f32 {
        self.sigma_min_rad * (self.sigma_max_rad / self.sigma_min_rad).powf(t)
    }

    /// Translation noise of a level, m.
    pub fn sigma_m(&self, t: f32) -> f32 {
        self.sigma(t) * self.length_m
    }

    /// The level with this rotation noise; outside 0..1 beyond the schedule's ends.
    pub fn level(&self, sigma_rad: f32) -> f32 {
        (sigma_rad / self.sigma_min_rad).ln() / (self.sigma_max_rad / self.sigma_min_rad).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_inverts_sigma_and_the_ends_are_the_limits() {
        let schedule = NoiseSchedule::default();
        assert!(
            (schedule.sigma(0.0) - 0.04).abs() < 1e-7 && (schedule.sigma(1.0) - 1.7).abs() < 1e-5
        );
        for t in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert!((schedule.level(schedule.sigma(t)) - t).abs() < 1e-5);
        }
        assert!((schedule.sigma_m(1.0) - 0.136).abs() < 1e-4);
    }
}
