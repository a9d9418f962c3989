//! Plans from a moving start, and new plans for a moving arm: the state is taken over exactly, limits hold, and there is always
//! at least a stop.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::{
    BrakeWay, Goal, Plan, PlanError, PlanRequest, Planner, PlannerSettings, Replan, Running,
};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};
use diffusion_field_planner::trajectory::TimedTrajectory;

const READY: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
const BESIDE: [f64; 7] = [1.2, 0.2, 0.0, -1.8, 0.0, 2.0, 0.785];

/// Read once: fitting its spheres takes longer than most tests.
fn panda() -> Arc<RobotModel> {
    static ROBOT: std::sync::OnceLock<Arc<RobotModel>> = std::sync::OnceLock::new();
    let load = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (urdf, settings) = (root.join("urdf/panda.urdf"), root.join("config/panda.yaml"));
        Arc::new(RobotModel::load(&urdf, &settings).unwrap())
    };
    ROBOT.get_or_init(load).clone()
}

fn planner() -> Planner {
    Planner::new(panda(), PlannerSettings::default())
}

fn cuboid(name: &str, size: [f64; 3], at: [f64; 3]) -> SceneObject {
    let shape = Shape::Box {
        half_extents_m: size.map(|s| 0.5 * s),
    };
    SceneObject::new(name, shape, Pose::translation(at[0], at[1], at[2]))
}

fn table() -> Scene {
    Scene {
        objects: vec![cuboid("table", [1.2, 1.6, 0.04], [0.7, 0.0, -0.1])],
    }
}

fn request() -> PlanRequest {
    PlanRequest::new(READY.to_vec(), table(), Goal::Joints(BESIDE.to_vec()))
}

fn plan(planner: &mut Planner, request: &PlanRequest) -> Result<Plan, PlanError> {
    planner.plan(request, &mut |_| ControlFlow::Continue(()))
}

