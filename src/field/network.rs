//! The network in torch: the form that is trained, and the oracle of the native one.

use std::collections::BTreeMap;

use tch::{no_grad, Device, Kind, Tensor};

use super::settings::{FieldSettings, SDF_CLAMP_M, SDF_SCALES_M, SDF_UNIT_M};
use super::weights::{
    conv_stages, ConvStage, GraspNetwork, Weight, WeightsError, NORM_GROUPS, POINTS,
};

/// Epsilon of the group norms, torch's default.
pub const NORM_EPSILON: f64 = 1e-5;

/// Weights as torch tensors.
pub struct TorchNetwork {
    pub settings: FieldSettings,
    /// By what the encoder's convolutions multiply; weights, sums and all else stay single precision.
    pub convolution_kind: Kind,
    /// By name; all but `points` are trained.
    pub weights: BTreeMap<String, Tensor>,
}

/// Where the query points of B poses lie in the grids, with P = B * points. Geometry only: no weights in it.
pub struct QueryGeometry {
    /// Rows of the feature volumes at the eight corners, i64 `[P * 8]`.
    pub corners: Tensor,
    /// Value and x, y, z derivative as sums over the corners, `[P, 4, 8]`; derivatives per m.
    pub corner_weights: Tensor,
    /// Squashed distances `[P, 3]`.
    pub squashed: Tensor,
    /// Their derivatives by position `[P, 3 (xyz), 3 (scales)]`, per m.
    pub squashed_slopes: Tensor,
    /// From the finger centre to the points in object axes, m `[B, points, 3]`.
    pub levers: Tensor,
    /// Finger centre relative to the grid's middle, m `[B, 3]`.
    pub centres: Tensor,
}

impl QueryGeometry {
    pub fn to_device(&self, device: Device) -> Self {
        Self {
            corners: self.corners.to_device(device),
            corner_weights: self.corner_weights.to_device(device),
            squashed: self.squashed.to_device(device),
            squashed_slopes: self.squashed_slopes.to_device(device),
            levers: self.levers.to_device(device),
            centres: self.centres.to_device(device),
        }
    }
}

/// Energy and its gradient in noise units.
pub struct ScoredPoses {
    /// `[B]`.
    pub energy: Tensor,
    /// `[B, 6]`: sigma_m dE/d(finger centre), sigma dE/d(rotation from the left, about the finger centre).
    pub scaled_gradient: Tensor,
}

impl TorchNetwork {
    /// Copies weights to a device; `trainable` asks torch for their gradients.
    pub fn new(network: &GraspNetwork, device: Device, trainable: bool) -> Self {
        let weights = network
            .weights()
            .iter()
            .map(|(name, weight)| {
                let shape: Vec<i64> = weight.shape.iter().map(|&n| n as i64).collect();
                let tensor = Tensor::from_slice(&weight.values)
                    .reshape(&shape)
                    .to_device(device);
                (
                    name.clone(),
                    tensor.set_requires_grad(trainable && name != POINTS),
                )
            })
            .collect();
        Self {
            settings: network.settings().clone(),
            convolution_kind: Kind::Float,
            weights,
        }
    }

    /// The same weights with gradients of their own, so that another thread can differentiate by them.
    pub fn replica(&self) -> Self {
        let copy = |(name, weight): (&String, &Tensor)| {
            let trainable = weight.requires_grad();
            (name.clone(), weight.detach().set_requires_grad(trainable))
        };
        Self {
            settings: self.settings.clone(),
            convolution_kind: self.convolution_kind,
            weights: self.weights.iter().map(copy).collect(),
        }
    }

    /// Adds the gradients of a replica to the own ones.
    pub fn add_gradients(&self, replica: &Self) {
        no_grad(|| {
            for (name, weight) in &self.weights {
                let (sum, gradient) = (weight.grad(), replica.weights[name].grad());
                if sum.defined() && gradient.defined() {
                    let _ = { sum }.g_add_(&gradient);
                }
            }
        });
    }

    /// Copies the weights back.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] after a training run that diverged.
    pub fn to_network(
        &self,
        notes: BTreeMap<String, String>,
    ) -> Result<GraspNetwork, WeightsError> {
        let weights = self
            .weights
            .iter()
            .map(|(name, tensor)| (name.clone(), host_copy(tensor)))
            .collect();
        GraspNetwork::from_weights(self.settings.clone(), weights, notes)
    }

