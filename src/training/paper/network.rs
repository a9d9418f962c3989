//! The network: thirty points of the gripper, a DeepSDF-like encoder with time, an energy over their features.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;
use tch::{no_grad, Device, Tensor};

use super::settings::NetworkSize;
use crate::field::weights::Weight;

/// Features of a point; the first is its signed distance.
pub const FEATURES: i64 = 7;
/// Layers of the encoder but the last.
const HIDDEN_LAYERS: usize = 8;
/// The layer that sees the inputs again.
const SKIP_LAYER: usize = 4;
/// Standard deviation of the time embedding's frequencies.
const TIME_FREQUENCIES: f32 = 30.0;
/// Largest norm of a code (`max_norm` of the released embedding).
const LARGEST_CODE: f64 = 1.0;
const NORM_EPSILON: f64 = 1e-5;

/// Points fixed to the gripper at which the encoder is asked, gripper frame, eighths of a metre: those of the released model,
/// drawn once at random from the box |x| <= 0.7, |y| <= 0.5, -0.2 <= z <= 1.2 about hand and fingers.
#[rustfmt::skip]
#[allow(clippy::approx_constant)] // One coordinate happens to look like 1 / pi.
pub const QUERY_POINTS: [[f32; 3]; 30] = [
    [0.56080, -0.43845, 0.53915], [-0.10883, -0.00943, 0.55731], [-0.56356, -0.38463, -0.14631],
    [-0.06473, 0.41767, 0.86227], [0.48973, 0.04459, 0.01275], [0.44396, 0.30826, 0.75808],
    [0.42474, -0.12443, 0.32272], [-0.50465, 0.18220, 0.13018], [-0.48081, -0.13146, 0.74298],
    [0.08532, -0.02232, 0.94817], [-0.25542, 0.13526, -0.07342], [-0.12803, -0.43588, 0.83529],
    [0.62746, -0.22238, 0.69328], [-0.50438, 0.11811, 1.06128], [0.32739, 0.40748, 0.49025],
    [0.46806, -0.31831, 0.31007], [0.63226, -0.02404, -0.11478], [-0.24386, 0.49320, 0.70295],
    [-0.17893, 0.39676, -0.10711], [0.07153, 0.34625, -0.02004], [0.13977, -0.38839, 1.14495],
    [0.47872, -0.36446, 0.79889], [0.39920, -0.31081, 0.74413], [0.18440, -0.39211, 0.14344],
    [0.61366, 0.00325, 0.94768], [-0.22303, -0.07988, -0.16233], [-0.07515, 0.40943, 1.08189],
    [-0.42510, -0.25481, -0.06172], [-0.07030, -0.15767, 0.16940], [-0.29292, 0.04613, 0.40681],
];

/// The paper's model as torch tensors. Tensors of a batch have one row per pose (B) or per point (N).
pub struct PaperNetwork {
    pub size: NetworkSize,
    /// By name; all but `time.frequencies` are trained. `codes` has a row for each training object.
    pub weights: BTreeMap<String, Tensor>,
    /// `[30, 3]`.
    points: Tensor,
}

/// Energy of poses and what it does to them.
pub struct PoseForces {
    /// `[B]`.
    pub energy: Tensor,
    /// dE by the position of the gripper's origin `[B, 3]`, per eighth of a metre.
    pub by_position: Tensor,
    /// dE by a turn from the left about that origin `[B, 3]`, per rad.
    pub by_turn: Tensor,
}

/// How a tensor starts.
enum Start {
    /// Uniform in +-1/sqrt(fan-in), torch's own start of linear layers.
    FanIn(i64),
    Normal(f32),
    Constant(f32),
    /// Row norms of the direction of that layer, so that weight normalisation changes nothing at first.
    RowNorms(usize),
}

/// Every tensor: name, shape, start. In this order, so that a direction comes before its length.
fn tensors(size: &NetworkSize, codes: i64) -> Vec<(String, Vec<i64>, Start)> {
    let NetworkSize {
        hidden,
        code,
        encoding,
        ..
    } = *size;
    let mut table = vec![
        (
            "codes".to_string(),
            vec![codes, code],
            Start::Normal((code as f32).sqrt().recip()),
        ),
        (
            "time.frequencies".to_string(),
            vec![encoding / 2],
            Start::Normal(TIME_FREQUENCIES),
        ),
    ];
    let mut dense = |name: &str, outputs: i64, inputs: i64| {
        let shape = vec![outputs, inputs];
        table.push((format!("{name}.weight"), shape, Start::FanIn(inputs)));
        table.push((format!("{name}.bias"), vec![outputs], Start::FanIn(inputs)));
    };
    dense("time", encoding, encoding);
    dense("point", encoding, 3);
    dense("layer8", FEATURES, hidden);
    dense("energy1", hidden, FEATURES * QUERY_POINTS.len() as i64);
    dense("energy2", 1, hidden);
    for k in 0..HIDDEN_LAYERS {
        let inputs = if k == 0 { size.inputs() } else { hidden };
        let outputs = if k + 1 == SKIP_LAYER {
            hidden - size.inputs()
        } else {
            hidden
        };
        let shape = vec![outputs, inputs];
        table.push((layer(k, "direction"), shape, Start::FanIn(inputs)));
        table.push((layer(k, "length"), vec![outputs, 1], Start::RowNorms(k)));
        table.push((layer(k, "bias"), vec![outputs], Start::FanIn(inputs)));
    }
    table.push(("norm.weight".into(), vec![hidden], Start::Constant(1.0)));
    table.push(("norm.bias".into(), vec![hidden], Start::Constant(0.0)));
    table
}

