//! Whether two solids keep apart by more than a given gap while one of them moves from one place to another.
//!
//! The moving solid is looked at as the hull of what it is at both ends: what it leaves this hull by is part of the gap
//! (see [`super::excursion`]). The hull needs no construction: its support in a direction is the farther one of both
//! ends. A proof of separation is a direction in which the one ends before the other begins, checked by itself;
//! parry's GJK only looks for it. The direction that served last is tried first.

use parry3d_f64::math::{Pose3, Vec3};
use parry3d_f64::query::gjk::{self, CsoPoint, GJKResult, VoronoiSimplex};
use parry3d_f64::shape::{Cuboid, Cylinder, Segment, SupportMap, Triangle};

use super::solids::{Body, Part, Solid};
use super::surface;

/// A convex shape without its rounding.
#[derive(Clone, Copy)]
pub(super) enum Core {
    Point,
    Segment(Segment),
    Cuboid(Cuboid),
    Cylinder(Cylinder),
    Triangle(Triangle),
}

impl SupportMap for Core {
    fn local_support_point(&self, direction: Vec3) -> Vec3 {
        match self {
            Self::Point => Vec3::ZERO,
            Self::Segment(shape) => shape.local_support_point(direction),
            Self::Cuboid(shape) => shape.local_support_point(direction),
            Self::Cylinder(shape) => shape.local_support_point(direction),
            Self::Triangle(shape) => shape.local_support_point(direction),
        }
    }
}

/// The hull of a core at two poses, in the frame of the other shape.
#[derive(Clone, Copy)]
pub(super) struct Hull<'a> {
    pub core: &'a Core,
    pub ends: [Pose3; 2],
}

impl SupportMap for Hull<'_> {
    fn local_support_point(&self, direction: Vec3) -> Vec3 {
        let [a, b] = self
            .ends
            .map(|end| self.core.support_point(&end, direction));
        if a.dot(direction) >= b.dot(direction) {
            a
        } else {
            b
        }
    }
}

/// How far `moving` begins behind the end of `fixed` in a direction (unit).
fn separation(fixed: &Core, moving: &Hull, direction: Vec3) -> f64 {
    let (end, begin) = (
        fixed.local_support_point(direction),
        moving.local_support_point(-direction),
    );
    direction.dot(begin - end)
}

/// Whether two convex shapes are shown to be further apart than `gap_m`; `direction` is the hint and takes the proof.
pub(super) fn convex_apart(fixed: &Core, moving: &Hull, gap_m: f64, direction: &mut Vec3) -> bool {
    let gap_m = gap_m.max(0.0);
    if *direction == Vec3::ZERO {
        *direction = moving.ends[0].translation.normalize_or(Vec3::X);
    }
    if separation(fixed, moving, *direction) > gap_m {
        return true;
    }
    let here = Pose3::identity();
    let mut simplex = VoronoiSimplex::new();
    simplex.reset(CsoPoint::from_shapes(&here, fixed, moving, *direction));
    // A search that came to no end gives a direction too: only what it separates counts.
    match gjk::closest_points(&here, fixed, moving, gap_m, false, &mut simplex) {
        GJKResult::NoIntersection(found) if separation(fixed, moving, found) > gap_m => {
            *direction = found;
            true
        }
        _ => false,
    }
}

/// Whether two parts are shown to be further apart than `gap_m`. `ends`: poses of the moving part in the frame of the
/// fixed one.
pub(super) fn parts_apart(
    fixed: &Part,
    moving: &Part,
    ends: [Pose3; 2],
    gap_m: f64,
    direction: &mut Vec3,
) -> bool {
    match (&fixed.body, &moving.body) {
        (
            Body::Convex { core, rounding_m },
            Body::Convex {
                core: moving_core,
                rounding_m: moving_rounding_m,
            },
        ) => {
            let hull = Hull {
                core: moving_core,
                ends,
            };
            convex_apart(
                core,
                &hull,
                gap_m + rounding_m + moving_rounding_m,
                direction,
            )
        }
        (Body::HalfSpace, Body::Convex { core, rounding_m }) => {
            let hull = Hull { core, ends };
            hull.local_support_point(-Vec3::Z).z > gap_m + rounding_m
        }
        (Body::HalfSpace, Body::Surface) => surface::above_plane(moving, ends, gap_m),
        (Body::Surface, Body::Convex { core, rounding_m }) => {
            let hull = Hull { core, ends };
            surface::apart_from_hull(fixed, &hull, gap_m + rounding_m, direction)
        }
        (Body::Convex { core, rounding_m }, Body::Surface) => {
            surface::moving_apart_from(moving, core, ends, gap_m + rounding_m, direction)
        }
        (Body::Surface, Body::Surface) => surface::both_apart(fixed, moving, ends, gap_m),
        // Solids that move hold no half space.
        (_, Body::HalfSpace) => false,
    }
}

/// Whether two solids are shown to be further apart than `gap_m` beside their margins. `ends`: poses of the moving
/// solid in the frame of the fixed one. `directions`: hints, one for each part of the moving solid by each of the fixed.
pub(super) fn solids_apart(
    fixed: &Solid,
    moving: &Solid,
    ends: [Pose3; 2],
    gap_m: f64,
    directions: &mut [Vec3],
) -> bool {
    let gap_m = gap_m + fixed.margin_m + moving.margin_m;
    let (center, radius_m) = around_way(&ends, moving.center, moving.radius_m);
    if fixed.distance_at_least(center, radius_m) > gap_m {
        return true;
    }
    let mut hints = directions.iter_mut();
    for q in &fixed.parts {
        let far = q.distance_at_least(center) - radius_m > gap_m;
        for (p, direction) in moving.parts.iter().zip(hints.by_ref()) {
            if far {
                continue;
            }
            let (center, radius_m) = around_way(&ends, p.center, p.radius_m);
            if q.distance_at_least(center) - radius_m > gap_m {
                continue;
            }
            let ends = ends.map(|end| q.shape_from_frame * end * p.frame_from_shape);
            if !parts_apart(q, p, ends, gap_m, direction) {
                return false;
            }
        }
    }
    true
}

/// Sphere around a sphere on its straight way between both ends.
fn around_way(ends: &[Pose3; 2], center: Vec3, radius_m: f64) -> (Vec3, f64) {
    let [a, b] = ends.map(|end| end.transform_point(center));
    (0.5 * (a + b), 0.5 * (b - a).length() + radius_m)
}
