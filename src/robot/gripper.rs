//! The parallel gripper at the arm's end.

use crate::geometry::Pose;

/// A parallel gripper. Its frame follows ACRONYM: origin at the hand link's origin, +z approach, x closing.
#[derive(Clone, Debug, PartialEq)]
pub struct Gripper {
    /// Link that carries the fingers.
    pub hand_link: String,
    /// Finger joints as the controller names them.
    pub finger_joints: Vec<String>,
    /// Gripper frame in the tool link's frame.
    pub tool_from_gripper: Pose,
    pub geometry: GripperGeometry,
}

/// Box model of a parallel gripper in its own frame, m. Used where grasps are judged without an arm.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GripperGeometry {
    /// Largest distance of the finger pads.
    pub max_opening_m: f64,
    /// From the hand's origin to the finger tips, along z.
    pub tip_m: f64,
    /// From the hand's origin to where the fingers begin, along z.
    pub finger_base_m: f64,
    /// Size of one finger along x (closing) and y.
    pub finger_thickness_m: f64,
    pub finger_width_m: f64,
    /// The hand's body: half extents (x closing, y, z) about a centre on the z axis.
    pub palm_half_extents_m: [f64; 3],
    pub palm_center_z_m: f64,
}

/// A box in the gripper frame, m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GripperBox {
    pub center_m: [f64; 3],
    pub half_extents_m: [f64; 3],
}

impl Default for GripperGeometry {
    /// The Franka hand, from the maker's published drawing: 80 mm stroke, hand 204 x 63 x 66 mm (rounded),
    /// finger tips 112 mm from the flange.
    fn default() -> Self {
        Self {
            max_opening_m: 0.08,
            tip_m: 0.112,
            finger_base_m: 0.0584,
            finger_thickness_m: 0.014,
            finger_width_m: 0.021,
            palm_half_extents_m: [0.102, 0.0315, 0.033],
            palm_center_z_m: 0.033,
        }
    }
}

impl GripperGeometry {
    /// Palm, finger at +x, finger at -x, for a distance of the pads.
    pub fn boxes(&self, opening_m: f64) -> [GripperBox; 3] {
        let half_length = 0.5 * (self.tip_m - self.finger_base_m);
        let finger = |side: f64| GripperBox {
            center_m: [
                side * 0.5 * (opening_m + self.finger_thickness_m),
                0.0,
                self.finger_base_m + half_length,
            ],
            half_extents_m: [
                0.5 * self.finger_thickness_m,
                0.5 * self.finger_width_m,
                half_length,
            ],
        };
        let palm = GripperBox {
            center_m: [0.0, 0.0, self.palm_center_z_m],
            half_extents_m: self.palm_half_extents_m,
        };
        [palm, finger(1.0), finger(-1.0)]
    }
}
