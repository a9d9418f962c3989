//! How far a field leads: where descent from anywhere ends, and how long and how right its gradient is over distance.
//!
//! The claim behind the method (arXiv 2209.03855, section IV-A): a diffusion field's gradient is informative everywhere, that
//! of a success classifier only near grasps. Both are descended here from the same poses and judged alike.

use std::f32::consts::PI;

use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3, Vector4, Vector6};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, UnitSphere};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use serde::Serialize;

use super::antipodal::{antipodal_grasps, AntipodalSettings};
use super::evaluate::{Judge, Outcome};
use super::procedural::ProceduralObject;
use crate::field::{BakedField, EnergyField, SamplerSettings};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;

/// Start poses lie up to this far from the object's middle, m.
pub const START_RADIUS_M: f64 = 0.5;
/// Rings of equal width in which starts are counted.
pub const RINGS: usize = 5;
/// Distances from a grasp at which the gradient is looked at, m.
pub const DISTANCES_M: [f32; 9] = [0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.35, 0.5];
/// Grasps that stand for all good ones of an object.
const REFERENCES: usize = 400;
/// Quads of the mesh from which those are drawn, m.
const MESH_SPACING_M: f64 = 0.003;
/// Mixed into object seeds so that shapes and poses draw different numbers.
const SEED: u64 = 0x736d_6f6f_7468;
const CHUNK: usize = 64;

/// One step of a descent: along the gradient at level `t`, `rate_rad2` times as far as it is long, at most `cap_rad`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub t: f32,
    pub rate_rad2: f32,
    /// Length limit, one radian counting as the schedule's length.
    pub cap_rad: f32,
}

/// A way down a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    pub name: String,
    pub steps: Vec<Step>,
}

impl Descent {
    /// The sampler's own levels without noise.
    pub fn annealed(field: &BakedField, sampler: &SamplerSettings) -> Self {
        let schedule = field.schedule();
        let last = schedule.level(sampler.final_sigma_rad).clamp(0.0, 1.0);
        let levels = sampler.levels.max(2);
        let level = |i: usize| 1.0 + (last - 1.0) * i as f32 / (levels - 1) as f32;
        let step = |t: f32, rate_rad2| Step {
            t,
            rate_rad2,
            cap_rad: f32::INFINITY,
        };
        let falling = (0..levels - 1).map(|i| {
            let (sigma, next) = (schedule.sigma(level(i)), schedule.sigma(level(i + 1)));
            step(level(i), sampler.drift * (sigma * sigma - next * next))
        });
        let rate = sampler.descent_rate * schedule.sigma(last).powi(2);
        let steps = falling.chain((0..sampler.descent_steps).map(|_| step(last, rate)));
        Self {
            name: "levels from coarse to fine".into(),
            steps: steps.collect(),
        }
    }

    /// `count` steps at one level, each `rate` times the level's own variance.
    pub fn at_level(field: &BakedField, t: f32, rate: f32, count: usize) -> Self {
        let sigma = field.schedule().sigma(t);
        let step = Step {
            t,
            rate_rad2: rate * sigma * sigma,
            cap_rad: f32::INFINITY,
        };
        Self {
            name: format!("sigma {sigma:.3} rad, rate {rate}"),
            steps: vec![step; count],
        }
    }

    /// `count` steps at one level whose lengths fall from `first_rad` to a hundredth of it, however long the gradient is.
    pub fn of_fixed_lengths(t: f32, first_rad: f32, count: usize) -> Self {
        let cap = |i: usize| first_rad * 0.01f32.powf(i as f32 / count.max(2) as f32);
        let steps = (0..count).map(|i| Step {
            t,
            rate_rad2: f32::MAX,
            cap_rad: cap(i),
        });
        Self {
            name: format!("lengths from {first_rad} rad"),
            steps: steps.collect(),
        }
    }
}

/// Where descents ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ends {
    pub n: usize,
    pub good: usize,
    pub in_collision: usize,
    /// Starts and good ends by ring of the start's distance.
    pub n_by_ring: [usize; RINGS],
    pub good_by_ring: [usize; RINGS],
}

