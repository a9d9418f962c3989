//! The end of a motion follows an energy over gripper poses together with the rest of the motion.

use std::ops::ControlFlow;
use std::sync::Arc;

use nalgebra::Isometry3;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::cost::{GraspEnergy, MotionLimitHinge, SceneCollision, SelfCollision, Smoothness};
use crate::field::{EnergyField, NoiseSchedule};
use crate::geometry::{difference, Pose};
use crate::robot::toy_robots::shipped;
use crate::robot::RobotModel;
use crate::scene::{LaneScene, Scene};
use crate::trajectory::{JointRow, MotionLimits, Spline};

/// E = 1/2 |difference of the pose to a grasp|^2 in units of the final noise; its gradient in closed form for small angles.
struct Well(Pose);

const STIFFNESS: [f64; 2] = [3.0e4, 230.0];

impl EnergyField for Well {
    fn evaluate(
        &self,
        poses: &[Isometry3<f32>],
        _t: f32,
        energy: &mut [f32],
        gradient: &mut [[f32; 6]],
    ) {
        for (i, pose) in poses.iter().enumerate() {
            let d = difference(&self.0, &pose.cast());
            energy[i] = 0.0;
            for k in 0..6 {
                let stiffness = STIFFNESS[k / 3];
                energy[i] += (0.5 * stiffness * d[k] * d[k]) as f32;
                gradient[i][k] = (stiffness * d[k]) as f32;
            }
        }
    }
}

struct AcceptAll;

impl CandidateCheck for AcceptAll {
    fn accepts(&mut self, _spline: &Spline, _goal: usize) -> bool {
        true
    }
}

fn row(q: [f64; 7]) -> JointRow {
    let mut row = [0.0f32; 16];
    for (r, v) in row.iter_mut().zip(q) {
        *r = v as f32;
    }
    JointRow::new(row)
}

/// Smooth motions whose end may follow the energy.
fn towards(
    robot: &Arc<RobotModel>,
    grasp: &Pose,
    settings: &OptimizerSettings,
) -> (Objective, MotionLimits) {
    let limits = MotionLimits::new(
        &robot.limits.velocity,
        &robot.limits.acceleration,
        &robot.limits.jerk,
    );
    let scene = SceneCollision::new(&robot.collision, LaneScene::from_scene(&Scene::default()));
    let mut collision = CollisionTerms::new(
        scene,
        SelfCollision::new(&robot.collision),
        None,
        0.0,
        settings,
    );
    collision.limit_self_margin(0.0);
    let mut objective = Objective::new(robot.clone(), limits, collision, 0.0, settings);
    objective.add(Smoothness::new(limits), 0.05, 1.0);
    objective.add(MotionLimitHinge::new(limits), 20.0, 10.0);
    objective.add(
        GraspEnergy::new(
            Arc::new(Well(*grasp)),
            NoiseSchedule::default(),
            &Pose::identity(),
        ),
        settings.weights.grasp,
        settings.refine_limits,
    );
    (objective, limits)
}

