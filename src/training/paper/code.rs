//! A code for an object that was not trained on: the one whose distances fit best (arXiv 2209.03855, as in DeepSDF).

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tch::{no_grad, Kind, Tensor};

use super::losses::distance_loss;
use super::network::{shortened, PaperNetwork};
use super::settings::CodeFit;
use super::surface_samples::SurfaceSamples;
use super::LENGTHS_PER_M;
use crate::training::optimizer::{Optimizer, RELEASED_BETAS};

/// Codes of several objects and how well they tell their shapes.
pub struct FittedCodes {
    /// `[O, code]`.
    pub codes: Tensor,
    /// Mean error of the distance over all fitted points, m.
    pub error_m: f64,
}

/// Points whose distance is asked at once when the fit is measured.
const MEASURED_POINTS: usize = 2000;

/// Fits a code to each object's samples, starting from zero. The network stays as it is; give a folded one for speed.
pub fn fit_codes(
    network: &PaperNetwork,
    objects: &[SurfaceSamples],
    settings: &CodeFit,
    seed: u64,
) -> FittedCodes {
    let count = objects.len() as i64;
    let start = Tensor::zeros([count, network.size.code], (Kind::Float, network.device()));
    let mut codes = BTreeMap::from([("codes".to_string(), start.set_requires_grad(true))]);
    let mut optimizer = Optimizer::new(&codes, RELEASED_BETAS, |_| false);
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let predicted = |codes: &Tensor, points: usize, rng: &mut Pcg64Mcg| {
        let (mut places, mut distances, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for samples in objects {
            for _ in 0..points {
                samples.pick(rng, &mut places, &mut distances);
                levels.push(rng.random_range(0.0..1.0f32));
            }
        }
        let tensor = |values: &[f32], shape: &[i64]| {
            Tensor::from_slice(values)
                .reshape(shape)
                .to_device(network.device())
        };
        let places = tensor(&places, &[count, -1, 3]);
        let levels = tensor(&levels, &[count, -1]);
        let distances = tensor(&distances, &[count, -1]);
        distance_loss(
            &network.distances(&places, codes, &levels, false),
            &distances,
        )
    };
    for step in 0..settings.steps {
        // The mean over objects times their number: each code is fitted as if alone.
        let loss = predicted(&codes["codes"], settings.points_per_step, &mut rng) * count;
        loss.backward();
        let share = if 2 * step < settings.steps { 1.0 } else { 0.1 };
        optimizer.step(
            &mut codes,
            |_| share * settings.learning_rate,
            f64::INFINITY,
        );
        no_grad(|| {
            for code in codes.values_mut() {
                let short = shortened(code);
                code.copy_(&short);
            }
        });
    }
    let codes = codes["codes"].detach();
    let error = no_grad(|| predicted(&codes, MEASURED_POINTS, &mut rng)).double_value(&[]);
    FittedCodes {
        codes,
        error_m: error / LENGTHS_PER_M,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::paper::{NetworkSize, PaperConfig, PaperModel};
    use tch::Device;

    #[test]
    fn the_code_behind_some_distances_is_found_again_by_each_object_alone() {
        tch::set_num_threads(1);
        let size = NetworkSize {
            hidden: 48,
            code: 6,
            encoding: 8,
            dropout: 0.2,
        };
        let config = PaperConfig {
            network: size,
            ..PaperConfig::default()
        };
        let model = PaperModel::untrained(config, 2).unwrap();
        let mut network = model.to_network(Device::Cpu, false);
        // An untrained network hardly listens to its code; a louder one, deaf to time, has something to find.
        no_grad(|| {
            for (name, weight) in network.weights.iter_mut() {
                if name.ends_with(".length") {
                    let _ = weight.g_mul_scalar_(2.45);
                }
                if name.starts_with("time.") {
                    let _ = weight.zero_();
                }
            }
        });
        let network = network.folded();
        let count = 400;
        let (places, levels) = no_grad(|| {
            let place = |i: i64| ((i * 7919) % 1009) as f32 / 504.5 - 1.0;
            let places: Vec<f32> = (0..3 * count).map(place).collect();
            let places = Tensor::from_slice(&places).reshape([1, count, 3]);
            (
                places,
                Tensor::full([1, count], 0.5, (Kind::Float, Device::Cpu)),
            )
        });
        let samples = |sign: f64| {
            let code = Tensor::full([1, size.code], 0.35 * sign, (Kind::Float, Device::Cpu));
            let distances = network.distances(&places, &code, &levels, false);
            let rows = Tensor::cat(&[&places, &distances.unsqueeze(2)], 2);
            SurfaceSamples {
                values: crate::field::network::host_copy(&rows).values,
            }
        };
        let objects = [samples(1.0), samples(-1.0)];
        let settings = CodeFit {
            points_per_step: 200,
            steps: 0,
            ..CodeFit::default()
        };
        let before = fit_codes(&network, &objects, &settings, 0);
        let settings = CodeFit {
            steps: 100,
            learning_rate: 2e-2,
            ..settings
        };
        let both = fit_codes(&network, &objects, &settings, 0);
        assert!(
            both.error_m < 0.5 * before.error_m,
            "{} of {}",
            both.error_m,
            before.error_m
        );
        let norms = both.codes.square().sum_dim_intlist(1, false, Kind::Float);
        assert!(norms.max().double_value(&[]) < 1.0001);
        assert_eq!(
            both.codes,
            fit_codes(&network, &objects, &settings, 0).codes
        );
        let alone = fit_codes(&network, &objects[..1], &settings, 0).codes;
        let difference = (alone.get(0) - both.codes.get(0))
            .abs()
            .max()
            .double_value(&[]);
        let between = (both.codes.get(1) - both.codes.get(0))
            .abs()
            .max()
            .double_value(&[]);
        assert!(difference < 0.3 * between, "{difference} {between}");
    }
}
