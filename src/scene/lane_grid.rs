//! Trilinear signed distance of sixteen points at once.

use super::VoxelGrid;
use crate::lanes::{
    dot, mul_add, scale, splat, splat3, sub, Lanes, Lanes3, ALL_LANES, LANES, ZERO,
};
use wide::i32x16;

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
        let (value, slope) = self.interpolate(&place, wanted);
        let beyond = sub(local, &inside);
        let squared = dot(&beyond, &beyond);
        let inverse = splat(1.0) / squared.fast_max(splat(1e-20)).sqrt();
        let gradient: Lanes3 = std::array::from_fn(|k| {
            // past a face the clamped coordinate no longer moves
            beyond[k]
                .abs()
                .simd_gt(ZERO)
                .select(ZERO, slope[k] * splat(self.per_spacing))
        });
        let outward = scale(&beyond, inverse);
        (
            squared.mul_add(inverse, value),
            mul_add(&outward, splat(1.0), &gradient),
        )
    }

    /// Values and gradients per grid step at places in grid steps, inside the grid; zero in lanes that are not wanted.
    fn interpolate(&self, place: &Lanes3, wanted: u32) -> (Lanes, Lanes3) {
        let corner: [i32x16; 3] = std::array::from_fn(|k| {
            // A lane without meaning stays inside the table, whatever NaN becomes.
            let last = i32x16::splat(self.size[k] as i32 - 2);
            place[k].fast_trunc_int().max(i32x16::splat(0)).min(last)
        });
        let [fx, fy, fz]: Lanes3 =
            std::array::from_fn(|k| place[k] - Lanes::from_i32x16(corner[k]));
        let [_, ny, nz] = self.size;
        let [by_y, by_z] = [ny, nz].map(|n| i32x16::splat(n as i32));
        let base = ((corner[0] * by_y + corner[1]) * by_z + corner[2]).to_array();
        // The values at the cell's corners, two that are neighbours along z for each of its four edges along z.
        let rows = [0, nz, ny * nz, ny * nz + nz];
        let mut low = [[0f32; LANES]; 4];
        let mut high = [[0f32; LANES]; 4];
        let mut left = wanted & ALL_LANES;
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            for (k, row) in rows.into_iter().enumerate() {
                let first = base[lane] as usize + row;
                let pair = &self.values[first..first + 2];
                (low[k][lane], high[k][lane]) = (pair[0], pair[1]);
            }
        }
        let z: [Lanes; 4] = std::array::from_fn(|k| Lanes::from(high[k]) - Lanes::from(low[k]));
        let [v00, v01, v10, v11]: [Lanes; 4] =
            std::array::from_fn(|k| z[k].mul_add(fz, Lanes::from(low[k])));
        let lerp = |a: Lanes, b: Lanes, f: Lanes| (b - a).mul_add(f, a);
        let (below, above) = (lerp(v00, v01, fy), lerp(v10, v11, fy));
        let by_y = lerp(v01 - v00, v11 - v10, fx);
        let by_z = lerp(lerp(z[0], z[1], fy), lerp(z[2], z[3], fy), fx);
        (lerp(below, above, fx), [above - below, by_y, by_z])
    }
}
