//! Triangles as parry takes them, for checks that share no code with what plans.

use nalgebra::Vector3;
use parry3d_f64::math::Vec3;
use parry3d_f64::shape::{TriMesh, TriMeshBuilderError};

/// A surface without an inside.
///
/// # Errors
/// What parry refuses: no triangle at all.
pub fn parry_mesh(triangles: &[[Vector3<f64>; 3]]) -> Result<TriMesh, TriMeshBuilderError> {
    let corners = triangles.iter().flatten();
    let corners = corners.map(|v| Vec3::new(v.x, v.y, v.z)).collect();
    let first = (0..triangles.len() as u32).map(|i| 3 * i);
    TriMesh::new(corners, first.map(|i| [i, i + 1, i + 2]).collect())
}
