//! Position limits of the joints, on the control points: the curve lies in their hull.

use super::{Cost, Motion};
use crate::trajectory::{BandedSystem, JointRow};

/// `w/2 sum_i max(0, lower + CUSHION - x_i)^2 + max(0, x_i - upper + CUSHION)^2`, in rad or m.
pub struct JointLimitHinge {
    lower: JointRow,
    upper: JointRow,
}

/// The hinge sets in this far inside a limit [rad or m].
const CUSHION: f32 = 0.01;

impl JointLimitHinge {
    /// Limits by joint; lanes without a joint must hold a range around zero.
    pub fn new(lower: JointRow, upper: JointRow) -> Self {
        let cushion = JointRow::splat(CUSHION);
        Self {
            lower: lower + cushion,
            upper: upper - cushion,
        }
    }
}

impl Cost for JointLimitHinge {
    fn name(&self) -> &'static str {
        "joint_limits"
    }

    fn on_control_points(
        &self,
        motion: &Motion<'_>,
        weight: f32,
        system: &mut BandedSystem,
    ) -> f32 {
        let w = JointRow::splat(weight);
        let mut sum = JointRow::ZERO;
        for (i, &x) in motion.spline.points.iter().enumerate() {
            let below = (self.lower - x).fast_max(JointRow::ZERO);
            let above = (x - self.upper).fast_max(JointRow::ZERO);
            let excess = above - below;
            sum = (JointRow::splat(0.5) * w * excess).mul_add(excess, sum);
            system.gradient[i] = w.mul_add(excess, system.gradient[i]);
            let active = excess.abs().simd_gt(JointRow::ZERO) & w;
            system.metric[i][0] += active;
        }
        sum.reduce_add()
    }
}
