//! The decoder in plain Rust: inputs of a batch of poses to raw energies and their slopes by the inputs.
//!
//! The weights do not fit the fastest caches, so each panel of them is read once per batch and stays there while all
//! poses of the batch pass by.

use super::settings::{FieldSettings, LEVEL_INPUTS, LEVEL_WIDTH, SDF_SCALES_M};
use super::weights::GraspNetwork;
use crate::lanes::{exp, load, splat, store, Lanes, LANES, ZERO};

/// Poses that share one passage through the weights.
pub const BATCH: usize = 64;
/// Poses whose sums are held in registers together.
const TILE: usize = 8;
/// Blocks of sixteen columns whose sums are held in registers together.
const PANEL: usize = 2;

/// A matrix for products from the left, `[rows][columns]`, stored panel after panel of [`PANEL`] blocks of columns.
#[derive(Debug, Clone)]
struct Packed {
    rows: usize,
    columns: usize,
    values: Vec<Lanes>,
}

impl Packed {
    /// From `value(row, column)`; what does not fill a block of sixteen columns is left out.
    fn new(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let blocks = columns / LANES;
        let mut values = Vec::with_capacity(rows * blocks);
        for first in (0..blocks).step_by(PANEL) {
            for row in 0..rows {
                for block in first..(first + PANEL).min(blocks) {
                    values.push(Lanes::new(std::array::from_fn(|i| {
                        value(row, block * LANES + i)
                    })));
                }
            }
        }
        Self {
            rows,
            columns,
            values,
        }
    }

    /// `[count][rows] x [rows][columns] -> [count][columns]`; `count` is rounded up to whole tiles.
    fn multiply(&self, left: &[f32], count: usize, product: &mut [f32]) {
        let mut column = 0;
        for panel in self.values.chunks(PANEL * self.rows) {
            for first in (0..count).step_by(TILE) {
                let left = &left[first * self.rows..][..TILE * self.rows];
                let product = &mut product[first * self.columns..][..TILE * self.columns];
                if panel.len() == PANEL * self.rows {
                    multiply_panel::<PANEL>(left, panel, self.columns, column, product);
                } else {
                    multiply_panel::<1>(left, panel, self.columns, column, product);
                }
            }
            column += PANEL * LANES;
        }
    }

    /// One row vector through the matrix, plus `bias`.
    fn multiply_one(&self, left: &[f32], bias: &[f32], product: &mut [f32]) {
        let mut column = 0;
        for panel in self.values.chunks(PANEL * self.rows) {
            let blocks = panel.len() / self.rows;
            for block in 0..blocks {
                let mut sum = load(&bias[column..]);
                for (row, x) in left.iter().enumerate() {
                    sum = splat(*x).mul_add(panel[row * blocks + block], sum);
                }
                store(sum, &mut product[column..]);
                column += LANES;
            }
        }
    }
}

/// [`TILE`] rows of `left` times `BLOCKS` blocks of columns, to `column` and after of the product.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn multiply_panel<const BLOCKS: usize>(
    left: &[f32],
    panel: &[Lanes],
    columns: usize,
    column: usize,
    product: &mut [f32],
) {
    let rows = panel.len() / BLOCKS;
    // Lengths stated once, so that the inner loop needs no bounds checks.
    let poses: [&[f32]; TILE] = std::array::from_fn(|pose| &left[pose * rows..][..rows]);
    let mut sums = [[ZERO; BLOCKS]; TILE];
    for (i, weights) in panel.chunks_exact(BLOCKS).enumerate().take(rows) {
        // Plain indices: iterator chains are not always inlined here, and this is where the time goes.
        for pose in 0..TILE {
            let x = splat(poses[pose][i]);
            for b in 0..BLOCKS {
                sums[pose][b] = x.mul_add(weights[b], sums[pose][b]);
            }
        }
    }
    for (pose, sum) in sums.iter().enumerate() {
        for (b, lanes) in sum.iter().enumerate() {
            store(*lanes, &mut product[pose * columns + column + b * LANES..]);
        }
    }
}

