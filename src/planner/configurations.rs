//! Good grasps as configurations of the whole arm, where no motion to them is asked for: which grasp, and how the arm stands in it.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::error::PlanError;
use crate::cost::{GraspEnergy, SceneCollision};
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::optimizer::{Configuration, ConfigurationProblem, ConfigurationSettings};
use crate::robot::RobotModel;
use crate::scene::{LaneScene, Scene, SceneObject, Shape};

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
    let schedule = *object.field.schedule();
    let grasp = GraspEnergy::new(object.field.clone(), schedule, world_from_object)
        .annealed(schedule.sigma_max_rad, FINAL_SIGMA_RAD);
    let problem =
        ConfigurationProblem::new(robot, collision).ok_or_else(|| PlanError::InvalidRequest {
            what: "robot".into(),
            value: robot.name.clone(),
            allowed: "a grasp needs a gripper in the robot's settings".into(),
        })?;
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    Ok(problem.draw_to(grasp).solve(settings, count, &mut rng))
}

/// All links against the scene, and all but those of the hand against the object: of the hand the grasp energy takes care.
pub fn keep_arm_clear(
    robot: &RobotModel,
    scene: &Scene,
    object: &ObjectModel,
    world_from_object: &Pose,
) -> SceneCollision {
    let mut scene = scene.clone();
    let sampled = Shape::Voxels(object.distance.clone());
    scene.objects.push(SceneObject::new(
        object.name.clone(),
        sampled,
        *world_from_object,
    ));
    let mut collision = SceneCollision::new(&robot.collision, LaneScene::from_scene(&scene));
    let kinematics = &robot.kinematics;
    let hand = kinematics.tool_body();
    for link in kinematics.link_names() {
        if kinematics.body_of_link(link).is_ok_and(|(b, _)| b == hand) {
            collision.allow(link, &object.name);
        }
    }
    collision
}
