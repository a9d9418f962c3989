//! Kinematics against pinocchio: `scripts/golden_kinematics.py` wrote the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::lanes::{Lanes, LANES};
use diffusion_field_planner::robot::{RobotModel, RobotSettings};
use nalgebra::{Quaternion, Translation3, UnitQuaternion};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-6;
/// f32 kernels on arms of about a metre.
const LANE_TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    robots: Vec<GoldenRobot>,
}

#[derive(Deserialize)]
struct GoldenRobot {
    urdf: String,
    base_link: String,
    tool_link: String,
    fixed_joint_positions: BTreeMap<String, f64>,
    joint_names: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    q: Vec<f64>,
    /// base_from_link: x, y, z, then the quaternion x, y, z, w.
    links: BTreeMap<String, [f64; 7]>,
    /// 6 x D, linear then angular.
    jacobian: Vec<Vec<f64>>,
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn golden() -> Golden {
    let text = std::fs::read_to_string(root("tests/data/golden_kinematics.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn model(golden: &GoldenRobot) -> RobotModel {
    let mut settings = RobotSettings::new(&golden.base_link, &golden.tool_link);
    settings.fixed_joint_positions = golden.fixed_joint_positions.clone();
    let urdf = std::fs::read_to_string(root(&golden.urdf)).unwrap();
    RobotModel::from_urdf(&urdf, &settings).unwrap_or_else(|e| panic!("{}: {e}", golden.urdf))
}

fn pose(v: &[f64; 7]) -> Pose {
    let rotation = Quaternion::new(v[6], v[3], v[4], v[5]);
    Pose::from_parts(
        Translation3::new(v[0], v[1], v[2]),
        UnitQuaternion::from_quaternion(rotation),
    )
}

/// Larger of the distance (m) and the angle (rad) between two poses.
fn error(a: &Pose, b: &Pose) -> f64 {
    let translation = (a.translation.vector - b.translation.vector).norm();
    translation.max(a.rotation.angle_to(&b.rotation))
}

#[test]
fn every_link_and_the_jacobian_agree_in_double_precision() {
    let golden = golden();
    assert_eq!(golden.robots.len(), 5);
    for robot in &golden.robots {
        let model = model(robot);
        assert_eq!(model.limits.names, robot.joint_names, "{}", robot.urdf);
        assert_eq!(robot.cases.len(), 50);
        for (index, case) in robot.cases.iter().enumerate() {
            for (link, expected) in &case.links {
                let found = model.kinematics.forward_kinematics(&case.q, link).unwrap();
                let error = error(&found, &pose(expected));
                assert!(
                    error < TOLERANCE,
                    "{} case {index}, {link}: {error:e}",
                    robot.urdf
                );
            }
            let jacobian = model.kinematics.jacobian(&case.q);
            assert_eq!(jacobian.shape(), (6, robot.joint_names.len()));
            for (row, expected) in case.jacobian.iter().enumerate() {
                for (column, expected) in expected.iter().enumerate() {
                    let error = (jacobian[(row, column)] - expected).abs();
                    assert!(
                        error < TOLERANCE,
                        "{} case {index}, J[{row},{column}]: {error:e}",
                        robot.urdf
                    );
                }
            }
        }
    }
}

#[test]
fn every_link_agrees_in_the_lanes() {
    for robot in &golden().robots {
        let model = model(robot);
        let mut state = model.kinematics.new_state();
        for cases in robot.cases.chunks(LANES) {
            let q: Vec<Lanes> = (0..model.limits.dof())
                .map(|j| {
                    let at = |lane: usize| cases[lane.min(cases.len() - 1)].q[j] as f32;
                    Lanes::from(std::array::from_fn::<f32, LANES, _>(at))
                })
                .collect();
            model.kinematics.forward(&q, &mut state);
            for (lane, case) in cases.iter().enumerate() {
                for (link, expected) in &case.links {
                    let (body, body_from_link) = model.kinematics.body_of_link(link).unwrap();
                    let found = state.bodies[body].child(&body_from_link).pose(lane).cast();
                    let error = error(&found, &pose(expected));
                    assert!(error < LANE_TOLERANCE, "{} {link}: {error:e}", robot.urdf);
                }
            }
        }
    }
}

/// The two arms have the same links but for their names; each file stands alone, so a change must reach both.
#[test]
fn panda_and_fr3_share_their_shapes() {
    let shapes = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(root(&format!("urdf/{name}.urdf"))).unwrap();
        text.lines()
            .filter(|l| l.contains("<collision") || l.contains("<visual") || l.contains("<link"))
            .map(|l| l.replace(&format!("{name}_"), ""))
            .collect()
    };
    assert!(shapes("panda").len() > 80);
    assert_eq!(shapes("panda"), shapes("fr3"));
}

#[test]
fn shipped_arms_have_the_published_limits() {
    for (name, velocity, acceleration, jerk, lower_4) in [
        (
            "panda",
            [2.175, 2.61],
            [15.0, 20.0],
            [7500.0, 10000.0],
            -3.0718,
        ),
        ("fr3", [2.62, 5.26], [10.0, 10.0], [5000.0, 5000.0], -3.0421),
    ] {
        let model = RobotModel::load(
            &root(&format!("urdf/{name}.urdf")),
            &root(&format!("config/{name}.yaml")),
        )
        .unwrap();
        let limits = &model.limits;
        for (joint, which) in [(0, 0), (6, 1)] {
            assert_eq!(limits.velocity[joint], velocity[which]);
            assert_eq!(limits.acceleration[joint], acceleration[which]);
            assert_eq!(limits.jerk[joint], jerk[which]);
        }
        assert_eq!(limits.lower[3], lower_4);
        let gripper = model.gripper.as_ref().unwrap();
        // The tool stands 0.1034 m in front of the gripper frame, which closes along the hand's y axis.
        let tool_from_gripper = &gripper.tool_from_gripper;
        assert!((tool_from_gripper.translation.z + 0.1034).abs() < 1e-12);
        let closing = tool_from_gripper.rotation * nalgebra::Vector3::x();
        assert!((closing - nalgebra::Vector3::y()).norm() < 1e-12);
    }
}
