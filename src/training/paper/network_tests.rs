//! The network against finite differences, in double precision, and against the published parameter count.

use nalgebra::Vector3;
use tch::{no_grad, Device, Kind, Tensor};

use super::losses::{by_coordinates, score_loss};
use super::network::shortened;
use super::{Denoising, NetworkSize, PaperConfig, PaperModel, PaperNetwork};
use crate::geometry::so3;

fn small(dropout: f64) -> PaperNetwork {
    let network = NetworkSize {
        hidden: 40,
        code: 8,
        encoding: 8,
        dropout,
    };
    let config = PaperConfig {
        network,
        ..PaperConfig::default()
    };
    let mut network = PaperModel::untrained(config, 3)
        .unwrap()
        .to_network(Device::Cpu, true)
        .to_double();
    // Torch's start lets signals die away over nine layers, and layer norm starts as no change: here all should matter.
    no_grad(|| {
        for (name, weight) in network.weights.iter_mut() {
            if name.ends_with(".length") {
                let _ = weight.g_mul_scalar_(2.45);
            }
            if name.starts_with("norm.") {
                let wave = Tensor::arange(weight.numel() as i64, (Kind::Double, Device::Cpu)).sin();
                let moved = &*weight + wave * 0.3;
                weight.copy_(&moved);
            }
        }
    });
    network
}

/// Rotation vectors near zero, common, beyond half a turn; positions.
const COORDINATES: [[f64; 6]; 4] = [
    [0.1, -0.3, 0.2, 1e-5, -2e-5, 1e-5],
    [-0.4, 0.2, 0.6, 0.5, -1.1, 0.7],
    [0.3, 0.1, -0.5, 2.0, 2.2, -1.9],
    [0.0, 0.5, 0.1, -1.4, 0.2, 2.7],
];

struct Poses {
    rotations: Tensor,
    positions: Tensor,
    jacobians: Tensor,
}

fn poses(coordinates: &[[f64; 6]]) -> Poses {
    let [mut rotations, mut positions, mut jacobians] = [(); 3].map(|()| Vec::<f64>::new());
    for x in coordinates {
        let w = Vector3::new(x[3], x[4], x[5]);
        positions.extend(&x[..3]);
        let rotation = so3::exp(&w).to_rotation_matrix();
        rotations.extend(rotation.matrix().transpose().iter().copied());
        jacobians.extend(so3::left_jacobian(&w).transpose().iter().copied());
    }
    Poses {
        rotations: Tensor::from_slice(&rotations).reshape([-1, 3, 3]),
        positions: Tensor::from_slice(&positions).reshape([-1, 3]),
        jacobians: Tensor::from_slice(&jacobians).reshape([-1, 3, 3]),
    }
}

fn levels() -> Tensor {
    Tensor::from_slice(&[0.02, 0.3, 0.6, 0.95])
}

fn codes(network: &mut PaperNetwork) -> Tensor {
    network.codes_of(&Tensor::from_slice(&[0i64, 1, 2, 1]))
}

#[test]
fn parameters_are_as_many_as_published() {
    let config = PaperConfig::default();
    let model = PaperModel::untrained(config, 101).unwrap();
    let network = model.to_network(Device::Cpu, true);
    assert_eq!(network.parameter_count(), 1_985_858);
    let frozen: usize = network
        .weights
        .values()
        .filter(|w| !w.requires_grad())
        .map(Tensor::numel)
        .sum();
    assert_eq!(frozen, 64);
}

#[test]
fn the_gradient_is_that_of_the_energy_by_position_and_rotation_vector() {
    let mut network = small(0.0);
    let codes = codes(&mut network);
    let energy = |coordinates: &[[f64; 6]]| {
        let p = poses(coordinates);
        let forces = network.forces(&p.rotations, &p.positions, &codes, &levels(), false);
        (by_coordinates(&forces, &p.jacobians), forces.energy)
    };
    let (gradient, _) = energy(&COORDINATES);
    for axis in 0..6 {
        let h = 1e-5;
        let moved = |by: f64| {
            let mut coordinates = COORDINATES;
            coordinates.iter_mut().for_each(|x| x[axis] += by);
            energy(&coordinates).1
        };
        let expected = (moved(h) - moved(-h)) / (2.0 * h);
        for pose in 0..4 {
            let (found, expected) = (
                gradient.double_value(&[pose, axis as i64]),
                expected.double_value(&[pose]),
            );
            // A rectified network has kinks: rarely one lies within the step.
            assert!(
                (found - expected).abs() < 1e-5 + 2e-3 * expected.abs(),
                "{axis} {pose}: {found} {expected}"
            );
        }
    }
}

