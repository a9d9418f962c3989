//! Trilinear signed distance of sixteen points at once.

use super::VoxelGrid;
use crate::lanes::{dot, mul_add, scale, splat, splat3, sub, Lanes, Lanes3, LANES, ZERO};

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
        let place = place.map(|v| v.to_array());
        let mut distance = [0f32; LANES];
        let mut slope = [[0f32; LANES]; 3];
        for lane in (0..LANES).filter(|lane| wanted >> lane & 1 == 1) {
            let (value, gradient) = self.interpolate(std::array::from_fn(|k| place[k][lane]));
            distance[lane] = value;
            for k in 0..3 {
                slope[k][lane] = gradient[k] * self.per_spacing;
            }
        }
        let beyond = sub(local, &inside);
        let squared = dot(&beyond, &beyond);
        let inverse = splat(1.0) / squared.fast_max(splat(1e-20)).sqrt();
        let gradient: Lanes3 = std::array::from_fn(|k| {
            // past a face the clamped coordinate no longer moves
            beyond[k]
                .abs()
                .simd_gt(ZERO)
                .select(ZERO, Lanes::from(slope[k]))
        });
        let outward = scale(&beyond, inverse);
        (
            squared.mul_add(inverse, Lanes::from(distance)),
            mul_add(&outward, splat(1.0), &gradient),
        )
    }

    /// Value and gradient per grid step at a place in grid steps, inside the grid.
    fn interpolate(&self, place: [f32; 3]) -> (f32, [f32; 3]) {
        // `as` takes NaN to 0, so that a lane without meaning stays inside the table
        let corner: [usize; 3] = std::array::from_fn(|k| (place[k] as usize).min(self.size[k] - 2));
        let [fx, fy, fz]: [f32; 3] = std::array::from_fn(|k| place[k] - corner[k] as f32);
        let [_, ny, nz] = self.size;
        let base = (corner[0] * ny + corner[1]) * nz + corner[2];
        let row = |offset: usize| {
            let (a, b) = (self.values[base + offset], self.values[base + offset + 1]);
            (a + (b - a) * fz, b - a)
        };
        let [(v00, z00), (v01, z01), (v10, z10), (v11, z11)] =
            [row(0), row(nz), row(ny * nz), row(ny * nz + nz)];
        let lerp = |a: f32, b: f32, f: f32| a + (b - a) * f;
        let (low, high) = (lerp(v00, v01, fy), lerp(v10, v11, fy));
        let by_y = lerp(v01 - v00, v11 - v10, fx);
        let by_z = lerp(lerp(z00, z01, fy), lerp(z10, z11, fy), fx);
        (lerp(low, high, fx), [high - low, by_y, by_z])
    }
}
