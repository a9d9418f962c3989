//! A network that was never trained but with every part at work, its object, and poses around that.

use std::collections::BTreeMap;

use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::field::{FieldSettings, GraspNetwork};
use diffusion_field_planner::scene::{SignedDistance, VoxelGrid};
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// Untrained but with every weight at work.
pub fn lively_network(settings: FieldSettings, seed: u64) -> GraspNetwork {
    let start = GraspNetwork::untrained(settings.clone(), seed).unwrap();
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed + 1);
    let mut weights = start.weights().clone();
    for (name, weight) in &mut weights {
        if name.contains("film") || name.contains("norm") {
            weight
                .values
                .iter_mut()
                .for_each(|x| *x += rng.random_range(-0.2..0.2));
        }
    }
    GraspNetwork::from_weights(settings, weights, BTreeMap::new()).unwrap()
}

pub fn mug_grid(network: &GraspNetwork) -> VoxelGrid {
    let mug = ProceduralObject::new(Category::Mug, 3);
    let (low, high) = mug.solid.bounds();
    let (origin, size) = network.grid_for(low.coords.into(), high.coords.into());
    VoxelGrid::from_distance(&mug.solid, origin, network.settings().spacing_m, size)
}

/// Gripper poses with the finger centre near the object, any orientation.
pub fn poses(count: usize, seed: u64) -> Vec<Isometry3<f32>> {
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
    (0..count)
        .map(|_| {
            let q = nalgebra::Vector4::from_fn(|_, _| rng.sample::<f32, _>(StandardNormal));
            let rotation = UnitQuaternion::from_quaternion(nalgebra::Quaternion::from(q));
            let centre = Vector3::from_fn(|_, _| rng.random_range(-0.06..0.06f32));
            Isometry3::from_parts(
                Translation3::from(centre - rotation * Vector3::new(0.0, 0.0, 0.1)),
                rotation,
            )
        })
        .collect()
}
