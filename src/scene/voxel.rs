//! Signed distance on a regular grid. (Being written.)

use nalgebra::{Point3, Vector3};

use super::SignedDistance;

/// Distances at grid points, x fastest; trilinear between, extended outside by the distance to the cube.
#[derive(Clone, Debug)]
pub struct VoxelGrid {
    pub origin_m: [f64; 3],
    pub spacing_m: f64,
    pub size: [usize; 3],
    pub values: Vec<f32>,
}

impl SignedDistance for VoxelGrid {
    fn distance(&self, _point: &Point3<f64>) -> f64 {
        todo!()
    }
    fn distance_and_gradient(&self, _point: &Point3<f64>) -> (f64, Vector3<f64>) {
        todo!()
    }
    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        todo!()
    }
}
