//! Training on a tiny set: the loss falls, equal seeds give equal weights, a resumed run equals an unbroken one.
#![cfg(feature = "torch")]

use std::ops::ControlFlow;

use diffusion_field_planner::data::Category;
use diffusion_field_planner::field::FieldSettings;
use diffusion_field_planner::training::config::DataConfig;
use diffusion_field_planner::training::{
    Dataset, StopReason, Trainer, TrainingConfig, TrainingError,
};
use tch::Device;

fn config() -> TrainingConfig {
    TrainingConfig {
        steps: 40,
        objects_per_step: 2,
        poses_per_object: 64,
        sdf_points_per_object: 32,
        warmup_steps: 5,
        validation_every_steps: 10,
        checkpoint_every_steps: 1000,
        data: DataConfig {
            objects: [(Category::Box, 2), (Category::Cylinder, 1)].into(),
            held_out_per_category: 1,
            grasps_per_object: 60,
            least_grasps: 20,
            ..DataConfig::default()
        },
        field: FieldSettings {
            grid_size: 32,
            spacing_m: 0.0082,
            decoder_widths: [64, 32],
            points: 16,
            ..Default::default()
        },
        ..TrainingConfig::default()
    }
}

fn datasets(config: &TrainingConfig) -> (Dataset, Dataset) {
    let gripper = &config.field.gripper;
    (
        Dataset::training(&config.data, gripper, || {}),
        Dataset::held_out(&config.data, gripper, || {}),
    )
}

#[test]
fn the_loss_falls_and_a_resumed_run_equals_an_unbroken_one() {
    let config = config();
    let (data, held_out) = datasets(&config);
    assert_eq!((data.objects.len(), held_out.objects.len()), (3, 2));
    let folder = tempfile::tempdir().unwrap();

    let mut losses = Vec::new();
    let mut whole = Trainer::new(
        config.clone(),
        &folder.path().join("whole"),
        Device::Cpu,
        None,
    )
    .unwrap();
    let reason = whole
        .run(&data, &held_out, None, |progress| {
            losses.push(progress.score_loss);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((reason, losses.len()), (StopReason::Finished, 40));
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[30..]) < 0.9 * mean(&losses[..5]), "{losses:?}");
    let curves = std::fs::read_to_string(folder.path().join("whole/curves.csv")).unwrap();
    assert_eq!(curves.lines().count(), 5);

    let broken = folder.path().join("broken");
    let mut first = Trainer::new(config.clone(), &broken, Device::Cpu, None).unwrap();
    let stop_at = |step: u64| {
        move |progress: &diffusion_field_planner::training::Progress| match progress.step {
            s if s >= step => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    assert_eq!(
        first.run(&data, &held_out, None, stop_at(17)).unwrap(),
        StopReason::Interrupted
    );
    let mut second = Trainer::new(config.clone(), &broken, Device::Cpu, None).unwrap();
    assert_eq!(second.step(), 17);
    second.run(&data, &held_out, None, stop_at(1000)).unwrap();
    assert_eq!(
        second.averaged_network().unwrap(),
        whole.averaged_network().unwrap()
    );

    let other = TrainingConfig {
        learning_rate: 1e-3,
        ..config
    };
    assert!(matches!(
        Trainer::new(other, &broken, Device::Cpu, None),
        Err(TrainingError::OtherConfig { .. })
    ));
}

#[test]
fn grasps_survive_a_file_of_the_same_configuration_only() {
    let config = config();
    let (data, _) = datasets(&config);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grasps.safetensors");
    data.save(&path, &config.data, &config.field.gripper)
        .unwrap();
    let loaded = Dataset::load(&path, &config.data, &config.field.gripper).unwrap();
    for (a, b) in data.objects.iter().zip(&loaded.objects) {
        assert_eq!(a.object.name(), b.object.name());
        for (a, b) in a.object_from_gripper.iter().zip(&b.object_from_gripper) {
            assert!((a.translation.vector - b.translation.vector).norm() < 1e-6);
            assert!(a.rotation.angle_to(&b.rotation) < 1e-5);
        }
    }
    let other = DataConfig {
        grasps_per_object: 61,
        ..config.data.clone()
    };
    assert!(Dataset::load(&path, &other, &config.field.gripper).is_none());
}