fn replan(planner: &mut Planner, request: &PlanRequest, running: &Running, keep: bool) -> Replan {
    planner
        .replan(request, running, keep, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

/// A motion under way to [`BESIDE`].
fn running(planner: &mut Planner, share: f64) -> Running {
    let mut plan = plan(planner, &request()).unwrap();
    let trajectory = plan.phases.swap_remove(0).trajectory;
    Running {
        handover_s: share * trajectory.duration_s(),
        trajectory,
    }
}

/// Begins with the state, keeps the limits times the scalings at 1 kHz, ends at rest.
fn check(trajectory: &TimedTrajectory, state: &PlanRequest, velocity: f64, acceleration: f64) {
    let robot = panda();
    let limits = &robot.limits;
    let (first, last) = (
        trajectory.sample(0.0),
        trajectory.sample(trajectory.duration_s()),
    );
    for j in 0..7 {
        assert!((first.position[j] - state.start[j]).abs() < 1e-12);
        assert!((first.velocity[j] - state.start_velocity[j]).abs() < 1e-9);
        assert!((first.acceleration[j] - state.start_acceleration[j]).abs() < 1e-6);
        assert!(last.velocity[j].abs() < 1e-8 && last.acceleration[j].abs() < 1e-6);
    }
    for point in trajectory.points(1e-3) {
        for j in 0..7 {
            let s = &point.state;
            assert!(s.velocity[j].abs() <= velocity * limits.velocity[j] * (1.0 + 1e-6));
            assert!(
                s.acceleration[j].abs() <= acceleration * limits.acceleration[j] * (1.0 + 1e-6)
            );
            assert!(s.jerk[j].abs() <= acceleration * limits.jerk[j] * (1.0 + 1e-6));
        }
    }
}

fn moving(request: PlanRequest, velocity: [f64; 7], acceleration: [f64; 7]) -> PlanRequest {
    PlanRequest {
        start_velocity: velocity.to_vec(),
        start_acceleration: acceleration.to_vec(),
        ..request
    }
}

fn handed_over(request: &PlanRequest, running: &Running) -> PlanRequest {
    let state = running.state_after(0.0);
    PlanRequest {
        start: state.position,
        start_velocity: state.velocity,
        start_acceleration: state.acceleration,
        ..request.clone()
    }
}

#[test]
fn joint_and_pose_goals_are_reached_from_a_moving_start() {
    let mut planner = planner();
    let pose = planner.robot().kinematics.tool_pose(&BESIDE);
    // Towards the goal, across, and away from it.
    let velocities = [
        [0.8, 0.6, 0.0, 0.3, 0.0, 0.2, 0.0],
        [0.0, 0.3, -0.6, 0.0, 0.7, 0.0, -0.9],
        [-0.9, -0.4, 0.0, -0.3, 0.0, -0.5, 0.0],
    ];
    for velocity in velocities {
        for (goal, scaling) in [
            (Goal::Joints(BESIDE.to_vec()), 1.0),
            (Goal::Joints(BESIDE.to_vec()), 0.5),
            (
                Goal::Pose {
                    world_from_tool: pose,
                },
                1.0,
            ),
        ] {
            let request = PlanRequest {
                velocity_scaling: scaling,
                acceleration_scaling: scaling,
                ..moving(
                    PlanRequest { goal, ..request() },
                    velocity,
                    velocity.map(|v| -1.5 * v),
                )
            };
            let plan = plan(&mut planner, &request).unwrap_or_else(|e| panic!("{velocity:?}: {e}"));
            let trajectory = &plan.phases[0].trajectory;
            check(trajectory, &request, scaling, scaling);
            let reached = planner.robot().kinematics.tool_pose(trajectory.end());
            assert!((reached.translation.vector - pose.translation.vector).norm() < 1e-4);
        }
    }
}

/// One grasp given, at the hand's pose over [`BESIDE`].
fn given_grasp(planner: &Planner) -> Goal {
    let robot = planner.robot();
    let gripper = robot.gripper.as_ref().unwrap();
    let hand = robot.kinematics.tool_pose(&BESIDE) * gripper.tool_from_gripper;
    Goal::Grasps {
        object: None,
        world_from_object: Pose::identity(),
        object_from_gripper: vec![hand],
    }
}

#[test]
fn a_grasp_is_reached_from_a_moving_start_and_again_on_the_way() {
    let mut planner = planner();
    let velocity = [-0.4, 0.3, 0.0, 0.2, 0.0, 0.0, 0.3];
    let goal = given_grasp(&planner);
    let request = moving(PlanRequest { goal, ..request() }, velocity, [0.5; 7]);
    let plan = plan(&mut planner, &request).unwrap();
    assert_eq!(plan.phases.len(), 2);
    check(&plan.phases[0].trajectory, &request, 1.0, 1.0);
    let reach = plan.phases[0].trajectory.clone();
    let running = Running {
        handover_s: 0.3 * reach.duration_s(),
        trajectory: reach,
    };
    let Replan::NewPlan(again) = replan(&mut planner, &request, &running, true) else {
        panic!("a new plan")
    };
    assert_eq!(again.phases.len(), 2);
    check(
        &again.phases[0].trajectory,
        &handed_over(&request, &running),
        1.0,
        1.0,
    );
}

#[test]
fn zero_rates_are_rest() {
    let mut planner = planner();
    let still = moving(request(), [0.0; 7], [0.0; 7]);
    let (a, b) = (
        plan(&mut planner, &request()).unwrap(),
        plan(&mut planner, &still).unwrap(),
    );
    assert_eq!(a.phases[0].trajectory, b.phases[0].trajectory);
}

#[test]
fn impossible_rates_are_refused_by_joint() {
    let with = |j: usize, v: f64, a: f64| {
        let (mut velocity, mut acceleration) = ([0.0; 7], [0.0; 7]);
        (velocity[j], acceleration[j]) = (v, a);
        moving(request(), velocity, acceleration)
    };
    let scaled = |scaling: f64, request: PlanRequest| PlanRequest {
        velocity_scaling: scaling,
        ..request
    };
    let near_stop = PlanRequest {
        start: vec![2.85, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785],
        ..with(0, 1.5, 0.0)
    };
    let cases: Vec<(PlanRequest, &[&str])> = vec![
        (
            with(1, 2.3, 0.0),
            &["start velocity", "panda_joint2", "2.3", "2.175"],
        ),
        (
            with(1, 0.0, 99.0),
            &["start acceleration", "panda_joint2", "99"],
        ),
        (
            with(4, f64::NAN, 0.0),
            &["start velocity", "panda_joint5", "NaN"],
        ),
        (
            scaled(0.2, with(0, 1.0, 0.0)),
            &["panda_joint1", "velocity_scaling 0.2", "0.435", "brake"],
        ),
        (
            PlanRequest {
                start_velocity: vec![0.1; 3],
                ..request()
            },
            &["start velocity", "3", "7 joints"],
        ),
        (near_stop, &["panda_joint1", "cannot stop", "2.8"]),
    ];
    let mut planner = planner();
    for (request, words) in cases {
        let error = plan(&mut planner, &request).unwrap_err();
        assert_eq!(error.code(), 901, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "'{error}': '{word}'");
        }
    }
}

#[test]
fn a_free_remainder_is_kept_and_a_changed_goal_is_not() {
    let mut planner = planner();
    let running = running(&mut planner, 0.4);
    let world_from_tool = planner.robot().kinematics.tool_pose(&BESIDE);
    let to_pose = PlanRequest {
        goal: Goal::Pose { world_from_tool },
        ..request()
    };
    for same in [&request(), &to_pose] {
        assert!(matches!(
            replan(&mut planner, same, &running, true),
            Replan::Continue(v) if v.min_clearance_m > 0.0
        ));
    }
    let Replan::NewPlan(_) = replan(&mut planner, &to_pose, &running, false) else {
        panic!("a new plan")
    };
    let mut elsewhere = BESIDE;
    elsewhere[0] = 0.7;
    for (goal, keep) in [(BESIDE, false), (elsewhere, true)] {
        let request = PlanRequest {
            goal: Goal::Joints(goal.to_vec()),
            ..request()
        };
        let Replan::NewPlan(plan) = replan(&mut planner, &request, &running, keep) else {
            panic!("a new plan")
        };
        let trajectory = &plan.phases[0].trajectory;
        check(trajectory, &handed_over(&request, &running), 1.0, 1.0);
        assert!((trajectory.end()[0] - goal[0]).abs() < 1e-9);
    }
}

/// A cube where the hand will be at a share of the motion.
fn dropped(planner: &Planner, running: &Running, share: f64, size_m: f64) -> PlanRequest {
    let met = running
        .trajectory
        .sample(share * running.trajectory.duration_s());
    let at = planner
        .robot()
        .kinematics
        .tool_pose(&met.position)
        .translation
        .vector;
    let mut request = request();
    request
        .scene
        .objects
        .push(cuboid("cube", [size_m; 3], at.into()));
    request
}

#[test]
fn a_cube_on_the_path_is_avoided() {
    let mut planner = planner();
    let running = running(&mut planner, 0.15);
    let request = dropped(&planner, &running, 0.6, 0.08);
    match replan(&mut planner, &request, &running, true) {
        Replan::NewPlan(plan) => {
            check(
                &plan.phases[0].trajectory,
                &handed_over(&request, &running),
                1.0,
                1.0,
            );
            assert!(plan.verification.min_clearance_m > 0.0);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_time_for_a_plan_there_is_a_stop() {
    let mut planner = planner();
    let running = running(&mut planner, 0.3);
    let request = PlanRequest {
        time_limit: Duration::from_nanos(1),
        ..dropped(&planner, &running, 0.9, 0.08)
    };
    let Replan::Brake(brake) = replan(&mut planner, &request, &running, true) else {
        panic!("a stop")
    };
    assert_eq!((brake.reason.code(), brake.way), (935, BrakeWay::Path));
    assert!(brake.verification.is_ok(), "{:?}", brake.verification);
    check(
        &brake.trajectory,
        &handed_over(&request, &running),
        1.0,
        1.0,
    );
    assert!(brake.trajectory.duration_s() < running.remaining_s());
}

#[test]
fn a_stop_that_collides_is_returned_and_says_with_what_and_when() {
    let mut planner = planner();
    let running = running(&mut planner, 0.45);
    // Around the whole arm a little later: nothing can be done.
    let request = dropped(&planner, &running, 0.5, 0.3);
    let Replan::Brake(brake) = replan(&mut planner, &request, &running, true) else {
        panic!("a stop")
    };
    let violation = brake.verification.unwrap_err().to_string();
    assert!(
        violation.contains("cube") && violation.contains(" s"),
        "{violation}"
    );
}

#[test]
fn a_scaling_below_what_the_arm_does_brakes() {
    let mut planner = planner();
    let running = running(&mut planner, 0.4);
    let request = PlanRequest {
        velocity_scaling: 0.1,
        acceleration_scaling: 0.3,
        ..request()
    };
    let Replan::Brake(brake) = replan(&mut planner, &request, &running, true) else {
        panic!("a stop")
    };
    assert_eq!(brake.reason.code(), 901);
    assert!(brake.verification.is_ok(), "{:?}", brake.verification);
    check(
        &brake.trajectory,
        &handed_over(&request, &running),
        1.0,
        1.0,
    );
}

#[test]
fn a_hand_over_outside_the_motion_is_refused() {
    let mut planner = planner();
    let under_way = running(&mut planner, 0.0);
    for handover_s in [-0.1, 99.0, f64::NAN] {
        let running = Running {
            handover_s,
            ..under_way.clone()
        };
        let error = planner
            .replan(&request(), &running, true, &mut |_| {
                ControlFlow::Continue(())
            })
            .unwrap_err();
        assert!(error.to_string().contains("hand-over"), "{error}");
    }
}
