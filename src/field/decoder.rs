//! The decoder in plain Rust: inputs of a few poses to raw energies and their slopes by the inputs.

use super::settings::{FieldSettings, LEVEL_INPUTS, LEVEL_WIDTH};
use super::weights::GraspNetwork;
use crate::lanes::{load, store, Lanes, LANES};

/// Poses that go through the layers together.
pub const TILE: usize = 8;

/// A dense layer, laid out both ways: forward [input][output], backward [output][input].
#[derive(Debug, Clone)]
struct Dense {
    inputs: usize,
    outputs: usize,
    by_input: Vec<Lanes>,
    by_output: Vec<Lanes>,
    /// As in torch, for single vectors.
    plain: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    fn new(network: &GraspNetwork, name: &str) -> Self {
        let plain = network.values(&format!("decoder.{name}.weight")).to_vec();
        let bias = network.values(&format!("decoder.{name}.bias")).to_vec();
        let (outputs, inputs) = (bias.len(), plain.len() / bias.len().max(1));
        let mut transposed = vec![0.0; plain.len()];
        for output in 0..outputs {
            for input in 0..inputs {
                transposed[input * outputs + output] = plain[output * inputs + input];
            }
        }
        // Only the hidden layers are multiplied by tiles; their widths are multiples of sixteen.
        let packed = |values: &[f32]| values.chunks_exact(LANES).map(load).collect();
        Self {
            inputs,
            outputs,
            by_input: packed(&transposed),
            by_output: packed(&plain),
            plain,
            bias,
        }
    }

    /// One vector through the layer, for the small noise embedding.
    fn single(&self, input: &[f32], output: &mut [f32]) {
        for (value, (weights, bias)) in output
            .iter_mut()
            .zip(self.plain.chunks_exact(self.inputs).zip(&self.bias))
        {
            *value = bias + weights.iter().zip(input).map(|(w, x)| w * x).sum::<f32>();
        }
    }
}

/// The decoder's layers.
#[derive(Debug, Clone)]
pub struct Decoder {
    level: Dense,
    film: [Dense; 2],
    layer1: Dense,
    layer2: Dense,
    readout: Vec<f32>,
    readout_bias: f32,
}

/// Scale and shift of the two hidden layers at one noise level: all that a level means to the decoder.
#[derive(Debug, Clone, Default)]
pub struct LevelModulation {
    scale: [Vec<f32>; 2],
    shift: [Vec<f32>; 2],
    embedding: Vec<f32>,
    film: Vec<f32>,
}

/// Working memory for one tile of poses.
#[derive(Debug, Clone, Default)]
pub struct DecoderScratch {
    /// Inputs, then their slopes, `[TILE][inputs]`.
    pub inputs: Vec<f32>,
    pub slopes: Vec<f32>,
    /// Hidden values and the slopes of their activations, `[TILE][width]`.
    hidden: [Vec<f32>; 2],
    activation_slope: [Vec<f32>; 2],
}

impl Decoder {
    pub fn new(network: &GraspNetwork) -> Self {
        let dense = |name: &str| Dense::new(network, name);
        Self {
            level: dense("level"),
            film: [dense("film1"), dense("film2")],
            layer1: dense("layer1"),
            layer2: dense("layer2"),
            readout: network.values("decoder.layer3.weight").to_vec(),
            readout_bias: network
                .values("decoder.layer3.bias")
                .first()
                .copied()
                .unwrap_or(0.0),
        }
    }

    /// Inputs of one pose.
    pub fn inputs(&self) -> usize {
        self.layer1.inputs
    }

    /// Grows the working memory to this decoder's size; does nothing the second time.
    pub fn prepare(&self, scratch: &mut DecoderScratch) {
        scratch.inputs.resize(TILE * self.layer1.inputs, 0.0);
        scratch.slopes.resize(TILE * self.layer1.inputs, 0.0);
        for (i, width) in [self.layer1.outputs, self.layer2.outputs]
            .into_iter()
            .enumerate()
        {
            scratch.hidden[i].resize(TILE * width, 0.0);
            scratch.activation_slope[i].resize(TILE * width, 0.0);
        }
    }

    /// Scale and shift of the hidden layers at level `t`.
    pub fn modulate(&self, t: f32, modulation: &mut LevelModulation) {
        let inputs: [f32; LEVEL_INPUTS] = FieldSettings::level_inputs(t);
        modulation.embedding.resize(LEVEL_WIDTH, 0.0);
        self.level.single(&inputs, &mut modulation.embedding);
        modulation
            .embedding
            .iter_mut()
            .for_each(|x| *x /= 1.0 + (-*x).exp());
        for (i, film) in self.film.iter().enumerate() {
            modulation.film.resize(film.outputs, 0.0);
            film.single(&modulation.embedding, &mut modulation.film);
            let (scale, shift) = modulation.film.split_at(film.outputs / 2);
            modulation.scale[i].clear();
            modulation.scale[i].extend(scale.iter().map(|a| 1.0 + a));
            modulation.shift[i].clear();
            modulation.shift[i].extend_from_slice(shift);
        }
    }

