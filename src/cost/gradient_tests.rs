//! Every term's gradient against central differences, in one table for each form in which terms see a motion.

use std::sync::Arc;

use nalgebra::{Isometry3, Translation3, UnitQuaternion};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::field::{EnergyField, NoiseSchedule};
use crate::geometry::{difference, perturb, Pose, Twist};
use crate::lanes::{splat, LANES};
use crate::robot::toy_robots::shipped;
use crate::robot::RobotModel;
use crate::trajectory::{JointRow, MotionLimits};

fn random_row(dof: usize, spread: f32, rng: &mut impl Rng) -> JointRow {
    let mut row = [0.0f32; LANES];
    for v in &mut row[..dof] {
        *v = spread * (2.0 * rng.random::<f32>() - 1.0);
    }
    JointRow::new(row)
}

/// A random walk that breaks limits of every order.
fn rough_spline(dof: usize, rng: &mut impl Rng) -> Spline {
    let mut spline = Spline::resting(random_row(dof, 0.5, rng), 12);
    for i in 1..spline.points.len() {
        spline.points[i] = spline.points[i - 1] + random_row(dof, 0.4, rng);
    }
    spline
}

const DOF: usize = 7;

fn control_point_terms() -> Vec<Box<dyn Cost>> {
    let limits = MotionLimits::new(&[2.0; DOF], &[8.0; DOF], &[60.0; DOF]);
    vec![
        Box::new(Smoothness::new(limits)),
        Box::new(MotionLimitHinge::new(limits)),
        Box::new(JointLimitHinge::new(
            JointRow::splat(-0.6),
            JointRow::splat(0.5),
        )),
        Box::new(StartState::new(JointRow::splat(0.3))),
    ]
}

#[test]
fn control_point_terms_match_finite_differences() {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    for cost in control_point_terms() {
        for _ in 0..5 {
            let spline = rough_spline(DOF, &mut rng);
            let n = spline.points.len();
            let value_at = |spline: &Spline| {
                let mut system = BandedSystem::default();
                system.reset(n, 0.0);
                let value = cost.on_control_points(
                    &Motion {
                        spline,
                        spacing_s: 0.1,
                    },
                    1.7,
                    &mut system,
                );
                (f64::from(value), system)
            };
            let (value, system) = value_at(&spline);
            assert!(value > 0.0, "{} must be active in its test", cost.name());
            let norm: f32 = system
                .gradient
                .iter()
                .map(|g| (*g * *g).reduce_add())
                .sum::<f32>()
                .sqrt();
            for (i, j) in [
                (0, 0),
                (1, 3),
                (2, 6),
                (n / 2, 1),
                (n / 2 + 1, 4),
                (n - 2, 5),
                (n - 1, 2),
            ] {
                const H: f32 = 2e-3;
                let moved = |by: f32| {
                    let mut spline = spline.clone();
                    let mut row = spline.points[i].to_array();
                    row[j] += by;
                    spline.points[i] = JointRow::new(row);
                    value_at(&spline).0
                };
                let slope = (moved(H) - moved(-H)) / f64::from(2.0 * H);
                let gradient = f64::from(system.gradient[i].to_array()[j]);
                let error = (slope - gradient).abs() / f64::from(norm);
                assert!(
                    error < 3e-3,
                    "{} at point {i} joint {j}: {gradient} against {slope}",
                    cost.name()
                );
            }
        }
    }
}

/// Value by lane and gradient by joint of a term at sixteen configurations.
fn sample_term(
    robot: &RobotModel,
    q: &[Lanes],
    act: &dyn Fn(&Samples<'_>, &mut SampleTerms<'_>),
    end: &Isometry3<f32>,
) -> (Lanes, Vec<Lanes>) {
    let mut state = robot.kinematics.new_state();
    robot.kinematics.forward(q, &mut state);
    let mut wrenches = BodyWrenches::new(robot.kinematics.body_count());
    let mut value = Lanes::ZERO;
    let samples = Samples {
        q,
        state: &state,
        fraction: splat(0.9),
        world_from_final_gripper: Some(end),
        approach_fraction: 0.8,
    };
    act(
        &samples,
        &mut SampleTerms {
            value: &mut value,
            wrenches: &mut wrenches,
        },
    );
    let mut gradient = vec![Lanes::ZERO; q.len()];
    robot
        .kinematics
        .pull_back(&state, &mut wrenches, &mut gradient);
    (value, gradient)
}

