//! Triangle meshes against other shapes: parry's tree of boxes, cut off early by slabs.
//!
//! A slab is what the other shape takes up along one direction. A box of the tree that lies outside one slab by
//! more than the gap needs no look at its triangles. The directions are both shapes' axes and the one that
//! separated last. Where the mesh is what moves, a box or triangle takes part at both ends.

use parry3d_f64::math::{Pose3, Rot3, Vec3};
use parry3d_f64::partitioning::{BvhNode, TraversalAction};
use parry3d_f64::query;
use parry3d_f64::shape::{Cuboid, SupportMap, TriMesh, Triangle};

use super::apart::{convex_apart, Core, Hull};
use super::solids::{Body, Part};

/// A direction as seen from the mesh's frame where the mesh is.
#[derive(Clone, Copy)]
struct Along {
    direction: Vec3,
    absolute: Vec3,
    /// Where the frame's origin is along it.
    at: f64,
}

/// What the other shape takes up along a direction, and how the mesh is measured along it at both ends.
#[derive(Clone, Copy)]
struct Slab {
    from: Along,
    /// None: the mesh stands.
    to: Option<Along>,
    low: f64,
    high: f64,
}

/// Slabs of one query.
struct Slabs {
    slabs: [Slab; 7],
}

impl Slab {
    /// For a mesh at two poses in the frame in which `direction` (unit) and the interval are given.
    fn new(direction: Vec3, mesh_ends: &[Pose3; 2], low: f64, high: f64) -> Self {
        let [from, to] = mesh_ends.map(|end| {
            let local = end.rotation.inverse() * direction;
            Along {
                direction: local,
                absolute: local.abs(),
                at: direction.dot(end.translation),
            }
        });
        let to = (mesh_ends[0] != mesh_ends[1]).then_some(to);
        Self {
            from,
            to,
            low,
            high,
        }
    }

    fn gap_to(&self, interval: impl Fn(&Along) -> (f64, f64)) -> f64 {
        let (mut low, mut high) = interval(&self.from);
        if let Some(to) = &self.to {
            let end = interval(to);
            (low, high) = (low.min(end.0), high.max(end.1));
        }
        (low - self.high).max(self.low - high)
    }

    /// A distance that a box of the mesh's tree has at least, m.
    fn gap_to_box(&self, center: Vec3, half: Vec3) -> f64 {
        self.gap_to(|along| {
            let middle = along.direction.dot(center) + along.at;
            let reach = along.absolute.dot(half);
            (middle - reach, middle + reach)
        })
    }

    /// The same for a triangle.
    fn gap_to_triangle(&self, t: &Triangle) -> f64 {
        self.gap_to(|along| {
            let [a, b, c] = [t.a, t.b, t.c].map(|v| along.direction.dot(v) + along.at);
            (a.min(b).min(c), a.max(b).max(c))
        })
    }
}

impl Slabs {
    /// `extent`: the other shape's interval along a direction; `axes`: rotation whose axes are the shape's.
    fn new(
        mesh_ends: &[Pose3; 2],
        axes: [Rot3; 2],
        hint: Vec3,
        extent: impl Fn(Vec3) -> (f64, f64),
    ) -> Self {
        let slab = |direction: Vec3| {
            let (low, high) = extent(direction);
            Slab::new(direction, mesh_ends, low, high)
        };
        let units = [Vec3::X, Vec3::Y, Vec3::Z];
        let [a, b] = axes.map(|r| units.map(|u| slab(r * u)));
        Self {
            slabs: [slab(hint), a[0], a[1], a[2], b[0], b[1], b[2]],
        }
    }

    /// A distance that a box of the mesh's tree has at least, m.
    fn gap_to_box(&self, node: &BvhNode) -> f64 {
        let (center, half) = (node.center(), 0.5 * (node.maxs() - node.mins()));
        let gaps = self.slabs.iter().map(|slab| slab.gap_to_box(center, half));
        gaps.fold(f64::NEG_INFINITY, f64::max)
    }

    /// Whether a slab shows that a box is further away; the first that does is enough.
    fn keep_off_box(&self, node: &BvhNode, gap_m: f64) -> bool {
        let (center, half) = (node.center(), 0.5 * (node.maxs() - node.mins()));
        let mut slabs = self.slabs.iter();
        slabs.any(|slab| slab.gap_to_box(center, half) > gap_m)
    }

    /// The same for a triangle.
    fn keep_off_triangle(&self, t: &Triangle, gap_m: f64) -> bool {
        self.slabs
            .iter()
            .any(|slab| slab.gap_to_triangle(t) > gap_m)
    }
}

/// Interval that a support map takes up along a direction.
fn extent(shape: &impl SupportMap, direction: Vec3) -> (f64, f64) {
    let along = |d: Vec3| shape.local_support_point(d).dot(direction);
    (along(-direction), along(direction))
}

/// What a node of a mesh's tree holds, a box or a triangle, and the origin of the shape's frame in the mesh's.
fn convex(mesh: &TriMesh, node: &BvhNode) -> (Core, Vec3) {
    match node.leaf_data() {
        Some(index) => (Core::Triangle(mesh.triangle(index)), Vec3::ZERO),
        None => {
            let half = 0.5 * (node.maxs() - node.mins());
            (Core::Cuboid(Cuboid::new(half)), node.center())
        }
    }
}

