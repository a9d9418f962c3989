//! Pick and place through the planner's public door: every phase joined to the next, the object where it was asked for, no
//! collision on the way, and a reason where there is no way.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::field::{holds_around, GraspNetwork, ObjectModel};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::verify::{verify, AttachedObject, VerifySettings, Violation};
use diffusion_field_planner::planner::{
    keeps_grasp, prepare_grasps, Goal, GraspEnds, GripperAction, PhaseKind, Plan, PlanError,
    PlanRequest, Planner, PlannerSettings, Progress,
};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape, SignedDistance};
use nalgebra::{Point3, Translation3, UnitQuaternion};

const READY: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn panda() -> Arc<RobotModel> {
    static ROBOT: OnceLock<Arc<RobotModel>> = OnceLock::new();
    let load = || {
        RobotModel::load(
            &root().join("urdf/panda.urdf"),
            &root().join("config/panda.yaml"),
        )
    };
    ROBOT.get_or_init(|| Arc::new(load().unwrap())).clone()
}

/// An object unseen in training.
fn unseen(name: &str, category: Category, number: u64) -> Arc<ObjectModel> {
    let network = GraspNetwork::shipped().unwrap();
    let mesh = ProceduralObject::new(category, number).mesh(0.004);
    let model = ObjectModel::from_mesh(name, Arc::new(mesh), &network).unwrap();
    prepare_grasps(&model);
    Arc::new(model)
}

fn object() -> Arc<ObjectModel> {
    static OBJECT: OnceLock<Arc<ObjectModel>> = OnceLock::new();
    let make = || unseen("tin", Category::Cylinder, 1_000_001);
    OBJECT.get_or_init(make).clone()
}

/// Too wide for the hand anywhere but at its rim.
fn cup() -> Arc<ObjectModel> {
    static CUP: OnceLock<Arc<ObjectModel>> = OnceLock::new();
    CUP.get_or_init(|| unseen("cup", Category::Cup, 1_004_660))
        .clone()
}

fn cuboid(name: &str, size: [f64; 3], at: [f64; 3]) -> SceneObject {
    let shape = Shape::Box {
        half_extents_m: size.map(|s| 0.5 * s),
    };
    SceneObject::new(name, shape, Pose::translation(at[0], at[1], at[2]))
}

fn table() -> SceneObject {
    cuboid("table", [0.7, 1.4, 0.04], [0.6, 0.0, -0.02])
}

/// The object turned by roll, pitch and yaw, its lowest point a millimetre above `z_m`.
fn standing(x_m: f64, y_m: f64, z_m: f64, rpy_rad: [f64; 3]) -> Pose {
    let rotation = UnitQuaternion::from_euler_angles(rpy_rad[0], rpy_rad[1], rpy_rad[2]);
    let lowest = object()
        .mesh
        .vertices
        .iter()
        .map(|v| (rotation * Point3::from(*v)).z)
        .fold(f64::INFINITY, f64::min);
    Pose::from_parts(Translation3::new(x_m, y_m, z_m - lowest + 1e-3), rotation)
}

fn request(scene: Vec<SceneObject>, from: Pose, to: Pose) -> PlanRequest {
    let goal = Goal::Grasp {
        object: object(),
        world_from_object: from,
    };
    PlanRequest {
        place_world_from_object: Some(to),
        time_limit: std::time::Duration::from_secs(60),
        ..PlanRequest::new(READY.to_vec(), Scene { objects: scene }, goal)
    }
}

fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    plan_with(PlannerSettings::default(), request)
}

