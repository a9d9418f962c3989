//! The training loop: one straight function over batches, with validation, checkpoints and resume.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tch::{no_grad, Device, Kind};
use thiserror::Error;

use super::ahead::BatchesAhead;
use super::batch::{Batch, BatchMaker};
use super::checkpoint::{self, RunState};
use super::config::{Objective, TrainingConfig};
use super::dataset::Dataset;
use super::losses::{backward, pose_errors};
use super::optimizer::{update_average, Optimizer, BETAS};
use super::record::Record;
use super::validation::{sample_held_out, SampledScores};
use crate::field::network::TorchNetwork;
use crate::field::weights::CLASSIFIER_KEY;
use crate::field::{GraspNetwork, WeightsError};

/// Why a run cannot start or go on.
#[derive(Debug, Error)]
pub enum TrainingError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("training: no object to train on ({left_out} left out for too few grasps)")]
    NoObjects { left_out: usize },
    #[error("training: the checkpoint {path} belongs to another configuration; start anew or restore it")]
    OtherConfig { path: PathBuf },
    #[error(
        "training: the weights to start from have other field settings than the configuration"
    )]
    OtherSettings,
    #[error("training: {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("training: a classifier needs data with failures: data.failing_per_object, or a folder of grasp files")]
    NoFailures,
    #[error("training: no GPU that torch can use")]
    NoGpu,
    #[error("training: a thread ended early")]
    Thread,
}

/// What a run tells after each step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub step: u64,
    /// Done share of the run, 0..1.
    pub share: f64,
    /// Mean squared error of the scaled gradient in this step; a field of zero gets a little less than 1. Of a classifier: cross-entropy.
    pub score_loss: f64,
    /// Mean absolute error of the predicted distance in this step, m.
    pub sdf_error_m: f64,
    /// Score loss of the averaged weights on held-out objects, when last measured.
    pub held_out: Option<f64>,
    /// What sampling from the averaged weights on held-out objects gave, when last tried.
    pub sampled: Option<SampledScores>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    Finished,
    /// The observer broke off; the checkpoint holds the last step.
    Interrupted,
}

/// Validation batches; their seeds are fixed, so that figures compare along a run.
const VALIDATION_BATCHES: u64 = 4;
/// Final learning rate as a share of the first.
const LEARNING_RATE_FLOOR: f64 = 0.003;

/// The device for tensors.
///
/// # Errors
/// [`TrainingError::NoGpu`].
pub fn device(cuda: bool) -> Result<Device, TrainingError> {
    match cuda {
        true if !tch::Cuda::is_available() => Err(TrainingError::NoGpu),
        true => Ok(Device::Cuda(0)),
        false => Ok(Device::Cpu),
    }
}

/// Whether a weight is a matrix or a convolution between learned features, which orthogonalised steps suit; the first layer of the
/// noise level and the one row of the energy are not.
fn is_inner_matrix(name: &str) -> bool {
    let ends = ["decoder.level.weight", "decoder.layer3.weight"];
    name.ends_with(".weight") && !ends.contains(&name)
}

/// Whether the processor multiplies bfloat16, at twice the rate of single precision. Without it convolutions by it would be slower.
fn multiplies_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// A run: weights, their average, the optimizer's state.
pub struct Trainer {
    config: TrainingConfig,
    device: Device,
    network: TorchNetwork,
    average: TorchNetwork,
    optimizer: Optimizer,
    step: u64,
    trained_s: f64,
    folder: PathBuf,
    record: Record,
}

