//! What a training run is: read from YAML, written into the weights it makes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::{AntipodalSettings, Category};
use crate::field::FieldSettings;
use crate::robot::{GripperDescription, RobotError};

/// What the network learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The score of grasps at every noise level: the field.
    #[default]
    Diffusion,
    /// Whether a grasp holds, by cross-entropy at the finest level: what the field is compared with (arXiv 2209.03855,
    /// section IV-A). Its energy is -log of the odds.
    Classifier,
}

/// A training run. Equal configurations give equal weights on one machine (unless stopped by the clock).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    pub seed: u64,
    pub objective: Objective,
    pub steps: u64,
    /// Objects in one step, each with a random orientation of its own.
    pub objects_per_step: usize,
    /// Noisy poses of each object in one step.
    pub poses_per_object: usize,
    /// Points of each object in one step at which the distance loss is taken.
    pub sdf_points_per_object: usize,
    /// Weight of the distance loss beside the score loss.
    pub sdf_weight: f64,
    /// Share of poses whose level is drawn from the middle levels instead of from all.
    pub middle_share: f64,
    /// Rotation noise that bounds the middle levels, rad.
    pub middle_sigma_rad: [f32; 2],
    pub learning_rate: f64,
    pub warmup_steps: u64,
    /// Largest norm of the gradient over all weights.
    pub gradient_clip: f64,
    pub ema_decay: f64,
    /// Convolutions of the encoder by bfloat16 on a processor that multiplies it (AVX512-BF16); elsewhere they stay single precision.
    pub bfloat16: bool,
    /// Threads of torch on the CPU; a step's objects are dealt out to them.
    pub torch_threads: i32,
    /// Threads that make batches, each with the help of all cores; more than one for a GPU that would wait for them.
    pub batch_threads: NonZeroUsize,
    pub validation_every_steps: u64,
    /// Steps between samplings of the held-out objects; 0: none.
    pub sampling_every_steps: u64,
    /// Samples drawn on each held-out object then.
    pub samples_per_object: usize,
    pub checkpoint_every_steps: u64,
    pub data: DataConfig,
    pub field: FieldSettings,
}

/// The objects and grasps to train on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Objects by category. Seeds count up from `first_seed`.
    pub objects: BTreeMap<Category, usize>,
    /// Seeds below are left to validation and evaluation.
    pub first_seed: u64,
    /// Validation objects per category; their seeds count up from `held_out_first_seed`.
    pub held_out_per_category: usize,
    pub held_out_first_seed: u64,
    pub grasps_per_object: usize,
    /// Labelled failures beside them, for a classifier.
    pub failing_per_object: usize,
    /// Objects with fewer grasps are left out.
    pub least_grasps: usize,
    /// Quads of the mesh from which contacts are drawn, m.
    pub mesh_spacing_m: f64,
    pub antipodal: AntipodalSettings,
}

impl TrainingConfig {
    /// Reads a configuration (YAML). Beside the fields of this type it may have `gripper`: a gripper file, relative to the
    /// configuration's folder, or its content.
    ///
    /// # Errors
    /// [`RobotError::File`], [`RobotError::Gripper`].
    pub fn load(path: &Path) -> Result<Self, RobotError> {
        let (mut config, gripper): (Self, _) = GripperDescription::load_beside(path)?;
        if let Some(gripper) = gripper {
            config.field.gripper_name = gripper.name;
            config.field.gripper = gripper.geometry;
        }
        Ok(config)
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            objective: Objective::default(),
            steps: 8000,
            objects_per_step: 6,
            poses_per_object: 160,
            sdf_points_per_object: 256,
            sdf_weight: 0.1,
            middle_share: 0.5,
            middle_sigma_rad: [0.05, 0.5],
            learning_rate: 4e-3,
            warmup_steps: 60,
            gradient_clip: 1.0,
            ema_decay: 0.998,
            bfloat16: true,
            torch_threads: 1,
            batch_threads: NonZeroUsize::MIN,
            validation_every_steps: 200,
            sampling_every_steps: 500,
            samples_per_object: 40,
            checkpoint_every_steps: 200,
            data: DataConfig::default(),
            field: FieldSettings::default(),
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            objects: Category::ALL
                .into_iter()
                .map(|category| (category, 40))
                .collect(),
            first_seed: 1000,
            held_out_per_category: 2,
            held_out_first_seed: 500,
            grasps_per_object: 400,
            failing_per_object: 0,
            least_grasps: 60,
            mesh_spacing_m: 0.003,
            antipodal: AntipodalSettings::default(),
        }
    }
}
