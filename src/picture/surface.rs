//! Rays against surfaces, and the tree of boxes that makes it fast. f32: only pictures depend on it.

use nalgebra::{Isometry3, Point3, Vector3};

/// Largest number of surfaces in a leaf.
const LEAF: usize = 4;

#[derive(Clone, Copy)]
pub(super) struct Ray {
    pub origin: Point3<f32>,
    pub direction: Vector3<f32>,
}

impl Ray {
    pub fn at(&self, t: f32) -> Point3<f32> {
        self.origin + self.direction * t
    }
}

/// What a ray met.
#[derive(Clone, Copy)]
pub(super) struct Hit {
    pub t: f32,
    pub normal: Vector3<f32>,
    /// Index of the surface.
    pub surface: usize,
}

/// A surface in its own frame, centred, axis along z, m; as [`crate::scene::Shape`].
#[derive(Clone, Copy)]
pub(super) enum Form {
    Sphere(f32),
    Box(Vector3<f32>),
    /// Radius and half length.
    Cylinder(f32, f32),
    Capsule(f32, f32),
    /// A corner and the two edges from it.
    Triangle([Vector3<f32>; 3]),
}

/// A form at a pose.
#[derive(Clone)]
pub(super) struct Surface {
    pub form: Form,
    pub world_from_surface: Isometry3<f32>,
    /// Index into the picture's bodies.
    pub body: usize,
}

impl Surface {
    /// Corners of the box around it in the world.
    pub fn bounds(&self) -> (Vector3<f32>, Vector3<f32>) {
        if let Form::Triangle([a, u, v]) = self.form {
            let corners = [a, a + u, a + v]
                .map(|p| self.world_from_surface.transform_point(&p.into()).coords);
            let low = corners[0].inf(&corners[1]).inf(&corners[2]);
            return (low, corners[0].sup(&corners[1]).sup(&corners[2]));
        }
        let half = match self.form {
            Form::Sphere(r) => Vector3::repeat(r),
            Form::Box(half) => half,
            Form::Cylinder(r, h) => Vector3::new(r, r, h),
            Form::Capsule(r, h) => Vector3::new(r, r, h + r),
            Form::Triangle(_) => Vector3::zeros(),
        };
        let rotation = self.world_from_surface.rotation.to_rotation_matrix();
        let reach = rotation.matrix().abs() * half;
        let center = self.world_from_surface.translation.vector;
        (center - reach, center + reach)
    }

    /// First hit in front of the origin, nearer than `limit`.
    fn hit(&self, ray: &Ray, limit: f32) -> Option<(f32, Vector3<f32>)> {
        let o = self
            .world_from_surface
            .inverse_transform_point(&ray.origin)
            .coords;
        let d = self
            .world_from_surface
            .inverse_transform_vector(&ray.direction);
        let (t, normal) = match self.form {
            Form::Sphere(r) => sphere(&o, &d, r),
            Form::Box(half) => cuboid(&o, &d, &half),
            Form::Cylinder(r, h) => cylinder(&o, &d, r, h),
            Form::Capsule(r, h) => capsule(&o, &d, r, h),
            Form::Triangle([a, u, v]) => triangle(&(o - a), &d, &u, &v),
        }?;
        (t > 0.0 && t < limit).then(|| (t, self.world_from_surface.rotation * normal))
    }
}

fn sphere(o: &Vector3<f32>, d: &Vector3<f32>, r: f32) -> Option<(f32, Vector3<f32>)> {
    let b = o.dot(d);
    // The point nearest to the centre first: b^2 - c would lose digits for far rays.
    let nearest = o - d * b;
    let root = r * r - nearest.norm_squared();
    if root < 0.0 {
        return None;
    }
    let t = -b - root.sqrt();
    Some((t, (o + d * t) / r))
}

fn cuboid(o: &Vector3<f32>, d: &Vector3<f32>, half: &Vector3<f32>) -> Option<(f32, Vector3<f32>)> {
    let (mut enter, mut leave, mut axis) = (f32::NEG_INFINITY, f32::INFINITY, 0);
    for k in 0..3 {
        let (a, b) = ((-half[k] - o[k]) / d[k], (half[k] - o[k]) / d[k]);
        let (near, far) = if a < b { (a, b) } else { (b, a) };
        if near > enter {
            (enter, axis) = (near, k);
        }
        leave = leave.min(far);
    }
    (enter <= leave).then(|| (enter, Vector3::ith(axis, -d[axis].signum())))
}

fn cylinder(o: &Vector3<f32>, d: &Vector3<f32>, r: f32, h: f32) -> Option<(f32, Vector3<f32>)> {
    let side = tube(o, d, r)
        .map(|t| (t, o + d * t))
        .filter(|(_, p)| p.z.abs() <= h);
    let cap_t = (-h * d.z.signum() - o.z) / d.z;
    let p = o + d * cap_t;
    let cap = (p.x * p.x + p.y * p.y <= r * r && d.z != 0.0)
        .then(|| (cap_t, Vector3::new(0.0, 0.0, -d.z.signum())));
    let side = side.map(|(t, p)| (t, Vector3::new(p.x / r, p.y / r, 0.0)));
    nearer(side, cap)
}

