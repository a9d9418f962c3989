//! The network's weights: what there is, how they lie in a file, what can be wrong with a file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use half::f16;
use rand::{RngExt, SeedableRng};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::SafeTensors;
use thiserror::Error;

use super::settings::{FieldSettings, LEVEL_INPUTS, LEVEL_WIDTH};
use crate::robot::GripperGeometry;

/// Version of the file format and of the architecture. A change of either raises it.
pub const FORMAT_VERSION: u32 = 1;

const VERSION_KEY: &str = "format_version";
const SETTINGS_KEY: &str = "settings";
/// The note that marks a success classifier, whose energy is good for comparisons alone.
pub const CLASSIFIER_KEY: &str = "classifier";

/// Why weights cannot be used.
#[derive(Debug, Error)]
pub enum WeightsError {
    #[error("weights {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("weights: truncated or damaged: {0}")]
    Damaged(String),
    #[error("weights: format version {found}, this program reads version {FORMAT_VERSION}")]
    Version { found: String },
    #[error("weights: a success classifier, no grasp field; only `dfp eval smoothness --classifier` takes it")]
    Classifier,
    #[error("weights: a grasp field, no success classifier")]
    NoClassifier,
    #[error("weights: metadata '{key}': {problem}")]
    Metadata { key: &'static str, problem: String },
    #[error("weights: settings: {0}")]
    Settings(String),
    #[error("weights: tensor '{name}' is missing")]
    Missing { name: String },
    #[error("weights: tensor '{name}' is {found:?}, expected {expected:?}")]
    Shape {
        name: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    #[error("weights: tensor '{name}' holds a value that is not finite")]
    NotFinite { name: String },
}

/// One weight tensor, row-major as in torch.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Weights and settings of a grasp field, checked against each other. Needs no torch.
#[derive(Debug, Clone, PartialEq)]
pub struct GraspNetwork {
    settings: FieldSettings,
    weights: BTreeMap<String, Weight>,
    /// Free text by key: training configuration, measured figures.
    pub notes: BTreeMap<String, String>,
}

/// One 3 x 3 x 3 convolution with group norm and SiLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvStage {
    pub name: &'static str,
    pub inputs: usize,
    pub outputs: usize,
    pub stride: usize,
}

/// The tensor of the query points.
pub(crate) const POINTS: &str = "points";

/// Groups of every group norm.
pub const NORM_GROUPS: usize = 4;

/// The encoder's convolutions: a U-Net of three levels over the feature grid.
pub fn conv_stages(width: usize) -> [ConvStage; 8] {
    let stage = |name, inputs, outputs, stride| ConvStage {
        name,
        inputs,
        outputs,
        stride,
    };
    [
        stage("stem", 8, width, 1),
        stage("down1", width, 2 * width, 2),
        stage("middle", 2 * width, 2 * width, 1),
        stage("down2", 2 * width, 3 * width, 2),
        stage("deep1", 3 * width, 3 * width, 1),
        stage("deep2", 3 * width, 2 * width, 1),
        stage("up1", 4 * width, 2 * width, 1),
        stage("up2", 2 * width, width, 1),
    ]
}

/// Every tensor of the network: name, shape, fan-in (0: starts at zero; `None`: starts at one).
pub fn weight_table(settings: &FieldSettings) -> Vec<(String, Vec<usize>, Option<usize>)> {
    let width = settings.encoder_width;
    let [hidden1, hidden2] = settings.decoder_widths;
    let mut table = Vec::new();
    for stage in conv_stages(width) {
        let name = format!("encoder.{}", stage.name);
        let fan_in = stage.inputs * 27;
        table.push((
            format!("{name}.weight"),
            vec![stage.outputs, stage.inputs, 3, 3, 3],
            Some(fan_in),
        ));
        table.push((format!("{name}.bias"), vec![stage.outputs], Some(fan_in)));
        table.push((format!("{name}.norm_weight"), vec![stage.outputs], None));
        table.push((format!("{name}.norm_bias"), vec![stage.outputs], Some(0)));
    }
    let mut dense = |name: &str, outputs: usize, inputs: usize, fan_in: usize| {
        table.push((
            format!("{name}.weight"),
            vec![outputs, inputs],
            Some(fan_in),
        ));
        table.push((format!("{name}.bias"), vec![outputs], Some(fan_in)));
    };
    dense("encoder.narrow", width, 2 * width, 2 * width);
    dense("encoder.features", settings.feature_channels, width, width);
    dense("decoder.level", LEVEL_WIDTH, LEVEL_INPUTS, LEVEL_INPUTS);
    dense("decoder.film1", 2 * hidden1, LEVEL_WIDTH, 0);
    dense("decoder.film2", 2 * hidden2, LEVEL_WIDTH, 0);
    dense(
        "decoder.layer1",
        hidden1,
        settings.decoder_inputs(),
        settings.decoder_inputs(),
    );
    dense("decoder.layer2", hidden2, hidden1, hidden1);
    dense("decoder.layer3", 1, hidden2, hidden2);
    table.push((POINTS.into(), vec![settings.points, 3], Some(0)));
    table
}

impl GraspNetwork {
    /// An untrained network: uniform in +-1/sqrt(fan-in), as torch starts; query points in place.
    ///
    /// # Errors
    /// [`WeightsError::Settings`] for settings that no network can have.
    pub fn untrained(settings: FieldSettings, seed: u64) -> Result<Self, WeightsError> {
        if let Some(problem) = settings.problem() {
            return Err(WeightsError::Settings(problem));
        }
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        let mut weights: BTreeMap<String, Weight> = weight_table(&settings)
            .into_iter()
            .map(|(name, shape, fan_in)| {
                let count = shape.iter().product();
                let values = match fan_in {
                    None => vec![1.0; count],
                    Some(0) => vec![0.0; count],
                    Some(n) => {
                        let bound = (n as f32).sqrt().recip();
                        (0..count)
                            .map(|_| rng.random_range(-bound..bound))
                            .collect()
                    }
                };
                (name, Weight { shape, values })
            })
            .collect();
        if let Some(points) = weights.get_mut(POINTS) {
            points.values = settings.query_points().into_iter().flatten().collect();
        }
        Ok(Self {
            settings,
            weights,
            notes: BTreeMap::new(),
        })
    }

