//! The verifier against dense checks: planted collisions are found, clean motions pass.

mod bodies;
mod clouds;
mod constraints;
mod limits;
mod queries;
mod random_motions;

use std::f64::consts::PI;
use std::sync::Arc;

use nalgebra::{Translation3, UnitQuaternion, Vector3};
use parry3d_f64::math::Pose3;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use parry3d_f64::query;

use super::solids::Solid;
use super::*;
use crate::robot::toy_robots::shipped;
use crate::robot::{RobotModel, RobotSettings};
use crate::scene::{MeshDistance, SceneObject, TriangleMesh};

const PANDA_READY: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];

fn file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn panda() -> RobotModel {
    shipped("panda")
}

/// Two links of 0.5 and 0.3 m in the x-y plane; drawn in the file.
fn planar() -> RobotModel {
    let urdf = std::fs::read_to_string(file("tests/data/toy_planar.urdf")).unwrap();
    RobotModel::from_urdf(&urdf, &RobotSettings::new("base", "tool")).unwrap()
}

/// Any function of time as a motion.
struct Planted<F> {
    names: Vec<String>,
    duration_s: f64,
    position: F,
}

impl<F: Fn(f64, &mut [f64]) + Sync> Motion for Planted<F> {
    fn joint_names(&self) -> &[String] {
        &self.names
    }
    fn duration_s(&self) -> f64 {
        self.duration_s
    }
    fn position(&self, t_s: f64, q: &mut [f64]) {
        (self.position)(t_s, q)
    }
}

/// From 0 to 1 with three derivatives at rest on both ends; largest slope 35/16.
fn smooth(s: f64) -> f64 {
    s.powi(4) * (35.0 + s * (-84.0 + s * (70.0 - 20.0 * s)))
}

fn straight(
    robot: &RobotModel,
    from: &[f64],
    to: &[f64],
    duration_s: f64,
) -> Planted<impl Fn(f64, &mut [f64])> {
    let (from, to) = (from.to_vec(), to.to_vec());
    Planted {
        names: robot.limits.names.clone(),
        duration_s,
        position: move |t: f64, q: &mut [f64]| {
            let s = smooth(t / duration_s);
            for (j, q) in q.iter_mut().enumerate() {
                *q = from[j] + (to[j] - from[j]) * s;
            }
        },
    }
}

fn at(x: f64, y: f64, z: f64) -> Pose {
    Pose::from_parts(Translation3::new(x, y, z), UnitQuaternion::identity())
}

fn cuboid(name: &str, half_extents_m: [f64; 3], pose: Pose) -> SceneObject {
    SceneObject::new(name, Shape::Box { half_extents_m }, pose)
}

fn scene(objects: Vec<SceneObject>) -> Scene {
    Scene { objects }
}

/// Distance of two solids by parry alone, part by part and without any bound; not positive if they overlap.
fn exact_distance(a: &Solid, b: &Solid, links: &[Pose3]) -> f64 {
    let a_from_b = a.world_from_frame(links).inv_mul(b.world_from_frame(links));
    let parts = |p: &super::solids::Part, q: &super::solids::Part| {
        let relative = p.frame_from_shape.inv_mul(&(a_from_b * q.frame_from_shape));
        let here = Pose3::identity();
        let found = query::distance(&here, &*p.shape, &relative, &*q.shape).unwrap();
        found.distance
    };
    let best = a
        .parts
        .iter()
        .flat_map(|p| b.parts.iter().map(move |q| parts(p, q)))
        .fold(f64::INFINITY, f64::min);
    best - a.margin_m - b.margin_m
}

