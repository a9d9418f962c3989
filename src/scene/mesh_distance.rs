//! Exact distance to a triangle mesh, signed by the generalised winding number.
//!
//! One order of the triangles serves two trees: that of the nearest triangle ([`super::triangle_tree`]) and that of the winding
//! number (a far node acts as one dipole; Barill et al. 2018, "Fast winding numbers for soups and clouds", first order).
//! The winding number is 1 inside and 0 outside a closed mesh and varies smoothly across holes, so the sign stays sensible for
//! meshes that are not watertight, and overlapping closed parts count as their union.

use std::sync::{Arc, OnceLock};

use nalgebra::{Point3, Vector3};
use parry3d_f64::shape::{TriMesh, TriMeshBuilderError};

use super::mesh::{MeshError, TriangleMesh};
use super::triangle_tree::{triangle_bounds, Triangle, TriangleTree};
use super::{parry_mesh, SignedDistance};

/// Triangles in a leaf.
const LEAF_TRIANGLES: usize = 4;
/// A node acts as a dipole from this many of its radii on.
const FAR_RADII: f64 = 2.5;

#[derive(Clone, Debug)]
struct Node {
    /// Area-weighted centre, m, and the radius of the triangles about it, m.
    centre: Vector3<f64>,
    radius: f64,
    /// Sum of normal times area, m^2.
    area_vector: Vector3<f64>,
    /// Leaf: first triangle. Inner: index of the right child (the left one follows the node).
    first: u32,
    /// Triangles of a leaf, 0 for an inner node.
    count: u32,
}

/// A mesh with its hierarchy; distances in the mesh's frame, metres, negative inside.
#[derive(Clone, Debug)]
pub struct MeshDistance {
    /// Corners in hierarchy order.
    triangles: Vec<Triangle>,
    /// For the winding number.
    nodes: Vec<Node>,
    /// For the nearest triangle.
    tree: TriangleTree,
    bounds: (Point3<f64>, Point3<f64>),
    /// See [`Self::parry`].
    parry: OnceLock<Result<Arc<TriMesh>, TriMeshBuilderError>>,
}

impl MeshDistance {
    /// Builds the hierarchy. Triangles without area are left out.
    ///
    /// # Errors
    /// What [`TriangleMesh::validate`] refuses.
    pub fn new(mesh: &TriangleMesh) -> Result<Self, MeshError> {
        mesh.validate()?;
        let mut triangles: Vec<Triangle> = mesh
            .triangles
            .iter()
            .filter(|t| mesh.area_vector(t).norm() > 0.0)
            .map(|t| mesh.corners(t))
            .collect();
        let mut nodes = Vec::with_capacity(triangles.len());
        let count = triangles.len();
        build(&mut triangles, 0, count, &mut nodes);
        let (low, high) = triangle_bounds(&triangles);
        Ok(Self {
            tree: TriangleTree::new(&triangles),
            triangles,
            nodes,
            bounds: (low.into(), high.into()),
            parry: OnceLock::new(),
        })
    }

    /// The same triangles for the queries of an independent library. The first call lays them out, which takes some milliseconds.
    ///
    /// # Errors
    /// What that library refuses.
    pub fn parry(&self) -> Result<Arc<TriMesh>, TriMeshBuilderError> {
        let lay_out = || parry_mesh(&self.triangles).map(Arc::new);
        self.parry.get_or_init(lay_out).clone()
    }

    /// Corners of the triangles, m; those without area are left out.
    pub fn triangles(&self) -> &[Triangle] {
        &self.triangles
    }

    /// Nearest point of the surface that is nearer than `limit_m`, as (distance m, point, triangle).
    pub fn nearest(&self, point: &Point3<f64>, limit_m: f64) -> Option<(f64, Point3<f64>, usize)> {
        let found = self
            .tree
            .nearest(&self.triangles, &point.coords, limit_m * limit_m);
        found.map(|(squared, nearest, i)| (squared.sqrt(), Point3::from(nearest), i))
    }