    fn weight(&self, name: &str) -> &Tensor {
        // Every name in this file is one of `weight_table`, against which the weights were checked.
        &self.weights[name]
    }

    fn conv_stage(&self, stage: &ConvStage, input: &Tensor) -> Tensor {
        let part = |what: &str| self.weight(&format!("encoder.{}.{what}", stage.name));
        let [weight, bias] = ["weight", "bias"].map(|w| part(w).to_kind(self.convolution_kind));
        let stride = stage.stride as i64;
        input
            .to_kind(self.convolution_kind)
            .conv3d(&weight, Some(&bias), [stride; 3], [1i64; 3], [1i64; 3], 1)
            .to_kind(Kind::Float)
            .group_norm(
                NORM_GROUPS as i64,
                Some(part("norm_weight")),
                Some(part("norm_bias")),
                NORM_EPSILON,
                false,
            )
            .silu()
    }

    /// A 1 x 1 x 1 convolution.
    fn pointwise(&self, name: &str, input: &Tensor) -> Tensor {
        let weight = self
            .weight(&format!("{name}.weight"))
            .unsqueeze(-1)
            .unsqueeze(-1)
            .unsqueeze(-1);
        let bias = self.weight(&format!("{name}.bias"));
        input.conv3d(&weight, Some(bias), [1i64; 3], [0i64; 3], [1i64; 3], 1)
    }

    /// Distance grids `[O, nx, ny, nz]`, m, to feature rows `[O * nx/2 * ny/2 * nz/2, channels]`.
    pub fn encode(&self, distances: &Tensor) -> Tensor {
        let size = distances.size();
        let (o, x, y, z) = (size[0], size[1] / 2, size[2] / 2, size[3] / 2);
        let unit = SDF_UNIT_M as f64;
        let cut = distances.clamp(SDF_CLAMP_M[0] as f64, SDF_CLAMP_M[1] as f64) / unit;
        // Eight samples of a cell become its channels, so that the finest convolution runs on an eighth of the voxels.
        let cells = cut
            .reshape([o, x, 2, y, 2, z, 2])
            .permute([0, 2, 4, 6, 1, 3, 5])
            .reshape([o, 8, x, y, z]);
        let [stem, down1, middle, down2, deep1, deep2, up1, up2] =
            conv_stages(self.settings.encoder_width);
        let fine = self.conv_stage(&stem, &cells);
        let half = self.conv_stage(&middle, &self.conv_stage(&down1, &fine));
        let deep = self.conv_stage(
            &deep2,
            &self.conv_stage(&deep1, &self.conv_stage(&down2, &half)),
        );
        let half = self.conv_stage(&up1, &Tensor::cat(&[doubled(&deep), half], 1));
        let narrow = self.pointwise("encoder.narrow", &half);
        let fine = self.conv_stage(&up2, &Tensor::cat(&[doubled(&narrow), fine], 1));
        let features = self.pointwise("encoder.features", &fine);
        features
            .flatten(2, 4)
            .transpose(1, 2)
            .reshape([-1, self.settings.feature_channels as i64])
    }

    /// The decoder's raw output for inputs `[B, inputs]` at level inputs `[B, LEVEL_INPUTS]`: `[B]`.
    pub fn decode(&self, inputs: &Tensor, level_inputs: &Tensor) -> Tensor {
        let dense = |name: &str, x: &Tensor| {
            x.linear(
                self.weight(&format!("decoder.{name}.weight")),
                Some(self.weight(&format!("decoder.{name}.bias"))),
            )
        };
        let level = dense("level", level_inputs).silu();
        let modulated = |hidden: Tensor, film: Tensor| {
            let parts = film.chunk(2, 1);
            (hidden * (&parts[0] + 1.0) + &parts[1]).silu()
        };
        let hidden = modulated(dense("layer1", inputs), dense("film1", &level));
        let hidden = modulated(dense("layer2", &hidden), dense("film2", &level));
        dense("layer3", &hidden).squeeze_dim(1)
    }