#[test]
fn sample_terms_match_finite_differences() {
    let robot = shipped("panda");
    let gripper = robot.gripper.as_ref().expect("panda has a hand");
    let body_from_gripper = robot.kinematics.body_from_tool() * gripper.tool_from_gripper;
    let approach = Approach::new(robot.kinematics.tool_body(), body_from_gripper);
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    type Term<'a> = Box<dyn Fn(&Samples<'_>, &mut SampleTerms<'_>) + 'a>;
    // The hand points down: far from upright, and below the plane.
    let hand = robot.kinematics.tool_body();
    let upright = Upright::new(hand, [0.0, 0.6, 0.8], [0.0, 0.0, 1.0], 0.2);
    let ball = |body, z| GuardedBall {
        body,
        center_m: [0.02, -0.01, z],
        radius_m: 0.03,
    };
    let balls = vec![ball(hand, 0.1), ball(hand - 2, 0.0)];
    let plane = AbovePlane::new(balls, [0.0, 0.0, 0.9], [0.36, 0.48, 0.8]);
    let terms: [(&str, Term); 3] = [
        (
            "approach",
            Box::new(|samples, out| approach.on_samples(samples, 0.7, out)),
        ),
        (
            "upright",
            Box::new(|samples, out| upright.on_samples(samples, 0.7, out)),
        ),
        (
            "above_plane",
            Box::new(|samples, out| plane.on_samples(samples, 0.7, out)),
        ),
    ];
    for (name, act) in terms {
        for _ in 0..10 {
            let ready = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
            let center: Vec<f32> = ready
                .iter()
                .map(|v| v + 0.3 * (rng.random::<f32>() - 0.5))
                .collect();
            let goal: Vec<f64> = center.iter().map(|&v| f64::from(v) + 0.02).collect();
            let end = (robot.kinematics.tool_pose(&goal) * gripper.tool_from_gripper).cast::<f32>();
            // Lanes 1 + 2j and 2 + 2j are moved along joint j.
            const H: f32 = 1e-3;
            let q: Vec<Lanes> = (0..DOF)
                .map(|j| {
                    let mut lanes = [center[j]; LANES];
                    lanes[1 + 2 * j] += H;
                    lanes[2 + 2 * j] -= H;
                    Lanes::new(lanes)
                })
                .collect();
            let (value, gradient) = sample_term(&robot, &q, &act, &end);
            let value = value.to_array();
            assert!(value[0] > 0.0, "{name} must be active in its test");
            let norm = gradient
                .iter()
                .map(|g| g.to_array()[0].powi(2))
                .sum::<f32>()
                .sqrt();
            for j in 0..DOF {
                let slope = (value[1 + 2 * j] - value[2 + 2 * j]) / (2.0 * H);
                let exact = gradient[j].to_array()[0];
                assert!(
                    (slope - exact).abs() < 0.01 * norm + 1e-3,
                    "{name} joint {j}: {exact} against {slope}"
                );
            }
        }
    }
}

/// E = sum of squares of the pose difference to a grasp, weighted: an energy with a known minimum.
struct Well {
    grasp: Pose,
}