/// Smallest distance over all tested pairs at `count + 1` equidistant times.
fn dense_clearance(
    verifier: &mut Verifier,
    scene: &Scene,
    motion: &dyn Motion,
    settings: &VerifySettings,
    count: usize,
    with_world: bool,
) -> f64 {
    verifier.collider = Collider::default();
    verifier.prepare(scene, settings).unwrap();
    let mut poses = vec![Pose3::identity(); verifier.chains[0][0].link_count()];
    let mut q = vec![0.0; verifier.limits.dof()];
    let mut best = f64::INFINITY;
    for i in 0..=count {
        motion.position(motion.duration_s() * i as f64 / count as f64, &mut q);
        verifier.chains[0][0].poses(&q, &mut poses);
        for pair in &verifier.collider.bodies.pairs {
            let solid = |index: usize| &verifier.collider.bodies.solids[index];
            if solid(pair.b).link.is_none() == with_world {
                best = best.min(exact_distance(solid(pair.a), solid(pair.b), &poses));
            }
        }
    }
    best
}

#[test]
fn a_clean_motion_passes_with_the_figures_of_a_dense_check() {
    let robot = panda();
    let mut to = PANDA_READY;
    (to[0], to[1], to[3]) = (1.1, 0.2, -1.9);
    let motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let scene = scene(vec![
        cuboid("table", [0.4, 0.6, 0.02], at(0.6, 0.0, 0.0)),
        SceneObject::new(
            "post",
            Shape::Cylinder {
                radius_m: 0.03,
                length_m: 0.8,
            },
            at(0.45, -0.35, 0.4),
        ),
        SceneObject::new("floor", Shape::Plane, at(0.0, 0.0, -0.2)),
    ]);
    let settings = VerifySettings {
        start: Some(PANDA_READY.to_vec()),
        ..Default::default()
    };
    let mut verifier = Verifier::new(&robot).unwrap();
    let result = verifier.verify(&scene, &motion, &settings).unwrap();

    let dense = dense_clearance(&mut verifier, &scene, &motion, &settings, 1500, true);
    assert!(
        (result.min_clearance_m - dense).abs() <= tolerance_m(dense),
        "{result:?} {dense}"
    );
    let dense = dense_clearance(&mut verifier, &scene, &motion, &settings, 1500, false);
    assert!(
        result.min_self_clearance_m >= dense - 1e-9 && dense >= SELF_CLEARANCE_OF_INTEREST_M,
        "{result:?} {dense}"
    );
    let nearest = result.nearest.as_ref().unwrap();
    assert_eq!(nearest.object, "table");
    // Its ends are as far apart as the distance says, and the object's lies on the table.
    let [on_link, on_object] = nearest.points_m.unwrap().map(nalgebra::Point3::from);
    let length_m = (on_link - on_object).norm();
    assert!(
        (length_m - result.min_clearance_m).abs() < 1e-6,
        "{result:?}"
    );
    let table = scene.object("table").unwrap();
    assert!(table.distance(&on_object).abs() < 1e-6, "{nearest:?}");
    assert!(table.distance(&on_link) > 0.0, "{nearest:?}");
    // joint 1 turns fastest: 1.1 rad * 35/16 / 1.5 s of 2.175 rad/s
    let expected = 1.1 * 35.0 / 16.0 / 1.5 / 2.175;
    assert!(
        (result.max_velocity_ratio - expected).abs() < 1e-4,
        "{result:?}"
    );
    assert!(result.max_acceleration_ratio < 1.0 && result.max_jerk_ratio < 1.0);
    assert!(
        result.checked_states < 400,
        "free space should be skipped: {result:?}"
    );
}

