//! A mesh from a signed distance: naive surface nets (Gibson 1998) on a regular grid.

use nalgebra::{Point3, Vector3};

use crate::scene::{SignedDistance, TriangleMesh};

/// Marks a cell without surface.
const NO_VERTEX: u32 = u32::MAX;

/// Closed triangle mesh of the zero level, outward oriented; one vertex per grid cell that the surface crosses.
///
/// Walls thinner than about `spacing_m` are lost.
pub fn surface_net(solid: &dyn SignedDistance, spacing_m: f64) -> TriangleMesh {
    let (low, high) = solid.bounds();
    let origin = low - Vector3::repeat(1.5 * spacing_m);
    let size: [usize; 3] = [0, 1, 2].map(|a| ((high[a] - low[a]) / spacing_m).ceil() as usize + 4);
    let index = |[i, j, k]: [usize; 3]| (i * size[1] + j) * size[2] + k;
    let place = |c: [usize; 3]| origin + Vector3::from_fn(|a, _| c[a] as f64) * spacing_m;
    let mut values = Vec::with_capacity(size[0] * size[1] * size[2]);
    for i in 0..size[0] {
        for j in 0..size[1] {
            for k in 0..size[2] {
                values.push(solid.distance(&place([i, j, k])));
            }
        }
    }

    let mut mesh = TriangleMesh::default();
    let mut vertex_of = vec![NO_VERTEX; values.len()];
    for i in 0..size[0] - 1 {
        for j in 0..size[1] - 1 {
            for k in 0..size[2] - 1 {
                let corner =
                    |c: usize| values[index([i + (c & 1), j + (c >> 1 & 1), k + (c >> 2)])];
                if let Some(local) = crossing_centre(corner) {
                    vertex_of[index([i, j, k])] = mesh.vertices.len() as u32;
                    let vertex = projected(solid, place([i, j, k]) + local * spacing_m, spacing_m);
                    mesh.vertices.push(vertex.coords.into());
                }
            }
        }
    }
    // Each grid edge that crosses the surface joins the four cells around it.
    for i in 1..size[0] - 1 {
        for j in 1..size[1] - 1 {
            for k in 1..size[2] - 1 {
                let cell = [i, j, k];
                let inside = values[index(cell)] < 0.0;
                for axis in 0..3 {
                    let mut next = cell;
                    next[axis] += 1;
                    if inside == (values[index(next)] < 0.0) {
                        continue;
                    }
                    let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
                    let around = |du: usize, dv: usize| {
                        let mut c = cell;
                        c[u] -= du;
                        c[v] -= dv;
                        vertex_of[index(c)]
                    };
                    let quad = [around(1, 1), around(0, 1), around(0, 0), around(1, 0)];
                    let [a, b, c, d] = if inside {
                        quad
                    } else {
                        [quad[3], quad[2], quad[1], quad[0]]
                    };
                    mesh.triangles.extend([[a, b, c], [a, c, d]]);
                }
            }
        }
    }
    mesh
}

/// Mean of the zero crossings on the twelve edges of a cell, in cell units; none if the cell is all one side.
fn crossing_centre(corner: impl Fn(usize) -> f64) -> Option<Vector3<f64>> {
    let (mut sum, mut count) = (Vector3::zeros(), 0);
    for from in 0..8usize {
        for axis in 0..3 {
            let to = from | 1 << axis;
            if to == from || (corner(from) < 0.0) == (corner(to) < 0.0) {
                continue;
            }
            let mut crossing = Vector3::new(
                (from & 1) as f64,
                (from >> 1 & 1) as f64,
                (from >> 2) as f64,
            );
            crossing[axis] += corner(from) / (corner(from) - corner(to));
            sum += crossing;
            count += 1;
        }
    }
    (count > 0).then(|| sum / count as f64)
}

/// One Newton step onto the surface, held within the cell's size: sharp edges keep their place.
fn projected(solid: &dyn SignedDistance, point: Point3<f64>, spacing_m: f64) -> Point3<f64> {
    let (distance, gradient) = solid.distance_and_gradient(&point);
    let squared = gradient.norm_squared();
    if squared < 0.25 {
        return point; // On a medial axis, where the gradient means nothing.
    }
    point - gradient * (distance.clamp(-0.5 * spacing_m, 0.5 * spacing_m) / squared)
}
