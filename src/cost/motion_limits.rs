//! Velocity, acceleration and jerk limits at the motion's own knot spacing.

use super::{Cost, Motion};
use crate::trajectory::{BandedSystem, JointRow, MotionLimits};

/// `w/2 sum_i max(0, |r_i| - ONSET)^2` over the control polygon's differences r of order 1, 2, 3 relative to their limits.
/// The spacing is shortened by the step controller while a motion is free, which makes this term the drive towards
/// time-optimal motion.
pub struct MotionLimitHinge {
    limits: MotionLimits,
}

/// Share of a limit at which the hinge sets in, so that it settles below the limit itself.
const ONSET: f32 = 0.98;

impl MotionLimitHinge {
    pub fn new(limits: MotionLimits) -> Self {
        Self { limits }
    }
}

impl Cost for MotionLimitHinge {
    fn name(&self) -> &'static str {
        "motion_limits"
    }

    fn on_control_points(
        &self,
        motion: &Motion<'_>,
        weight: f32,
        system: &mut BandedSystem,
    ) -> f32 {
        let h = 1.0 / motion.spacing_s;
        let (w, onset) = (JointRow::splat(weight), JointRow::splat(ONSET));
        let mut sum = JointRow::ZERO;
        let mut hinge = |r: JointRow| {
            let excess = (r.abs() - onset).fast_max(JointRow::ZERO);
            sum = (JointRow::splat(0.5) * w * excess).mul_add(excess, sum);
            // Where the hinge is open its curvature is w, elsewhere 0: the sign of the excess as 0 or 1.
            let active = excess.simd_gt(JointRow::ZERO) & w;
            let direction = JointRow::ONE | (r & JointRow::splat(-0.0));
            (w * excess * direction, active)
        };
        let limits = &self.limits;
        system.add_differences(
            motion.spline,
            [-1.0, 1.0],
            limits.inverse_velocity * JointRow::splat(h),
            &mut hinge,
        );
        let scale = limits.inverse_acceleration * JointRow::splat(h * h);
        system.add_differences(motion.spline, [1.0, -2.0, 1.0], scale, &mut hinge);
        let scale = limits.inverse_jerk * JointRow::splat(h * h * h);
        system.add_differences(motion.spline, [-1.0, 3.0, -3.0, 1.0], scale, &mut hinge);
        sum.reduce_add()
    }
}
