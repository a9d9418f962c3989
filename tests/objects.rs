//! The object store: what goes in comes out, and what is damaged or foreign is made anew.

use std::path::Path;
use std::sync::Arc;

use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::field::{
    EnergyField, FieldSettings, Grasp, GraspNetwork, ObjectModel, ObjectStore, StoreError,
};
use diffusion_field_planner::planner::{prepare_grasps, ProblemFile};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::SeenSide;
use nalgebra::Isometry3;

/// Small and quick.
fn network(seed: u64) -> GraspNetwork {
    let settings = FieldSettings {
        decoder_widths: [32, 16],
        points: 16,
        grid_size: 24,
        spacing_m: 0.008,
        ..FieldSettings::default()
    };
    GraspNetwork::untrained(settings, seed).unwrap()
}

fn can(network: &GraspNetwork) -> ObjectModel {
    let mesh = ProceduralObject::new(Category::Cylinder, 2).mesh(0.008);
    ObjectModel::from_mesh("can", Arc::new(mesh), network).unwrap()
}

fn energy(model: &ObjectModel) -> f32 {
    let (mut energy, mut gradient) = ([0.0], [[0.0; 6]]);
    let pose = Isometry3::translation(0.01, 0.02, -0.1);
    model
        .field
        .evaluate(&[pose], 0.3, &mut energy, &mut gradient);
    energy[0]
}

#[test]
fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::new(folder.path().join("objects"));
    assert!(store.names().unwrap().is_empty());
    let network = network(1);
    let model = can(&network);
    prepare_grasps(&model);
    let grasps = |model: &ObjectModel| {
        let kept = model.kept_grasps(|_| unreachable!("they were drawn"));
        assert!(!kept.drawn.is_empty() && !kept.by_shape.is_empty());
        let all = kept.drawn.iter().chain(&kept.by_shape);
        all.cloned().collect::<Vec<Grasp>>()
    };
    store.save(&model, &network).unwrap();
    assert_eq!(store.names().unwrap(), ["can"]);
    let stored = store.load("can", &network).unwrap();
    assert_eq!(stored.rebuilt, None);
    assert_eq!(stored.model.distance, model.distance);
    assert_eq!(energy(&stored.model), energy(&model));
    let (kept, grasps) = (grasps(&stored.model), grasps(&model));
    assert_eq!(kept.len(), grasps.len());
    for (kept, grasp) in kept.iter().zip(&grasps) {
        let way = kept.object_from_gripper.inverse() * grasp.object_from_gripper;
        assert!(way.translation.vector.norm() < 1e-12 && way.rotation.angle() < 1e-7);
        assert_eq!((kept.energy, kept.width_m), (grasp.energy, grasp.width_m));
    }
    assert!(store.remove("can").unwrap() && !store.remove("can").unwrap());
    assert!(store.names().unwrap().is_empty());
}

#[test]
fn what_was_seen_of_an_object_stays_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::new(folder.path());
    let network = network(1);
    let (low, high) = can(&network).mesh.bounds();
    let seen = SeenSide::new(&[low, high, [0.123_456_789, -0.02, 1.0 / 3.0]]);
    let model = can(&network).seen_from_one_side(Some(seen.clone()));
    store.save(&model, &network).unwrap();
    let stored = store.load("can", &network).unwrap();
    assert_eq!(
        (stored.model.seen.as_deref(), stored.rebuilt),
        (Some(&seen), None)
    );
    // Other points make what was prepared with these useless.
    let file = store.path("can", "seen.xyz");
    std::fs::write(&file, SeenSide::new(&[low]).to_xyz()).unwrap();
    let reason = store.load("can", &network).unwrap().rebuilt.unwrap();
    assert!(reason.contains("made with another mesh"), "{reason}");
    // The whole object in its place.
    store.save(&can(&network), &network).unwrap();
    let stored = store.load("can", &network).unwrap();
    assert!(stored.model.seen.is_none() && stored.rebuilt.is_none() && !file.exists());
    store.save(&model, &network).unwrap();
    assert!(file.exists() && store.remove("can").unwrap() && !file.exists());
}

#[test]
fn damaged_and_foreign_files_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::new(folder.path());
    let network = network(1);
    let model = can(&network);
    store.save(&model, &network).unwrap();
    let file = store.path("can", "prepared");
    let whole = std::fs::read(&file).unwrap();
    let reason = |network: &GraspNetwork| {
        let stored = store.load("can", network).unwrap();
        assert_eq!(stored.model.distance, model.distance);
        stored.rebuilt.unwrap()
    };
    for (bytes, expected) in [
        (whole[..whole.len() / 2].to_vec(), "damaged"),
        (b"not one of ours".to_vec(), "damaged"),
        (Vec::new(), "damaged"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        assert!(reason(&network).contains(expected));
    }
    std::fs::remove_file(&file).unwrap();
    assert!(reason(&network).contains("can.prepared"));
    std::fs::write(&file, &whole).unwrap();
    assert!(reason(&self::network(2)).contains("another weights"));
    // Another mesh under the old name, put there by hand.
    let other = ProceduralObject::new(Category::Cylinder, 2).mesh(0.009);
    std::fs::write(store.path("can", "obj"), other.to_obj()).unwrap();
    let stored = store.load("can", &network).unwrap();
    assert!(stored.rebuilt.unwrap().contains("another mesh"));
    std::fs::write(store.path("can", "obj"), "v 0 0").unwrap();
    assert!(matches!(
        store.load("can", &network),
        Err(StoreError::Mesh(_))
    ));
}

#[test]
fn names_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::new(folder.path());
    let network = network(1);
    for name in ["", "../can", "a/b", ".hidden", "a b"] {
        let refused = store.load(name, &network);
        assert!(matches!(refused, Err(StoreError::Name { .. })), "{name}");
    }
    store.save(&can(&network), &network).unwrap();
    let message = store.load("cup", &network).err().unwrap().to_string();
    assert!(
        message.contains("'cup'") && message.contains("there are: can"),
        "{message}"
    );
}

#[test]
fn a_problem_takes_objects_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(1);
    ObjectStore::new(folder.path())
        .save(&can(&network), &network)
        .unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (urdf, settings) = (root.join("urdf/panda.urdf"), root.join("config/panda.yaml"));
    let robot = RobotModel::load(&urdf, &settings).unwrap();
    let text = |name: &str, task: &str| {
        format!(
            "robot: {{urdf: a, settings: b}}\nstart: [0, 0, 0, -2, 0, 2, 0]\nobject_folder: .\n\
             objects: [{{name: {name}, pose: {{position_m: [0.5, 0, 0]}}}}]\ntask: {{{task}}}\n"
        )
    };
    let request = |name: &str, task: &str| {
        let file = ProblemFile::from_yaml(&text(name, task), Path::new("problem.yaml")).unwrap();
        file.request(&robot, folder.path(), Some(&network))
    };
    let grasping = request("can", "grasp: can").unwrap();
    assert_eq!(grasping.goal.target().unwrap().0.name, "can");
    let beside = request("can", "joints: [0, 0, 0, -2, 0, 2, 0]").unwrap();
    assert_eq!(beside.scene.objects.len(), 1);
    let error = request("cup", "grasp: cup").err().unwrap().to_string();
    assert!(
        error.contains("'cup'") && error.contains("there are: can"),
        "{error}"
    );
}
