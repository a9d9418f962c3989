//! The parallel gripper at the arm's end.

use std::path::Path;

use nalgebra::{UnitQuaternion, Vector3};

use super::{GripperDescription, GripperSettings, KinematicModel, RobotError};
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
///
/// Frame: origin at the hand's mounting face, +z approach, +x closing. All values are those of the open gripper; the
/// fingers close along x.
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
    /// The flat face that grips, from the tip upwards along z, and along y.
    pub pad_length_m: f64,
    pub pad_width_m: f64,
    /// How far the finger's inner face lies back from the pad where the finger begins; in between it slopes.
    pub recess_m: f64,
    /// Usual depth of contacts behind the tips: poses of the field turn about the point between the fingers there.
    pub grasp_depth_m: f64,
    /// The hand's body, and backs of the open fingers that stick out of their boxes. They keep their place while the fingers close.
    pub palm: Vec<GripperBox>,
}

/// A box in the gripper frame, m.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GripperBox {
    pub center_m: [f64; 3],
    /// Along x (closing), y and z.
    pub half_extents_m: [f64; 3],
}

/// The same grasp with the fingers exchanged: `frame_from_gripper` turned by half a turn about its approach axis.
pub fn half_turn(frame_from_gripper: &Pose) -> Pose {
    frame_from_gripper * UnitQuaternion::from_axis_angle(&Vector3::z_axis(), std::f64::consts::PI)
}

/// No part of a gripper is larger, m; catches millimetres.
const LARGEST_M: f64 = 0.5;

impl Gripper {
    /// Places the gripper of the settings at the tool.
    pub(super) fn place(
        settings: &GripperSettings,
        settings_folder: &Path,
        kinematics: &KinematicModel,
        robot: &urdf_rs::Robot,
    ) -> Result<Self, RobotError> {
        let geometry = match &settings.geometry_file {
            Some(file) => GripperDescription::load(&settings_folder.join(file))?.geometry,
            None => settings.geometry.clone(),
        };
        geometry.validate()?;
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
            geometry,
        })
    }

    /// Largest distance of the finger pads, m.
    pub fn max_opening_m(&self) -> f64 {
        self.geometry.max_opening_m
    }
}

impl Default for GripperGeometry {
    /// The Franka hand, as in `config/grippers/franka_hand.yaml`.
    fn default() -> Self {
        // Slabs of the hand from the flange to the fingers: it narrows from 63 to 35 mm across the closing direction.
        let part = |x_m: f64, z_m: f64, half_extents_m: [f64; 3]| GripperBox {
            center_m: [x_m, 0.0, z_m],
            half_extents_m,
        };
        Self {
            max_opening_m: 0.08,
            tip_m: 0.112,
            finger_base_m: 0.0584,
            finger_thickness_m: 0.014,
            finger_width_m: 0.021,
            pad_length_m: 0.0175,
            pad_width_m: 0.0175,
            recess_m: 0.0025,
            grasp_depth_m: 0.012,
            palm: vec![
                part(0.0, 0.008, [0.103, 0.0315, 0.008]),
                part(0.0, 0.025, [0.1025, 0.0289, 0.009]),
                part(0.0, 0.043, [0.101, 0.0245, 0.009]),
                part(0.0, 0.059, [0.1, 0.0203, 0.007]),
                // The open fingers' backs: thicker than at the pads.
                part(0.0598, 0.0745, [0.0058, 0.0105, 0.0085]),
                part(-0.0598, 0.0745, [0.0058, 0.0105, 0.0085]),
                part(0.0583, 0.0888, [0.0043, 0.0102, 0.0058]),
                part(-0.0583, 0.0888, [0.0043, 0.0102, 0.0058]),
            ],
        }
    }
}

impl GripperGeometry {
    /// Names the first value that no gripper can have, and its limit.
    pub fn problem(&self) -> Option<String> {
        let positive = [
            ("max_opening_m", self.max_opening_m, LARGEST_M),
            ("tip_m", self.tip_m, LARGEST_M),
            ("tip_m - finger_base_m", self.finger_m(), LARGEST_M),
            ("finger_thickness_m", self.finger_thickness_m, LARGEST_M),
            ("finger_width_m", self.finger_width_m, LARGEST_M),
            ("pad_length_m", self.pad_length_m, self.finger_m()),
            ("pad_width_m", self.pad_width_m, self.finger_width_m),
            ("grasp_depth_m", self.grasp_depth_m, self.tip_m),
        ];
        let too = |(what, value, most): (&str, f64, f64)| {
            (!(value > 0.0 && value <= most))
                .then(|| format!("{what} is {value}, it must be greater than 0 and at most {most}"))
        };
        if let Some(problem) = positive.into_iter().find_map(too) {
            return Some(problem);
        }
        if !(0.0..=self.finger_thickness_m).contains(&self.recess_m) {
            return Some(format!(
                "recess_m is {}, it must be 0 to finger_thickness_m, {}",
                self.recess_m, self.finger_thickness_m
            ));
        }
        if self.palm.is_empty() {
            return Some("palm has no box, it must have at least 1".into());
        }
        self.palm.iter().enumerate().find_map(|(i, part)| {
            let half = part
                .half_extents_m
                .map(|half| ("half_extents_m", half, 1e-6));
            let center = part.center_m.map(|center| ("center_m", center, -LARGEST_M));
            half.into_iter()
                .chain(center)
                .find(|(_, value, least)| !(*value >= *least && *value <= LARGEST_M))
                .map(|(what, value, least)| {
                    format!("palm[{i}].{what} has {value}, it must be {least} to {LARGEST_M}")
                })
        })
    }

    fn validate(&self) -> Result<(), RobotError> {
        self.problem()
            .map_or(Ok(()), |reason| Err(RobotError::Gripper { reason }))
    }

    /// Height of the point between the fingers about which poses of the field turn, m.
    pub fn finger_centre_m(&self) -> f64 {
        self.tip_m - self.grasp_depth_m
    }

    fn finger_m(&self) -> f64 {
        self.tip_m - self.finger_base_m
    }

    /// How far the palm reaches from the z axis along x and y, m.
    pub fn palm_reach_m(&self) -> [f64; 2] {
        [0, 1].map(|a| {
            let reach = |part: &GripperBox| part.center_m[a].abs() + part.half_extents_m[a];
            self.palm.iter().map(reach).fold(0.0, f64::max)
        })
    }

    /// The fingers at +x and -x for a distance of the pads.
    pub fn fingers(&self, opening_m: f64) -> [GripperBox; 2] {
        let half_length = 0.5 * self.finger_m();
        [1.0, -1.0].map(|side| GripperBox {
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
        })
    }

    /// Everything that the gripper is made of, for a distance of the pads: the fingers, then the palm.
    pub fn boxes(&self, opening_m: f64) -> impl Iterator<Item = GripperBox> + '_ {
        let fingers = self.fingers(opening_m).into_iter();
        fingers.chain(self.palm.iter().copied())
    }
}
