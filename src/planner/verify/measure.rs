//! Distances of solids at one time, by parry, where they are small enough to matter.

use parry3d_f64::math::{Pose3, Vec3};
use parry3d_f64::query::{self, ClosestPoints};

use super::apart::parts_apart;
use super::solids::{Body, Part, Solid};
use super::{surface, Violation};

/// Distance between two solids if it is below `limit_m`, negative by the depth if they overlap. `fixed_from_moving`:
/// pose of the frame of the one in the frame of the other. `directions`: as [`super::apart::solids_apart`] has them.
/// Counts the pairs of shapes that it measured.
pub(super) fn distance_below(
    fixed: &Solid,
    moving: &Solid,
    fixed_from_moving: &Pose3,
    limit_m: f64,
    directions: &mut [Vec3],
    measured: &mut usize,
) -> Result<Option<f64>, Violation> {
    let margin_m = fixed.margin_m + moving.margin_m;
    let (mut best_m, mut found) = (limit_m + margin_m, false);
    let center = fixed_from_moving.transform_point(moving.center);
    if fixed.distance_at_least(center, moving.radius_m) >= best_m {
        return Ok(None);
    }
    let pairs = fixed
        .parts
        .iter()
        .flat_map(|q| moving.parts.iter().map(move |p| (q, p)));
    for ((q, p), direction) in pairs.zip(directions) {
        let center = fixed_from_moving.transform_point(p.center);
        if q.distance_at_least(center) - p.radius_m >= best_m {
            continue;
        }
        let pose = q.shape_from_frame * *fixed_from_moving * p.frame_from_shape;
        if best_m.is_finite() && parts_apart(q, p, [pose; 2], best_m, direction) {
            continue;
        }
        *measured += 1;
        let unsupported = |_| {
            let (a, b) = (&fixed.name, &moving.name);
            let reason = format!("no distance is defined between the shapes of '{a}' and '{b}'");
            Violation::Setup { reason }
        };
        let distance_m = part_distance(q, p, &pose, best_m).map_err(unsupported)?;
        if distance_m <= 0.0 {
            let here = Pose3::identity();
            let contact =
                query::contact(&here, &*q.shape, &pose, &*p.shape, 0.0).map_err(unsupported)?;
            // Touching without depth has no contact.
            return Ok(Some(contact.map_or(0.0, |c| c.dist.min(0.0)) - margin_m));
        }
        if distance_m < best_m {
            (best_m, found) = (distance_m, true);
        }
    }
    Ok(found.then_some(best_m - margin_m))
}

/// Points of two solids that are nearest to each other, in the world, by the poses of all links; `distance_m` is what was measured
/// between the solids then. `None` for shapes that parry has no answer for.
pub(super) fn nearest_points(
    a: &Solid,
    b: &Solid,
    links: &[Pose3],
    distance_m: f64,
) -> Option<[Vec3; 2]> {
    /// Two ways to the same distance differ by less, m.
    const ROUNDING_M: f64 = 1e-5;
    let (world_from_a, world_from_b) = (a.world_from_frame(links), b.world_from_frame(links));
    let b_from_a = world_from_b.inv_mul(world_from_a);
    let mut limit_m = distance_m + a.margin_m + b.margin_m + ROUNDING_M;
    let mut nearest = None;
    for p in &a.parts {
        let center = b_from_a.transform_point(p.center);
        for q in &b.parts {
            // Most parts are too far away by their spheres alone.
            if q.distance_at_least(center) - p.radius_m > limit_m {
                continue;
            }
            let poses = [
                *world_from_a * p.frame_from_shape,
                *world_from_b * q.frame_from_shape,
            ];
            let found = query::closest_points(&poses[0], &*p.shape, &poses[1], &*q.shape, limit_m);
            if let ClosestPoints::WithinMargin(p, q) = found.ok()? {
                limit_m = (p - q).length();
                nearest = Some([p, q]);
            }
        }
    }
    nearest
}

/// Distance between two parts; above `limit_m` any larger number will do.
fn part_distance(
    q: &Part,
    p: &Part,
    q_from_p: &Pose3,
    limit_m: f64,
) -> Result<f64, query::Unsupported> {
    let below = |mesh: &Part, part: &Part, pose: &Pose3| {
        let mesh = mesh.shape.as_trimesh()?;
        let distance_m = surface::distance_below(mesh, part, pose, limit_m);
        Some(distance_m.unwrap_or(f64::INFINITY))
    };
    let found = match (&q.body, &p.body) {
        (Body::Surface, Body::Convex { .. }) => below(q, p, q_from_p),
        (Body::Convex { .. }, Body::Surface) => below(p, q, &q_from_p.inverse()),
        _ => None,
    };
    match found {
        Some(distance_m) => Ok(distance_m),
        None => {
            let here = Pose3::identity();
            query::distance(&here, &*q.shape, q_from_p, &*p.shape).map(|d| d.distance)
        }
    }
}
