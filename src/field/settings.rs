//! Everything that fixes a field besides its weights. Travels with the weights.

use serde::{Deserialize, Serialize};

use super::schedule::NoiseSchedule;
use crate::robot::GripperGeometry;

/// Convolution stages halve the grid this many times below the feature grid, so its size is a multiple of 4.
pub const FEATURE_GRID_MULTIPLE: usize = 4;
/// Samples of the distance grid per feature cell along an axis.
pub const SAMPLES_PER_CELL: usize = 2;
/// Scales of the three squashed distances beside the learned features, m.
pub const SDF_SCALES_M: [f32; 3] = [0.006, 0.02, 0.08];
/// The encoder sees the distance cut to this range, m, in units of [`SDF_UNIT_M`].
pub const SDF_CLAMP_M: [f32; 2] = [-0.02, 0.05];
/// Unit in which the encoder reads distances and in which feature 0 predicts them, m.
pub const SDF_UNIT_M: f32 = 0.02;
/// Inputs of the noise embedding: the level and eight sines and cosines of it.
pub const LEVEL_INPUTS: usize = 17;
/// Width of the noise embedding.
pub const LEVEL_WIDTH: usize = 64;

/// Shape of the network, geometry of its grid and query points, noise levels, gripper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldSettings {
    /// Distance between samples of the distance grid, m. Features lie twice as far apart.
    pub spacing_m: f64,
    /// Samples along an axis of the training cube; the smallest grid an object gets.
    pub grid_size: usize,
    /// Learned features per grid point; a multiple of 16.
    pub feature_channels: usize,
    /// Channels of the encoder's finest stage; a multiple of 16.
    pub encoder_width: usize,
    /// Widths of the decoder's two hidden layers; multiples of 16.
    pub decoder_widths: [usize; 2],
    /// Query points; a multiple of 16.
    pub points: usize,
    /// Standard deviation of the finger centres in the data, m: the Gaussian part of the energy.
    pub prior_m: f32,
    pub schedule: NoiseSchedule,
    pub gripper_name: String,
    pub gripper: GripperGeometry,
}

impl Default for FieldSettings {
    fn default() -> Self {
        Self {
            spacing_m: 0.0055,
            grid_size: 48,
            feature_channels: 16,
            encoder_width: 16,
            decoder_widths: [256, 128],
            points: 32,
            prior_m: 0.055,
            schedule: NoiseSchedule::default(),
            gripper_name: "franka_hand".into(),
            gripper: GripperGeometry::default(),
        }
    }
}

impl FieldSettings {
    /// Settings as they lie beside weights, also earlier ones.
    ///
    /// # Errors
    /// What serde says of a field that is unknown or of another type.
    pub(super) fn from_stored(json: &str) -> serde_json::Result<Self> {
        serde_json::from_value(with_palm_boxes(serde_json::from_str(json)?))
    }

    /// Names the first value that no network can have.
    pub fn problem(&self) -> Option<String> {
        let sixteen = [
            ("feature_channels", self.feature_channels),
            ("encoder_width", self.encoder_width),
            ("decoder_widths[0]", self.decoder_widths[0]),
            ("decoder_widths[1]", self.decoder_widths[1]),
            ("points", self.points),
        ];
        if let Some((name, value)) = sixteen.iter().find(|(_, v)| *v == 0 || v % 16 != 0) {
            return Some(format!(
                "{name} is {value}, expected a positive multiple of 16"
            ));
        }
        let multiple = FEATURE_GRID_MULTIPLE * SAMPLES_PER_CELL;
        if self.grid_size == 0 || !self.grid_size.is_multiple_of(multiple) {
            return Some(format!(
                "grid_size is {}, expected a positive multiple of {multiple}",
                self.grid_size
            ));
        }
        let positive = [
            ("spacing_m", self.spacing_m),
            ("prior_m", self.prior_m as f64),
            ("schedule.sigma_min_rad", self.schedule.sigma_min_rad as f64),
            ("schedule.length_m", self.schedule.length_m as f64),
        ];
        if let Some((name, value)) = positive.iter().find(|(_, v)| !(v.is_finite() && *v > 0.0)) {
            return Some(format!("{name} is {value}, expected a positive number"));
        }
        if let Some(problem) = self.gripper.problem() {
            return Some(format!("gripper: {problem}"));
        }
        (self.schedule.sigma_max_rad <= self.schedule.sigma_min_rad)
            .then(|| "schedule.sigma_max_rad does not exceed sigma_min_rad".into())
    }

