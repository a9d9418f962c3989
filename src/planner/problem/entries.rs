//! The keys of a problem file, and what they mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nalgebra::{Quaternion, Translation3, UnitQuaternion};
use serde::Deserialize;

use super::cloud_entry::CloudEntry;
use super::constraint_entries::ConstraintEntry;
use super::ProblemError;
use crate::geometry::Pose;
use crate::planner::request::PlanRequest;
use crate::planner::settings::PlannerSettings;
use crate::robot::RobotModel;
use crate::scene::{MeshDistance, SceneObject, Shape, TriangleMesh};

/// A problem file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemFile {
    pub robot: RobotFiles,
    pub start: Start,
    /// Of a start that moves; none: at rest.
    #[serde(default)]
    pub start_velocity: Option<Start>,
    #[serde(default)]
    pub start_acceleration: Option<Start>,
    /// Things with a mesh. The one that the task names is grasped, the others are obstacles.
    #[serde(default)]
    pub objects: Vec<ObjectEntry>,
    /// Where objects without a mesh file are looked up; the user's objects if not given.
    #[serde(default)]
    pub object_folder: Option<PathBuf>,
    #[serde(default)]
    pub obstacles: Vec<ObstacleEntry>,
    pub task: Task,
    /// What the whole motion must keep to.
    #[serde(default)]
    pub constraints: Vec<ConstraintEntry>,
    /// Pairs of links or objects that may touch.
    #[serde(default)]
    pub allowed_collisions: Vec<(String, String)>,
    #[serde(default)]
    pub settings: RequestSettings,
    #[serde(default)]
    pub planner: PlannerSettings,
}

/// Files relative to the problem file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobotFiles {
    pub urdf: PathBuf,
    pub settings: PathBuf,
}

