//! Grasps from a field: annealed Langevin on R^3 x SO(3), ranking, collision filter, diversity.

use std::ops::Range;

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion, Vector3, Vector4};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;
use rayon::iter::Either;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::filter::{Filter, GraspTarget, Hold};
use super::object::ObjectModel;
use super::{BakedField, EnergyField};
use crate::geometry::Pose;

/// A grasp that the field proposes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grasp {
    /// Gripper frame: origin at the hand, +z approach, x closing.
    pub object_from_gripper: Pose,
    /// Energy at the sampler's last level; lower is better, comparable within one object only.
    pub energy: f32,
    /// Distance of the finger pads when closed on the object, m; 0 where the pads meet nothing.
    pub width_m: f64,
    /// Whether it also holds a little off, see [`super::holds_around`]; `false` where that was not measured.
    pub steady: bool,
}

/// How grasps are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplerSettings {
    /// Noise levels from the coarsest to `final_sigma_rad`.
    pub levels: usize,
    /// Level at which annealing ends and grasps are ranked, rad. Below about 4 deg (5 mm) the score is mostly
    /// estimation noise and only carries poses away from where they hold.
    pub final_sigma_rad: f32,
    /// Noise put back in each step: 1 is the reverse diffusion, 0 plain descent.
    pub temperature: f32,
    /// Share of a level's variance that a step down the gradient takes away: 1 with temperature 1 is the reverse
    /// diffusion, 0.5 with temperature 0 its probability flow (Song et al. 2021, eq. 13); more than
    /// (1 + temperature^2) / 2 favours the best grasps over diverse ones.
    pub drift: f32,
    /// Noise-free steps at the last level.
    pub descent_steps: usize,
    /// Their length as a share of a full denoising step.
    pub descent_rate: f32,
    /// In those steps the open gripper is also pushed away from the object where it comes nearer than this, m; 0: never.
    pub clearance_m: f32,
    /// Drops grasps whose open gripper touches the object, or whose pads close on nothing or askew.
    pub filter: bool,
    /// Largest angle between the closing axis and the surface under a closed pad that the filter lets pass, deg.
    pub contact_cone_deg: f64,
    /// The filter closes the fingers' whole faces too, inside this half angle, deg; 0: the pads alone, which is quicker.
    pub face_cone_deg: f64,
    /// Grasps at which the torque of the object's weight is a larger multiple of what friction on the contacts of the fingers' faces
    /// resists ([`super::Weight::turning`]) are kept only where no other is found; 0: never asked for.
    pub turning: f64,
    /// How far the gripper's surface may overlap the object before the filter counts it as touching, m. A guessed surface is kept off
    /// by a millimetre at least.
    pub tolerance_m: f64,
    /// Grasps nearer to a better one than this, m and rad both, are dropped. Zero keeps all.
    pub distinct_m: f64,
    pub distinct_rad: f64,
    /// Rounds of drawing after which fewer grasps than wanted are returned.
    pub max_rounds: usize,
}

impl Default for SamplerSettings {
    fn default() -> Self {
        Self {
            levels: 40,
            final_sigma_rad: 0.066,
            temperature: 1.0,
            drift: 1.0,
            descent_steps: 25,
            descent_rate: 0.5,
            clearance_m: 0.003,
            filter: true,
            contact_cone_deg: 20.0,
            face_cone_deg: 0.0,
            turning: 1.5,
            tolerance_m: 0.001,
            distinct_m: 0.004,
            distinct_rad: 0.1,
            max_rounds: 4,
        }
    }
}

/// Poses that one task anneals.
const CHUNK: usize = 64;
/// Share of candidates drawn on top of those wanted, since the filter drops some.
const SURPLUS: f64 = 0.35;

/// Up to `count` grasps, best first; fewer where the object allows no more. Equal seeds give equal grasps.
pub fn sample_grasps(
    object: &ObjectModel,
    settings: &SamplerSettings,
    count: usize,
    seed: u64,
) -> Vec<Grasp> {
    let surface = object.near_surface(0.0);
    select_grasps(
        &object.target(&surface),
        settings,
        count,
        |numbers| sample_poses(&object.field, settings, numbers, seed),
        |_| (),
    )
}

