//! Reading an object's grids between their samples, sixteen query points at a time.

use nalgebra::Vector3;

use crate::lanes::{load, splat, Lanes, Lanes3, ALL_LANES, ZERO};
use crate::scene::trilinear::{rows, Blend, Cells};

/// Values on a regular grid, one or more at each point; z runs fastest.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub origin_m: Vector3<f32>,
    pub spacing_m: f32,
    /// Points along x, y, z; at least 2 each.
    pub size: [usize; 3],
    pub values: Vec<f32>,
}

/// Where sixteen points are in a grid.
pub(super) struct Places {
    /// Of the nearest places inside.
    pub cells: Cells,
    /// 1 / spacing inside the grid, 0 along an axis beyond it.
    pub rate: Lanes3,
    /// From the grid to the point, m.
    outside: Lanes3,
}

impl Grid {
    #[inline(always)]
    pub fn places(&self, point: &Lanes3) -> Places {
        let inverse_spacing = splat(self.spacing_m.recip());
        let (mut inside, mut rate, mut outside) = ([ZERO; 3], [ZERO; 3], [ZERO; 3]);
        for axis in 0..3 {
            let place = (point[axis] - splat(self.origin_m[axis])) * inverse_spacing;
            let last = splat((self.size[axis] - 1) as f32);
            inside[axis] = place.fast_max(ZERO).fast_min(last);
            rate[axis] = place.simd_eq(inside[axis]) & inverse_spacing;
            outside[axis] = (place - inside[axis]) * splat(self.spacing_m);
        }
        Places {
            cells: Cells::new(self.size, &inside),
            rate,
            outside,
        }
    }

    /// Distances and their gradients in a grid of one value a point, extended beyond the grid by the way to it.
    #[inline(always)]
    pub fn distances_at(&self, point: &Lanes3) -> (Lanes, Lanes3) {
        let places = self.places(point);
        let blend = places.cells.blend(self.size, &self.values, ALL_LANES);
        let mut gradient = [0, 1, 2].map(|axis| blend.slope[axis] * places.rate[axis]);
        let [ox, oy, oz] = places.outside;
        let squared = ox.mul_add(ox, oy.mul_add(oy, oz * oz));
        let mut distance = blend.value;
        if squared.simd_gt(ZERO).any() {
            let out = squared.sqrt();
            distance += out;
            let inverse = out.simd_gt(ZERO) & (splat(1.0) / out);
            for (slope, outside) in gradient.iter_mut().zip(places.outside) {
                *slope = outside.mul_add(inverse, *slope);
            }
        }
        (distance, gradient)
    }

    /// Sixteen channels from `channel` on at one point: value and slopes along x, y, z per m.
    ///
    /// `base`, `fraction` and `rate` are those of the point in [`Grid::places`].
    #[inline(always)]
    pub fn channels_at(
        &self,
        base: usize,
        [channels, channel]: [usize; 2],
        fraction: [f32; 3],
        rate: [f32; 3],
    ) -> (Lanes, Lanes3) {
        let rows = rows(self.size);
        let corner = |row: usize, z: usize| {
            load(&self.values[(base + rows[row] + z) * channels + channel..])
        };
        let low: [Lanes; 4] = std::array::from_fn(|row| corner(row, 0));
        let along_z: [Lanes; 4] = std::array::from_fn(|row| corner(row, 1) - low[row]);
        let blend = Blend::new(fraction.map(splat), &low, &along_z);
        let slopes = [0, 1, 2].map(|axis| blend.slope[axis] * splat(rate[axis]));
        (blend.value, slopes)
    }
}
