//! Path constraints through the planner's public door: kept all the way, refused where start or goal break them.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::{
    Applies, ConstraintKind, Goal, Guarded, PathConstraint, Plan, PlanError, PlanRequest, Planner,
    PlannerSettings,
};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};
use nalgebra::{Translation3, UnitQuaternion, Vector3};

/// The hand points down.
const LEFT: [f64; 7] = [-0.6, -0.1, 0.0, -2.2, 0.0, 2.1, 0.785];

/// Read once: fitting its spheres takes longer than most tests.
fn panda() -> Arc<RobotModel> {
    static ROBOT: std::sync::OnceLock<Arc<RobotModel>> = std::sync::OnceLock::new();
    let load = || {
        static ROBOT: OnceLock<Arc<RobotModel>> = OnceLock::new();
        let load = || {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let files = (root.join("urdf/panda.urdf"), root.join("config/panda.yaml"));
            Arc::new(RobotModel::load(&files.0, &files.1).unwrap())
        };
        ROBOT.get_or_init(load).clone()
    };
    ROBOT.get_or_init(load).clone()
}

fn plan_with(settings: PlannerSettings, request: &PlanRequest) -> Result<Plan, PlanError> {
    Planner::new(panda(), settings).plan(request, &mut |_| ControlFlow::Continue(()))
}

fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    plan_with(PlannerSettings::default(), request)
}

fn always(kind: ConstraintKind) -> PathConstraint {
    PathConstraint {
        kind,
        applies: Applies::Always,
    }
}

fn upright(max_tilt_deg: f64) -> PathConstraint {
    always(ConstraintKind::Upright {
        link: "panda_hand".into(),
        link_axis: [0.0, 0.0, -1.0],
        world_direction: [0.0, 0.0, 1.0],
        max_tilt_rad: max_tilt_deg.to_radians(),
    })
}

fn tilts_deg(plan: &Plan) -> Vec<f64> {
    let robot = panda();
    let of = |q: &[f64]| {
        let world_from_hand = robot
            .kinematics
            .forward_kinematics(q, "panda_hand")
            .unwrap();
        let axis = world_from_hand.rotation * -Vector3::z();
        axis.angle(&Vector3::z()).to_degrees()
    };
    let points = plan.phases.iter().flat_map(|p| p.trajectory.points(1e-3));
    points.map(|p| of(&p.state.position)).collect()
}

/// To the other side and down, with a post in between.
fn carry() -> PlanRequest {
    let post = SceneObject::new(
        "post",
        Shape::Cylinder {
            radius_m: 0.05,
            length_m: 0.6,
        },
        Pose::translation(0.5, 0.0, 0.1),
    );
    let down = UnitQuaternion::from_euler_angles(std::f64::consts::PI, 0.0, 0.4);
    let goal = Goal::Pose {
        world_from_tool: Pose::from_parts(Translation3::new(0.4, 0.4, 0.15), down),
    };
    let request = PlanRequest::new(
        LEFT.to_vec(),
        Scene {
            objects: vec![post],
        },
        goal,
    );
    // Not what is tested here, and test machines are busy.
    let time_limit = Duration::from_secs(120);
    PlanRequest {
        time_limit,
        ..request
    }
}

#[test]
fn a_full_mug_stays_upright() {
    let free = plan(&carry()).unwrap();
    let worst = tilts_deg(&free).into_iter().fold(0.0, f64::max);
    assert!(
        worst > 15.0,
        "the constraint must be worth something: {worst}"
    );
    for seed in 0..3 {
        let request = PlanRequest {
            constraints: vec![upright(10.0)],
            seed,
            ..carry()
        };
        let kept = plan(&request).unwrap();
        let worst = tilts_deg(&kept).into_iter().fold(0.0, f64::max);
        assert!(worst <= 10.0, "seed {seed}: {worst} deg");
        assert!(kept.verification.min_clearance_m > 0.0);
        assert!(kept.costs.iter().any(|(name, _)| name == "upright"));
    }
}

#[test]
fn straight_seeds_alone_keep_it_too() {
    let settings = PlannerSettings {
        tree_seeds: 0,
        ..PlannerSettings::default()
    };
    let request = PlanRequest {
        constraints: vec![upright(10.0)],
        ..carry()
    };
    let plan = plan_with(settings, &request).unwrap();
    assert!(tilts_deg(&plan).into_iter().all(|tilt| tilt <= 10.0));
}

#[test]
fn nothing_dips_below_the_plane() {
    // The tool rises no further than it must: the post is passed beside, 10 cm above the table at least.
    let heights = |plan: &Plan| -> f64 {
        let robot = panda();
        let points = plan.phases[0].trajectory.points(1e-3);
        let height = |p: &[f64]| robot.kinematics.tool_pose(p).translation.z;
        points
            .iter()
            .map(|p| height(&p.state.position))
            .fold(f64::INFINITY, f64::min)
    };
    let free = heights(&plan(&carry()).unwrap());
    let floor_m = 0.14;
    let above = |guarded| {
        always(ConstraintKind::AbovePlane {
            guarded,
            point_m: [0.0, 0.0, floor_m],
            normal: [0.0, 0.0, 1.0],
        })
    };
    let request = PlanRequest {
        constraints: vec![above(Guarded::ToolPoint([0.0; 3]))],
        ..carry()
    };
    let kept = heights(&plan(&request).unwrap());
    assert!(kept >= floor_m - 1e-6, "{kept}, without the plane {free}");
    // The same point, with the plane above the goal.
    let mut high = request.clone();
    let ConstraintKind::AbovePlane { point_m, .. } = &mut high.constraints[0].kind else {
        unreachable!()
    };
    point_m[2] = 0.2;
    let error = plan(&high).unwrap_err();
    assert!(
        matches!(error, PlanError::GoalBreaksConstraint(_)),
        "{error}"
    );
    assert!(error.to_string().contains("50.0 mm below"), "{error}");
}

