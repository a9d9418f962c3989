//! Trilinear reading of grids, sixteen points at once. Values at grid points, z running fastest; places in grid steps.

use wide::i32x16;

use crate::lanes::{Lanes, Lanes3, ALL_LANES, LANES, ZERO};

/// Cells of a grid that hold sixteen places, and the places in them.
pub struct Cells {
    /// Index of the lowest corner.
    pub base: [i32; LANES],
    /// 0..1 along each axis.
    pub fraction: Lanes3,
}

/// Values and their slopes along x, y, z per grid step.
pub struct Blend {
    pub value: Lanes,
    pub slope: Lanes3,
}

/// Offsets of the four z rows of a cell: (0,0), (0,1), (1,0), (1,1) along x, y.
#[inline(always)]
pub fn rows(size: [usize; 3]) -> [usize; 4] {
    let (x, y) = (size[1] * size[2], size[2]);
    [0, y, x, x + y]
}

impl Cells {
    /// Of places inside a grid of `size` points along x, y, z, at least 2 each.
    #[inline(always)]
    pub fn new(size: [usize; 3], place: &Lanes3) -> Self {
        let mut fraction = [ZERO; 3];
        let mut base = i32x16::ZERO;
        for axis in 0..3 {
            // Bounded as integers: a coordinate that is not a number has no meaningful cell.
            let corner = place[axis]
                .fast_trunc_int()
                .max(i32x16::ZERO)
                .min(i32x16::splat(size[axis] as i32 - 2));
            fraction[axis] = place[axis] - Lanes::from_i32x16(corner);
            base = base * i32x16::splat(size[axis] as i32) + corner;
        }
        Self {
            base: base.to_array(),
            fraction,
        }
    }

    /// Of a grid of one value a point, in the `wanted` lanes (bit mask); zero in the others.
    #[inline(always)]
    pub fn blend(&self, size: [usize; 3], values: &[f32], wanted: u32) -> Blend {
        let rows = rows(size);
        let (mut low, mut high) = ([[0f32; LANES]; 4], [[0f32; LANES]; 4]);
        let mut left = wanted & ALL_LANES;
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            for (row, offset) in rows.iter().enumerate() {
                let at = self.base[lane] as usize + offset;
                if let [a, b] = values[at..at + 2] {
                    (low[row][lane], high[row][lane]) = (a, b);
                }
            }
        }
        let low = low.map(Lanes::new);
        let along_z: [Lanes; 4] = std::array::from_fn(|row| Lanes::new(high[row]) - low[row]);
        Blend::new(self.fraction, &low, &along_z)
    }
}

impl Blend {
    /// From the lower ends of the four z rows of a cell and the rises along them.
    #[inline(always)]
    pub fn new([fx, fy, fz]: Lanes3, low: &[Lanes; 4], along_z: &[Lanes; 4]) -> Self {
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