    /// How often the surface winds around `point`: 1 inside, 0 outside a closed mesh.
    pub fn winding_number(&self, point: &Point3<f64>) -> f64 {
        let p = point.coords;
        let (mut far, mut near) = (0.0, AngleSum::default());
        let mut stack = [0u32; 64];
        let mut depth = 1;
        while depth > 0 {
            depth -= 1;
            let index = stack[depth];
            let node = &self.nodes[index as usize];
            let offset = node.centre - p;
            let squared = offset.norm_squared();
            if squared > (FAR_RADII * node.radius).powi(2) {
                far += node.area_vector.dot(&offset) / (squared * squared.sqrt());
            } else if node.count > 0 {
                let range = node.first as usize..(node.first + node.count) as usize;
                for triangle in &self.triangles[range] {
                    near.add(half_solid_angle(triangle, &p));
                }
            } else {
                stack[depth] = node.first;
                stack[depth + 1] = index + 1;
                depth += 2;
            }
        }
        (far + 2.0 * near.total()) / (4.0 * std::f64::consts::PI)
    }

    /// Inside by the winding number; a mesh turned inside out has the same inside.
    pub fn is_inside(&self, point: &Point3<f64>) -> bool {
        self.winding_number(point).abs() > 0.5
    }

    /// Of the distance: -1 inside, 1 outside.
    pub fn sign(&self, point: &Point3<f64>) -> f64 {
        if self.is_inside(point) {
            -1.0
        } else {
            1.0
        }
    }

    /// Signed distance where a bound on its size is known (from a neighbour), which spares most of the search.
    ///
    /// `bound_m` must not be below the true distance.
    pub fn distance_within(&self, point: &Point3<f64>, bound_m: f64) -> f64 {
        let nearest = self.nearest(point, just_above(bound_m));
        self.sign(point) * nearest.map_or(bound_m, |(distance, _, _)| distance)
    }

    /// The same with the gradient, where the sign is known too.
    pub fn distance_and_gradient_within(
        &self,
        point: &Point3<f64>,
        bound_m: f64,
        sign: f64,
    ) -> (f64, Vector3<f64>) {
        let Some((distance, nearest, triangle)) = self.nearest(point, just_above(bound_m)) else {
            return (sign * bound_m, Vector3::zeros()); // Unreachable for a finite point: there is a triangle.
        };
        let offset = point - nearest;
        if distance > 1e-9 {
            return (sign * distance, offset * (sign / distance));
        }
        let [a, b, c] = self.triangles[triangle];
        (sign * distance, (b - a).cross(&(c - a)).normalize())
    }
}

impl SignedDistance for MeshDistance {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        self.distance_within(point, f64::INFINITY)
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        self.distance_and_gradient_within(point, f64::INFINITY, self.sign(point))
    }

    fn distance_outside(&self, point: &Point3<f64>, limit_m: f64) -> f64 {
        let nearest = self.nearest(point, limit_m);
        nearest.map_or(limit_m, |(distance, _, _)| distance)
    }

    fn distance_and_gradient_outside(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        self.distance_and_gradient_within(point, f64::INFINITY, 1.0)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        self.bounds
    }
}

/// A hair more than a bound, so that rounding cannot exclude the nearest point itself.
fn just_above(bound_m: f64) -> f64 {
    bound_m * (1.0 + 1e-9) + 1e-12
}

/// Depth first, split at the median of the longest side; returns nothing, appends to `nodes`.
fn build(triangles: &mut [Triangle], first: usize, count: usize, nodes: &mut Vec<Node>) {
    let own = &mut triangles[first..first + count];
    let node_index = nodes.len();
    nodes.push(summary(own, first));
    if count <= LEAF_TRIANGLES {
        return;
    }
    let centroid = |t: &Triangle, axis: usize| t[0][axis] + t[1][axis] + t[2][axis];
    let extent = |axis: usize| {
        let (low, high) = own
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), t| {
                let x = centroid(t, axis);
                (l.min(x), h.max(x))
            });
        high - low
    };
    let axis = (0..3)
        .max_by(|&a, &b| extent(a).total_cmp(&extent(b)))
        .unwrap_or(0);
    let half = count / 2;
    own.select_nth_unstable_by(half, |a, b| centroid(a, axis).total_cmp(&centroid(b, axis)));
    build(triangles, first, half, nodes);
    nodes[node_index].first = nodes.len() as u32;
    nodes[node_index].count = 0;
    build(triangles, first + half, count - half, nodes);
}

