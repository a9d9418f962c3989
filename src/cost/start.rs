//! The measured start configuration.

use super::{Cost, Motion};
use crate::trajectory::{basis, BandedSystem, JointRow};

/// `w/2 |q(0) - q_start|^2`, in rad or m. The optimiser holds the first three control points, so this term stays zero; it is
/// what a breakdown shows as proof, and what pulls a motion to its start where those points are left free.
pub struct StartState {
    start: JointRow,
}

impl StartState {
    pub fn new(start: JointRow) -> Self {
        Self { start }
    }
}

impl Cost for StartState {
    fn name(&self) -> &'static str {
        "start"
    }

    fn on_control_points(
        &self,
        motion: &Motion<'_>,
        weight: f32,
        system: &mut BandedSystem,
    ) -> f32 {
        let weights = basis(0.0);
        let error = motion.spline.weighted(0, weights) - self.start;
        let w = JointRow::splat(weight);
        system.add_sample(0, weights, w * error, w);
        0.5 * weight * (error * error).reduce_add()
    }
}