/// A dense layer for single vectors.
#[derive(Debug, Clone)]
struct Dense {
    weights: Packed,
    bias: Vec<f32>,
}

impl Dense {
    fn new(network: &GraspNetwork, name: &str) -> Self {
        let plain = network.values(&format!("decoder.{name}.weight"));
        let bias = network.values(&format!("decoder.{name}.bias")).to_vec();
        let inputs = plain.len() / bias.len().max(1);
        Self {
            weights: Packed::new(inputs, bias.len(), |row, column| {
                plain[column * inputs + row]
            }),
            bias,
        }
    }

    fn apply(&self, input: &[f32], output: &mut Vec<f32>) {
        output.resize(self.bias.len(), 0.0);
        self.weights.multiply_one(input, &self.bias, output);
    }
}

/// A hidden layer for batches, laid out for both directions.
#[derive(Debug, Clone)]
struct Hidden {
    forward: Packed,
    backward: Packed,
    bias: Vec<f32>,
}

impl Hidden {
    /// `torch_input` names the column of the torch weight that belongs to an input here.
    fn new(network: &GraspNetwork, name: &str, torch_input: impl Fn(usize) -> usize) -> Self {
        let plain = network.values(&format!("decoder.{name}.weight"));
        let bias = network.values(&format!("decoder.{name}.bias")).to_vec();
        let (outputs, inputs) = (bias.len(), plain.len() / bias.len().max(1));
        let weight = |input: usize, output: usize| plain[output * inputs + torch_input(input)];
        Self {
            forward: Packed::new(inputs, outputs, weight),
            backward: Packed::new(outputs, inputs, |output, input| weight(input, output)),
            bias,
        }
    }
}

