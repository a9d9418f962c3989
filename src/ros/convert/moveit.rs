//! Scene objects from MoveIt's messages, and its display of trajectories.

use r2r::diffusion_field_planner::msg::SceneObject;
use r2r::moveit_msgs::msg::{CollisionObject, DisplayTrajectory, RobotState, RobotTrajectory};
use r2r::trajectory_msgs::msg::JointTrajectory;

/// An object that is added, extended or moved in our own message. What it has and we have not (type, subframes) is left out.
///
/// # Errors
/// Another operation.
pub fn scene_object(object: CollisionObject) -> Result<SceneObject, String> {
    let is = |constant: i64| i64::from(object.operation) == constant;
    let operation = if is(CollisionObject::ADD as i64) {
        SceneObject::ADD as i64
    } else if is(CollisionObject::APPEND as i64) {
        SceneObject::APPEND as i64
    } else if is(CollisionObject::MOVE as i64) {
        SceneObject::MOVE as i64
    } else {
        return Err(format!(
            "collision object '{}': operation {} is not ADD, REMOVE, APPEND or MOVE",
            object.id, object.operation
        ));
    };
    Ok(SceneObject {
        header: object.header,
        id: object.id,
        pose: object.pose,
        operation: operation as _,
        primitives: object.primitives,
        primitive_poses: object.primitive_poses,
        planes: object.planes,
        plane_poses: object.plane_poses,
        meshes: object.meshes,
        mesh_poses: object.mesh_poses,
        ..Default::default()
    })
}

/// A planned motion for RViz, which begins where its first point is.
pub fn display(robot: &str, trajectory: &JointTrajectory) -> DisplayTrajectory {
    let mut trajectory_start = RobotState {
        is_diff: true,
        ..Default::default()
    };
    let start = &mut trajectory_start.joint_state;
    start.name.clone_from(&trajectory.joint_names);
    if let Some(first) = trajectory.points.first() {
        start.position.clone_from(&first.positions);
    }
    DisplayTrajectory {
        model_id: robot.to_owned(),
        trajectory: vec![RobotTrajectory {
            joint_trajectory: trajectory.clone(),
            ..Default::default()
        }],
        trajectory_start,
    }
}
