//! What the URDF does not say: `config/panda.yaml` and the like.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nalgebra::{Translation3, UnitQuaternion};
use serde::{Deserialize, Serialize};

use super::{GripperGeometry, RobotError};
use crate::geometry::Pose;

/// Settings of one robot. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobotSettings {
    /// Link whose frame is the planning world.
    pub base_link: String,
    /// Link whose pose is planned.
    pub tool_link: String,
    /// Planned joints in order; empty: every movable joint between base and tool.
    #[serde(default)]
    pub joint_names: Vec<String>,
    /// By joint name; replaces what the URDF says.
    #[serde(default)]
    pub joint_limits: BTreeMap<String, JointLimitOverride>,
    /// Time from rest to full velocity where no acceleration limit is given, s.
    #[serde(default = "default_acceleration_time_s")]
    pub acceleration_time_s: f64,
    /// Time from no to full acceleration where no jerk limit is given, s.
    #[serde(default = "default_jerk_time_s")]
    pub jerk_time_s: f64,
    /// Positions of movable joints that are not planned (fingers), rad or m; others stand at 0.
    #[serde(default)]
    pub fixed_joint_positions: BTreeMap<String, f64>,
    /// Folder of a ROS package, for `package://name/...` mesh files.
    #[serde(default)]
    pub package_paths: BTreeMap<String, PathBuf>,
    /// Link pairs that may touch, besides the derived ones.
    #[serde(default)]
    pub allowed_collisions: Vec<(String, String)>,
    /// Semantic description whose `disable_collisions` are read too; relative to the settings file.
    #[serde(default)]
    pub srdf_file: Option<PathBuf>,
    #[serde(default)]
    pub spheres: SphereSettings,
    #[serde(default)]
    pub gripper: Option<GripperSettings>,
}

fn default_acceleration_time_s() -> f64 {
    0.25
}

fn default_jerk_time_s() -> f64 {
    0.1
}

/// Limits of one joint that replace the URDF's; rad or m, per s, s^2, s^3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JointLimitOverride {
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    pub velocity: Option<f64>,
    pub acceleration: Option<f64>,
    pub jerk: Option<f64>,
}

/// How collision geometry becomes spheres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SphereSettings {
    /// How far spheres may stick out of a link: this part of the link's half thickness, within the two bounds, m.
    pub over_cover_ratio: f64,
    pub min_over_cover_m: f64,
    pub max_over_cover_m: f64,
    /// The same given for single links, m.
    pub over_cover_by_link: BTreeMap<String, f64>,
    /// The same for links that pass others of the robot closely: these spheres are tested against the robot itself alone, m.
    pub own_over_cover_by_link: BTreeMap<String, f64>,
    /// Most fitted spheres for one link; the cover stays complete, it only gets coarser.
    pub max_per_link: usize,
    /// Most spheres that share a bounding sphere.
    pub max_per_group: usize,
    /// Random configurations for the derived set of pairs that always or never touch.
    pub self_collision_samples: usize,
    pub seed: u64,
}

impl Default for SphereSettings {
    fn default() -> Self {
        Self {
            over_cover_ratio: 0.55,
            min_over_cover_m: 0.006,
            max_over_cover_m: 0.03,
            over_cover_by_link: BTreeMap::new(),
            own_over_cover_by_link: BTreeMap::new(),
            max_per_link: 24,
            max_per_group: 4,
            self_collision_samples: 4096,
            seed: 0,
        }
    }
}

/// The gripper at the tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GripperSettings {
    pub hand_link: String,
    #[serde(default)]
    pub finger_joints: Vec<String>,
    /// Gripper frame (+z approach, x closing) in the hand link's frame.
    #[serde(default)]
    pub hand_from_gripper: PoseSettings,
    #[serde(default)]
    pub geometry: GripperGeometry,
    /// File of the gripper (`config/grippers`) whose geometry is taken instead; relative to the settings file.
    #[serde(default)]
    pub geometry_file: Option<PathBuf>,
}

/// A pose as URDF writes it: metres, and fixed-axis roll, pitch, yaw in rad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoseSettings {
    pub xyz: [f64; 3],
    pub rpy: [f64; 3],
}

impl From<PoseSettings> for Pose {
    fn from(pose: PoseSettings) -> Self {
        let [x, y, z] = pose.xyz;
        let [roll, pitch, yaw] = pose.rpy;
        Pose::from_parts(
            Translation3::new(x, y, z),
            UnitQuaternion::from_euler_angles(roll, pitch, yaw),
        )
    }
}

impl RobotSettings {
    /// Settings for the chain between two links, the rest at defaults.
    pub fn new(base_link: impl Into<String>, tool_link: impl Into<String>) -> Self {
        Self {
            base_link: base_link.into(),
            tool_link: tool_link.into(),
            joint_names: Vec::new(),
            joint_limits: BTreeMap::new(),
            acceleration_time_s: default_acceleration_time_s(),
            jerk_time_s: default_jerk_time_s(),
            fixed_joint_positions: BTreeMap::new(),
            package_paths: BTreeMap::new(),
            allowed_collisions: Vec::new(),
            srdf_file: None,
            spheres: SphereSettings::default(),
            gripper: None,
        }
    }

    /// Refuses numbers without meaning.
    pub(super) fn validate(&self) -> Result<(), RobotError> {
        let spheres = &self.spheres;
        let positive = [
            ("acceleration_time_s", self.acceleration_time_s),
            ("jerk_time_s", self.jerk_time_s),
            ("spheres.over_cover_ratio", spheres.over_cover_ratio),
            ("spheres.min_over_cover_m", spheres.min_over_cover_m),
            (
                "spheres.max_over_cover_m - min_over_cover_m",
                spheres.max_over_cover_m - spheres.min_over_cover_m,
            ),
            ("spheres.max_per_link", spheres.max_per_link as f64),
            ("spheres.max_per_group", spheres.max_per_group as f64),
        ];
        let by_link = spheres
            .over_cover_by_link
            .iter()
            .chain(&spheres.own_over_cover_by_link)
            .map(|(link, &v)| (link.as_str(), v));
        match positive
            .into_iter()
            .chain(by_link)
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            Some((what, value)) => Err(RobotError::Settings {
                reason: format!("{what} is {value}, it must be greater than 0"),
            }),
            None => Ok(()),
        }
    }

    /// From YAML text.
    pub fn from_yaml(yaml: &str) -> Result<Self, RobotError> {
        serde_yaml::from_str(yaml).map_err(|e| RobotError::Settings {
            reason: e.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_read_with_defaults() {
        let settings = RobotSettings::from_yaml(
            "base_link: base\ntool_link: tool\njoint_limits:\n  j1: {velocity: 2.0}\n",
        )
        .unwrap();
        assert_eq!(settings.joint_limits["j1"].velocity, Some(2.0));
        assert_eq!(settings.spheres, SphereSettings::default());
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error =
            RobotSettings::from_yaml("base_link: a\ntool_link: b\ntool_lnk: c\n").unwrap_err();
        assert!(error.to_string().contains("tool_lnk"), "{error}");
        let nested = RobotSettings::from_yaml("base_link: a\ntool_link: b\nspheres: {sede: 1}\n")
            .unwrap_err();
        assert!(nested.to_string().contains("sede"), "{nested}");
    }
}
