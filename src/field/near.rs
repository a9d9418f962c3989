//! The exact surface of an object, asked only where it is near: elsewhere its sampled distance is enough.

use nalgebra::{Point3, Vector3};

use crate::scene::{MeshDistance, SignedDistance, VoxelGrid};

/// Distances of an object: exact up to `near_m`, from there on a lower bound that is at least `near_m`.
///
/// That is all that collision checks and conservative steps need, and far cheaper than the exact distance everywhere.
pub struct NearSurface<'a> {
    surface: &'a MeshDistance,
    /// Samples of the surface's distance; its corners lie at least one spacing outside the surface's bounds.
    grid: &'a VoxelGrid,
    near_m: f64,
}

/// What the samples around a point say of its distance.
struct Sampled {
    cell: [usize; 3],
    /// It is at least this, m.
    least_m: f64,
    /// Its size is at most this, m.
    most_m: f64,
}

impl<'a> NearSurface<'a> {
    pub fn new(surface: &'a MeshDistance, grid: &'a VoxelGrid, near_m: f64) -> Self {
        Self {
            surface,
            grid,
            near_m,
        }
    }

    fn sampled(&self, point: &Point3<f64>) -> Sampled {
        let grid = self.grid;
        let (mut cell, mut variance, mut outside) = ([0; 3], 0.0, 0.0);
        for axis in 0..3 {
            let place = (point[axis] - grid.origin_m[axis]) / grid.spacing_m;
            let clamped = place.clamp(0.0, (grid.size[axis] - 1) as f64);
            cell[axis] = (clamped as usize).min(grid.size[axis] - 2);
            let fraction = clamped - cell[axis] as f64;
            variance += fraction * (1.0 - fraction);
            outside += (place - clamped).powi(2);
        }
        // A distance changes by at most the way gone, so the mean of the corners is off by at most their mean distance
        // to the point, which is at most the root of their mean squared distance.
        let error_m = grid.spacing_m * variance.max(0.0).sqrt() + 1e-6;
        let between_m = grid.distance(point);
        Sampled {
            cell,
            least_m: if outside > 0.0 {
                grid.spacing_m * (1.0 + outside.sqrt())
            } else {
                between_m - error_m
            },
            most_m: between_m.abs() + error_m,
        }
    }

    fn sign(&self, point: &Point3<f64>, cell: [usize; 3]) -> f64 {
        let grid = self.grid;
        // A sample that is farther from the surface than from the point has the same sign.
        let of_sample = (0..8).find_map(|corner| {
            let index = [0, 1, 2].map(|a| cell[a] + (corner >> a & 1));
            let sample = f64::from(grid.at(index));
            let place = [0, 1, 2].map(|a| grid.origin_m[a] + grid.spacing_m * index[a] as f64);
            let away = (point - Point3::from(place)).norm();
            (sample.abs() > away + 1e-6).then_some(sample.signum())
        });
        of_sample.unwrap_or_else(|| self.surface.sign(point))
    }

    fn size_within(&self, point: &Point3<f64>, most_m: f64) -> f64 {
        let nearest = self.surface.nearest(point, most_m);
        nearest.map_or(most_m, |(distance, _, _)| distance)
    }
}

impl SignedDistance for NearSurface<'_> {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        let sampled = self.sampled(point);
        match sampled.least_m > self.near_m {
            true => sampled.least_m,
            false => self.sign(point, sampled.cell) * self.size_within(point, sampled.most_m),
        }
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let Sampled { cell, most_m, .. } = self.sampled(point);
        let sign = self.sign(point, cell);
        self.surface
            .distance_and_gradient_within(point, most_m, sign)
    }

    fn distance_outside(&self, point: &Point3<f64>, limit_m: f64) -> f64 {
        let sampled = self.sampled(point);
        match sampled.least_m > self.near_m.min(limit_m) {
            true => sampled.least_m,
            false => self.size_within(point, sampled.most_m.min(limit_m)),
        }
    }

    fn distance_and_gradient_outside(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let most_m = self.sampled(point).most_m;
        self.surface
            .distance_and_gradient_within(point, most_m, 1.0)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        self.surface.bounds()
    }
}
