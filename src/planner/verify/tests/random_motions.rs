//! Verdict and clearance against brute force, with meshes that stand and meshes that are held; planted near misses.

use super::*;

/// A ring of a mug's size, 576 triangles: hollow and not convex.
fn ring_mesh() -> TriangleMesh {
    const AROUND: usize = 24;
    const ACROSS: usize = 12;
    let (mut vertices, mut triangles) = (Vec::new(), Vec::new());
    for i in 0..AROUND {
        let a = 2.0 * PI * i as f64 / AROUND as f64;
        for k in 0..ACROSS {
            let b = 2.0 * PI * k as f64 / ACROSS as f64;
            let r = 0.05 + 0.015 * b.cos();
            vertices.push([r * a.cos(), r * a.sin(), 0.04 * b.sin()]);
        }
    }
    for i in 0..AROUND {
        for k in 0..ACROSS {
            let at = |i: usize, k: usize| (i % AROUND) * ACROSS + k % ACROSS;
            let (a, b, c, d) = (at(i, k), at(i + 1, k), at(i + 1, k + 1), at(i, k + 1));
            triangles.extend([[a, b, c], [a, c, d]].map(|t| t.map(|v| v as _)));
        }
    }
    TriangleMesh {
        vertices,
        triangles,
    }
}

fn held(shape: Shape) -> AttachedObject {
    AttachedObject {
        name: "held".into(),
        link: "panda_hand".into(),
        link_from_object: at(0.0, 0.0, 0.13),
        shape,
        touching_links: vec!["panda_leftfinger".into(), "panda_rightfinger".into()],
    }
}

/// A free motion's clearance is that of brute force to the tolerance; a refused one really collides, to the resolution.
#[test]
fn verdict_and_clearance_are_those_of_brute_force() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let ring = Arc::new(MeshDistance::new(&ring_mesh()).unwrap());
    let mut rng = Pcg64::seed_from_u64(21);
    let (mut free, mut blocked) = (0, 0);
    for case in 0..20 {
        let random = |rng: &mut Pcg64| -> Vec<f64> {
            (0..7)
                .map(|j| PANDA_READY[j] + rng.random_range(-0.4..0.4))
                .collect()
        };
        let motion = straight(&robot, &random(&mut rng), &random(&mut rng), 2.5);
        // Within the reach of the hand's way: some are missed, some hit.
        let tool = robot.kinematics.tool_pose(&PANDA_READY).translation.vector;
        let mut place = || {
            let offset = Vector3::from_fn(|_, _| rng.random_range(-0.32..0.32));
            Pose::from_parts(
                Translation3::from(tool + offset),
                UnitQuaternion::new(Vector3::from_fn(|_, _| rng.random_range(-1.0..1.0))),
            )
        };
        let scene = scene(vec![
            SceneObject::new("ring", Shape::Mesh(ring.clone()), place()),
            cuboid("board", [0.15, 0.1, 0.004], place()),
        ]);
        let mut settings = VerifySettings::default();
        if case % 2 == 0 {
            settings.attached.push(held(Shape::Mesh(ring.clone())));
        }
        let result = verifier.verify(&scene, &motion, &settings);
        let dense = dense_clearance(&mut verifier, &scene, &motion, &settings, 80, true);
        let dense_self = dense_clearance(&mut verifier, &scene, &motion, &settings, 80, false);
        match result {
            Ok(result) => {
                free += 1;
                assert!(
                    dense > 0.0 && dense_self > 0.0,
                    "case {case}: missed {dense}"
                );
                let error = result.min_clearance_m - dense;
                // between two of the dense times the true minimum may be a little smaller
                assert!(
                    (-5e-3..=tolerance_m(dense)).contains(&error),
                    "case {case}: {result:?}, dense {dense}"
                );
            }
            Err(Violation::Clearance { .. } | Violation::SelfClearance { .. }) => {
                blocked += 1;
                assert!(
                    dense.min(dense_self) < 5e-3,
                    "case {case}: false alarm, dense {dense} {dense_self}"
                );
            }
            Err(other) => panic!("case {case}: {other}"),
        }
    }
    assert!(free >= 5 && blocked >= 4, "{free} free, {blocked} blocked");
}

