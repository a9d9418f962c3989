//! Collision spheres that cover the collision shapes of a link.
//!
//! Sphere shapes are kept as they are. For the rest: points on the surface of the union of the link's shapes are
//! covered by few balls about inner points. A ball of radius (depth of its centre + e) sticks out of the
//! union by at most e, because a signed distance grows by at most 1 m per m.

use nalgebra::{Point3, Vector3};

use super::balls::Ball;
use super::block_grid::BlockGrid;
use super::sphere_cover::Cover;
use super::{SphereCover, SphereSettings};
use crate::geometry::Pose;
use crate::scene::{Shape, SignedDistance};

/// Shapes of a link with their poses in it.
pub(super) struct ShapeUnion<'a> {
    pub shapes: &'a [(Pose, Shape)],
}

/// Growth of the allowed over-cover while there are too many balls.
const COARSER: f64 = 1.25;
/// Sampling of surfaces: fraction of the link's diagonal, within bounds.
const SAMPLES_PER_DIAGONAL: f64 = 40.0;
const FINEST_M: f64 = 0.002;
const COARSEST_M: f64 = 0.008;

impl ShapeUnion<'_> {
    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let mut best = (f64::INFINITY, Vector3::z());
        for (link_from_shape, shape) in self.shapes {
            let local = link_from_shape.inverse_transform_point(point);
            let (distance, gradient) = shape.distance_and_gradient(&local);
            if distance < best.0 {
                best = (distance, link_from_shape.rotation * gradient);
            }
        }
        best
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        let far = f64::INFINITY;
        let mut out = (Point3::new(far, far, far), Point3::new(-far, -far, -far));
        for (link_from_shape, shape) in self.shapes {
            let (low, high) = shape.bounds();
            for corner in 0..8 {
                let local = Point3::from(Vector3::from_fn(|k, _| {
                    if corner >> k & 1 == 0 {
                        low[k]
                    } else {
                        high[k]
                    }
                }));
                let p = link_from_shape * local;
                out.0 = out.0.inf(&p);
                out.1 = out.1.sup(&p);
            }
        }
        out
    }

    /// A regular grid over the union, half a spacing wider on each side.
    fn grid(&self, spacing: f64) -> BlockGrid {
        let (low, high) = self.bounds();
        let count = (high - low).map(|v| (v / spacing).ceil() as usize + 2);
        BlockGrid {
            low,
            spacing,
            count: [count.x, count.y, count.z],
        }
    }

    /// Points on the union's surface: every surface point lies within sqrt(3) spacings of one, nearly all within
    /// half a spacing.
    fn surface(&self, spacing: f64) -> Vec<Point3<f64>> {
        let reach = 0.87 * spacing;
        let grid = self.grid(spacing);
        let mut found: Vec<([usize; 3], Point3<f64>)> = Vec::new();
        for block in grid.blocks() {
            // A distance changes by at most the way gone: most blocks hold no surface at all.
            let (middle, radius) = grid.ball_around(&block);
            let near = self.shapes.iter().filter(|(link_from_shape, shape)| {
                let local = link_from_shape.inverse_transform_point(&middle);
                shape.distance(&local).abs() <= reach + radius
            });
            let near: Vec<&(Pose, Shape)> = near.collect();
            if near.is_empty() {
                continue;
            }
            for at in grid.inside(&block) {
                let p = grid.point(at);
                for (link_from_shape, shape) in &near {
                    let local = link_from_shape.inverse_transform_point(&p);
                    let (distance, gradient) = shape.distance_and_gradient(&local);
                    if distance.abs() > reach {
                        continue;
                    }
                    let on_surface = *link_from_shape * (local - gradient * distance);
                    // what lies inside a neighbouring shape is no surface of the union
                    if self.distance_and_gradient(&on_surface).0 > -1e-4 {
                        found.push((at, on_surface));
                    }
                }
            }
        }
        // In the grid's order, whatever the blocks are.
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, p)| p).collect()
    }

    /// Inner points with their depth below the surface samples, moved to where it is locally largest.
    ///
    /// The distance of the union is no use for the depth: inside it only knows the nearest single shape, and a
    /// link is often cut into short cylinders whose caps lie deep within the link.
    fn inner_points(&self, spacing: f64, samples: &[Point3<f64>]) -> Vec<(Point3<f64>, f64)> {
        let mut out: Vec<(Point3<f64>, f64)> = Vec::new();
        for p in self.grid(spacing).points() {
            if self.distance_and_gradient(&p).0 >= 0.0 {
                continue;
            }
            let start = nearest(samples, &p);
            let climbed = self.climb(p, start, spacing, samples);
            out.push((p, start.1));
            let known = |(q, _): &(Point3<f64>, f64)| (q - climbed.0).norm() < 0.2 * spacing;
            if !out.iter().any(known) {
                out.push(climbed);
            }
        }
        out
    }

    /// Moves a point away from the nearest surface as long as it gets deeper.
    fn climb(
        &self,
        start: Point3<f64>,
        below: (Point3<f64>, f64),
        spacing: f64,
        samples: &[Point3<f64>],
    ) -> (Point3<f64>, f64) {
        let (mut p, (mut surface, mut depth)) = (start, below);
        let mut step = spacing;
        while step > 0.2 * spacing && depth > 1e-6 {
            let next = p + (p - surface) * (step / depth);
            let found = nearest(samples, &next);
            if found.1 > depth + 0.1 * step && self.distance_and_gradient(&next).0 < 0.0 {
                (p, (surface, depth)) = (next, found);
            } else {
                step *= 0.5;
            }
        }
        (p, depth)
    }
}

