//! Configurations on the shipped arm: gradients by finite differences, and where random starts end.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::cost::PoseTarget;
use crate::geometry::difference;
use crate::robot::toy_robots::shipped;
use crate::scene::{LaneScene, Scene, SceneObject, Shape};

const READY: [f64; 7] = [0.1, -0.5, 0.2, -2.2, 0.1, 1.8, 0.6];

/// The hand at `READY` over a table that is so near below it, and a ball beside the elbow.
fn problem(robot: &RobotModel, below_m: f64, sigma_rad: f32) -> (ConfigurationProblem<'_>, Pose) {
    let gripper = robot.gripper.as_ref().unwrap();
    let grasp = robot.kinematics.tool_pose(&READY) * gripper.tool_from_gripper;
    let tips = grasp * nalgebra::Point3::new(0.0, 0.0, gripper.geometry.tip_m);
    // A board that ends before the robot's column: what always collides would be most of the cost.
    let half_extents_m = [0.25, 0.4, 0.02];
    let table = Pose::translation(tips.x + 0.05, tips.y, tips.z - below_m - half_extents_m[2]);
    let ball = Shape::Sphere { radius_m: 0.1 };
    let scene = Scene {
        objects: vec![
            SceneObject::new("table", Shape::Box { half_extents_m }, table),
            SceneObject::new("ball", ball, Pose::translation(0.1, 0.45, 0.6)),
        ],
    };
    let lanes = LaneScene::from_scene(&scene);
    let target = PoseTarget::new(vec![grasp.cast()], 0.1, 0.08, sigma_rad);
    let collision = SceneCollision::new(&robot.collision, lanes);
    let problem = ConfigurationProblem::new(robot, collision).unwrap();
    (problem.draw_to(target), grasp)
}

#[test]
fn the_gradient_of_the_whole_cost_is_its_derivative() {
    const H: f32 = 2e-3;
    let robot = shipped("panda");
    let (problem, _) = problem(&robot, 0.02, 0.5);
    let settings = ConfigurationSettings {
        collision_weight: 1.0,
        onset_m: 0.3,
        self_onset_m: 0.15,
        ..ConfigurationSettings::default()
    };
    let mut ws = problem.new_workspace();
    for shift in [-0.2f32, 0.1, 0.25] {
        // Lanes 1 + 2j and 2 + 2j are moved along joint j.
        for (j, q) in ws.q.iter_mut().enumerate() {
            let mut lanes = [READY[j] as f32 + shift * (1.0 - 0.3 * j as f32); LANES];
            lanes[1 + 2 * j] += H;
            lanes[2 + 2 * j] -= H;
            *q = Lanes::new(lanes);
        }
        let cost = problem.linearise(&settings, 0.0, true, &mut ws);
        let (total, ends) = (cost.total.to_array(), cost.ends.to_array());
        assert!(
            ends[0] > 0.0 && total[0] > ends[0],
            "both kinds of terms act"
        );
        let gradient: Vec<f32> = ws.system.gradient.iter().map(|g| g.to_array()[0]).collect();
        let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        for (j, found) in gradient.iter().enumerate() {
            let slope = (total[1 + 2 * j] - total[2 + 2 * j]) / (2.0 * H);
            assert!(
                (slope - found).abs() < 0.01 * norm,
                "joint {j} at {shift}: {found} against {slope}"
            );
        }
    }
}

#[test]
fn random_starts_end_at_a_pose_that_can_be_reached() {
    let robot = shipped("panda");
    let (problem, grasp) = problem(&robot, 0.05, 0.05);
    let settings = ConfigurationSettings::default();
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let found = problem.solve(&settings, 32, &mut rng);
    assert_eq!(found.len(), 32);
    assert!(found.windows(2).all(|w| w[0].cost <= w[1].cost));
    let gripper = robot.gripper.as_ref().unwrap();
    let at = |q: &[f64]| robot.kinematics.tool_pose(q) * gripper.tool_from_gripper;
    let reaches = |c: &&Configuration| {
        let inside = robot.limits.violation(&c.q, 1e-5).is_none();
        inside && difference(&grasp, &at(&c.q)).amax() < 2e-3
    };
    assert!(
        reaches(&&found[0]),
        "the cheapest: {:?}",
        difference(&grasp, &at(&found[0].q))
    );
    // The rest ends in other minima: limits and collisions count from the first step on.
    let reached = found.iter().filter(reaches).count();
    assert!(reached >= 16, "{reached} of 32");
    // The same on any number of threads.
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let again = || problem.solve(&settings, 32, &mut Pcg64Mcg::seed_from_u64(3));
        let again = pool.build().unwrap().install(again);
        assert_eq!(found, again, "{threads} threads");
    }
}
