//! Something in the hand as a part of the robot's volume.
//!
//! The kernels know spheres, so a held body is covered by few balls. What counts is its outside: a cavity that no ball
//! of [`OPENING_RADIUS_M`] enters (the inside of a mug, the loop of its handle) is filled, or thin walls would need
//! hundreds of balls. The verifier tests the true shape.

use nalgebra::{Point3, Vector3};

use super::balls::BallGroup;
use super::collision::CollisionModel;
use super::sphere_cover::Cover;
use super::KinematicModel;
use crate::geometry::Pose;
use crate::lanes::{dot, horizontal_min, splat, sub, Lanes, Lanes3, LANES};
use crate::scene::SignedDistance;

/// Cavities are filled where a ball of this radius does not get in, m.
const OPENING_RADIUS_M: f64 = 0.06;
/// How far the balls may stick out of the filled body, m; by the free balls' spacing up to 2.5 mm more.
const OVER_COVER_M: f64 = 0.008;
/// Spacing of the places where free balls are tried, and of the balls' possible centres, m.
const FREE_SPACING_M: f64 = 0.01;
const CENTER_SPACING_M: f64 = 0.008;
/// A ball must hold a sample of the surface by this much, for what lies between samples, m.
const SLACK_M: f64 = 0.0015;
/// Samples deeper than this are walls of a filled cavity, m.
const INNER_M: f64 = 0.003;
/// Balls in one group of the held body.
const BALLS_PER_GROUP: usize = 8;

/// Few balls, in the body's frame, that hold all `surface` points but those in filled cavities.
/// Stick out by about [`OVER_COVER_M`]; bare by at most about a millimetre between the points.
pub fn cover_held(surface: &[Point3<f64>], body: &dyn SignedDistance) -> Vec<BallGroup> {
    let free = FreeBalls::around(body);
    let depth = |x: &Point3<f64>| free.depth(x);
    let samples: Vec<Point3<f64>> = surface
        .iter()
        .filter(|p| depth(p) < INNER_M)
        .copied()
        .collect();
    let candidates: Vec<(Point3<f64>, f64)> = grid(body, 0.0, CENTER_SPACING_M)
        .chain(samples.iter().copied())
        .map(|p| (p, depth(&p)))
        .filter(|(_, d)| *d > -OVER_COVER_M + SLACK_M)
        .collect();
    let cover = Cover {
        samples: &samples,
        candidates: &candidates,
        slack: SLACK_M,
    };
    BallGroup::of(cover.few(OVER_COVER_M), BALLS_PER_GROUP)
}

/// Balls around the body that are free of it and just large enough not to enter its cavities.
struct FreeBalls {
    /// Sixteen centres and radii at a time, m.
    balls: Vec<(Lanes3, Lanes)>,
}

impl FreeBalls {
    fn around(body: &dyn SignedDistance) -> Self {
        let shell = OPENING_RADIUS_M..OPENING_RADIUS_M + 1.8 * FREE_SPACING_M;
        let balls: Vec<(Point3<f64>, f64)> = grid(body, shell.end, FREE_SPACING_M)
            .map(|p| (p, body.distance(&p)))
            .filter(|(_, distance_m)| shell.contains(distance_m))
            .collect();
        let sixteen = |balls: &[(Point3<f64>, f64)]| {
            // The last are repeated.
            let ball = |lane: usize| &balls[lane.min(balls.len() - 1)];
            let coordinate =
                |k: usize| Lanes::new(std::array::from_fn(|lane| ball(lane).0[k] as f32));
            let radius = Lanes::new(std::array::from_fn(|lane| ball(lane).1 as f32));
            ([0, 1, 2].map(coordinate), radius)
        };
        Self {
            balls: balls.chunks(LANES).map(sixteen).collect(),
        }
    }

    /// How deep a point can be in the filled body: a ball of radius d about y is free, so at most |x - y| - d, m.
    fn depth(&self, x: &Point3<f64>) -> f64 {
        let x: Lanes3 = [0, 1, 2].map(|k| splat(x[k] as f32));
        let depths = self.balls.iter().map(|(center, radius)| {
            let offset = sub(&x, center);
            dot(&offset, &offset).sqrt() - *radius
        });
        f64::from(horizontal_min(
            depths.fold(splat(f32::INFINITY), Lanes::fast_min),
        ))
    }
}

/// Points of a regular grid over the body's bounds, `border_m` wider on each side.
fn grid(
    body: &dyn SignedDistance,
    border_m: f64,
    spacing_m: f64,
) -> impl Iterator<Item = Point3<f64>> {
    let (low, high) = body.bounds();
    let border = Vector3::repeat(border_m);
    let (low, extent) = (low - border, high - low + 2.0 * border);
    let count = extent.map(|e| (e / spacing_m).ceil() as usize + 1);
    (0..count.x).flat_map(move |i| {
        (0..count.y).flat_map(move |j| {
            (0..count.z).map(move |k| low + Vector3::new(i as f64, j as f64, k as f64) * spacing_m)
        })
    })
}