#[test]
fn the_grasp_energy_moves_the_end_and_only_where_it_may() {
    let robot = Arc::new(shipped("panda"));
    let start = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
    let seed = [0.5, -0.2, 0.0, -2.0, 0.0, 1.8, 0.785];
    let best = [0.53, -0.23, 0.02, -2.04, 0.03, 1.83, 0.8];
    let grasp =
        robot.kinematics.tool_pose(&best) * robot.gripper.as_ref().unwrap().tool_from_gripper;
    let settings = OptimizerSettings {
        refine_particles: 2,
        ..OptimizerSettings::default()
    };
    let (objective, limits) = towards(&robot, &grasp, &settings);
    let goal = |movable| GoalPoint {
        q: row(seed),
        clearance_m: 1.0,
        target_clearance_m: 1.0,
        movable,
        world_from_gripper: None,
    };
    let goals = [goal(true), goal(false)];
    let spline = Spline::follow_polyline(&[row(start), row(seed)], 32, limits.inverse_velocity);
    let spacing_s = limits.spacing(&spline).spacing_s();
    let mut particles: Vec<Particle> = (0..2)
        .map(|g| Particle::new(spline.clone(), spacing_s, 0.5, g, Origin::Line))
        .collect();
    let mut run = Run {
        objective: &objective,
        goals: &goals,
        settings: &settings,
        rng: &mut Pcg64Mcg::seed_from_u64(0),
        workspaces: &mut [Workspace::new(&robot)],
        check: &mut AcceptAll,
        observe: &mut |_| ControlFlow::Continue(()),
        candidates: Vec::new(),
        unchecked: Vec::new(),
        steps: 0,
    };
    annealed_langevin(&mut run, &mut particles).unwrap();
    refine(&mut run, &mut particles).unwrap();
    let error = |particle: &Particle| {
        let end = particle.spline.end();
        let q: Vec<f64> = end.as_array()[..7].iter().map(|&v| f64::from(v)).collect();
        let gripper =
            robot.kinematics.tool_pose(&q) * robot.gripper.as_ref().unwrap().tool_from_gripper;
        difference(&grasp, &gripper)
    };
    let (moved, fixed) = (error(&particles[0]), error(&particles[1]));
    assert!(
        fixed.fixed_rows::<3>(0).norm() > 0.01,
        "the seed is off by more than 1 cm"
    );
    assert!(
        moved.fixed_rows::<3>(0).norm() < 0.006,
        "the end went to within about one final sigma of the grasp: {moved}"
    );
    assert!(moved.fixed_rows::<3>(3).norm() < 0.1);
    assert_eq!(particles[1].spline.end().to_array(), row(seed).to_array());
    for particle in &particles {
        let x = &particle.spline.points;
        assert_eq!(
            x[x.len() - 1].to_array(),
            x[x.len() - 3].to_array(),
            "still at rest at the end"
        );
        assert_eq!(x[0].to_array(), row(start).to_array());
    }
}

#[test]
fn between_evaluations_the_gradient_follows_the_curvature_and_the_pose_is_known() {
    let robot = Arc::new(shipped("panda"));
    let at = [0.5, -0.2, 0.0, -2.0, 0.0, 1.8, 0.785];
    let settings = OptimizerSettings::default();
    let tool_from_gripper = robot.gripper.as_ref().unwrap().tool_from_gripper;
    let grasp = robot.kinematics.tool_pose(&at) * tool_from_gripper;
    let (objective, limits) = towards(&robot, &grasp, &settings);
    let mut ws = Workspace::new(&robot);
    let start = at.map(|v| v + 0.02);
    let mut spline =
        Spline::follow_polyline(&[row([0.0; 7]), row(start)], 32, limits.inverse_velocity);
    let mut particle = Particle::new(spline.clone(), 0.1, 0.5, 0, Origin::Line);
    let mut evaluate = |particle: &mut Particle, period| {
        objective.evaluate_ends(&mut [particle], 0.0, Pass::Anneal, period, &mut ws);
    };
    evaluate(&mut particle, 4);
    let (gradient, curvature) = (particle.end_gradient, particle.end_curvature);
    let moved = row([0.001, -0.002, 0.003, 0.0, 0.002, -0.001, 0.004]);
    spline.set_end(row(start) + moved);
    particle.spline = spline;
    particle.steps = 1;
    evaluate(&mut particle, 4);
    let off = particle.end_gradient - (gradient + curvature * moved);
    assert!((off * off).reduce_add().sqrt() < 1e-3 * (gradient * gradient).reduce_add().sqrt());
    let end = particle.spline.end();
    let q: Vec<f64> = end.as_array()[..7].iter().map(|&v| f64::from(v)).collect();
    let exact = robot.kinematics.tool_pose(&q) * tool_from_gripper;
    let known = particle.world_from_end_gripper.unwrap().cast();
    assert!(difference(&exact, &known).norm() < 1e-5);
    // Asked again, the energy itself has the word.
    let mut asked = particle.clone();
    particle.steps = 4;
    evaluate(&mut particle, 4);
    evaluate(&mut asked, 1);
    assert_eq!(
        particle.end_gradient.to_array(),
        asked.end_gradient.to_array()
    );
    let off = particle.end_gradient - (gradient + curvature * moved);
    assert!((off * off).reduce_add() > 0.0);
}
