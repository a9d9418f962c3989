//! `~/score_grasps`: energies of grasps without planning a motion, in a thread of its own.

use super::convert;
use super::failure::Failure;
use super::library::ModelStatus;
use super::prepare::fresh_seed;
use super::services::respond;
use super::shared::Shared;
use crate::field::{sample_grasps, EnergyField, ObjectModel, SamplerSettings};
use crate::geometry::Pose;
use futures::task::{LocalSpawn, LocalSpawnExt};
use futures::StreamExt;
use r2r::diffusion_field_planner::msg::GraspCandidate;
use r2r::diffusion_field_planner::srv::ScoreGrasps;
use r2r::{Node, QosProfile, ServiceRequest};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{mpsc, Arc};
use std::thread;

/// Most grasps of one request.
const MOST_GRASPS: usize = 100_000;

/// Why the service cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    #[error(transparent)]
    Ros(#[from] r2r::Error),
    #[error(transparent)]
    Spawn(#[from] futures::task::SpawnError),
    #[error("no thread for ~/score_grasps: {0}")]
    Thread(#[from] std::io::Error),
}

/// Creates the service and its thread, which ends with the service.
///
/// # Errors
/// [`ScoreError`]
pub fn start(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    shared: &Arc<Shared>,
) -> Result<(), ScoreError> {
    let (requests, inbox) = mpsc::channel::<ServiceRequest<ScoreGrasps::Service>>();
    let s = shared.clone();
    thread::Builder::new().name("score".into()).spawn(move || {
        for request in inbox {
            let answered = catch_unwind(AssertUnwindSafe(|| score(&s, &request.message)));
            let internal = || Err(Failure::Internal("the field panicked; see the log".into()));
            let response = match answered.unwrap_or_else(|_| internal()) {
                Ok(grasps) => ScoreGrasps::Response {
                    grasps,
                    ..Default::default()
                },
                Err(failure) => ScoreGrasps::Response {
                    error_code: failure.codes().0,
                    error_msg: failure.to_string(),
                    ..Default::default()
                },
            };
            respond(request, response);
        }
    })?;
    let services = QosProfile::services_default();
    let stream = node.create_service::<ScoreGrasps::Service>("~/score_grasps", services)?;
    spawner.spawn_local(stream.for_each(move |request| {
        let _ = requests.send(request);
        futures::future::ready(())
    }))?;
    Ok(())
}

fn score(shared: &Shared, request: &ScoreGrasps::Request) -> Result<Vec<GraspCandidate>, Failure> {
    let count = request.grasps.len().max(request.num_samples as usize);
    if count == 0 || count > MOST_GRASPS {
        return Err(Failure::InvalidRequest(format!(
            "{count} grasps are asked for, it must be in [1, {MOST_GRASPS}]"
        )));
    }
    let object = model(shared, &request.object_id)?;
    if request.grasps.is_empty() {
        return Ok(sampled(&object, count, request.seed));
    }
    let poses = request
        .grasps
        .iter()
        .enumerate()
        .map(given_pose)
        .collect::<Result<Vec<Pose>, Failure>>()?;
    let scored = request
        .grasps
        .iter()
        .cloned()
        .zip(energies(&object, &poses));
    Ok(scored
        .map(|(mut grasp, energy)| {
            grasp.energy = f64::from(energy);
            grasp
        })
        .collect())
}

fn sampled(object: &ObjectModel, count: usize, seed: u64) -> Vec<GraspCandidate> {
    let seed = if seed == 0 { fresh_seed() } else { seed };
    let grasps = sample_grasps(object, &SamplerSettings::default(), count, seed);
    let poses: Vec<Pose> = grasps
        .iter()
        .map(|grasp| grasp.object_from_gripper)
        .collect();
    let mut scored: Vec<GraspCandidate> = grasps
        .iter()
        .zip(energies(object, &poses))
        .map(|(grasp, energy)| {
            let mut candidate = GraspCandidate {
                width: grasp.width_m,
                energy: f64::from(energy),
                ..Default::default()
            };
            candidate.grasp_pose.pose = convert::pose_to_message(&grasp.object_from_gripper);
            candidate
        })
        .collect();
    scored.sort_by(|a, b| a.energy.total_cmp(&b.energy));
    scored
}

/// Energies of the field without noise.
fn energies(object: &ObjectModel, poses: &[Pose]) -> Vec<f32> {
    let poses: Vec<nalgebra::Isometry3<f32>> = poses.iter().map(|pose| pose.cast()).collect();
    let mut energy = vec![0.0; poses.len()];
    let mut gradient = vec![[0.0; 6]; poses.len()];
    object
        .field
        .evaluate(&poses, 0.0, &mut energy, &mut gradient);
    energy
}

fn given_pose((index, grasp): (usize, &GraspCandidate)) -> Result<Pose, Failure> {
    let what = format!("grasps[{index}].grasp_pose");
    let frame = &grasp.grasp_pose.header.frame_id;
    if !frame.is_empty() {
        return Err(Failure::InvalidRequest(format!(
            "{what} is in frame '{frame}'; grasps are scored in the object's frame, leave it empty"
        )));
    }
    convert::pose_from_message(&grasp.grasp_pose.pose, &what)
        .map_err(|error| Failure::InvalidRequest(error.to_string()))
}

fn model(shared: &Shared, id: &str) -> Result<Arc<ObjectModel>, Failure> {
    let id = match id.is_empty() {
        true => shared.parameters().objects_default_id,
        false => id.to_owned(),
    };
    match shared.library.get(&id) {
        Some(ModelStatus::Ready(model)) => Ok(model),
        Some(ModelStatus::Failed(reason)) => Err(Failure::UnknownObject(reason)),
        Some(ModelStatus::Loading) => Err(Failure::UnknownObject(format!(
            "object '{id}' is still being loaded"
        ))),
        None => Err(Failure::UnknownObject(format!(
            "object '{id}' is not known"
        ))),
    }
}
