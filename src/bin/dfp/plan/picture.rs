//! A picture of a plan: arm at the end of the reach, ghosts on the way, path of the gripper, grasp, scene.

use std::path::Path;

use anyhow::Context;
use diffusion_field_planner::picture::{palette, render, Camera, PictureScene};
use diffusion_field_planner::planner::{Plan, PlanRequest};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{SceneObject, Shape};
use nalgebra::Point3;

/// Shares of the reach at which a ghost is drawn.
const GHOSTS: [f64; 2] = [0.0, 0.5];
const GHOST_OPACITY: f32 = 0.3;
const PATH_POINTS: usize = 60;
const PATH_RADIUS_M: f64 = 0.004;
/// Direction of view.
const AZIMUTH_RAD: f32 = 0.9;
const ELEVATION_RAD: f32 = 0.5;

pub fn save(
    path: &Path,
    robot: &RobotModel,
    request: &PlanRequest,
    plan: &Plan,
) -> anyhow::Result<()> {
    let mut picture = PictureScene::new();
    let mut scene = request.scene.clone();
    let target = request.goal.target();
    if let Some((object, pose)) = target {
        scene.objects.push(SceneObject::new(
            object.name.clone(),
            Shape::Mesh(object.surface.clone()),
            *pose,
        ));
    }
    picture.add_scene(&scene, target.map(|(object, _)| object.name.as_str()));
    let reach = plan.phases.first().context("the plan has no phase")?;
    let duration = reach.trajectory.duration_s();
    for share in GHOSTS {
        picture.add_ghost(
            robot,
            &reach.trajectory.sample(share * duration).position,
            GHOST_OPACITY,
        )?;
    }
    picture.add_robot(robot, reach.trajectory.end())?;
    for phase in &plan.phases {
        let duration = phase.trajectory.duration_s();
        let points: Vec<Point3<f64>> = (0..=PATH_POINTS)
            .map(|i| {
                phase
                    .trajectory
                    .sample(duration * i as f64 / PATH_POINTS as f64)
                    .position
            })
            .map(|q| Point3::from(robot.kinematics.tool_pose(&q).translation.vector))
            .collect();
        picture.add_path(&points, PATH_RADIUS_M, palette::PATH);
    }
    if let (Some(grasp), Some(gripper)) = (&plan.grasp, &robot.gripper) {
        picture.add_grasp(
            &grasp.world_from_gripper,
            gripper.geometry.max_opening_m,
            palette::GRASP,
        );
    }
    let image = render(
        &picture,
        &Camera::around(&picture, AZIMUTH_RAD, ELEVATION_RAD),
    );
    image
        .save(path)
        .with_context(|| format!("writing {}", path.display()))
}