/// Joint positions, in the robot's order or by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Start {
    Ordered(Vec<f64>),
    ByName(BTreeMap<String, f64>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoseEntry {
    pub position_m: [f64; 3],
    /// x, y, z, w; or give `rpy_rad`, fixed axes. Neither: no rotation.
    #[serde(default)]
    pub quaternion_xyzw: Option<[f64; 4]>,
    #[serde(default)]
    pub rpy_rad: Option<[f64; 3]>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectEntry {
    pub name: String,
    /// None: the object of this name in the object store, see `dfp object`.
    #[serde(default)]
    pub mesh: Option<PathBuf>,
    #[serde(default = "one")]
    pub scale: f64,
    pub pose: PoseEntry,
}

/// One shape each: exactly one of box, cylinder, sphere, capsule, plane, mesh, point_cloud.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObstacleEntry {
    pub name: String,
    pub pose: PoseEntry,
    /// Distance added all around [m].
    #[serde(default)]
    pub margin_m: f64,
    /// Full lengths along x, y, z.
    #[serde(default, rename = "box")]
    pub box_size_m: Option<[f64; 3]>,
    #[serde(default)]
    pub cylinder: Option<RoundEntry>,
    #[serde(default)]
    pub sphere: Option<SphereEntry>,
    #[serde(default)]
    pub capsule: Option<RoundEntry>,
    /// z = 0 of the pose, solid below.
    #[serde(default)]
    pub plane: Option<bool>,
    #[serde(default)]
    pub mesh: Option<MeshEntry>,
    #[serde(default)]
    pub point_cloud: Option<CloudEntry>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundEntry {
    pub radius_m: f64,
    pub length_m: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SphereEntry {
    pub radius_m: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshEntry {
    pub file: PathBuf,
    #[serde(default = "one")]
    pub scale: f64,
}

/// Exactly one of grasp, grasps, pose, joints; `place` goes with the first two.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Task {
    /// Name of an object: any good grasp of it.
    pub grasp: Option<String>,
    pub grasps: Option<GraspsEntry>,
    /// Of the tool link.
    pub pose: Option<PoseEntry>,
    pub joints: Option<Start>,
    /// Where the grasped object's frame is put; not given: it stays in the hand.
    pub place: Option<PoseEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraspsEntry {
    pub object: String,
    /// Gripper poses in the object's frame: +z approach, x closing.
    pub object_from_gripper: Vec<PoseEntry>,
}

/// Settings of the request; a missing one keeps its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestSettings {
    pub approach_distance_m: Option<f64>,
    pub lift_distance_m: Option<f64>,
    pub retreat_distance_m: Option<f64>,
    pub velocity_scaling: Option<f64>,
    pub acceleration_scaling: Option<f64>,
    pub collision_margin_m: Option<f64>,
    pub time_limit_s: Option<f64>,
    pub num_particles: Option<usize>,
    pub seed: Option<u64>,
}

pub(super) fn one() -> f64 {
    1.0
}

impl Task {
    /// Name of the object to be grasped.
    pub(super) fn object(&self) -> Option<&str> {
        self.grasp
            .as_deref()
            .or(self.grasps.as_ref().map(|g| g.object.as_str()))
    }
}

impl Start {
    pub(super) fn values(&self, robot: &RobotModel, what: &str) -> Result<Vec<f64>, ProblemError> {
        let names = robot.kinematics.joint_names();
        match self {
            Start::Ordered(q) => Ok(q.clone()),
            Start::ByName(q) => {
                if let Some(unknown) = q.keys().find(|k| !names.contains(k)) {
                    let reason = format!(
                        "the robot has no joint '{unknown}'; it has: {}",
                        names.join(", ")
                    );
                    return Err(value(what, &reason));
                }
                let missing = |name: &String| value(what, &format!("joint '{name}' is missing"));
                names
                    .iter()
                    .map(|name| q.get(name).copied().ok_or_else(|| missing(name)))
                    .collect()
            }
        }
    }
}

impl PoseEntry {
    pub(super) fn pose(&self, what: &str) -> Result<Pose, ProblemError> {
        const TOLERANCE: f64 = 1e-3;
        let rotation = match (self.quaternion_xyzw, self.rpy_rad) {
            (Some(_), Some(_)) => {
                return Err(value(what, "give quaternion_xyzw or rpy_rad, not both"))
            }
            (None, None) => UnitQuaternion::identity(),
            (None, Some([r, p, y])) => UnitQuaternion::from_euler_angles(r, p, y),
            (Some([x, y, z, w]), None) => {
                let quaternion = Quaternion::new(w, x, y, z);
                if (quaternion.norm() - 1.0).abs() > TOLERANCE {
                    let reason = format!(
                        "the quaternion's length is {}, it must be 1 within 1e-3",
                        quaternion.norm()
                    );
                    return Err(value(what, &reason));
                }
                UnitQuaternion::from_quaternion(quaternion)
            }
        };
        Ok(Pose::from_parts(
            Translation3::from(self.position_m),
            rotation,
        ))
    }
}

impl ObstacleEntry {
    /// The obstacle, with files relative to `folder`.
    ///
    /// # Errors
    /// No or several shapes, a bad pose, mesh or cloud.
    pub fn scene_object(&self, folder: &Path) -> Result<SceneObject, ProblemError> {
        self.scene_object_without(folder, &[])
    }

    /// The same; a point cloud leaves out the points of known bodies, each with its pose.
    pub(super) fn scene_object_without(
        &self,
        folder: &Path,
        known: &[(Arc<MeshDistance>, Pose)],
    ) -> Result<SceneObject, ProblemError> {
        let mut shapes = Vec::new();
        if let Some(size) = self.box_size_m {
            shapes.push(Shape::Box {
                half_extents_m: size.map(|s| 0.5 * s),
            });
        }
        if let Some(c) = self.cylinder {
            shapes.push(Shape::Cylinder {
                radius_m: c.radius_m,
                length_m: c.length_m,
            });
        }
        if let Some(s) = self.sphere {
            shapes.push(Shape::Sphere {
                radius_m: s.radius_m,
            });
        }
        if let Some(c) = self.capsule {
            shapes.push(Shape::Capsule {
                radius_m: c.radius_m,
                length_m: c.length_m,
            });
        }
        if self.plane == Some(true) {
            shapes.push(Shape::Plane);
        }
        if let Some(mesh) = &self.mesh {
            shapes.push(mesh_shape(folder, &mesh.file, mesh.scale)?);
        }
        let what = format!("obstacle '{}'", self.name);
        let pose = self.pose.pose(&what)?;
        if let Some(cloud) = &self.point_cloud {
            shapes.push(cloud.shape(&what, folder, &pose, known)?);
        }
        match (shapes.pop(), shapes.is_empty()) {
            (Some(shape), true) => Ok(SceneObject {
                margin_m: self.margin_m,
                ..SceneObject::new(self.name.clone(), shape, pose)
            }),
            _ => Err(value(
                &what,
                "give exactly one of box, cylinder, sphere, capsule, plane, mesh, point_cloud",
            )),
        }
    }
}

impl RequestSettings {
    pub(super) fn apply(&self, request: &mut PlanRequest) -> Result<(), ProblemError> {
        let set = |target: &mut f64, value: Option<f64>| *target = value.unwrap_or(*target);
        set(&mut request.approach_distance_m, self.approach_distance_m);
        set(&mut request.lift_distance_m, self.lift_distance_m);
        set(&mut request.retreat_distance_m, self.retreat_distance_m);
        set(&mut request.velocity_scaling, self.velocity_scaling);
        set(&mut request.acceleration_scaling, self.acceleration_scaling);
        set(&mut request.collision_margin_m, self.collision_margin_m);
        request.num_particles = self.num_particles.unwrap_or(request.num_particles);
        request.seed = self.seed.unwrap_or(request.seed);
        if let Some(limit) = self.time_limit_s {
            request.time_limit = Duration::try_from_secs_f64(limit).map_err(|_| {
                value(
                    "time_limit_s",
                    &format!("{limit} s, it must be positive and finite"),
                )
            })?;
        }
        Ok(())
    }
}

pub(super) fn load_mesh(
    folder: &Path,
    file: &Path,
    scale: f64,
) -> Result<TriangleMesh, ProblemError> {
    let path = folder.join(file);
    TriangleMesh::load(&path, scale)
        .map_err(|e| value(&format!("mesh '{}'", path.display()), &e.to_string()))
}

pub(super) fn mesh_shape(folder: &Path, file: &Path, scale: f64) -> Result<Shape, ProblemError> {
    let distance = MeshDistance::new(&load_mesh(folder, file, scale)?)
        .map_err(|e| value(&format!("mesh '{}'", file.display()), &e.to_string()))?;
    Ok(Shape::Mesh(Arc::new(distance)))
}

pub(super) fn value(what: &str, reason: &str) -> ProblemError {
    ProblemError::Value {
        what: what.into(),
        reason: reason.into(),
    }
}
