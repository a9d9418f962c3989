//! The model as a whole, on toy robots: lanes against double precision, gradients against differences, errors.

use nalgebra::{Point3, Vector3};

use super::toy_robots::{self, configurations, shipped, MIMIC_URDF};
use super::*;
use crate::geometry::{difference, perturb, Twist};
use crate::lanes::{Lanes, ZERO};

#[test]
fn lanes_agree_with_double_precision() {
    for robot in toy_robots::all() {
        let (lanes, single) = configurations(&robot, 1);
        let mut state = robot.kinematics.new_state();
        robot.kinematics.forward(&lanes, &mut state);
        let links: Vec<String> = robot.kinematics.link_names().map(String::from).collect();
        for link in &links {
            let (body, body_from_link) = robot.kinematics.body_of_link(link).unwrap();
            let frame = state.bodies[body].child(&body_from_link);
            for (lane, q) in single.iter().enumerate() {
                let exact = robot.kinematics.forward_kinematics(q, link).unwrap();
                let error = difference(&exact, &frame.pose(lane).cast()).norm();
                assert!(error < 5e-6, "{} {link}: {error}", robot.name);
            }
        }
        let tool = robot.kinematics.tool_frame(&state).pose(3).cast();
        assert!(difference(&robot.kinematics.tool_pose(&single[3]), &tool).norm() < 5e-6);
    }
}

#[test]
fn planar_arm_is_as_in_the_textbook() {
    let robot = toy_robots::two_joints();
    let tool = robot.kinematics.tool_pose(&[0.3, -0.7]).translation.vector;
    let expected = Vector3::new(
        0.4 * 0.3f64.cos() + 0.3 * 0.4f64.cos(),
        0.4 * 0.3f64.sin() - 0.3 * 0.4f64.sin(),
        0.0,
    );
    assert!((tool - expected).norm() < 1e-12);
    assert!(robot.limits.continuous[1] && !robot.limits.continuous[0]);
}

#[test]
fn jacobian_is_the_derivative_of_the_tool() {
    let h = 1e-6;
    for robot in toy_robots::all() {
        let (_, single) = configurations(&robot, 2);
        for q in single.iter().take(4) {
            let jacobian = robot.kinematics.jacobian(q);
            for j in 0..q.len() {
                let moved = |d: f64| {
                    let mut q = q.clone();
                    q[j] += d;
                    robot.kinematics.tool_pose(&q)
                };
                let numeric: Twist = difference(&moved(-h), &moved(h)) / (2.0 * h);
                assert!(
                    (numeric - jacobian.column(j)).norm() < 1e-7,
                    "{} joint {j}",
                    robot.name
                );
            }
        }
    }
}

/// Forces on points of every body; their work against the pulled-back gradient.
#[test]
fn pull_back_is_the_gradient() {
    for robot in toy_robots::all() {
        let kinematics = &robot.kinematics;
        let (lanes, single) = configurations(&robot, 3);
        let point = Point3::new(0.11, -0.07, 0.13);
        let weight = Vector3::new(0.7, -1.1, 0.4);
        let links: Vec<String> = kinematics.link_names().map(String::from).collect();
        let energy = |q: &[f64]| -> f64 {
            links
                .iter()
                .map(|l| weight.dot(&(kinematics.forward_kinematics(q, l).unwrap() * point).coords))
                .sum()
        };
        let mut state = kinematics.new_state();
        kinematics.forward(&lanes, &mut state);
        let mut wrenches = BodyWrenches::new(kinematics.body_count());
        let force = weight.map(|v| Lanes::splat(v as f32)).into();
        for link in &links {
            let (body, body_from_link) = kinematics.body_of_link(link).unwrap();
            let in_body = body_from_link * point;
            let world = state.bodies[body].point(std::array::from_fn(|k| in_body[k] as f32));
            wrenches.add_force(body, &world, &force);
        }
        let mut gradient = vec![ZERO; kinematics.dof()];
        kinematics.pull_back(&state, &mut wrenches, &mut gradient);
        let h = 1e-6;
        for (lane, q) in single.iter().enumerate() {
            for j in 0..q.len() {
                let at = |d: f64| {
                    let mut q = q.clone();
                    q[j] += d;
                    energy(&q)
                };
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                let analytic = f64::from(gradient[j].to_array()[lane]);
                assert!(
                    (numeric - analytic).abs() < 1e-4 * (1.0 + numeric.abs()),
                    "{} {j}: {numeric} {analytic}",
                    robot.name
                );
            }
        }
    }
}