    /// Weights by name against settings.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Shape`], [`WeightsError::NotFinite`], [`WeightsError::Settings`].
    pub fn from_weights(
        settings: FieldSettings,
        mut weights: BTreeMap<String, Weight>,
        notes: BTreeMap<String, String>,
    ) -> Result<Self, WeightsError> {
        if let Some(problem) = settings.problem() {
            return Err(WeightsError::Settings(problem));
        }
        let mut kept = BTreeMap::new();
        for (name, expected, _) in weight_table(&settings) {
            let weight = weights
                .remove(&name)
                .ok_or_else(|| WeightsError::Missing { name: name.clone() })?;
            if weight.shape != expected || weight.values.len() != expected.iter().product::<usize>()
            {
                return Err(WeightsError::Shape {
                    name,
                    expected,
                    found: weight.shape,
                });
            }
            if weight.values.iter().any(|x| !x.is_finite()) {
                return Err(WeightsError::NotFinite { name });
            }
            kept.insert(name, weight);
        }
        Ok(Self {
            settings,
            weights: kept,
            notes,
        })
    }

    /// The same weights at the query points of another gripper: a start for its training.
    ///
    /// # Errors
    /// [`WeightsError::Settings`] for a gripper that cannot be.
    pub fn with_gripper(
        mut self,
        name: &str,
        gripper: &GripperGeometry,
    ) -> Result<Self, WeightsError> {
        self.settings.gripper_name = name.into();
        self.settings.gripper = gripper.clone();
        if let Some(problem) = self.settings.problem() {
            return Err(WeightsError::Settings(problem));
        }
        if let Some(points) = self.weights.get_mut(POINTS) {
            points.values = self.settings.query_points().into_iter().flatten().collect();
        }
        Ok(self)
    }

    pub fn settings(&self) -> &FieldSettings {
        &self.settings
    }

    /// All weights by name.
    pub fn weights(&self) -> &BTreeMap<String, Weight> {
        &self.weights
    }

    /// Values of a tensor of [`weight_table`]; empty for any other name.
    pub(super) fn values(&self, name: &str) -> &[f32] {
        self.weights.get(name).map_or(&[], |weight| &weight.values)
    }

    /// The weights that come with this crate, see docs/TRAINING.md.
    ///
    /// # Errors
    /// None but for a damaged build.
    pub fn shipped() -> Result<Self, WeightsError> {
        Self::from_bytes(include_bytes!("../../models/grasp_field.safetensors"))
    }

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// [`WeightsError`]: unreadable, truncated, another version, missing or misshapen tensors, a classifier.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        Self::from_bytes(&read(path.as_ref())?)
    }

    /// Reads a classifier of the same architecture, which every other way of reading refuses.
    ///
    /// # Errors
    /// As [`GraspNetwork::load`]; [`WeightsError::NoClassifier`] where the file holds a grasp field.
    pub fn load_classifier(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let network = Self::parse(&read(path.as_ref())?)?;
        match network.is_classifier() {
            true => Ok(network),
            false => Err(WeightsError::NoClassifier),
        }
    }

