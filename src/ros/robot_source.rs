//! Where the robot model comes from: a URDF file or the topic `robot_description`, and a settings file.

use super::parameters::Parameters;
use super::sim::parameters::SimParameters;
use crate::robot::{RobotError, RobotModel, RobotSettings};
use std::path::{Path, PathBuf};

/// Why there is no robot model.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RobotSourceError {
    #[error("parameter robot.urdf_file is empty")]
    NoUrdf,
    #[error("cannot read '{path}': {reason}")]
    File { path: String, reason: String },
    #[error(transparent)]
    Robot(#[from] RobotError),
    #[error("robot.base_link and robot.tool_link are needed where robot.settings_file is empty")]
    NoLinks,
    #[error("{parameter} has {got} values, the robot has {expected} joints: {joints}")]
    Count {
        parameter: &'static str,
        got: usize,
        expected: usize,
        joints: String,
    },
}

/// The parameters that describe the robot.
#[derive(Clone, Debug, Default)]
pub struct RobotSource {
    urdf_file: String,
    settings_file: String,
    base_link: String,
    tool_link: String,
    joint_names: Vec<String>,
    max_velocity: Vec<f64>,
    max_acceleration: Vec<f64>,
    max_jerk: Vec<f64>,
}

impl RobotSource {
    pub fn from_planner(p: &Parameters) -> Self {
        Self {
            urdf_file: p.robot_urdf_file.clone(),
            settings_file: p.robot_settings_file.clone(),
            base_link: p.robot_base_link.clone(),
            tool_link: p.robot_tool_link.clone(),
            joint_names: p.robot_joint_names.clone(),
            max_velocity: p.robot_max_velocity.clone(),
            max_acceleration: p.robot_max_acceleration.clone(),
            max_jerk: p.robot_max_jerk.clone(),
        }
    }

    pub fn from_sim(p: &SimParameters) -> Self {
        Self {
            urdf_file: p.robot_urdf_file.clone(),
            settings_file: p.robot_settings_file.clone(),
            ..Self::default()
        }
    }

    /// The URDF's text from `robot.urdf_file`.
    ///
    /// # Errors
    /// The file is not given or cannot be read.
    pub fn read_urdf(&self) -> Result<String, RobotSourceError> {
        match self.urdf_file.is_empty() {
            true => Err(RobotSourceError::NoUrdf),
            false => read(Path::new(&self.urdf_file)),
        }
    }

    /// Builds the model; takes up to seconds.
    ///
    /// # Errors
    /// [`RobotSourceError`], naming file, link or joint.
    pub fn build(&self, urdf: &str) -> Result<RobotModel, RobotSourceError> {
        let mut settings = self.settings()?;
        let robot = RobotModel::from_urdf(urdf, &settings)?;
        if !self.add_limits(&mut settings, robot.kinematics.joint_names())? {
            return Ok(robot);
        }
        Ok(RobotModel::from_urdf(urdf, &settings)?)
    }

    fn settings(&self) -> Result<RobotSettings, RobotSourceError> {
        let mut settings = match self.settings_file.is_empty() {
            true if self.base_link.is_empty() || self.tool_link.is_empty() => {
                return Err(RobotSourceError::NoLinks)
            }
            true => RobotSettings::new(&self.base_link, &self.tool_link),
            false => load_settings(Path::new(&self.settings_file))?,
        };
        if !self.base_link.is_empty() {
            settings.base_link.clone_from(&self.base_link);
        }
        if !self.tool_link.is_empty() {
            settings.tool_link.clone_from(&self.tool_link);
        }
        if !self.joint_names.is_empty() {
            settings.joint_names.clone_from(&self.joint_names);
        }
        Ok(settings)
    }

    /// Enters the limits given as parameters; false if none is.
    fn add_limits(
        &self,
        settings: &mut RobotSettings,
        joints: &[String],
    ) -> Result<bool, RobotSourceError> {
        let limits = [
            ("robot.max_velocity", &self.max_velocity),
            ("robot.max_acceleration", &self.max_acceleration),
            ("robot.max_jerk", &self.max_jerk),
        ];
        for (parameter, values) in limits {
            if !values.is_empty() && values.len() != joints.len() {
                return Err(RobotSourceError::Count {
                    parameter,
                    got: values.len(),
                    expected: joints.len(),
                    joints: joints.join(", "),
                });
            }
        }
        for (j, joint) in joints.iter().enumerate() {
            let limit = settings.joint_limits.entry(joint.clone()).or_default();
            let set =
                |slot: &mut Option<f64>, values: &[f64]| *slot = values.get(j).copied().or(*slot);
            set(&mut limit.velocity, &self.max_velocity);
            set(&mut limit.acceleration, &self.max_acceleration);
            set(&mut limit.jerk, &self.max_jerk);
        }
        Ok(limits.iter().any(|(_, values)| !values.is_empty()))
    }
}

/// Settings from a file; paths in it are relative to its folder.
fn load_settings(path: &Path) -> Result<RobotSettings, RobotSourceError> {
    let mut settings = RobotSettings::from_yaml(&read(path)?)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let absolute = |file: &mut PathBuf| *file = folder.join(&*file);
    settings.srdf_file.iter_mut().for_each(absolute);
    let gripper_file = settings
        .gripper
        .iter_mut()
        .flat_map(|g| &mut g.geometry_file);
    gripper_file.for_each(absolute);
    settings.package_paths.values_mut().for_each(absolute);
    Ok(settings)
}

fn read(path: &Path) -> Result<String, RobotSourceError> {
    std::fs::read_to_string(path).map_err(|error| RobotSourceError::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}
