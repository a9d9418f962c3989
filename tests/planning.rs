//! The planner through its public door: joint and pose goals, limits, determinism, cancelling, deadline, every refusal.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::optimizer::Sampling;
use diffusion_field_planner::planner::{
    Goal, Plan, PlanError, PlanRequest, Planner, PlannerSettings, Progress,
};
use diffusion_field_planner::robot::{RobotModel, RobotSettings};
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};
use nalgebra::{Translation3, UnitQuaternion};

const READY: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
const BESIDE: [f64; 7] = [1.2, 0.2, 0.0, -1.8, 0.0, 2.0, 0.785];

/// Read once: fitting its spheres takes longer than most tests.
fn panda() -> Arc<RobotModel> {
    static ROBOT: std::sync::OnceLock<Arc<RobotModel>> = std::sync::OnceLock::new();
    let load = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Arc::new(
            RobotModel::load(
                &root.join("urdf/panda.urdf"),
                &root.join("config/panda.yaml"),
            )
            .unwrap(),
        )
    };
    ROBOT.get_or_init(load).clone()
}

fn cuboid(name: &str, size: [f64; 3], at: [f64; 3]) -> SceneObject {
    let shape = Shape::Box {
        half_extents_m: size.map(|s| 0.5 * s),
    };
    SceneObject::new(name, shape, Pose::translation(at[0], at[1], at[2]))
}

/// A table and a pillar between the two configurations.
fn scene() -> Scene {
    let table = cuboid("table", [1.2, 1.6, 0.04], [0.7, 0.0, -0.1]);
    Scene {
        objects: vec![table, cuboid("pillar", [0.1, 0.1, 0.9], [0.4, 0.25, 0.4])],
    }
}

fn plan_with(settings: PlannerSettings, request: &PlanRequest) -> Result<Plan, PlanError> {
    Planner::new(panda(), settings).plan(request, &mut |_| ControlFlow::Continue(()))
}

fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    plan_with(PlannerSettings::default(), request)
}

fn joint_request() -> PlanRequest {
    PlanRequest::new(READY.to_vec(), scene(), Goal::Joints(BESIDE.to_vec()))
}

#[test]
fn a_joint_goal_is_reached_exactly_and_inside_scaled_limits() {
    let limits = &panda().limits;
    for scaling in [1.0, 0.3] {
        let request = PlanRequest {
            velocity_scaling: scaling,
            acceleration_scaling: scaling,
            ..joint_request()
        };
        let plan = plan(&request).unwrap();
        let trajectory = &plan.phases[0].trajectory;
        let (first, last) = (
            trajectory.sample(0.0),
            trajectory.sample(trajectory.duration_s()),
        );
        assert_eq!((plan.phases.len(), first.position), (1, READY.to_vec()));
        for (j, goal) in BESIDE.iter().enumerate() {
            assert!((last.position[j] - goal).abs() < 1e-12);
            assert!(last.velocity[j].abs() < 1e-9 && last.acceleration[j].abs() < 1e-9);
        }
        for point in trajectory.points(1e-3) {
            for j in 0..7 {
                assert!(
                    point.state.velocity[j].abs() <= scaling * limits.velocity[j] * (1.0 + 1e-6)
                );
                assert!(
                    point.state.acceleration[j].abs()
                        <= scaling * limits.acceleration[j] * (1.0 + 1e-6)
                );
                assert!(point.state.jerk[j].abs() <= scaling * limits.jerk[j] * (1.0 + 1e-6));
            }
        }
        assert!(plan.verification.min_clearance_m > 0.0);
        assert!(plan
            .costs
            .iter()
            .any(|(name, value)| name == "smoothness" && *value > 0.0));
    }
}

#[test]
fn a_pose_goal_is_reached() {
    let robot = panda();
    let goal = robot.kinematics.tool_pose(&BESIDE);
    let request = PlanRequest {
        goal: Goal::Pose {
            world_from_tool: goal,
        },
        ..joint_request()
    };
    let plan = plan(&request).unwrap();
    let reached = robot.kinematics.tool_pose(plan.phases[0].trajectory.end());
    assert!((reached.translation.vector - goal.translation.vector).norm() < 1e-4);
    assert!(reached.rotation.angle_to(&goal.rotation) < 1e-3);
}

#[test]
fn pure_diffusion_finds_a_way_too() {
    let settings = PlannerSettings {
        tree_seeds: 0,
        ..PlannerSettings::default()
    };
    let plan = plan_with(
        settings,
        &PlanRequest {
            num_particles: 32,
            ..joint_request()
        },
    )
    .unwrap();
    assert!(plan.verification.min_clearance_m > 0.0);
}

