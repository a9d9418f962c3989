//! Adam with a clipped gradient, and the moving average of the weights. Own code, because torch's own
//! optimiser does not give its state out of Rust, and a checkpoint has to carry it.

use std::collections::BTreeMap;

use tch::{no_grad, Kind, Tensor};

/// Decay of the gradient's mean and mean square.
pub const BETAS: [f64; 2] = [0.9, 0.99];
/// Torch's own, which the released code of SE(3)-DiffusionFields takes.
pub const RELEASED_BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// Adam (Kingma and Ba 2015, algorithm 1) over named weights.
pub struct Adam {
    pub mean: BTreeMap<String, Tensor>,
    pub mean_square: BTreeMap<String, Tensor>,
    pub steps: u64,
    betas: [f64; 2],
}

impl Adam {
    pub fn new(weights: &BTreeMap<String, Tensor>, betas: [f64; 2]) -> Self {
        let zeros = || {
            weights
                .iter()
                .filter(|(_, w)| w.requires_grad())
                .map(|(name, w)| (name.clone(), w.detach().zeros_like()))
                .collect()
        };
        Self {
            mean: zeros(),
            mean_square: zeros(),
            steps: 0,
            betas,
        }
    }

    /// One step from the gradients in `weights`, which are cleared; the learning rate may differ by name. Returns the gradient's norm before clipping.
    /// A gradient that is not finite is dropped, so one bad batch cannot end a run.
    pub fn step(
        &mut self,
        weights: &mut BTreeMap<String, Tensor>,
        learning_rate: impl Fn(&str) -> f64,
        clip: f64,
    ) -> f64 {
        no_grad(|| {
            let squares: Vec<Tensor> = weights
                .values()
                .filter(|w| w.requires_grad() && w.grad().defined())
                .map(|w| w.grad().square().sum(Kind::Float))
                .collect();
            let norm = Tensor::stack(&squares, 0)
                .sum(Kind::Float)
                .sqrt()
                .double_value(&[]);
            let factor = if norm > clip { clip / norm } else { 1.0 };
            self.steps += norm.is_finite() as u64;
            let betas = self.betas;
            let corrections = betas.map(|beta| 1.0 - beta.powi(self.steps.min(1_000_000) as i32));
            for (name, weight) in weights.iter_mut() {
                if !weight.requires_grad() || !weight.grad().defined() {
                    continue;
                }
                if norm.is_finite() {
                    let gradient = weight.grad() * factor;
                    let mean = &mut self.mean.get_mut(name);
                    let mean_square = &mut self.mean_square.get_mut(name);
                    if let (Some(mean), Some(mean_square)) = (mean, mean_square) {
                        let _ = mean
                            .g_mul_scalar_(betas[0])
                            .g_add_(&(&gradient * (1.0 - betas[0])));
                        let _ = mean_square
                            .g_mul_scalar_(betas[1])
                            .g_add_(&(gradient.square() * (1.0 - betas[1])));
                        let rate = learning_rate(name) / corrections[0];
                        let scale = (&**mean_square / corrections[1]).sqrt() + EPSILON;
                        let _ = weight.g_sub_(&(&**mean / scale * rate));
                    }
                }
                weight.zero_grad();
            }
            norm
        })
    }
}

/// Moves `average` towards `weights`.
pub fn update_average(
    average: &mut BTreeMap<String, Tensor>,
    weights: &BTreeMap<String, Tensor>,
    decay: f64,
) {
    no_grad(|| {
        for (name, slow) in average.iter_mut() {
            let moved = &*slow * decay + &weights[name] * (1.0 - decay);
            slow.copy_(&moved);
        }
    });
}
