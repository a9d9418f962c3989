//! Held objects, fingers, meshes, margins.

use super::*;

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
    let mesh = Arc::new(MeshDistance::new(&TriangleMesh::cuboid(half)).unwrap());
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
    let shell = Arc::new(MeshDistance::new(&TriangleMesh::cuboid([3.0, 3.0, 3.0])).unwrap());
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