/// A leaf node over these triangles.
fn summary(triangles: &[Triangle], first: usize) -> Node {
    let (mut area_vector, mut centre, mut area_sum) = (Vector3::zeros(), Vector3::zeros(), 0.0);
    for [a, b, c] in triangles {
        let vector = (b - a).cross(&(c - a)) * 0.5;
        let area = vector.norm();
        area_vector += vector;
        centre += (a + b + c) * (area / 3.0);
        area_sum += area;
    }
    centre /= area_sum;
    let radius = triangles
        .iter()
        .flatten()
        .map(|corner| (corner - centre).norm())
        .fold(0.0, f64::max);
    Node {
        centre,
        radius,
        area_vector,
        first: first as u32,
        count: triangles.len() as u32,
    }
}

/// Half the signed solid angle of a triangle seen from `p`, as the argument of a complex number (van Oosterom and Strackee 1983).
fn half_solid_angle([a, b, c]: &Triangle, p: &Vector3<f64>) -> [f64; 2] {
    let (a, b, c) = (a - p, b - p, c - p);
    let (la, lb, lc) = (a.norm(), b.norm(), c.norm());
    let numerator = a.dot(&b.cross(&c));
    let denominator = la * lb * lc + a.dot(&b) * lc + b.dot(&c) * la + c.dot(&a) * lb;
    [denominator, numerator]
}

/// Sum of the arguments of complex numbers. They are multiplied, so that one arc tangent serves for all of them.
struct AngleSum {
    product: [f64; 2],
    /// Turns beyond the argument of the product.
    turns: f64,
}

impl Default for AngleSum {
    fn default() -> Self {
        Self {
            product: [1.0, 0.0],
            turns: 0.0,
        }
    }
}

impl AngleSum {
    fn add(&mut self, [re, im]: [f64; 2]) {
        let [old_re, old_im] = self.product;
        let product = [old_re * re - old_im * im, old_re * im + old_im * re];
        let size = product[0].abs() + product[1].abs();
        if size < f64::MIN_POSITIVE {
            return; // The point is a corner of the triangle, which has no angle there.
        }
        let new_im = product[1];
        // An argument is less than half a turn, so a change of sign on the far side of zero is a turn more or less.
        if im > 0.0 && old_im >= 0.0 && new_im < 0.0 {
            self.turns += 1.0;
        } else if im < 0.0 && old_im < 0.0 && new_im >= 0.0 {
            self.turns -= 1.0;
        }
        // Scaled, or products of small numbers would vanish.
        self.product = product.map(|x| x / size);
    }

    fn total(&self) -> f64 {
        let [re, im] = self.product;
        // Minus zero would be the other side of the cut.
        (im + 0.0).atan2(re) + self.turns * std::f64::consts::TAU
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    #[test]
    fn many_angles_sum_up_as_one_by_one() {
        let mut rng = Pcg64Mcg::seed_from_u64(0);
        for round in 0..200 {
            let (mut sum, mut expected) = (AngleSum::default(), 0.0);
            // Rounds of mostly positive, mostly negative and mixed angles; lengths as of triangles, and far smaller.
            let lean = f64::from(round % 3 - 1);
            for _ in 0..300 {
                let angle: f64 = 0.9 * rng.random_range(-3.1..3.1) + 0.3 * lean;
                let length = 10f64.powi(-rng.random_range(3..40));
                sum.add([length * angle.cos(), length * angle.sin()]);
                expected += angle;
            }
            assert!((sum.total() - expected).abs() < 1e-9, "{round}: {expected}");
        }
        let mut nothing = AngleSum::default();
        nothing.add([0.0, 0.0]);
        assert_eq!(nothing.total(), 0.0);
    }
}
