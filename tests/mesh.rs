//! Meshes: the three formats, what is refused, exact distance, sign with and without holes, voxel grids.

use std::io::Write;

use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::scene::mesh::SurfaceSampler;
use diffusion_field_planner::scene::{
    MeshDistance, MeshError, SignedDistance, TriangleMesh, VoxelGrid,
};
use nalgebra::{Point3, Vector3};
use rand::{RngExt, SeedableRng};

fn box_distance(half: [f64; 3], p: &Point3<f64>) -> f64 {
    let q = Vector3::from_fn(|a, _| p[a].abs() - half[a]);
    q.map(|x| x.max(0.0)).norm() + q.max().min(0.0)
}

const HALF: [f64; 3] = [0.03, 0.05, 0.02];

fn random_points(count: usize, seed: u64) -> Vec<Point3<f64>> {
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
    (0..count)
        .map(|_| Point3::from([0; 3].map(|_| rng.random_range(-0.1..0.1))))
        .collect()
}

#[test]
fn a_written_mesh_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box.obj");
    let mesh = TriangleMesh::cuboid(HALF);
    std::fs::write(&path, mesh.to_obj()).unwrap();
    let read = TriangleMesh::load(&path, 1.0).unwrap();
    assert_eq!(
        (read.vertices, read.triangles),
        (mesh.vertices, mesh.triangles)
    );
}

