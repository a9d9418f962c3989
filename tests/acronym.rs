//! ACRONYM files made on the fly: frames, labels, and everything that can be missing or damaged.

use std::path::Path;
use std::sync::Mutex;

use diffusion_field_planner::data::{
    load_folder, read_acronym, read_acronym_folder, AcronymError, Made, ObjectSource, Shard,
};
use diffusion_field_planner::field::Failure;
use hdf5_pure::FileBuilder;
use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};

const SCALE: f64 = 0.01;

/// A block of 4 x 6 x 8 units about (100, 20, 30): far from its origin, as ACRONYM's meshes are.
fn write_block(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut text = String::new();
    for corner in 0..8 {
        let side = |axis: usize| if corner >> axis & 1 == 1 { 1.0 } else { -1.0 };
        text += &format!(
            "v {} {} {}\n",
            100.0 + 2.0 * side(0),
            20.0 + 3.0 * side(1),
            30.0 + 4.0 * side(2)
        );
    }
    for quad in [
        [1, 3, 4, 2],
        [5, 6, 8, 7],
        [1, 2, 6, 5],
        [3, 7, 8, 4],
        [1, 5, 7, 3],
        [2, 4, 8, 6],
    ] {
        text += &format!("f {} {} {} {}\n", quad[0], quad[1], quad[2], quad[3]);
    }
    std::fs::write(path, text).unwrap();
}

/// From above, tips 1 cm above the block's middle; and the same from below.
fn mesh_from_gripper() -> [Isometry3<f64>; 2] {
    let middle = Vector3::new(1.0, 0.2, 0.3);
    [1.0, -1.0].map(|side| {
        let turn = if side > 0.0 {
            std::f64::consts::PI
        } else {
            0.0
        };
        Isometry3::from_parts(
            Translation3::from(middle + Vector3::new(0.0, 0.0, side * 0.122)),
            UnitQuaternion::from_axis_angle(&Vector3::x_axis(), turn),
        )
    })
}

struct Contents {
    transforms: Vec<f64>,
    success: Vec<i64>,
    mesh: &'static str,
    scale: f64,
}

fn contents() -> Contents {
    let rows = |pose: &Isometry3<f64>| pose.to_homogeneous().transpose().as_slice().to_vec();
    Contents {
        transforms: mesh_from_gripper().iter().flat_map(rows).collect(),
        success: vec![1, 0],
        mesh: "meshes/Block/b1.obj",
        scale: SCALE,
    }
}

/// ACRONYM's layout: nested groups, deflated chunks, strings of variable length.
fn write_hdf5(path: &Path, contents: &Contents) {
    let count = contents.transforms.len() as u64 / 16;
    let mut file = FileBuilder::new();
    let mut grasps = file.create_group("grasps");
    grasps
        .create_dataset("transforms")
        .with_f64_data(&contents.transforms)
        .with_shape(&[count, 4, 4])
        .with_chunks(&[1, 4, 4])
        .with_deflate(4);
    let mut qualities = grasps.create_group("qualities");
    let mut flex = qualities.create_group("flex");
    flex.create_dataset("object_in_gripper")
        .with_i64_data(&contents.success)
        .with_shape(&[contents.success.len() as u64]);
    qualities.add_group(flex.finish());
    grasps.add_group(qualities.finish());
    file.add_group(grasps.finish());
    let mut object = file.create_group("object");
    object
        .create_dataset("file")
        .with_vlen_strings(&[contents.mesh]);
    object
        .create_dataset("scale")
        .with_f64_data(&[contents.scale])
        .with_shape(&[1]);
    file.add_group(object.finish());
    file.write(path).unwrap();
}

#[test]
fn frames_scale_and_labels_come_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_block(&at("meshes/Block/b1.obj"));
    write_hdf5(&at("Block_b1_0.01.h5"), &contents());
    let file = read_acronym(&at("Block_b1_0.01.h5"), folder.path()).unwrap();
    assert_eq!(
        (file.about.name.as_str(), file.about.category.as_str()),
        ("Block_b1_0.01", "block")
    );
    let (low, high) = file.mesh.bounds();
    for (axis, half) in [0.02, 0.03, 0.04].into_iter().enumerate() {
        assert!((low[axis] + half).abs() < 1e-9 && (high[axis] - half).abs() < 1e-9);
    }
    assert_eq!((file.holding.len(), file.failing.len()), (1, 1));
    assert_eq!(file.failing[0].1, Failure::Drops);
    // The finger tips, 112 mm along +z, end 1 cm above the middle, for the grasp from above.
    let tip = file.holding[0] * Point3::new(0.0, 0.0, 0.112);
    assert!((tip - Point3::new(0.0, 0.0, 0.01)).norm() < 1e-9, "{tip}");
    let tip = file.failing[0].0 * Point3::new(0.0, 0.0, 0.112);
    assert!((tip - Point3::new(0.0, 0.0, -0.01)).norm() < 1e-9, "{tip}");
    assert!(matches!(
        file.about.source,
        ObjectSource::Files { scale, mesh_from_object_m, .. }
            if scale == SCALE && (Vector3::from(mesh_from_object_m) - Vector3::new(1.0, 0.2, 0.3)).norm() < 1e-12
    ));
    let inside = file.distance().unwrap().distance(&Point3::origin());
    assert!((inside + 0.02).abs() < 1e-9, "{inside}");
}