/// Nearest of the samples and its distance.
fn nearest(samples: &[Point3<f64>], p: &Point3<f64>) -> (Point3<f64>, f64) {
    let mut best = (*p, f64::INFINITY);
    for sample in samples {
        let squared = (sample - p).norm_squared();
        if squared < best.1 {
            best = (*sample, squared);
        }
    }
    (best.0, best.1.sqrt())
}

/// Balls that cover the shapes of one link, and how well they do. They stick out by about `over_cover_m`, if it is given.
pub(super) fn cover_link(
    link: &str,
    shapes: &[(Pose, Shape)],
    settings: &SphereSettings,
    over_cover_m: Option<f64>,
) -> (Vec<Ball>, SphereCover) {
    let mut balls = Vec::new();
    let mut rest = Vec::new();
    for (link_from_shape, shape) in shapes {
        match shape {
            Shape::Sphere { radius_m } => balls.push(Ball {
                center: Point3::from(link_from_shape.translation.vector),
                radius_m: *radius_m,
            }),
            _ => rest.push((*link_from_shape, shape.clone())),
        }
    }
    let given = balls.len();
    let mut cover = SphereCover {
        link: link.into(),
        own: false,
        spheres: given,
        over_cover_m: 0.0,
        under_cover_m: 0.0,
    };
    if rest.is_empty() {
        return (balls, cover);
    }
    let union = ShapeUnion { shapes };
    let (low, high) = union.bounds();
    let spacing = ((high - low).norm() / SAMPLES_PER_DIAGONAL).clamp(FINEST_M, COARSEST_M);
    let samples = union.surface(spacing);
    let candidates = union.inner_points(2.0 * spacing, &samples);
    let deepest = candidates.iter().map(|c| c.1).fold(0.0, f64::max);
    let mut over = over_cover_m.unwrap_or_else(|| {
        (settings.over_cover_ratio * deepest)
            .clamp(settings.min_over_cover_m, settings.max_over_cover_m)
    });
    let held = |p: &Point3<f64>| balls.iter().any(|b| (p - b.center).norm() <= b.radius_m);
    let samples: Vec<Point3<f64>> = samples.into_iter().filter(|p| !held(p)).collect();
    let cover_by = Cover {
        samples: &samples,
        candidates: &candidates,
        slack: 0.4 * spacing,
    };
    let mut chosen = cover_by.few(over);
    while chosen.len() > settings.max_per_link {
        over *= COARSER;
        chosen = cover_by.few(over);
    }
    // a given ball inside a fitted one adds nothing
    let inside = |b: &Ball| {
        chosen
            .iter()
            .any(|c| (b.center - c.center).norm() + b.radius_m <= c.radius_m)
    };
    balls.retain(|b| !inside(b));
    let given = balls.len();
    balls.extend(chosen);
    cover.under_cover_m = close_gaps(&union, &mut balls, given, spacing);
    cover.over_cover_m = stick_out(&union, &balls);
    cover.spheres = balls.len();
    (balls, cover)
}

/// Looks at the surface four times as finely, grows the nearest ball where something is still bare, and returns what
/// is bare after that at a third, shifted sampling.
fn close_gaps(union: &ShapeUnion, balls: &mut [Ball], given: usize, spacing: f64) -> f64 {
    for p in union.surface(0.25 * spacing) {
        let bare = |b: &Ball| (p - b.center).norm() - b.radius_m;
        if balls.iter().any(|b| bare(b) <= 0.0) {
            continue;
        }
        let nearest = balls[given..]
            .iter_mut()
            .min_by(|a, b| bare(a).total_cmp(&bare(b)));
        if let Some(ball) = nearest {
            ball.radius_m = (p - ball.center).norm() + 3e-4;
        }
    }
    let bare = |p: &Point3<f64>| {
        balls
            .iter()
            .map(|b| (p - b.center).norm() - b.radius_m)
            .fold(f64::INFINITY, f64::min)
    };
    union
        .surface(0.37 * spacing)
        .iter()
        .map(bare)
        .fold(0.0, f64::max)
}

