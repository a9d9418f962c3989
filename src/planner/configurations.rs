//! Good grasps as configurations of the whole arm, where no motion to them is asked for: which grasp, and how the arm stands in it.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::error::PlanError;
use super::world::{allow, leave_to_hand, World};
use crate::cost::{GraspEnergy, SceneCollision};
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::optimizer::{Configuration, ConfigurationProblem, ConfigurationSettings};
use crate::robot::RobotModel;
use crate::scene::{LaneGridCache, LaneScene, Scene, SceneObject, Shape};

/// Where the starts are anywhere, annealing begins at the field's coarsest noise and ends where its sampler ends [rad].
const FINAL_SIGMA_RAD: f32 = 0.066;

/// `count` configurations in which the hand is ready to close on the object, the cheapest first: grasp energy, collision of the arm
/// with the scene, itself and the object, and joint limits are descended together from random configurations.
///
/// Costs are soft: check what you use, the cheapest first. Equal seeds give equal configurations.
///
/// # Errors
/// [`PlanError::InvalidScene`], and [`PlanError::InvalidRequest`] for a robot without a gripper.
pub fn grasp_configurations(
    robot: &RobotModel,
    scene: &Scene,
    object: &ObjectModel,
    world_from_object: &Pose,
    settings: &ConfigurationSettings,
    count: usize,
    seed: u64,
) -> Result<Vec<Configuration>, PlanError> {
    scene.validate()?;
    let collision = keep_arm_clear(robot, scene, object, world_from_object);
    let grasp = from_anywhere(object, world_from_object);
    let problem =
        ConfigurationProblem::new(robot, collision).ok_or_else(|| PlanError::InvalidRequest {
            what: "robot".into(),
            value: robot.name.clone(),
            allowed: "a grasp needs a gripper in the robot's settings".into(),
        })?;
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    Ok(problem.draw_to(grasp).solve(settings, count, &mut rng))
}

/// The object's grasp energy for arms that start anywhere.
pub(super) fn from_anywhere(object: &ObjectModel, world_from_object: &Pose) -> GraspEnergy {
    let schedule = *object.field.schedule();
    GraspEnergy::new(object.field.clone(), schedule, world_from_object)
        .annealed(schedule.sigma_max_rad, FINAL_SIGMA_RAD)
}

/// All links against the scene, and all but those of the hand against the object: of the hand the grasp energy takes care.
pub fn keep_arm_clear(
    robot: &RobotModel,
    scene: &Scene,
    object: &ObjectModel,
    world_from_object: &Pose,
) -> SceneCollision {
    let grids = &mut LaneGridCache::default();
    arm_against(robot, scene, object, world_from_object, &[], grids)
}

/// The same in a world that is laid out. What carries the object is left to the hand's true shape, as the object is.
pub(super) fn arm_clear_in(
    world: &World,
    object: &ObjectModel,
    world_from_object: &Pose,
    grids: &mut LaneGridCache,
) -> SceneCollision {
    let (robot, scene) = (&world.robot, &world.scene);
    let mut collision = arm_against(
        robot,
        scene,
        object,
        world_from_object,
        &world.supports,
        grids,
    );
    allow(&mut collision, &world.allowed_collisions);
    collision
}

fn arm_against(
    robot: &RobotModel,
    scene: &Scene,
    object: &ObjectModel,
    world_from_object: &Pose,
    left_to_hand: &[String],
    grids: &mut LaneGridCache,
) -> SceneCollision {
    let mut scene = scene.clone();
    let sampled = Shape::Voxels(object.close_distance.clone());
    scene.objects.push(SceneObject::new(
        object.name.clone(),
        sampled,
        *world_from_object,
    ));
    let mut collision = SceneCollision::new(&robot.collision, LaneScene::with_cache(&scene, grids));
    for name in left_to_hand.iter().chain([&object.name]) {
        leave_to_hand(&mut collision, robot, name);
    }
    collision
}
