//! Planning problems as YAML files, for the command line and for tests. Lengths in m, angles in rad, poses in the robot's
//! base frame. Unknown keys are refused with their line. `examples/` holds commented files.

mod cloud_entry;
mod constraint_entries;
mod entries;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use entries::{load_mesh, mesh_shape, value, Start};
pub use entries::{ObstacleEntry, ProblemFile};

use super::error::PlanError;
use super::request::{Goal, PlanRequest};
use super::settings::PlannerSettings;
use crate::field::{GraspNetwork, ObjectModel, ObjectStore};
use crate::geometry::Pose;
use crate::robot::{RobotError, RobotModel};
use crate::scene::{Scene, SceneObject, Shape};

/// A problem file could not be turned into a request.
#[derive(Debug, thiserror::Error)]
pub enum ProblemError {
    #[error("cannot read '{path}': {reason}")]
    File { path: PathBuf, reason: String },
    /// The reason names key, line and column.
    #[error("'{path}' is not a problem file: {reason}")]
    Syntax { path: PathBuf, reason: String },
    #[error("{what}: {reason}")]
    Value { what: String, reason: String },
    #[error(transparent)]
    Robot(#[from] RobotError),
}

impl ProblemError {
    /// Code of the action's result that the same mistake would get.
    pub fn code(&self) -> u16 {
        match self {
            ProblemError::Robot(e) => PlanError::RobotModel(e.clone()).code(),
            _ => 901,
        }
    }
}

/// A problem ready to be planned.
pub struct Problem {
    pub robot: Arc<RobotModel>,
    pub request: PlanRequest,
    pub planner: PlannerSettings,
}

impl ProblemFile {
    /// Parses YAML text; `path` is named in errors.
    pub fn from_yaml(text: &str, path: &Path) -> Result<Self, ProblemError> {
        serde_yaml::from_str(text).map_err(|e| ProblemError::Syntax {
            path: path.into(),
            reason: e.to_string(),
        })
    }

    /// The request for a robot. Files are relative to `folder`; `network` grasps the task's object, if it has one.
    pub fn request(
        &self,
        robot: &RobotModel,
        folder: &Path,
        network: Option<&GraspNetwork>,
    ) -> Result<PlanRequest, ProblemError> {
        let start = self.start.values(robot, "start")?;
        let mut scene = Scene::default();
        // Bodies that are known, with their poses: no point cloud needs to show them.
        let mut known = Vec::new();
        let target = self.task.object();
        for object in self
            .objects
            .iter()
            .filter(|o| Some(o.name.as_str()) != target)
        {
            let shape = match &object.mesh {
                Some(mesh) => mesh_shape(folder, mesh, object.scale)?,
                None => {
                    let stored = self.store(folder)?.path(&object.name, "obj");
                    mesh_shape(Path::new(""), &stored, 1.0)?
                }
            };
            let pose = object.pose.pose(&object.name)?;
            if let Shape::Mesh(mesh) = &shape {
                known.push((mesh.clone(), pose));
            }
            scene
                .objects
                .push(SceneObject::new(object.name.clone(), shape, pose));
        }
        let goal = self.goal(robot, folder, network)?;
        if let Some((object, world_from_object)) = goal.target() {
            known.push((object.surface.clone(), *world_from_object));
        }
        for obstacle in &self.obstacles {
            let object = obstacle.scene_object_without(folder, &known)?;
            scene.objects.push(object);
        }
        let mut request = PlanRequest::new(start, scene, goal);
        let place = self.task.place.as_ref();
        request.place_world_from_object = place.map(|p| p.pose("place")).transpose()?;
        let rates = |entry: &Option<Start>, what: &str| {
            let values = entry.as_ref().map(|rates| rates.values(robot, what));
            values.transpose().map(Option::unwrap_or_default)
        };
        request.start_velocity = rates(&self.start_velocity, "start_velocity")?;
        request.start_acceleration = rates(&self.start_acceleration, "start_acceleration")?;
        for (index, entry) in self.constraints.iter().enumerate() {
            request.constraints.push(entry.constraint(index)?);
        }
        request.allowed_collisions = self.allowed_collisions.clone();
        self.settings.apply(&mut request)?;
        Ok(request)
    }

