//! Objects by name in a folder: `NAME.obj`, the mesh in metres, and `NAME.prepared`, what is slow to make from it. Of an object
//! that was seen from one side, `NAME.seen.xyz` holds the points that were seen.
//!
//! The prepared file holds the sampled distances and the grasps that are kept. It names the mesh and the weights it was
//! made with, and is made anew where it is damaged or was made with others. So a mesh may be put into the folder by hand.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nalgebra::{Quaternion, Translation3, UnitQuaternion};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::SafeTensors;
use thiserror::Error;

use super::object::ObjectError;
use super::weights::write_whole;
use super::{Grasp, GraspNetwork, KeptGrasps, ObjectModel, WeightsError};
use crate::geometry::Pose;
use crate::scene::{MeshDistance, MeshError, SeenSide, TriangleMesh, VoxelGrid};

/// Raised by every change of the prepared file.
const FORMAT: &str = "dfp prepared object 5";
const FORMAT_KEY: &str = "format";
const MESH_KEY: &str = "mesh";
const WEIGHTS_KEY: &str = "weights";
/// Ending of the file of points that were seen.
const SEEN: &str = "seen.xyz";

/// Why an object cannot be stored or fetched.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("object name '{name}': letters, digits, '_', '-' and '.' make a name, and it starts with a letter or a digit")]
    Name { name: String },
    #[error("object '{name}' is not in {folder}; there are: {known}")]
    Unknown {
        name: String,
        folder: PathBuf,
        known: String,
    },
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Mesh(#[from] MeshError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Write(#[from] WeightsError),
}

/// A folder of objects.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    folder: PathBuf,
}

/// An object from the store.
pub struct StoredObject {
    pub model: ObjectModel,
    /// Why the prepared file was not used, if it was not.
    pub rebuilt: Option<String>,
}

impl ObjectStore {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// `$XDG_DATA_HOME/diffusion_field_planner/objects`, or that below `~/.local/share`.
    pub fn default_folder() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        let data = set("XDG_DATA_HOME").map(PathBuf::from);
        let data = data.or_else(|| Some(Path::new(&set("HOME")?).join(".local/share")))?;
        Some(data.join("diffusion_field_planner/objects"))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// File of an object with an ending of its own: `obj`, `prepared`, `seen.xyz`, `png`.
    pub fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    /// Names of all objects, sorted; none where there is no folder yet.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| self.io(e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| self.io(e))?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(name) = name.filter(|_| path.extension().is_some_and(|e| e == "obj")) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Writes an object; one of the same name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`], [`StoreError::Write`]
    pub fn save(&self, model: &ObjectModel, network: &GraspNetwork) -> Result<(), StoreError> {
        check_name(&model.name)?;
        std::fs::create_dir_all(&self.folder).map_err(|e| self.io(e))?;
        // The prepared file first: until the mesh is there too it fits no mesh, and is made anew.
        self.prepare(model, network)?;
        let seen_file = self.path(&model.name, SEEN);
        if let Some(seen) = &model.seen {
            write_whole(&seen_file, seen.to_xyz().as_bytes())?;
        }
        write_whole(
            &self.path(&model.name, "obj"),
            model.mesh.to_obj().as_bytes(),
        )?;
        if model.seen.is_none() {
            remove_if_there(&seen_file)?;
        }
        Ok(())
    }

    /// Reads an object and, where its prepared file is of no use, makes it anew.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] and [`StoreError::Name`]; a mesh that is damaged or that no grasp fits.
    pub fn load(&self, name: &str, network: &GraspNetwork) -> Result<StoredObject, StoreError> {
        check_name(name)?;
        let mesh_file = self.path(name, "obj");
        if !mesh_file.exists() {
            let known = self.names()?;
            return Err(StoreError::Unknown {
                name: name.into(),
                folder: self.folder.clone(),
                known: if known.is_empty() {
                    "none".into()
                } else {
                    known.join(", ")
                },
            });
        }
        let mesh = Arc::new(TriangleMesh::load(&mesh_file, 1.0)?);
        let seen_file = self.path(name, SEEN);
        let seen = match seen_file.exists() {
            true => Some(SeenSide::new(&TriangleMesh::load_points(&seen_file, 1.0)?)),
            false => None,
        };
        let (model, rebuilt) = match self.load_prepared(name, &mesh, seen.as_ref(), network) {
            Ok(model) => (model, None),
            Err(reason) => (ObjectModel::from_mesh(name, mesh, network)?, Some(reason)),
        };
        Ok(StoredObject {
            model: model.seen_from_one_side(seen),
            rebuilt,
        })
    }

