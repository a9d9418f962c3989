//! Training on a tiny set: the loss falls, equal seeds give equal weights, a resumed run equals an unbroken one.
#![cfg(feature = "torch")]

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use diffusion_field_planner::data::grasp_file::{About, FORMAT_VERSION};
use diffusion_field_planner::data::{
    antipodal_grasps, AntipodalSettings, Category, GraspFile, ObjectSource, ProceduralObject,
};
use diffusion_field_planner::field::{FieldSettings, GraspNetwork, WeightsError};
use diffusion_field_planner::scene::SignedDistance;
use diffusion_field_planner::training::config::DataConfig;
use diffusion_field_planner::training::{
    Dataset, Objective, StopReason, Trainer, TrainingConfig, TrainingError,
};
use nalgebra::Point3;
use tch::Device;

fn config() -> TrainingConfig {
    TrainingConfig {
        steps: 40,
        objects_per_step: 2,
        poses_per_object: 64,
        sdf_points_per_object: 32,
        warmup_steps: 5,
        // Forty steps are to show something.
        learning_rate: 0.01,
        validation_every_steps: 10,
        sampling_every_steps: 20,
        samples_per_object: 16,
        checkpoint_every_steps: 1000,
        torch_threads: 2,
        batch_threads: NonZeroUsize::new(2).unwrap(),
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
    let samples = std::fs::read_to_string(folder.path().join("whole/samples.csv")).unwrap();
    assert_eq!(samples.lines().count(), 3);
    for row in samples.lines().skip(1) {
        let row: Vec<f64> = row.split(',').map(|x| x.parse().unwrap()).collect();
        let [success, collision, emd, floor, sdf_error] = row[2..] else {
            panic!("{row:?}")
        };
        assert!(
            success + collision <= 1.0 && emd > 0.0 && floor > 0.0,
            "{row:?}"
        );
        // A few steps only: better than nothing known of distances cut to 20 mm.
        assert!(sdf_error > 0.0 && sdf_error < 0.02, "{row:?}");
    }
    let picture = std::fs::read_to_string(folder.path().join("whole/curves.svg")).unwrap();
    assert_eq!(picture.matches("<polyline").count(), 9);

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
fn the_parts_of_a_step_give_the_gradient_of_the_whole() {
    let losses = |torch_threads: i32| {
        let config = TrainingConfig {
            steps: 3,
            // Of two parts the second is the smaller.
            objects_per_step: 3,
            torch_threads,
            sampling_every_steps: 0,
            ..config()
        };
        let (data, held_out) = datasets(&config);
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = Trainer::new(config, folder.path(), Device::Cpu, None).unwrap();
        let mut losses = Vec::new();
        trainer
            .run(&data, &held_out, None, |progress| {
                losses.extend([progress.score_loss, progress.sdf_error_m]);
                ControlFlow::Continue(())
            })
            .unwrap();
        losses
    };
    let whole = losses(1);
    assert_eq!(whole.len(), 6);
    for parts in [2, 3] {
        for (a, b) in losses(parts).iter().zip(&whole) {
            assert!((a / b - 1.0).abs() < 1e-3, "{parts} parts: {a} and {b}");
        }
    }
}

#[test]
fn a_classifier_learns_from_failures_and_is_never_taken_for_a_field() {
    let mut config = TrainingConfig {
        objective: Objective::Classifier,
        sampling_every_steps: 0,
        ..config()
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |config: &TrainingConfig, data: &Dataset, held_out: &Dataset, folder: &str| {
        let mut trainer = Trainer::new(config.clone(), folder.as_ref(), Device::Cpu, None)?;
        let mut losses = Vec::new();
        trainer.run(data, held_out, None, |progress| {
            losses.push(progress.score_loss);
            ControlFlow::Continue(())
        })?;
        Ok::<_, TrainingError>(losses)
    };
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, held_out) = datasets(&config);
    assert!(matches!(
        run(&config, &data, &held_out, &path("none")),
        Err(TrainingError::NoFailures)
    ));

    config.data.failing_per_object = 40;
    let (mut data, held_out) = datasets(&config);
    assert!(data.objects.iter().all(|o| o.failing.len() == 40));
    let file = folder.path().join("grasps.safetensors");
    data.save(&file, &config.data, &config.field.gripper)
        .unwrap();
    let loaded = Dataset::load(&file, &config.data, &config.field.gripper).unwrap();
    assert!(loaded.objects.iter().all(|o| o.failing.len() == 40));

    let losses = run(&config, &data, &held_out, &path("classifier")).unwrap();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    // ln 2 is what knowing nothing costs.
    assert!(
        mean(&losses[30..]) < 0.8 * std::f64::consts::LN_2,
        "{losses:?}"
    );
    let weights = path("classifier/grasp_field.safetensors");
    assert!(matches!(
        GraspNetwork::load(&weights),
        Err(WeightsError::Classifier)
    ));
    assert!(GraspNetwork::load_classifier(&weights).is_ok());

    data.leave_out(&[Category::Box]);
    assert!(data
        .objects
        .iter()
        .all(|o| o.category == Some(Category::Cylinder)));
    assert_eq!(data.objects.len(), 1);
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
        assert_eq!(a.name, b.name);
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

#[test]
fn objects_of_grasp_files_are_known_by_their_mesh() {
    let folder = tempfile::tempdir().unwrap();
    let object = ProceduralObject::new(Category::Mug, 4);
    let mesh = object.mesh(0.002);
    let gripper = FieldSettings::default().gripper;
    let settings = AntipodalSettings::default();
    let holding = antipodal_grasps(&object.solid, &mesh, &gripper, &settings, 12, 1);
    let file = |name: &str, holding: Vec<_>, source| GraspFile {
        about: About {
            version: FORMAT_VERSION,
            name: name.into(),
            category: "mug".into(),
            source,
            candidates: 0,
            candidates_holding: 0,
            made_from: String::new(),
            gripper: Default::default(),
        },
        mesh: mesh.clone(),
        holding,
        failing: Vec::new(),
    };
    let from_mesh = ObjectSource::Files {
        grasps: "mug.h5".into(),
        mesh: "mug.obj".into(),
        scale: 1.0,
        mesh_from_object_m: [0.0; 3],
    };
    let from_seed = ObjectSource::Procedural {
        category: Category::Mug,
        seed: 4,
    };
    let path = |name: &str| folder.path().join(format!("{name}.safetensors"));
    for (name, holding, source) in [
        ("a", holding.clone(), from_mesh.clone()),
        ("b", holding.clone(), from_seed),
        ("c", holding[..3].to_vec(), from_mesh),
    ] {
        file(name, holding, source).save(&path(name)).unwrap();
    }
    std::fs::write(path("d"), b"no grasp file").unwrap();

    let (data, bad) = Dataset::from_folder(folder.path(), 10, "franka_hand").unwrap();
    assert_eq!((data.objects.len(), bad.len()), (2, 1));
    assert_eq!(data.left_out, ["c"]);
    for known in &data.objects {
        assert_eq!(known.object_from_gripper.len(), 12);
        let far = known.far_distance(0.2);
        let quick = known.quick_distance(&far);
        for i in 0..2000 {
            let share = |step: f64| (0.5 + step * f64::from(i)).fract() - 0.5;
            let point = Point3::new(
                0.2 * share(0.819_172_513),
                0.2 * share(0.671_043_607),
                0.2 * share(0.549_700_478),
            );
            let exact = object.solid.distance(&point);
            let error = (quick.distance(&point) - exact).abs();
            // Inside a union the formula is only a bound.
            assert!(
                error < 0.0025 || exact < -0.001,
                "{} {point} {exact}: {error}",
                known.name
            );
        }
    }
    let none = folder.path().join("none");
    assert!(Dataset::from_folder(&none, 10, "franka_hand").is_err());
    // Grasps for one gripper are nothing to learn for another.
    let (data, bad) = Dataset::from_folder(folder.path(), 10, "robotiq_2f85").unwrap();
    assert_eq!((data.objects.len(), bad.len()), (0, 4));
    assert!(bad.iter().any(|e| e
        .to_string()
        .contains("'franka_hand', expected 'robotiq_2f85'")));
}