fn layer(k: usize, part: &str) -> String {
    format!("layer{k}.{part}")
}

/// Names and shapes of all tensors of a network with `codes` codes.
pub(super) fn shapes(size: &NetworkSize, codes: usize) -> BTreeMap<String, Vec<usize>> {
    tensors(size, codes as i64)
        .into_iter()
        .map(|(name, shape, _)| (name, shape.iter().map(|&n| n as usize).collect()))
        .collect()
}

/// Weights of an untrained network for `codes` objects.
pub(super) fn untrained(size: &NetworkSize, codes: usize, seed: u64) -> BTreeMap<String, Weight> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut weights: BTreeMap<String, Weight> = BTreeMap::new();
    for (name, shape, start) in tensors(size, codes as i64) {
        let count = shape.iter().product::<i64>() as usize;
        let values = match start {
            Start::FanIn(inputs) => {
                let bound = (inputs as f32).sqrt().recip();
                (0..count)
                    .map(|_| rng.random_range(-bound..bound))
                    .collect()
            }
            Start::Normal(deviation) => (0..count)
                .map(|_| deviation * rng.sample::<f32, _>(StandardNormal))
                .collect(),
            Start::Constant(value) => vec![value; count],
            Start::RowNorms(k) => {
                let direction = &weights[&layer(k, "direction")];
                direction
                    .values
                    .chunks_exact(direction.shape[1])
                    .map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt())
                    .collect()
            }
        };
        let shape = shape.iter().map(|&n| n as usize).collect();
        weights.insert(name, Weight { shape, values });
    }
    weights
}

impl PaperNetwork {
    /// Copies weights to a device; `trainable` asks torch for their gradients.
    pub fn new(
        size: NetworkSize,
        weights: &BTreeMap<String, Weight>,
        device: Device,
        trainable: bool,
    ) -> Self {
        let weights = weights
            .iter()
            .map(|(name, weight)| {
                let shape: Vec<i64> = weight.shape.iter().map(|&n| n as i64).collect();
                let tensor = Tensor::from_slice(&weight.values)
                    .reshape(&shape)
                    .to_device(device);
                let trained = trainable && name != "time.frequencies";
                (name.clone(), tensor.set_requires_grad(trained))
            })
            .collect();
        let points = Tensor::from_slice(QUERY_POINTS.as_flattened())
            .reshape([QUERY_POINTS.len() as i64, 3])
            .to_device(device);
        Self {
            size,
            weights,
            points,
        }
    }

    /// The same function without gradients by weights, with the weight normalisation multiplied out: faster.
    pub fn folded(&self) -> Self {
        let mut weights = BTreeMap::new();
        no_grad(|| {
            for (name, weight) in &self.weights {
                weights.insert(name.clone(), weight.detach());
            }
            for k in 0..HIDDEN_LAYERS {
                weights.insert(layer(k, "weight"), self.layer_weight(k));
            }
        });
        Self {
            size: self.size,
            weights,
            points: self.points.shallow_clone(),
        }
    }

    pub fn device(&self) -> Device {
        self.points.device()
    }

    /// Numbers that training moves, and the frozen frequencies.
    pub fn parameter_count(&self) -> usize {
        self.weights.values().map(Tensor::numel).sum()
    }

    /// Double precision, for tests against finite differences.
    #[cfg(test)]
    pub fn to_double(&self) -> Self {
        let double = |w: &Tensor| {
            let tensor = w.detach().to_kind(tch::Kind::Double);
            tensor.set_requires_grad(w.requires_grad())
        };
        Self {
            size: self.size,
            weights: self
                .weights
                .iter()
                .map(|(name, w)| (name.clone(), double(w)))
                .collect(),
            points: double(&self.points),
        }
    }

    fn weight(&self, name: &str) -> &Tensor {
        // Every name in this file is one of `tensors`, against which the weights were checked.
        &self.weights[name]
    }

    /// The matrix of a hidden layer: rows of a learned length along learned directions (Salimans and Kingma 2016, eq. 2).
    fn layer_weight(&self, k: usize) -> Tensor {
        if let Some(weight) = self.weights.get(&layer(k, "weight")) {
            return weight.shallow_clone();
        }
        let direction = self.weight(&layer(k, "direction"));
        let norms = direction
            .square()
            .sum_dim_intlist(1, true, direction.kind())
            .sqrt();
        direction * (self.weight(&layer(k, "length")) / norms)
    }

    fn dense(&self, name: &str, input: &Tensor) -> Tensor {
        input.linear(
            self.weight(&format!("{name}.weight")),
            Some(self.weight(&format!("{name}.bias"))),
        )
    }