fn capsule(o: &Vector3<f32>, d: &Vector3<f32>, r: f32, h: f32) -> Option<(f32, Vector3<f32>)> {
    let side = tube(o, d, r)
        .map(|t| (t, o + d * t))
        .filter(|(_, p)| p.z.abs() <= h)
        .map(|(t, p)| (t, Vector3::new(p.x / r, p.y / r, 0.0)));
    let end = |z: f32| sphere(&(o - Vector3::new(0.0, 0.0, z)), d, r);
    nearer(side, nearer(end(h), end(-h)))
}

/// Where a ray enters an endless tube around z.
fn tube(o: &Vector3<f32>, d: &Vector3<f32>, r: f32) -> Option<f32> {
    let a = d.x * d.x + d.y * d.y;
    let b = (o.x * d.x + o.y * d.y) / a;
    let (x, y) = (o.x - d.x * b, o.y - d.y * b);
    let root = (r * r - x * x - y * y) / a;
    (a > 1e-12 && root >= 0.0).then(|| -b - root.sqrt())
}

fn triangle(
    o: &Vector3<f32>,
    d: &Vector3<f32>,
    u: &Vector3<f32>,
    v: &Vector3<f32>,
) -> Option<(f32, Vector3<f32>)> {
    let p = d.cross(v);
    let scale = u.dot(&p).recip();
    let s = o.dot(&p) * scale;
    let q = o.cross(u);
    let r = d.dot(&q) * scale;
    if !(s >= 0.0 && r >= 0.0 && s + r <= 1.0) {
        return None;
    }
    let normal = u.cross(v).normalize();
    Some((
        v.dot(&q) * scale,
        if normal.dot(d) > 0.0 { -normal } else { normal },
    ))
}

fn nearer(
    a: Option<(f32, Vector3<f32>)>,
    b: Option<(f32, Vector3<f32>)>,
) -> Option<(f32, Vector3<f32>)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.0 <= b.0 || b.0 <= 0.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

struct Node {
    low: Vector3<f32>,
    high: Vector3<f32>,
    /// Leaf: first surface. Inner: right child; the left one follows the node.
    first: usize,
    /// Surfaces of a leaf, 0 for an inner node.
    count: usize,
}

/// Surfaces under a tree of boxes.
pub(super) struct Tree {
    pub surfaces: Vec<Surface>,
    nodes: Vec<Node>,
}

impl Tree {
    pub fn new(mut surfaces: Vec<Surface>) -> Self {
        let mut nodes = Vec::new();
        let count = surfaces.len();
        if count > 0 {
            build(&mut surfaces, 0, count, &mut nodes);
        }
        Self { surfaces, nodes }
    }

    /// The nearest hit within `limit`.
    pub fn hit(&self, ray: &Ray, limit: f32) -> Option<Hit> {
        self.walk(ray, limit, false)
    }

    /// Whether anything is met within `limit`.
    pub fn is_blocked(&self, ray: &Ray, limit: f32) -> bool {
        self.walk(ray, limit, true).is_some()
    }

    fn walk(&self, ray: &Ray, limit: f32, any: bool) -> Option<Hit> {
        if self.nodes.is_empty() {
            return None;
        }
        let inverse = ray.direction.map(f32::recip);
        let enter = |node: &Node, limit: f32| -> f32 {
            let a = (node.low - ray.origin.coords).component_mul(&inverse);
            let b = (node.high - ray.origin.coords).component_mul(&inverse);
            let near = a.inf(&b).max().max(0.0);
            let far = a.sup(&b).min();
            if near <= far && near < limit {
                near
            } else {
                f32::INFINITY
            }
        };
        let mut best: Option<Hit> = None;
        let mut limit = limit;
        // Median splits: the depth stays below 2 + log2 of the surfaces.
        let mut stack = [(0usize, 0.0f32); 64];
        let mut depth = 1;
        while depth > 0 {
            depth -= 1;
            let (index, near) = stack[depth];
            if near >= limit {
                continue;
            }
            let node = &self.nodes[index];
            if node.count > 0 {
                for surface in node.first..node.first + node.count {
                    if let Some((t, normal)) = self.surfaces[surface].hit(ray, limit) {
                        limit = t;
                        best = Some(Hit { t, normal, surface });
                        if any {
                            return best;
                        }
                    }
                }
                continue;
            }
            let (left, right) = (index + 1, node.first);
            let a = (left, enter(&self.nodes[left], limit));
            let b = (right, enter(&self.nodes[right], limit));
            let (near, far) = if a.1 <= b.1 { (a, b) } else { (b, a) };
            for child in [far, near] {
                if child.1.is_finite() {
                    stack[depth] = child;
                    depth += 1;
                }
            }
        }
        best
    }
}