/// Up to `count` of the poses that `draw` makes, best first: what passes the collision and contact filter and is no twin of
/// a better one, as far as `settings` asks for it.
///
/// `draw` gives a pose and its energy for each number; it is asked for consecutive ranges until enough are found. `rate` may give
/// another energy to those that pass, which are few.
pub fn select_grasps(
    target: &GraspTarget,
    settings: &SamplerSettings,
    count: usize,
    mut draw: impl FnMut(Range<u64>) -> Vec<(Pose, f32)>,
    rate: impl Fn(&mut [Grasp]),
) -> Vec<Grasp> {
    let filter = Filter::new(target, settings);
    let (mut found, mut turning): (Vec<Grasp>, Vec<Grasp>) = Default::default();
    let mut drawn = 0;
    for _ in 0..settings.max_rounds.max(1) {
        let missing = count.saturating_sub(found.len());
        if missing == 0 {
            break;
        }
        let surplus = if settings.filter { SURPLUS } else { 0.0 };
        let draws = (missing as f64 * (1.0 + surplus)).ceil() as u64;
        let candidates = draw(drawn..drawn + draws);
        drawn += draws;
        let judged = candidates.par_iter();
        let judged = judged.filter_map(|(pose, energy)| filter.judge(pose, *energy));
        let (firm, others): (Vec<Grasp>, Vec<Grasp>) =
            judged.partition_map(|judged| match judged.hold {
                Hold::Firm => Either::Left(judged.grasp),
                Hold::Turning => Either::Right(judged.grasp),
            });
        for (mut grasps, kept) in [(firm, &mut found), (others, &mut turning)] {
            rate(&mut grasps);
            kept.extend(grasps.into_iter().filter(|g| g.energy.is_finite()));
        }
        found.sort_by(|a, b| a.energy.total_cmp(&b.energy));
        found = distinct(found, settings);
        if !settings.filter && settings.distinct_m == 0.0 {
            break;
        }
    }
    // Better than none.
    if found.is_empty() {
        turning.sort_by(|a, b| a.energy.total_cmp(&b.energy));
        found = distinct(turning, settings);
    }
    found.truncate(count);
    found
}

/// The poses of these numbers as the field draws them, with their energies at the last level: unfiltered and in no order.
pub fn sample_poses(
    field: &BakedField,
    settings: &SamplerSettings,
    numbers: Range<u64>,
    seed: u64,
) -> Vec<(Pose, f32)> {
    let numbers: Vec<u64> = numbers.collect();
    numbers
        .par_chunks(CHUNK)
        .flat_map_iter(|chunk| {
            let (poses, energies) = anneal(field, settings, chunk, seed);
            poses.into_iter().map(nalgebra::convert).zip(energies)
        })
        .collect()
}

/// Energies of poses that came from elsewhere, comparable with those of [`sample_poses`].
pub fn final_energies(field: &BakedField, settings: &SamplerSettings, poses: &[Pose]) -> Vec<f32> {
    let poses: Vec<Isometry3<f32>> = poses.iter().map(|pose| pose.cast()).collect();
    let last = field.schedule().level(settings.final_sigma_rad);
    let mut energy = vec![0.0; poses.len()];
    poses
        .par_chunks(CHUNK)
        .zip(energy.par_chunks_mut(CHUNK))
        .for_each(|(poses, energy)| field.energies(poses, last.clamp(0.0, 1.0), energy));
    energy
}

/// Best first, without near twins. A half turn about the approach axis swaps the fingers and is the same grasp.
fn distinct(sorted: Vec<Grasp>, settings: &SamplerSettings) -> Vec<Grasp> {
    if settings.distinct_m <= 0.0 {
        return sorted;
    }
    let half_turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), std::f64::consts::PI);
    let mut kept: Vec<Grasp> = Vec::with_capacity(sorted.len());
    for grasp in sorted {
        let pose = grasp.object_from_gripper;
        let is_twin = kept.iter().any(|other| {
            let other = other.object_from_gripper;
            (pose.translation.vector - other.translation.vector).norm() < settings.distinct_m
                && pose
                    .rotation
                    .angle_to(&other.rotation)
                    .min(pose.rotation.angle_to(&(other.rotation * half_turn)))
                    < settings.distinct_rad
        });
        if !is_twin {
            kept.push(grasp);
        }
    }
    kept
}

/// Equal for equal numbers, whichever task draws them.
pub(super) fn numbered_rng(seed: u64, number: u64) -> Pcg64Mcg {
    Pcg64Mcg::seed_from_u64(
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(number),
    )
}

/// A pose while it is annealed: the finger centre moves, not the hand.
#[derive(Clone)]
struct Walker {
    centre: Vector3<f32>,
    rotation: UnitQuaternion<f32>,
    rng: Pcg64Mcg,
}

