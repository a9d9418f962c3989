//! Smoothness: half squared velocity and acceleration of the control polygon, relative to the limits.

use super::{Cost, Motion};
use crate::trajectory::{BandedSystem, JointRow, MotionLimits};

/// `w/2 sum_i (D2 x_i / (a dt^2))^2 + VELOCITY_SHARE w/2 sum_i (D1 x_i / (v dt))^2`. Measured against the limits it has no
/// unit, needs no weight by robot, and keeps the metric well conditioned where no limit binds.
pub struct Smoothness {
    limits: MotionLimits,
}

/// Velocity counts less than acceleration: a fast motion is wanted, a jerky one is not.
const VELOCITY_SHARE: f32 = 0.3;

impl Smoothness {
    pub fn new(limits: MotionLimits) -> Self {
        Self { limits }
    }
}

impl Cost for Smoothness {
    fn name(&self) -> &'static str {
        "smoothness"
    }

    fn on_control_points(
        &self,
        motion: &Motion<'_>,
        weight: f32,
        system: &mut BandedSystem,
    ) -> f32 {
        let dt = motion.spacing_s;
        let mut sum = JointRow::ZERO;
        let half_square = |share: f32| {
            let w = JointRow::splat(weight * share);
            move |r: JointRow, sum: &mut JointRow| {
                *sum = (JointRow::splat(0.5) * w * r).mul_add(r, *sum);
                (w * r, w)
            }
        };
        let (velocity, acceleration) = (half_square(VELOCITY_SHARE), half_square(1.0));
        let scale = self.limits.inverse_velocity * JointRow::splat(1.0 / dt);
        system.add_differences(motion.spline, [-1.0, 1.0], scale, |r| velocity(r, &mut sum));
        let scale = self.limits.inverse_acceleration * JointRow::splat(1.0 / (dt * dt));
        system.add_differences(motion.spline, [1.0, -2.0, 1.0], scale, |r| {
            acceleration(r, &mut sum)
        });
        sum.reduce_add()
    }
}
