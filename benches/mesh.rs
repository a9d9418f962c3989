//! Distances to a mesh, beside parry's on the same points in the same run; and what they are for, fingers that close on an object.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::field::{
    sample_grasps, FingerFace, GraspNetwork, ObjectModel, SamplerSettings,
};
use diffusion_field_planner::scene::mesh::SurfaceSampler;
use diffusion_field_planner::scene::MeshDistance;
use nalgebra::{Point3, Vector3};
use parry3d_f64::query::PointQuery;
use rand::{RngExt, SeedableRng};

const POINTS: usize = 256;
/// Points are so near to the surface, and are known to be, m.
const NEAR_M: f64 = 0.005;
const CONE_RAD: f64 = 0.5;

fn mesh(c: &mut Criterion) {
    let Ok(network) = GraspNetwork::shipped() else {
        return;
    };
    for spacing_m in [0.008, 0.0025] {
        let mesh = Arc::new(ProceduralObject::new(Category::Cup, 3).mesh(spacing_m));
        let surface = MeshDistance::new(&mesh).expect("a cup");
        let parry = surface.parry().expect("a cup");
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(0);
        let sampler = SurfaceSampler::new(&mesh);
        let near: Vec<Point3<f64>> = (0..POINTS)
            .map(|_| {
                let off = Vector3::from_fn(|_, _| rng.random_range(-1.0..1.0)).normalize();
                sampler.sample(&mut rng) + off * rng.random_range(0.0..NEAR_M)
            })
            .collect();
        let mut group = c.benchmark_group(format!("cup of {} triangles", mesh.triangles.len()));
        group.throughput(Throughput::Elements(POINTS as u64));
        let limits = [
            ("nearest", f64::INFINITY),
            ("nearest, within what is known", NEAR_M),
        ];
        for (name, limit_m) in limits {
            group.bench_function(name, |b| {
                b.iter(|| {
                    let found = near.iter().flat_map(|p| surface.nearest(p, limit_m));
                    found.map(|(distance, _, _)| distance).sum::<f64>()
                })
            });
        }
        group.bench_function("nearest, parry", |b| {
            b.iter(|| {
                let places = near
                    .iter()
                    .map(|p| parry3d_f64::math::Vec3::new(p.x, p.y, p.z));
                places
                    .map(|p| parry.distance_to_local_point(p, false))
                    .sum::<f64>()
            })
        });
        group.bench_function("winding number", |b| {
            b.iter(|| near.iter().map(|p| surface.winding_number(p)).sum::<f64>())
        });
        let object = ObjectModel::from_mesh("cup", mesh.clone(), &network).expect("a cup");
        let grasps = sample_grasps(&object, &SamplerSettings::default(), 200, 0);
        let gripper = &network.settings().gripper;
        group.throughput(Throughput::Elements(1));
        group.bench_function("finger's face", |b| {
            b.iter(|| FingerFace::new(black_box(gripper)))
        });
        let face = FingerFace::new(gripper);
        group.throughput(Throughput::Elements(grasps.len() as u64));
        group.bench_function("fingers closed", |b| {
            b.iter(|| {
                let solid = object.near_surface(0.0);
                let contacts = grasps.iter().filter_map(|grasp| {
                    face.holding_contacts(&solid, black_box(&grasp.object_from_gripper), CONE_RAD)
                });
                contacts.count()
            })
        });
    }
}

criterion_group!(benches, mesh);
criterion_main!(benches);
