//! One training step's numbers, made without torch: noisy poses, targets, places in the grids.

use nalgebra::{Point3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use tch::{Device, Tensor};

use super::config::{Objective, TrainingConfig};
use super::dataset::TrainingObject;
use super::noise_kernel::{FingerPose, NoiseKernel};
use super::query::{FeatureCells, QueryBuffer};
use crate::field::network::QueryGeometry;
use crate::field::settings::{SDF_CLAMP_M, SDF_UNIT_M};
use crate::field::FieldSettings;
use crate::geometry::Pose;
use crate::robot::half_turn;
use crate::scene::{SignedDistance, VoxelGrid};

/// Noise levels with a sampling table each.
const LEVELS: usize = 256;

/// Tables that every batch uses.
pub struct BatchMaker {
    settings: FieldSettings,
    objective: Objective,
    points: Vec<Vector3<f64>>,
    noise: Vec<NoiseKernel>,
    poses_per_object: usize,
    sdf_points: usize,
    middle_share: f64,
    middle_levels: [f64; 2],
}

/// An object with what every batch reads of it.
pub struct ReadyObject<'a> {
    object: &'a TrainingObject,
    /// Its grasps in both half turns of the hand, in its own frame.
    grasps: Vec<FingerPose>,
    far: VoxelGrid,
}

/// The part of a batch that belongs to one object.
#[derive(Default)]
struct ObjectPart {
    distances: Vec<f32>,
    query: QueryBuffer,
    levels: Vec<f32>,
    targets: Vec<f32>,
    sdf_corners: Vec<i64>,
    sdf_weights: Vec<f32>,
    sdf_targets: Vec<f32>,
}

/// A batch as tensors, made on the CPU.
pub struct Batch {
    /// `[O, n, n, n]`, m.
    pub distances: Tensor,
    pub query: QueryGeometry,
    /// `[B, LEVEL_INPUTS]`.
    pub level_inputs: Tensor,
    /// `[B]`, rad.
    pub sigma: Tensor,
    /// Level of each pose, 0..1.
    pub levels: Vec<f32>,
    /// What the scaled gradient should be `[B, 6]`; of a classifier, 1 for poses that hold, else 0 `[B, 1]`.
    pub targets: Tensor,
    /// Rows `[Q * 8]`, weights `[Q, 8]` and clipped distances `[Q]` in units of 2 cm of the distance loss.
    pub sdf_corners: Tensor,
    pub sdf_weights: Tensor,
    pub sdf_targets: Tensor,
}

impl BatchMaker {
    pub fn new(config: &TrainingConfig) -> Self {
        let settings = config.field.clone();
        let points = settings
            .query_points()
            .iter()
            .map(|p| Vector3::from(p.map(|x| x as f64)))
            .collect();
        let noise = (0..LEVELS)
            .into_par_iter()
            .map(|k| {
                let (level, schedule) = (level(k), &settings.schedule);
                NoiseKernel::new(schedule.sigma(level) as f64, schedule.sigma_m(level) as f64)
            })
            .collect();
        Self {
            middle_levels: config
                .middle_sigma_rad
                .map(|s| settings.schedule.level(s).clamp(0.0, 1.0) as f64),
            settings,
            objective: config.objective,
            points,
            noise,
            poses_per_object: config.poses_per_object,
            sdf_points: config.sdf_points_per_object,
            middle_share: config.middle_share,
        }
    }

