//! What the weights of a run would give: grasps sampled on held-out objects while training.

use nalgebra::Vector3;
use tch::Tensor;

use super::code::fit_codes;
use super::network::PaperNetwork;
use super::sampler::{anneal, AnnealedLangevin};
use super::settings::PaperConfig;
use super::source::{evaluate, in_metres};
use super::surface_samples::SurfaceSamples;
use crate::data::{Judge, Likeness};
use crate::geometry::Pose;
use crate::training::dataset::Dataset;
use crate::training::SampledScores;

/// Fits codes to all held-out objects at once and samples `config.samples_per_object` grasps on each, unfiltered.
/// `None` without objects.
pub fn sample_held_out(
    network: &PaperNetwork,
    config: &PaperConfig,
    held_out: &Dataset,
) -> Option<SampledScores> {
    let count = held_out.objects.len();
    if count == 0 {
        return None;
    }
    let network = network.folded();
    let fit = &config.code_fit;
    let samples: Vec<SurfaceSamples> = held_out
        .objects
        .iter()
        .map(|object| SurfaceSamples::new(&*object.solid, &Vector3::zeros(), fit.samples, 0))
        .collect();
    let fitted = fit_codes(&network, &samples, fit, 0);
    let each = config.samples_per_object;
    let owners: Vec<i64> = (0..count * each)
        .map(|i| (i / each.max(1)) as i64)
        .collect();
    let codes = fitted
        .codes
        .index_select(0, &Tensor::from_slice(&owners).to_device(network.device()));
    let numbers: Vec<u64> = (0..owners.len() as u64).collect();
    let poses: Vec<Pose> = anneal(&AnnealedLangevin::default(), &numbers, 0, |poses, level| {
        evaluate(&network, &codes, poses, level)
    })
    .iter()
    .map(|(pose, _)| in_metres(pose, &Vector3::zeros()))
    .collect();
    let mut sum = SampledScores {
        success: 0.0,
        collision: 0.0,
        emd: 0.0,
        emd_floor: 0.0,
        sdf_error_m: fitted.error_m,
    };
    let share = 1.0 / count as f64;
    for (object, poses) in held_out.objects.iter().zip(poses.chunks(each.max(1))) {
        let tally = Judge::new(&*object.solid, &config.gripper).tally(poses);
        sum.success += share * tally.success();
        sum.collision += share * tally.collision();
        let likeness = Likeness::new(poses, &object.object_from_gripper)?;
        sum.emd += share * likeness.emd[0];
        sum.emd_floor += share * likeness.emd_floor[0];
    }
    Some(sum)
}