impl Ends {
    pub fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.good += other.good;
        self.in_collision += other.in_collision;
        for ring in 0..RINGS {
            self.n_by_ring[ring] += other.n_by_ring[ring];
            self.good_by_ring[ring] += other.good_by_ring[ring];
        }
    }

    pub fn share(&self) -> f64 {
        self.good as f64 / self.n.max(1) as f64
    }

    pub fn share_of_ring(&self, ring: usize) -> f64 {
        self.good_by_ring[ring] as f64 / self.n_by_ring[ring].max(1) as f64
    }
}

/// Length and direction of the downhill step over the distance from a grasp.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Slope {
    pub distance_m: f32,
    /// Median length, one radian counting as the schedule's length, 1/rad.
    pub norm: f64,
    /// Median cosine between it and the way to the nearest of the object's grasps.
    pub cosine: f64,
    /// Share that points towards that grasp rather than away from it.
    pub share_towards: f64,
}

/// One object with poses to start from and grasps to end at.
pub struct Testbed {
    pub object: ProceduralObject,
    gripper: GripperGeometry,
    /// object_from_gripper.
    starts: Vec<Isometry3<f32>>,
    references: Vec<Isometry3<f32>>,
    finger_centre_m: f32,
    length_m: f32,
}

impl Testbed {
    /// `count` starts: any orientation, the finger centre in any direction, up to [`START_RADIUS_M`] from the object's middle.
    /// Geometry and lengths are those of `field`. `None` where the data's own generator finds no grasp.
    pub fn new(
        object: ProceduralObject,
        field: &BakedField,
        antipodal: &AntipodalSettings,
        count: usize,
    ) -> Option<Self> {
        let settings = field.settings();
        let gripper = settings.gripper.clone();
        let seed = SEED ^ object.seed;
        let surface = object.mesh(MESH_SPACING_M);
        let references = antipodal_grasps(
            &object.solid,
            &surface,
            &gripper,
            antipodal,
            REFERENCES,
            seed,
        );
        let references: Vec<_> = references.iter().map(|&p| nalgebra::convert(p)).collect();
        let finger_centre_m = settings.finger_centre_m() as f32;
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let middle = Vector3::from(field.middle_m());
        let starts = (0..count).map(|_| {
            let q = Vector4::from_fn(|_, _| rng.sample::<f32, _>(StandardNormal));
            let rotation = UnitQuaternion::from_quaternion(nalgebra::Quaternion::from(q));
            let direction: Vector3<f32> = UnitSphere.sample(&mut rng).map(|x: f64| x as f32).into();
            let centre = middle + direction * rng.random_range(0.0..START_RADIUS_M as f32);
            gripper_pose(centre, rotation, finger_centre_m)
        });
        (!references.is_empty()).then(|| Self {
            starts: starts.collect(),
            references,
            finger_centre_m,
            length_m: settings.schedule.length_m,
            gripper,
            object,
        })
    }

    /// Follows a descent from every start.
    pub fn descend(&self, field: &BakedField, descent: &Descent) -> Ends {
        let judge = Judge::new(&self.object.solid, &self.gripper);
        let middle = Vector3::from(field.middle_m());
        let parts = self.starts.par_chunks(CHUNK).map(|starts| {
            let mut poses = starts.to_vec();
            self.follow(field, &descent.steps, &mut poses);
            let mut ends = Ends::default();
            for (start, pose) in starts.iter().zip(poses) {
                let away = (self.centre(start) - middle).norm() as f64 / START_RADIUS_M;
                let ring = ((away * RINGS as f64) as usize).min(RINGS - 1);
                let pose: Pose = nalgebra::convert(pose);
                let outcome = judge.outcome(&pose);
                let good = usize::from(outcome == Outcome::Holds);
                ends.n += 1;
                ends.good += good;
                ends.in_collision += usize::from(outcome == Outcome::Collides);
                ends.n_by_ring[ring] += 1;
                ends.good_by_ring[ring] += good;
            }
            ends
        });
        parts.reduce(Ends::default, |mut sum, part| {
            sum.add(&part);
            sum
        })
    }

