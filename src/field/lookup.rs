//! Reading an object's grids between their samples, sixteen query points at a time.

use nalgebra::Vector3;

use crate::lanes::{load, splat, Lanes, Lanes3, LANES, ZERO};
use wide::i32x16;

/// Values on a regular grid, one or more at each point; z runs fastest.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub origin_m: Vector3<f32>,
    pub spacing_m: f32,
    /// Points along x, y, z; at least 2 each.
    pub size: [usize; 3],
    pub values: Vec<f32>,
}

/// Cells of a grid that hold sixteen points, and the places of the points in them.
pub(super) struct Cells {
    /// Index of the lowest corner.
    pub base: [i32; LANES],
    /// 0..1 along each axis.
    pub fraction: Lanes3,
    /// 1 / spacing inside the grid, 0 along an axis beyond it.
    pub rate: Lanes3,
    /// From the grid to the point, m.
    outside: Lanes3,
}

impl Grid {
    #[inline(always)]
    pub fn cells(&self, place: &Lanes3) -> Cells {
        let inverse_spacing = splat(self.spacing_m.recip());
        let mut cells = Cells {
            base: [0; LANES],
            fraction: [ZERO; 3],
            rate: [ZERO; 3],
            outside: [ZERO; 3],
        };
        let mut base = i32x16::ZERO;
        for axis in 0..3 {
            let place = (place[axis] - splat(self.origin_m[axis])) * inverse_spacing;
            let clamped = place
                .fast_max(ZERO)
                .fast_min(splat((self.size[axis] - 1) as f32));
            // Bounded as integers too: a coordinate that is not a number has no meaningful cell.
            let corner = clamped
                .fast_trunc_int()
                .max(i32x16::ZERO)
                .min(i32x16::splat(self.size[axis] as i32 - 2));
            cells.fraction[axis] = clamped - Lanes::from_i32x16(corner);
            cells.rate[axis] = place.simd_eq(clamped) & inverse_spacing;
            cells.outside[axis] = (place - clamped) * splat(self.spacing_m);
            base = base * i32x16::splat(self.size[axis] as i32) + corner;
        }
        cells.base = base.to_array();
        cells
    }

    /// Offsets of the four z rows of a cell: (0,0), (0,1), (1,0), (1,1) along x, y.
    #[inline(always)]
    pub fn rows(&self) -> [usize; 4] {
        let (x, y) = (self.size[1] * self.size[2], self.size[2]);
        [0, y, x, x + y]
    }

    /// Distances and their gradients in a grid of one value a point, extended beyond the grid by the way to it.
    #[inline(always)]
    pub fn distances_at(&self, place: &Lanes3) -> (Lanes, Lanes3) {
        let cells = self.cells(place);
        let rows = self.rows();
        let (mut low, mut high) = ([[0f32; LANES]; 4], [[0f32; LANES]; 4]);
        for lane in 0..LANES {
            for (row, offset) in rows.iter().enumerate() {
                let at = cells.base[lane] as usize + offset;
                if let [a, b] = self.values[at..at + 2] {
                    (low[row][lane], high[row][lane]) = (a, b);
                }
            }
        }
        let [fx, fy, fz] = cells.fraction;
        let low = low.map(Lanes::new);
        let along_z: [Lanes; 4] = std::array::from_fn(|row| Lanes::new(high[row]) - low[row]);
        let blend = Blend::new([fx, fy, fz], &low, &along_z);
        let mut gradient = [0, 1, 2].map(|axis| blend.slope[axis] * cells.rate[axis]);
        let [ox, oy, oz] = cells.outside;
        let squared = ox.mul_add(ox, oy.mul_add(oy, oz * oz));
        let mut distance = blend.value;
        if squared.simd_gt(ZERO).any() {
            let out = squared.sqrt();
            distance += out;
            let inverse = out.simd_gt(ZERO) & (splat(1.0) / out);
            for (slope, outside) in gradient.iter_mut().zip(cells.outside) {
                *slope = outside.mul_add(inverse, *slope);
            }
        }
        (distance, gradient)
    }

    /// Sixteen channels from `channel` on at one point: value and slopes along x, y, z per m.
    ///
    /// `base`, `fraction` and `rate` are those of the point in [`Grid::cells`].
    #[inline(always)]
    pub fn channels_at(
        &self,
        base: usize,
        [channels, channel]: [usize; 2],
        fraction: [f32; 3],
        rate: [f32; 3],
    ) -> (Lanes, Lanes3) {
        let rows = self.rows();
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

/// Trilinear value and its slopes along x, y, z per cell.
struct Blend {
    value: Lanes,
    slope: Lanes3,
}

impl Blend {
    /// From the lower ends of the four z rows of a cell and the rises along them.
    #[inline(always)]
    fn new([fx, fy, fz]: Lanes3, low: &[Lanes; 4], along_z: &[Lanes; 4]) -> Self {
        let at_z: [Lanes; 4] = std::array::from_fn(|row| fz.mul_add(along_z[row], low[row]));
        let along_y = [at_z[1] - at_z[0], at_z[3] - at_z[2]];
        let at_y = [
            fy.mul_add(along_y[0], at_z[0]),
            fy.mul_add(along_y[1], at_z[2]),
        ];
        let along_x = at_y[1] - at_y[0];
        let z_low = fy.mul_add(along_z[1] - along_z[0], along_z[0]);
        let z_high = fy.mul_add(along_z[3] - along_z[2], along_z[2]);
        Self {
            value: fx.mul_add(along_x, at_y[0]),
            slope: [
                along_x,
                fx.mul_add(along_y[1] - along_y[0], along_y[0]),
                fx.mul_add(z_high - z_low, z_low),
            ],
        }
    }
}
