//! One training step's numbers, made without torch: noised grasps with their targets, points with their distances.

use nalgebra::Isometry3;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use tch::{Device, Tensor};

use super::losses::GradientTarget;
use super::noise::{sigma, LEAST_LEVEL};
use super::settings::{Denoising, PaperConfig};
use super::surface_samples::SurfaceSamples;
use super::LENGTHS_PER_M;
use crate::geometry::so3;
use crate::training::batch::joined;
use crate::training::dataset::Dataset;

/// Everything that batches are drawn from.
pub struct BatchMaker {
    /// By object; positions in eighths of a metre.
    grasps: Vec<Vec<Isometry3<f64>>>,
    samples: Vec<SurfaceSamples>,
    denoising: Denoising,
    objects: usize,
    poses: usize,
    points: usize,
}

/// The part of a batch that belongs to one object.
#[derive(Default)]
struct ObjectPart {
    object: i64,
    rotations: Vec<f32>,
    positions: Vec<f32>,
    jacobians: Vec<f32>,
    levels: Vec<f32>,
    targets: Vec<f32>,
    points: Vec<f32>,
    distances: Vec<f32>,
    point_levels: Vec<f32>,
}

/// A batch as tensors, made on the CPU: O objects, P poses each, B = O * P, M points each.
pub struct Batch {
    /// Row of each object's code, i64 `[O]`.
    pub objects: Tensor,
    /// `[B, 3, 3]`, `[B, 3]`.
    pub rotations: Tensor,
    pub positions: Tensor,
    /// Left Jacobians of the rotation vectors `[B, 3, 3]`.
    pub jacobians: Tensor,
    /// `[B]`.
    pub levels: Tensor,
    /// What dE/dx should be `[B, 6]`.
    pub targets: Tensor,
    /// `[O, M, 3]`, `[O, M]`, `[O, M]`.
    pub points: Tensor,
    pub distances: Tensor,
    pub point_levels: Tensor,
}

impl BatchMaker {
    /// Measures the distances about every object; `measured` is called after each, from any thread.
    pub fn new(config: &PaperConfig, data: &Dataset, measured: impl Fn() + Sync) -> Self {
        let in_units = |grasp: &Isometry3<f64>| {
            let mut grasp = *grasp;
            grasp.translation.vector *= LENGTHS_PER_M;
            grasp
        };
        let samples = data
            .objects
            .par_iter()
            .enumerate()
            .map(|(i, object)| {
                let middle = Default::default();
                let count = config.sdf_samples_per_object;
                let samples = SurfaceSamples::new(&*object.solid, &middle, count, i as u64);
                measured();
                samples
            })
            .collect();
        Self {
            grasps: data
                .objects
                .iter()
                .map(|o| o.object_from_gripper.iter().map(in_units).collect())
                .collect(),
            samples,
            denoising: config.denoising,
            objects: config.objects_per_step,
            poses: config.poses_per_object,
            points: config.sdf_points_per_object,
        }
    }

    /// The batch of a seed. Equal seeds give equal batches. Objects are distinct as long as there are enough.
    pub fn make(&self, seed: u64) -> Batch {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let count = self.objects.min(self.grasps.len());
        let chosen = rand::seq::index::sample(&mut rng, self.grasps.len(), count);
        let picks: Vec<(usize, u64)> = chosen.into_iter().map(|i| (i, rng.random())).collect();
        let parts: Vec<ObjectPart> = picks
            .par_iter()
            .map(|&(object, seed)| self.object_part(object, seed))
            .collect();
        Batch::new(&parts)
    }

    fn object_part(&self, object: usize, seed: u64) -> ObjectPart {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut part = ObjectPart {
            object: object as i64,
            ..ObjectPart::default()
        };
        let grasps = &self.grasps[object];
        for _ in 0..self.poses {
            let grasp = &grasps[rng.random_range(0..grasps.len())];
            let level = rng.random_range(LEAST_LEVEL..1.0);
            let [shift, turn] = [(); 2]
                .map(|()| nalgebra::Vector3::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal)));
            let noised = GradientTarget::new(self.denoising, grasp, sigma(level), &shift, &turn);
            part.push(&noised, level);
        }
        for _ in 0..self.points {
            self.samples[object].pick(&mut rng, &mut part.points, &mut part.distances);
            part.point_levels.push(rng.random_range(0.0..1.0));
        }
        part
    }
}

impl ObjectPart {
    fn push(&mut self, noised: &GradientTarget, level: f64) {
        let rotation = so3::exp(&noised.rotation_vector).to_rotation_matrix();
        let jacobian = so3::left_jacobian(&noised.rotation_vector);
        // nalgebra goes down columns, torch along rows.
        let rows = |m: &nalgebra::Matrix3<f64>| -> [f32; 9] {
            std::array::from_fn(|i| m[(i / 3, i % 3)] as f32)
        };
        self.rotations.extend(rows(rotation.matrix()));
        self.jacobians.extend(rows(&jacobian));
        self.positions
            .extend(noised.position.iter().map(|&x| x as f32));
        self.levels.push(level as f32);
        let target = noised.by_position.iter().chain(&noised.by_rotation_vector);
        self.targets.extend(target.map(|&x| x as f32));
    }
}

impl Batch {
    fn new(parts: &[ObjectPart]) -> Self {
        let tensor = |field: fn(&ObjectPart) -> &Vec<f32>, shape: &[i64]| {
            Tensor::from_slice(&joined(parts, field)).reshape(shape)
        };
        let objects: Vec<i64> = parts.iter().map(|part| part.object).collect();
        let count = objects.len() as i64;
        Self {
            objects: Tensor::from_slice(&objects),
            rotations: tensor(|p| &p.rotations, &[-1, 3, 3]),
            positions: tensor(|p| &p.positions, &[-1, 3]),
            jacobians: tensor(|p| &p.jacobians, &[-1, 3, 3]),
            levels: tensor(|p| &p.levels, &[-1]),
            targets: tensor(|p| &p.targets, &[-1, 6]),
            points: tensor(|p| &p.points, &[count, -1, 3]),
            distances: tensor(|p| &p.distances, &[count, -1]),
            point_levels: tensor(|p| &p.point_levels, &[count, -1]),
        }
    }

    pub fn to_device(&self, device: Device) -> Self {
        Self {
            objects: self.objects.to_device(device),
            rotations: self.rotations.to_device(device),
            positions: self.positions.to_device(device),
            jacobians: self.jacobians.to_device(device),
            levels: self.levels.to_device(device),
            targets: self.targets.to_device(device),
            points: self.points.to_device(device),
            distances: self.distances.to_device(device),
            point_levels: self.point_levels.to_device(device),
        }
    }
}