    fn goal(
        &self,
        robot: &RobotModel,
        folder: &Path,
        network: Option<&GraspNetwork>,
    ) -> Result<Goal, ProblemError> {
        let task = &self.task;
        let given = [
            task.grasp.is_some(),
            task.grasps.is_some(),
            task.pose.is_some(),
            task.joints.is_some(),
        ];
        if given.iter().filter(|g| **g).count() != 1 {
            return Err(value(
                "task",
                "give exactly one of grasp, grasps, pose, joints",
            ));
        }
        if let Some(joints) = &task.joints {
            return Ok(Goal::Joints(joints.values(robot, "goal")?));
        }
        if let Some(pose) = &task.pose {
            return Ok(Goal::Pose {
                world_from_tool: pose.pose("task pose")?,
            });
        }
        let (object, world_from_object) = self.target_model(folder, network)?;
        match &task.grasps {
            None => Ok(Goal::Grasp {
                object,
                world_from_object,
            }),
            Some(grasps) => {
                let poses = grasps
                    .object_from_gripper
                    .iter()
                    .map(|p| p.pose("grasp"))
                    .collect::<Result<_, _>>()?;
                Ok(Goal::Grasps {
                    object: Some(object),
                    world_from_object,
                    object_from_gripper: poses,
                })
            }
        }
    }

    fn target_model(
        &self,
        folder: &Path,
        network: Option<&GraspNetwork>,
    ) -> Result<(Arc<ObjectModel>, Pose), ProblemError> {
        let name = self.task.object().unwrap_or_default();
        let Some(entry) = self.objects.iter().find(|o| o.name == name) else {
            let known: Vec<&str> = self.objects.iter().map(|o| o.name.as_str()).collect();
            return Err(value(
                &format!("object '{name}' of the task"),
                &format!("not among objects: {known:?}"),
            ));
        };
        let network = network.ok_or_else(|| {
            value(
                "grasp model",
                "a grasp task needs one; name its weights file",
            )
        })?;
        let bad = |reason: &dyn std::fmt::Display| {
            value(&format!("object '{name}'"), &reason.to_string())
        };
        let model = match &entry.mesh {
            Some(mesh) => {
                let mesh = load_mesh(folder, mesh, entry.scale)?;
                ObjectModel::from_mesh(name, Arc::new(mesh), network).map_err(|e| bad(&e))?
            }
            None => {
                let stored = self.store(folder)?.load(name, network);
                stored.map_err(|e| bad(&e))?.model
            }
        };
        Ok((Arc::new(model), entry.pose.pose(name)?))
    }

    fn store(&self, folder: &Path) -> Result<ObjectStore, ProblemError> {
        let given = self.object_folder.as_ref().map(|f| folder.join(f));
        let missing = || {
            value(
                "object_folder",
                "not given, and the user has no home folder",
            )
        };
        let folder = given.or_else(ObjectStore::default_folder);
        folder.map(ObjectStore::new).ok_or_else(missing)
    }
}

impl Problem {
    /// Reads a problem file, its robot, its meshes, and the grasp model's weights where the task needs them.
    pub fn load(path: &Path, weights: &Path) -> Result<Self, ProblemError> {
        let text = std::fs::read_to_string(path).map_err(|e| ProblemError::File {
            path: path.into(),
            reason: e.to_string(),
        })?;
        let file = ProblemFile::from_yaml(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let robot = RobotModel::load(
            &folder.join(&file.robot.urdf),
            &folder.join(&file.robot.settings),
        )?;
        let network = match file.task.object() {
            None => None,
            Some(_) => Some(
                GraspNetwork::load(weights).map_err(|e| value("grasp model", &e.to_string()))?,
            ),
        };
        let request = file.request(&robot, folder, network.as_ref())?;
        Ok(Self {
            robot: Arc::new(robot),
            request,
            planner: file.planner,
        })
    }
}