    /// Removes an object's files; false if it was not there.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`]
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        check_name(name)?;
        let mut known = false;
        for ending in ["obj", "prepared", SEEN, "png"] {
            known |= remove_if_there(&self.path(name, ending))? && ending == "obj";
        }
        Ok(known)
    }

    fn io(&self, source: std::io::Error) -> StoreError {
        StoreError::Io {
            path: self.folder.clone(),
            source,
        }
    }

    fn prepare(&self, model: &ObjectModel, network: &GraspNetwork) -> Result<(), StoreError> {
        let grid = &*model.distance;
        let none = KeptGrasps::default();
        let kept = model.grasps_if_drawn().unwrap_or(&none);
        let (drawn, by_shape) = (table(&kept.drawn), table(&kept.by_shape));
        let values: Vec<u8> = grid.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let place: Vec<u8> = grid
            .origin_m
            .iter()
            .chain([&grid.spacing_m])
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let damaged = |e: safetensors::SafeTensorError| WeightsError::Damaged(e.to_string());
        let view = |dtype, shape: Vec<usize>, data| TensorView::new(dtype, shape, data);
        let tensors = [
            ("distance", view(Dtype::F32, grid.size.to_vec(), &values)),
            ("place", view(Dtype::F64, vec![4], &place)),
            (
                "grasps",
                view(Dtype::F64, vec![kept.drawn.len(), COLUMNS], &drawn),
            ),
            (
                "grasps_by_shape",
                view(Dtype::F64, vec![kept.by_shape.len(), COLUMNS], &by_shape),
            ),
        ];
        let tensors = tensors
            .into_iter()
            .map(|(name, tensor)| Ok((name, tensor?)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(damaged)?;
        let metadata = HashMap::from([
            (FORMAT_KEY.to_owned(), FORMAT.to_owned()),
            (
                MESH_KEY.to_owned(),
                mesh_fingerprint(&model.mesh, model.seen.as_deref()),
            ),
            (WEIGHTS_KEY.to_owned(), network_fingerprint(network)),
        ]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(damaged)?;
        write_whole(&self.path(&model.name, "prepared"), &bytes)?;
        Ok(())
    }

    /// The object from its prepared file, or why that cannot be used.
    fn load_prepared(
        &self,
        name: &str,
        mesh: &Arc<TriangleMesh>,
        seen: Option<&SeenSide>,
        network: &GraspNetwork,
    ) -> Result<ObjectModel, String> {
        let path = self.path(name, "prepared");
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let damaged = |what: &str| format!("{}: damaged: {what}", path.display());
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e.to_string()))?;
        let noted = header.metadata().clone().unwrap_or_default();
        for (key, expected) in [
            (FORMAT_KEY, FORMAT.to_owned()),
            (MESH_KEY, mesh_fingerprint(mesh, seen)),
            (WEIGHTS_KEY, network_fingerprint(network)),
        ] {
            if noted.get(key) != Some(&expected) {
                return Err(format!(
                    "{}: made with another {key} ({}, now {expected})",
                    path.display(),
                    noted.get(key).map_or("none", String::as_str)
                ));
            }
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e.to_string()))?;
        let tensor = |name: &str, dtype| match file.tensor(name) {
            Ok(tensor) if tensor.dtype() == dtype => Ok(tensor),
            _ => Err(damaged(name)),
        };
        let distance = tensor("distance", Dtype::F32)?;
        let place = doubles(tensor("place", Dtype::F64)?.data());
        let (low, high) = mesh.bounds();
        let (origin_m, size) = network.grid_for(low, high);
        let spacing_m = network.settings().spacing_m;
        if distance.shape() != size || place != [origin_m[0], origin_m[1], origin_m[2], spacing_m] {
            return Err(damaged("the distance grid does not fit the mesh"));
        }
        let values: Vec<f32> = distance
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let drawn = doubles(tensor("grasps", Dtype::F64)?.data());
        let by_shape = doubles(tensor("grasps_by_shape", Dtype::F64)?.data());
        let finite = drawn.iter().chain(&by_shape).all(|v| v.is_finite());
        if !finite || values.iter().any(|v| !v.is_finite()) {
            return Err(damaged("a value is not finite"));
        }
        let grasps = |rows: &[f64]| rows.chunks_exact(COLUMNS).map(grasp).collect();
        let kept = OnceLock::new();
        if !drawn.is_empty() {
            // A new cell is empty: this sets it.
            let _ = kept.set(KeptGrasps {
                drawn: grasps(&drawn),
                by_shape: grasps(&by_shape),
            });
        }
        let surface = MeshDistance::new(mesh).map_err(|e| e.to_string())?;
        let grid = VoxelGrid {
            origin_m,
            spacing_m,
            size,
            values,
        };
        let (name, mesh) = (name.to_owned(), mesh.clone());
        Ok(ObjectModel::from_parts(
            name, mesh, surface, grid, kept, network,
        ))
    }
}

