//! A training run of the paper's model, in the form of the field's own: checkpoints, exact resume, curves.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tch::{Device, Kind};

use super::batch::{Batch, BatchMaker};
use super::losses::{by_coordinates, distance_loss, score_loss};
use super::network::PaperNetwork;
use super::settings::PaperConfig;
use super::validation::sample_held_out;
use super::weights::PaperModel;
use super::LENGTHS_PER_M;
use crate::field::network::host_copy;
use crate::training::ahead::BatchesAhead;
use crate::training::checkpoint::{self, RunState};
use crate::training::dataset::Dataset;
use crate::training::optimizer::{update_average, Optimizer, RELEASED_BETAS};
use crate::training::record::Record;
use crate::training::{device, Progress, SampledScores, StopReason, TrainingError};

/// File of the trained weights in a run's folder.
const WEIGHTS_FILE: &str = "paper_model.safetensors";

/// A run: weights, their average, the optimizer's state.
pub struct PaperTrainer {
    config: PaperConfig,
    device: Device,
    network: PaperNetwork,
    average: PaperNetwork,
    optimizer: Optimizer,
    step: u64,
    trained_s: f64,
    folder: PathBuf,
    record: Record,
}

impl PaperTrainer {
    /// Sets a run up in `folder` for `objects` training objects: from its checkpoint if there is one, else untrained.
    ///
    /// # Errors
    /// [`TrainingError`]: settings that no model can have, a checkpoint of other settings, no GPU though one is asked for.
    pub fn new(
        config: PaperConfig,
        objects: usize,
        folder: &Path,
        cuda: bool,
    ) -> Result<Self, TrainingError> {
        let device = device(cuda)?;
        std::fs::create_dir_all(folder).map_err(|source| TrainingError::Io {
            path: folder.into(),
            source,
        })?;
        let start = PaperModel::untrained(config.clone(), objects)?;
        let mut network = start.to_network(device, true);
        let mut average = start.to_network(device, false);
        let mut optimizer = Optimizer::new(&network.weights, RELEASED_BETAS, |_| false);
        let (mut step, mut trained_s) = (0, 0.0);
        let path = folder.join("checkpoint.safetensors");
        if path.exists() {
            let state: RunState<PaperConfig> = checkpoint::load(
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

    /// The file that the trained weights go to.
    pub fn weights_path(&self) -> PathBuf {
        self.folder.join(WEIGHTS_FILE)
    }

    /// Trains to the end, or for `limit` over all sittings if given.
    ///
    /// # Errors
    /// [`TrainingError`].
    pub fn run(
        &mut self,
        data: &BatchMaker,
        held_out: &Dataset,
        limit: Option<Duration>,
        mut observe: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<StopReason, TrainingError> {
        tch::set_num_threads(self.config.torch_threads);
        let (first, seed) = (self.step, self.config.seed);
        let make = |step: u64| data.make(step_seed(seed, step));
        std::thread::scope(|scope| {
            let mut batches = BatchesAhead::new(scope, first, NonZeroUsize::MIN, &make);
            self.steps(limit, held_out, || batches.next(), &mut observe)
        })
    }

    fn steps(
        &mut self,
        limit: Option<Duration>,
        held_out: &Dataset,
        mut next: impl FnMut() -> Result<Batch, TrainingError>,
        observe: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<StopReason, TrainingError> {
        let started = Instant::now();
        let before_s = self.trained_s;
        let mut sampled = None;
        let mut sums = [0.0; 3];
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
            let [score_loss, sdf_error_m] = self.train_step(&next()?.to_device(self.device), share);
            self.step += 1;
            for (sum, value) in sums.iter_mut().zip([score_loss, sdf_error_m, 1.0]) {
                *sum += value;
            }
            if self.step.is_multiple_of(self.config.log_every_steps) {
                let row = format!("{:.5},{:.6}", sums[0] / sums[2], sums[1] / sums[2]);
                self.note("curves.csv", "score_loss,sdf_error_m", &row)?;
                sums = [0.0; 3];
            }
            let every = self.config.sampling_every_steps;
            if every > 0 && self.step.is_multiple_of(every) {
                sampled = sample_held_out(&self.average, &self.config, held_out);
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
                held_out: None,
                sampled,
            };
            if observe(&progress).is_break() {
                self.save()?;
                return Ok(StopReason::Interrupted);
            }
        }
    }

    /// One step. Returns the denoising loss as a share of what an energy without slope has, and the distance loss in m.
    fn train_step(&mut self, batch: &Batch, share: f64) -> [f64; 2] {
        let config = &self.config;
        // Dropout draws from torch's own generator: seeded by step, so that a resumed run drops the same units.
        tch::manual_seed(step_seed(config.seed, self.step) as i64);
        let codes = self.network.codes_of(&batch.objects);
        let pose_codes = codes.repeat_interleave_self_int(
            batch.levels.size()[0] / batch.objects.size()[0],
            0,
            None,
        );
        let forces = self.network.forces(
            &batch.rotations,
            &batch.positions,
            &pose_codes,
            &batch.levels,
            true,
        );
        let gradients = by_coordinates(&forces, &batch.jacobians);
        let denoising = score_loss(&gradients, &batch.targets, config.denoising);
        let flat = score_loss(
            &batch.targets.zeros_like(),
            &batch.targets,
            config.denoising,
        );
        let predicted = self
            .network
            .distances(&batch.points, &codes, &batch.point_levels, true);
        let distance = distance_loss(&predicted, &batch.distances);
        (&denoising + &distance * config.sdf_weight).backward();
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        let left = config.learning_rate_end + (1.0 - config.learning_rate_end) * cosine;
        let rate = |name: &str| match name {
            "codes" => left * config.code_learning_rate,
            _ => left * config.learning_rate,
        };
        self.optimizer
            .step(&mut self.network.weights, rate, f64::INFINITY);
        // The average forgets the start faster than its decay alone would let it.
        let decay = config
            .ema_decay
            .min((1.0 + self.step as f64) / (10.0 + self.step as f64));
        update_average(&mut self.average.weights, &self.network.weights, decay);
        let shares = tch::Tensor::stack(&[&denoising / flat, distance], 0).to_kind(Kind::Double);
        [
            shares.double_value(&[0]),
            shares.double_value(&[1]) / LENGTHS_PER_M,
        ]
    }

    fn note(&self, file: &str, columns: &str, row: &str) -> Result<(), TrainingError> {
        self.record
            .append(file, self.step, self.trained_s, columns, row)
    }

    /// The averaged weights with what made them.
    ///
    /// # Errors
    /// [`TrainingError::Weights`] after a run that diverged.
    pub fn model(&self) -> Result<PaperModel, TrainingError> {
        let weights = self
            .average
            .weights
            .iter()
            .map(|(name, tensor)| (name.clone(), host_copy(tensor)))
            .collect();
        let notes = BTreeMap::from([
            ("training_steps".to_string(), self.step.to_string()),
            ("trained_s".to_string(), format!("{:.0}", self.trained_s)),
        ]);
        Ok(PaperModel::from_weights(
            self.config.clone(),
            weights,
            notes,
        )?)
    }

    /// Writes the checkpoint, the averaged weights and the picture of the curves.
    fn save(&self) -> Result<(), TrainingError> {
        let state = RunState {
            config: self.config.clone(),
            step: self.step,
            optimizer_steps: self.optimizer.steps,
            trained_s: self.trained_s,
        };
        checkpoint::save(
            &self.folder.join("checkpoint.safetensors"),
            &state,
            &self.network.weights,
            &self.average.weights,
            &self.optimizer,
        )?;
        self.model()?.save(&self.weights_path())?;
        self.record.draw()
    }
}

fn step_seed(seed: u64, step: u64) -> u64 {
    seed.wrapping_mul(1 << 40).wrapping_add(step)
}
