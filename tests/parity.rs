//! Torch against the native field, and the golden values that the default build holds it to.
#![cfg(feature = "torch")]

mod lively_field;

use diffusion_field_planner::field::network::TorchNetwork;
use diffusion_field_planner::field::{EnergyField, FieldSettings, GraspNetwork};
use diffusion_field_planner::training::query::evaluate_with_torch;
use lively_field::{lively_network, mug_grid, poses};
use tch::{Device, Kind, Tensor};

#[test]
fn native_field_equals_torch() {
    let shipped = GraspNetwork::load(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/grasp_field.safetensors"
    ))
    .unwrap();
    for network in [lively_network(FieldSettings::default(), 21), shipped] {
        let grid = mug_grid(&network);
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

/// As the trainer does on processors that multiply bfloat16: eight bits of mantissa, so each product is off by up to .4 %.
#[test]
fn convolutions_by_bfloat16_give_nearly_the_same_features_and_gradients() {
    let network = GraspNetwork::shipped().unwrap();
    let grid = mug_grid(&network);
    let size = grid.size.map(|n| n as i64);
    let distances = Tensor::from_slice(&grid.values).reshape([1, size[0], size[1], size[2]]);
    let mut target = None;
    let [exact, rounded] = [Kind::Float, Kind::BFloat16].map(|kind| {
        let mut torch = TorchNetwork::new(&network, Device::Cpu, true);
        torch.convolution_kind = kind;
        let features = torch.encode(&distances);
        assert_eq!(features.kind(), Kind::Float);
        let target = target.get_or_insert_with(|| {
            tch::manual_seed(3);
            features.randn_like().detach()
        });
        (&features * &*target).sum(Kind::Float).backward();
        let features = features.detach();
        (features, torch.weights)
    });
    let error = (&exact.0 - &rounded.0).norm() / exact.0.norm();
    let error = error.double_value(&[]);
    assert!(error > 0.0 && error < 0.03, "{error}");
    let mut compared = 0;
    for (name, weight) in &exact.1 {
        let (a, b) = (weight.grad(), rounded.1[name].grad());
        if !a.defined() || !name.starts_with("encoder") {
            continue;
        }
        let cosine = (&a * &b).sum(Kind::Float) / (a.norm() * b.norm());
        let cosine = cosine.double_value(&[]);
        assert!(cosine > 0.99, "{name}: {cosine}");
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
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
    let network = lively_network(settings, 31);
    let grid = mug_grid(&network);
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
    let text = serde_json::to_string_pretty(&serde_json::json!({ "cases": cases })).unwrap();
    std::fs::write(format!("{folder}/field_golden.json"), text).unwrap();
}