    /// Energy and gradient of poses in feature rows. `sigma` `[B]`: rotation noise of each pose's level, rad.
    ///
    /// With `trainable` the result can be differentiated by the weights. The gradient is never
    /// differentiated twice through the volume: value and slope of the features are linear in it.
    pub fn score(
        &self,
        features: &Tensor,
        query: &QueryGeometry,
        level_inputs: &Tensor,
        sigma: &Tensor,
        trainable: bool,
    ) -> ScoredPoses {
        let poses = query.centres.size()[0];
        let points = self.settings.points as i64;
        let channels = self.settings.feature_channels as i64;
        let scales = SDF_SCALES_M.len() as i64;
        let (inputs, slopes) = self.decoder_inputs(features, query);
        let inputs = if inputs.requires_grad() {
            inputs
        } else {
            inputs.set_requires_grad(true)
        };
        let decoded = self.decode(&inputs, level_inputs);
        let by_input = Tensor::run_backward(
            &[decoded.sum(Kind::Float)],
            &[&inputs],
            trainable,
            trainable,
        )
        .remove(0);
        let by_feature = by_input
            .narrow(1, 0, points * channels)
            .reshape([-1, channels, 1]);
        let by_squashed = by_input
            .narrow(1, points * channels, points * scales)
            .reshape([-1, scales, 1]);
        let by_point = (slopes.bmm(&by_feature) + query.squashed_slopes.bmm(&by_squashed))
            .reshape([poses, points, 3]);
        let force = by_point.sum_dim_intlist(1, false, Kind::Float);
        let torque = query
            .levers
            .linalg_cross(&by_point, 2)
            .sum_dim_intlist(1, false, Kind::Float);

        let length = self.settings.schedule.length_m as f64;
        let sigma_m = sigma * length;
        let variance = self.variance(sigma);
        let energy = decoded / sigma + from_prior(query, &variance);
        let by_centre = force * length + &query.centres * (sigma_m / variance).unsqueeze(1);
        ScoredPoses {
            energy,
            scaled_gradient: Tensor::cat(&[by_centre, torque], 1),
        }
    }

    /// Energy of poses `[B]` alone, differentiable by the weights; arguments as of [`Self::score`].
    pub fn energy(
        &self,
        features: &Tensor,
        query: &QueryGeometry,
        level_inputs: &Tensor,
        sigma: &Tensor,
    ) -> Tensor {
        let (inputs, _) = self.decoder_inputs(features, query);
        self.decode(&inputs, level_inputs) / sigma + from_prior(query, &self.variance(sigma))
    }

    /// Inputs of the decoder `[B, inputs]`, and the features' derivatives by position `[P, 3, channels]`, per m.
    fn decoder_inputs(&self, features: &Tensor, query: &QueryGeometry) -> (Tensor, Tensor) {
        let poses = query.centres.size()[0];
        let points = self.settings.points as i64;
        let channels = self.settings.feature_channels as i64;
        let scales = SDF_SCALES_M.len() as i64;
        let corner_rows = features
            .index_select(0, &query.corners)
            .reshape([-1, 8, channels]);
        let lookup = query.corner_weights.bmm(&corner_rows);
        let values = lookup.select(1, 0).reshape([poses, points * channels]);
        let squashed = query.squashed.reshape([poses, points * scales]);
        (Tensor::cat(&[values, squashed], 1), lookup.narrow(1, 1, 3))
    }

    /// Variance of the Gaussian part of the energy at rotation noise `sigma` `[B]`, m^2.
    fn variance(&self, sigma: &Tensor) -> Tensor {
        let sigma_m = sigma * self.settings.schedule.length_m as f64;
        sigma_m.square() + (self.settings.prior_m as f64).powi(2)
    }
}

/// The Gaussian part of the energy `[B]`.
fn from_prior(query: &QueryGeometry, variance: &Tensor) -> Tensor {
    let squares = query.centres.square();
    squares.sum_dim_intlist(1, false, Kind::Float) / variance * 0.5
}

/// Nearest-neighbour upsampling by two.
fn doubled(x: &Tensor) -> Tensor {
    let size = x.size();
    x.upsample_nearest3d([2 * size[2], 2 * size[3], 2 * size[4]], None, None, None)
}

/// A tensor as plain values.
pub fn host_copy(tensor: &Tensor) -> Weight {
    let flat = tensor
        .detach()
        .to_device(Device::Cpu)
        .to_kind(Kind::Float)
        .contiguous();
    let mut values = vec![0f32; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    Weight {
        shape: tensor.size().iter().map(|&n| n as usize).collect(),
        values,
    }
}
