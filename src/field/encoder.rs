//! The encoder in plain Rust: a distance grid to a feature grid, once per object.
//!
//! Volumes are channel-last with a border of one zero voxel, so that a convolution row is a run of
//! fused multiply-adds over sixteen output channels.

use rayon::prelude::*;

use super::settings::{SDF_CLAMP_M, SDF_UNIT_M};
use super::weights::{conv_stages, ConvStage, GraspNetwork, NORM_GROUPS};
use crate::lanes::{load, store, Lanes, LANES};
use crate::scene::VoxelGrid;

const NORM_EPSILON: f64 = 1e-5;
/// Output voxels whose sums are held in registers together.
const TILE: usize = 12;

/// Channel-last values with a zero border.
struct Volume {
    size: [usize; 3],
    channels: usize,
    data: Vec<f32>,
}

impl Volume {
    fn new(size: [usize; 3], channels: usize) -> Self {
        let [x, y, z] = size.map(|n| n + 2);
        Self {
            size,
            channels,
            data: vec![0.0; x * y * z * channels],
        }
    }

    /// Values of one x plane, border included.
    fn plane(&self) -> usize {
        (self.size[1] + 2) * self.row()
    }

    /// Values of one row along z, border included.
    fn row(&self) -> usize {
        (self.size[2] + 2) * self.channels
    }

    /// Calls `visit(x, y, interior of the row)` for all rows, planes in parallel.
    fn for_rows(&mut self, visit: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let (plane, row, channels, [nx, ny, _]) =
            (self.plane(), self.row(), self.channels, self.size);
        self.data[plane..(nx + 1) * plane]
            .par_chunks_mut(plane)
            .enumerate()
            .for_each(|(x, plane)| {
                for y in 0..ny {
                    let start = (y + 1) * row;
                    visit(x, y, &mut plane[start + channels..start + row - channels]);
                }
            });
    }

    /// Interior of a row.
    fn interior(&self, x: usize, y: usize) -> &[f32] {
        let start = (x + 1) * self.plane() + (y + 1) * self.row();
        &self.data[start + self.channels..start + self.row() - self.channels]
    }
}

/// A convolution with its weights laid out as [tap][input][output].
struct PackedConv {
    stage: ConvStage,
    weights: Vec<Lanes>,
    bias: Vec<f32>,
    norm_weight: Vec<f32>,
    norm_bias: Vec<f32>,
}

impl PackedConv {
    fn new(network: &GraspNetwork, stage: ConvStage) -> Self {
        let values = |what: &str| network.values(&format!("encoder.{}.{what}", stage.name));
        let (inputs, outputs) = (stage.inputs, stage.outputs);
        let torch = values("weight");
        let mut weights = vec![0.0; torch.len()];
        for output in 0..outputs {
            for input in 0..inputs {
                for tap in 0..27 {
                    weights[(tap * inputs + input) * outputs + output] =
                        torch[(output * inputs + input) * 27 + tap];
                }
            }
        }
        Self {
            stage,
            weights: weights.chunks_exact(LANES).map(load).collect(),
            bias: values("bias").to_vec(),
            norm_weight: values("norm_weight").to_vec(),
            norm_bias: values("norm_bias").to_vec(),
        }
    }

    /// Convolution, group norm, SiLU.
    fn apply(&self, input: &Volume) -> Volume {
        let mut output = Volume::new(
            input.size.map(|n| n / self.stage.stride),
            self.stage.outputs,
        );
        output.for_rows(|x, y, row| self.convolve_row(input, [x, y], row));
        normalise_and_activate(&mut output, &self.norm_weight, &self.norm_bias);
        output
    }

