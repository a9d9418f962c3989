//! The trained model's file: safetensors whose metadata says what it is and how it was made.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::SafeTensors;
use tch::Device;

use super::network::{shapes, untrained, PaperNetwork};
use super::settings::PaperConfig;
use crate::field::weights::{tensor_bytes, write_whole, Weight, WeightsError};

/// Metadata: which model the weights are of, in which version, and the run that made them.
const MODEL_KEY: &str = "model";
const MODEL: &str = "se3_diffusion_fields_auto_decoder";
const VERSION_KEY: &str = "format_version";
const VERSION: &str = "1";
const CONFIG_KEY: &str = "config";

/// Weights of the paper's model and the run they come from, checked against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperModel {
    pub config: PaperConfig,
    weights: BTreeMap<String, Weight>,
    /// Free text by key.
    pub notes: BTreeMap<String, String>,
}

fn damaged(error: safetensors::SafeTensorError) -> WeightsError {
    WeightsError::Damaged(error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    std::fs::read(path).map_err(|source| WeightsError::Io {
        path: path.into(),
        source,
    })
}

/// Whether a file says of itself that it holds such a model.
///
/// # Errors
/// [`WeightsError::Io`], [`WeightsError::Damaged`].
pub fn holds_paper_model(path: &Path) -> Result<bool, WeightsError> {
    let bytes = read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let metadata = header.metadata().as_ref();
    Ok(metadata.is_some_and(|m| m.get(MODEL_KEY).is_some_and(|model| model == MODEL)))
}

impl PaperModel {
    /// A model that knows nothing yet, with a code for each of `codes` objects.
    ///
    /// # Errors
    /// [`WeightsError::Settings`].
    pub fn untrained(config: PaperConfig, codes: usize) -> Result<Self, WeightsError> {
        if let Some(problem) = config.problem() {
            return Err(WeightsError::Settings(problem));
        }
        Ok(Self {
            weights: untrained(&config.network, codes, config.seed),
            config,
            notes: BTreeMap::new(),
        })
    }

    /// # Errors
    /// [`WeightsError`]: settings that no model has, tensors that are missing, misshapen or not finite.
    pub fn from_weights(
        config: PaperConfig,
        mut weights: BTreeMap<String, Weight>,
        notes: BTreeMap<String, String>,
    ) -> Result<Self, WeightsError> {
        if let Some(problem) = config.problem() {
            return Err(WeightsError::Settings(problem));
        }
        let codes = weights.get("codes").and_then(|w| w.shape.first().copied());
        let mut kept = BTreeMap::new();
        for (name, expected) in shapes(&config.network, codes.unwrap_or(0)) {
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
            config,
            weights: kept,
            notes,
        })
    }

    /// The model as tensors on a device.
    pub fn to_network(&self, device: Device, trainable: bool) -> PaperNetwork {
        PaperNetwork::new(self.config.network, &self.weights, device, trainable)
    }

    /// # Errors
    /// [`WeightsError::Io`]; an interrupted write leaves the old file.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let config = serde_json::to_string(&self.config).map_err(|e| WeightsError::Metadata {
            key: CONFIG_KEY,
            problem: e.to_string(),
        })?;
        let mut metadata: HashMap<String, String> = self.notes.clone().into_iter().collect();
        metadata.insert(MODEL_KEY.into(), MODEL.into());
        metadata.insert(VERSION_KEY.into(), VERSION.into());
        metadata.insert(CONFIG_KEY.into(), config);
        write_whole(path, &tensor_bytes(&self.weights, metadata)?)
    }

    /// # Errors
    /// [`WeightsError`]: unreadable, damaged, another model's, of another version, or not what its settings ask for.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let bytes = read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let mut notes: BTreeMap<String, String> = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut take = |key: &'static str| {
            notes.remove(key).ok_or(WeightsError::Metadata {
                key,
                problem: "missing".into(),
            })
        };
        let unexpected = |key, found: String, expected: &str| WeightsError::Metadata {
            key,
            problem: format!("'{found}', expected '{expected}'"),
        };
        let model = take(MODEL_KEY)?;
        if model != MODEL {
            return Err(unexpected(MODEL_KEY, model, MODEL));
        }
        let version = take(VERSION_KEY)?;
        if version != VERSION {
            return Err(unexpected(VERSION_KEY, version, VERSION));
        }
        let config =
            serde_json::from_str(&take(CONFIG_KEY)?).map_err(|e| WeightsError::Metadata {
                key: CONFIG_KEY,
                problem: e.to_string(),
            })?;
        let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let weights = file
            .tensors()
            .into_iter()
            .filter(|(_, view)| view.dtype() == safetensors::Dtype::F32)
            .map(|(name, view)| {
                let values = view
                    .data()
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect();
                let shape = view.shape().to_vec();
                (name, Weight { shape, values })
            })
            .collect();
        Self::from_weights(config, weights, notes)
    }
}