/// How far the balls stick out of the union: largest distance of points on the balls.
fn stick_out(union: &ShapeUnion, balls: &[Ball]) -> f64 {
    const DIRECTIONS: usize = 200;
    let golden = std::f64::consts::PI * (3.0 - 5f64.sqrt());
    let mut out = 0.0f64;
    for ball in balls {
        for i in 0..DIRECTIONS {
            let z = 1.0 - 2.0 * (i as f64 + 0.5) / DIRECTIONS as f64;
            let (sine, cosine) = (golden * i as f64).sin_cos();
            let rho = (1.0 - z * z).sqrt();
            let p = ball.center + Vector3::new(rho * cosine, rho * sine, z) * ball.radius_m;
            out = out.max(union.distance_and_gradient(&p).0);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cover(shapes: &[(Pose, Shape)]) -> (Vec<Ball>, SphereCover) {
        cover_link("link", shapes, &SphereSettings::default(), None)
    }

    /// Points of the surface by an independent sampling: rays from inside a convex shape.
    fn bare_length(shape: &Shape, balls: &[Ball]) -> f64 {
        let mut worst = 0.0f64;
        for i in 0..4000 {
            let z = 1.0 - 2.0 * (i as f64 + 0.5) / 4000.0;
            let (sine, cosine) = (2.399963 * i as f64).sin_cos();
            let rho = (1.0 - z * z).sqrt();
            let direction = Vector3::new(rho * cosine, rho * sine, z);
            let (mut near, mut far) = (0.0, 2.0);
            for _ in 0..60 {
                let middle = 0.5 * (near + far);
                if shape.distance(&Point3::from(direction * middle)) < 0.0 {
                    near = middle
                } else {
                    far = middle
                }
            }
            let p = Point3::from(direction * near);
            let bare = balls
                .iter()
                .map(|b| (p - b.center).norm() - b.radius_m)
                .fold(f64::INFINITY, f64::min);
            worst = worst.max(bare);
        }
        worst
    }

    #[test]
    fn every_shape_is_covered_and_not_by_much_more() {
        for shape in [
            Shape::Box {
                half_extents_m: [0.1, 0.05, 0.03],
            },
            Shape::Cylinder {
                radius_m: 0.06,
                length_m: 0.2,
            },
            Shape::Capsule {
                radius_m: 0.05,
                length_m: 0.15,
            },
        ] {
            let (balls, cover) = cover(&[(Pose::identity(), shape.clone())]);
            assert!(bare_length(&shape, &balls) < 5e-4, "{cover:?}");
            assert!(cover.under_cover_m < 5e-4, "{cover:?}");
            assert!(cover.over_cover_m < 0.03 + 3e-3, "{cover:?}");
            assert!(balls.len() <= 24, "{cover:?}");
            assert_eq!(cover.spheres, balls.len());
        }
    }

    #[test]
    fn spheres_stay_exactly_as_they_are() {
        let at = Pose::translation(0.1, 0.2, 0.3);
        let (balls, cover) = cover(&[
            (at, Shape::Sphere { radius_m: 0.07 }),
            (Pose::identity(), Shape::Sphere { radius_m: 0.01 }),
        ]);
        assert_eq!(
            balls[0],
            Ball {
                center: Point3::new(0.1, 0.2, 0.3),
                radius_m: 0.07
            }
        );
        assert_eq!(balls.len(), 2);
        assert_eq!((cover.over_cover_m, cover.under_cover_m), (0.0, 0.0));
    }

    #[test]
    fn the_limit_on_their_number_holds() {
        let settings = SphereSettings {
            max_per_link: 3,
            ..SphereSettings::default()
        };
        let shape = Shape::Box {
            half_extents_m: [0.2, 0.05, 0.01],
        };
        let (balls, cover) = cover_link(
            "plate",
            &[(Pose::identity(), shape.clone())],
            &settings,
            None,
        );
        assert!(balls.len() <= 3 && cover.under_cover_m < 5e-4, "{cover:?}");
        assert!(bare_length(&shape, &balls) < 1e-3);
    }
}