#[test]
fn the_tool_keeps_its_speed_limit_and_is_not_slower_than_that() {
    let robot = panda();
    let fastest = plan(&carry()).unwrap().phases[0].trajectory.duration_s();
    let limited = |linear_m_s, angular_rad_s| PlanRequest {
        constraints: vec![always(ConstraintKind::ToolSpeed {
            linear_m_s,
            angular_rad_s,
        })],
        ..carry()
    };
    for (linear, angular) in [
        (Some(0.3), None),
        (None, Some(0.5)),
        (Some(0.25), Some(2.0)),
    ] {
        let plan = plan(&limited(linear, angular)).unwrap();
        let trajectory = &plan.phases[0].trajectory;
        assert!(trajectory.duration_s() > fastest);
        let mut largest = [0.0f64; 2];
        for i in 0..20_000 {
            let state = trajectory.sample(trajectory.duration_s() * f64::from(i) / 2e4);
            let twist = robot.kinematics.jacobian(&state.position)
                * nalgebra::DVector::from_vec(state.velocity);
            largest[0] = largest[0].max(twist.rows(0, 3).norm());
            largest[1] = largest[1].max(twist.rows(3, 3).norm());
        }
        let shares: Vec<f64> = [linear, angular]
            .iter()
            .zip(largest)
            .filter_map(|(limit, found)| limit.map(|limit| found / limit))
            .collect();
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!(most <= 1.0 && most > 0.997, "{shares:?}");
    }
}

#[test]
fn starts_and_goals_that_break_a_constraint_are_refused() {
    let mut tilted = LEFT;
    tilted[5] += 0.5;
    let start = PlanRequest {
        start: tilted.to_vec(),
        constraints: vec![upright(10.0)],
        ..carry()
    };
    let goal = PlanRequest {
        goal: Goal::Joints(tilted.to_vec()),
        constraints: vec![upright(10.0)],
        ..carry()
    };
    let sideways = UnitQuaternion::from_euler_angles(0.0, std::f64::consts::FRAC_PI_2, 0.0);
    let pose = PlanRequest {
        goal: Goal::Pose {
            world_from_tool: Pose::from_parts(Translation3::new(0.4, 0.2, 0.4), sideways),
        },
        constraints: vec![upright(10.0)],
        ..carry()
    };
    for (request, code, moveit, words) in [
        (
            start,
            912,
            -11,
            ["start", "panda_hand", "at most 10.00 deg"],
        ),
        (goal, 901, -13, ["goal", "panda_hand", "at most 10.00 deg"]),
        (pose, 901, -13, ["goal", "90.00 deg", "at most 10.00 deg"]),
    ] {
        let error = plan(&request).unwrap_err();
        assert_eq!(
            (error.code(), error.moveit_code()),
            (code, moveit),
            "{error}"
        );
        for word in words {
            assert!(error.to_string().contains(word), "{error}: {word}");
        }
    }
}

#[test]
fn constraints_without_meaning_are_refused_by_name() {
    let with = |kind: ConstraintKind| PlanRequest {
        constraints: vec![upright(10.0), always(kind)],
        ..carry()
    };
    let tilted = |link: &str, axis: [f64; 3], tilt: f64| ConstraintKind::Upright {
        link: link.into(),
        link_axis: axis,
        world_direction: [0.0, 0.0, 1.0],
        max_tilt_rad: tilt,
    };
    let plane = |guarded, normal| ConstraintKind::AbovePlane {
        guarded,
        point_m: [0.0; 3],
        normal,
    };
    let speed = |linear_m_s| ConstraintKind::ToolSpeed {
        linear_m_s,
        angular_rad_s: None,
    };
    let up = [0.0, 0.0, 1.0];
    let cases: Vec<(ConstraintKind, [&str; 2])> = vec![
        (
            tilted("wrist", up, 0.1),
            ["constraint 2 (upright)", "panda_link7"],
        ),
        (tilted("panda_hand", [0.0; 3], 0.1), ["axis", "not zero"]),
        (tilted("panda_hand", up, 0.0), ["tilt", "(0, pi]"]),
        (tilted("panda_hand", up, f64::NAN), ["tilt", "NaN"]),
        (plane(Guarded::Links(vec![]), up), ["links", "at least one"]),
        (
            plane(Guarded::Links(vec!["wrist".into()]), up),
            ["'wrist'", "panda_link5"],
        ),
        (
            plane(Guarded::ToolPoint([f64::INFINITY, 0.0, 0.0]), up),
            ["tool point", "finite"],
        ),
        (
            plane(Guarded::ToolPoint([0.0; 3]), [f64::NAN, 0.0, 0.0]),
            ["normal", "finite"],
        ),
        (speed(None), ["tool_speed", "missing"]),
        (speed(Some(-0.1)), ["-0.1", "above 0"]),
    ];
    for (kind, words) in cases {
        let error = plan(&with(kind)).unwrap_err();
        assert_eq!(error.code(), 901, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{error}: {word}");
        }
    }
}

#[test]
fn what_counts_while_holding_does_not_bind_an_empty_hand() {
    let mut constraint = upright(10.0);
    constraint.applies = Applies::WhileHolding;
    let with = PlanRequest {
        constraints: vec![constraint],
        ..carry()
    };
    let (a, b) = (plan(&with).unwrap(), plan(&carry()).unwrap());
    assert_eq!(a.phases[0].trajectory, b.phases[0].trajectory);
}