    fn follow(&self, field: &BakedField, steps: &[Step], poses: &mut [Isometry3<f32>]) {
        let mut energy = vec![0.0; poses.len()];
        let mut gradient = vec![[0.0; 6]; poses.len()];
        for step in steps {
            field.evaluate(poses, step.t, &mut energy, &mut gradient);
            for (pose, gradient) in poses.iter_mut().zip(&gradient) {
                let slope = self.about_finger_centre(pose, gradient);
                let rate = step.rate_rad2.min(step.cap_rad / slope.norm().max(1e-12));
                let motion = -rate * slope;
                let centre = self.centre(pose) + self.length_m * motion.fixed_rows::<3>(0);
                let turn = UnitQuaternion::from_scaled_axis(motion.fixed_rows::<3>(3).into_owned());
                let rotation = UnitQuaternion::new_normalize((turn * pose.rotation).into_inner());
                *pose = gripper_pose(centre, rotation, self.finger_centre_m);
            }
        }
    }

    /// The slope of the field at `level(distance)` over the distance from grasps of this object: `count` grasps at each
    /// distance, moved that far in any direction and turned as far about any axis (the schedule's length is one radian;
    /// half a turn at most).
    pub fn slopes(
        &self,
        field: &BakedField,
        level: impl Fn(f32) -> f32 + Sync,
        count: usize,
    ) -> Vec<Slope> {
        let mut rng = Pcg64Mcg::seed_from_u64(SEED ^ self.object.seed ^ 1);
        let mut poses = Vec::with_capacity(count);
        DISTANCES_M
            .iter()
            .map(|&distance_m| {
                poses.clear();
                poses.extend((0..count).map(|_| self.moved_off(distance_m, &mut rng)));
                let mut energy = vec![0.0; count];
                let mut gradient = vec![[0.0; 6]; count];
                field.evaluate(&poses, level(distance_m), &mut energy, &mut gradient);
                let found: Vec<(f64, f64)> = poses
                    .par_iter()
                    .zip(&gradient)
                    .map(|(pose, gradient)| {
                        let downhill = -self.about_finger_centre(pose, gradient);
                        let norm = downhill.norm();
                        let cosine = downhill.dot(&self.way_back(pose)) / norm.max(1e-20);
                        (f64::from(norm), f64::from(cosine))
                    })
                    .collect();
                let towards = found.iter().filter(|(_, cosine)| *cosine > 0.0).count();
                Slope {
                    distance_m,
                    norm: median(found.iter().map(|f| f.0)),
                    cosine: median(found.iter().map(|f| f.1)),
                    share_towards: towards as f64 / count.max(1) as f64,
                }
            })
            .collect()
    }

    fn moved_off(&self, distance_m: f32, rng: &mut Pcg64Mcg) -> Isometry3<f32> {
        let grasp = self.references[rng.random_range(0..self.references.len())];
        let mut direction =
            || -> Vector3<f32> { UnitSphere.sample(rng).map(|x: f64| x as f32).into() };
        let centre = self.centre(&grasp) + distance_m * direction();
        let angle = (distance_m / self.length_m).min(PI);
        let turn = UnitQuaternion::from_scaled_axis(angle * direction());
        gripper_pose(centre, turn * grasp.rotation, self.finger_centre_m)
    }

