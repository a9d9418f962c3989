//! Cost of the field: one evaluation at batch 64, the encoder, an object from a mesh, 200 grasps. With the feature `torch` the
//! published network stands beside it, in libtorch on one thread.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::field::{
    sample_grasps, EnergyField, GraspNetwork, ObjectModel, SamplerSettings,
};
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};

fn field(c: &mut Criterion) {
    let Ok(network) = GraspNetwork::shipped() else {
        return;
    };
    let mug = ProceduralObject::new(Category::Mug, 3);
    let mesh = Arc::new(mug.mesh(0.0025));
    let Ok(object) = ObjectModel::from_mesh("mug", mesh.clone(), &network) else {
        return;
    };
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(0);
    let poses: Vec<Isometry3<f32>> = (0..64)
        .map(|_| {
            let turn = Vector3::from_fn(|_, _| rng.random_range(-2.0..2.0f32));
            let place = Vector3::from_fn(|_, _| rng.random_range(-0.1..0.1f32));
            Isometry3::from_parts(
                Translation3::from(place),
                UnitQuaternion::from_scaled_axis(turn),
            )
        })
        .collect();
    let (mut energy, mut gradient) = (vec![0.0; 64], vec![[0.0; 6]; 64]);
    let mut group = c.benchmark_group("field");
    group.throughput(Throughput::Elements(64));
    group.bench_function("energy and gradient of 64 poses", |b| {
        b.iter(|| {
            object
                .field
                .evaluate(black_box(&poses), 0.2, &mut energy, &mut gradient)
        })
    });
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.bench_function("encoder", |b| {
        b.iter(|| network.bake(black_box(&object.distance)))
    });
    group.bench_function(
        format!("object from {} triangles", mesh.triangles.len()),
        |b| b.iter(|| ObjectModel::from_mesh("mug", black_box(mesh.clone()), &network)),
    );
    group.bench_function("200 grasps", |b| {
        b.iter(|| sample_grasps(black_box(&object), &SamplerSettings::default(), 200, 0))
    });
}

#[cfg(feature = "torch")]
fn published_network(c: &mut Criterion) {
    use diffusion_field_planner::training::paper::{PaperConfig, PaperModel};
    use tch::{Device, Kind, Tensor};

    const POSES: i64 = 64;
    // Its cost does not depend on its weights.
    let Ok(model) = PaperModel::untrained(PaperConfig::default(), 1) else {
        return;
    };
    tch::set_num_threads(1);
    let options = (Kind::Float, Device::Cpu);
    let network = model.to_network(Device::Cpu, false).folded();
    let rotations = Tensor::eye(3, options).repeat([POSES, 1, 1]);
    let positions = Tensor::randn([POSES, 3], options);
    let codes = Tensor::randn([POSES, model.config.network.code], options);
    let levels = Tensor::full([POSES], 0.2, options);
    let mut group = c.benchmark_group("field");
    group.throughput(Throughput::Elements(POSES as u64));
    group.sample_size(10);
    group.bench_function("published network, energy and gradient of 64 poses", |b| {
        b.iter(|| network.forces(&rotations, black_box(&positions), &codes, &levels, false))
    });
}

#[cfg(not(feature = "torch"))]
fn published_network(_: &mut Criterion) {}

criterion_group!(benches, field, published_network);
criterion_main!(benches);
