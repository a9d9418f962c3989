//! A robot from its URDF: kinematics, limits, collision spheres, gripper.

mod balls;
mod block_grid;
mod bodies;
mod collision;
mod collision_build;
mod error;
mod gripper;
mod gripper_file;
mod held;
mod inverse_kinematics;
mod joints;
mod kinematics;
mod lane_frame;
mod lever_arms;
mod limits;
mod link_distance;
#[cfg(test)]
mod model_tests;
mod pair_table;
mod self_pairs;
mod settings;
mod sphere_cover;
mod spheres;
#[cfg(test)]
pub(crate) mod toy_robots;
mod urdf;
mod urdf_limits;

use std::path::Path;

pub use balls::{Ball, BallGroup};
pub use collision::{
    AllowedReason, CollisionModel, LinkShape, Sphere, SphereCover, SphereGroup, SphereSet,
};
pub use error::RobotError;
pub use gripper::{half_turn, Gripper, GripperBox, GripperGeometry};
pub use gripper_file::GripperDescription;
pub use held::cover_held;
pub use inverse_kinematics::{IkResidual, IkSettings, InverseKinematics};
pub use kinematics::{KinematicModel, MAX_JOINTS};
pub use lane_frame::{BodyWrenches, KinematicState, LaneFrame};
pub use limits::{JointLimits, LimitViolation};
pub use pair_table::PairTable;
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
    /// The parsed URDF and the settings it was read with, for whoever builds a view of its own (the verifier, pictures).
    pub description: urdf_rs::Robot,
    pub settings: RobotSettings,
}

impl RobotModel {
    /// From URDF text. Relative mesh, SRDF and gripper paths count from the current folder.
    pub fn from_urdf(urdf: &str, settings: &RobotSettings) -> Result<RobotModel, RobotError> {
        Self::build(urdf, settings, Path::new(""), Path::new(""))
    }

    /// From a URDF file and a settings file (YAML). Mesh paths are relative to the URDF file, package folders,
    /// the SRDF file and the gripper file to the settings file.
    pub fn load(urdf_file: &Path, settings_file: &Path) -> Result<RobotModel, RobotError> {
        let mut settings = RobotSettings::from_yaml(&read(settings_file)?)?;
        let settings_folder = settings_file.parent().unwrap_or(Path::new(""));
        for folder in settings.package_paths.values_mut() {
            *folder = std::path::absolute(settings_folder.join(&*folder))
                .unwrap_or_else(|_| folder.clone());
        }
        let mesh_folder = urdf_file.parent().unwrap_or(Path::new(""));
        Self::build(&read(urdf_file)?, &settings, mesh_folder, settings_folder)
    }

    fn build(
        urdf: &str,
        settings: &RobotSettings,
        mesh_folder: &Path,
        settings_folder: &Path,
    ) -> Result<RobotModel, RobotError> {
        settings.validate()?;
        let robot = urdf::parse(urdf)?;
        let tree = urdf::Tree::new(&robot, settings)?;
        let kinematics = tree.kinematics()?;
        let limits = tree.limits()?;
        let srdf = match &settings.srdf_file {
            Some(file) => self_pairs::srdf_pairs(&read(&settings_folder.join(file))?)?,
            None => Vec::new(),
        };
        let mut collision = collision_build::build(&robot, &kinematics, settings, mesh_folder)?;
        self_pairs::derive(&mut collision, &kinematics, &limits, settings, &srdf)?;
        let gripper = match &settings.gripper {
            Some(gripper) => Some(Gripper::place(
                gripper,
                settings_folder,
                &kinematics,
                &robot,
            )?),
            None => None,
        };
        Ok(RobotModel {
            name: robot.name.clone(),
            kinematics,
            limits,
            collision,
            gripper,
            description: robot,
            settings: settings.clone(),
        })
    }
}

fn read(path: &Path) -> Result<String, RobotError> {
    std::fs::read_to_string(path).map_err(|e| RobotError::File {
        path: path.display().to_string(),
        reason: e.to_string(),
    })
}
