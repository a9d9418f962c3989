//! The filter of grasps: what collides with the object, closes on nothing or slips is dropped, and what turns is told.

use nalgebra::Vector3;

use super::contact::{close_gripper, gripper_collides, Closing};
use super::finger_face::FingerFace;
use super::object::ObjectModel;
use super::sampler::{Grasp, SamplerSettings};
use super::turning::Weight;
use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::{SeenSide, SignedDistance};

/// What grasps are filtered against.
#[derive(Clone, Copy)]
pub struct GraspTarget<'a> {
    pub surface: &'a dyn SignedDistance,
    /// Where the rest of the surface is a guess: both pads must close near what was seen of it.
    pub seen: Option<&'a SeenSide>,
    pub face: &'a FingerFace,
    /// `None`: not known.
    pub weight: Option<Weight>,
}

/// A pad that closes farther than this from what was seen of an object closes on a guess, m. Chosen on validation objects
/// (docs/DATA.md, "One side only").
const SEEN_CONTACT_M: f64 = 0.012;
/// Air that an open gripper keeps from a guessed surface at least, m.
const GUESS_CLEARANCE_M: f64 = 0.001;

/// A pose as a grasp of the object, if the filter of `settings` lets it pass.
pub fn judge_grasp(
    object: &ObjectModel,
    settings: &SamplerSettings,
    object_from_gripper: &Pose,
    energy: f32,
) -> Option<Grasp> {
    let surface = object.near_surface(0.0);
    let target = object.target(&surface);
    let judged = Filter::new(&target, settings).judge(object_from_gripper, energy);
    judged.map(|judged| judged.grasp)
}

/// A grasp that passes the filter.
pub(super) struct Judged {
    pub grasp: Grasp,
    pub hold: Hold,
}

/// How closed fingers hold an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Hold {
    Firm,
    /// It may turn between the pads.
    Turning,
}

/// What samples must pass.
pub(super) struct Filter<'a> {
    target: &'a GraspTarget<'a>,
    settings: &'a SamplerSettings,
}

impl<'a> Filter<'a> {
    pub fn new(target: &'a GraspTarget<'a>, settings: &'a SamplerSettings) -> Self {
        Self { target, settings }
    }

    /// Closes the gripper on the object there; `None` if the filter drops the grasp.
    pub fn judge(&self, object_from_gripper: &Pose, energy: f32) -> Option<Judged> {
        let GraspTarget { surface, face, .. } = *self.target;
        // Cheapest first: what is drawn from the shape alone mostly collides.
        if !energy.is_finite() || self.settings.filter && self.collides(object_from_gripper) {
            return None;
        }
        let closing = close_gripper(surface, object_from_gripper, face.gripper());
        let hold = match self.settings.filter {
            true => self.hold(object_from_gripper, &closing)?,
            false => Hold::Firm,
        };
        let grasp = Grasp {
            object_from_gripper: *object_from_gripper,
            energy,
            width_m: closing.width_m().unwrap_or(0.0).max(0.0),
            steady: false,
        };
        Some(Judged { grasp, hold })
    }

    fn collides(&self, object_from_gripper: &Pose) -> bool {
        let GraspTarget {
            surface,
            face,
            seen,
            ..
        } = *self.target;
        let gripper = face.gripper();
        let clearance_m = -self.settings.tolerance_m;
        let clearance_m = seen.map_or(clearance_m, |_| clearance_m.max(GUESS_CLEARANCE_M));
        let opening_m = gripper.max_opening_m;
        gripper_collides(
            surface,
            object_from_gripper,
            gripper,
            opening_m,
            clearance_m,
        )
    }

    /// `None` unless both pads meet the object squarely, its seen side if it has one, and so do the fingers' faces if they are asked for.
    fn hold(&self, object_from_gripper: &Pose, closing: &Closing) -> Option<Hold> {
        let GraspTarget { face, seen, .. } = *self.target;
        let on_seen = |seen| closes_on_seen(seen, object_from_gripper, closing, face.gripper());
        let meets = closing.is_inside_cone(self.settings.contact_cone_deg.to_radians())
            && seen.is_none_or(on_seen);
        meets.then(|| self.hold_by_faces(object_from_gripper))?
    }

    fn hold_by_faces(&self, object_from_gripper: &Pose) -> Option<Hold> {
        let GraspTarget {
            surface,
            face,
            weight,
            ..
        } = *self.target;
        let cone_rad = self.settings.face_cone_deg.to_radians();
        let limit = self.settings.turning;
        let weight = weight.filter(|_| limit > 0.0);
        let contacts = match cone_rad > 0.0 {
            true => Some(face.holding_contacts(surface, object_from_gripper, cone_rad)?),
            false => weight.and_then(|_| face.contacts(surface, object_from_gripper)),
        };
        let turning = weight.zip(contacts);
        let turning = turning.map(|(weight, on)| weight.turning(object_from_gripper, &on));
        Some(match turning {
            Some(turning) if turning > limit => Hold::Turning,
            _ => Hold::Firm,
        })
    }
}

/// Whether both closed pads lie near points that were seen.
fn closes_on_seen(
    seen: &SeenSide,
    object_from_gripper: &Pose,
    closing: &Closing,
    gripper: &GripperGeometry,
) -> bool {
    let half_width_m = 0.5 * gripper.pad_width_m;
    closing.contacts.iter().flatten().all(|contact| {
        let low = Vector3::new(
            contact.x_m,
            -half_width_m,
            gripper.tip_m - gripper.pad_length_m,
        );
        let high = Vector3::new(contact.x_m, half_width_m, gripper.tip_m);
        seen.distance_to_box(object_from_gripper, &low, &high) < SEEN_CONTACT_M
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::held_block::held_block;
    use crate::field::select_grasps;
    use crate::scene::TriangleMesh;

    #[test]
    fn what_turns_is_known_where_the_weight_is() {
        // As in the test of the turning itself.
        let half_extents_m = [0.02, 0.035, 0.0714];
        let gripper = GripperGeometry::default();
        let (block, pose) = held_block(half_extents_m, &gripper, 0.006);
        let (_, deep) = held_block(half_extents_m, &gripper, 0.026);
        let face = FingerFace::new(&gripper);
        let known = Weight::of(&TriangleMesh::cuboid(half_extents_m));
        for face_cone_deg in [0.0, 20.0] {
            for (weight, turning, hold) in [
                (known, 0.5, Hold::Turning),
                (known, 1.0, Hold::Firm),
                (known, 0.0, Hold::Firm),
                (None, 0.5, Hold::Firm),
            ] {
                let target = GraspTarget {
                    surface: &block,
                    seen: None,
                    face: &face,
                    weight,
                };
                let settings = SamplerSettings {
                    face_cone_deg,
                    turning,
                    ..SamplerSettings::default()
                };
                let judged = Filter::new(&target, &settings).judge(&pose, 0.0);
                let judged = judged.expect("it holds");
                assert_eq!(judged.hold, hold, "{face_cone_deg} {turning}");
                // Alone it is offered all the same, beside a deeper one it is not.
                for others in [0, 1] {
                    let draw = |_| vec![(pose, -1.0), (deep, 0.0)][..=others].to_vec();
                    let settings = SamplerSettings {
                        max_rounds: 1,
                        ..settings.clone()
                    };
                    let kept = select_grasps(&target, &settings, 2, draw, |_| ());
                    let keeps_both = others == 1 && hold == Hold::Firm;
                    assert_eq!(kept.len(), 1 + usize::from(keeps_both));
                    assert!(others == 0 || keeps_both || kept[0].object_from_gripper == deep);
                }
            }
        }
    }
}
