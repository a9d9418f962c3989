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

impl<'a> NearSurface<'a> {
    pub fn new(surface: &'a MeshDistance, grid: &'a VoxelGrid, near_m: f64) -> Self {
        Self {
            surface,
            grid,
            near_m,
        }
    }

    /// Sign, if a sample near `point` is farther from the surface than from the point.
    fn sign(&self, point: &Point3<f64>, cell: [usize; 3]) -> Option<f64> {
        let grid = self.grid;
        (0..8).find_map(|corner| {
            let index = [0, 1, 2].map(|a| cell[a] + (corner >> a & 1));
            let sample = f64::from(grid.at(index));
            let place = [0, 1, 2].map(|a| grid.origin_m[a] + grid.spacing_m * index[a] as f64);
            let away = (point - Point3::from(place)).norm();
            (sample.abs() > away + 1e-6).then_some(sample.signum())
        })
    }
}

impl SignedDistance for NearSurface<'_> {
    fn distance(&self, point: &Point3<f64>) -> f64 {
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
        if outside > 0.0 {
            let bound = grid.spacing_m * (outside.sqrt() + 1.0);
            if bound > self.near_m {
                return bound;
            }
            return self.surface.distance(point);
        }
        // A distance changes by at most the way gone, so the mean of the corners is off by at most their mean distance
        // to the point, which is at most the root of their mean squared distance.
        let error = grid.spacing_m * variance.max(0.0).sqrt() + 1e-6;
        let between = grid.distance(point);
        if between - error > self.near_m {
            return between - error;
        }
        let bound = between.abs() + error;
        let distance = self
            .surface
            .nearest(point, bound)
            .map_or(bound, |(distance, _, _)| distance);
        let sign = self.sign(point, cell).unwrap_or_else(|| {
            if self.surface.is_inside(point) {
                -1.0
            } else {
                1.0
            }
        });
        sign * distance
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        self.surface.distance_and_gradient(point)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        self.surface.bounds()
    }
}