impl Trainer {
    /// Sets a run up in `folder`: from its checkpoint if there is one, else from the weights `start`, else untrained.
    ///
    /// # Errors
    /// [`TrainingError`]: settings that no network can have, a checkpoint or weights of other settings.
    pub fn new(
        config: TrainingConfig,
        folder: &Path,
        device: Device,
        start: Option<GraspNetwork>,
    ) -> Result<Self, TrainingError> {
        let io = |source| TrainingError::Io {
            path: folder.into(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        let start = match start {
            Some(start) => {
                let field = &config.field;
                let start = start.with_gripper(&field.gripper_name, &field.gripper)?;
                if start.settings() != field {
                    return Err(TrainingError::OtherSettings);
                }
                start
            }
            None => GraspNetwork::untrained(config.field.clone(), config.seed)?,
        };
        let mut network = TorchNetwork::new(&start, device, true);
        let mut average = TorchNetwork::new(&start, device, false);
        if config.bfloat16 && device == Device::Cpu && multiplies_bfloat16() {
            network.convolution_kind = Kind::BFloat16;
        }
        let mut optimizer = Optimizer::new(&network.weights, BETAS, is_inner_matrix);
        let (mut step, mut trained_s) = (0, 0.0);
        let path = folder.join("checkpoint.safetensors");
        if path.exists() {
            let state: RunState<TrainingConfig> = checkpoint::load(
                &path,
                &mut network.weights,
                &mut average.weights,
                &mut optimizer,
            )?;
            if state.config != config {
                return Err(TrainingError::OtherConfig { path });
            }
            (step, trained_s) = (state.step, state.trained_s);
        }
        Ok(Self {
            config,
            device,
            network,
            average,
            optimizer,
            step,
            trained_s,
            record: Record::new(folder),
            folder: folder.into(),
        })
    }

    /// Steps done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Trains to the end, or for `limit` over all sittings if given: then the learning rate falls with
    /// time instead of with steps, and the result depends on the machine's speed.
    ///
    /// # Errors
    /// [`TrainingError`].
    pub fn run(
        &mut self,
        data: &Dataset,
        held_out: &Dataset,
        limit: Option<Duration>,
        mut observe: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<StopReason, TrainingError> {
        if data.objects.is_empty() {
            return Err(TrainingError::NoObjects {
                left_out: data.left_out.len(),
            });
        }
        let has_failures = |data: &Dataset| data.objects.iter().any(|o| !o.failing.is_empty());
        if self.config.objective == Objective::Classifier && !has_failures(data) {
            return Err(TrainingError::NoFailures);
        }
        let parts = self.parts();
        tch::set_num_threads(self.config.torch_threads / parts as i32);
        let maker = BatchMaker::new(&self.config);
        let count = self.config.objects_per_step;
        let validation: Vec<Batch> = match held_out.objects.is_empty() {
            true => Vec::new(),
            false => {
                let objects = maker.ready(&held_out.objects);
                let batches = |i| maker.make(&objects, count, i, 1);
                let batches = (0..VALIDATION_BATCHES).flat_map(batches);
                batches.map(|b| b.to_device(self.device)).collect()
            }
        };
        let objects = maker.ready(&data.objects);
        let (first, seed) = (self.step, self.config.seed);
        let make = |step: u64| {
            let seed = seed.wrapping_mul(1 << 40).wrapping_add(step + 1000);
            maker.make(&objects, count, seed, parts)
        };
        std::thread::scope(|scope| {
            let mut batches = BatchesAhead::new(scope, first, self.config.batch_threads, &make);
            self.steps(
                limit,
                &validation,
                held_out,
                || batches.next(),
                &mut observe,
            )
        })
    }

    fn steps(
        &mut self,
        limit: Option<Duration>,
        validation: &[Batch],
        held_out_objects: &Dataset,
        mut next: impl FnMut() -> Result<Vec<Batch>, TrainingError>,
        observe: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<StopReason, TrainingError> {
        let started = Instant::now();
        let before_s = self.trained_s;
        let (mut held_out, mut sampled) = (None, None);
        let mut sums = [0.0; 2];
        let mut summed = 0;
        loop {
            self.trained_s = before_s + started.elapsed().as_secs_f64();
            let share = match limit {
                Some(limit) => self.trained_s / limit.as_secs_f64(),
                None => self.step as f64 / self.config.steps as f64,
            };
            if share >= 1.0 {
                self.save()?;
                return Ok(StopReason::Finished);
            }
            let [score_loss, sdf_error_m] = self.train_step(next()?, share)?;
            self.step += 1;
            sums[0] += score_loss;
            sums[1] += sdf_error_m;
            summed += 1;
            if self.step.is_multiple_of(self.config.validation_every_steps)
                && !validation.is_empty()
            {
                let by_level = self.validate(validation);
                held_out = Some(match self.config.objective {
                    Objective::Diffusion => by_level.iter().sum::<f64>() / by_level.len() as f64,
                    Objective::Classifier => by_level[0],
                });
                self.log(sums.map(|s| s / summed as f64), &by_level)?;
                (sums, summed) = ([0.0; 2], 0);
            }
            if self.step.is_multiple_of(self.config.sampling_every_steps) {
                let network = self.averaged_network()?;
                let count = self.config.samples_per_object;
                sampled = sample_held_out(&network, held_out_objects, count);
                if let Some(scores) = &sampled {
                    self.note("samples.csv", SampledScores::COLUMNS, &scores.row())?;
                }
            }
            if self.step.is_multiple_of(self.config.checkpoint_every_steps) {
                self.save()?;
            }
            let progress = Progress {
                step: self.step,
                share,
                score_loss,
                sdf_error_m,
                held_out,
                sampled,
            };
            if observe(&progress).is_break() {
                self.save()?;
                return Ok(StopReason::Interrupted);
            }
        }
    }

    /// Parts of a batch that are differentiated side by side: torch leaves half of a second core idle within one graph.
    fn parts(&self) -> usize {
        match self.device {
            Device::Cpu => (self.config.torch_threads.max(1) as usize)
                .min(self.config.objects_per_step)
                .max(1),
            _ => 1,
        }
    }

    /// One step by the gradients of all parts of a batch; score loss and error of the distance, m.
    fn train_step(&mut self, batch: Vec<Batch>, share: f64) -> Result<[f64; 2], TrainingError> {
        let config = &self.config;
        let total = (config.objects_per_step * config.poses_per_object) as f64;
        let device = self.device;
        let mut parts = batch.into_iter();
        let own = parts.next();
        let others: Vec<(TorchNetwork, Batch)> =
            parts.map(|part| (self.network.replica(), part)).collect();
        let [score_loss, sdf_loss] = std::thread::scope(|scope| {
            let differentiate = |network: &TorchNetwork, part: Batch| {
                let weight = part.levels.len() as f64 / total;
                backward(network, &part.to_device(device), config, weight)
            };
            let threads: Vec<_> = others
                .into_iter()
                .map(|(replica, part)| {
                    scope.spawn(move || (differentiate(&replica, part), replica))
                })
                .collect();
            let mut losses = own.map_or([0.0; 2], |part| differentiate(&self.network, part));
            for thread in threads {
                let (loss, replica) = thread.join().map_err(|_| TrainingError::Thread)?;
                self.network.add_gradients(&replica);
                losses = std::array::from_fn(|i| losses[i] + loss[i]);
            }
            Ok::<_, TrainingError>(losses)
        })?;
        let warmup = ((self.step + 1) as f64 / config.warmup_steps.max(1) as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        let rate = config.learning_rate * warmup * (cosine + LEARNING_RATE_FLOOR);
        self.optimizer
            .step(&mut self.network.weights, |_| rate, config.gradient_clip);
        // The average forgets the start faster than its decay alone would let it.
        let decay = config
            .ema_decay
            .min((1.0 + self.step as f64) / (10.0 + self.step as f64));
        update_average(&mut self.average.weights, &self.network.weights, decay);
        let unit = crate::field::settings::SDF_UNIT_M as f64;
        Ok([score_loss, sdf_loss * unit])
    }

    /// Loss of the averaged weights by quarter of the levels. A classifier's poses are all in the first.
    fn validate(&self, batches: &[Batch]) -> [f64; 4] {
        let (mut sums, mut counts) = ([0.0f64; 4], [0.0f64; 4]);
        for batch in batches {
            let features = no_grad(|| self.average.encode(&batch.distances));
            let errors = pose_errors(
                &self.average,
                &features,
                batch,
                self.config.objective,
                false,
            );
            let errors = crate::field::network::host_copy(&errors).values;
            for (error, level) in errors.iter().zip(&batch.levels) {
                let quarter = ((level * 4.0) as usize).min(3);
                sums[quarter] += *error as f64;
                counts[quarter] += 1.0;
            }
        }
        std::array::from_fn(|i| sums[i] / f64::max(counts[i], 1.0))
    }

    /// Appends a row to `curves.csv`.
    fn log(
        &self,
        [score_loss, sdf_error_m]: [f64; 2],
        by_level: &[f64; 4],
    ) -> Result<(), TrainingError> {
        let [a, b, c, d] = by_level;
        let row = format!("{score_loss:.5},{sdf_error_m:.6},{a:.5},{b:.5},{c:.5},{d:.5}");
        let columns = "score_loss,sdf_error_m,held_out_q1,held_out_q2,held_out_q3,held_out_q4";
        self.note("curves.csv", columns, &row)
    }

    fn note(&self, file: &str, columns: &str, row: &str) -> Result<(), TrainingError> {
        self.record
            .append(file, self.step, self.trained_s, columns, row)
    }

    /// Writes the checkpoint and the averaged weights.
    fn save(&self) -> Result<(), TrainingError> {
        let state = RunState {
            config: self.config.clone(),
            step: self.step,
            optimizer_steps: self.optimizer.steps,
            trained_s: self.trained_s,
        };
        let path = self.folder.join("checkpoint.safetensors");
        checkpoint::save(
            &path,
            &state,
            &self.network.weights,
            &self.average.weights,
            &self.optimizer,
        )?;
        self.averaged_network()?
            .save(self.folder.join("grasp_field.safetensors"))?;
        self.record.draw()
    }

    /// The averaged weights with the run's configuration in their notes.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] after a run that diverged.
    pub fn averaged_network(&self) -> Result<GraspNetwork, WeightsError> {
        let mut notes = BTreeMap::new();
        let config = serde_json::to_string(&self.config).map_err(|e| WeightsError::Metadata {
            key: "training",
            problem: e.to_string(),
        })?;
        notes.insert("training".to_string(), config);
        if self.config.objective == Objective::Classifier {
            notes.insert(CLASSIFIER_KEY.to_string(), "cross-entropy".to_string());
        }
        notes.insert("training_steps".to_string(), self.step.to_string());
        self.average.to_network(notes)
    }
}