    fn convolve_row(&self, input: &Volume, [x, y]: [usize; 2], row: &mut [f32]) {
        let voxels = row.len() / self.stage.outputs;
        let mut first = 0;
        while first < voxels {
            let rest = voxels - first;
            for block in 0..self.stage.outputs / LANES {
                match rest {
                    TILE.. => self.convolve_tile::<TILE>(input, [x, y, first], block, row),
                    6.. => self.convolve_tile::<6>(input, [x, y, first], block, row),
                    _ => self.convolve_tile::<1>(input, [x, y, first], block, row),
                }
            }
            first += match rest {
                TILE.. => TILE,
                6.. => 6,
                _ => 1,
            };
        }
    }

    /// `N` output voxels along z, sixteen output channels.
    #[allow(clippy::needless_range_loop)]
    fn convolve_tile<const N: usize>(
        &self,
        input: &Volume,
        [x, y, z]: [usize; 3],
        block: usize,
        row: &mut [f32],
    ) {
        let ConvStage {
            inputs,
            outputs,
            stride,
            ..
        } = self.stage;
        let mut sums = [load(&self.bias[block * LANES..]); N];
        for tap in 0..9 {
            // The border makes input index = stride * output + tap.
            let start =
                (stride * x + tap / 3) * input.plane() + (stride * y + tap % 3) * input.row();
            let source = &input.data[start + stride * z * inputs..];
            let blocks = outputs / LANES;
            let taps = &self.weights[tap * 3 * inputs * blocks..][..3 * inputs * blocks];
            // The three z taps are neighbours in the channel-last row: one run of 3 * inputs values.
            let runs: [&[f32]; N] =
                std::array::from_fn(|n| &source[n * stride * inputs..][..3 * inputs]);
            for k in 0..3 * inputs {
                let weight = taps[k * blocks + block];
                for n in 0..N {
                    sums[n] = Lanes::splat(runs[n][k]).mul_add(weight, sums[n]);
                }
            }
        }
        for (n, sum) in sums.iter().enumerate() {
            let at = (z + n) * outputs + block * LANES;
            store(*sum, &mut row[at..]);
        }
    }
}

/// Group norm over all voxels of a volume, then SiLU.
fn normalise_and_activate(volume: &mut Volume, weight: &[f32], bias: &[f32]) {
    let [nx, ny, nz] = volume.size;
    let channels = volume.channels;
    let moments = (0..nx)
        .into_par_iter()
        .map(|x| {
            let mut sums = vec![[0f64; 2]; channels];
            for y in 0..ny {
                let row = volume.interior(x, y);
                for (c, sum) in sums.iter_mut().enumerate() {
                    for value in row.iter().skip(c).step_by(channels) {
                        sum[0] += *value as f64;
                        sum[1] += (*value as f64).powi(2);
                    }
                }
            }
            sums
        })
        // Collected before summing, so that the order of additions does not depend on the threads.
        .collect::<Vec<_>>();
    let per_group = channels / NORM_GROUPS;
    let count = (per_group * nx * ny * nz) as f64;
    let (mut scale, mut shift) = (vec![0f32; channels], vec![0f32; channels]);
    for group in 0..NORM_GROUPS {
        let members = group * per_group..(group + 1) * per_group;
        let total = |moment: usize| {
            moments
                .iter()
                .map(|m| m[members.clone()].iter().map(|s| s[moment]).sum::<f64>())
                .sum::<f64>()
        };
        let mean = total(0) / count;
        let deviation = (total(1) / count - mean * mean).max(0.0);
        let inverse = 1.0 / (deviation + NORM_EPSILON).sqrt();
        for c in members {
            scale[c] = weight[c] * inverse as f32;
            shift[c] = bias[c] - (mean * inverse) as f32 * weight[c];
        }
    }
    volume.for_rows(|_, _, row| {
        for voxel in row.chunks_exact_mut(channels) {
            for ((values, scale), shift) in voxel
                .chunks_exact_mut(LANES)
                .zip(scale.chunks_exact(LANES))
                .zip(shift.chunks_exact(LANES))
            {
                let x = load(values).mul_add(load(scale), load(shift));
                let y = x / (Lanes::splat(1.0) + (-x).exp());
                store(y, values);
            }
        }
    });
}