    /// Codes of objects by row number (i64 `[O]`), shortened where they are too long: `[O, code]`.
    pub fn codes_of(&mut self, objects: &Tensor) -> Tensor {
        if let Some(codes) = self.weights.get_mut("codes") {
            no_grad(|| {
                let _ = codes.index_copy_(0, objects, &shortened(&codes.index_select(0, objects)));
            });
        }
        self.weight("codes").index_select(0, objects)
    }

    /// Embeds levels `[N]`: `[N, encoding]`.
    fn embedded_level(&self, levels: &Tensor) -> Tensor {
        let phase =
            levels.unsqueeze(1) * self.weight("time.frequencies") * (2.0 * std::f64::consts::PI);
        let waves = Tensor::cat(&[phase.sin(), phase.cos()], 1);
        self.dense("time", &waves).silu()
    }

    /// Features `[N, FEATURES]` in -1..1 of points `[N, 3]` with codes `[N, code]` and embedded levels `[N, encoding]`.
    fn features(&self, points: &Tensor, codes: &Tensor, level: &Tensor, training: bool) -> Tensor {
        let dropout = self.size.dropout;
        let embedded = self.dense("point", points).silu() + level;
        let inputs = Tensor::cat(&[&codes.dropout(dropout, training), &embedded, points], 1);
        let mut hidden = inputs.shallow_clone();
        for k in 0..HIDDEN_LAYERS {
            if k == SKIP_LAYER {
                hidden = Tensor::cat(&[&hidden, &inputs], 1);
            }
            hidden = hidden
                .linear(&self.layer_weight(k), Some(self.weight(&layer(k, "bias"))))
                .relu()
                .dropout(dropout, training);
        }
        self.dense("layer8", &hidden).tanh()
    }

    /// Signed distances `[O, M]` of points `[O, M, 3]` about the objects of codes `[O, code]`, at levels `[O, M]`, in
    /// eighths of a metre and within -1..1.
    pub fn distances(
        &self,
        points: &Tensor,
        codes: &Tensor,
        levels: &Tensor,
        training: bool,
    ) -> Tensor {
        let size = points.size();
        let (objects, count) = (size[0], size[1]);
        let spread = codes
            .unsqueeze(1)
            .expand([objects, count, self.size.code], false)
            .reshape([objects * count, self.size.code]);
        let level = self.embedded_level(&levels.reshape([-1]));
        self.features(&points.reshape([-1, 3]), &spread, &level, training)
            .select(1, 0)
            .reshape([objects, count])
    }

    /// Energy `[B]` of grippers whose query points are `[B, 30, 3]`, at levels `[B]`.
    pub fn energy(
        &self,
        points: &Tensor,
        codes: &Tensor,
        levels: &Tensor,
        training: bool,
    ) -> Tensor {
        let (poses, count) = (points.size()[0], QUERY_POINTS.len() as i64);
        let spread = |rows: &Tensor, width: i64| {
            rows.unsqueeze(1)
                .expand([poses, count, width], false)
                .reshape([poses * count, width])
        };
        let level = spread(&self.embedded_level(levels), self.size.encoding);
        let codes = spread(codes, self.size.code);
        let features = self.features(&points.reshape([-1, 3]), &codes, &level, training);
        let hidden = self
            .dense("energy1", &features.reshape([poses, -1]))
            .layer_norm(
                [self.size.hidden],
                Some(self.weight("norm.weight")),
                Some(self.weight("norm.bias")),
                NORM_EPSILON,
                false,
            )
            .relu();
        self.dense("energy2", &hidden).squeeze_dim(1)
    }

    /// Energy and its gradient at poses: `rotations` `[B, 3, 3]` and `positions` `[B, 3]` of the gripper, `codes` `[B, code]`,
    /// `levels` `[B]`. With `training` the gradient can be differentiated by the weights, and dropout acts.
    ///
    /// The pose itself stays outside torch's graph: the force on each query point is what the network gives, and the rest is
    /// a lever arm.
    pub fn forces(
        &self,
        rotations: &Tensor,
        positions: &Tensor,
        codes: &Tensor,
        levels: &Tensor,
        training: bool,
    ) -> PoseForces {
        let levers = self.points.matmul(&rotations.transpose(1, 2));
        let points = (&levers + positions.unsqueeze(1)).set_requires_grad(true);
        let energy = self.energy(&points, codes, levels, training);
        let by_point =
            Tensor::run_backward(&[energy.sum(energy.kind())], &[&points], training, training)
                .remove(0);
        PoseForces {
            by_position: by_point.sum_dim_intlist(1, false, by_point.kind()),
            by_turn: levers
                .linalg_cross(&by_point, 2)
                .sum_dim_intlist(1, false, by_point.kind()),
            energy,
        }
    }
}

/// Rows no longer than [`LARGEST_CODE`].
pub(super) fn shortened(codes: &Tensor) -> Tensor {
    let norms = codes.square().sum_dim_intlist(1, true, codes.kind()).sqrt();
    codes * ((norms + 1e-7).reciprocal() * LARGEST_CODE).clamp_max(1.0)
}