    /// Raw energies of `scratch.inputs` and, in `scratch.slopes`, their derivatives by the inputs.
    pub fn evaluate(
        &self,
        modulation: &LevelModulation,
        scratch: &mut DecoderScratch,
        energy: &mut [f32; TILE],
    ) {
        let DecoderScratch {
            inputs,
            slopes,
            hidden,
            activation_slope,
        } = scratch;
        let [hidden1, hidden2] = hidden;
        let [slope1, slope2] = activation_slope;
        let (wide, narrow) = (self.layer1.outputs, self.layer2.outputs);
        multiply(
            inputs,
            &self.layer1.by_input,
            self.layer1.inputs,
            wide,
            hidden1,
        );
        activate(
            hidden1,
            slope1,
            &self.layer1.bias,
            &modulation.scale[0],
            &modulation.shift[0],
        );
        multiply(hidden1, &self.layer2.by_input, wide, narrow, hidden2);
        activate(
            hidden2,
            slope2,
            &self.layer2.bias,
            &modulation.scale[1],
            &modulation.shift[1],
        );
        for (pose, energy) in energy.iter_mut().enumerate() {
            let range = pose * narrow..(pose + 1) * narrow;
            let dot: f32 = hidden2[range.clone()]
                .iter()
                .zip(&self.readout)
                .map(|(h, w)| h * w)
                .sum();
            *energy = dot + self.readout_bias;
            slope2[range]
                .iter_mut()
                .zip(&self.readout)
                .for_each(|(s, w)| *s *= w);
        }
        multiply(slope2, &self.layer2.by_output, narrow, wide, hidden1);
        slope1
            .iter_mut()
            .zip(hidden1.iter())
            .for_each(|(s, d)| *s *= d);
        multiply(
            slope1,
            &self.layer1.by_output,
            wide,
            self.layer1.inputs,
            slopes,
        );
    }
}

/// `[TILE][k] x [k][n] -> [TILE][n]`; n is a multiple of 16. Two blocks of sixteen columns share each broadcast.
fn multiply(left: &[f32], right: &[Lanes], k: usize, n: usize, product: &mut [f32]) {
    let blocks = n / LANES;
    let mut block = 0;
    while block + 2 <= blocks {
        multiply_columns::<2>(left, right, k, blocks, block, product);
        block += 2;
    }
    if block < blocks {
        multiply_columns::<1>(left, right, k, blocks, block, product);
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn multiply_columns<const BLOCKS: usize>(
    left: &[f32],
    right: &[Lanes],
    k: usize,
    blocks: usize,
    block: usize,
    product: &mut [f32],
) {
    // Lengths stated once, so that the inner loop needs no bounds checks.
    let rows: [&[f32]; TILE] = std::array::from_fn(|pose| &left[pose * k..][..k]);
    let mut sums = [[Lanes::ZERO; BLOCKS]; TILE];
    for i in 0..k {
        let weights = &right[i * blocks + block..][..BLOCKS];
        // Plain indices: iterator chains are not always inlined here, and this is where the time goes.
        for pose in 0..TILE {
            let x = Lanes::splat(rows[pose][i]);
            for b in 0..BLOCKS {
                sums[pose][b] = x.mul_add(weights[b], sums[pose][b]);
            }
        }
    }
    for (pose, sum) in sums.iter().enumerate() {
        for (b, lanes) in sum.iter().enumerate() {
            store(*lanes, &mut product[(pose * blocks + block + b) * LANES..]);
        }
    }
}

/// h = silu((x + bias) * scale + shift) in place; `slope` gets dh/dx.
fn activate(values: &mut [f32], slope: &mut [f32], bias: &[f32], scale: &[f32], shift: &[f32]) {
    let width = bias.len();
    let one = Lanes::splat(1.0);
    for (row, slope_row) in values
        .chunks_exact_mut(width)
        .zip(slope.chunks_exact_mut(width))
    {
        for at in (0..width).step_by(LANES) {
            let scale = load(&scale[at..]);
            let x = (load(&row[at..]) + load(&bias[at..])).mul_add(scale, load(&shift[at..]));
            let sigmoid = one / (one + (-x).exp());
            let h = x * sigmoid;
            store(h, &mut row[at..]);
            // d silu = sigmoid + silu (1 - sigmoid)
            store(
                (h * (one - sigmoid) + sigmoid) * scale,
                &mut slope_row[at..],
            );
        }
    }
}
