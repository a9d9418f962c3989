//! Objects with their grasps, made from seeds.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use rayon::prelude::*;
use safetensors::SafeTensors;

use super::config::DataConfig;
use crate::data::procedural::MAX_RADIUS_M;
use crate::data::{
    labelled_grasps, load_folder, Category, GraspCounts, GraspFile, GraspFileError, ObjectSource,
    ProceduralObject,
};
use crate::field::weights::{tensor_bytes, write_whole, Weight, WeightsError};
use crate::robot::GripperGeometry;
use crate::scene::{SignedDistance, VoxelGrid};

/// One object to train on. Frame: origin in the middle of the bounding box.
#[derive(Clone)]
pub struct TrainingObject {
    pub name: String,
    /// Of a procedural object, or of a file that names one of these.
    pub category: Option<Category>,
    pub solid: Arc<dyn SignedDistance>,
    pub object_from_gripper: Vec<Isometry3<f64>>,
    /// Grasps that surely fail, if the data set has them.
    pub failing: Vec<Isometry3<f64>>,
    /// Fine distances about the surface, where the solid itself is slow (a mesh).
    near: Option<Arc<VoxelGrid>>,
}

/// Spacing of the coarse distances, m.
const FAR_SPACING_M: f64 = 0.009;
/// From this distance on the coarse distances are good to about a millimetre, m.
const FAR_M: f64 = 0.015;
/// Spacing of the fine distances of a mesh, m, and what they reach beyond its bounds.
const NEAR_SPACING_M: f64 = 0.0025;
const NEAR_REACH_M: f64 = 0.02;

impl TrainingObject {
    pub fn new(
        object: ProceduralObject,
        object_from_gripper: Vec<Isometry3<f64>>,
        failing: Vec<Isometry3<f64>>,
    ) -> Self {
        Self {
            name: object.name(),
            category: Some(object.category),
            solid: Arc::new(object.solid),
            object_from_gripper,
            failing,
            near: None,
        }
    }

    /// The object of a grasp file.
    ///
    /// # Errors
    /// [`GraspFileError::Mesh`].
    pub fn from_file(file: GraspFile) -> Result<Self, GraspFileError> {
        let solid = file.distance()?;
        let near = match file.about.source {
            ObjectSource::Procedural { .. } => None,
            ObjectSource::Files { .. } => {
                let (low, high) = solid.bounds();
                let origin = [0, 1, 2].map(|a| low[a] - NEAR_REACH_M);
                let size = [0, 1, 2].map(|a| {
                    ((high[a] - low[a] + 2.0 * NEAR_REACH_M) / NEAR_SPACING_M).ceil() as usize + 1
                });
                let grid = VoxelGrid::from_distance(&*solid, origin, NEAR_SPACING_M, size);
                Some(Arc::new(grid))
            }
        };
        Ok(Self {
            category: file.about.category.parse().ok(),
            name: file.about.name,
            solid,
            object_from_gripper: file.holding,
            failing: file.failing.into_iter().map(|(pose, _)| pose).collect(),
            near,
        })
    }

    /// Coarse distances within `reach_m` of the object's middle, for [`Self::quick_distance`].
    pub fn far_distance(&self, reach_m: f64) -> VoxelGrid {
        let samples = (2.0 * reach_m / FAR_SPACING_M).ceil() as usize + 1;
        let size = [samples.max(2); 3];
        VoxelGrid::from_distance(&*self.solid, [-reach_m; 3], FAR_SPACING_M, size)
    }

    /// The object's distance, several times faster than the solid's own: where the surface is far, it is read from `far`.
    pub fn quick_distance<'a>(&'a self, far: &'a VoxelGrid) -> QuickDistance<'a> {
        let near: &dyn SignedDistance = match &self.near {
            Some(near) => &**near,
            None => &*self.solid,
        };
        QuickDistance { near, far }
    }
}

/// A solid whose far distances are read between coarse samples.
pub struct QuickDistance<'a> {
    near: &'a dyn SignedDistance,
    far: &'a VoxelGrid,
}

impl SignedDistance for QuickDistance<'_> {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        let distance = self.far.distance(point);
        if distance > FAR_M {
            distance
        } else {
            self.near.distance(point)
        }
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        self.near.distance_and_gradient(point)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        self.near.bounds()
    }
}

/// Objects that are trained on, or held out.
#[derive(Clone, Default)]
pub struct Dataset {
    pub objects: Vec<TrainingObject>,
    /// Names of objects that allow too few grasps.
    pub left_out: Vec<String>,
}

/// Mixed into object seeds so that grasps and shapes draw different numbers.
const GRASP_SEED: u64 = 0x6772_6173_7000;

const ORIGIN_KEY: &str = "made_from";
const LEFT_OUT_KEY: &str = "left_out";
/// Ending of the tensors that hold an object's failures.
const FAILING: &str = ".failing";

/// Category and seed of every training object.
fn wanted(config: &DataConfig) -> Vec<(Category, u64)> {
    config
        .objects
        .iter()
        .flat_map(|(&category, &count)| {
            (0..count as u64).map(move |i| (category, config.first_seed + i))
        })
        .collect()
}

/// What the grasps depend on, as text.
fn origin(config: &DataConfig, gripper: &GripperGeometry) -> String {
    format!("{config:?} {gripper:?}")
}

fn pose_numbers(pose: &Isometry3<f64>) -> [f32; 7] {
    let (t, q) = (&pose.translation.vector, pose.rotation.quaternion());
    [t.x, t.y, t.z, q.w, q.i, q.j, q.k].map(|x| x as f32)
}

