//! A picture of a plan: arm at the end of the reach, ghosts on the way, path of the gripper, grasp, scene.

use std::path::Path;

use anyhow::{bail, Context};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::picture::{palette, render, Camera, PictureScene};
use diffusion_field_planner::planner::{Plan, PlanRequest};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};
use nalgebra::Point3;

/// Shares of the reach at which a ghost is drawn.
const GHOSTS: [f64; 2] = [0.0, 0.5];
const GHOST_OPACITY: f32 = 0.3;
const PATH_POINTS: usize = 60;
const PATH_RADIUS_M: f64 = 0.004;
/// Directions of view; the first from which most of the path is seen, which may lead into a shelf.
const AZIMUTHS_RAD: [f32; 6] = [0.9, -0.9, 1.6, -1.6, 2.4, -2.4];
const ELEVATION_RAD: f32 = 0.5;

/// What is drawn of a plan.
pub struct Motion {
    /// Joint positions along each phase; the first phase is the reach.
    pub phases: Vec<Vec<Vec<f64>>>,
    pub world_from_gripper: Option<Pose>,
    /// Distance of the pads on the object, if known.
    pub width_m: Option<f64>,
}

impl From<&Plan> for Motion {
    fn from(plan: &Plan) -> Self {
        let phases = plan.phases.iter().map(|phase| {
            let step_s = phase.trajectory.duration_s() / PATH_POINTS as f64;
            (0..=PATH_POINTS)
                .map(|i| phase.trajectory.sample(step_s * i as f64).position)
                .collect()
        });
        Self {
            phases: phases.collect(),
            world_from_gripper: plan.grasp.as_ref().map(|grasp| grasp.world_from_gripper),
            width_m: plan.grasp.as_ref().and_then(|grasp| grasp.width_m),
        }
    }
}

/// Draws the motion in the request's scene into a PNG file.
///
/// # Errors
/// A motion without points or for another robot; a file that cannot be written.
pub fn save(
    path: &Path,
    robot: &RobotModel,
    request: &PlanRequest,
    motion: &Motion,
) -> anyhow::Result<()> {
    let mut picture = PictureScene::new();
    add_scene(&mut picture, request);
    let joints = robot.limits.dof();
    let points = || motion.phases.iter().flatten();
    if let Some(q) = points().find(|q| q.len() != joints) {
        bail!(
            "{} joint positions in a point, the robot has {joints} joints",
            q.len()
        );
    }
    let reach = motion.phases.first().filter(|reach| !reach.is_empty());
    let reach = reach.context("the plan has no phase")?;
    let last = reach.len() - 1;
    for share in GHOSTS {
        picture.add_ghost(robot, &reach[(share * last as f64) as usize], GHOST_OPACITY)?;
    }
    picture.add_robot(robot, &reach[last], motion.width_m)?;
    let path_m: Vec<Point3<f64>> = points()
        .map(|q| Point3::from(robot.kinematics.tool_pose(q).translation.vector))
        .collect();
    picture.add_path(&path_m, PATH_RADIUS_M, palette::PATH);
    if let (Some(world_from_gripper), Some(gripper)) = (&motion.world_from_gripper, &robot.gripper)
    {
        let opening_m = motion.width_m.unwrap_or(gripper.geometry.max_opening_m);
        picture.add_grasp(
            world_from_gripper,
            &gripper.geometry,
            opening_m,
            palette::GRASP,
        );
    }
    render(&picture, &clearest_view(&picture, &request.scene, &path_m))
        .save(path)
        .with_context(|| format!("writing {}", path.display()))
}

/// The camera that has the fewest points of the path behind obstacles.
fn clearest_view(picture: &PictureScene, scene: &Scene, path_m: &[Point3<f64>]) -> Camera {
    let mut obstacles = PictureScene::new();
    obstacles.add_scene(scene, None);
    let mut cameras = AZIMUTHS_RAD.map(|azimuth| Camera::around(picture, azimuth, ELEVATION_RAD));
    // Stable: of equals the first.
    cameras.sort_by_cached_key(|camera| obstacles.hidden(path_m, &camera.eye_m));
    cameras[0]
}

/// Adds the request's obstacles and the object to be grasped.
pub fn add_scene(picture: &mut PictureScene, request: &PlanRequest) {
    let mut scene = request.scene.clone();
    let target = request.goal.target();
    if let Some((object, pose)) = target {
        let shape = Shape::Mesh(object.surface.clone());
        scene
            .objects
            .push(SceneObject::new(object.name.clone(), shape, *pose));
    }
    picture.add_scene(&scene, target.map(|(object, _)| object.name.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_before_the_path_is_looked_around() {
        let wall = |y: f64| Scene {
            objects: vec![SceneObject::new(
                "wall",
                Shape::Box {
                    half_extents_m: [2.0, 0.01, 2.0],
                },
                Pose::translation(0.0, y, 0.0),
            )],
        };
        let path_m = [Point3::new(0.3, 0.0, 0.4), Point3::new(0.4, 0.0, 0.4)];
        let view_past = |y: f64| {
            let mut picture = PictureScene::new();
            picture.add_scene(&wall(y), None);
            clearest_view(&picture, &wall(y), &path_m).eye_m
        };
        // The usual view comes from positive y.
        assert!(view_past(-0.2).y > 0.0);
        assert!(view_past(0.2).y < 0.0);
    }
}
