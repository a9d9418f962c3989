use std::path::Path;

use super::*;
use crate::robot::toy_robots::shipped;
use crate::scene::Shape;

const PROBLEM: &str = "
robot: {urdf: ../urdf/panda.urdf, settings: ../config/panda.yaml}
start: [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]
obstacles:
  - {name: table, box: [1.0, 2.0, 0.04], pose: {position_m: [0.6, 0.0, -0.1]}}
task:
  joints: {panda_joint1: 0.5, panda_joint2: 0, panda_joint3: 0, panda_joint4: -2, panda_joint5: 0, panda_joint6: 1.5, panda_joint7: 0}
settings: {velocity_scaling: 0.3, seed: 7}
";

fn request(yaml: &str) -> Result<PlanRequest, ProblemError> {
    ProblemFile::from_yaml(yaml, Path::new("p.yaml"))?.request(
        &shipped("panda"),
        Path::new("examples"),
        None,
    )
}

#[test]
fn a_problem_becomes_a_request() {
    let request = request(PROBLEM).unwrap();
    assert_eq!(
        (
            request.velocity_scaling,
            request.acceleration_scaling,
            request.seed
        ),
        (0.3, 1.0, 7)
    );
    let Shape::Box { half_extents_m } = &request.scene.objects[0].shape else {
        panic!("a box")
    };
    assert_eq!(*half_extents_m, [0.5, 1.0, 0.02]);
    let Goal::Joints(q) = request.goal else {
        panic!("a joint goal")
    };
    assert_eq!(q, [0.5, 0.0, 0.0, -2.0, 0.0, 1.5, 0.0]);
}

#[test]
fn a_start_may_move() {
    let moving = PROBLEM.replace(
        "obstacles:",
        "start_velocity: [0.1, 0, 0, 0, 0, 0, -0.2]\nstart_acceleration: {panda_joint1: 1, panda_joint2: 0, panda_joint3: 0, panda_joint4: 0, panda_joint5: 0, panda_joint6: 0, panda_joint7: 0}\nobstacles:",
    );
    let known = request(&moving).unwrap();
    assert_eq!(known.start_velocity[6], -0.2);
    assert_eq!(known.start_acceleration[0], 1.0);
    assert!(!known.starts_at_rest() && request(PROBLEM).unwrap().starts_at_rest());
    let error = request(&moving.replace("panda_joint7: 0}\nobst", "elbow: 0}\nobst"))
        .err()
        .unwrap();
    for word in ["start_acceleration", "elbow"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (from, to, words) in [
        (
            "velocity_scaling",
            "velocity_scalign",
            vec!["velocity_scalign", "line 8"],
        ),
        ("box: [1.0, 2.0, 0.04]", "box: [1.0]", vec!["line 5"]),
        (
            "box: [1.0, 2.0, 0.04], ",
            "",
            vec!["table", "exactly one of"],
        ),
        (
            "panda_joint7: 0}",
            "panda_joint7: 0, elbow: 1}",
            vec!["elbow", "panda_joint1"],
        ),
        (", panda_joint7: 0}", "}", vec!["panda_joint7", "missing"]),
        (
            "  joints:",
            "  grasp: mug\n  joints:",
            vec!["exactly one of grasp"],
        ),
        (
            "  joints: {",
            "  grasp: mug #{",
            vec!["mug", "not among objects"],
        ),
        (
            "position_m: [0.6, 0.0, -0.1]",
            "position_m: [0, 0, 0], quaternion_xyzw: [0, 0, 0, 2]",
            vec!["table", "length is 2"],
        ),
    ] {
        let yaml = PROBLEM.replace(from, to);
        assert_ne!(yaml, PROBLEM);
        let error = request(&yaml).err().expect(to);
        assert_eq!(error.code(), 901);
        for word in words {
            assert!(
                error.to_string().contains(word),
                "'{error}' should name '{word}'"
            );
        }
    }
}

#[test]
fn the_shipped_examples_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in ["joint_goal.yaml", "pose_goal.yaml", "pick_mug.yaml"] {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let file = ProblemFile::from_yaml(&text, &path).unwrap();
        match file.request(&shipped("panda"), &folder, None) {
            Ok(request) => assert!(!request.scene.objects.is_empty()),
            // Grasping needs weights, which this test does not load.
            Err(error) => assert!(
                name == "pick_mug.yaml" && error.to_string().contains("grasp model"),
                "{error}"
            ),
        }
    }
}