/// Whether all triangles are further away than `gap_m`: by slabs, or else by `is_apart`, which is asked of boxes too, since a
/// mesh that passes just beyond the gap would have nearly all of its triangles looked at.
fn all_apart(
    mesh: &TriMesh,
    slabs: &Slabs,
    gap_m: f64,
    mut is_apart: impl FnMut(&Core, Vec3) -> bool,
) -> bool {
    let mut all = true;
    mesh.bvh().traverse(|node| {
        if slabs.keep_off_box(node, gap_m) {
            return TraversalAction::Prune;
        }
        let (core, origin) = convex(mesh, node);
        let by_slabs = matches!(&core, Core::Triangle(t) if slabs.keep_off_triangle(t, gap_m));
        if by_slabs || is_apart(&core, origin) {
            return TraversalAction::Prune;
        }
        if !node.is_leaf() {
            return TraversalAction::Continue;
        }
        all = false;
        TraversalAction::EarlyExit
    });
    all
}

/// A standing mesh against a convex hull in its frame. `direction` (away from the mesh): hint and proof.
pub(super) fn apart_from_hull(mesh: &Part, hull: &Hull, gap_m: f64, direction: &mut Vec3) -> bool {
    let Some(triangles) = mesh.shape.as_trimesh() else {
        return false;
    };
    let axes = [Rot3::IDENTITY, hull.ends[0].rotation];
    let here = [Pose3::identity(); 2];
    let slabs = Slabs::new(&here, axes, direction.normalize_or(Vec3::X), |n| {
        extent(hull, n)
    });
    all_apart(triangles, &slabs, gap_m, |core, origin| {
        let from_origin = Pose3::from_translation(-origin);
        let hull = Hull {
            ends: hull.ends.map(|end| from_origin * end),
            ..*hull
        };
        convex_apart(core, &hull, gap_m, direction)
    })
}

/// A moving mesh against a convex core that stands. `direction` (towards the mesh): hint and proof.
pub(super) fn moving_apart_from(
    mesh: &Part,
    core: &Core,
    ends: [Pose3; 2],
    gap_m: f64,
    direction: &mut Vec3,
) -> bool {
    let Some(triangles) = mesh.shape.as_trimesh() else {
        return false;
    };
    let axes = [Rot3::IDENTITY, ends[0].rotation];
    let slabs = Slabs::new(&ends, axes, direction.normalize_or(Vec3::X), |n| {
        extent(core, n)
    });
    all_apart(triangles, &slabs, gap_m, |moving, origin| {
        let hull = Hull {
            core: moving,
            ends: ends.map(|end| end * Pose3::from_translation(origin)),
        };
        convex_apart(core, &hull, gap_m, direction)
    })
}

/// A moving mesh above the plane z = 0.
pub(super) fn above_plane(mesh: &Part, ends: [Pose3; 2], gap_m: f64) -> bool {
    let Some(triangles) = mesh.shape.as_trimesh() else {
        return false;
    };
    let slabs = Slabs {
        slabs: [Slab::new(Vec3::Z, &ends, f64::NEG_INFINITY, 0.0); 7],
    };
    all_apart(triangles, &slabs, gap_m, |_, _| false)
}

/// Two meshes: the boxes of the moving one as convex shapes, smaller and smaller, at last its triangles.
pub(super) fn both_apart(fixed: &Part, moving: &Part, ends: [Pose3; 2], gap_m: f64) -> bool {
    let Some(triangles) = moving.shape.as_trimesh() else {
        return false;
    };
    let mut direction = Vec3::ZERO;
    let mut all = true;
    triangles.bvh().traverse(|node| {
        let (core, origin) = convex(triangles, node);
        let hull = Hull {
            core: &core,
            ends: ends.map(|end| end * Pose3::from_translation(origin)),
        };
        if apart_from_hull(fixed, &hull, gap_m, &mut direction) {
            TraversalAction::Prune
        } else if node.is_leaf() {
            all = false;
            TraversalAction::EarlyExit
        } else {
            TraversalAction::Continue
        }
    });
    all
}

/// Distance between a mesh and a convex part where it is below `limit_m`; 0 where they touch. `mesh_from_part`: pose.
///
/// Boxes that slabs do not keep off are measured like triangles: where the nearest points lie at an edge, slabs would leave most
/// triangles to be measured.
pub(super) fn distance_below(
    mesh: &TriMesh,
    part: &Part,
    mesh_from_part: &Pose3,
    limit_m: f64,
) -> Option<f64> {
    let Body::Convex { core, rounding_m } = &part.body else {
        return None;
    };
    let hull = Hull {
        core,
        ends: [*mesh_from_part; 2],
    };
    let axes = [Rot3::IDENTITY, mesh_from_part.rotation];
    let here = [Pose3::identity(); 2];
    // Along the way between both, boxes of a mesh far away are told apart best.
    let way = mesh_from_part.translation - mesh.bvh().root_aabb().center();
    let slabs = Slabs::new(&here, axes, way.normalize_or(Vec3::X), |n| extent(&hull, n));
    let to_triangle = |index, _: f64| {
        let triangle = mesh.triangle(index);
        query::distance(&Pose3::identity(), &triangle, mesh_from_part, &*part.shape)
            .ok()
            .map(|found| found.distance)
    };
    let to_box = |node: &BvhNode, best_m: f64| {
        let gap_m = (slabs.gap_to_box(node) - rounding_m).max(0.0);
        if gap_m >= best_m {
            return gap_m;
        }
        let half = 0.5 * (node.maxs() - node.mins());
        let center = Pose3::from_translation(node.center());
        let found = query::distance(&center, &Cuboid::new(half), mesh_from_part, &*part.shape);
        found.map_or(gap_m, |found| found.distance)
    };
    let found = mesh.bvh().find_best(limit_m, to_box, to_triangle);
    found.map(|(_, distance)| distance)
}