#[test]
fn mimic_joints_follow_and_other_joints_rest() {
    let robot = toy_robots::mimic();
    assert_eq!(robot.kinematics.joint_names(), ["j1", "j2"]);
    assert_eq!(robot.kinematics.body_count(), 5);
    // j3 undoes j2 but for its offset of 0.2
    for q2 in [-0.8, 0.0, 0.5] {
        let tool = robot.kinematics.tool_pose(&[0.0, q2]);
        assert!((tool.rotation.scaled_axis() - Vector3::new(0.0, 0.2, 0.0)).norm() < 1e-12);
        let finger = robot
            .kinematics
            .forward_kinematics(&[0.0, q2], "finger")
            .unwrap();
        assert!((finger.translation.y - (0.1 + 0.1 * q2 - 0.01)).abs() < 1e-12);
        // at rest on its lower limit
        let held = robot
            .kinematics
            .forward_kinematics(&[0.0, q2], "held")
            .unwrap();
        assert!(((tool.inverse() * held).translation.z - 0.02).abs() < 1e-12);
    }
}

#[test]
fn planned_joints_can_be_chosen_and_the_rest_held() {
    let mut settings = RobotSettings::new("l0", "tool");
    settings.joint_names = vec!["j5".into(), "j2".into()];
    settings.fixed_joint_positions.insert("j1".into(), 0.25);
    let urdf = toy_robots::six_joint_urdf();
    let robot = RobotModel::from_urdf(&urdf, &settings).unwrap();
    let all = toy_robots::six_joints();
    let few = robot.kinematics.tool_pose(&[0.4, -0.6]);
    let full = all.kinematics.tool_pose(&[0.25, -0.6, 0.0, 0.0, 0.4, 0.0]);
    assert!(difference(&few, &full).norm() < 1e-12);
    assert_eq!(robot.limits.names, ["j5", "j2"]);
}

#[test]
fn the_base_may_lie_up_the_tree() {
    // planning from l1 on: j1 stands still and l1 is the world
    let robot = RobotModel::from_urdf(
        &toy_robots::six_joint_urdf(),
        &RobotSettings::new("l1", "tool"),
    )
    .unwrap();
    assert_eq!(robot.kinematics.dof(), 5);
    let base = robot
        .kinematics
        .forward_kinematics(&[0.0; 5], "l1")
        .unwrap();
    assert!(difference(&base, &crate::geometry::Pose::identity()).norm() < 1e-15);
    let mut state = robot.kinematics.new_state();
    robot
        .kinematics
        .forward(&[Lanes::splat(0.3); 5], &mut state);
    let tool = robot.kinematics.tool_frame(&state).pose(0).cast();
    assert!(difference(&robot.kinematics.tool_pose(&[0.3; 5]), &tool).norm() < 5e-6);
}

#[test]
fn limits_come_from_settings_urdf_and_rules() {
    let mut settings = RobotSettings::new("l0", "tool");
    let narrow = JointLimitOverride {
        lower: Some(-0.5),
        acceleration: Some(3.0),
        ..Default::default()
    };
    settings.joint_limits.insert("j2".into(), narrow);
    let limits = RobotModel::from_urdf(MIMIC_URDF, &settings).unwrap().limits;
    assert_eq!(
        (limits.lower[1], limits.upper[1], limits.velocity[1]),
        (-0.5, 1.0, 1.0)
    );
    assert_eq!((limits.acceleration[1], limits.jerk[1]), (3.0, 30.0));
    assert_eq!(limits.acceleration[0], 4.0);
    let broken = limits.violation(&[0.0, -0.6], 1e-9).unwrap();
    assert_eq!(
        (broken.joint.as_str(), broken.value, broken.lower),
        ("j2", -0.6, -0.5)
    );
    assert!(limits.violation(&[f64::NAN, 0.0], 1e-9).is_some());
    assert!(limits.violation(&[0.0, 0.0], 1e-9).is_none());
}

fn refusal(urdf: &str, change: impl Fn(&mut RobotSettings)) -> RobotError {
    let mut settings = RobotSettings::new("l0", "tool");
    change(&mut settings);
    RobotModel::from_urdf(urdf, &settings).unwrap_err()
}