#[test]
fn equal_seeds_give_equal_plans_also_from_a_used_planner() {
    let request = joint_request();
    let mut planner = Planner::new(panda(), PlannerSettings::default());
    let mut run = |request: &PlanRequest| {
        planner
            .plan(request, &mut |_| ControlFlow::Continue(()))
            .unwrap()
            .phases[0]
            .trajectory
            .clone()
    };
    let (first, other, second) = (
        run(&request),
        run(&PlanRequest {
            seed: 1,
            ..request.clone()
        }),
        run(&request),
    );
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[test]
fn langevin_noise_is_seeded_and_still_gives_a_plan() {
    let mut settings = PlannerSettings::default();
    settings.optimizer.sampling = Sampling::Langevin;
    let run = |settings: &PlannerSettings| {
        plan_with(settings.clone(), &joint_request())
            .unwrap()
            .phases[0]
            .trajectory
            .clone()
    };
    let noisy = run(&settings);
    assert_eq!(noisy, run(&settings));
    assert_ne!(noisy, run(&PlannerSettings::default()));
}

#[test]
fn plans_do_not_depend_on_the_number_of_threads() {
    for sampling in [Sampling::Deterministic, Sampling::Langevin] {
        let of_threads = |threads| {
            let mut settings = PlannerSettings {
                threads,
                ..PlannerSettings::default()
            };
            settings.optimizer.sampling = sampling;
            let plan = plan_with(settings, &joint_request()).unwrap();
            (plan.phases[0].trajectory.clone(), plan.iterations)
        };
        let alone = of_threads(1);
        for threads in [2, 3, 7] {
            assert_eq!(alone, of_threads(threads), "{sampling:?}, {threads}");
        }
    }
}

#[test]
fn cancelling_is_heard_at_every_iteration() {
    for stop_after in [1, 3, 12] {
        let mut seen = 0;
        let mut observe = |_: &Progress| {
            seen += 1;
            if seen >= stop_after {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut planner = Planner::new(panda(), PlannerSettings::default());
        let error = planner.plan(&joint_request(), &mut observe).unwrap_err();
        assert_eq!((error.code(), error.moveit_code()), (903, -7));
        assert!(
            seen <= stop_after + 1,
            "{seen} calls after the request to stop at {stop_after}"
        );
    }
}

#[test]
fn the_deadline_is_kept_and_named() {
    let error = plan(&PlanRequest {
        time_limit: Duration::from_nanos(1),
        ..joint_request()
    })
    .unwrap_err();
    assert_eq!((error.code(), error.moveit_code()), (935, -6));
    assert!(error.to_string().contains("sample"), "{error}");
}

#[test]
fn feedback_shows_the_stages_in_order() {
    let mut seen: Vec<Progress> = Vec::new();
    let mut planner = Planner::new(panda(), PlannerSettings::default());
    let mut observe = |p: &Progress| {
        seen.push(*p);
        ControlFlow::Continue(())
    };
    planner.plan(&joint_request(), &mut observe).unwrap();
    assert!(seen.windows(2).all(|w| w[1].elapsed_s >= w[0].elapsed_s));
    let mut stages: Vec<&str> = seen.iter().map(|p| p.stage.name()).collect();
    stages.dedup();
    assert_eq!(stages, ["sample", "optimise", "refine", "retime"]);
    assert!(seen.iter().any(|p| p.best_cost.is_finite()));
}

fn from_start(j: usize, value: f64) -> PlanRequest {
    let mut start = READY.to_vec();
    start[j] = value;
    PlanRequest {
        start,
        ..joint_request()
    }
}

/// With a crate where the hand stands at a configuration.
fn blocked_at(q: &[f64]) -> PlanRequest {
    let mut request = joint_request();
    let at = panda().kinematics.tool_pose(q).translation.vector;
    request
        .scene
        .objects
        .push(cuboid("crate", [0.2; 3], at.into()));
    request
}

fn downwards(x: f64, y: f64, z: f64) -> PlanRequest {
    let rotation = UnitQuaternion::from_euler_angles(std::f64::consts::PI, 0.0, 0.0);
    let world_from_tool = Pose::from_parts(Translation3::new(x, y, z), rotation);
    PlanRequest {
        goal: Goal::Pose { world_from_tool },
        ..joint_request()
    }
}

#[test]
fn bad_requests_are_refused_by_name() {
    let base = joint_request();
    let mut twice = base.clone();
    twice.scene.objects.push(twice.scene.objects[0].clone());
    let cases: Vec<(PlanRequest, u16, &[&str])> = vec![
        (from_start(2, f64::NAN), 901, &["panda_joint3", "NaN"]),
        (
            PlanRequest {
                start: vec![0.0; 6],
                ..base.clone()
            },
            901,
            &["6", "7 joints"],
        ),
        (from_start(3, 0.5), 912, &["panda_joint4", "0.5"]),
        (
            PlanRequest {
                goal: Goal::Joints(vec![9.0; 7]),
                ..base.clone()
            },
            901,
            &["panda_joint1", "9.0"],
        ),
        (
            PlanRequest {
                velocity_scaling: 0.0,
                ..base.clone()
            },
            901,
            &["velocity_scaling", "(0, 1]"],
        ),
        (
            PlanRequest {
                acceleration_scaling: 1.5,
                ..base.clone()
            },
            901,
            &["acceleration_scaling", "1.5"],
        ),
        (
            PlanRequest {
                lift_distance_m: -0.1,
                ..base.clone()
            },
            901,
            &["lift_distance_m", "-0.1"],
        ),
        (
            PlanRequest {
                collision_margin_m: f64::NAN,
                ..base.clone()
            },
            901,
            &["collision_margin_m", "NaN"],
        ),
        (
            PlanRequest {
                num_particles: 0,
                ..base.clone()
            },
            901,
            &["num_particles"],
        ),
        (
            PlanRequest {
                time_limit: Duration::ZERO,
                ..base.clone()
            },
            901,
            &["time_limit"],
        ),
        (twice, 901, &["table"]),
        (downwards(f64::NAN, 0.0, 0.5), 901, &["goal pose", "NaN"]),
        (blocked_at(&READY), 914, &["panda_", "crate", "mm"]),
        (blocked_at(&BESIDE), 932, &["panda_", "crate", "mm"]),
        (downwards(2.5, 0.0, 0.5), 931, &["panda_hand_tcp", "2.500"]),
        (downwards(0.5, 0.0, -0.1), 932, &["table"]),
    ];
    for (request, code, words) in cases {
        let error = plan(&request).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.code(), code, "{message}");
        for word in words {
            assert!(message.contains(word), "'{message}' should name '{word}'");
        }
    }
}

/// A planar arm seen from above, every link 0.4 m long.
///
/// ```text
/// (o)-----(o)-----> x
///  j1      j2     tool
/// ```
fn planar(joints: usize) -> Arc<RobotModel> {
    let mut urdf = String::from("<robot name='planar'><link name='l0'/>");
    for i in 1..=joints {
        let x = if i == 1 { 0.0 } else { 0.4 };
        urdf += &format!(
            "<link name='l{i}'><collision><origin xyz='0.2 0 0'/><geometry><box size='0.3 0.05 0.05'/></geometry>\
             </collision></link><joint name='j{i}' type='revolute'><parent link='l{}'/><child link='l{i}'/>\
             <origin xyz='{x} 0 0'/><axis xyz='0 0 1'/><limit lower='-2.9' upper='2.9' velocity='2' effort='1'/></joint>",
            i - 1
        );
    }
    urdf += &format!(
        "<link name='tool'/><joint name='jt' type='fixed'><parent link='l{joints}'/><child link='tool'/>\
         <origin xyz='0.4 0 0'/></joint></robot>"
    );
    Arc::new(RobotModel::from_urdf(&urdf, &RobotSettings::new("l0", "tool")).unwrap())
}

#[test]
fn arms_of_other_sizes_go_round_a_post() {
    for joints in [2, 3, 6] {
        let post = SceneObject::new(
            "post",
            Shape::Sphere { radius_m: 0.08 },
            Pose::translation(0.62, 0.0, 0.0),
        );
        let (mut start, mut goal) = (vec![0.0; joints], vec![0.0; joints]);
        (start[0], goal[0]) = (0.9, -0.9);
        let request = PlanRequest::new(
            start,
            Scene {
                objects: vec![post],
            },
            Goal::Joints(goal),
        );
        let plan = Planner::new(planar(joints), PlannerSettings::default())
            .plan(&request, &mut |_| ControlFlow::Continue(()))
            .unwrap_or_else(|e| panic!("{joints} joints: {e}"));
        assert!(plan.verification.min_clearance_m > 0.0);
    }
}

#[test]
fn a_walled_in_goal_has_no_path() {
    let wall = cuboid("wall", [0.6, 0.04, 0.4], [0.5, 0.0, 0.0]);
    let request = PlanRequest::new(
        vec![1.0],
        Scene {
            objects: vec![wall],
        },
        Goal::Joints(vec![-1.0]),
    );
    let settings = PlannerSettings {
        tree_seeds: 1,
        ..PlannerSettings::default()
    };
    let error = Planner::new(planar(1), settings)
        .plan(&request, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert_eq!(error.code(), 933, "{error}");
    assert!(error.to_string().contains("wall"), "{error}");
}
