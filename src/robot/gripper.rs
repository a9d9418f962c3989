//! The parallel gripper at the arm's end.

use super::{GripperSettings, KinematicModel, RobotError};
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

impl Gripper {
    /// Places the gripper of the settings at the tool.
    pub(super) fn place(
        settings: &GripperSettings,
        kinematics: &KinematicModel,
        robot: &urdf_rs::Robot,
    ) -> Result<Self, RobotError> {
        settings.geometry.validate()?;
        for finger in &settings.finger_joints {
            if !robot.joints.iter().any(|j| j.name == *finger) {
                let existing: Vec<_> = robot.joints.iter().map(|j| j.name.as_str()).collect();
                return Err(RobotError::UnknownJoint {
                    joint: finger.clone(),
                    existing: existing.join(", "),
                });
            }
        }
        let (hand_body, body_from_hand) = kinematics.body_of_link(&settings.hand_link)?;
        if hand_body != kinematics.tool_body() {
            let reason = format!(
                "a planned joint lies between hand link '{}' and tool link '{}'; they must be rigidly joined",
                settings.hand_link,
                kinematics.tool_link()
            );
            return Err(RobotError::Gripper { reason });
        }
        let hand_from_gripper: Pose = settings.hand_from_gripper.into();
        Ok(Self {
            hand_link: settings.hand_link.clone(),
            finger_joints: settings.finger_joints.clone(),
            tool_from_gripper: kinematics.body_from_tool().inverse()
                * body_from_hand
                * hand_from_gripper,
            geometry: settings.geometry.clone(),
        })
    }

    /// Largest distance of the finger pads, m.
    pub fn max_opening_m(&self) -> f64 {
        self.geometry.max_opening_m
    }
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
    fn validate(&self) -> Result<(), RobotError> {
        let sizes = [
            ("max_opening_m", self.max_opening_m),
            ("finger_thickness_m", self.finger_thickness_m),
            ("finger_width_m", self.finger_width_m),
            ("tip_m - finger_base_m", self.tip_m - self.finger_base_m),
            (
                "palm_half_extents_m",
                self.palm_half_extents_m
                    .into_iter()
                    .fold(f64::INFINITY, f64::min),
            ),
        ];
        match sizes
            .into_iter()
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            Some((what, value)) => Err(RobotError::Gripper {
                reason: format!("{what} is {value}, it must be greater than 0"),
            }),
            None => Ok(()),
        }
    }

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
