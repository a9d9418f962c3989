//! Objects from files in the evaluation: meshes, and data sets with grasps of their own.

use diffusion_field_planner::data::grasp_file::{About, FORMAT_VERSION};
use diffusion_field_planner::data::{
    evaluate_row, AntipodalSettings, Category, EvaluationSettings, GraspFile, ObjectSource,
    ProceduralObject, Subject,
};
use diffusion_field_planner::field::{GraspNetwork, SamplerSettings};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::scene::{MeshDistance, SignedDistance};
use nalgebra::Point3;

fn settings() -> EvaluationSettings {
    EvaluationSettings {
        objects: 1,
        first_object: 0,
        count: 24,
        seed: 0,
        sampler: SamplerSettings::default(),
        antipodal: AntipodalSettings::default(),
    }
}

#[test]
fn a_mesh_file_gets_a_row_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my_tin.obj");
    // In millimetres, as many meshes come.
    let mut mesh = ProceduralObject::new(Category::Cylinder, 0).mesh(0.003);
    let metres = mesh.clone();
    mesh.vertices
        .iter_mut()
        .flatten()
        .for_each(|x| *x *= 1000.0);
    std::fs::write(&path, mesh.to_obj()).unwrap();
    let subject = Subject::from_mesh_file(&path, 0.001).unwrap();
    assert_eq!(
        (subject.name.as_str(), subject.category.as_str()),
        ("my_tin", "my_tin")
    );

    // Near the surface its distance is exact, elsewhere it is never too large.
    let exact = MeshDistance::new(&metres).unwrap();
    for i in 0..500 {
        let share = |step: f64| 0.3 * ((0.5 + step * f64::from(i)).fract() - 0.5);
        let place = Point3::new(share(0.819_172_5), share(0.671_043_6), share(0.549_700_5));
        let (truth, distance) = (exact.distance(&place), subject.solid.distance(&place));
        assert!(distance.abs() <= truth.abs() + 1e-9 && distance.signum() == truth.signum());
        assert!((distance - truth).abs() < if truth.abs() < 0.008 { 1e-9 } else { 0.009 });
    }

    let network = GraspNetwork::shipped().unwrap();
    let mut grasps = 0;
    let row = evaluate_row(&network, "my_tin", [subject], &settings(), |object| {
        grasps = object.filtered.len();
    })
    .unwrap();
    assert_eq!(
        (row.category.as_str(), row.objects, row.n),
        ("my_tin", 1, 24)
    );
    assert!(grasps > 12 && row.data_success > 0.9, "{grasps} {row:?}");
    assert!(row.success_filtered_relative > 0.8, "{row:?}");
    assert!(row.emd_paper > 0.0 && row.emd_floor > 0.0, "{row:?}");
}

#[test]
fn grasps_of_a_data_set_are_what_samples_are_compared_with() {
    let mesh = ProceduralObject::new(Category::Cylinder, 0).mesh(0.003);
    let far = Pose::translation(0.0, 0.0, 0.9);
    let file = |holding: Vec<Pose>| GraspFile {
        about: About {
            version: FORMAT_VERSION,
            name: "can".into(),
            category: "Can".into(),
            source: ObjectSource::Files {
                grasps: "can.h5".into(),
                mesh: "can.obj".into(),
                scale: 1.0,
                mesh_from_object_m: [0.0; 3],
            },
            candidates: 0,
            candidates_holding: 0,
            made_from: "ACRONYM".into(),
            gripper: Default::default(),
        },
        mesh: mesh.clone(),
        holding,
        failing: Vec::new(),
    };
    let network = GraspNetwork::shipped().unwrap();
    let row = |file| {
        let subject = Subject::from_grasp_file(file).unwrap();
        evaluate_row(&network, "Can", [subject], &settings(), |_| {}).unwrap()
    };
    let (own, none) = (row(file(vec![far; 60])), row(file(Vec::new())));
    // Against grasps far away; against the generator's, where the file brings none. Success does not depend on them.
    assert!(own.emd_paper > 0.5 && own.coverage == 0.0, "{own:?}");
    assert!(own.emd_floor < 1e-6 && none.emd_floor > 0.3, "{none:?}");
    assert!(
        own.emd_paper > none.emd_paper,
        "{} {}",
        own.emd_paper,
        none.emd_paper
    );
    assert_eq!(
        own.success_filtered_relative,
        none.success_filtered_relative
    );
}
