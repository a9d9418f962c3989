//! The native field: gradient against finite differences, equality with values that torch computed,
//! equal results for any batch size, weights files and what is refused.

mod lively_field;

use std::collections::BTreeMap;

use diffusion_field_planner::field::{
    BakedField, EnergyField, FieldSettings, GraspNetwork, WeightsError,
};
use lively_field::{lively_network, mug_grid, poses};
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};

/// A small one.
fn small_network(seed: u64) -> GraspNetwork {
    let settings = FieldSettings {
        decoder_widths: [48, 32],
        points: 16,
        grid_size: 24,
        ..Default::default()
    };
    lively_network(settings, seed)
}

fn evaluate(field: &BakedField, poses: &[Isometry3<f32>], t: f32) -> (Vec<f32>, Vec<[f32; 6]>) {
    let (mut energy, mut gradient) = (vec![0.0; poses.len()], vec![[0.0; 6]; poses.len()]);
    field.evaluate(poses, t, &mut energy, &mut gradient);
    (energy, gradient)
}

/// The crate's convention: origin moved along the reference axes, frame turned from the left.
fn perturbed(pose: &Isometry3<f32>, axis: usize, step: f32) -> Isometry3<f32> {
    let mut result = *pose;
    let mut vector = Vector3::zeros();
    vector[axis % 3] = step;
    if axis < 3 {
        result.translation.vector += vector;
    } else {
        result.rotation = UnitQuaternion::from_scaled_axis(vector) * pose.rotation;
    }
    result
}

#[test]
fn gradient_is_that_of_the_energy() {
    let network = small_network(1);
    let field = network.bake(&mug_grid(&network));
    let mut errors = Vec::new();
    for t in [0.0, 0.3, 1.0] {
        for pose in poses(40, 2) {
            let (_, gradient) = evaluate(&field, &[pose], t);
            // The field is piecewise smooth; steps this small rarely cross a cell's face.
            for axis in 0..6 {
                let h = if axis < 3 { 2e-5 } else { 3e-4 };
                let (energies, _) = evaluate(
                    &field,
                    &[perturbed(&pose, axis, h), perturbed(&pose, axis, -h)],
                    t,
                );
                let slope = (energies[0] as f64 - energies[1] as f64) / (2.0 * h as f64);
                let scale: f64 = gradient[0]
                    .iter()
                    .map(|g| (*g as f64).abs())
                    .fold(0.0, f64::max);
                let weight = if axis < 3 { 1.0 } else { 0.08 };
                errors.push((slope - gradient[0][axis] as f64).abs() * weight / scale.max(1.0));
            }
        }
    }
    errors.sort_by(f64::total_cmp);
    // A kink between two samples spoils the difference quotient, not the gradient: allow it for a few percent.
    assert!(
        errors[errors.len() * 9 / 10] < 0.01,
        "90 %: {}",
        errors[errors.len() * 9 / 10]
    );
    assert!(
        errors[errors.len() / 2] < 2e-3,
        "median: {}",
        errors[errors.len() / 2]
    );
}

#[test]
fn batches_of_any_size_give_the_same_values() {
    let network = small_network(5);
    let field = network.bake(&mug_grid(&network));
    let poses = poses(21, 6);
    let (energy, gradient) = evaluate(&field, &poses, 0.4);
    let mut alone = vec![0.0; poses.len()];
    field.energies(&poses, 0.4, &mut alone);
    assert_eq!(alone, energy);
    for (i, pose) in poses.iter().enumerate() {
        let (single_energy, single_gradient) = evaluate(&field, &[*pose], 0.4);
        assert_eq!(
            (energy[i], gradient[i]),
            (single_energy[0], single_gradient[0])
        );
    }
    // Values far outside and not finite come back without a panic.
    let far = Isometry3::translation(5.0, 0.0, 0.0);
    assert!(evaluate(&field, &[far], 0.4).0[0].is_finite());
    let nan = Isometry3::translation(f32::NAN, 0.0, 0.0);
    assert!(evaluate(&field, &[nan], 0.4).0[0].is_nan());
}

