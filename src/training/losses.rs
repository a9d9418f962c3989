//! What the field is trained by: denoising score matching (or a classifier's cross-entropy) and the distance loss.

use tch::{Kind, Tensor};

use super::batch::Batch;
use super::config::{Objective, TrainingConfig};
use crate::field::network::TorchNetwork;

/// Adds `weight` times the gradient of a part's loss to those of the weights. The same share of its score loss and its distance
/// loss (in units of 2 cm).
pub(super) fn backward(
    network: &TorchNetwork,
    part: &Batch,
    config: &TrainingConfig,
    weight: f64,
) -> [f64; 2] {
    let features = network.encode(&part.distances);
    let errors = pose_errors(network, &features, part, config.objective, true);
    let score_loss = errors.mean(Kind::Float) * weight;
    let sdf_loss = predicted_distance(&features, part)
        .subtract(&part.sdf_targets)
        .abs()
        .mean(Kind::Float)
        * weight;
    (&score_loss + &sdf_loss * config.sdf_weight).backward();
    [score_loss.double_value(&[]), sdf_loss.double_value(&[])]
}

/// Loss of each pose `[B]`: of a field the mean squared error of the scaled gradient, of a classifier the cross-entropy.
pub(super) fn pose_errors(
    network: &TorchNetwork,
    features: &Tensor,
    batch: &Batch,
    objective: Objective,
    trainable: bool,
) -> Tensor {
    let (query, inputs, sigma) = (&batch.query, &batch.level_inputs, &batch.sigma);
    match objective {
        Objective::Diffusion => {
            let scored = network.score(features, query, inputs, sigma, trainable);
            (scored.scaled_gradient - &batch.targets)
                .square()
                .mean_dim(1, false, Kind::Float)
        }
        Objective::Classifier => {
            // The odds of a grasp fall with the energy; times sigma, that is the decoder's own output.
            let logits = -network.energy(features, query, inputs, sigma) * sigma;
            let targets = batch.targets.squeeze_dim(1);
            // log(1 + exp(-x)) for those that hold, log(1 + exp(x)) for those that fail.
            let signed = logits * (targets * -2.0 + 1.0);
            signed.softplus()
        }
    }
}

/// Feature 0 at the distance loss's points, in units of 2 cm.
fn predicted_distance(features: &Tensor, batch: &Batch) -> Tensor {
    let corners = features
        .narrow(1, 0, 1)
        .index_select(0, &batch.sdf_corners)
        .reshape([-1, 8]);
    (corners * &batch.sdf_weights).sum_dim_intlist(1, false, Kind::Float)
}
