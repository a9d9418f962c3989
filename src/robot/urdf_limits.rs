//! Joint limits from settings, URDF and rules.

use std::collections::BTreeMap;

use urdf_rs::JointType;

use super::urdf::Tree;
use super::{JointLimits, RobotError};

impl Tree<'_> {
    /// Limits of the planned joints: the settings first, then the URDF, then the rules for what it cannot say.
    pub fn limits(&self) -> Result<JointLimits, RobotError> {
        for name in self.settings.joint_limits.keys() {
            self.joint(name)?;
        }
        let none = BTreeMap::new();
        let overrides = if self.settings.joint_limits.is_empty() {
            &none
        } else {
            &self.settings.joint_limits
        };
        let mut limits = JointLimits {
            names: Vec::new(),
            lower: Vec::new(),
            upper: Vec::new(),
            velocity: Vec::new(),
            acceleration: Vec::new(),
            jerk: Vec::new(),
            continuous: Vec::new(),
        };
        for &joint in &self.planned {
            let joint = &self.robot.joints[joint];
            let given = overrides.get(&joint.name).cloned().unwrap_or_default();
            let continuous = joint.joint_type == JointType::Continuous;
            let turn = std::f64::consts::TAU;
            let (lower, upper) = if continuous {
                (-turn, turn)
            } else {
                (joint.limit.lower, joint.limit.upper)
            };
            let velocity = given.velocity.unwrap_or(joint.limit.velocity);
            let acceleration = given
                .acceleration
                .unwrap_or(velocity / self.settings.acceleration_time_s);
            limits.names.push(joint.name.clone());
            limits.lower.push(given.lower.unwrap_or(lower));
            limits.upper.push(given.upper.unwrap_or(upper));
            limits.velocity.push(velocity);
            limits.acceleration.push(acceleration);
            limits.jerk.push(
                given
                    .jerk
                    .unwrap_or(acceleration / self.settings.jerk_time_s),
            );
            limits.continuous.push(continuous);
        }
        limits.validate()?;
        Ok(limits)
    }
}
