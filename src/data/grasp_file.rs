//! One object with its labelled grasps in a file; the format stands in docs/DATA.md.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::procedural::{Category, ProceduralObject};
use crate::field::Failure;
use crate::geometry::Pose;
use crate::robot::GripperDescription;
use crate::scene::{MeshDistance, MeshError, SignedDistance, TriangleMesh};

/// Version of the format; another one is refused.
pub const FORMAT_VERSION: u32 = 1;
/// Ending of a grasp file's name.
pub const ENDING: &str = "safetensors";
/// The one key of the header's metadata: several would be written in any order, and equal objects give equal bytes.
const ABOUT_KEY: &str = "grasp_file";

/// Why a grasp file cannot be used.
#[derive(Debug, Error)]
pub enum GraspFileError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: damaged, or no grasp file: {problem}")]
    Damaged { path: PathBuf, problem: String },
    #[error("{path}: format version {found}, this program reads version {FORMAT_VERSION}")]
    Version { path: PathBuf, found: String },
    #[error("object {name}: its grasps are for the gripper '{found}', expected '{expected}'")]
    Gripper {
        name: String,
        found: String,
        expected: String,
    },
    #[error("object {name}: {source}")]
    Mesh { name: String, source: MeshError },
}

/// Where an object comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectSource {
    /// Made from a seed; its formula can be had again.
    Procedural { category: Category, seed: u64 },
    /// Read from files; the mesh is all that is known of its shape.
    Files {
        grasps: String,
        mesh: String,
        scale: f64,
        /// Place of the object's origin in the scaled mesh file, m.
        mesh_from_object_m: [f64; 3],
    },
}

/// What a file says of its object beside the arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    pub name: String,
    /// Name of a [`Category`], or of a data set's own class.
    pub category: String,
    pub source: ObjectSource,
    /// Candidates looked at, and how many of them hold; 0 where a data set does not say.
    pub candidates: usize,
    pub candidates_holding: usize,
    /// Settings behind the grasps; a file made from others is made anew.
    pub made_from: String,
    /// The gripper that the grasps are for; earlier files were all made for the Franka hand.
    #[serde(default)]
    pub gripper: GripperDescription,
}

/// One object with its grasps. Object frame: origin in the middle of the bounding box.
#[derive(Debug, Clone, PartialEq)]
pub struct GraspFile {
    pub about: About,
    /// Metres.
    pub mesh: TriangleMesh,
    /// object_from_gripper of grasps that hold.
    pub holding: Vec<Pose>,
    /// object_from_gripper of grasps that fail, and why.
    pub failing: Vec<(Pose, Failure)>,
}

/// (x, y, z, qw, qx, qy, qz) in single precision.
fn pose_numbers(pose: &Pose) -> [f32; 7] {
    let (t, q) = (&pose.translation.vector, pose.rotation.quaternion());
    [t.x, t.y, t.z, q.w, q.i, q.j, q.k].map(|x| x as f32)
}

fn pose_from_numbers(n: &[f32]) -> Option<Pose> {
    let n: [f32; 7] = n.try_into().ok()?;
    let [x, y, z, qw, qx, qy, qz] = n.map(f64::from);
    let quaternion = Quaternion::new(qw, qx, qy, qz);
    let sound = n.iter().all(|v| v.is_finite()) && (quaternion.norm() - 1.0).abs() < 1e-3;
    let rotation = UnitQuaternion::from_quaternion(quaternion);
    sound.then(|| Isometry3::from_parts(Translation3::new(x, y, z), rotation))
}