#[test]
fn a_thin_wall_between_two_samples_is_found() {
    let robot = planar();
    let motion = straight(&robot, &[-1.0, 0.0], &[1.0, 0.0], 2.5);
    // 0.2 mm thin, upright across the middle of the sweep, only reached by the tip of the lower arm
    let wall = cuboid("foil", [0.005, 1e-4, 0.2], at(0.781, 0.0, 0.0));
    let scene = scene(vec![wall]);
    let mut verifier = Verifier::new(&robot).unwrap();
    // Four samples: at none of them does the arm touch.
    let settings = VerifySettings {
        period_s: 2.5 / 3.0,
        ..Default::default()
    };
    let sampled = dense_clearance(&mut verifier, &scene, &motion, &settings, 3, true);
    assert!(
        sampled > 0.05,
        "the wall must lie between the samples: {sampled}"
    );
    // The differences of so few samples see no smooth rest, so only the collision part is run.
    verifier
        .samples
        .take(&motion, &verifier.limits, &settings)
        .unwrap();
    verifier.prepare(&scene, &settings).unwrap();
    let error = verifier
        .collider
        .run(&mut verifier.chains, &verifier.samples, &motion, &settings)
        .unwrap_err();
    match &error {
        Violation::Clearance {
            link,
            object,
            time_s,
            distance_m,
            ..
        } => {
            assert_eq!((link.as_str(), object.as_str()), ("lower", "foil"));
            assert!((time_s - 1.25).abs() < 0.1 && *distance_m <= 0.0, "{error}");
        }
        other => panic!("{other}"),
    }
    let text = error.to_string();
    assert!(text.contains("lower") && text.contains("foil"), "{text}");
    // and in the ordinary setting
    let error = verifier
        .verify(&scene, &motion, &VerifySettings::default())
        .unwrap_err();
    assert!(matches!(error, Violation::Clearance { .. }), "{error}");
    // a wall just out of reach is none
    let away = Scene {
        objects: vec![cuboid("foil", [0.005, 1e-4, 0.2], at(0.786, 0.0, 0.0))],
    };
    let result = verifier
        .verify(&away, &motion, &VerifySettings::default())
        .unwrap();
    // the arm's end cap is flat, 50 mm wide: its corner is at hypot(0.78, 0.025) when the middle passes the wall
    assert!(result.min_clearance_m < 2e-3, "{result:?}");
}

#[test]
fn links_that_meet_are_named() {
    let robot = panda();
    // folded: the hand swings into the forearm's root
    let to = [0.0, -0.2, 0.0, -3.0, 0.0, 0.1, 0.785];
    let mut verifier = Verifier::new(&robot).unwrap();
    let motion = straight(&robot, &PANDA_READY, &to, 3.0);
    let error = verifier
        .verify(&Scene::default(), &motion, &VerifySettings::default())
        .unwrap_err();
    match &error {
        Violation::SelfClearance {
            link_a,
            link_b,
            time_s,
            distance_m,
            ..
        } => {
            assert!(
                link_a.starts_with("panda_") && link_b.starts_with("panda_") && link_a != link_b
            );
            assert!(
                *time_s > 1.0 && *time_s <= 3.0 && *distance_m <= 0.0,
                "{error}"
            );
        }
        other => panic!("{other}"),
    }
    // the clearance demanded between links counts too
    let motion = straight(
        &robot,
        &PANDA_READY,
        &[0.3, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785],
        2.0,
    );
    let free = verifier
        .verify(&Scene::default(), &motion, &VerifySettings::default())
        .unwrap();
    let settings = VerifySettings {
        min_self_clearance_m: free.min_self_clearance_m + 2e-3,
        ..Default::default()
    };
    let error = verifier
        .verify(&Scene::default(), &motion, &settings)
        .unwrap_err();
    assert!(matches!(error, Violation::SelfClearance { .. }), "{error}");
}

