use std::f64::consts::PI;
use std::sync::Arc;

use nalgebra::{Translation3, UnitQuaternion, Vector3};
use parry3d_f64::math::Pose3;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::solids::distance;
use super::*;
use crate::robot::{RobotModel, RobotSettings};
use crate::scene::{MeshDistance, SceneObject, TriangleMesh};

const PANDA_READY: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];

fn file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn panda() -> RobotModel {
    RobotModel::load(&file("urdf/panda.urdf"), &file("config/panda.yaml")).unwrap()
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

impl<F: Fn(f64, &mut [f64])> Motion for Planted<F> {
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
    let mut poses = vec![Pose3::identity(); verifier.chain.link_count()];
    let mut q = vec![0.0; verifier.chain.dof()];
    let mut best = f64::INFINITY;
    for i in 0..=count {
        motion.position(motion.duration_s() * i as f64 / count as f64, &mut q);
        verifier.chain.poses(&q, &mut poses);
        for pair in &verifier.collider.pairs {
            let world = pair.b >= verifier.links.len();
            if world == with_world {
                let (a, b) = (
                    &verifier.collider.solids[pair.a],
                    &verifier.collider.solids[pair.b],
                );
                best = best.min(distance(a, b, &poses, &mut 0).unwrap());
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
    assert_eq!(result.nearest.as_ref().unwrap().1, "table");
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
        .run(&mut verifier.chain, &verifier.samples, &motion, &settings)
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

#[test]
fn limits_are_checked_by_differences() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut to = PANDA_READY;
    to[4] = 0.5;
    let mut check = |motion: &dyn Motion, settings: &VerifySettings| {
        verifier
            .verify(&Scene::default(), motion, settings)
            .unwrap_err()
    };
    let settings = VerifySettings::default();

    // a jerk spike: 8e-6 rad within three milliseconds, invisible in position and velocity
    let smooth_motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let spike = Planted {
        names: robot.limits.names.clone(),
        duration_s: 1.5,
        position: |t: f64, q: &mut [f64]| {
            smooth_motion.position(t, q);
            let s = (t - 0.7) / 3e-3;
            if (0.0..1.0).contains(&s) {
                q[2] += 8e-6 * (PI * s).sin().powi(4);
            }
        },
    };
    match check(&spike, &settings) {
        Violation::Limit {
            joint,
            quantity,
            time_s,
            value,
            limit,
        } => {
            assert_eq!((joint.as_str(), quantity), ("panda_joint3", "jerk"));
            assert!((time_s - 0.7).abs() < 5e-3 && value.abs() > 5000.0 && limit.abs() == 5000.0);
        }
        other => panic!("{other}"),
    }

    // too fast for the scaled limit, fast enough for the whole one
    let slow = VerifySettings {
        velocity_scaling: 0.25,
        ..Default::default()
    };
    match check(&smooth_motion, &slow) {
        Violation::Limit {
            joint,
            quantity,
            value,
            limit,
            time_s,
        } => {
            assert_eq!((joint.as_str(), quantity), ("panda_joint5", "velocity"));
            assert!(
                (value - 0.5 * 35.0 / 16.0 / 1.5).abs() < 1e-4
                    && (limit - 0.25 * 2.61).abs() < 1e-12
            );
            assert!((time_s - 0.75).abs() < 2e-3, "{time_s}");
        }
        other => panic!("{other}"),
    }
    let slow = VerifySettings {
        acceleration_scaling: 0.05,
        ..Default::default()
    };
    assert!(matches!(
        check(&smooth_motion, &slow),
        Violation::Limit {
            quantity: "acceleration",
            ..
        }
    ));

    let mut beyond = PANDA_READY;
    beyond[3] = -3.2;
    match check(&straight(&robot, &PANDA_READY, &beyond, 3.0), &settings) {
        Violation::Limit {
            joint,
            quantity,
            limit,
            value,
            ..
        } => {
            assert_eq!(
                (joint.as_str(), quantity, limit),
                ("panda_joint4", "position", -3.0718)
            );
            assert!(value < -3.0718);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn start_rest_names_and_numbers_are_checked() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut to = PANDA_READY;
    to[0] = 0.6;
    let motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let mut elsewhere = PANDA_READY.to_vec();
    elsewhere[5] += 1e-3;
    let settings = VerifySettings {
        start: Some(elsewhere),
        ..Default::default()
    };
    let error = verifier
        .verify(&Scene::default(), &motion, &settings)
        .unwrap_err();
    assert!(
        matches!(&error, Violation::Start { joint, .. } if joint == "panda_joint6"),
        "{error}"
    );

    // cut off before its end
    let whole = straight(&robot, &PANDA_READY, &to, 1.5);
    let cut = Planted {
        names: robot.limits.names.clone(),
        duration_s: 1.2,
        position: |t: f64, q: &mut [f64]| whole.position(t, q),
    };
    let error = verifier
        .verify(&Scene::default(), &cut, &VerifySettings::default())
        .unwrap_err();
    assert!(
        matches!(&error, Violation::NotAtRest { joint, end: "end", quantity: "velocity", .. } if joint == "panda_joint1"),
        "{error}"
    );

    let mut names = robot.limits.names.clone();
    names.swap(0, 1);
    let swapped = Planted {
        names,
        duration_s: 1.5,
        position: |_: f64, _: &mut [f64]| (),
    };
    let error = verifier
        .verify(&Scene::default(), &swapped, &VerifySettings::default())
        .unwrap_err();
    assert!(matches!(error, Violation::Joints { .. }), "{error}");

    let broken = Planted {
        names: robot.limits.names.clone(),
        duration_s: 1.5,
        position: |t: f64, q: &mut [f64]| q.fill(if t > 1.0 { f64::NAN } else { 0.0 }),
    };
    let error = verifier
        .verify(&Scene::default(), &broken, &VerifySettings::default())
        .unwrap_err();
    assert!(
        matches!(&error, Violation::NotFinite { time_s, .. } if *time_s > 1.0),
        "{error}"
    );

    let settings = VerifySettings {
        other_joints: vec![("panda_joint1".into(), 0.0)],
        ..Default::default()
    };
    let error = verifier
        .verify(&Scene::default(), &motion, &settings)
        .unwrap_err();
    assert!(error.to_string().contains("panda_finger_joint1"), "{error}");
}

#[test]
fn a_held_object_collides_for_the_robot_and_may_touch_its_fingers() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    // the wrist turns a stick held across the hand
    let mut to = PANDA_READY;
    to[0] = 0.8;
    let motion = straight(&robot, &PANDA_READY, &to, 2.0);
    let tool = robot.kinematics.tool_pose(&to);
    let (x, y, z) = (tool.translation.x, tool.translation.y, tool.translation.z);
    let stick = AttachedObject {
        name: "stick".into(),
        link: "panda_hand".into(),
        link_from_object: at(0.0, 0.0, 0.2034),
        shape: Shape::Capsule {
            radius_m: 0.01,
            length_m: 0.2,
        },
        touching_links: vec!["panda_leftfinger".into(), "panda_rightfinger".into()],
    };
    let below = scene(vec![cuboid("crate", [0.05, 0.05, 0.05], at(x, y, z - 0.2))]);
    let mut settings = VerifySettings::default();
    let empty_handed = verifier.verify(&below, &motion, &settings).unwrap();
    assert!(empty_handed.min_clearance_m > 0.1, "{empty_handed:?}");
    settings.attached.push(stick);
    let error = verifier.verify(&below, &motion, &settings).unwrap_err();
    assert!(
        matches!(&error, Violation::Clearance { link, object, .. } if link == "stick" && object == "crate"),
        "{error}"
    );
    settings.allowed.push(("crate".into(), "stick".into()));
    verifier.verify(&below, &motion, &settings).unwrap();
    // without leave, the stick between the fingers is a collision with the robot itself
    settings.attached[0].touching_links.clear();
    settings.attached[0].shape = Shape::Box {
        half_extents_m: [0.01, 0.05, 0.05],
    };
    settings.attached[0].link_from_object = at(0.0, 0.0, 0.12);
    settings.attached[0].link = "panda_link7".into();
    let held_by_link7 = verifier.verify(&Scene::default(), &motion, &settings);
    assert!(
        held_by_link7.is_ok(),
        "what no joint moves against each other is not tested: {held_by_link7:?}"
    );
    settings.attached[0].link = "panda_link5".into();
    settings.attached[0].link_from_object = at(0.088, 0.0, 0.2);
    let mut turn = PANDA_READY;
    turn[5] = 2.2;
    let motion = straight(&robot, &PANDA_READY, &turn, 2.0);
    assert!(verifier
        .verify(&Scene::default(), &motion, &settings)
        .is_err());
}

#[test]
fn fingers_stand_where_they_are_told() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut to = PANDA_READY;
    to[0] = 0.3;
    let motion = straight(&robot, &to, &PANDA_READY, 2.0);
    // A peg just outside the closed finger's place, inside the open one's; the hand closes along its y axis.
    let tool = robot.kinematics.tool_pose(&PANDA_READY);
    let peg = SceneObject::new(
        "peg",
        Shape::Sphere { radius_m: 0.004 },
        tool * at(0.0, 0.047, 0.0),
    );
    let scene = scene(vec![peg]);
    let mut settings = VerifySettings::default();
    let error = verifier.verify(&scene, &motion, &settings).unwrap_err();
    assert!(
        matches!(&error, Violation::Clearance { link, .. } if link == "panda_leftfinger"),
        "{error}"
    );
    settings
        .other_joints
        .push(("panda_finger_joint1".into(), 0.0));
    let result = verifier.verify(&scene, &motion, &settings).unwrap();
    // finger from 0 to 14.6 mm, peg from 43 mm on
    assert!(
        result.min_clearance_m > 0.0 && result.min_clearance_m <= 0.0284 + 1e-6,
        "{result:?}"
    );
}

fn box_mesh(half: [f64; 3]) -> TriangleMesh {
    let vertices = (0..8)
        .map(|c| std::array::from_fn(|k| if c >> k & 1 == 1 { half[k] } else { -half[k] }))
        .collect();
    let quads = [
        [0, 4, 6, 2],
        [1, 3, 7, 5],
        [0, 1, 5, 4],
        [2, 6, 7, 3],
        [0, 2, 3, 1],
        [4, 5, 7, 6],
    ];
    let triangles = quads
        .iter()
        .flat_map(|q| [[q[0], q[1], q[2]], [q[0], q[2], q[3]]])
        .collect();
    TriangleMesh {
        vertices,
        triangles,
    }
}

#[test]
fn meshes_count_as_the_bodies_they_enclose() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut to = PANDA_READY;
    to[0] = 0.9;
    let motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let place = Pose::from_parts(
        Translation3::new(0.5, 0.35, 0.2),
        UnitQuaternion::new(Vector3::new(0.3, -0.2, 0.5)),
    );
    let half = [0.06, 0.1, 0.08];
    let mesh = Arc::new(MeshDistance::new(&box_mesh(half)).unwrap());
    let primitive = scene(vec![cuboid("crate", half, place)]);
    let meshed = scene(vec![SceneObject::new(
        "crate",
        Shape::Mesh(mesh.clone()),
        place,
    )]);
    let settings = VerifySettings::default();
    let a = verifier.verify(&primitive, &motion, &settings).unwrap();
    let b = verifier.verify(&meshed, &motion, &settings).unwrap();
    assert!(
        (a.min_clearance_m - b.min_clearance_m).abs() <= tolerance_m(a.min_clearance_m),
        "{a:?} {b:?}"
    );

    // A shell around the whole robot is touched by nothing, yet everything is inside it.
    let shell = Arc::new(MeshDistance::new(&box_mesh([3.0, 3.0, 3.0])).unwrap());
    let around = scene(vec![SceneObject::new(
        "shell",
        Shape::Mesh(shell),
        Pose::identity(),
    )]);
    let error = verifier.verify(&around, &motion, &settings).unwrap_err();
    assert!(
        matches!(&error, Violation::Clearance { object, distance_m, .. } if object == "shell" && *distance_m < 0.0),
        "{error}"
    );
}

#[test]
fn margins_and_demanded_clearance_add_up() {
    let robot = planar();
    let mut verifier = Verifier::new(&robot).unwrap();
    let motion = straight(&robot, &[-0.6, 0.0], &[0.6, 0.0], 2.5);
    let block = |margin_m: f64| {
        let mut object = cuboid("block", [0.05, 0.05, 0.05], at(0.9, 0.0, 0.0));
        object.margin_m = margin_m;
        Scene {
            objects: vec![object],
        }
    };
    let free = verifier
        .verify(&block(0.0), &motion, &VerifySettings::default())
        .unwrap()
        .min_clearance_m;
    assert!(free > 0.01, "{free}");
    let with_margin = verifier
        .verify(&block(0.01), &motion, &VerifySettings::default())
        .unwrap();
    assert!((with_margin.min_clearance_m - (free - 0.01)).abs() <= tolerance_m(free));
    let settings = VerifySettings {
        min_clearance_m: free - 0.005,
        ..Default::default()
    };
    verifier.verify(&block(0.0), &motion, &settings).unwrap();
    let error = verifier
        .verify(&block(0.01), &motion, &settings)
        .unwrap_err();
    assert!(
        matches!(error, Violation::Clearance { distance_m, .. } if distance_m > 0.0),
        "{error}"
    );
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
