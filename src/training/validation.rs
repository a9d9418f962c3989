//! What the weights of a run would give a user: grasps sampled on held-out objects while training.

use rayon::prelude::*;

use super::dataset::{Dataset, TrainingObject};
use crate::data::{Judge, Likeness};
use crate::field::settings::SDF_CLAMP_M;
use crate::field::{sample_poses, BakedField, GraspNetwork, SamplerSettings};
use crate::geometry::Pose;
use crate::scene::VoxelGrid;

/// Means over the held-out objects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledScores {
    /// Share of raw samples that hold, by the closed-form check.
    pub success: f64,
    /// Share of raw samples whose open gripper touches the object.
    pub collision: f64,
    /// Earth mover's distance (arXiv 2209.03855, eq. 19) to the data, and that of the data to itself.
    pub emd: f64,
    pub emd_floor: f64,
    /// Mean error of the distance that the encoder carries, near the surface, m.
    pub sdf_error_m: f64,
}

impl SampledScores {
    /// Columns of [`SampledScores::row`].
    pub const COLUMNS: &'static str = "success,collision,emd,emd_floor,held_out_sdf_error_m";

    pub fn row(&self) -> String {
        format!(
            "{:.4},{:.4},{:.4},{:.4},{:.6}",
            self.success, self.collision, self.emd, self.emd_floor, self.sdf_error_m
        )
    }

    fn values(&self) -> [f64; 5] {
        [
            self.success,
            self.collision,
            self.emd,
            self.emd_floor,
            self.sdf_error_m,
        ]
    }
}

/// Samples `count` grasps on each object with the default sampler, unfiltered. `None` without objects.
pub fn sample_held_out(
    network: &GraspNetwork,
    held_out: &Dataset,
    count: usize,
) -> Option<SampledScores> {
    let scores: Vec<SampledScores> = held_out
        .objects
        .par_iter()
        .enumerate()
        .filter_map(|(seed, object)| sample_object(network, object, count, seed as u64))
        .collect();
    let mean = |k: usize| {
        let sum: f64 = scores.iter().map(|s| s.values()[k]).sum();
        sum / scores.len() as f64
    };
    (!scores.is_empty()).then(|| SampledScores {
        success: mean(0),
        collision: mean(1),
        emd: mean(2),
        emd_floor: mean(3),
        sdf_error_m: mean(4),
    })
}

fn sample_object(
    network: &GraspNetwork,
    object: &TrainingObject,
    count: usize,
    seed: u64,
) -> Option<SampledScores> {
    let solid = &*object.solid;
    let (low, high) = solid.bounds();
    let (origin, size) = network.grid_for(low.coords.into(), high.coords.into());
    let grid = VoxelGrid::from_distance(solid, origin, network.settings().spacing_m, size);
    let field = network.bake(&grid);
    let poses: Vec<Pose> = sample_poses(&field, &SamplerSettings::default(), 0..count as u64, seed)
        .into_iter()
        .map(|(pose, _)| pose)
        .collect();
    let tally = Judge::new(solid, &network.settings().gripper).tally(&poses);
    let likeness = Likeness::new(&poses, &object.object_from_gripper)?;
    Some(SampledScores {
        success: tally.success(),
        collision: tally.collision(),
        emd: likeness.emd[0],
        emd_floor: likeness.emd_floor[0],
        sdf_error_m: carried_distance_error(&field, &grid)?,
    })
}

/// Mean |feature 0 - clipped distance| over the grid's points near the surface, m; `None` if there are none.
fn carried_distance_error(field: &BakedField, grid: &VoxelGrid) -> Option<f64> {
    let limits = SDF_CLAMP_M.map(f64::from);
    let (mut sum, mut count) = (0.0, 0u32);
    for i in 0..grid.size[0] {
        for j in 0..grid.size[1] {
            for k in 0..grid.size[2] {
                let distance = f64::from(grid.at([i, j, k]));
                if distance.abs() > limits[0].abs() {
                    continue;
                }
                let point = [i, j, k].map(|n| n as f64 * grid.spacing_m);
                let point = [0, 1, 2].map(|a| grid.origin_m[a] + point[a]);
                let carried = f64::from(field.carried_distance_m(point.map(|x| x as f32)));
                sum += (carried - distance.clamp(limits[0], limits[1])).abs();
                count += 1;
            }
        }
    }
    (count > 0).then(|| sum / f64::from(count))
}
