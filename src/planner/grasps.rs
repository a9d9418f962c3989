//! Grasps offered to the planner: sampled from the field or given, and filtered against the object itself.

use super::error::GraspCounts;
use super::world::World;
use crate::field::contact::{close_gripper, gripper_collides};
use crate::field::{sample_grasps, Grasp, ObjectModel, SamplerSettings};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;

/// A grasp before its reachability is known. Gripper frame: +z approach, x closing.
#[derive(Clone, Copy, Debug)]
pub struct GraspOffer {
    pub object_from_gripper: Pose,
    /// Energy of the clean field, if a field offered it.
    pub energy: Option<f64>,
    /// Distance of the pads when closed [m], if known.
    pub width_m: Option<f64>,
}

/// Distance that the open hand keeps from the object [m].
const HAND_CLEARANCE_M: f64 = 0.002;

/// Grasps that are drawn once for an object and offered to every request.
const KEPT: usize = 128;

/// The grasps that are kept for an object and offered to every request, the best first. The first call draws them: call it
/// when the object becomes known, else its first request takes longer.
pub fn prepare(object: &ObjectModel) -> &[Grasp] {
    object.kept_grasps(|object| draw(object, KEPT, 0))
}

/// The grasps kept for an object, the best first.
pub fn kept(object: &ObjectModel) -> Vec<GraspOffer> {
    offers(prepare(object))
}

/// New grasps of an object from its field, the best first.
pub fn sample(object: &ObjectModel, count: usize, seed: u64) -> Vec<GraspOffer> {
    offers(&draw(object, count, seed))
}

fn draw(object: &ObjectModel, count: usize, seed: u64) -> Vec<Grasp> {
    let settings = SamplerSettings {
        tolerance_m: -HAND_CLEARANCE_M,
        ..SamplerSettings::default()
    };
    sample_grasps(object, &settings, count, seed)
}

fn offers(grasps: &[Grasp]) -> Vec<GraspOffer> {
    grasps
        .iter()
        .map(|g| GraspOffer {
            object_from_gripper: g.object_from_gripper,
            energy: Some(f64::from(g.energy)),
            width_m: Some(g.width_m),
        })
        .collect()
}

/// Grasps given with the request, in their order.
pub fn given(object_from_gripper: &[Pose]) -> Vec<GraspOffer> {
    object_from_gripper
        .iter()
        .map(|pose| GraspOffer {
            object_from_gripper: *pose,
            energy: None,
            width_m: None,
        })
        .collect()
}

/// The same grasp with the fingers exchanged.
pub fn half_turn(object_from_gripper: &Pose) -> Pose {
    object_from_gripper
        * nalgebra::UnitQuaternion::from_axis_angle(
            &nalgebra::Vector3::z_axis(),
            std::f64::consts::PI,
        )
}

/// Drops the grasps at which the open hand touches the object.
pub fn keep_clear_of_object(
    world: &World,
    object: &ObjectModel,
    offers: Vec<GraspOffer>,
    counts: &mut GraspCounts,
) -> Vec<GraspOffer> {
    let Some(gripper) = &world.robot.gripper else {
        return offers;
    };
    let before = offers.len();
    let kept: Vec<GraspOffer> = offers
        .into_iter()
        .filter(|offer| open_hand_is_clear(object, &gripper.geometry, &offer.object_from_gripper))
        .collect();
    counts.hand_touches_object = before - kept.len();
    kept
}

/// Whether the open hand keeps away from the object.
pub fn open_hand_is_clear(
    object: &ObjectModel,
    geometry: &GripperGeometry,
    object_from_gripper: &Pose,
) -> bool {
    let opening_m = geometry.max_opening_m;
    !gripper_collides(
        &*object.surface,
        object_from_gripper,
        geometry,
        opening_m,
        HAND_CLEARANCE_M,
    )
}

/// The same on the sampled distance: fast enough for every candidate, but walls thinner than its grid are only felt nearby.
pub fn open_hand_seems_clear(
    object: &ObjectModel,
    geometry: &GripperGeometry,
    object_from_gripper: &Pose,
) -> bool {
    !gripper_collides(
        &*object.distance,
        object_from_gripper,
        geometry,
        geometry.max_opening_m,
        0.0,
    )
}

/// Distance of the pads when the hand closes on the object there [m]; `None` if they meet nothing.
pub fn closed_width_m(
    object: &ObjectModel,
    geometry: &GripperGeometry,
    object_from_gripper: &Pose,
) -> Option<f64> {
    close_gripper(&*object.surface, object_from_gripper, geometry).width_m()
}
