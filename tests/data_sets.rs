//! Folders of grasp files: shards, resuming, damaged files, what a file gives back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use diffusion_field_planner::data::generate::object_path;
use diffusion_field_planner::data::grasp_file::grasp_files;
use diffusion_field_planner::data::{
    generate_folder, generate_object, load_folder, summarize, Category, GenerateSettings,
    GraspCounts, GraspFile, GraspFileError, Made, Shard,
};
use nalgebra::Point3;

fn settings() -> GenerateSettings {
    GenerateSettings {
        counts: GraspCounts {
            holding: 6,
            failing: 5,
        },
        mesh_spacing_m: 0.006,
        ..GenerateSettings::default()
    }
}

fn wanted() -> Vec<(Category, u64)> {
    let each = [Category::Box, Category::Cylinder, Category::Tool];
    (40..43)
        .flat_map(|seed| each.map(|category| (category, seed)))
        .collect()
}

/// Runs the generator; how many files were new and how many were kept.
fn generate(folder: &Path, shard: Shard) -> (usize, usize) {
    let counts = Mutex::new((0, 0));
    generate_folder(folder, &wanted(), shard, &settings(), |path, made| {
        let mut counts = counts.lock().unwrap();
        match made {
            Made::New => counts.0 += 1,
            Made::Kept => counts.1 += 1,
            Made::Failed(error) => panic!("{}: {error}", path.display()),
        }
    })
    .unwrap();
    counts.into_inner().unwrap()
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let paths = grasp_files(folder).unwrap();
    let read = |path: &Path| std::fs::read(path).unwrap();
    paths.iter().map(|path| (name(path), read(path))).collect()
}

#[test]
fn shards_together_make_what_one_run_makes_to_the_byte() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(generate(whole.path(), Shard::ALL), (9, 0));
    let mut made = 0;
    for shard in ["0/4", "1/4", "2/4", "3/4"] {
        let (new, kept) = generate(parts.path(), shard.parse().unwrap());
        // A file of another shard would be kept, not new.
        assert!(kept == 0 && new >= 2, "{shard}: {new} {kept}");
        made += new;
    }
    assert_eq!(made, 9);
    // No assert_eq: it would print whole files.
    assert!(contents(whole.path()) == contents(parts.path()));
    for bad in ["4/4", "0/0", "1", "-1/4", "a/b", ""] {
        assert!(bad.parse::<Shard>().is_err(), "{bad}");
    }
}

#[test]
fn a_run_goes_on_where_it_was_stopped_and_makes_damaged_files_anew() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), Shard::ALL);
    let before = contents(folder.path());
    let path = |category, seed| object_path(folder.path(), category, seed);
    // One is missing, one was cut off, one holds a bad number, one was never renamed.
    std::fs::remove_file(path(Category::Box, 41)).unwrap();
    let cut = path(Category::Tool, 42);
    std::fs::write(&cut, &before["tool_0042.safetensors"][..900]).unwrap();
    let mut bytes = before["cylinder_0040.safetensors"].clone();
    let last = bytes.len() - 1;
    bytes[last - 64..].fill(0xff);
    std::fs::write(path(Category::Cylinder, 40), bytes).unwrap();
    std::fs::write(folder.path().join("box_0040.partial"), b"half").unwrap();

    let (files, bad) = load_folder(folder.path()).unwrap();
    assert_eq!((files.len(), bad.len()), (6, 2));
    assert!(
        matches!(GraspFile::load(&cut), Err(GraspFileError::Damaged { path, .. }) if path == cut)
    );

    assert_eq!(generate(folder.path(), Shard::ALL), (3, 6));
    assert!(contents(folder.path()) == before);
    assert_eq!(generate(folder.path(), Shard::ALL), (0, 9));

    // Other settings: nothing of the old counts.
    let other = GenerateSettings {
        mesh_spacing_m: 0.007,
        ..settings()
    };
    let fresh = Mutex::new(0);
    let one = [(Category::Box, 40)];
    generate_folder(folder.path(), &one, Shard::ALL, &other, |_, made| {
        *fresh.lock().unwrap() += usize::from(matches!(made, Made::New));
    })
    .unwrap();
    assert_eq!(*fresh.lock().unwrap(), 1);
}

#[test]
fn a_file_gives_back_what_was_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fork.safetensors");
    let file = generate_object(Category::Fork, 7, &settings());
    assert_eq!(file, generate_object(Category::Fork, 7, &settings()));
    file.save(&path).unwrap();
    let back = GraspFile::load(&path).unwrap();
    assert_eq!(back.about, file.about);
    assert_eq!(back.mesh.triangles, file.mesh.triangles);
    assert_eq!((back.holding.len(), back.failing.len()), (6, 5));
    for (a, b) in file.failing.iter().zip(&back.failing) {
        assert_eq!(a.1, b.1);
        assert!((a.0.translation.vector - b.0.translation.vector).norm() < 1e-6);
        assert!(a.0.rotation.angle_to(&b.0.rotation) < 1e-5);
    }
    // The formula comes back, not the mesh.
    let probe = Point3::new(0.01, 0.02, 0.03);
    let expected = generate_object(Category::Fork, 7, &settings());
    assert_eq!(
        back.distance().unwrap().distance(&probe),
        expected.distance().unwrap().distance(&probe)
    );

    let mut old = std::fs::read(&path).unwrap();
    let key = br#"\"version\":1"#;
    let place = old.windows(key.len()).position(|w| w == key).unwrap();
    old[place + key.len() - 1] = b'9';
    std::fs::write(&path, old).unwrap();
    assert!(
        matches!(GraspFile::load(&path), Err(GraspFileError::Version { found, .. }) if found == "9")
    );
    std::fs::write(&path, b"no grasp file at all").unwrap();
    assert!(matches!(
        GraspFile::load(&path),
        Err(GraspFileError::Damaged { .. })
    ));
    assert!(matches!(
        GraspFile::load(&folder.path().join("none.safetensors")),
        Err(GraspFileError::Io { .. })
    ));
}

#[test]
fn the_summary_counts_by_category() {
    let files: Vec<_> = [(Category::Box, 1), (Category::Box, 2), (Category::Fork, 1)]
        .map(|(category, seed)| generate_object(category, seed, &settings()))
        .into();
    let summary = summarize(&files);
    assert_eq!(summary.keys().collect::<Vec<_>>(), ["box", "fork"]);
    let boxes = &summary["box"];
    assert_eq!(
        (
            boxes.objects,
            boxes.holding,
            boxes.failing,
            boxes.ungraspable
        ),
        (2, 12, 10, 0)
    );
    assert_eq!(boxes.failures.values().sum::<usize>(), 10);
    let share = boxes.candidates_holding_share.unwrap();
    assert!(share > 0.0 && share < 1.0, "{share}");
    assert!(boxes.radius_m[0] > 0.01 && boxes.radius_m[0] <= boxes.radius_m[1]);
}