fn build(surfaces: &mut [Surface], first: usize, count: usize, nodes: &mut Vec<Node>) {
    let range = first..first + count;
    let (mut low, mut high) = (
        Vector3::repeat(f32::INFINITY),
        Vector3::repeat(f32::NEG_INFINITY),
    );
    for surface in &surfaces[range.clone()] {
        let (a, b) = surface.bounds();
        (low, high) = (low.inf(&a), high.sup(&b));
    }
    let index = nodes.len();
    nodes.push(Node {
        low,
        high,
        first,
        count,
    });
    if count <= LEAF {
        return;
    }
    let axis = (high - low).imax();
    let middle = |s: &Surface| {
        let (a, b) = s.bounds();
        a[axis] + b[axis]
    };
    surfaces[range].select_nth_unstable_by(count / 2, |a, b| middle(a).total_cmp(&middle(b)));
    nodes[index].count = 0;
    build(surfaces, first, count / 2, nodes);
    nodes[index].first = nodes.len();
    build(surfaces, first + count / 2, count - count / 2, nodes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Translation3, UnitQuaternion};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    fn surfaces(rng: &mut Pcg64) -> Vec<Surface> {
        let mut vector = |range: f32| Vector3::from_fn(|_, _| rng.random_range(-range..range));
        (0..60)
            .map(|i| Surface {
                form: match i % 5 {
                    0 => Form::Sphere(0.2),
                    1 => Form::Box(Vector3::new(0.1, 0.2, 0.3)),
                    2 => Form::Cylinder(0.1, 0.3),
                    3 => Form::Capsule(0.1, 0.2),
                    _ => Form::Triangle([vector(0.3), vector(0.5), vector(0.5)]),
                },
                world_from_surface: Isometry3::from_parts(
                    Translation3::from(vector(2.0)),
                    UnitQuaternion::new(vector(2.0)),
                ),
                body: i,
            })
            .collect()
    }

    #[test]
    fn the_tree_finds_what_a_plain_search_finds() {
        let mut rng = Pcg64::seed_from_u64(1);
        let tree = Tree::new(surfaces(&mut rng));
        let mut hits = 0;
        for _ in 0..2000 {
            let direction: Vector3<f32> =
                Vector3::from_fn(|_, _| rng.random_range(-1.0..1.0f32)).normalize();
            let ray = Ray {
                origin: Point3::from(-direction * 5.0),
                direction,
            };
            let plain = tree
                .surfaces
                .iter()
                .filter_map(|s| s.hit(&ray, 100.0).map(|h| h.0))
                .fold(f32::INFINITY, f32::min);
            let found = tree.hit(&ray, 100.0).map_or(f32::INFINITY, |h| h.t);
            assert_eq!(plain, found);
            assert_eq!(tree.is_blocked(&ray, 100.0), found.is_finite());
            hits += usize::from(found.is_finite());
        }
        assert!(hits > 300, "{hits}");
    }

    /// A hit lies on the surface, with the normal of the distance there.
    #[test]
    fn hits_lie_where_the_distance_is_zero() {
        use crate::scene::{Shape, SignedDistance};
        let cases = [
            (Form::Sphere(0.2), Shape::Sphere { radius_m: 0.2 }),
            (
                Form::Box(Vector3::new(0.1, 0.2, 0.3)),
                Shape::Box {
                    half_extents_m: [0.1, 0.2, 0.3],
                },
            ),
            (
                Form::Cylinder(0.1, 0.3),
                Shape::Cylinder {
                    radius_m: 0.1,
                    length_m: 0.6,
                },
            ),
            (
                Form::Capsule(0.1, 0.2),
                Shape::Capsule {
                    radius_m: 0.1,
                    length_m: 0.4,
                },
            ),
        ];
        let mut rng = Pcg64::seed_from_u64(2);
        for (form, shape) in cases {
            let surface = Surface {
                form,
                world_from_surface: Isometry3::identity(),
                body: 0,
            };
            let mut hits = 0;
            for _ in 0..500 {
                let target: Vector3<f32> = Vector3::from_fn(|_, _| rng.random_range(-0.3..0.3f32));
                let direction: Vector3<f32> =
                    Vector3::from_fn(|_, _| rng.random_range(-1.0..1.0f32)).normalize();
                let ray = Ray {
                    origin: Point3::from(target - direction * 2.0),
                    direction,
                };
                let inside = shape.distance(&Point3::from(target.cast())) < 0.0;
                let Some((t, normal)) = surface.hit(&ray, 100.0) else {
                    assert!(!inside, "a ray through the inside misses");
                    continue;
                };
                hits += 1;
                let (distance, gradient) = shape.distance_and_gradient(&ray.at(t).cast());
                assert!(distance.abs() < 1e-5, "{shape:?} {distance}");
                assert!(normal.dot(&direction) <= 0.0);
                let edge = gradient.abs().max() < 0.999
                    && matches!(shape, Shape::Box { .. } | Shape::Cylinder { .. });
                if !edge {
                    assert!((gradient - normal.cast()).norm() < 1e-2, "{shape:?}");
                }
            }
            assert!(hits > 100);
        }
    }
}
