//! Bodies inside surfaces, which touch nothing.

use parry3d_f64::math::{Pose3, Vec3};
use parry3d_f64::query::Ray;

use super::solids::{Body, Solid};

/// Whether one of two solids that do not touch lies inside the other, which only surfaces allow.
pub(super) fn is_inside(a: &Solid, b: &Solid, links: &[Pose3]) -> bool {
    holds(a, b, links) || holds(b, a, links)
}

/// Whether a surface of `outer` encloses a part of `inner`: the first surface seen from inside is seen from its back.
/// Three directions vote, for surfaces with a hole.
fn holds(outer: &Solid, inner: &Solid, links: &[Pose3]) -> bool {
    let outer_from_inner = outer
        .world_from_frame(links)
        .inv_mul(inner.world_from_frame(links));
    let directions = [
        Vec3::new(0.31, 0.17, 0.93),
        Vec3::new(-0.83, 0.5, -0.24),
        Vec3::new(0.4, -0.87, -0.29),
    ];
    outer
        .parts
        .iter()
        .filter(|p| matches!(p.body, Body::Surface))
        .any(|surface| {
            let Some(mesh) = surface.shape.as_trimesh() else {
                return false;
            };
            inner.parts.iter().any(|part| {
                let point = outer_from_inner.transform_point(part.frame_from_shape.translation);
                if (point - surface.center).length() > surface.radius_m {
                    return false;
                }
                let backs = directions.iter().filter(|d| {
                    let ray = Ray::new(point, **d);
                    let hit = surface.shape.cast_ray_and_get_normal(
                        &surface.frame_from_shape,
                        &ray,
                        f64::MAX,
                        false,
                    );
                    hit.is_some_and(|h| mesh.is_backface(h.feature))
                });
                backs.count() >= 2
            })
        })
}