fn pose_from_numbers(n: &[f32]) -> Isometry3<f64> {
    let n: [f64; 7] = std::array::from_fn(|i| n[i] as f64);
    let rotation = UnitQuaternion::from_quaternion(Quaternion::new(n[3], n[4], n[5], n[6]));
    Isometry3::from_parts(Translation3::new(n[0], n[1], n[2]), rotation)
}

impl Dataset {
    /// The objects that `config` trains on. `made` is called after each, from any thread.
    pub fn training(
        config: &DataConfig,
        gripper: &GripperGeometry,
        made: impl Fn() + Sync,
    ) -> Self {
        Self::generate(wanted(config), config, gripper, made)
    }

    /// The validation objects of `config`, never trained on.
    pub fn held_out(
        config: &DataConfig,
        gripper: &GripperGeometry,
        made: impl Fn() + Sync,
    ) -> Self {
        let wanted = config
            .objects
            .iter()
            .filter(|(_, &count)| count > 0)
            .flat_map(|(&category, _)| {
                (0..config.held_out_per_category as u64).map(move |i| (category, i))
            })
            .map(|(category, i)| (category, config.held_out_first_seed + i))
            .collect();
        Self::generate(wanted, config, gripper, made)
    }

    /// The objects of a folder of grasp files (`dfp data`), and the files that could not be used, such as those for another
    /// gripper than the one of this name. Objects with too few grasps, or larger than the training cube holds in any orientation, are left out.
    ///
    /// # Errors
    /// [`GraspFileError::Io`] where the folder cannot be read at all.
    pub fn from_folder(
        folder: &Path,
        least_grasps: usize,
        gripper_name: &str,
    ) -> Result<(Self, Vec<GraspFileError>), GraspFileError> {
        let (files, mut bad) = load_folder(folder)?;
        let mut data = Self::default();
        for file in files {
            if file.about.gripper.name != gripper_name {
                bad.push(GraspFileError::Gripper {
                    name: file.about.name,
                    found: file.about.gripper.name,
                    expected: gripper_name.into(),
                });
                continue;
            }
            if file.holding.len() < least_grasps.max(1) || file.radius_m() > MAX_RADIUS_M {
                data.left_out.push(file.about.name);
                continue;
            }
            match TrainingObject::from_file(file) {
                Ok(object) => data.objects.push(object),
                Err(error) => bad.push(error),
            }
        }
        Ok((data, bad))
    }

    /// Drops the objects of these categories. Held-out objects stay: they show what was not learned.
    pub fn leave_out(&mut self, categories: &[Category]) {
        self.objects
            .retain(|object| !categories.iter().any(|&c| object.category == Some(c)));
    }

    /// Writes the grasps; the objects follow from their seeds.
    ///
    /// # Errors
    /// [`WeightsError::Io`].
    pub fn save(
        &self,
        path: &Path,
        config: &DataConfig,
        gripper: &GripperGeometry,
    ) -> Result<(), WeightsError> {
        let rows = |poses: &[Isometry3<f64>]| Weight {
            shape: vec![poses.len(), 7],
            values: poses.iter().flat_map(pose_numbers).collect(),
        };
        let mut tensors = BTreeMap::new();
        for object in &self.objects {
            tensors.insert(object.name.clone(), rows(&object.object_from_gripper));
            if !object.failing.is_empty() {
                tensors.insert(format!("{}{FAILING}", object.name), rows(&object.failing));
            }
        }
        let metadata = HashMap::from([
            (ORIGIN_KEY.to_string(), origin(config, gripper)),
            (LEFT_OUT_KEY.to_string(), self.left_out.join(" ")),
        ]);
        write_whole(path, &tensor_bytes(&tensors, metadata)?)
    }

    /// The grasps of a file that [`Dataset::save`] wrote for the same configuration, else none.
    pub fn load(path: &Path, config: &DataConfig, gripper: &GripperGeometry) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
        let metadata = header.metadata().as_ref()?;
        if metadata.get(ORIGIN_KEY)? != &origin(config, gripper) {
            return None;
        }
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let poses = |name: &str| -> Option<Vec<Isometry3<f64>>> {
            let view = file.tensor(name).ok()?;
            let numbers: Vec<f32> = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            Some(numbers.chunks_exact(7).map(pose_from_numbers).collect())
        };
        let mut objects = Vec::new();
        for (category, seed) in wanted(config) {
            let object = ProceduralObject::new(category, seed);
            let name = object.name();
            let Some(holding) = poses(&name) else {
                continue;
            };
            let failing = poses(&format!("{name}{FAILING}")).unwrap_or_default();
            objects.push(TrainingObject::new(object, holding, failing));
        }
        let left_out = metadata
            .get(LEFT_OUT_KEY)?
            .split_whitespace()
            .map(String::from)
            .collect();
        Some(Self { objects, left_out })
    }

    fn generate(
        wanted: Vec<(Category, u64)>,
        config: &DataConfig,
        gripper: &GripperGeometry,
        made: impl Fn() + Sync,
    ) -> Self {
        let all: Vec<TrainingObject> = wanted
            .into_par_iter()
            .map(|(category, seed)| {
                let object = ProceduralObject::new(category, seed);
                let grasps = labelled_grasps(
                    &object.solid,
                    &object.mesh(config.mesh_spacing_m),
                    gripper,
                    &config.antipodal,
                    GraspCounts {
                        holding: config.grasps_per_object,
                        failing: config.failing_per_object,
                    },
                    GRASP_SEED ^ seed,
                );
                made();
                let failing = grasps.failing.into_iter().map(|(pose, _)| pose).collect();
                TrainingObject::new(object, grasps.holding, failing)
            })
            .collect();
        let (objects, few): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|o| o.object_from_gripper.len() >= config.least_grasps);
        Self {
            objects,
            left_out: few.into_iter().map(|o| o.name).collect(),
        }
    }
}