fn plan_with(settings: PlannerSettings, request: &PlanRequest) -> Result<Plan, PlanError> {
    Planner::new(panda(), settings).plan(request, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn a_pick_and_place_does_not_depend_on_the_number_of_threads() {
    let [from, to] = [0.2, -0.2].map(|y_m| standing(0.5, y_m, 0.0, [0.0; 3]));
    let asked = request(vec![table()], from, to);
    let of_threads = |threads| {
        let settings = PlannerSettings {
            threads,
            ..PlannerSettings::default()
        };
        let plan = plan_with(settings, &asked).unwrap();
        let motions = plan.phases.into_iter().map(|phase| phase.trajectory);
        motions.collect::<Vec<_>>()
    };
    assert_eq!(of_threads(1), of_threads(3));
}

#[test]
fn a_draw_for_each_particle_picks_too_arm_and_grasp_together_or_one_after_the_other() {
    let world_from_object = standing(0.5, 0.2, 0.0, [0.0; 3]);
    let asked = PlanRequest {
        place_world_from_object: None,
        num_particles: 16,
        ..request(vec![table()], world_from_object, Pose::identity())
    };
    for joint_grasp in [true, false] {
        let settings = PlannerSettings {
            grasp_ends: GraspEnds::AsSampled,
            joint_grasp,
            tree_seeds: 0,
            ..PlannerSettings::default()
        };
        let plan = plan_with(settings, &asked).unwrap();
        let grasp = plan.grasp.unwrap();
        assert!(keeps_grasp(&object(), &grasp.object_from_gripper));
        let reach = &plan.phases[0].trajectory;
        let end = reach.sample(reach.duration_s());
        let tool = panda().kinematics.tool_pose(&end.position);
        let gripper = tool * panda().gripper.as_ref().unwrap().tool_from_gripper;
        let apart = world_from_object.inverse() * gripper * grasp.object_from_gripper.inverse();
        let off_m = apart.translation.vector.norm();
        let off_rad = apart.rotation.angle();
        assert!(off_m < 1e-4 && off_rad < 1e-3, "{off_m} {off_rad}");
    }
}

/// From the table beside a cabinet onto its lowest board. The next board is so near above that only few tilted grasps at the
/// cup's rim leave the wrist room: the field draws hardly any of them.
fn cup_into_a_cabinet() -> PlanRequest {
    const YAW_RAD: f64 = 0.517;
    let turned = |object: SceneObject| {
        let rotation = UnitQuaternion::from_euler_angles(0.0, 0.0, YAW_RAD);
        let world_from_object = Pose::from_parts(object.world_from_object.translation, rotation);
        SceneObject {
            world_from_object,
            ..object
        }
    };
    let board = |name, z_m| cuboid(name, [0.286, 0.738, 0.015], [0.554, 0.315, z_m]);
    let side = |name, x_m, y_m| cuboid(name, [0.286, 0.015, 0.767], [x_m, y_m, 0.384]);
    let cabinet = [
        board("board_0", 0.094),
        board("board_1", 0.427),
        board("board_2", 0.76),
        side("left", 0.368, 0.642),
        side("right", 0.74, -0.012),
        cuboid("back", [0.015, 0.768, 0.767], [0.685, 0.389, 0.384]),
    ];
    let scene = cabinet.map(turned).into_iter().chain([table()]);
    let at = |x_m, y_m, z_m, yaw_rad| {
        let rotation = UnitQuaternion::from_euler_angles(0.0, 0.0, yaw_rad);
        Pose::from_parts(Translation3::new(x_m, y_m, z_m), rotation)
    };
    let place = at(0.482, 0.281, 0.1635, -1.65);
    let goal = Goal::Grasp {
        object: cup(),
        world_from_object: at(0.393, -0.298, 0.0617, -2.783),
    };
    PlanRequest {
        goal,
        lift_distance_m: 0.04,
        ..request(scene.collect(), place, place)
    }
}

/// What a place plan must be, checked from outside.
fn check(plan: &Plan, request: &PlanRequest) {
    let to = request.place_world_from_object.unwrap();
    let kinds: Vec<PhaseKind> = plan.phases.iter().map(|p| p.kind).collect();
    use PhaseKind::{Carry, Lift, Lower, Reach, Retreat};
    assert_eq!(kinds, [Reach, Lift, Carry, Lower, Retreat]);
    for pair in plan.phases.windows(2) {
        let (before, after) = (&pair[0].trajectory, &pair[1].trajectory);
        let start = after.sample(0.0);
        for (a, b) in before.end().iter().zip(&start.position) {
            assert!((a - b).abs() < 1e-9, "{:?} does not join", pair[1].kind);
        }
        assert!(start.velocity.iter().all(|v| v.abs() < 1e-9));
    }
    assert!(matches!(
        plan.phases[0].gripper_after,
        GripperAction::Close { .. }
    ));
    assert!(matches!(
        plan.phases[3].gripper_after,
        GripperAction::Open { .. }
    ));
    // The object stands where the hand lets go of it.
    let robot = panda();
    let grasp = plan.grasp.as_ref().unwrap();
    let tool = robot.kinematics.tool_pose(plan.phases[3].trajectory.end());
    let gripper = robot.gripper.as_ref().unwrap();
    let placed = tool * gripper.tool_from_gripper * grasp.object_from_gripper.inverse();
    assert!((placed.translation.vector - to.translation.vector).norm() < 1e-3);
    assert!(placed.rotation.angle_to(&to.rotation) < 5e-3);
    let said = plan.placed_world_from_object.unwrap();
    assert!((said.translation.vector - placed.translation.vector).norm() < 1e-6);
    // Away from both supports the held object touches nothing, by the verifier's own words.
    let held = VerifySettings {
        attached: vec![attached(plan)],
        ..VerifySettings::default()
    };
    verify(&robot, &request.scene, &plan.phases[2].trajectory, &held).unwrap();
}

fn attached(plan: &Plan) -> AttachedObject {
    let robot = panda();
    let gripper = robot.gripper.as_ref().unwrap();
    let tool_link = robot.kinematics.tool_link().to_string();
    let grasp = plan.grasp.as_ref().unwrap();
    AttachedObject {
        name: "tin".into(),
        link: tool_link,
        link_from_object: gripper.tool_from_gripper * grasp.object_from_gripper.inverse(),
        shape: Shape::Mesh(object().surface.clone()),
        touching_links: ["panda_hand", "panda_leftfinger", "panda_rightfinger"]
            .map(String::from)
            .to_vec(),
    }
}

#[test]
fn an_object_is_carried_over_an_obstacle() {
    let wall = cuboid("wall", [0.3, 0.04, 0.2], [0.5, 0.0, 0.1]);
    let from = standing(0.5, 0.2, 0.0, [0.0, 0.0, 0.3]);
    let to = standing(0.5, -0.2, 0.0, [0.0, 0.0, 1.0]);
    let request = request(vec![table(), wall], from, to);
    let plan = plan(&request).unwrap();
    check(&plan, &request);
}

#[test]
fn a_lying_object_is_put_upright() {
    let from = standing(0.5, 0.2, 0.0, [0.0, std::f64::consts::FRAC_PI_2, 0.3]);
    let to = standing(0.5, -0.2, 0.0, [0.0, 0.0, 0.0]);
    let request = request(vec![table()], from, to);
    let plan = plan(&request).unwrap();
    check(&plan, &request);
}

#[test]
fn an_object_is_put_on_a_shelf_and_the_board_is_no_way_through() {
    let board = cuboid("board", [0.3, 0.5, 0.02], [0.65, 0.3, 0.24]);
    let back = cuboid("back", [0.02, 0.5, 0.6], [0.81, 0.3, 0.3]);
    let from = standing(0.45, -0.25, 0.0, [0.0; 3]);
    let to = standing(0.6, 0.3, 0.25, [0.0; 3]);
    let request = request(vec![table(), board.clone(), back], from, to);
    let plan = plan(&request).unwrap();
    check(&plan, &request);
    // Planted: the same carry with a board across its way.
    let carry = &plan.phases[2].trajectory;
    let middle = panda()
        .kinematics
        .tool_pose(&carry.sample(0.5 * carry.duration_s()).position);
    let at = (middle * panda().gripper.as_ref().unwrap().tool_from_gripper)
        * plan.grasp.as_ref().unwrap().object_from_gripper.inverse();
    let p = at.translation.vector;
    let thin = cuboid("thin_board", [0.3, 0.3, 0.004], [p.x, p.y, p.z]);
    let held = VerifySettings {
        attached: vec![attached(&plan)],
        ..VerifySettings::default()
    };
    let scene = Scene {
        objects: vec![thin],
    };
    let found = verify(&panda(), &scene, carry, &held).unwrap_err();
    assert!(
        matches!(&found, Violation::Clearance { object, .. } if object == "thin_board"),
        "{found}"
    );
}

#[test]
fn an_object_stuck_in_an_obstacle_is_named_at_once_unless_both_may_touch() {
    let from = standing(0.5, 0.1, 0.0, [0.0; 3]);
    let (low, high) = object().surface.bounds();
    // A box beside it that reaches 15 mm into it.
    let reach_m = 0.5 * (high.x - low.x) - 0.015;
    let beside = cuboid("beside", [0.1, 0.1, 0.1], [0.5, 0.1 + reach_m + 0.05, 0.05]);
    let picked = PlanRequest {
        place_world_from_object: None,
        ..request(vec![table(), beside], from, Pose::identity())
    };
    let PlanError::GoalInCollision { reason } = plan(&picked).unwrap_err() else {
        panic!("not lifted out of a box");
    };
    assert!(
        reason.contains("'tin' stands 1") && reason.contains("deep in 'beside'"),
        "{reason}"
    );
    let may_touch = PlanRequest {
        allowed_collisions: vec![("beside".into(), "tin".into())],
        ..picked.clone()
    };
    plan(&may_touch).unwrap();
    // Only reached for: nothing is lifted out.
    let reached = PlanRequest {
        lift_distance_m: 0.0,
        ..picked
    };
    plan(&reached).unwrap();
}

#[test]
fn the_shape_offers_grasps_where_those_of_the_field_have_no_room() {
    let request = cup_into_a_cabinet();
    let kept_alone = PlannerSettings {
        shape_grasps: false,
        joint_grasp: false,
        grasp_samples: 0,
        ..PlannerSettings::default()
    };
    let error = plan_with(kept_alone, &request).unwrap_err();
    assert!(
        matches!(error, PlanError::GoalInCollision { .. }),
        "{error}"
    );
    let plan = plan(&request).unwrap();
    let grasp = plan.grasp.as_ref().unwrap();
    assert!(grasp.energy.is_some(), "rated by the field");
    assert_eq!(plan.phases.len(), 5);
}

#[test]
fn a_grasp_that_holds_a_little_off_too_comes_first() {
    let mug = unseen("mug", Category::Mug, 1_000_040);
    let steady = prepare_grasps(&mug).iter().filter(|g| g.steady).count();
    // Else there is nothing to prefer.
    assert!((1..prepare_grasps(&mug).len() * 9 / 10).contains(&steady));
    let height_m = 1e-3 - mug.surface.bounds().0.z;
    for yaw in 0..12 {
        let world_from_object = Pose::from_parts(
            Translation3::new(0.5, 0.1, height_m),
            UnitQuaternion::from_euler_angles(0.0, 0.0, 0.5 * f64::from(yaw)),
        );
        let goal = Goal::Grasp {
            object: mug.clone(),
            world_from_object,
        };
        let scene = Scene {
            objects: vec![table()],
        };
        let plan = plan(&PlanRequest::new(READY.to_vec(), scene, goal)).unwrap();
        let grasp = plan.grasp.unwrap().object_from_gripper;
        assert!(holds_around(&mug, &grasp, 0.001), "turned by {yaw} / 2 rad");
    }
}

#[test]
fn cancelling_ends_every_search_for_grasps() {
    let request = cup_into_a_cabinet();
    let settings = PlannerSettings {
        shape_grasps: false,
        ..PlannerSettings::default()
    };
    // The field's grasps, those found with the arm, new draws: the searches ask one after the other.
    let mut asked = 0;
    let mut planner = Planner::new(panda(), settings);
    let count = &mut |_: &Progress| {
        asked += 1;
        ControlFlow::Continue(())
    };
    let whole = planner.plan(&request, count);
    assert!(asked > 100, "{asked} questions, {whole:?}");
    for share in [0.2, 0.5, 0.9] {
        let mut left = (f64::from(asked) * share) as i32;
        let cancel = &mut |_: &Progress| {
            left -= 1;
            match left {
                0.. => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        let error = planner.plan(&request, cancel).unwrap_err();
        assert!(matches!(error, PlanError::Cancelled), "{error}");
        assert_eq!(left, -1, "no question after the answer");
    }
}

#[test]
fn places_that_cannot_be_say_why() {
    let from = standing(0.5, 0.2, 0.0, [0.0; 3]);
    let inside = Pose::translation(0.0, 0.0, -0.03) * standing(0.5, -0.2, 0.0, [0.0; 3]);
    let error = plan(&request(vec![table()], from, inside)).unwrap_err();
    assert_eq!(error.code(), 932);
    assert!(error.to_string().contains("'table'"), "{error}");

    // A millimetre beside the object's place: no grasp can change that.
    let there = standing(0.5, -0.2, 0.0, [0.0; 3]);
    let (low, _) = object().mesh.bounds();
    let beside = 0.5 + low[0] - 0.001 - 0.05;
    let neighbour = cuboid("neighbour", [0.1, 0.2, 0.3], [beside, -0.2, 0.15]);
    let error = plan(&request(vec![table(), neighbour], from, there)).unwrap_err();
    assert_eq!(error.code(), 932);
    assert!(error.to_string().contains("'neighbour'"), "{error}");

    let far = standing(1.4, 0.0, 0.0, [0.0; 3]);
    let error = plan(&request(vec![], from, far)).unwrap_err();
    assert!(error.to_string().contains("at the place"), "{error}");

    // Out of reach is told at once, and nothing else is tried.
    let away = standing(1.6, 0.0, 0.0, [0.0; 3]);
    let error = plan(&request(vec![], away, from)).unwrap_err();
    assert_eq!(error.code(), 931, "{error}");
    // A deadline in the middle of the search says what it came to.
    let time_limit = Duration::from_millis(60);
    let hurried = PlanRequest {
        time_limit,
        ..cup_into_a_cabinet()
    };
    let mut sleep = Some(time_limit);
    let sleep_at_first = &mut |_: &Progress| {
        if let Some(limit) = sleep.take() {
            std::thread::sleep(limit);
        }
        ControlFlow::Continue(())
    };
    let mut planner = Planner::new(panda(), PlannerSettings::default());
    let error = planner.plan(&hurried, sleep_at_first).unwrap_err();
    assert_eq!(error.code(), 935, "{error}");
    assert!(error.to_string().contains("'cup': of"), "{error}");

    let joints = PlanRequest {
        goal: Goal::Joints(READY.to_vec()),
        ..request(vec![table()], from, from)
    };
    let error = plan(&joints).unwrap_err();
    assert_eq!(error.code(), 901);
    assert!(error.to_string().contains("place pose"), "{error}");
}
