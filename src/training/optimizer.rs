//! Steps by a clipped gradient: Adam's, or along the orthogonalised momentum; and the moving average of the weights. Own code, because
//! torch's own optimisers do not give their state out of Rust, and a checkpoint has to carry it.

use std::collections::BTreeMap;

use tch::{no_grad, Kind, Tensor};

/// Decay of the gradient's mean and mean square.
pub const BETAS: [f64; 2] = [0.9, 0.99];
/// Torch's own, which the released code of SE(3)-DiffusionFields takes.
pub const RELEASED_BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
/// Decay of the momentum of orthogonalised weights.
const MOMENTUM: f64 = 0.95;

/// What moves named weights: Adam (Kingma and Ba 2015, algorithm 1), and Muon (Jordan et al. 2024) for those that `orthogonal` names.
pub struct Optimizer {
    pub mean: BTreeMap<String, Tensor>,
    /// Of Adam's weights only.
    pub mean_square: BTreeMap<String, Tensor>,
    pub steps: u64,
    betas: [f64; 2],
}

impl Optimizer {
    /// At rest. `orthogonal`: names of the matrices that go along their orthogonalised momentum.
    pub fn new(
        weights: &BTreeMap<String, Tensor>,
        betas: [f64; 2],
        orthogonal: impl Fn(&str) -> bool,
    ) -> Self {
        let zeros = |wanted: &dyn Fn(&str) -> bool| {
            weights
                .iter()
                .filter(|(name, w)| w.requires_grad() && wanted(name))
                .map(|(name, w)| (name.clone(), w.detach().zeros_like()))
                .collect()
        };
        Self {
            mean: zeros(&|_| true),
            mean_square: zeros(&|name| !orthogonal(name)),
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
            for (name, weight) in weights.iter_mut() {
                if !weight.requires_grad() || !weight.grad().defined() {
                    continue;
                }
                if norm.is_finite() {
                    let step = self.direction(name, &(weight.grad() * factor));
                    let _ = weight.g_sub_(&(step * learning_rate(name)));
                }
                weight.zero_grad();
            }
            norm
        })
    }

    /// The step of a weight at a learning rate of 1.
    fn direction(&mut self, name: &str, gradient: &Tensor) -> Tensor {
        // Every weight with a gradient has a mean: both were there when the run was set up.
        let Some(mean) = self.mean.get_mut(name) else {
            return gradient.zeros_like();
        };
        let Some(mean_square) = self.mean_square.get_mut(name) else {
            let _ = mean.g_mul_scalar_(MOMENTUM).g_add_(gradient);
            return orthogonalized(&(gradient + &*mean * MOMENTUM));
        };
        let betas = self.betas;
        let corrections = betas.map(|beta| 1.0 - beta.powi(self.steps.min(1_000_000) as i32));
        let _ = mean
            .g_mul_scalar_(betas[0])
            .g_add_(&(gradient * (1.0 - betas[0])));
        let _ = mean_square
            .g_mul_scalar_(betas[1])
            .g_add_(&(gradient.square() * (1.0 - betas[1])));
        let scale = (&*mean_square / corrections[1]).sqrt() + EPSILON;
        &*mean / scale / corrections[0]
    }
}

/// A gradient `[outputs, ...]` with all its singular values made nearly equal, by five Newton-Schulz steps (Jordan et al. 2024), of the size
/// of Adam's steps: root mean square 0.2 (Liu et al., arXiv 2502.16982).
fn orthogonalized(gradient: &Tensor) -> Tensor {
    const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
    let size = gradient.size();
    let rows = size[0];
    let flat = gradient.reshape([rows, -1]);
    let columns = flat.size()[1];
    let wide = rows <= columns;
    let mut x = if wide { flat } else { flat.transpose(0, 1) };
    x = &x / (x.norm() + 1e-12);
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..5 {
        let square = x.matmul(&x.transpose(0, 1));
        x = &x * a + (&square * b + square.matmul(&square) * c).matmul(&x);
    }
    let x = if wide { x } else { x.transpose(0, 1) };
    x.reshape(&size) * (0.2 * (rows.max(columns) as f64).sqrt())
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

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Minimises |W a - b|^2 over W for a badly scaled a; the last loss as a share of the first.
    fn descended(orthogonal: bool) -> f64 {
        tch::manual_seed(1);
        let options = (Kind::Float, Device::Cpu);
        let inputs = Tensor::randn([64, 12], options) * Tensor::arange(12, options).exp2() * 1e-2;
        let outputs = inputs.matmul(&Tensor::randn([12, 5], options));
        let weight = Tensor::zeros([5, 12], options).set_requires_grad(true);
        let mut weights = BTreeMap::from([("w".to_string(), weight)]);
        let mut optimizer = Optimizer::new(&weights, BETAS, |_| orthogonal);
        let loss = |weights: &BTreeMap<String, Tensor>| {
            let error = inputs.matmul(&weights["w"].transpose(0, 1)) - &outputs;
            error.square().mean(Kind::Float)
        };
        let first = loss(&weights).double_value(&[]);
        for step in 0..400 {
            loss(&weights).backward();
            let rate = 0.05 * (1.0 - step as f64 / 400.0);
            optimizer.step(&mut weights, |_| rate, 1e9);
        }
        loss(&weights).double_value(&[]) / first
    }

    #[test]
    fn both_rules_descend() {
        for orthogonal in [false, true] {
            let left = descended(orthogonal);
            assert!(left < 5e-3, "{orthogonal}: {left}");
        }
    }

    #[test]
    fn an_orthogonalized_gradient_has_nearly_equal_singular_values() {
        tch::manual_seed(2);
        for size in [[6, 40], [40, 6]] {
            let gradient = Tensor::randn(size, (Kind::Float, Device::Cpu));
            let turned = orthogonalized(&gradient);
            let (_, values, _) = turned.svd(true, false);
            let values = Vec::<f64>::try_from(values.to_kind(Kind::Double)).unwrap();
            let expected = 0.2 * 40f64.sqrt();
            for value in &values {
                assert!((value / expected - 1.0).abs() < 0.35, "{values:?}");
            }
            assert_eq!(turned.size(), size);
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_moves_nothing() {
        let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let mut weights = BTreeMap::from([("w".to_string(), weight)]);
        let mut optimizer = Optimizer::new(&weights, BETAS, |_| true);
        (&weights["w"] * f64::NAN).sum(Kind::Float).backward();
        let norm = optimizer.step(&mut weights, |_| 1.0, 1.0);
        assert!(norm.is_nan() && optimizer.steps == 0);
        assert_eq!(weights["w"].sum(Kind::Float).double_value(&[]), 4.0);
    }
}