#[test]
fn the_field_moves_with_its_object() {
    // The same samples at another origin: the same energies at moved poses.
    let network = small_network(7);
    let grid = mug_grid(&network);
    let mut moved = grid.clone();
    moved
        .origin_m
        .iter_mut()
        .zip([0.25, -0.5, 1.0])
        .for_each(|(x, d)| *x += d);
    let (field, moved_field) = (network.bake(&grid), network.bake(&moved));
    let poses = poses(16, 8);
    let moved_poses: Vec<_> = poses
        .iter()
        .map(|p| Translation3::new(0.25, -0.5, 1.0) * p)
        .collect();
    let (energy, _) = evaluate(&field, &poses, 0.2);
    let (moved_energy, _) = evaluate(&moved_field, &moved_poses, 0.2);
    for (a, b) in energy.iter().zip(&moved_energy) {
        assert!((a - b).abs() < 1e-2 * a.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn torch_and_native_agree_on_golden_values() {
    // Written by `cargo test --features torch --test parity -- --ignored` (the torch side).
    let text = include_str!("data/field_golden.json");
    let golden: serde_json::Value = serde_json::from_str(text).unwrap();
    let network = small_network(31);
    let field = network.bake(&mug_grid(&network));
    let numbers = |v: &serde_json::Value| -> Vec<f32> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap() as f32)
            .collect()
    };
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 24);
    for case in cases {
        let p = numbers(&case["pose"]);
        let rotation =
            UnitQuaternion::new_normalize(nalgebra::Quaternion::new(p[3], p[4], p[5], p[6]));
        let pose = Isometry3::from_parts(Translation3::new(p[0], p[1], p[2]), rotation);
        let (energy, gradient) = evaluate(&field, &[pose], case["t"].as_f64().unwrap() as f32);
        let expected_energy = case["energy"].as_f64().unwrap() as f32;
        assert!((energy[0] - expected_energy).abs() < 1e-3 * expected_energy.abs().max(1.0));
        let expected = numbers(&case["gradient"]);
        for (part, length) in [(0..3, 1.0f32), (3..6, 0.08)] {
            let size = expected[part.clone()]
                .iter()
                .map(|g| g * g)
                .sum::<f32>()
                .sqrt()
                .max(1.0 / length);
            for axis in part {
                let error = (gradient[0][axis] - expected[axis]).abs();
                assert!(error < 1e-3 * size, "{case}: {:?}", gradient[0]);
            }
        }
    }
}