impl GraspFile {
    /// Writes the file beside its place and then renames it, so that half a file never counts.
    ///
    /// # Errors
    /// [`GraspFileError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), GraspFileError> {
        let damaged = |problem: String| GraspFileError::Damaged {
            path: path.into(),
            problem,
        };
        let bytes = self.to_bytes().map_err(damaged)?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, bytes)
            .and_then(|()| std::fs::rename(&partial, path))
            .map_err(|source| GraspFileError::Io {
                path: path.into(),
                source,
            })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let float = |values: &mut dyn Iterator<Item = f32>| -> Vec<u8> {
            values.flat_map(f32::to_le_bytes).collect()
        };
        let failing = self.failing.iter().flat_map(|(pose, _)| pose_numbers(pose));
        let arrays = [
            (
                "vertices",
                Dtype::F32,
                vec![self.mesh.vertices.len(), 3],
                float(&mut self.mesh.vertices.iter().flatten().map(|&x| x as f32)),
            ),
            (
                "triangles",
                Dtype::U32,
                vec![self.mesh.triangles.len(), 3],
                self.mesh
                    .triangles
                    .iter()
                    .flatten()
                    .flat_map(|i| i.to_le_bytes())
                    .collect(),
            ),
            (
                "holding",
                Dtype::F32,
                vec![self.holding.len(), 7],
                float(&mut self.holding.iter().flat_map(pose_numbers)),
            ),
            (
                "failing",
                Dtype::F32,
                vec![self.failing.len(), 7],
                float(&mut failing.into_iter()),
            ),
            (
                "failure",
                Dtype::U8,
                vec![self.failing.len()],
                self.failing.iter().map(|(_, why)| *why as u8).collect(),
            ),
        ];
        let views = arrays
            .iter()
            .map(|(name, kind, shape, data)| {
                Ok((name, TensorView::new(*kind, shape.clone(), data)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| e.to_string())?;
        let about = serde_json::to_string(&self.about).map_err(|e| e.to_string())?;
        let metadata = HashMap::from([(ABOUT_KEY.to_string(), about)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`GraspFileError`]: unreadable, truncated, of another version, or with arrays that do not fit together.
    pub fn load(path: &Path) -> Result<Self, GraspFileError> {
        let bytes = std::fs::read(path).map_err(|source| GraspFileError::Io {
            path: path.into(),
            source,
        })?;
        let damaged = |problem: String| GraspFileError::Damaged {
            path: path.into(),
            problem,
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let about = header.metadata().as_ref().and_then(|m| m.get(ABOUT_KEY));
        let about: serde_json::Value = about
            .ok_or_else(|| damaged("no description".into()))
            .and_then(|text| serde_json::from_str(text).map_err(|e| damaged(e.to_string())))?;
        if about["version"] != FORMAT_VERSION {
            return Err(GraspFileError::Version {
                path: path.into(),
                found: about["version"].to_string(),
            });
        }
        let about = serde_json::from_value(about).map_err(|e| damaged(e.to_string()))?;
        Self::from_parts(about, &bytes).map_err(damaged)
    }

    fn from_parts(about: About, bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let rows = |name: &str, kind: Dtype, width: usize| {
            let view = file.tensor(name).map_err(|e| e.to_string())?;
            if view.dtype() != kind || view.shape().get(1).copied().unwrap_or(1) != width {
                return Err(format!(
                    "array '{name}' is {:?} {:?}",
                    view.dtype(),
                    view.shape()
                ));
            }
            Ok(view.data().to_vec())
        };
        let float = |bytes: Vec<u8>| -> Vec<f32> {
            let words = bytes.chunks_exact(4);
            words
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect()
        };
        let poses = |name: &str| -> Result<Vec<Pose>, String> {
            let numbers = float(rows(name, Dtype::F32, 7)?);
            let poses: Option<Vec<Pose>> = numbers.chunks_exact(7).map(pose_from_numbers).collect();
            poses.ok_or_else(|| format!("array '{name}' holds something that is no pose"))
        };
        let vertices = float(rows("vertices", Dtype::F32, 3)?);
        let triangles = rows("triangles", Dtype::U32, 3)?;
        let index = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let mesh = TriangleMesh {
            vertices: vertices
                .chunks_exact(3)
                .map(|v| [v[0], v[1], v[2]].map(f64::from))
                .collect(),
            triangles: triangles
                .chunks_exact(12)
                .map(|t| [index(&t[..4]), index(&t[4..8]), index(&t[8..])])
                .collect(),
        };
        mesh.validate().map_err(|e| e.to_string())?;
        let failing = poses("failing")?;
        let reasons = rows("failure", Dtype::U8, 1)?;
        if reasons.len() != failing.len() {
            return Err("as many reasons as failures expected".into());
        }
        let failing = failing
            .into_iter()
            .zip(reasons)
            .map(|(pose, why)| Some((pose, Failure::from_number(why)?)))
            .collect::<Option<_>>()
            .ok_or("unknown reason of failure")?;
        Ok(Self {
            holding: poses("holding")?,
            about,
            mesh,
            failing,
        })
    }

    /// Signed distance of the object: its formula, or the search on its mesh where there is no formula.
    ///
    /// # Errors
    /// [`GraspFileError::Mesh`].
    pub fn distance(&self) -> Result<Arc<dyn SignedDistance>, GraspFileError> {
        match self.about.source {
            ObjectSource::Procedural { category, seed } => {
                Ok(Arc::new(ProceduralObject::new(category, seed).solid))
            }
            ObjectSource::Files { .. } => match MeshDistance::new(&self.mesh) {
                Ok(distance) => Ok(Arc::new(distance)),
                Err(source) => Err(GraspFileError::Mesh {
                    name: self.about.name.clone(),
                    source,
                }),
            },
        }
    }

    /// Distance from the origin to the farthest vertex, m.
    pub fn radius_m(&self) -> f64 {
        let squared = |v: &[f64; 3]| v.iter().map(|x| x * x).sum::<f64>();
        let all = self.mesh.vertices.iter().map(squared);
        all.fold(0.0, f64::max).sqrt()
    }
}

/// The grasp files of a folder in the order of their names, and those that could not be read.
///
/// # Errors
/// [`GraspFileError::Io`] where the folder cannot be read at all.
pub fn load_folder(folder: &Path) -> Result<(Vec<GraspFile>, Vec<GraspFileError>), GraspFileError> {
    let (mut files, mut bad) = (Vec::new(), Vec::new());
    for path in grasp_files(folder)? {
        match GraspFile::load(&path) {
            Ok(file) => files.push(file),
            Err(error) => bad.push(error),
        }
    }
    Ok((files, bad))
}

/// Paths of the grasp files of a folder, sorted.
///
/// # Errors
/// [`GraspFileError::Io`].
pub fn grasp_files(folder: &Path) -> Result<Vec<PathBuf>, GraspFileError> {
    let io = |source| GraspFileError::Io {
        path: folder.into(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|e| e == ENDING) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