/// A 1 x 1 x 1 convolution; torch weights are [output][input].
fn pointwise(input: &Volume, weight: &[f32], bias: &[f32]) -> Volume {
    let (inputs, outputs) = (input.channels, bias.len());
    let mut transposed = vec![0.0; weight.len()];
    for output in 0..outputs {
        for k in 0..inputs {
            transposed[k * outputs + output] = weight[output * inputs + k];
        }
    }
    let mut result = Volume::new(input.size, outputs);
    result.for_rows(|x, y, row| {
        for (values, out) in input
            .interior(x, y)
            .chunks_exact(inputs)
            .zip(row.chunks_exact_mut(outputs))
        {
            for block in (0..outputs).step_by(LANES) {
                let mut sum = load(&bias[block..]);
                for (k, value) in values.iter().enumerate() {
                    sum =
                        Lanes::splat(*value).mul_add(load(&transposed[k * outputs + block..]), sum);
                }
                store(sum, &mut out[block..]);
            }
        }
    });
    result
}

/// `coarse` upsampled by two (nearest neighbour), then the channels of `fine`.
fn doubled_and_joined(coarse: &Volume, fine: &Volume) -> Volume {
    let mut joined = Volume::new(fine.size, coarse.channels + fine.channels);
    let channels = joined.channels;
    joined.for_rows(|x, y, row| {
        let (coarse_row, fine_row) = (coarse.interior(x / 2, y / 2), fine.interior(x, y));
        for (z, out) in row.chunks_exact_mut(channels).enumerate() {
            out[..coarse.channels]
                .copy_from_slice(&coarse_row[z / 2 * coarse.channels..][..coarse.channels]);
            out[coarse.channels..].copy_from_slice(&fine_row[z * fine.channels..][..fine.channels]);
        }
    });
    joined
}

/// The eight clipped distances of each 2 x 2 x 2 cell as channels.
fn cells(grid: &VoxelGrid) -> Volume {
    let mut volume = Volume::new(grid.size.map(|n| n / 2), 8);
    volume.for_rows(|x, y, row| {
        for (z, out) in row.chunks_exact_mut(8).enumerate() {
            for (c, value) in out.iter_mut().enumerate() {
                let sample = grid.at([2 * x + (c >> 2), 2 * y + (c >> 1 & 1), 2 * z + (c & 1)]);
                *value = sample.clamp(SDF_CLAMP_M[0], SDF_CLAMP_M[1]) / SDF_UNIT_M;
            }
        }
    });
    volume
}

/// Feature rows `[nx/2 * ny/2 * nz/2][channels]` of a distance grid whose size is a multiple of 8 along each axis.
pub(super) fn encode(network: &GraspNetwork, grid: &VoxelGrid) -> Vec<f32> {
    let [stem, down1, middle, down2, deep1, deep2, up1, up2] =
        conv_stages(network.settings().encoder_width).map(|stage| PackedConv::new(network, stage));
    let fine = stem.apply(&cells(grid));
    let half = middle.apply(&down1.apply(&fine));
    let deep = deep2.apply(&deep1.apply(&down2.apply(&half)));
    let half = up1.apply(&doubled_and_joined(&deep, &half));
    let narrow = pointwise(
        &half,
        network.values("encoder.narrow.weight"),
        network.values("encoder.narrow.bias"),
    );
    let fine = up2.apply(&doubled_and_joined(&narrow, &fine));
    let features = pointwise(
        &fine,
        network.values("encoder.features.weight"),
        network.values("encoder.features.bias"),
    );
    let mut rows = Vec::with_capacity(features.size.iter().product::<usize>() * features.channels);
    for x in 0..features.size[0] {
        for y in 0..features.size[1] {
            rows.extend_from_slice(features.interior(x, y));
        }
    }
    rows
}