    /// Measures what every batch reads of the objects: ahead of all batches, since jobs that wait for one another's results
    /// can block the pool that is to make these.
    pub fn ready<'a>(&self, objects: &'a [TrainingObject]) -> Vec<ReadyObject<'a>> {
        let reach_m = self.half_m() * 3f64.sqrt();
        let height_m = self.settings.finger_centre_m();
        let both = |grasp: &Pose| {
            [*grasp, half_turn(grasp)].map(|grasp| FingerPose::new(&grasp, height_m))
        };
        let ready = |object: &'a TrainingObject| ReadyObject {
            object,
            grasps: object.object_from_gripper.iter().flat_map(both).collect(),
            far: object.far_distance(reach_m),
        };
        objects.par_iter().map(ready).collect()
    }

    /// Half the edge of the training cube, m.
    fn half_m(&self) -> f64 {
        0.5 * self.settings.spacing_m * (self.settings.grid_size - 1) as f64
    }

    /// The batch of a seed: objects, orientations, noise; in several parts of as many objects, but for the last. Equal seeds give
    /// equal batches.
    pub fn make(
        &self,
        objects: &[ReadyObject<'_>],
        count: usize,
        seed: u64,
        parts: usize,
    ) -> Vec<Batch> {
        let objects_of_part = count.div_ceil(parts.max(1)).max(1);
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let picks: Vec<(usize, u64)> = (0..count)
            .map(|_| (rng.random_range(0..objects.len()), rng.random()))
            .collect();
        let drawn: Vec<ObjectPart> = picks
            .par_iter()
            .enumerate()
            .map(|(k, &(object, seed))| {
                self.object_part(&objects[object], k % objects_of_part, seed)
            })
            .collect();
        drawn
            .chunks(objects_of_part)
            .map(|part| self.batch(part))
            .collect()
    }

    fn batch(&self, parts: &[ObjectPart]) -> Batch {
        let tensor = |field: fn(&ObjectPart) -> &Vec<f32>, shape: &[i64]| {
            Tensor::from_slice(&joined(parts, field)).reshape(shape)
        };
        let n = self.settings.grid_size as i64;
        let target_width = match self.objective {
            Objective::Diffusion => 6,
            Objective::Classifier => 1,
        };
        let levels = joined(parts, |p| &p.levels);
        let level_inputs: Vec<f32> = levels
            .iter()
            .flat_map(|&t| FieldSettings::level_inputs(t))
            .collect();
        let sigma: Vec<f32> = levels
            .iter()
            .map(|&t| self.settings.schedule.sigma(t))
            .collect();
        let queries: Vec<&QueryBuffer> = parts.iter().map(|p| &p.query).collect();
        Batch {
            distances: tensor(|p| &p.distances, &[-1, n, n, n]),
            query: QueryBuffer::to_tensors(&queries, self.settings.points as i64),
            level_inputs: Tensor::from_slice(&level_inputs).reshape([levels.len() as i64, -1]),
            sigma: Tensor::from_slice(&sigma),
            targets: tensor(|p| &p.targets, &[-1, target_width]),
            sdf_corners: Tensor::from_slice(&joined(parts, |p| &p.sdf_corners)),
            sdf_weights: tensor(|p| &p.sdf_weights, &[-1, 8]),
            sdf_targets: tensor(|p| &p.sdf_targets, &[-1]),
            levels,
        }
    }

    fn object_part(&self, ready: &ReadyObject<'_>, slot: usize, seed: u64) -> ObjectPart {
        let object = ready.object;
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let grid_from_object = random_rotation(&mut rng);
        let n = self.settings.grid_size;
        let half = self.half_m();
        let quick = object.quick_distance(&ready.far);
        let turned = Turned {
            solid: &quick,
            outer_from_solid: grid_from_object,
        };
        let grid = VoxelGrid::from_distance(&turned, [-half; 3], self.settings.spacing_m, [n; 3]);
        let cells = FeatureCells::new(&grid);
        let mut part = ObjectPart::default();
        for i in 0..self.poses_per_object {
            let pose = match self.objective {
                Objective::Diffusion => {
                    let level = self.drawn_level(i, &mut rng);
                    self.disturbed(&ready.grasps, grid_from_object, level, &mut rng)
                }
                Objective::Classifier => self.to_classify(object, grid_from_object, &mut rng),
            };
            part.levels.push(pose.level);
            part.targets.extend(pose.targets);
            let FingerPose { centre, rotation } = &pose.fingers;
            part.query
                .push(&self.points, &grid, &cells, slot, centre, rotation);
        }
        for _ in 0..self.sdf_points {
            // A few draws bring most points near the surface, where the distance matters.
            let mut point = Point3::origin();
            for _ in 0..6 {
                point = Point3::from([0; 3].map(|_| rng.random_range(-half..half)));
                if grid.distance(&point).abs() < 0.03 {
                    break;
                }
            }
            let (rows, weights) = cells.lookup(&point, slot);
            part.sdf_corners.extend(rows);
            part.sdf_weights.extend(weights[0]);
            let cut = (turned.distance(&point) as f32).clamp(SDF_CLAMP_M[0], SDF_CLAMP_M[1]);
            part.sdf_targets.push(cut / SDF_UNIT_M);
        }
        part.distances = grid.values;
        part
    }

    /// The level of an object's pose `i` as an index of the tables. The poses of an object are spread evenly over the levels, and the
    /// agreed share of them over the middle ones.
    fn drawn_level(&self, i: usize, rng: &mut Pcg64Mcg) -> usize {
        let place = (i as f64 + rng.random_range(0.0..1.0)) / self.poses_per_object as f64;
        let share = self.middle_share;
        let level = if place < share {
            let [low, high] = self.middle_levels;
            low + place / share * (high - low)
        } else {
            (place - share) / (1.0 - share)
        };
        (level * (LEVELS - 1) as f64).round() as usize
    }

    /// A grasp disturbed by the noise of a level, and the way back. `grasps` in the object's frame, the result in the grid's.
    fn disturbed(
        &self,
        grasps: &[FingerPose],
        grid_from_object: UnitQuaternion<f64>,
        k: usize,
        rng: &mut Pcg64Mcg,
    ) -> DrawnPose {
        let noise = &self.noise[k];
        let fingers = noise.disturbed(drawn(grasps, rng), rng);
        let way_back = noise.way_back(grasps, &fingers);
        let targets = way_back.map(|way| grid_from_object * way);
        DrawnPose {
            level: level(k),
            targets: targets.iter().flatten().map(|&x| x as f32).collect(),
            fingers: FingerPose {
                centre: grid_from_object * fingers.centre,
                rotation: grid_from_object * fingers.rotation,
            },
        }
    }

    /// A pose that holds, or as often one that fails: a labelled failure or, by turns, a pose from where the field's sampler
    /// starts, so that the classifier has seen poses far away as well.
    fn to_classify(
        &self,
        object: &TrainingObject,
        grid_from_object: UnitQuaternion<f64>,
        rng: &mut Pcg64Mcg,
    ) -> DrawnPose {
        let holds = rng.random_bool(0.5);
        let far = !holds && (object.failing.is_empty() || rng.random_bool(0.5));
        let fingers = if far {
            let spread = self.settings.schedule.sigma_m(1.0);
            let spread = f64::from(spread.hypot(self.settings.prior_m));
            let offset = Vector3::from_fn(|_, _| spread * rng.sample::<f64, _>(StandardNormal));
            FingerPose {
                centre: Point3::from(offset),
                rotation: random_rotation(rng),
            }
        } else {
            let poses = match holds {
                true => &object.object_from_gripper,
                false => &object.failing,
            };
            let grid_from_gripper = grid_from_object * drawn(poses, rng);
            FingerPose::new(&grid_from_gripper, self.settings.finger_centre_m())
        };
        DrawnPose {
            level: 0.0,
            targets: vec![f32::from(u8::from(holds))],
            fingers,
        }
    }
}

