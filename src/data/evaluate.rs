//! How many sampled grasps hold, by the closed-form checks on the exact solid.

use std::sync::Arc;

use serde::Serialize;

use super::procedural::{Category, ProceduralObject};
use crate::field::contact::{close_gripper, gripper_collides};
use crate::field::{sample_grasps, Grasp, GraspNetwork, ObjectError, ObjectModel, SamplerSettings};

/// Half angle inside which both contact normals lie in a successful grasp, deg.
pub const SUCCESS_CONE_DEG: f64 = 20.0;
/// Overlap of gripper and object up to which a grasp still counts as free, m.
pub const COLLISION_TOLERANCE_M: f64 = 0.001;
/// Quads of the meshes that the sampler is given, m.
const MESH_SPACING_M: f64 = 0.002;
/// Best grasps by energy that are counted apart.
const BEST: usize = 20;

/// Shares over all samples of all objects of a category.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GraspScores {
    pub category: String,
    pub objects: usize,
    /// Samples in all.
    pub n: usize,
    /// Closing contact inside the cone and no collision: raw samples.
    pub success: f64,
    /// Open gripper in collision: raw samples.
    pub collision: f64,
    /// Raw samples that are free of collision but do not hold.
    pub no_contact: f64,
    /// As `success`, after collision filter and removal of twins.
    pub success_filtered: f64,
    /// The twenty raw samples of each object with the lowest energy.
    pub success_best20: f64,
    /// Standard error of `success` over objects.
    pub success_se: f64,
}

/// Scores `count` grasps on each of the objects with seeds `first_seed..first_seed + objects`.
///
/// The sampler sees a mesh of the object; the judge sees the formula that the mesh was made from.
///
/// # Errors
/// [`ObjectError`] of an object that cannot be grasped at all.
pub fn evaluate_grasps(
    network: &GraspNetwork,
    category: Category,
    first_seed: u64,
    objects: usize,
    count: usize,
    settings: &SamplerSettings,
    seed: u64,
) -> Result<GraspScores, ObjectError> {
    let raw_settings = SamplerSettings {
        filter: false,
        distinct_m: 0.0,
        ..settings.clone()
    };
    let mut rates = Vec::with_capacity(objects);
    let (mut raw_total, mut filtered_total, mut best_total) =
        (Tally::default(), Tally::default(), Tally::default());
    for i in 0..objects as u64 {
        let object = ProceduralObject::new(category, first_seed + i);
        let model = ObjectModel::from_mesh(
            object.name(),
            Arc::new(object.mesh(MESH_SPACING_M)),
            network,
        )?;
        let raw = sample_grasps(&model, &raw_settings, count, seed + i);
        let tally = Tally::of(&object, network, &raw);
        rates.push(tally.held as f64 / tally.n.max(1) as f64);
        raw_total.add(&tally);
        best_total.add(&Tally::of(&object, network, &raw[..raw.len().min(BEST)]));
        filtered_total.add(&Tally::of(
            &object,
            network,
            &sample_grasps(&model, settings, count, seed + i),
        ));
    }
    let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
    let variance =
        rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (rates.len().max(2) - 1) as f64;
    Ok(GraspScores {
        category: category.name().into(),
        objects,
        n: raw_total.n,
        success: raw_total.share(raw_total.held),
        collision: raw_total.share(raw_total.collided),
        no_contact: raw_total.share(raw_total.n - raw_total.held - raw_total.collided),
        success_filtered: filtered_total.share(filtered_total.held),
        success_best20: best_total.share(best_total.held),
        success_se: (variance / rates.len().max(1) as f64).sqrt(),
    })
}

/// Outcomes counted.
#[derive(Default)]
struct Tally {
    n: usize,
    held: usize,
    collided: usize,
}

impl Tally {
    fn of(object: &ProceduralObject, network: &GraspNetwork, grasps: &[Grasp]) -> Self {
        let gripper = &network.settings().gripper;
        let mut tally = Self::default();
        for grasp in grasps {
            let pose = &grasp.object_from_gripper;
            tally.n += 1;
            if gripper_collides(
                &object.solid,
                pose,
                gripper,
                gripper.max_opening_m,
                -COLLISION_TOLERANCE_M,
            ) {
                tally.collided += 1;
            } else if close_gripper(&object.solid, pose, gripper)
                .is_inside_cone(SUCCESS_CONE_DEG.to_radians())
            {
                tally.held += 1;
            }
        }
        tally
    }

    fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.held += other.held;
        self.collided += other.collided;
    }

    fn share(&self, part: usize) -> f64 {
        part as f64 / self.n.max(1) as f64
    }
}
