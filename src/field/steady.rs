//! Grasps that hold where the gripper stands a little off too: others are lost to the first error of a pose.

use nalgebra::Translation3;
use rayon::prelude::*;

use super::finger_face::FingerFace;
use super::object::ObjectModel;
use super::sampler::Grasp;
use crate::geometry::Pose;
use crate::scene::SignedDistance;

/// What the faces must meet the object in there, deg: wider than what a grasp must.
const CONE_DEG: f64 = 40.0;
/// Shares of the way off, across the approach and along it. Along the closing axis nothing changes: the fingers close all the same.
const CORNERS: [[f64; 2]; 4] = [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]];

/// Whether the fingers' faces also close well on the object where the gripper stands `off_m` off, across its approach and along it
/// at once, each way.
pub fn holds_around(object: &ObjectModel, object_from_gripper: &Pose, off_m: f64) -> bool {
    let surface = object.near_surface(0.0);
    holds_at_corners(&surface, &object.face, object_from_gripper, off_m)
}

/// Measures [`Grasp::steady`] of grasps.
pub fn measure_steadiness(object: &ObjectModel, off_m: f64, grasps: &mut [Grasp]) {
    let surface = object.near_surface(0.0);
    grasps.par_iter_mut().for_each(|grasp| {
        grasp.steady = holds_at_corners(&surface, &object.face, &grasp.object_from_gripper, off_m);
    });
}

fn holds_at_corners(
    surface: &dyn SignedDistance,
    face: &FingerFace,
    object_from_gripper: &Pose,
    off_m: f64,
) -> bool {
    CORNERS.iter().all(|[y, z]| {
        let moved = object_from_gripper * Translation3::new(0.0, y * off_m, z * off_m);
        face.holding_contacts(surface, &moved, CONE_DEG.to_radians())
            .is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::held_block::held_block;
    use crate::robot::GripperGeometry;

    #[test]
    fn a_box_is_held_steadily_but_where_the_tips_hardly_reach_it() {
        let gripper = GripperGeometry::default();
        let face = FingerFace::new(&gripper);
        let reaching = |depth_m: f64| held_block([0.02, 0.02, 0.05], &gripper, depth_m);
        let (block, deep) = reaching(0.015);
        let (_, edge) = reaching(0.0005);
        let holds = |pose: &Pose| face.holding_contacts(&block, pose, 0.5).is_some();
        let holds_off = |pose: &Pose| holds_at_corners(&block, &face, pose, 0.001);
        assert!(holds(&deep) && holds_off(&deep));
        assert!(holds(&edge) && !holds_off(&edge));
    }
}
