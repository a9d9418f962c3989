//! A robot from its URDF: kinematics, limits, collision spheres, gripper.

mod collision;
mod error;
mod gripper;
mod kinematics;
mod limits;
mod settings;

pub use collision::{AllowedReason, CollisionModel, LinkShape, Sphere, SphereCover, SphereGroup};
pub use error::RobotError;
pub use gripper::{Gripper, GripperBox, GripperGeometry};
pub use kinematics::{BodyWrenches, KinematicModel, KinematicState, LaneFrame, MAX_JOINTS};
pub use limits::{JointLimits, LimitViolation};
pub use settings::{
    GripperSettings, JointLimitOverride, PoseSettings, RobotSettings, SphereSettings,
};

/// Everything the planner knows of a robot; immutable.
#[derive(Clone, Debug)]
pub struct RobotModel {
    pub name: String,
    pub kinematics: KinematicModel,
    pub limits: JointLimits,
    pub collision: CollisionModel,
    pub gripper: Option<Gripper>,
}

impl RobotModel {
    /// From URDF text.
    pub fn from_urdf(_urdf: &str, _settings: &RobotSettings) -> Result<RobotModel, RobotError> {
        todo!("lands within minutes")
    }

    /// From a URDF file and a settings file (YAML); mesh and SRDF paths are relative to the latter.
    pub fn load(
        _urdf_file: &std::path::Path,
        _settings_file: &std::path::Path,
    ) -> Result<RobotModel, RobotError> {
        todo!("lands within minutes")
    }
}
