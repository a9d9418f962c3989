//! The auto-decoder model of SE(3)-DiffusionFields (Urain et al., arXiv 2209.03855) and its training, for comparison.
//!
//! Kept apart from the field that plans: torch only, and nothing else depends on it. Its lengths are eighths of a metre
//! ([`LENGTHS_PER_M`]), its frame is the object's, origin in the middle of the bounding box. docs/TRAINING.md says what is
//! as in the paper, what as in the released code and what differs.

mod batch;
mod code;
mod losses;
mod network;
#[cfg(test)]
mod network_tests;
mod noise;
mod run;
mod sampler;
mod settings;
mod source;
mod surface_samples;
mod validation;
mod weights;

pub use batch::BatchMaker;
pub use code::{fit_codes, FittedCodes};
pub use losses::{distance_loss, score_loss, GradientTarget};
pub use network::{PaperNetwork, PoseForces, FEATURES, QUERY_POINTS};
pub use noise::sigma;
pub use run::PaperTrainer;
pub use sampler::{anneal, AnnealedLangevin, Wrench};
pub use settings::{CodeFit, Denoising, NetworkSize, PaperConfig};
pub use source::PaperGrasps;
pub use surface_samples::SurfaceSamples;
pub use weights::{holds_paper_model, PaperModel};

/// The model's lengths per metre.
pub const LENGTHS_PER_M: f64 = 8.0;
