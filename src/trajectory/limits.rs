//! Limits of joint motion, and the smallest knot spacing that keeps a spline inside them.

use super::joint_row::{JointRow, MAX_JOINTS};
use super::spline::{largest, Spline};

/// Velocity, acceleration and jerk limits by joint, as inverses (lanes without a joint hold zero and never bind).
#[derive(Debug, Clone, Copy)]
pub struct MotionLimits {
    /// 1 / (rad/s or m/s).
    pub inverse_velocity: JointRow,
    /// 1 / (rad/s^2 or m/s^2).
    pub inverse_acceleration: JointRow,
    /// 1 / (rad/s^3 or m/s^3).
    pub inverse_jerk: JointRow,
}

/// The spacing [s] that each kind of limit asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpacingBound {
    pub velocity_s: f32,
    pub acceleration_s: f32,
    pub jerk_s: f32,
}

impl SpacingBound {
    /// The spacing that satisfies all three.
    pub fn spacing_s(&self) -> f32 {
        self.velocity_s.max(self.acceleration_s).max(self.jerk_s)
    }
}

impl MotionLimits {
    /// Limits `[D]` in SI units, all positive, `D` at most [`MAX_JOINTS`].
    pub fn new(velocity: &[f64], acceleration: &[f64], jerk: &[f64]) -> Self {
        let inverse = |limits: &[f64]| {
            let mut row = [0.0f32; 16];
            for (r, &limit) in row.iter_mut().zip(&limits[..limits.len().min(MAX_JOINTS)]) {
                *r = (1.0 / limit) as f32;
            }
            JointRow::new(row)
        };
        Self {
            inverse_velocity: inverse(velocity),
            inverse_acceleration: inverse(acceleration),
            inverse_jerk: inverse(jerk),
        }
    }

    /// The same limits with velocity scaled by `velocity`, acceleration and jerk by `acceleration`, both in (0, 1].
    pub fn scaled(&self, velocity: f64, acceleration: f64) -> Self {
        let by = |row: JointRow, factor: f64| row * JointRow::splat((1.0 / factor) as f32);
        Self {
            inverse_velocity: by(self.inverse_velocity, velocity),
            inverse_acceleration: by(self.inverse_acceleration, acceleration),
            inverse_jerk: by(self.inverse_jerk, acceleration),
        }
    }

    /// Smallest spacings for which the control polygon's differences, and with them the whole curve, obey the limits:
    /// |D1 x| <= v dt, |D2 x| <= a dt^2, |D3 x| <= j dt^3. The last two are exact, the first is a hull bound.
    pub fn spacing(&self, spline: &Spline) -> SpacingBound {
        self.spacing_of(&spline.points)
    }

    /// The same for what follows the first span, whose limits a moving start accounts for by itself.
    pub(super) fn spacing_after_lead(&self, spline: &Spline) -> SpacingBound {
        SpacingBound {
            velocity_s: self.spacing_of(&spline.points[2..]).velocity_s,
            ..self.spacing_of(&spline.points[1..])
        }
    }

    #[inline]
    fn spacing_of(&self, x: &[JointRow]) -> SpacingBound {
        let zero = JointRow::ZERO;
        let (mut velocity, mut acceleration, mut jerk) = (zero, zero, zero);
        let (mut d1, mut d2) = (x[1] - x[0], zero);
        for i in 1..x.len() {
            let next1 = x[i] - x[i - 1];
            velocity = velocity.fast_max(next1.abs());
            if i >= 2 {
                let next2 = next1 - d1;
                acceleration = acceleration.fast_max(next2.abs());
                if i >= 3 {
                    jerk = jerk.fast_max((next2 - d2).abs());
                }
                d2 = next2;
            }
            d1 = next1;
        }
        SpacingBound {
            velocity_s: largest(velocity * self.inverse_velocity),
            acceleration_s: largest(acceleration * self.inverse_acceleration).sqrt(),
            jerk_s: largest(jerk * self.inverse_jerk).cbrt(),
        }
    }
}

/// The shortest time [s] of a straight motion from rest to rest under velocity and acceleration limits alone: a lower
/// bound for every motion between the two configurations.
pub fn rest_to_rest_duration_s(from: JointRow, to: JointRow, limits: &MotionLimits) -> f32 {
    let distance = (to - from).abs().to_array();
    let (iv, ia) = (
        limits.inverse_velocity.to_array(),
        limits.inverse_acceleration.to_array(),
    );
    let mut duration = 0.0f32;
    for j in 0..MAX_JOINTS {
        if iv[j] == 0.0 || ia[j] == 0.0 {
            continue;
        }
        let reaches_full_speed = distance[j] * iv[j] * iv[j] > ia[j];
        duration = duration.max(if reaches_full_speed {
            distance[j] * iv[j] + ia[j] / iv[j]
        } else {
            2.0 * (distance[j] * ia[j]).sqrt()
        });
    }
    duration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_bound_matches_the_trapezoid() {
        let limits = MotionLimits::new(&[2.0], &[4.0], &[100.0]);
        let row = |x: f32| {
            let mut v = [0.0; 16];
            v[0] = x;
            JointRow::new(v)
        };
        // 3 rad at 2 rad/s with 0.5 s ramps: 3/2 + 2/4 s.
        assert!((rest_to_rest_duration_s(row(0.0), row(3.0), &limits) - 2.0).abs() < 1e-6);
        // 0.25 rad never reaches full speed: 2 sqrt(0.25/4).
        assert!((rest_to_rest_duration_s(row(0.0), row(0.25), &limits) - 0.5).abs() < 1e-6);
        // Half the velocity limit, a quarter of the acceleration limit.
        let slow = limits.scaled(0.5, 0.25);
        assert!((rest_to_rest_duration_s(row(0.0), row(3.0), &slow) - 4.0).abs() < 1e-5);
    }
}
