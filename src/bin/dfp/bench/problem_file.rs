//! Poses and obstacles as they stand in files of `dfp plan`.

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::scene::{SceneObject, SignedDistance};
use serde_json::{json, Value};

pub fn pose(pose: &Pose) -> Value {
    let q = pose.rotation.quaternion();
    let p = pose.translation.vector;
    json!({"position_m": [p.x, p.y, p.z], "quaternion_xyzw": [q.i, q.j, q.k, q.w]})
}

/// An obstacle that is a box.
pub fn box_obstacle(object: &SceneObject) -> Value {
    let (low, high) = object.shape.bounds();
    let size = high - low;
    json!({"name": object.name, "box": [size.x, size.y, size.z], "pose": pose(&object.world_from_object)})
}