    /// Unit vector (shift over length, turn) to the nearest reference grasp; half turns of the hand are the same grasp.
    fn way_back(&self, pose: &Isometry3<f32>) -> Vector6<f32> {
        let half_turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), PI);
        let centre = self.centre(pose);
        let ways = self.references.iter().flat_map(|grasp| {
            let shift = (self.centre(grasp) - centre) / self.length_m;
            [grasp.rotation, grasp.rotation * half_turn].map(|rotation| {
                let turn = (rotation * pose.rotation.inverse()).scaled_axis();
                Vector6::new(shift.x, shift.y, shift.z, turn.x, turn.y, turn.z)
            })
        });
        ways.min_by(|a, b| a.norm_squared().total_cmp(&b.norm_squared()))
            .and_then(|way| way.try_normalize(1e-9))
            .unwrap_or_else(Vector6::zeros)
    }

    fn centre(&self, pose: &Isometry3<f32>) -> Vector3<f32> {
        pose.translation.vector + pose.rotation * Vector3::new(0.0, 0.0, self.finger_centre_m)
    }

    /// A gradient about the gripper's origin as one about the finger centre, lengths in units of the schedule's length.
    fn about_finger_centre(&self, pose: &Isometry3<f32>, gradient: &[f32; 6]) -> Vector6<f32> {
        let [fx, fy, fz, tx, ty, tz] = *gradient;
        let force = Vector3::new(fx, fy, fz);
        let lever = pose.rotation * Vector3::new(0.0, 0.0, self.finger_centre_m);
        let torque = Vector3::new(tx, ty, tz) - lever.cross(&force);
        let force = force * self.length_m;
        Vector6::new(force.x, force.y, force.z, torque.x, torque.y, torque.z)
    }
}

fn gripper_pose(
    finger_centre: Vector3<f32>,
    rotation: UnitQuaternion<f32>,
    finger_centre_m: f32,
) -> Isometry3<f32> {
    let lever = rotation * Vector3::new(0.0, 0.0, finger_centre_m);
    Isometry3::from_parts(Translation3::from(finger_centre - lever), rotation)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Category;
    use crate::field::GraspNetwork;
    use crate::scene::VoxelGrid;

    fn testbed() -> (BakedField, Testbed) {
        let network = GraspNetwork::shipped().unwrap();
        let object = ProceduralObject::new(Category::Cylinder, 3);
        let (low, high) = crate::scene::SignedDistance::bounds(&object.solid);
        let (origin, size) = network.grid_for(low.coords.into(), high.coords.into());
        let spacing = network.settings().spacing_m;
        let grid = VoxelGrid::from_distance(&object.solid, origin, spacing, size);
        let field = network.bake(&grid);
        let settings = AntipodalSettings::default();
        let testbed = Testbed::new(object, &field, &settings, 64).unwrap();
        (field, testbed)
    }

    #[test]
    fn starts_fill_the_ball_and_every_start_is_counted_once() {
        let (field, testbed) = testbed();
        let stay = Descent {
            name: "stay".into(),
            steps: Vec::new(),
        };
        let ends = testbed.descend(&field, &stay);
        assert_eq!((ends.n, ends.n_by_ring.iter().sum::<usize>()), (64, 64));
        assert!(ends.n_by_ring.iter().all(|&n| n > 3), "{ends:?}");
        // Hardly any random pose holds a cylinder; the field leads most of them there.
        let annealed = Descent::annealed(&field, &SamplerSettings::default());
        let found = testbed.descend(&field, &annealed);
        assert!(
            ends.share() < 0.1 && found.share() > 0.6,
            "{ends:?} {found:?}"
        );
    }

    #[test]
    fn the_way_back_undoes_a_small_move_and_steps_keep_their_caps() {
        let (field, testbed) = testbed();
        let grasp = testbed.references[0];
        let moved = gripper_pose(
            testbed.centre(&grasp) + Vector3::new(0.0004, 0.0, 0.0),
            grasp.rotation,
            testbed.finger_centre_m,
        );
        let way = testbed.way_back(&moved);
        assert!((way[0] + 1.0).abs() < 1e-2, "{way}");

        let mut poses = vec![moved];
        let step = Step {
            t: 0.5,
            rate_rad2: f32::MAX,
            cap_rad: 0.01,
        };
        testbed.follow(&field, &[step], &mut poses);
        let shift = (testbed.centre(&poses[0]) - testbed.centre(&moved)).norm() / testbed.length_m;
        let turn = poses[0].rotation.angle_to(&moved.rotation);
        assert!((shift.hypot(turn) - 0.01).abs() < 1e-3, "{shift} {turn}");
    }
}
