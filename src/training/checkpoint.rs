//! A training run at rest: everything that an exact resume needs, in one safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::SafeTensors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::{no_grad, Tensor};

use super::optimizer::Optimizer;
use crate::field::network::host_copy;
use crate::field::weights::{tensor_bytes, write_whole, Weight, WeightsError};

/// Where a run stands, besides its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState<C> {
    pub config: C,
    pub step: u64,
    /// Steps that the optimizer took.
    pub optimizer_steps: u64,
    /// Time trained so far over all sittings, s.
    pub trained_s: f64,
}

const STATE_KEY: &str = "run_state";

/// Weights, average and the optimizer's moments by prefix.
fn groups<'a>(
    weights: &'a BTreeMap<String, Tensor>,
    average: &'a BTreeMap<String, Tensor>,
    optimizer: &'a Optimizer,
) -> [(&'static str, &'a BTreeMap<String, Tensor>); 4] {
    [
        ("weight/", weights),
        ("average/", average),
        ("mean/", &optimizer.mean),
        ("mean_square/", &optimizer.mean_square),
    ]
}

/// Writes a checkpoint; an interrupted write leaves the old one.
pub fn save<C: Serialize>(
    path: &Path,
    state: &RunState<C>,
    weights: &BTreeMap<String, Tensor>,
    average: &BTreeMap<String, Tensor>,
    optimizer: &Optimizer,
) -> Result<(), WeightsError> {
    let mut tensors: BTreeMap<String, Weight> = BTreeMap::new();
    for (prefix, group) in groups(weights, average, optimizer) {
        tensors.extend(
            group
                .iter()
                .map(|(name, tensor)| (format!("{prefix}{name}"), host_copy(tensor))),
        );
    }
    let state = serde_json::to_string(state).map_err(|e| WeightsError::Metadata {
        key: STATE_KEY,
        problem: e.to_string(),
    })?;
    write_whole(
        path,
        &tensor_bytes(&tensors, HashMap::from([(STATE_KEY.to_string(), state)]))?,
    )
}

/// Reads a checkpoint into the tensors of a run that was set up from the same configuration.
pub fn load<C: DeserializeOwned>(
    path: &Path,
    weights: &mut BTreeMap<String, Tensor>,
    average: &mut BTreeMap<String, Tensor>,
    optimizer: &mut Optimizer,
) -> Result<RunState<C>, WeightsError> {
    let damaged = |e: safetensors::SafeTensorError| WeightsError::Damaged(e.to_string());
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Io {
        path: path.into(),
        source,
    })?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let state = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get(STATE_KEY))
        .ok_or(WeightsError::Metadata {
            key: STATE_KEY,
            problem: "missing".into(),
        })?;
    let state: RunState<C> = serde_json::from_str(state).map_err(|e| WeightsError::Metadata {
        key: STATE_KEY,
        problem: e.to_string(),
    })?;
    let targets = [
        ("weight/", weights),
        ("average/", average),
        ("mean/", &mut optimizer.mean),
        ("mean_square/", &mut optimizer.mean_square),
    ];
    for (prefix, group) in targets {
        for (name, tensor) in group.iter_mut() {
            let full = format!("{prefix}{name}");
            let view = file.tensor(&full).map_err(damaged)?;
            let expected: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
            if view.shape() != expected {
                return Err(WeightsError::Shape {
                    name: full,
                    expected,
                    found: view.shape().to_vec(),
                });
            }
            let values: Vec<f32> = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            no_grad(|| tensor.copy_(&Tensor::from_slice(&values).reshape(tensor.size())));
        }
    }
    optimizer.steps = state.optimizer_steps;
    Ok(state)
}