impl Walker {
    /// Distributed as training noise at t = 1 leaves any grasp: any orientation, finger centre about the
    /// object's middle.
    fn start(field: &BakedField, seed: u64, number: u64) -> Self {
        let mut rng = numbered_rng(seed, number);
        let settings = field.settings();
        let spread = settings.schedule.sigma_m(1.0).hypot(settings.prior_m);
        let q = Vector4::from_fn(|_, _| rng.sample::<f32, _>(StandardNormal));
        let rotation = UnitQuaternion::from_quaternion(Quaternion::from(q));
        let offset = Vector3::from_fn(|_, _| spread * rng.sample::<f32, _>(StandardNormal));
        Self {
            centre: Vector3::from(field.middle_m()) + offset,
            rotation,
            rng,
        }
    }

    fn pose(&self, finger_centre_m: f32) -> Isometry3<f32> {
        let lever = self.rotation * Vector3::new(0.0, 0.0, finger_centre_m);
        Isometry3::from_parts(Translation3::from(self.centre - lever), self.rotation)
    }

    /// One step down `gradient` (about the gripper's origin): `variance` rad^2 removed, `noise` rad put back.
    fn step(
        &mut self,
        gradient: &[f32; 6],
        finger_centre_m: f32,
        length_m: f32,
        variance: f32,
        noise: f32,
    ) {
        let force = Vector3::new(gradient[0], gradient[1], gradient[2]);
        let lever = self.rotation * Vector3::new(0.0, 0.0, finger_centre_m);
        let torque = Vector3::new(gradient[3], gradient[4], gradient[5]) - lever.cross(&force);
        let mut shift = -force * (variance * length_m * length_m);
        let mut turn = -torque * variance;
        if noise > 0.0 {
            shift += Vector3::from_fn(|_, _| {
                noise * length_m * self.rng.sample::<f32, _>(StandardNormal)
            });
            turn += Vector3::from_fn(|_, _| noise * self.rng.sample::<f32, _>(StandardNormal));
        }
        self.move_by(shift, turn);
    }

    fn move_by(&mut self, shift_m: Vector3<f32>, turn_rad: Vector3<f32>) {
        self.centre += shift_m;
        self.rotation = UnitQuaternion::new_normalize(
            (UnitQuaternion::from_scaled_axis(turn_rad) * self.rotation).into_inner(),
        );
    }
}

/// Poses and energies at the last level. The step from sigma_i to sigma_j takes away the variance
/// sigma_i^2 - sigma_j^2 (ancestral sampling, Song et al. 2021, eq. 47, with the noise scaled by the temperature).
fn anneal(
    field: &BakedField,
    settings: &SamplerSettings,
    numbers: &[u64],
    seed: u64,
) -> (Vec<Isometry3<f32>>, Vec<f32>) {
    let schedule = *field.schedule();
    let finger_centre = field.settings().finger_centre_m() as f32;
    let mut walkers: Vec<Walker> = numbers
        .iter()
        .map(|&n| Walker::start(field, seed, n))
        .collect();
    let mut poses: Vec<Isometry3<f32>> = Vec::with_capacity(walkers.len());
    let mut energy = vec![0.0; walkers.len()];
    let mut gradient = vec![[0.0; 6]; walkers.len()];
    let last = schedule.level(settings.final_sigma_rad).clamp(0.0, 1.0);
    let levels = settings.levels.max(2);
    let level = |i: usize| 1.0 + (last - 1.0) * i as f32 / (levels - 1) as f32;
    for i in 0..levels - 1 + settings.descent_steps {
        let is_descent = i + 1 >= levels;
        let t = level(i.min(levels - 1));
        let sigma = schedule.sigma(t);
        let (variance, noise) = if is_descent {
            (settings.descent_rate * sigma * sigma, 0.0)
        } else {
            let next = schedule.sigma(level(i + 1));
            let variance = sigma * sigma - next * next;
            (
                settings.drift * variance,
                settings.temperature * variance.sqrt() * next / sigma,
            )
        };
        poses.clear();
        poses.extend(walkers.iter().map(|w| w.pose(finger_centre)));
        field.evaluate(&poses, t, &mut energy, &mut gradient);
        for ((walker, gradient), pose) in walkers.iter_mut().zip(&gradient).zip(&poses) {
            walker.step(gradient, finger_centre, schedule.length_m, variance, noise);
            if is_descent && settings.clearance_m > 0.0 {
                if let Some(push) = field.push(pose, settings.clearance_m) {
                    walker.move_by(push.shift_m, push.turn_rad);
                }
            }
        }
    }
    poses.clear();
    poses.extend(walkers.iter().map(|w| w.pose(finger_centre)));
    field.evaluate(&poses, last, &mut energy, &mut gradient);
    (poses, energy)
}