impl EnergyField for Well {
    fn evaluate(
        &self,
        poses: &[Isometry3<f32>],
        t: f32,
        energy: &mut [f32],
        gradient: &mut [[f32; 6]],
    ) {
        let stiffness =
            [400.0, 400.0, 400.0, 2.0, 2.0, 2.0].map(|k| k * (1.0 - 0.5 * f64::from(t)));
        let value = |pose: &Pose| {
            let d = difference(&self.grasp, pose);
            (0..6)
                .map(|k| 0.5 * stiffness[k] * d[k] * d[k])
                .sum::<f64>()
        };
        for (i, pose) in poses.iter().enumerate() {
            let pose = pose.cast::<f64>();
            energy[i] = value(&pose) as f32;
            for k in 0..6 {
                let mut step = Twist::zeros();
                step[k] = 1e-5;
                gradient[i][k] = ((value(&perturb(&pose, &step)) - value(&perturb(&pose, &-step)))
                    / 2e-5) as f32;
            }
        }
    }
}

#[test]
fn end_terms_match_finite_differences() {
    let turned = |x: f64, a: f64| {
        Pose::from_parts(
            Translation3::new(x, -0.2, 0.3),
            UnitQuaternion::from_euler_angles(a, 0.4, -0.7),
        )
    };
    let world_from_object = turned(0.5, 0.9);
    let field = Arc::new(Well {
        grasp: turned(0.02, 0.3),
    });
    let grasp = GraspEnergy::new(field, NoiseSchedule::default(), &world_from_object);
    let wanted = (world_from_object * turned(0.1, 0.1)).cast();
    let target = PoseTarget::new(vec![wanted], 0.1, 0.08, 0.3);
    let terms: [&dyn Cost; 2] = [&grasp, &target];
    for cost in terms {
        for t in [0.0, 0.6] {
            let pose = world_from_object * turned(0.06, 0.5);
            let at = |pose: &Pose| {
                let mut out = [EndTerm::default()];
                let poses = [pose.cast::<f32>()];
                cost.on_ends(
                    &Ends {
                        world_from_gripper: &poses,
                        annealing: t,
                    },
                    1.3,
                    &mut out,
                );
                out[0]
            };
            let term = at(&pose);
            assert!(term.value > 0.0);
            let norm = term.wrench.iter().map(|w| w * w).sum::<f32>().sqrt();
            for k in 0..6 {
                let mut step = Twist::zeros();
                step[k] = 2e-3;
                let slope =
                    (at(&perturb(&pose, &step)).value - at(&perturb(&pose, &-step)).value) / 4e-3;
                assert!(
                    (slope - term.wrench[k]).abs() < 0.01 * norm,
                    "{} axis {k}: {} against {slope}",
                    cost.name(),
                    term.wrench[k]
                );
            }
        }
    }
}

#[test]
fn a_half_turned_hand_costs_the_same() {
    // The approach term sees the pose of its own goal only: a motion and its twin with exchanged fingers cost the same.
    let robot = shipped("panda");
    let gripper = robot.gripper.as_ref().expect("panda has a hand");
    let body_from_gripper = robot.kinematics.body_from_tool() * gripper.tool_from_gripper;
    let approach = Approach::new(robot.kinematics.tool_body(), body_from_gripper);
    let q = [0.1, -0.6, 0.2, -2.2, 0.1, 1.6, 0.5];
    let mut goal = q.map(|v| v + 0.03);
    let act =
        |samples: &Samples<'_>, out: &mut SampleTerms<'_>| approach.on_samples(samples, 1.0, out);
    let value = |q: [f64; DOF], goal: [f64; DOF]| {
        let end = (robot.kinematics.tool_pose(&goal) * gripper.tool_from_gripper).cast::<f32>();
        let lanes: Vec<Lanes> = q.iter().map(|&v| splat(v as f32)).collect();
        sample_term(&robot, &lanes, &act, &end).0.to_array()[0]
    };
    let first = value(q, goal);
    let mut twin = q;
    twin[6] -= std::f64::consts::PI;
    goal[6] -= std::f64::consts::PI;
    let second = value(twin, goal);
    assert!(
        first > 0.0 && (first - second).abs() < 1e-3 * first,
        "{first} against {second}"
    );
}
