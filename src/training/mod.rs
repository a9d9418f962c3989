//! Training of the grasp field: denoising score matching on R^3 x SO(3) together with a distance loss.

mod ahead;
mod batch;
pub mod checkpoint;
pub mod config;
pub mod dataset;
mod losses;
mod noise_kernel;
mod optimizer;
pub mod paper;
pub mod query;
mod record;
pub mod trainer;
pub mod validation;

pub use config::{Objective, TrainingConfig};
pub use dataset::Dataset;
pub use trainer::{device, Progress, StopReason, Trainer, TrainingError};
pub use validation::SampledScores;
