//! Reads ACRONYM (Eppner et al. 2021): grasps in HDF5 files, meshes beside them.
//!
//! Frames: ACRONYM gives the gripper in the frame of the scaled mesh, with +z approach, x closing and the origin at the
//! origin of panda_hand. That is this crate's gripper frame, so poses are taken over as they are. (The URDF's panda_hand
//! closes along y, a quarter turn about z from it; `tool_from_gripper` of the robot settings holds that turn.) Meshes of
//! ACRONYM lie anywhere; object frames here have their origin in the middle of the bounding box, so mesh and grasps are
//! shifted by the same vector, which the file keeps.

use std::path::{Path, PathBuf};

use hdf5_pure::File;
use nalgebra::{Isometry3, Matrix3, Rotation3, Translation3, UnitQuaternion, Vector3};
use rayon::prelude::*;
use thiserror::Error;

use super::generate::{Made, Shard};
use super::grasp_file::{About, GraspFile, GraspFileError, ObjectSource, ENDING, FORMAT_VERSION};
use crate::field::Failure;
use crate::geometry::Pose;
use crate::robot::GripperDescription;
use crate::scene::{MeshError, TriangleMesh};

const TRANSFORMS: &str = "grasps/transforms";
const SUCCESS: &str = "grasps/qualities/flex/object_in_gripper";
const MESH_FILE: &str = "object/file";
const SCALE: &str = "object/scale";
/// Rotations may differ from orthonormal by this much, as float files do.
const ORTHONORMAL: f64 = 1e-3;

/// Why an object of ACRONYM cannot be read.
#[derive(Debug, Error)]
pub enum AcronymError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {dataset}: {problem}")]
    Hdf5 {
        path: PathBuf,
        dataset: &'static str,
        problem: String,
    },
    #[error("{path}: its mesh '{mesh}' is not below {folder}")]
    MissingMesh {
        path: PathBuf,
        mesh: String,
        folder: PathBuf,
    },
    #[error("{path}: {source}")]
    Mesh { path: PathBuf, source: MeshError },
    #[error(transparent)]
    Write(#[from] GraspFileError),
}

/// What became of one file.
pub type AcronymMade = Result<Made, AcronymError>;

/// Numbers of an HDF5 file, as they lie there.
struct RawGrasps {
    /// mesh_from_gripper, scaled mesh.
    poses: Vec<Pose>,
    success: Vec<bool>,
    mesh_file: String,
    scale: f64,
}

/// Reads one object.
///
/// # Errors
/// [`AcronymError`]: unreadable or truncated file, missing or misshapen dataset, pose that is no rigid motion, missing or
/// bad mesh.
pub fn read_acronym(path: &Path, meshes: &Path) -> Result<GraspFile, AcronymError> {
    let raw = read_hdf5(path)?;
    let mesh_path = find_mesh(meshes, &raw.mesh_file).ok_or_else(|| AcronymError::MissingMesh {
        path: path.into(),
        mesh: raw.mesh_file.clone(),
        folder: meshes.into(),
    })?;
    let mut mesh =
        TriangleMesh::load(&mesh_path, raw.scale).map_err(|source| AcronymError::Mesh {
            path: path.into(),
            source,
        })?;
    let (low, high) = mesh.bounds();
    let middle = [0, 1, 2].map(|axis| 0.5 * (low[axis] + high[axis]));
    for vertex in &mut mesh.vertices {
        for axis in 0..3 {
            vertex[axis] -= middle[axis];
        }
    }
    let object_from_mesh = Translation3::from(-Vector3::from(middle));
    let (mut holding, mut failing) = (Vec::new(), Vec::new());
    for (mesh_from_gripper, success) in raw.poses.iter().zip(&raw.success) {
        let object_from_gripper = object_from_mesh * mesh_from_gripper;
        if *success {
            holding.push(object_from_gripper);
        } else {
            failing.push((object_from_gripper, Failure::Drops));
        }
    }
    Ok(GraspFile {
        about: About {
            version: FORMAT_VERSION,
            name: stem(path),
            category: class_of(&raw.mesh_file, path),
            source: ObjectSource::Files {
                grasps: path.display().to_string(),
                mesh: raw.mesh_file,
                scale: raw.scale,
                mesh_from_object_m: middle,
            },
            candidates: raw.poses.len(),
            candidates_holding: holding.len(),
            made_from: "ACRONYM".into(),
            gripper: GripperDescription::default(),
        },
        mesh,
        holding,
        failing,
    })
}

