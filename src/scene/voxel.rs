//! A signed distance sampled on a regular grid.

use nalgebra::{Point3, Vector3};
use rayon::prelude::*;

use super::{MeshDistance, SignedDistance};

/// Samples of a signed distance, m, at `origin_m + spacing_m * (i, j, k)`; k runs fastest.
///
/// Between samples: trilinear. Outside the grid: the value at the nearest point of the grid plus the
/// distance to that point, which is continuous and never below the true distance minus the grid's error.
#[derive(Debug, Clone, PartialEq)]
pub struct VoxelGrid {
    pub origin_m: [f64; 3],
    pub spacing_m: f64,
    /// Samples along x, y, z; at least 2 each.
    pub size: [usize; 3],
    /// Length `size[0] * size[1] * size[2]`.
    pub values: Vec<f32>,
}

/// The cell that holds a point, with the point's place in it.
struct Cell {
    corner: [usize; 3],
    /// 0..1 along each axis.
    fraction: [f64; 3],
    /// From the nearest point of the grid to the point, m; zero inside.
    outside: Vector3<f64>,
}

impl VoxelGrid {
    /// Samples any signed distance, in parallel over x.
    pub fn from_distance(
        solid: &dyn SignedDistance,
        origin_m: [f64; 3],
        spacing_m: f64,
        size: [usize; 3],
    ) -> Self {
        Self::fill(origin_m, spacing_m, size, |point, _| solid.distance(point))
    }

    /// Samples a mesh. Each search starts from the neighbour's distance, which makes it several times faster.
    pub fn from_mesh(
        mesh: &MeshDistance,
        origin_m: [f64; 3],
        spacing_m: f64,
        size: [usize; 3],
    ) -> Self {
        Self::fill(origin_m, spacing_m, size, |point, bound| {
            mesh.distance_within(point, bound)
        })
    }

    /// `distance(point, bound)`: bound is a size that the distance cannot exceed.
    fn fill(
        origin_m: [f64; 3],
        spacing_m: f64,
        size: [usize; 3],
        distance: impl Fn(&Point3<f64>, f64) -> f64 + Sync,
    ) -> Self {
        let mut values = vec![0f32; size[0] * size[1] * size[2]];
        values
            .par_chunks_mut((size[1] * size[2]).max(1))
            .enumerate()
            .for_each(|(i, slab)| {
                let mut row_start = f64::INFINITY;
                for (j, row) in slab.chunks_mut(size[2].max(1)).enumerate() {
                    let mut bound = row_start;
                    for (k, value) in row.iter_mut().enumerate() {
                        let index = [i, j, k];
                        let point = Point3::from(
                            [0, 1, 2].map(|a| origin_m[a] + spacing_m * index[a] as f64),
                        );
                        let d = distance(&point, bound);
                        *value = d as f32;
                        // A distance changes by at most the way gone.
                        bound = d.abs() + spacing_m;
                        if k == 0 {
                            row_start = bound;
                        }
                    }
                }
            });
        Self {
            origin_m,
            spacing_m,
            size,
            values,
        }
    }

    /// Upper corner of the grid, m.
    pub fn end_m(&self) -> [f64; 3] {
        [0, 1, 2].map(|a| self.origin_m[a] + self.spacing_m * (self.size[a] - 1) as f64)
    }

