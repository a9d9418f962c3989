//! A regular grid that is gone through block by block, so that empty ones are passed over.

use std::ops::Range;

use nalgebra::{Point3, Vector3};

/// Places `[i, j, k]` with a spacing between them, the first half a spacing before `low`.
pub(super) struct BlockGrid {
    pub low: Point3<f64>,
    pub spacing: f64,
    pub count: [usize; 3],
}

/// Ranges of a grid's places.
pub(super) type Block = [Range<usize>; 3];

impl BlockGrid {
    /// Places along the side of a block.
    const BLOCK: usize = 8;

    pub fn point(&self, at: [usize; 3]) -> Point3<f64> {
        self.low + Vector3::from(at.map(|i| i as f64 - 0.5)) * self.spacing
    }

    pub fn inside(&self, [x, y, z]: &Block) -> impl Iterator<Item = [usize; 3]> {
        let (y, z) = (y.clone(), z.clone());
        x.clone().flat_map(move |i| {
            let z = z.clone();
            y.clone()
                .flat_map(move |j| z.clone().map(move |k| [i, j, k]))
        })
    }

    pub fn points(&self) -> impl Iterator<Item = Point3<f64>> + '_ {
        let all = self.count.map(|count| 0..count);
        self.inside(&all).map(|at| self.point(at))
    }

    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        let blocks = self.count.map(|count| 0..count.div_ceil(Self::BLOCK));
        self.inside(&blocks).map(|block| {
            [0, 1, 2].map(|k| {
                let first = Self::BLOCK * block[k];
                first..(first + Self::BLOCK).min(self.count[k])
            })
        })
    }

    /// Centre and radius of a ball that holds a block.
    pub fn ball_around(&self, block: &Block) -> (Point3<f64>, f64) {
        let low = self.point([0, 1, 2].map(|k| block[k].start));
        let high = self.point([0, 1, 2].map(|k| block[k].end - 1));
        (nalgebra::center(&low, &high), 0.5 * (high - low).norm())
    }
}
