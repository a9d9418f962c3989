//! Torch against the native field, and the golden values that the default build holds it to.
#![cfg(feature = "torch")]

use std::collections::BTreeMap;

use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::field::network::TorchNetwork;
use diffusion_field_planner::field::{EnergyField, FieldSettings, GraspNetwork};
use diffusion_field_planner::scene::{SignedDistance, VoxelGrid};
use diffusion_field_planner::training::query::evaluate_with_torch;
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// Untrained but with every weight at work.
fn network(settings: FieldSettings, seed: u64) -> GraspNetwork {
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

fn grid(network: &GraspNetwork) -> VoxelGrid {
    let mug = ProceduralObject::new(Category::Mug, 3);
    let (low, high) = mug.solid.bounds();
    let (origin, size) = network.grid_for(low.coords.into(), high.coords.into());
    VoxelGrid::from_distance(&mug.solid, origin, network.settings().spacing_m, size)
}

fn poses(count: usize, seed: u64) -> Vec<Isometry3<f32>> {
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

#[test]
fn native_field_equals_torch() {
    let shipped = GraspNetwork::load(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/grasp_field.safetensors"
    ))
    .unwrap();
    for network in [network(FieldSettings::default(), 21), shipped] {
        let grid = grid(&network);
        let torch = TorchNetwork::new(&network, tch::Device::Cpu, false);
        let field = network.bake(&grid);
        let poses = poses(200, 4);
        for t in [0.0, 0.13, 0.5, 1.0] {
            let (expected_energy, expected) = evaluate_with_torch(&torch, &grid, &poses, t);
            let (mut energy, mut gradient) = (vec![0.0; poses.len()], vec![[0.0; 6]; poses.len()]);
            field.evaluate(&poses, t, &mut energy, &mut gradient);
            let mut outliers = 0;
            for i in 0..poses.len() {
                assert!(
                    (energy[i] - expected_energy[i]).abs()
                        < 1e-3 * expected_energy[i].abs().max(1.0)
                );
                for (part, length) in [(0..3, 1.0f32), (3..6, 0.08)] {
                    let size = expected[i][part.clone()]
                        .iter()
                        .map(|g| g * g)
                        .sum::<f32>()
                        .sqrt()
                        .max(1.0 / length);
                    outliers += part
                        .filter(|&a| (gradient[i][a] - expected[i][a]).abs() > 1e-3 * size)
                        .count();
                }
            }
            // A point within rounding of a cell's face may take the slope of the other side.
            assert!(
                outliers <= 6,
                "{outliers} of {} gradient entries differ at t = {t}",
                6 * poses.len()
            );
        }
    }
}

/// Writes tests/data/field_golden.json (the network there follows from its seed): `cargo test --features torch --test parity -- --ignored`.
#[test]
#[ignore = "writes the golden values"]
fn write_golden_values() {
    let settings = FieldSettings {
        decoder_widths: [48, 32],
        points: 16,
        grid_size: 24,
        ..Default::default()
    };
    let network = network(settings, 31);
    let grid = grid(&network);
    let torch = TorchNetwork::new(&network, tch::Device::Cpu, false);
    let mut cases = Vec::new();
    for (i, t) in [0.0f32, 0.25, 0.6, 1.0].into_iter().enumerate() {
        let poses = poses(8, 40 + i as u64);
        let (energy, gradient) = evaluate_with_torch(&torch, &grid, &poses, t);
        for (k, pose) in poses.iter().enumerate() {
            let (p, q) = (pose.translation.vector, pose.rotation.quaternion());
            cases.push(serde_json::json!({
                "t": t, "pose": [p.x, p.y, p.z, q.w, q.i, q.j, q.k],
                "energy": energy[k], "gradient": gradient[k],
            }));
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    std::fs::create_dir_all(folder).unwrap();
    network
        .save(format!("{folder}/field_golden.safetensors"))
        .unwrap();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "cases": cases })).unwrap();
    std::fs::write(format!("{folder}/field_golden.json"), text).unwrap();
}