#[test]
fn the_denoising_loss_is_differentiated_by_every_weight() {
    let mut network = small(0.0);
    let targets = Tensor::arange(24, (Kind::Double, Device::Cpu))
        .cos()
        .reshape([4, 6]);
    let p = poses(&COORDINATES);
    let loss = |network: &mut PaperNetwork| {
        let codes = codes(network);
        let forces = network.forces(&p.rotations, &p.positions, &codes, &levels(), true);
        let gradients = by_coordinates(&forces, &p.jacobians);
        score_loss(&gradients, &targets, Denoising::Projected)
    };
    loss(&mut network).backward();
    let names: Vec<String> = network.weights.keys().cloned().collect();
    for name in names.iter().filter(|n| *n != "time.frequencies") {
        if ["energy2.bias", "norm.bias"].contains(&name.as_str()) {
            // Between them and the energy everything is straight: they do not move its slope.
            continue;
        }
        let gradient = network.weights[name].grad();
        assert!(gradient.defined(), "{name}");
        // The entry that matters most says whether the whole is right.
        let flat = gradient.reshape([-1]);
        let index = flat.abs().argmax(0, false).int64_value(&[]);
        let found = flat.double_value(&[index]);
        assert!(found.abs() > 1e-7, "{name} has no influence");
        let mut moved = |by: f64| {
            no_grad(|| {
                let weight = network.weights[name].view([-1]).get(index);
                let _ = weight.shallow_clone().g_add_scalar_(by);
            });
            loss(&mut network).double_value(&[])
        };
        let h = 1e-6;
        let (above, below) = (moved(h), moved(-2.0 * h));
        moved(h);
        let expected = (above - below) / (2.0 * h);
        assert!(
            (found - expected).abs() < 1e-7 + 5e-3 * expected.abs(),
            "{name}: {found} {expected}"
        );
    }
}

#[test]
fn a_folded_network_is_the_same_function_and_dropout_acts_in_training_only() {
    let mut network = small(0.2);
    let codes = codes(&mut network).detach();
    let p = poses(&COORDINATES);
    let energy = |network: &PaperNetwork, training: bool| {
        network
            .forces(&p.rotations, &p.positions, &codes, &levels(), training)
            .energy
            .detach()
    };
    let folded = network.folded();
    assert!(folded.weights.values().all(|w| !w.requires_grad()));
    let whole = energy(&network, false);
    assert!(
        (energy(&folded, false) - &whole)
            .abs()
            .max()
            .double_value(&[])
            < 1e-12
    );
    assert!(
        (energy(&network, true) - &whole)
            .abs()
            .min()
            .double_value(&[])
            > 0.0
    );
}

#[test]
fn codes_that_are_too_long_are_shortened_where_they_are_used() {
    let mut network = small(0.0);
    no_grad(|| {
        if let Some(codes) = network.weights.get_mut("codes") {
            let _ = codes.get(1).g_mul_scalar_(50.0);
            let _ = codes.get(2).g_mul_scalar_(50.0);
        }
    });
    let used = network.codes_of(&Tensor::from_slice(&[1i64, 0]));
    let length = |row: Tensor| row.square().sum(Kind::Double).sqrt().double_value(&[]);
    assert!((length(used.get(0)) - 1.0).abs() < 1e-5);
    assert!((length(network.weights["codes"].get(1)) - 1.0).abs() < 1e-5);
    assert!(length(network.weights["codes"].get(2)) > 5.0);
    let short = Tensor::from_slice(&[0.3, 0.4]).reshape([1, 2]);
    assert!((shortened(&short) - &short).abs().max().double_value(&[]) < 1e-12);
}