/// Rows of numbers as bytes; see [`COLUMNS`].
fn table(grasps: &[Grasp]) -> Vec<u8> {
    let row = |grasp: &Grasp| {
        let (p, q) = (
            grasp.object_from_gripper.translation.vector,
            grasp.object_from_gripper.rotation.coords,
        );
        let (energy, steady) = (f64::from(grasp.energy), f64::from(u8::from(grasp.steady)));
        [
            p.x,
            p.y,
            p.z,
            q.x,
            q.y,
            q.z,
            q.w,
            energy,
            grasp.width_m,
            steady,
        ]
    };
    let numbers = grasps.iter().flat_map(row);
    numbers.flat_map(f64::to_le_bytes).collect()
}

/// Numbers of a grasp: position, quaternion x y z w, energy, width, 1 if it is steady.
const COLUMNS: usize = 10;

fn grasp(row: &[f64]) -> Grasp {
    let quaternion = Quaternion::new(row[6], row[3], row[4], row[5]);
    Grasp {
        object_from_gripper: Pose::from_parts(
            Translation3::new(row[0], row[1], row[2]),
            UnitQuaternion::new_normalize(quaternion),
        ),
        energy: row[7] as f32,
        width_m: row[8],
        steady: row[9] != 0.0,
    }
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    let number = |b: &[u8]| f64::from_le_bytes(std::array::from_fn(|k| b[k]));
    bytes.chunks_exact(8).map(number).collect()
}

/// Whether there was such a file.
fn remove_if_there(path: &Path) -> Result<bool, StoreError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::Io {
            path: path.into(),
            source,
        }),
    }
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let starts_well = name.starts_with(char::is_alphanumeric);
    match starts_well && name.chars().all(is_part) {
        true => Ok(()),
        false => Err(StoreError::Name { name: name.into() }),
    }
}

/// Tells meshes apart; another version of the standard library may give another one, then files are made anew.
fn mesh_fingerprint(mesh: &TriangleMesh, seen: Option<&SeenSide>) -> String {
    let mut hasher = DefaultHasher::new();
    for vertex in &mesh.vertices {
        vertex.map(f64::to_bits).hash(&mut hasher);
    }
    mesh.triangles.hash(&mut hasher);
    for point in seen.map(SeenSide::points_m).into_iter().flatten() {
        point.map(f64::to_bits).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn network_fingerprint(network: &GraspNetwork) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{:?}", network.settings()).hash(&mut hasher);
    for (name, weight) in network.weights() {
        (name, &weight.shape).hash(&mut hasher);
        for value in &weight.values {
            value.to_bits().hash(&mut hasher);
        }
    }
    format!("{:016x}", hasher.finish())
}