    /// Height of the finger centre over the gripper frame's origin, m: the point about which poses diffuse.
    pub fn finger_centre_m(&self) -> f64 {
        self.gripper.finger_centre_m()
    }

    /// Inputs of the decoder: all features, then the squashed distances of all points.
    pub fn decoder_inputs(&self) -> usize {
        self.points * (self.feature_channels + SDF_SCALES_M.len())
    }

    /// Query points about the finger centre in gripper axes, m: half of them around the finger pads, half
    /// in the volume of the hand, each with its mirror image under the half turn that a parallel gripper
    /// does not notice. Low-discrepancy (R3 sequence), so they fill the volume without a seed.
    pub fn query_points(&self) -> Vec<[f32; 3]> {
        // Inverse powers of the root of x^4 = x + 1.
        const STEPS: [f64; 3] = [
            0.819_172_513_396_164_5,
            0.671_043_606_703_789_3,
            0.549_700_477_901_970_3,
        ];
        let gripper = &self.gripper;
        let tip = gripper.tip_m;
        let outside = 0.5 * gripper.max_opening_m + gripper.finger_thickness_m + 0.002;
        let beside = 0.5 * gripper.finger_width_m + 0.0095;
        let [reach_x, reach_y] = gripper.palm_reach_m();
        let regions = [
            (
                [-outside, -beside, tip - gripper.pad_length_m - 0.0195],
                [outside, beside, tip + 0.018],
            ),
            (
                [0.001 - reach_x, -reach_y - 0.012, -0.02],
                [reach_x - 0.001, reach_y + 0.012, tip + 0.028],
            ),
        ];
        let mut points = Vec::with_capacity(self.points);
        for i in 0..self.points / 2 {
            let (low, high) = regions[i % 2];
            let p: [f64; 3] = std::array::from_fn(|a| {
                let place = (0.5 + STEPS[a] * (i + 1) as f64).fract();
                low[a] + place * (high[a] - low[a])
            });
            let z = (p[2] - self.finger_centre_m()) as f32;
            points.push([p[0] as f32, p[1] as f32, z]);
            points.push([-p[0] as f32, -p[1] as f32, z]);
        }
        points
    }

    /// Inputs of the noise embedding at a level.
    pub fn level_inputs(t: f32) -> [f32; LEVEL_INPUTS] {
        let x = 2.0 * t - 1.0;
        std::array::from_fn(|i| match i {
            0 => x,
            1..=8 => (x * i as f32 * std::f32::consts::FRAC_PI_2).sin(),
            _ => (x * (i - 8) as f32 * std::f32::consts::FRAC_PI_2).cos(),
        })
    }
}

/// Settings of earlier weights in today's words: they had one palm box and gave the height of the finger centre.
fn with_palm_boxes(mut settings: serde_json::Value) -> serde_json::Value {
    let centre_m = settings
        .as_object_mut()
        .and_then(|s| s.remove("finger_centre_m"));
    let Some(gripper) = settings.get_mut("gripper").and_then(|g| g.as_object_mut()) else {
        return settings;
    };
    let number = |value: Option<&serde_json::Value>| value.and_then(serde_json::Value::as_f64);
    if let (Some(centre_m), Some(tip_m)) = (number(centre_m.as_ref()), number(gripper.get("tip_m")))
    {
        gripper.insert("grasp_depth_m".into(), (tip_m - centre_m).into());
    }
    let half = gripper.remove("palm_half_extents_m");
    let height = gripper.remove("palm_center_z_m");
    if let (Some(half), Some(height)) = (half, height) {
        let palm = serde_json::json!([{ "center_m": [0.0, 0.0, height], "half_extents_m": half }]);
        gripper.insert("palm".into(), palm);
    }
    settings
}
