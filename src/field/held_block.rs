//! For tests: an upright block in the gripper from above.

use std::f64::consts::PI;

use nalgebra::{Translation3, UnitQuaternion, Vector3};

use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::Shape;

/// The block about the origin, and the pose of a gripper whose tips reach so far below its top, `object_from_gripper`.
pub fn held_block(
    half_extents_m: [f64; 3],
    gripper: &GripperGeometry,
    depth_m: f64,
) -> (Shape, Pose) {
    let height_m = half_extents_m[2] - depth_m + gripper.tip_m;
    let down = UnitQuaternion::from_scaled_axis(Vector3::x() * PI);
    let pose = Pose::from_parts(Translation3::new(0.0, 0.0, height_m), down);
    (Shape::Box { half_extents_m }, pose)
}