/// The problem that a change of the contents leads to.
fn problem_of(change: impl Fn(&mut Contents)) -> AcronymError {
    let folder = tempfile::tempdir().unwrap();
    write_block(&folder.path().join("b1.obj"));
    let mut contents = contents();
    change(&mut contents);
    let path = folder.path().join("x.h5");
    write_hdf5(&path, &contents);
    read_acronym(&path, folder.path()).unwrap_err()
}

#[test]
fn what_is_wrong_is_named() {
    let text = problem_of(|c| c.success.push(1)).to_string();
    assert!(
        text.contains("object_in_gripper: 3 values for 2 grasps"),
        "{text}"
    );
    let text = problem_of(|c| c.transforms[0] *= 1.1).to_string();
    assert!(
        text.contains("transforms: grasp 0 is no rigid motion"),
        "{text}"
    );
    let text = problem_of(|c| c.transforms[19] = f64::NAN).to_string();
    assert!(text.contains("grasp 1 is no rigid motion"), "{text}");
    assert!(matches!(
        problem_of(|c| c.mesh = "meshes/Block/other.obj"),
        AcronymError::MissingMesh { mesh, .. } if mesh.ends_with("other.obj")
    ));
    assert!(matches!(
        problem_of(|c| c.scale = -1.0),
        AcronymError::Mesh { .. }
    ));
}

#[test]
fn a_bad_file_is_listed_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (grasps, out) = (folder.path().join("grasps"), folder.path().join("out"));
    std::fs::create_dir_all(&grasps).unwrap();
    write_block(&folder.path().join("meshes/Block/b1.obj"));
    write_hdf5(&grasps.join("good.h5"), &contents());
    let bytes = std::fs::read(grasps.join("good.h5")).unwrap();
    std::fs::write(grasps.join("cut.h5"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(grasps.join("empty.h5"), b"").unwrap();
    std::fs::write(grasps.join("text.h5"), b"no HDF5 at all").unwrap();
    let lonely = Contents {
        mesh: "meshes/Gone/g.obj",
        ..contents()
    };
    write_hdf5(&grasps.join("lonely.h5"), &lonely);

    let read =
        || {
            let (bad, kept) = (Mutex::new(Vec::new()), Mutex::new(0));
            let count =
                read_acronym_folder(&grasps, folder.path(), &out, Shard::ALL, |path, made| {
                    match made {
                        Ok(made) => {
                            *kept.lock().unwrap() += usize::from(matches!(made, Made::Kept))
                        }
                        Err(error) => {
                            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                            assert!(error.to_string().contains(&format!("{name}.h5")), "{error}");
                            bad.lock().unwrap().push(name);
                        }
                    }
                });
            let mut bad = bad.into_inner().unwrap();
            bad.sort();
            (count.unwrap(), bad, kept.into_inner().unwrap())
        };
    let wanted: Vec<String> = ["cut", "empty", "lonely", "text"].map(String::from).into();
    assert_eq!(read(), (5, wanted.clone(), 0));
    assert_eq!(load_folder(&out).unwrap().0.len(), 1);
    assert_eq!(read(), (5, wanted, 1), "the good one is kept");
    assert!(read_acronym_folder(&out.join("none"), &out, &out, Shard::ALL, |_, _| {}).is_err());
}

#[test]
fn no_damage_of_a_file_stops_the_program() {
    let folder = tempfile::tempdir().unwrap();
    write_block(&folder.path().join("b1.obj"));
    let path = folder.path().join("x.h5");
    write_hdf5(&path, &contents());
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for i in 0..400 {
        let mut bytes = whole.clone();
        // Every part of the file, headers most of all, with values that look like huge sizes and addresses.
        let place = (i * 7919) % bytes.len();
        bytes[place] = [0x00, 0xff, 0x7f, 0x80][i % 4];
        std::fs::write(&path, &bytes).unwrap();
        refused += usize::from(read_acronym(&path, folder.path()).is_err());
    }
    assert!(refused > 20, "{refused}");
}
