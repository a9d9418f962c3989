//! Lane kernels against double precision.

use super::*;
use crate::geometry::Pose;
use crate::lanes::{ALL_LANES, LANES};
use nalgebra::{Point3, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};

fn objects() -> Vec<SceneObject> {
    let pose = Pose::from_parts(
        nalgebra::Translation3::new(0.2, -0.1, 0.3),
        UnitQuaternion::from_euler_angles(0.4, -0.7, 1.1),
    );
    let sphere = Shape::Sphere { radius_m: 0.25 };
    let grid = VoxelGrid::from_distance(&sphere, [-0.4; 3], 0.02, [41; 3]);
    [
        sphere,
        Shape::Capsule {
            radius_m: 0.1,
            length_m: 0.4,
        },
        Shape::Box {
            half_extents_m: [0.3, 0.2, 0.1],
        },
        Shape::Cylinder {
            radius_m: 0.2,
            length_m: 0.5,
        },
        Shape::Plane,
        Shape::Voxels(Arc::new(grid)),
    ]
    .into_iter()
    .map(|shape| {
        let mut object = SceneObject::new(shape.kind(), shape, pose);
        object.margin_m = 0.01;
        object
    })
    .collect()
}

fn points(seed: u64, reach: f32) -> (Lanes3, Vec<Point3<f64>>) {
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
    let values: [[f32; 16]; 3] =
        std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(-reach..reach)));
    let single = (0..16)
        .map(|l| Point3::from(std::array::from_fn(|k| f64::from(values[k][l]))))
        .collect();
    (values.map(Lanes::from), single)
}

#[test]
fn kernels_agree_with_double_precision() {
    for object in objects() {
        let lanes = LaneScene::from_scene(&Scene {
            objects: vec![object.clone()],
        });
        for seed in 0..40 {
            let (p, single) = points(seed, 0.9);
            let (distance, gradient) = lanes.obstacles()[0].distance_and_gradient(&p, ALL_LANES);
            let near = lanes.obstacles()[0].is_nearer(&p, splat(0.08)).to_bitmask();
            let maybe = lanes.obstacles()[0].is_near(&p, splat(0.08)).to_bitmask();
            let (of_the_near, _) = lanes.obstacles()[0].distance_and_gradient(&p, maybe);
            for lane in 0..LANES {
                let (all, some) = (distance.to_array()[lane], of_the_near.to_array()[lane]);
                assert!(
                    some == all || (maybe >> lane & 1 == 0 && some > 0.08 - 1e-6 && some < all)
                );
            }
            for (lane, q) in single.iter().enumerate() {
                let (exact, exact_gradient) = object.distance_and_gradient(q);
                let found = f64::from(distance.to_array()[lane]);
                assert!(
                    (found - exact).abs() < 2e-6,
                    "{} {found} {exact}",
                    object.name
                );
                if (exact - 0.08).abs() > 1e-5 {
                    assert_eq!(
                        near >> lane & 1 == 1,
                        exact < 0.08,
                        "{} {exact}",
                        object.name
                    );
                }
                let g = Vector3::from_fn(|k, _| f64::from(gradient[k].to_array()[lane]));
                // two faces equally near: either gradient is right
                let nudged = object
                    .distance_and_gradient(&(q + Vector3::new(1e-5, 2e-5, -1e-5)))
                    .1;
                if (nudged - exact_gradient).norm() < 1e-2 {
                    assert!(
                        (g - exact_gradient).norm() < 2e-3,
                        "{} {g} {exact_gradient}",
                        object.name
                    );
                }
            }
        }
    }
}

#[test]
fn names_follow_the_kernels_order() {
    let mut all = objects();
    all.reverse();
    let lanes = LaneScene::from_scene(&Scene { objects: all });
    for (index, kind) in ["sphere", "capsule", "box", "cylinder", "plane", "voxels"]
        .iter()
        .enumerate()
    {
        assert_eq!((lanes.name(index), lanes.index(kind)), (*kind, Some(index)));
    }
}

#[test]
fn a_mesh_is_followed_within_its_grid() {
    use crate::scene::TriangleMesh;
    let mesh = TriangleMesh::cuboid([0.1; 3]);
    let shape = Shape::Mesh(Arc::new(MeshDistance::new(&mesh).unwrap()));
    let cube = Shape::Box {
        half_extents_m: [0.1; 3],
    };
    let scene = Scene {
        objects: vec![SceneObject::new(
            "mesh",
            shape,
            Pose::translation(0.1, 0.0, 0.0),
        )],
    };
    let lanes = LaneScene::from_scene(&scene);
    for seed in 0..20 {
        let (p, single) = points(seed, 0.2);
        let (distance, _) = lanes.obstacles()[0].distance_and_gradient(&p, ALL_LANES);
        for (lane, q) in single.iter().enumerate() {
            let exact = cube.distance(&(q - Vector3::new(0.1, 0.0, 0.0)));
            let found = f64::from(distance.to_array()[lane]);
            // outside the grid the distance to the cube is added, which is never less than the truth allows
            assert!(
                found > exact - 0.005 && found < exact + 0.03,
                "{found} {exact}"
            );
        }
    }
}

/// A ball of triangles is enough of a mesh.
fn tetrahedron() -> Arc<MeshDistance> {
    let mesh = crate::scene::TriangleMesh {
        vertices: vec![[0.0; 3], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]],
        triangles: vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
    };
    Arc::new(MeshDistance::new(&mesh).unwrap())
}

#[test]
fn a_mesh_is_sampled_once_however_objects_come_go_and_move() {
    let mesh = tetrahedron();
    let mut grids = LaneGridCache::default();
    let lay_out = |places: &[f64], grids: &mut LaneGridCache| {
        let object = |x: &f64| {
            SceneObject::new(
                format!("at {x}"),
                Shape::Mesh(mesh.clone()),
                Pose::translation(*x, 0.0, 0.0),
            )
        };
        let objects = places.iter().map(object).collect();
        let lanes = LaneScene::with_cache(&Scene { objects }, grids);
        let grids = lanes.obstacles().iter().map(|o| o.grid.clone().unwrap());
        grids.collect::<Vec<_>>()
    };
    let first = lay_out(&[0.0], &mut grids);
    let moved = lay_out(&[1.0], &mut grids);
    let both = lay_out(&[0.5, 2.0], &mut grids);
    for grid in moved.iter().chain(&both) {
        assert!(Arc::ptr_eq(grid, &first[0]));
    }
    assert_eq!(grids.len(), 1);
    // Another mesh of the same shape is another mesh.
    let other = tetrahedron();
    let object = SceneObject::new("other", Shape::Mesh(other), Pose::identity());
    let scene = Scene {
        objects: vec![object],
    };
    LaneScene::with_cache(&scene, &mut grids);
    assert_eq!(grids.len(), 2);
    // What is not used for long is dropped.
    for _ in 0..70 {
        lay_out(&[0.0], &mut grids);
    }
    assert_eq!(grids.len(), 1);
    assert!(Arc::ptr_eq(&lay_out(&[0.0], &mut grids)[0], &first[0]));
}
