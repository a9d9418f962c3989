//! Trilinear signed distance of sixteen points at once.

use super::trilinear::Cells;
use super::VoxelGrid;
use crate::lanes::{dot, mul_add, scale, splat, splat3, sub, Lanes, Lanes3, ZERO};

/// A voxel grid in f32 about its centre.
#[derive(Clone, Debug)]
pub(super) struct LaneGrid {
    pub center_m: [f64; 3],
    pub half_m: [f64; 3],
    per_spacing: f32,
    size: [usize; 3],
    values: Vec<f32>,
}

impl LaneGrid {
    pub fn new(grid: &VoxelGrid) -> Self {
        let half_m = std::array::from_fn(|k| 0.5 * grid.spacing_m * (grid.size[k] - 1) as f64);
        Self {
            center_m: grid.centre_m(),
            half_m,
            per_spacing: (1.0 / grid.spacing_m) as f32,
            size: grid.size,
            values: grid.values.clone(),
        }
    }

    /// Distance and gradient at points relative to the grid's centre, in the grid's axes. Beyond the grid the
    /// distance to it is added. The lanes that are not `wanted` (bit mask) get that distance alone: a look into the table takes
    /// longer than all else.
    pub fn distance_and_gradient(&self, local: &Lanes3, wanted: u32) -> (Lanes, Lanes3) {
        let half = splat3(self.half_m.map(|v| v as f32));
        let inside: Lanes3 = std::array::from_fn(|k| local[k].fast_max(-half[k]).fast_min(half[k]));
        let place: Lanes3 =
            std::array::from_fn(|k| (inside[k] + half[k]) * splat(self.per_spacing));
        let blend = Cells::new(self.size, &place).blend(self.size, &self.values, wanted);
        let beyond = sub(local, &inside);
        let squared = dot(&beyond, &beyond);
        let inverse = splat(1.0) / squared.fast_max(splat(1e-20)).sqrt();
        let gradient: Lanes3 = std::array::from_fn(|k| {
            // past a face the clamped coordinate no longer moves
            beyond[k]
                .abs()
                .simd_gt(ZERO)
                .select(ZERO, blend.slope[k] * splat(self.per_spacing))
        });
        let outward = scale(&beyond, inverse);
        (
            squared.mul_add(inverse, blend.value),
            mul_add(&outward, splat(1.0), &gradient),
        )
    }
}