/// Random motions among random obstacles: the verdict must be that of a dense check, never a false "free".
#[test]
fn verdicts_agree_with_dense_sampling() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut rng = Pcg64::seed_from_u64(5);
    let (mut free, mut blocked) = (0, 0);
    for case in 0..24 {
        let random = |rng: &mut Pcg64| -> Vec<f64> {
            (0..7)
                .map(|j| PANDA_READY[j] + rng.random_range(-0.6..0.6))
                .collect()
        };
        let (from, mut to) = (random(&mut rng), random(&mut rng));
        to[3] = to[3].min(-0.1);
        let motion = straight(&robot, &from, &to, 2.5);
        let objects = (0..3)
            .map(|i| {
                let r = rng.random_range(0.35..0.8);
                let angle: f64 = rng.random_range(-1.2..1.2);
                let place = Pose::from_parts(
                    Translation3::new(r * angle.cos(), r * angle.sin(), rng.random_range(0.0..0.8)),
                    UnitQuaternion::new(Vector3::from_fn(|_, _| rng.random_range(-1.0..1.0))),
                );
                let shape = match i {
                    0 => Shape::Box {
                        half_extents_m: [0.002, 0.12, 0.12],
                    },
                    1 => Shape::Cylinder {
                        radius_m: 0.003,
                        length_m: 0.5,
                    },
                    _ => Shape::Sphere { radius_m: 0.05 },
                };
                SceneObject::new(format!("object{i}"), shape, place)
            })
            .collect();
        let scene = Scene { objects };
        let settings = VerifySettings::default();
        let result = verifier.verify(&scene, &motion, &settings);
        let dense = dense_clearance(&mut verifier, &scene, &motion, &settings, 1000, true);
        let dense_self = dense_clearance(&mut verifier, &scene, &motion, &settings, 1000, false);
        match result {
            Ok(result) => {
                free += 1;
                assert!(
                    dense > 0.0 && dense_self > 0.0,
                    "case {case}: missed {dense} {dense_self}"
                );
                let error = result.min_clearance_m - dense;
                assert!(
                    (-2e-3..=tolerance_m(dense)).contains(&error),
                    "case {case}: {result:?}, dense {dense}"
                );
            }
            Err(Violation::Clearance { .. } | Violation::SelfClearance { .. }) => {
                blocked += 1;
                assert!(
                    dense.min(dense_self) < 1e-4,
                    "case {case}: false alarm, dense {dense} {dense_self}"
                );
            }
            Err(other) => panic!("case {case}: {other}"),
        }
    }
    assert!(
        free >= 5 && blocked >= 4,
        "the cases must be mixed: {free} free, {blocked} blocked"
    );
}

#[test]
fn equal_motions_give_equal_results_and_memory_carries_nothing_over() {
    let robot = panda();
    let mut to = PANDA_READY;
    to[1] = 0.1;
    let scene = scene(vec![cuboid("table", [0.4, 0.6, 0.02], at(0.6, 0.0, -0.03))]);
    let motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let other = straight(&robot, &to, &PANDA_READY, 2.2);
    let settings = VerifySettings::default();
    let fresh = Verifier::new(&robot)
        .unwrap()
        .verify(&scene, &motion, &settings)
        .unwrap();
    let mut used = Verifier::new(&robot).unwrap();
    used.verify(&Scene::default(), &other, &settings).unwrap();
    assert_eq!(used.verify(&scene, &motion, &settings).unwrap(), fresh);
}

/// On request: `cargo test --release how_long_a_check_takes -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_a_check_takes() {
    let robot = panda();
    let mut to = PANDA_READY;
    (to[0], to[1], to[3], to[5]) = (1.2, 0.25, -1.9, 2.1);
    let motion = straight(&robot, &PANDA_READY, &to, 1.6);
    let mut objects = vec![
        cuboid("table", [0.4, 0.6, 0.02], at(0.6, 0.0, 0.0)),
        SceneObject::new("floor", Shape::Plane, at(0.0, 0.0, -0.2)),
    ];
    for i in 0..10 {
        let angle = -1.4 + 0.28 * f64::from(i);
        let place = at(0.85 * angle.cos(), 0.85 * angle.sin(), 0.12);
        objects.push(cuboid(&format!("box{i}"), [0.03, 0.04, 0.1], place));
    }
    let scene = scene(objects);
    let mut verifier = Verifier::new(&robot).unwrap();
    let settings = VerifySettings::default();
    let mut times = Vec::new();
    let mut result = None;
    for _ in 0..50 {
        let begin = std::time::Instant::now();
        result = Some(verifier.verify(&scene, &motion, &settings));
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    eprintln!(
        "p50 {:.2} ms, p95 {:.2} ms: {:?}",
        times[25], times[47], result
    );
    let begin = std::time::Instant::now();
    Verifier::new(&robot).unwrap();
    eprintln!("preparing {:.2} ms", begin.elapsed().as_secs_f64() * 1e3);
}