#[test]
fn wrong_names_are_told_with_those_that_exist() {
    let tool = refusal(MIMIC_URDF, |s| s.tool_link = "hand".into());
    assert!(
        matches!(&tool, RobotError::UnknownLink { link, existing } if link == "hand" && existing.contains("finger"))
    );
    let joint = refusal(MIMIC_URDF, |s| s.joint_names = vec!["elbow".into()]);
    assert!(matches!(&joint, RobotError::UnknownJoint { existing, .. } if existing.contains("j2")));
    let off_chain = refusal(MIMIC_URDF, |s| s.joint_names = vec!["jh".into()]);
    assert!(matches!(&off_chain, RobotError::JointNotInChain { chain, .. } if chain == "j1, j2"));
    let upside_down = refusal(MIMIC_URDF, |s| {
        (s.base_link, s.tool_link) = ("tool".into(), "l0".into())
    });
    assert!(matches!(upside_down, RobotError::NoChain { .. }));
    let pair = refusal(MIMIC_URDF, |s| {
        s.allowed_collisions = vec![("l1".into(), "l9".into())]
    });
    assert!(matches!(pair, RobotError::UnknownLink { link, .. } if link == "l9"));
    let limit = refusal(MIMIC_URDF, |s| {
        s.joint_limits
            .insert("j9".into(), JointLimitOverride::default());
    });
    assert!(matches!(limit, RobotError::UnknownJoint { joint, .. } if joint == "j9"));
}

#[test]
fn broken_descriptions_are_told_apart() {
    assert!(matches!(
        refusal("<robot name='x'>", |_| ()),
        RobotError::Urdf { .. }
    ));
    assert!(matches!(refusal("", |_| ()), RobotError::Urdf { .. }));
    let swap = |from: &str, to: &str| {
        let changed = MIMIC_URDF.replace(from, to);
        assert_ne!(changed, MIMIC_URDF);
        refusal(&changed, |_| ())
    };
    assert!(matches!(
        swap("<child link=\"l2\"/>", "<child link=\"l1\"/>"),
        RobotError::NoTree { .. }
    ));
    assert!(matches!(
        swap("<parent link=\"l0\"/>", "<parent link=\"l2\"/>"),
        RobotError::NoTree { .. }
    ));
    assert!(matches!(
        swap(
            "name=\"j2\" type=\"revolute\"",
            "name=\"j2\" type=\"planar\""
        ),
        RobotError::UnsupportedJoint { .. }
    ));
    assert!(matches!(
        swap(
            "mimic joint=\"j2\" multiplier=\"-1\"",
            "mimic joint=\"j9\" multiplier=\"-1\""
        ),
        RobotError::Mimic { .. }
    ));
    assert!(matches!(
        swap("<origin xyz=\"0.1 0 0\"/>", "<origin xyz=\"nan 0 0\"/>"),
        RobotError::NotFinite { .. } | RobotError::Urdf { .. }
    ));
    assert!(matches!(
        swap("<axis xyz=\"0 1 0\"/>", "<axis xyz=\"0 0 0\"/>"),
        RobotError::Axis { .. }
    ));
    let limit = swap(
        "lower=\"-1\" upper=\"1\" velocity=\"1\"",
        "lower=\"-1\" upper=\"1\" velocity=\"0\"",
    );
    assert!(
        matches!(&limit, RobotError::Limit { joint, what: "velocity limit", .. } if joint == "j2"),
        "{limit}"
    );
}

#[test]
fn wrong_lengths_are_refused() {
    let robot = toy_robots::two_joints();
    let error = robot
        .kinematics
        .forward_kinematics(&[0.0], "tool")
        .unwrap_err();
    assert!(matches!(
        error,
        RobotError::PositionCount {
            found: 1,
            expected: 2,
            ..
        }
    ));
}

#[test]
fn bad_collision_geometry_and_meshes_are_refused() {
    let with = |geometry: &str| {
        let link = format!(
            "<link name=\"l1\"><collision><geometry>{geometry}</geometry></collision></link>"
        );
        refusal(&MIMIC_URDF.replace("<link name=\"l1\"/>", &link), |_| ())
    };
    assert!(matches!(
        with("<box size='0.1 0 0.1'/>"),
        RobotError::Geometry { shape: "box", .. }
    ));
    assert!(matches!(
        with("<cylinder radius='0.1' length='-1'/>"),
        RobotError::Geometry { what: "length", .. }
    ));
    let missing = with("<mesh filename='package://nowhere/a.stl'/>");
    assert!(missing.to_string().contains("'nowhere'"), "{missing}");
    assert!(
        matches!(with("<mesh filename='not_there.stl'/>"), RobotError::Mesh { link, .. } if link == "l1")
    );
}