    fn is_classifier(&self) -> bool {
        self.notes.contains_key(CLASSIFIER_KEY)
    }

    /// Reads the bytes of a safetensors file.
    ///
    /// # Errors
    /// As [`GraspNetwork::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WeightsError> {
        let network = Self::parse(bytes)?;
        match network.is_classifier() {
            true => Err(WeightsError::Classifier),
            false => Ok(network),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, WeightsError> {
        let damaged = |e: safetensors::SafeTensorError| WeightsError::Damaged(e.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let mut notes: BTreeMap<String, String> = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let version = notes.remove(VERSION_KEY).unwrap_or_else(|| "none".into());
        if version != FORMAT_VERSION.to_string() {
            return Err(WeightsError::Version { found: version });
        }
        let settings = notes.remove(SETTINGS_KEY).ok_or(WeightsError::Metadata {
            key: SETTINGS_KEY,
            problem: "missing".into(),
        })?;
        let settings =
            FieldSettings::from_stored(&settings).map_err(|e| WeightsError::Metadata {
                key: SETTINGS_KEY,
                problem: e.to_string(),
            })?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut weights = BTreeMap::new();
        for (name, view) in file.iter() {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => data
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
                Dtype::F16 => data
                    .chunks_exact(2)
                    .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
                    .collect(),
                other => {
                    return Err(WeightsError::Damaged(format!(
                        "tensor '{name}' is {other:?}, expected F16 or F32"
                    )))
                }
            };
            weights.insert(
                name.to_string(),
                Weight {
                    shape: view.shape().to_vec(),
                    values,
                },
            );
        }
        Self::from_weights(settings, weights, notes)
    }

    /// The file's bytes: equal networks give equal bytes. Weights are rounded to 16 bits, which changes them by at most 1 in
    /// 2000, or 3e-8 where they are small (checkpoints keep all); the query points, which are lengths, are not.
    ///
    /// # Errors
    /// [`WeightsError::Metadata`] where the settings cannot be written, [`WeightsError::NotFinite`] for a weight too large for
    /// 16 bits.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let mut metadata: HashMap<String, String> = self.notes.clone().into_iter().collect();
        metadata.insert(VERSION_KEY.into(), FORMAT_VERSION.to_string());
        let settings =
            serde_json::to_string(&self.settings).map_err(|e| WeightsError::Metadata {
                key: SETTINGS_KEY,
                problem: e.to_string(),
            })?;
        metadata.insert(SETTINGS_KEY.into(), settings);
        let fits = |x: &f32| f16::from_f32(*x).is_finite();
        if let Some((name, _)) = self
            .weights
            .iter()
            .find(|(_, w)| !w.values.iter().all(fits))
        {
            return Err(WeightsError::NotFinite { name: name.clone() });
        }
        serialized(&self.weights, metadata, |name| match name {
            POINTS => Dtype::F32,
            _ => Dtype::F16,
        })
    }

    /// Writes a safetensors file; an interrupted write leaves the old file.
    ///
    /// # Errors
    /// [`WeightsError::Io`], and those of [`GraspNetwork::to_bytes`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), WeightsError> {
        write_whole(path.as_ref(), &self.to_bytes()?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    std::fs::read(path).map_err(|source| WeightsError::Io {
        path: path.into(),
        source,
    })
}

/// Named tensors as safetensors bytes, all digits kept: what training keeps.
#[cfg(feature = "torch")]
pub(crate) fn tensor_bytes(
    weights: &BTreeMap<String, Weight>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, WeightsError> {
    serialized(weights, metadata, |_| Dtype::F32)
}

/// Named tensors as safetensors bytes, each in the type, F16 or F32, that `dtype` wants by its name.
fn serialized(
    weights: &BTreeMap<String, Weight>,
    metadata: HashMap<String, String>,
    dtype: impl Fn(&str) -> Dtype,
) -> Result<Vec<u8>, WeightsError> {
    let bytes: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, weight)| {
            let (dtype, values) = (dtype(name), weight.values.iter());
            let bytes = match dtype {
                Dtype::F16 => values
                    .flat_map(|&x| f16::from_f32(x).to_le_bytes())
                    .collect(),
                _ => values.flat_map(|x| x.to_le_bytes()).collect(),
            };
            (name.as_str(), dtype, weight.shape.clone(), bytes)
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, dtype, shape, data)| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), data)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| WeightsError::Damaged(e.to_string()))?;
    safetensors::serialize(views, Some(metadata)).map_err(|e| WeightsError::Damaged(e.to_string()))
}

/// Writes beside the target, then renames.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|source| WeightsError::Io {
            path: path.into(),
            source,
        })
}