#[test]
fn weights_survive_a_file_and_bad_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    let mut network = small_network(9);
    network.notes.insert("training".into(), "steps: 3".into());
    network.save(&path).unwrap();
    let read = GraspNetwork::load(&path).unwrap();
    assert_eq!(
        (read.settings(), &read.notes),
        (network.settings(), &network.notes)
    );
    for (name, weight) in network.weights() {
        let found = &read.weights()[name];
        assert_eq!(found.shape, weight.shape);
        // Sixteen bits of a number, all digits of a length.
        let share = if name == "points" {
            0.0
        } else {
            0.5f32.powi(11)
        };
        for (a, b) in found.values.iter().zip(&weight.values) {
            assert!(
                (a - b).abs() <= share * b.abs() + share * 1e-4,
                "{name}: {a} {b}"
            );
        }
    }
    read.save(&path).unwrap();
    assert_eq!(GraspNetwork::load(&path).unwrap(), read);

    // What a file cannot hold does not replace one that can be read.
    let mut weights = network.weights().clone();
    weights.get_mut("decoder.layer3.bias").unwrap().values[0] = 1e5;
    let too_large =
        GraspNetwork::from_weights(network.settings().clone(), weights, BTreeMap::new()).unwrap();
    assert!(
        matches!(too_large.save(&path), Err(WeightsError::NotFinite { name }) if name == "decoder.layer3.bias")
    );
    assert_eq!(GraspNetwork::load(&path).unwrap(), read);

    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 5, 200, bytes.len() / 2, bytes.len() - 1] {
        assert!(
            matches!(
                GraspNetwork::from_bytes(&bytes[..length]),
                Err(WeightsError::Damaged(_))
            ),
            "{length}"
        );
    }
    let replaced = |from: &str, to: &str| {
        let at = bytes
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        let mut copy = bytes.clone();
        copy[at..at + to.len()].copy_from_slice(to.as_bytes());
        GraspNetwork::from_bytes(&copy)
    };
    let version = r#""format_version":"1""#;
    assert!(
        matches!(replaced(version, r#""format_version":"7""#), Err(WeightsError::Version { found }) if found == "7")
    );
    assert!(matches!(
        replaced("encoder.stem.weight", "encoder.stem.wrong_"),
        Err(WeightsError::Missing { .. })
    ));
    assert!(matches!(
        replaced("spacing_m", "spacing_x"),
        Err(WeightsError::Metadata { .. })
    ));
    let other = FieldSettings {
        points: 32,
        ..network.settings().clone()
    };
    let refused = GraspNetwork::from_weights(other, network.weights().clone(), BTreeMap::new());
    assert!(matches!(refused, Err(WeightsError::Shape { .. })));
    let odd = FieldSettings {
        points: 30,
        ..FieldSettings::default()
    };
    assert!(matches!(
        GraspNetwork::untrained(odd, 0),
        Err(WeightsError::Settings(_))
    ));
    assert!(matches!(
        GraspNetwork::load(dir.path().join("none")),
        Err(WeightsError::Io { .. })
    ));
}

#[test]
fn a_large_object_gets_a_larger_grid() {
    let network = small_network(11);
    let (origin, size) = network.grid_for([-0.05, -0.05, 0.0], [0.05, 0.05, 0.4]);
    assert_eq!(size, [24, 24, 80]);
    assert!(origin[2] < -0.01 && origin[2] + 0.0055 * 79.0 > 0.41);
}

#[test]
fn the_weights_that_come_with_the_project_are_read() {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let gripper = |network: GraspNetwork| network.settings().gripper_name.clone();
    assert_eq!(gripper(GraspNetwork::shipped().unwrap()), "franka_hand");
    // Files of 32 bits.
    let other = GraspNetwork::load(format!("{models}/grasp_field_robotiq_2f85.safetensors"));
    assert_eq!(gripper(other.unwrap()), "robotiq_2f85");
    let classifier = format!("{models}/success_classifier.safetensors");
    assert_eq!(
        gripper(GraspNetwork::load_classifier(&classifier).unwrap()),
        "franka_hand"
    );
    assert!(matches!(
        GraspNetwork::load(&classifier),
        Err(WeightsError::Classifier)
    ));
}

#[test]
fn earlier_weights_keep_their_palm_and_their_points() {
    // Before grippers had files, settings held one palm box and the height of the finger centre.
    let stored = small_network(13).to_bytes().unwrap();
    let network = GraspNetwork::from_bytes(&stored).unwrap();
    let mut settings = serde_json::to_value(network.settings()).unwrap();
    let gripper = settings["gripper"].as_object_mut().unwrap();
    for new in [
        "palm",
        "pad_length_m",
        "pad_width_m",
        "recess_m",
        "grasp_depth_m",
    ] {
        gripper.remove(new).unwrap();
    }
    gripper.insert(
        "palm_half_extents_m".into(),
        vec![0.102, 0.0315, 0.033].into(),
    );
    gripper.insert("palm_center_z_m".into(), 0.033.into());
    settings["finger_centre_m"] = 0.1.into();
    let old = rewritten_settings(&stored, &settings.to_string());
    let read = GraspNetwork::from_bytes(&old).unwrap();
    let (now, then) = (&network.settings().gripper, &read.settings().gripper);
    assert_eq!(then.palm.len(), 1);
    assert_eq!(then.palm[0].half_extents_m, [0.102, 0.0315, 0.033]);
    assert_eq!(then.palm[0].center_m, [0.0, 0.0, 0.033]);
    assert!((read.settings().finger_centre_m() - 0.1).abs() < 1e-15);
    assert_eq!(
        (then.pad_length_m, then.recess_m),
        (now.pad_length_m, now.recess_m)
    );
    // The palm has no part in the energy.
    let grid = mug_grid(&network);
    let (field, old_field) = (network.bake(&grid), read.bake(&grid));
    let poses = poses(16, 3);
    assert_eq!(
        evaluate(&field, &poses, 0.3),
        evaluate(&old_field, &poses, 0.3)
    );
    // A start for training on today's hand: its palm, and points where its points are.
    let moved = read.with_gripper("franka_hand", now).unwrap();
    assert_eq!(moved.settings(), network.settings());
    assert_eq!(moved.weights(), network.weights());
}

/// The bytes of a weights file with other settings.
fn rewritten_settings(bytes: &[u8], settings: &str) -> Vec<u8> {
    let (length, header) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    metadata.insert("settings".into(), settings.into());
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    assert!(length > 0);
    safetensors::serialize(file.tensors(), Some(metadata)).unwrap()
}

#[test]
fn query_points_follow_the_gripper() {
    let franka = FieldSettings::default();
    let mut wide = franka.clone();
    wide.gripper.max_opening_m += 0.04;
    wide.gripper.tip_m += 0.05;
    wide.gripper.finger_base_m += 0.05;
    assert!((wide.finger_centre_m() - 0.15).abs() < 1e-12);
    let farthest = |settings: &FieldSettings, axis: usize| {
        let points = settings.query_points();
        // Every other pair lies about the pads.
        let pads = points.chunks(4).flat_map(|pairs| &pairs[..2]);
        pads.map(|p| p[axis]).fold(f32::MIN, f32::max)
    };
    assert!(farthest(&wide, 0) > farthest(&franka, 0) + 0.018);
    // Heights count from the finger centre, which moved with the tips.
    assert!((farthest(&wide, 2) - farthest(&franka, 2)).abs() < 1e-6);
}