impl CollisionModel {
    /// This model with a held body more, as a link `name` fixed at `body_from_held`. It is tested against all links
    /// but those of the hand's body and those named in `touching`.
    pub fn with_held(
        &self,
        kinematics: &KinematicModel,
        name: &str,
        body: usize,
        body_from_held: &Pose,
        held: &[BallGroup],
        touching: &[String],
    ) -> Self {
        let mut model = self.clone();
        let link = model.links.len();
        model.links.push(name.into());
        let own = self.own.groups.len();
        for group in held.iter().map(|group| group.moved(body_from_held)) {
            model.scene.add_group(kinematics, body, link, &group);
            model.own.add_group(kinematics, body, link, &group);
        }
        for held in own..model.own.groups.len() {
            for other in 0..own {
                let group = &model.own.groups[other];
                if group.body != body && !touching.contains(&model.links[group.link]) {
                    model.self_pairs.push((other, held));
                }
            }
        }
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::robot::toy_robots;
    use crate::robot::Ball;
    use crate::scene::Shape;

    /// Points on a cylinder of radius 40 and height 100 mm, on its inner wall too if it is a cup.
    fn cup_points(inner: bool) -> Vec<Point3<f64>> {
        let mut out = Vec::new();
        for i in 0..40 {
            let (sine, cosine) = (i as f64 * std::f64::consts::TAU / 40.0).sin_cos();
            for j in 0..=20 {
                let z = -0.05 + 0.005 * j as f64;
                out.push(Point3::new(0.04 * cosine, 0.04 * sine, z));
                if inner {
                    out.push(Point3::new(0.037 * cosine, 0.037 * sine, z));
                }
            }
            for j in 0..8 {
                let r = 0.005 * j as f64;
                out.push(Point3::new(r * cosine, r * sine, -0.05));
                if !inner {
                    out.push(Point3::new(r * cosine, r * sine, 0.05));
                }
            }
        }
        out
    }

    /// A cup as a distance: a cylinder less a thinner one that starts above the bottom.
    struct Cup;

    impl SignedDistance for Cup {
        fn distance(&self, p: &Point3<f64>) -> f64 {
            let outer = Shape::Cylinder {
                radius_m: 0.04,
                length_m: 0.1,
            };
            let inner = Shape::Cylinder {
                radius_m: 0.037,
                length_m: 0.2,
            };
            let hollow = inner.distance(&(p - Vector3::z() * 0.053));
            outer.distance(p).max(-hollow)
        }

        fn distance_and_gradient(&self, p: &Point3<f64>) -> (f64, Vector3<f64>) {
            (self.distance(p), Vector3::z())
        }

        fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
            (
                Point3::new(-0.04, -0.04, -0.05),
                Point3::new(0.04, 0.04, 0.05),
            )
        }
    }

    #[test]
    fn a_cup_is_held_by_few_balls_and_its_cavity_is_filled() {
        let points = cup_points(true);
        let groups = cover_held(&points, &Cup);
        let balls: Vec<Ball> = groups.into_iter().flat_map(|g| g.balls).collect();
        assert!(balls.len() < 60, "{} balls", balls.len());
        let full = Shape::Cylinder {
            radius_m: 0.04,
            length_m: 0.1,
        };
        for b in &balls {
            let out = full.distance(&b.center) + b.radius_m;
            assert!(out < OVER_COVER_M + 2.5e-3, "{b:?} sticks out by {out}");
        }
        let outside = cup_points(false);
        for p in outside.iter().filter(|p| p.z < 0.049) {
            let bare = balls
                .iter()
                .map(|b| (p - b.center).norm() - b.radius_m)
                .fold(f64::INFINITY, f64::min);
            assert!(bare < 1e-4, "{p} is bare by {bare}");
        }
    }

    #[test]
    fn a_held_body_is_tested_against_the_arm_but_not_the_hand() {
        let robot = toy_robots::shipped("panda");
        let body = robot.kinematics.tool_body();
        let ball = Ball {
            center: Point3::origin(),
            radius_m: 0.03,
        };
        let before = robot.collision.self_pairs.len();
        let model = robot.collision.with_held(
            &robot.kinematics,
            "mug",
            body,
            &Pose::translation(0.0, 0.0, 0.2),
            &BallGroup::of(vec![ball], 8),
            &[],
        );
        assert_eq!(model.link_of_own_group(model.own.groups.len() - 1), "mug");
        let tested = &model.self_pairs[before..];
        assert!(!tested.is_empty());
        assert!(tested
            .iter()
            .all(|&(a, _)| model.own.groups[a].body != body));
    }
}