/// The level of a table's index, 0..1.
fn level(k: usize) -> f32 {
    k as f32 / (LEVELS - 1) as f32
}

/// A pose to train on, in the frame of its object's grid.
struct DrawnPose {
    level: f32,
    targets: Vec<f32>,
    fingers: FingerPose,
}

fn drawn<'a, T>(poses: &'a [T], rng: &mut Pcg64Mcg) -> &'a T {
    &poses[rng.random_range(0..poses.len())]
}

/// A solid turned about the origin.
struct Turned<'a> {
    solid: &'a dyn SignedDistance,
    outer_from_solid: UnitQuaternion<f64>,
}

impl SignedDistance for Turned<'_> {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        self.solid
            .distance(&self.outer_from_solid.inverse_transform_point(point))
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let (distance, gradient) = self
            .solid
            .distance_and_gradient(&self.outer_from_solid.inverse_transform_point(point));
        (distance, self.outer_from_solid * gradient)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        let (low, high) = self.solid.bounds();
        let radius = low.coords.norm().max(high.coords.norm());
        (Point3::from([-radius; 3]), Point3::from([radius; 3]))
    }
}

impl Batch {
    pub fn to_device(&self, device: Device) -> Self {
        Self {
            distances: self.distances.to_device(device),
            query: self.query.to_device(device),
            level_inputs: self.level_inputs.to_device(device),
            sigma: self.sigma.to_device(device),
            targets: self.targets.to_device(device),
            sdf_corners: self.sdf_corners.to_device(device),
            sdf_weights: self.sdf_weights.to_device(device),
            sdf_targets: self.sdf_targets.to_device(device),
            levels: self.levels.clone(),
        }
    }
}

/// One field of all parts, one after another.
pub(super) fn joined<P, T: Copy>(parts: &[P], field: impl Fn(&P) -> &Vec<T>) -> Vec<T> {
    let slices: Vec<&[T]> = parts.iter().map(|part| field(part).as_slice()).collect();
    slices.concat()
}

fn random_rotation(rng: &mut impl Rng) -> UnitQuaternion<f64> {
    let q = nalgebra::Vector4::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal));
    UnitQuaternion::from_quaternion(nalgebra::Quaternion::from(q))
}
