//! What a run of the paper's model is: read from YAML (`model: paper`), written into the weights it makes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::robot::{GripperDescription, GripperGeometry, RobotError};
use crate::training::config::DataConfig;

/// What a configuration is for; the field's own name no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelName {
    #[default]
    Paper,
}

/// How the score is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denoising {
    /// Noise on the six numbers (position, Log of the rotation); four of the five released configurations.
    Projected,
    /// The paper's eq. 5: noise by Exp from the right, its score through Log.
    LieGroup,
}

/// Widths of the network. The default is the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSize {
    /// Hidden units of every layer.
    pub hidden: i64,
    /// Numbers of an object's latent code.
    pub code: i64,
    /// Numbers of the embeddings of point and time; even.
    pub encoding: i64,
    /// Share of hidden units and code numbers that a training step silences.
    pub dropout: f64,
}

/// How an object that was not trained on gets its code.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodeFit {
    /// Points about the object's surface whose distance is measured.
    pub samples: usize,
    /// Of them, in one step.
    pub points_per_step: usize,
    /// The second half of the steps is taken at a tenth of the rate (DeepSDF's released reconstruction).
    pub steps: usize,
    pub learning_rate: f64,
}

/// A run of the paper's model. What is not said otherwise is the released code's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaperConfig {
    pub model: ModelName,
    pub seed: u64,
    pub steps: u64,
    /// The released code takes 2; who reproduced its figures took 16.
    pub objects_per_step: usize,
    pub poses_per_object: usize,
    pub sdf_points_per_object: usize,
    /// Points about each object whose distance is measured before training.
    pub sdf_samples_per_object: usize,
    pub denoising: Denoising,
    /// Weight of the distance loss beside the denoising loss.
    pub sdf_weight: f64,
    pub learning_rate: f64,
    pub code_learning_rate: f64,
    /// Share of the learning rates that is left at the end, falling as a cosine; 1: constant, as released.
    pub learning_rate_end: f64,
    /// Decay of the weights' moving average, which is what is kept; 0: none, as released.
    pub ema_decay: f64,
    /// Threads of torch on the CPU; batches are made on one more.
    pub torch_threads: i32,
    pub log_every_steps: u64,
    /// Steps between samplings of the held-out objects; 0: none.
    pub sampling_every_steps: u64,
    /// Samples drawn on each held-out object then.
    pub samples_per_object: usize,
    pub checkpoint_every_steps: u64,
    pub network: NetworkSize,
    pub code_fit: CodeFit,
    pub data: DataConfig,
    pub gripper_name: String,
    pub gripper: GripperGeometry,
}

impl Default for NetworkSize {
    fn default() -> Self {
        Self {
            hidden: 512,
            code: 128,
            encoding: 128,
            dropout: 0.2,
        }
    }
}

impl Default for CodeFit {
    fn default() -> Self {
        Self {
            samples: 8000,
            points_per_step: 1500,
            steps: 400,
            learning_rate: 5e-3,
        }
    }
}

impl Default for PaperConfig {
    fn default() -> Self {
        Self {
            model: ModelName::Paper,
            seed: 0,
            steps: 20_000,
            objects_per_step: 2,
            poses_per_object: 200,
            sdf_points_per_object: 1500,
            sdf_samples_per_object: 20_000,
            denoising: Denoising::Projected,
            sdf_weight: 1.0,
            learning_rate: 1e-3,
            code_learning_rate: 5e-4,
            learning_rate_end: 1.0,
            ema_decay: 0.0,
            torch_threads: 1,
            log_every_steps: 100,
            sampling_every_steps: 0,
            samples_per_object: 40,
            checkpoint_every_steps: 500,
            network: NetworkSize::default(),
            code_fit: CodeFit::default(),
            data: DataConfig::default(),
            gripper_name: "franka_hand".into(),
            gripper: GripperGeometry::default(),
        }
    }
}

impl NetworkSize {
    /// Numbers that enter the first and the skip layer: code, embedding, point.
    pub fn inputs(&self) -> i64 {
        self.code + self.encoding + 3
    }
}

impl PaperConfig {
    /// Reads a configuration (YAML). `gripper` is a gripper file, relative to the configuration's folder, or its content.
    ///
    /// # Errors
    /// [`RobotError::File`], [`RobotError::Gripper`].
    pub fn load(path: &Path) -> Result<Self, RobotError> {
        let (mut config, gripper): (Self, _) = GripperDescription::load_beside(path)?;
        if let Some(gripper) = gripper {
            config.gripper_name = gripper.name;
            config.gripper = gripper.geometry;
        }
        Ok(config)
    }

    /// Names the first value that no run can have.
    pub fn problem(&self) -> Option<String> {
        let NetworkSize {
            hidden,
            code,
            encoding,
            dropout,
        } = self.network;
        if code < 1 || encoding < 2 || encoding % 2 != 0 {
            return Some(format!(
                "network.code is {code} and network.encoding {encoding}, expected at least 1 and an even number"
            ));
        }
        if hidden <= self.network.inputs() {
            return Some(format!(
                "network.hidden is {hidden}, expected more than the {} inputs that the skip layer takes again",
                self.network.inputs()
            ));
        }
        if !(0.0..1.0).contains(&dropout) {
            return Some(format!(
                "network.dropout is {dropout}, expected a share below 1"
            ));
        }
        let counts = [
            ("objects_per_step", self.objects_per_step),
            ("poses_per_object", self.poses_per_object),
            ("sdf_points_per_object", self.sdf_points_per_object),
            ("sdf_samples_per_object", self.sdf_samples_per_object),
            ("code_fit.samples", self.code_fit.samples),
            ("code_fit.points_per_step", self.code_fit.points_per_step),
            ("log_every_steps", self.log_every_steps as usize),
            (
                "checkpoint_every_steps",
                self.checkpoint_every_steps as usize,
            ),
        ];
        counts
            .iter()
            .find(|(_, count)| *count == 0)
            .map(|(name, _)| format!("{name} is 0"))
    }
}