/// Points of a solid's surface as a PLY file without triangles.
fn write_cloud(path: &std::path::Path, mesh: &TriangleMesh, count: usize) {
    let sampler = SurfaceSampler::new(mesh);
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(5);
    let mut text = format!(
        "ply\nformat ascii 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    );
    for _ in 0..count {
        let p = sampler.sample(&mut rng);
        text += &format!("{} {} {}\n", 1e3 * p.x, 1e3 * p.y, 1e3 * p.z);
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_point_cloud_gets_a_closed_surface() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud.ply");
    let mug = ProceduralObject::new(Category::Mug, 1);
    for (mesh, solid, count) in [
        (
            TriangleMesh::cuboid(HALF),
            &(MeshDistance::new(&TriangleMesh::cuboid(HALF)).unwrap()) as &dyn SignedDistance,
            12_000,
        ),
        (mug.mesh(0.003), &mug.solid, 20_000),
    ] {
        write_cloud(&path, &mesh, count);
        let cloud = TriangleMesh::load(&path, 1e-3).unwrap();
        let found = MeshDistance::new(&cloud).unwrap();
        let mut worst: f64 = 0.0;
        let mut wrong_side = 0;
        for p in random_points(2000, 7) {
            let (expected, found) = (solid.distance(&p), found.distance(&p));
            if (expected - found).abs() > 0.003 {
                println!("{count} {p} {expected} {found}");
            }
            worst = worst.max((expected - found).abs());
            wrong_side += usize::from(expected.abs() > 0.002 && expected * found < 0.0);
        }
        assert!(worst < 0.004, "{worst}");
        assert_eq!(wrong_side, 0);
    }
    let mut lid = TriangleMesh::cuboid(HALF);
    // One face: what a camera sees from above.
    lid.triangles.truncate(2);
    write_cloud(&path, &lid, 2000);
    assert!(matches!(
        TriangleMesh::load(&path, 1e-3),
        Err(MeshError::OpenCloud { .. })
    ));
    write_cloud(&path, &TriangleMesh::cuboid(HALF), 50);
    assert!(matches!(
        TriangleMesh::load(&path, 1.0),
        Err(MeshError::Empty { .. })
    ));
}

#[test]
fn distance_to_a_box_is_exact_and_signed() {
    let mesh = MeshDistance::new(&TriangleMesh::cuboid(HALF)).unwrap();
    for p in random_points(500, 1) {
        let expected = box_distance(HALF, &p);
        assert!(
            (mesh.distance(&p) - expected).abs() < 1e-12,
            "{p} {expected}"
        );
        let (d, gradient) = mesh.distance_and_gradient(&p);
        assert!((d - expected).abs() < 1e-12);
        assert!((gradient.norm() - 1.0).abs() < 1e-9);
        let h = 1e-6;
        for axis in 0..3 {
            let mut step = Vector3::zeros();
            step[axis] = h;
            let slope = (mesh.distance(&(p + step)) - mesh.distance(&(p - step))) / (2.0 * h);
            // The medial axis of a box has kinks; random points miss it except by a hair.
            assert!(
                (slope - gradient[axis]).abs() < 1e-4 || box_distance(HALF, &p) < 0.0,
                "{p}"
            );
        }
    }
}

#[test]
fn sign_survives_a_hole_and_inside_out_triangles() {
    let mut open = TriangleMesh::cuboid(HALF);
    open.triangles.truncate(11);
    let distance = MeshDistance::new(&open).unwrap();
    assert!(distance.distance(&Point3::new(0.0, 0.0, -0.01)) < 0.0);
    assert!(distance.distance(&Point3::new(0.0, 0.0, 0.05)) > 0.0);
    let mut inverted = TriangleMesh::cuboid(HALF);
    inverted.triangles.iter_mut().for_each(|t| t.swap(0, 1));
    let distance = MeshDistance::new(&inverted).unwrap();
    assert!((distance.distance(&Point3::origin()) + 0.02).abs() < 1e-12);
}

#[test]
fn volume_and_middle_of_a_box_anywhere_inside_out_and_without_a_side() {
    let shift = [0.3, -0.2, 0.1];
    let mut mesh = TriangleMesh::cuboid(HALF);
    for vertex in &mut mesh.vertices {
        *vertex = [0, 1, 2].map(|a| vertex[a] + shift[a]);
    }
    let whole = 8.0 * HALF.iter().product::<f64>();
    let is_whole = |mesh: &TriangleMesh| {
        let (volume, middle) = mesh.volume_and_middle().unwrap();
        (volume / whole - 1.0).abs() < 1e-12 && (middle - Point3::from(shift)).norm() < 1e-12
    };
    assert!(is_whole(&mesh));
    let mut inverted = mesh.clone();
    inverted.triangles.iter_mut().for_each(|t| t.swap(0, 1));
    assert!(is_whole(&inverted));
    // The last side is that of +z; the middle of the pyramid under it lies three quarters of the way to it.
    mesh.triangles.truncate(10);
    let (volume, middle) = mesh.volume_and_middle().unwrap();
    assert!((volume / whole - 5.0 / 6.0).abs() < 1e-12);
    assert!((middle.z - (shift[2] - 0.75 * HALF[2] / 5.0)).abs() < 1e-12);
    assert_eq!(TriangleMesh::default().volume_and_middle(), None);
}

/// A sphere of 20k triangles, so that the far-field approximation of the winding number is at work.
fn sphere_mesh(radius: f64, rings: u32) -> TriangleMesh {
    let mut mesh = TriangleMesh::default();
    for i in 0..=rings {
        for j in 0..2 * rings {
            let (theta, phi) = (
                std::f64::consts::PI * i as f64 / rings as f64,
                std::f64::consts::PI * j as f64 / rings as f64,
            );
            let (s, c) = theta.sin_cos();
            mesh.vertices
                .push([radius * s * phi.cos(), radius * s * phi.sin(), radius * c]);
        }
    }
    for i in 0..rings {
        for j in 0..2 * rings {
            let next = (j + 1) % (2 * rings);
            let at = |i: u32, j: u32| i * 2 * rings + j;
            mesh.triangles
                .push([at(i, j), at(i + 1, j), at(i + 1, next)]);
            mesh.triangles
                .push([at(i, j), at(i + 1, next), at(i, next)]);
        }
    }
    mesh
}

#[test]
fn winding_number_of_a_fine_sphere_is_zero_or_one() {
    let distance = MeshDistance::new(&sphere_mesh(0.05, 70)).unwrap();
    for p in random_points(400, 2) {
        if (p.coords.norm() - 0.05).abs() < 1e-4 {
            continue;
        }
        let expected = if p.coords.norm() < 0.05 { 1.0 } else { 0.0 };
        assert!((distance.winding_number(&p) - expected).abs() < 0.05, "{p}");
    }
}

#[test]
fn a_grid_from_a_mesh_equals_its_samples_and_interpolates_between() {
    let mesh = MeshDistance::new(&sphere_mesh(0.05, 20)).unwrap();
    let grid = VoxelGrid::from_mesh(&mesh, [-0.08, -0.09, -0.1], 0.01, [17, 19, 21]);
    let plain = VoxelGrid::from_distance(&mesh, [-0.08, -0.09, -0.1], 0.01, [17, 19, 21]);
    assert_eq!(grid, plain);
    let point = Point3::new(-0.08 + 0.03, -0.09 + 0.12, -0.1 + 0.07);
    assert!((grid.distance(&point) - mesh.distance(&point)).abs() < 1e-7);
    assert_eq!(
        grid.at([3, 12, 7]) as f64,
        grid.distance(&point) as f32 as f64
    );
    for p in random_points(200, 3) {
        let (value, gradient) = grid.distance_and_gradient(&p);
        assert!((value - grid.distance(&p)).abs() < 1e-12);
        let h = 1e-7;
        for axis in 0..3 {
            let mut step = Vector3::zeros();
            step[axis] = h;
            let slope = (grid.distance(&(p + step)) - grid.distance(&(p - step))) / (2.0 * h);
            assert!(
                (slope - gradient[axis]).abs() < 1e-5,
                "{p} axis {axis}: {slope} {gradient}"
            );
        }
    }
    let part = grid.around([-0.0195, -0.045, -0.1], [0.031, 0.2, 0.015]);
    assert_eq!(part.size, [7, 15, 13]);
    let off = |(at, expected): (f64, f64)| (at - expected).abs() < 1e-12;
    assert!(part.origin_m.into_iter().zip([-0.02, -0.05, -0.1]).all(off));
    for p in random_points(200, 4) {
        let (low, high) = part.bounds();
        if (0..3).all(|k| low[k] <= p[k] && p[k] <= high[k]) {
            assert!((part.distance(&p) - grid.distance(&p)).abs() < 1e-12, "{p}");
        }
    }
    // Outside the grid: at least the way to it.
    let far = Point3::new(0.5, 0.0, 0.0);
    assert!(grid.distance(&far) > 0.42 && grid.distance(&far) < 0.46);
}

fn write(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.path().join(name);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
    path
}

fn binary_stl(mesh: &TriangleMesh) -> Vec<u8> {
    let mut bytes = vec![b'x'; 80];
    bytes.extend((mesh.triangles.len() as u32).to_le_bytes());
    for triangle in &mesh.triangles {
        bytes.extend([0u8; 12]);
        for x in triangle.iter().flat_map(|&i| mesh.vertices[i as usize]) {
            bytes.extend((x as f32).to_le_bytes());
        }
        bytes.extend([0u8; 2]);
    }
    bytes
}

fn text_stl(mesh: &TriangleMesh) -> String {
    let mut text = "solid box\n".to_string();
    for triangle in &mesh.triangles {
        text += "facet normal 0 0 0\nouter loop\n";
        for &i in triangle {
            let [x, y, z] = mesh.vertices[i as usize];
            text += &format!("vertex {x} {y} {z}\n");
        }
        text += "endloop\nendfacet\n";
    }
    text + "endsolid\n"
}

fn ply(mesh: &TriangleMesh, format: &str) -> Vec<u8> {
    let mut bytes = format!(
        "ply\nformat {format} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n\
         property uchar red\nelement face {}\nproperty list uchar int vertex_indices\nend_header\n",
        mesh.vertices.len(),
        mesh.triangles.len()
    )
    .into_bytes();
    for v in &mesh.vertices {
        match format {
            "ascii" => bytes.extend(format!("{} {} {} 7\n", v[0], v[1], v[2]).bytes()),
            "binary_little_endian" => {
                v.iter()
                    .for_each(|x| bytes.extend((*x as f32).to_le_bytes()));
                bytes.push(7);
            }
            _ => {
                v.iter()
                    .for_each(|x| bytes.extend((*x as f32).to_be_bytes()));
                bytes.push(7);
            }
        }
    }
    for t in &mesh.triangles {
        match format {
            "ascii" => bytes.extend(format!("3 {} {} {}\n", t[0], t[1], t[2]).bytes()),
            "binary_little_endian" => {
                bytes.push(3);
                t.iter().for_each(|i| bytes.extend(i.to_le_bytes()));
            }
            _ => {
                bytes.push(3);
                t.iter().for_each(|i| bytes.extend(i.to_be_bytes()));
            }
        }
    }
    bytes
}

#[test]
fn every_format_gives_the_same_solid() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = TriangleMesh::cuboid([30.0, 50.0, 20.0]);
    let obj: String = mesh
        .vertices
        .iter()
        .map(|v| format!("v {} {} {}\n", v[0], v[1], v[2]))
        .chain(
            mesh.triangles
                .iter()
                .map(|t| format!("f {}/1/1 {}//2 {}\n", t[0] + 1, t[1] + 1, t[2] as i64 - 8)),
        )
        .collect();
    let files = [
        write(&dir, "binary.stl", &binary_stl(&mesh)),
        write(&dir, "text.STL", text_stl(&mesh).as_bytes()),
        write(&dir, "box.obj", obj.as_bytes()),
        write(&dir, "text.ply", &ply(&mesh, "ascii")),
        write(&dir, "little.ply", &ply(&mesh, "binary_little_endian")),
        write(&dir, "big.ply", &ply(&mesh, "binary_big_endian")),
    ];
    for file in files {
        let loaded = TriangleMesh::load(&file, 0.001).unwrap();
        assert_eq!(
            (loaded.vertices.len(), loaded.triangles.len()),
            (8, 12),
            "{file:?}"
        );
        let distance = MeshDistance::new(&loaded).unwrap();
        for p in random_points(50, 4) {
            assert!(
                (distance.distance(&p) - box_distance(HALF, &p)).abs() < 1e-7,
                "{file:?}"
            );
        }
    }
}

#[test]
fn broken_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = TriangleMesh::cuboid(HALF);
    let load =
        |name: &str, bytes: &[u8]| TriangleMesh::load(write(&dir, name, bytes), 1.0).unwrap_err();
    let stl = binary_stl(&mesh);
    assert!(matches!(
        load("cut.stl", &stl[..stl.len() - 7]),
        MeshError::Truncated { .. }
    ));
    assert!(matches!(
        load("header.stl", &stl[..40]),
        MeshError::Truncated { .. }
    ));
    let text = text_stl(&mesh);
    assert!(matches!(
        load("cut2.stl", &text.as_bytes()[..text.len() / 2]),
        MeshError::Truncated { .. } | MeshError::Malformed { .. }
    ));
    let bytes = ply(&mesh, "binary_little_endian");
    assert!(matches!(
        load("cut.ply", &bytes[..bytes.len() - 3]),
        MeshError::Truncated { .. }
    ));
    assert!(matches!(load("empty.obj", b""), MeshError::Empty { .. }));
    assert!(matches!(
        load("nan.obj", b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
        MeshError::NotFinite { vertex: 0, .. }
    ));
    assert!(matches!(
        load("index.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n"),
        MeshError::IndexOutOfRange { index: 3, .. }
    ));
    assert!(matches!(
        load("flat.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n"),
        MeshError::Empty { .. }
    ));
    assert!(matches!(
        load("word.obj", b"v 0 zero 0\n"),
        MeshError::Malformed { .. }
    ));
    assert!(matches!(
        load("mesh.dae", b"<xml>"),
        MeshError::UnknownFormat { .. }
    ));
    assert!(matches!(
        TriangleMesh::load(dir.path().join("none.stl"), 1.0),
        Err(MeshError::Io { .. })
    ));
    assert!(matches!(
        TriangleMesh::load(dir.path().join("none.stl"), 0.0),
        Err(MeshError::BadScale { .. })
    ));
}