    /// The samples around a box alone, where there are any.
    pub fn around(&self, low_m: [f64; 3], high_m: [f64; 3]) -> Self {
        let index = |place_m: f64, axis: usize| {
            ((place_m - self.origin_m[axis]) / self.spacing_m)
                .clamp(0.0, (self.size[axis] - 2) as f64)
        };
        let first = [0, 1, 2].map(|a| index(low_m[a], a).floor() as usize);
        let size = [0, 1, 2].map(|a| index(high_m[a], a).floor() as usize + 2 - first[a]);
        let at = |i: usize| {
            let place = [i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]];
            self.at([0, 1, 2].map(|a| first[a] + place[a]))
        };
        Self {
            origin_m: [0, 1, 2].map(|a| self.origin_m[a] + self.spacing_m * first[a] as f64),
            spacing_m: self.spacing_m,
            size,
            values: (0..size.iter().product()).map(at).collect(),
        }
    }

    /// Middle of the grid, m.
    pub fn centre_m(&self) -> [f64; 3] {
        let end = self.end_m();
        [0, 1, 2].map(|a| 0.5 * (self.origin_m[a] + end[a]))
    }

    /// Sample at integer coordinates.
    pub fn at(&self, [i, j, k]: [usize; 3]) -> f32 {
        self.values[(i * self.size[1] + j) * self.size[2] + k]
    }

    fn cell(&self, point: &Point3<f64>) -> Cell {
        let mut cell = Cell {
            corner: [0; 3],
            fraction: [0.0; 3],
            outside: Vector3::zeros(),
        };
        for axis in 0..3 {
            let last = (self.size[axis] - 1) as f64;
            let place = (point[axis] - self.origin_m[axis]) / self.spacing_m;
            // A NaN coordinate lands in cell 0 and keeps the result NaN through `outside`.
            let clamped = place.max(0.0).min(last);
            cell.corner[axis] = (clamped as usize).min(self.size[axis] - 2);
            cell.fraction[axis] = clamped - cell.corner[axis] as f64;
            cell.outside[axis] = (place - clamped) * self.spacing_m;
        }
        cell
    }

    fn corners(&self, corner: [usize; 3]) -> [f64; 8] {
        let [_, ny, nz] = self.size;
        let base = (corner[0] * ny + corner[1]) * nz + corner[2];
        let row = |offset: usize| {
            [
                self.values[base + offset] as f64,
                self.values[base + offset + 1] as f64,
            ]
        };
        let [a, b] = row(0);
        let [c, d] = row(nz);
        let [e, f] = row(ny * nz);
        let [g, h] = row(ny * nz + nz);
        [a, b, c, d, e, f, g, h]
    }
}

impl SignedDistance for VoxelGrid {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        let cell = self.cell(point);
        let [fx, fy, fz] = cell.fraction;
        let c = self.corners(cell.corner);
        let lerp = |a: f64, b: f64, f: f64| a + (b - a) * f;
        let low = lerp(lerp(c[0], c[1], fz), lerp(c[2], c[3], fz), fy);
        let high = lerp(lerp(c[4], c[5], fz), lerp(c[6], c[7], fz), fy);
        lerp(low, high, fx) + cell.outside.norm()
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let cell = self.cell(point);
        let [fx, fy, fz] = cell.fraction;
        let c = self.corners(cell.corner);
        let lerp = |a: f64, b: f64, f: f64| a + (b - a) * f;
        let rows = [
            lerp(c[0], c[1], fz),
            lerp(c[2], c[3], fz),
            lerp(c[4], c[5], fz),
            lerp(c[6], c[7], fz),
        ];
        let (low, high) = (lerp(rows[0], rows[1], fy), lerp(rows[2], rows[3], fy));
        let slopes = Vector3::new(
            high - low,
            lerp(rows[1] - rows[0], rows[3] - rows[2], fx),
            lerp(
                lerp(c[1] - c[0], c[3] - c[2], fy),
                lerp(c[5] - c[4], c[7] - c[6], fy),
                fx,
            ),
        ) / self.spacing_m;
        let out = cell.outside.norm();
        let mut gradient = slopes;
        if out > 0.0 {
            // Past a face the clamped coordinate no longer moves; the way to the grid takes its place.
            for axis in 0..3 {
                if cell.outside[axis] != 0.0 {
                    gradient[axis] = 0.0;
                }
            }
            gradient += cell.outside / out;
        }
        (lerp(low, high, fx) + out, gradient)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        (Point3::from(self.origin_m), Point3::from(self.end_m()))
    }
}
