//! Whether friction keeps an object from turning between the pads, about the axis along which they close.
//!
//! A parallel gripper is weakest about that axis: a bottle held by the rim of its neck hangs down. Pads that press evenly resist a
//! torque of friction x force x mean radius of the contact, each; where the pressure bears on the contact's rim it is up to twice as
//! much (limit surface of a soft finger: Howe and Cutkosky 1996).

use nalgebra::Point3;

use super::face_contacts::Contacts;
use crate::geometry::Pose;
use crate::scene::TriangleMesh;

/// Of a vessel that is half full, or of wood, kg/m^3.
const DENSITY_KG_M3: f64 = 500.0;
const GRAVITY_M_S2: f64 = 9.81;
/// Of rubber pads, and the force of each, N: what any gripper for such objects has.
const FRICTION: f64 = 0.8;
const FORCE_N: f64 = 20.0;

/// An object's middle of mass and weight, as far as its shape tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// Object frame, m.
    middle: Point3<f64>,
    weight_n: f64,
}

impl Weight {
    /// Of a solid of this surface; `None` where it encloses nothing.
    pub fn of(mesh: &TriangleMesh) -> Option<Self> {
        let (volume_m3, middle) = mesh.volume_and_middle()?;
        Some(Self {
            middle,
            weight_n: DENSITY_KG_M3 * GRAVITY_M_S2 * volume_m3,
        })
    }

    /// The torque of the object's weight about the closing axis when it is held out to the side, as a multiple of what pads that
    /// press evenly resist: above 1 it may turn, above 2 it does.
    pub fn turning(&self, object_from_gripper: &Pose, contacts: &Contacts) -> f64 {
        let middle = object_from_gripper.inverse_transform_point(&self.middle);
        let [y, z] = contacts.middle_m();
        let arm_m = (middle.y - y).hypot(middle.z - z);
        self.weight_n * arm_m / (FRICTION * FORCE_N * contacts.radii_m())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::held_block::held_block;
    use crate::field::FingerFace;
    use crate::robot::GripperGeometry;

    /// How much a block of 0.4 litres may turn that the tips reach so far below its top.
    fn turning(depth_m: f64) -> f64 {
        let half_extents_m = [0.02, 0.035, 0.0714];
        let gripper = GripperGeometry::default();
        let (block, pose) = held_block(half_extents_m, &gripper, depth_m);
        let contacts = FingerFace::new(&gripper).contacts(&block, &pose);
        let weight = Weight::of(&TriangleMesh::cuboid(half_extents_m)).expect("a block is solid");
        weight.turning(&pose, &contacts.expect("the block is met"))
    }

    #[test]
    fn a_block_turns_if_only_the_tips_hold_it_far_from_its_middle() {
        // By hand: 0.4 l weigh 1.962 N; tips 6 mm deep have an arm of 68.4 mm, and a pad touches on 17.5 mm x 6 mm, whose mean radius is
        // 4.75 mm (the lattice of the face makes it a little larger).
        let expected = 1.962 * 0.0684 / (0.8 * 20.0 * 2.0 * 0.00475);
        let share = turning(0.006) / expected;
        assert!((0.8..1.0).contains(&share), "{share}");
        assert!(turning(0.002) > turning(0.006) && turning(0.006) > turning(0.02));
    }
}