/// A block is pushed towards the arm's way until it is missed, and then touched, by 0.2 mm.
#[test]
fn grazing_by_a_fifth_of_a_millimetre_is_told_apart() {
    let robot = planar();
    let mut verifier = Verifier::new(&robot).unwrap();
    let motion = straight(&robot, &[-0.7, 0.2], &[0.7, -0.2], 2.5);
    let mesh = Arc::new(MeshDistance::new(&TriangleMesh::cuboid([0.05, 0.05, 0.05])).unwrap());
    let block = |x: f64, shape: &Shape| {
        scene(vec![SceneObject::new(
            "block",
            shape.clone(),
            at(x, 0.0, 0.0),
        )])
    };
    let cube = Shape::Box {
        half_extents_m: [0.05; 3],
    };
    for shape in [cube, Shape::Mesh(mesh)] {
        let settings = VerifySettings::default();
        let mut clearance = |x: f64| {
            dense_clearance(
                &mut verifier,
                &block(x, &shape),
                &motion,
                &settings,
                4000,
                true,
            )
        };
        let (mut near, mut far) = (0.8, 0.95);
        for _ in 0..20 {
            let middle = 0.5 * (near + far);
            if clearance(middle) > 0.0 {
                far = middle
            } else {
                near = middle
            }
        }
        let missed = verifier.verify(&block(far + 2e-4, &shape), &motion, &settings);
        let missed = missed.unwrap().min_clearance_m;
        assert!(missed > 0.0 && missed < 2e-4 + 5e-4, "{missed}");
        let touched = verifier.verify(&block(far - 2e-4, &shape), &motion, &settings);
        assert!(
            matches!(&touched, Err(Violation::Clearance { distance_m, .. }) if *distance_m <= 0.0),
            "{touched:?}"
        );
    }
}

/// The hand passes over a shelf board; what it holds does not.
#[test]
fn a_held_mesh_is_not_carried_through_a_board() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let (mut from, mut to) = (PANDA_READY, PANDA_READY);
    (from[0], to[0]) = (-0.6, 0.6);
    let motion = straight(&robot, &from, &to, 2.0);
    let tool = robot.kinematics.tool_pose(&PANDA_READY).translation;
    let rod = Arc::new(MeshDistance::new(&TriangleMesh::cuboid([0.01, 0.01, 0.1])).unwrap());
    let mut settings = VerifySettings::default();
    let mut object = held(Shape::Mesh(rod));
    object.link_from_object = at(0.0, 0.0, 0.2);
    // Upright across the way, 1 mm thin, as low as the rod hangs.
    let board = cuboid("board", [0.1, 5e-4, 0.05], at(tool.x, 0.0, tool.z - 0.14));
    let shelf = scene(vec![board]);
    verifier.verify(&shelf, &motion, &settings).unwrap();
    settings.attached.push(object);
    let error = verifier.verify(&shelf, &motion, &settings).unwrap_err();
    match &error {
        Violation::Clearance {
            link,
            object,
            time_s,
            ..
        } => {
            assert_eq!((link.as_str(), object.as_str()), ("held", "board"));
            assert!((time_s - 1.0).abs() < 0.15, "{error}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_plane_cannot_be_held() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut to = PANDA_READY;
    to[0] = 0.5;
    let motion = straight(&robot, &PANDA_READY, &to, 2.0);
    let settings = VerifySettings {
        attached: vec![held(Shape::Plane)],
        ..Default::default()
    };
    let error = verifier
        .verify(&Scene::default(), &motion, &settings)
        .unwrap_err();
    assert!(matches!(error, Violation::Setup { .. }), "{error}");
}