/// The decoder's layers.
///
/// Inputs of a pose: features of all points `[point][channel]`, then squashed distances `[scale][point]`.
#[derive(Debug, Clone)]
pub struct Decoder {
    level: Dense,
    film: [Dense; 2],
    layer1: Hidden,
    layer2: Hidden,
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

/// Working memory for one batch of poses.
#[derive(Debug, Clone, Default)]
pub struct DecoderScratch {
    /// Inputs, then their slopes, `[BATCH][inputs]`.
    pub inputs: Vec<f32>,
    pub slopes: Vec<f32>,
    /// Hidden values and the slopes of their activations, `[BATCH][width]`.
    hidden: [Vec<f32>; 2],
    activation_slope: [Vec<f32>; 2],
}

impl Decoder {
    pub fn new(network: &GraspNetwork) -> Self {
        let settings = network.settings();
        let features = settings.points * settings.feature_channels;
        let squashed_by_scale = |input: usize| match input.checked_sub(features) {
            None => input,
            Some(i) => features + i % settings.points * SDF_SCALES_M.len() + i / settings.points,
        };
        Self {
            level: Dense::new(network, "level"),
            film: [Dense::new(network, "film1"), Dense::new(network, "film2")],
            layer1: Hidden::new(network, "layer1", squashed_by_scale),
            layer2: Hidden::new(network, "layer2", |input| input),
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
        self.layer1.forward.rows
    }

    /// Grows the working memory to this decoder's size; does nothing the second time.
    pub fn prepare(&self, scratch: &mut DecoderScratch) {
        scratch.inputs.resize(BATCH * self.inputs(), 0.0);
        scratch.slopes.resize(BATCH * self.inputs(), 0.0);
        for (i, layer) in [&self.layer1, &self.layer2].into_iter().enumerate() {
            scratch.hidden[i].resize(BATCH * layer.bias.len(), 0.0);
            scratch.activation_slope[i].resize(BATCH * layer.bias.len(), 0.0);
        }
    }

    /// Scale and shift of the hidden layers at level `t`.
    pub fn modulate(&self, t: f32, modulation: &mut LevelModulation) {
        let inputs: [f32; LEVEL_INPUTS] = FieldSettings::level_inputs(t);
        modulation.embedding.reserve(LEVEL_WIDTH);
        self.level.apply(&inputs, &mut modulation.embedding);
        modulation
            .embedding
            .iter_mut()
            .for_each(|x| *x /= 1.0 + (-*x).exp());
        for (i, film) in self.film.iter().enumerate() {
            film.apply(&modulation.embedding, &mut modulation.film);
            let (scale, shift) = modulation.film.split_at(film.bias.len() / 2);
            modulation.scale[i].clear();
            modulation.scale[i].extend(scale.iter().map(|a| 1.0 + a));
            modulation.shift[i].clear();
            modulation.shift[i].extend_from_slice(shift);
        }
    }

    /// Raw energies of the first `energy.len()` inputs in `scratch`.
    pub fn energies(
        &self,
        modulation: &LevelModulation,
        scratch: &mut DecoderScratch,
        energy: &mut [f32],
    ) {
        let DecoderScratch {
            inputs,
            hidden: [hidden1, hidden2],
            activation_slope: [slope1, slope2],
            ..
        } = scratch;
        let count = energy.len();
        self.layer1.forward.multiply(inputs, count, hidden1);
        activate(hidden1, slope1, count, &self.layer1.bias, modulation, 0);
        self.layer2.forward.multiply(hidden1, count, hidden2);
        activate(hidden2, slope2, count, &self.layer2.bias, modulation, 1);
        let narrow = self.readout.len();
        for (energy, hidden) in energy.iter_mut().zip(hidden2.chunks_exact(narrow)) {
            let mut sum = ZERO;
            for at in (0..narrow).step_by(LANES) {
                sum = load(&hidden[at..]).mul_add(load(&self.readout[at..]), sum);
            }
            *energy = sum.reduce_add() + self.readout_bias;
        }
    }

    /// Derivatives of the `count` energies found last by their inputs, to `scratch.slopes`.
    pub fn slopes(&self, scratch: &mut DecoderScratch, count: usize) {
        let DecoderScratch {
            slopes,
            hidden: [hidden1, _],
            activation_slope: [slope1, slope2],
            ..
        } = scratch;
        let narrow = self.readout.len();
        for slope in slope2.chunks_exact_mut(narrow).take(count) {
            for at in (0..narrow).step_by(LANES) {
                store(
                    load(&slope[at..]) * load(&self.readout[at..]),
                    &mut slope[at..],
                );
            }
        }
        self.layer2.backward.multiply(slope2, count, hidden1);
        for (slope, by_hidden) in slope1
            .chunks_exact_mut(LANES)
            .zip(hidden1.chunks_exact(LANES))
            .take(count * self.layer1.bias.len() / LANES)
        {
            store(load(slope) * load(by_hidden), slope);
        }
        self.layer1.backward.multiply(slope1, count, slopes);
    }
}

/// h = silu((x + bias) * scale + shift) in place for `count` rows; `slope` gets dh/dx.
fn activate(
    values: &mut [f32],
    slope: &mut [f32],
    count: usize,
    bias: &[f32],
    modulation: &LevelModulation,
    layer: usize,
) {
    let (scale, shift) = (&modulation.scale[layer], &modulation.shift[layer]);
    let width = bias.len();
    let one = splat(1.0);
    for (row, slope_row) in values
        .chunks_exact_mut(width)
        .zip(slope.chunks_exact_mut(width))
        .take(count)
    {
        for at in (0..width).step_by(LANES) {
            let scale = load(&scale[at..]);
            let x = (load(&row[at..]) + load(&bias[at..])).mul_add(scale, load(&shift[at..]));
            let sigmoid = one / (one + exp(-x));
            let h = x * sigmoid;
            store(h, &mut row[at..]);
            // d silu = sigmoid + silu (1 - sigmoid)
            store(
                h.mul_add(one - sigmoid, sigmoid) * scale,
                &mut slope_row[at..],
            );
        }
    }
}
