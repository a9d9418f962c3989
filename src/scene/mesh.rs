//! Triangle meshes and their exact signed distance. (Being written.)

use nalgebra::{Point3, Vector3};

use super::SignedDistance;

/// Triangles over shared vertices, m.
#[derive(Clone, Debug, Default)]
pub struct TriangleMesh {
    pub vertices: Vec<[f64; 3]>,
    pub triangles: Vec<[u32; 3]>,
}

/// Exact distance to a mesh.
#[derive(Clone, Debug)]
pub struct MeshDistance {
    pub mesh: TriangleMesh,
}

impl SignedDistance for MeshDistance {
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