#[test]
fn neighbours_are_allowed_and_distant_links_tested() {
    let robot = toy_robots::twelve_joints();
    let collision = &robot.collision;
    assert!(collision.is_allowed("l3", "l4") && !collision.is_allowed("l2", "l12"));
    let tested = |a: &str, b: &str| {
        let link = |group| collision.link_of_own_group(group);
        let mut pairs = collision.self_pairs.iter();
        pairs.any(|&(x, y)| [(a, b), (b, a)].contains(&(link(x), link(y))))
    };
    assert!(tested("l2", "l12") && !tested("l3", "l4"));
    let mut bodies = collision.scene.groups.iter().map(|g| g.body);
    assert!(
        bodies
            .clone()
            .zip(bodies.by_ref().skip(1))
            .all(|(a, b)| a <= b),
        "groups are sorted by body"
    );
}

#[test]
fn settings_allow_pairs() {
    let mut settings = RobotSettings::new("l0", "tool");
    settings.allowed_collisions = vec![("l6".into(), "l2".into())];
    let robot = RobotModel::from_urdf(&toy_robots::six_joint_urdf(), &settings).unwrap();
    assert!(robot.collision.is_allowed("l2", "l6"));
    assert!(robot
        .collision
        .allowed
        .iter()
        .any(|a| a.2 == AllowedReason::Settings));
}

#[test]
fn the_gripper_is_placed_at_the_tool() {
    let mut settings = RobotSettings::new("l0", "tool");
    let hand_from_gripper = PoseSettings {
        xyz: [0.0, 0.0, 0.01],
        rpy: [0.0, 0.0, 1.2],
    };
    let gripper = GripperSettings {
        hand_link: "l3".into(),
        finger_joints: vec!["jf".into()],
        hand_from_gripper,
        geometry: GripperGeometry::default(),
        geometry_file: None,
    };
    settings.gripper = Some(gripper.clone());
    let robot = RobotModel::from_urdf(MIMIC_URDF, &settings).unwrap();
    let q = [0.3, 0.4];
    let world_from_gripper =
        robot.kinematics.tool_pose(&q) * robot.gripper.unwrap().tool_from_gripper;
    let hand = robot.kinematics.forward_kinematics(&q, "l3").unwrap();
    assert!(
        difference(
            &world_from_gripper,
            &(hand * crate::geometry::Pose::from(hand_from_gripper))
        )
        .norm()
            < 1e-12
    );
    settings.gripper = Some(GripperSettings {
        hand_link: "l1".into(),
        ..gripper.clone()
    });
    let error = RobotModel::from_urdf(MIMIC_URDF, &settings).unwrap_err();
    assert!(matches!(error, RobotError::Gripper { .. }), "{error}");
    settings.gripper = Some(GripperSettings {
        finger_joints: vec!["thumb".into()],
        ..gripper
    });
    assert!(matches!(
        RobotModel::from_urdf(MIMIC_URDF, &settings),
        Err(RobotError::UnknownJoint { .. })
    ));
}

#[test]
fn a_perturbed_pose_moves_as_the_jacobian_says() {
    // ties the crate's perturbation convention to the Jacobian's
    let robot = toy_robots::seven_joints();
    let q = vec![0.3, 0.5, -0.2, 0.9, 0.1, 0.4, -0.6];
    let step: Vec<f64> = (0..7).map(|j| 1e-5 * (j as f64 - 2.5)).collect();
    let twist: Twist = (robot.kinematics.jacobian(&q) * nalgebra::DVector::from_vec(step.clone()))
        .fixed_rows::<6>(0)
        .into();
    let moved: Vec<f64> = q.iter().zip(&step).map(|(a, b)| a + b).collect();
    let predicted = perturb(&robot.kinematics.tool_pose(&q), &twist);
    assert!(difference(&predicted, &robot.kinematics.tool_pose(&moved)).norm() < 1e-8);
}

/// The arms that the package ships.
#[test]
fn shipped_arms_load() {
    for arm in ["panda", "fr3"] {
        let robot = shipped(arm);
        assert_eq!(
            (robot.kinematics.dof(), robot.kinematics.body_count()),
            (7, 8),
            "{arm}"
        );
        let fitted = robot.collision.scene.spheres.len();
        assert!(fitted <= 400, "{arm}: {fitted} spheres");
        for cover in &robot.collision.cover {
            assert!(cover.under_cover_m < 1e-3, "{cover:?}");
        }
        let names: Vec<(&str, &str)> = robot
            .collision
            .allowed
            .iter()
            .map(|&(a, b, _)| {
                (
                    robot.collision.links[a].as_str(),
                    robot.collision.links[b].as_str(),
                )
            })
            .collect();
        assert!(
            names.contains(&(&format!("{arm}_link2"), &format!("{arm}_link3"))),
            "{names:?}"
        );
        assert!(!robot
            .collision
            .is_allowed(&format!("{arm}_link0"), &format!("{arm}_hand")));
    }
}