/// Reads the shard's part of all HDF5 files of a folder into files of another; finished ones are left alone.
///
/// `observe` hears of each file, from any thread. Returns the number of files that fall to the shard.
///
/// # Errors
/// [`AcronymError::Io`] where a folder cannot be used. What is wrong with one file reaches `observe` alone.
pub fn read_acronym_folder(
    grasps: &Path,
    meshes: &Path,
    out: &Path,
    shard: Shard,
    observe: impl Fn(&Path, AcronymMade) + Sync,
) -> Result<usize, AcronymError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| AcronymError::Io { path, source }
    };
    std::fs::create_dir_all(out).map_err(io(out))?;
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(grasps).map_err(io(grasps))? {
        let path = entry.map_err(io(grasps))?.path();
        if path.extension().is_some_and(|e| e == "h5" || e == "hdf5") {
            paths.push(path);
        }
    }
    paths.sort();
    let mine: Vec<_> = paths
        .iter()
        .enumerate()
        .filter(|(place, _)| shard.contains(*place))
        .map(|(_, path)| path)
        .collect();
    mine.par_iter()
        .with_max_len(1)
        .for_each(|path| observe(path, convert(path, meshes, out)));
    Ok(mine.len())
}

fn convert(path: &Path, meshes: &Path, out: &Path) -> AcronymMade {
    let target = out.join(format!("{}.{ENDING}", stem(path)));
    if GraspFile::load(&target).is_ok() {
        return Ok(Made::Kept);
    }
    read_acronym(path, meshes)?.save(&target)?;
    Ok(Made::New)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map_or_else(|| "object".into(), |s| s.to_string_lossy().into_owned())
}

fn read_hdf5(path: &Path) -> Result<RawGrasps, AcronymError> {
    let bytes = std::fs::read(path).map_err(|source| AcronymError::Io {
        path: path.into(),
        source,
    })?;
    let bad = |dataset: &'static str| {
        move |problem: String| AcronymError::Hdf5 {
            path: path.into(),
            dataset,
            problem,
        }
    };
    let file = File::from_bytes(bytes).map_err(|e| bad("file")(e.to_string()))?;
    let numbers = |dataset: &'static str| -> Result<(Vec<u64>, Vec<f64>), AcronymError> {
        let read = || -> Result<_, hdf5_pure::Error> {
            let found = file.dataset(dataset)?;
            Ok((found.shape()?, found.read_f64()?))
        };
        read().map_err(|e| bad(dataset)(e.to_string()))
    };
    let (shape, values) = numbers(TRANSFORMS)?;
    if shape.len() != 3 || shape[1..] != [4, 4] {
        return Err(bad(TRANSFORMS)(format!(
            "shape {shape:?}, expected (N, 4, 4)"
        )));
    }
    let poses = values
        .chunks_exact(16)
        .enumerate()
        .map(|(i, m)| {
            rigid(m).ok_or_else(|| bad(TRANSFORMS)(format!("grasp {i} is no rigid motion")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let success = file
        .dataset(SUCCESS)
        .and_then(|found| found.read_i64())
        .map_err(|e| bad(SUCCESS)(e.to_string()))?;
    if success.len() != poses.len() {
        let problem = format!("{} values for {} grasps", success.len(), poses.len());
        return Err(bad(SUCCESS)(problem));
    }
    let (_, scale) = numbers(SCALE)?;
    let mesh_file = file
        .dataset(MESH_FILE)
        .and_then(|found| found.read_string())
        .map_err(|e| bad(MESH_FILE)(e.to_string()))?;
    Ok(RawGrasps {
        poses,
        success: success.into_iter().map(|s| s != 0).collect(),
        mesh_file: mesh_file
            .into_iter()
            .next()
            .ok_or_else(|| bad(MESH_FILE)("empty".into()))?,
        scale: *scale.first().ok_or_else(|| bad(SCALE)("empty".into()))?,
    })
}

/// A row-major 4 x 4 matrix as a pose; none where it is no rigid motion.
fn rigid(m: &[f64]) -> Option<Pose> {
    let rotation = Matrix3::from_fn(|row, column| m[4 * row + column]);
    let off = (rotation * rotation.transpose() - Matrix3::identity()).amax();
    let last = (m[12].abs() + m[13].abs() + m[14].abs() + (m[15] - 1.0).abs()) < ORTHONORMAL;
    let finite = m.iter().all(|x| x.is_finite());
    if !(finite && last && off < ORTHONORMAL && rotation.determinant() > 0.0) {
        return None;
    }
    let turn = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(rotation));
    Some(Isometry3::from_parts(
        Translation3::new(m[3], m[7], m[11]),
        UnitQuaternion::new_normalize(turn.into_inner()),
    ))
}

/// The mesh below `folder`: as named, without the leading `meshes/`, or by its bare name.
fn find_mesh(folder: &Path, named: &str) -> Option<PathBuf> {
    let inside = named.strip_prefix("meshes/").unwrap_or(named);
    let bare = Path::new(named).file_name()?;
    [folder.join(named), folder.join(inside), folder.join(bare)]
        .into_iter()
        .find(|path| path.is_file())
}

/// ACRONYM's class: the mesh's folder (`meshes/Mug/5f4e.obj`), else the file's name up to the first `_`.
fn class_of(mesh_file: &str, path: &Path) -> String {
    let folder = Path::new(mesh_file)
        .parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != "meshes");
    let of_name = || stem(path).split('_').next().unwrap_or("object").to_string();
    folder.unwrap_or_else(of_name).to_lowercase()
}
