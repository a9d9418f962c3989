//! The learned grasp energy at the end of the motion.

use std::sync::{Arc, Mutex};

use nalgebra::{Isometry3, Vector3};

use super::{Cost, EndTerm, Ends};
use crate::field::{EnergyField, NoiseSchedule};
use crate::geometry::Pose;

/// `w E(object_from_gripper, t)`, E an energy field in the object's frame; t follows the annealing schedule, so that the
/// landscape is smooth first and sharp last (arXiv 2209.03855, Sec. III-C).
///
/// E is the negative logarithm of a density that carries at least the level's Gaussian noise, so its curvature is bounded by
/// `1 / sigma(t)^2`.
pub struct GraspEnergy {
    field: Arc<dyn EnergyField>,
    object_from_world: Isometry3<f32>,
    schedule: NoiseSchedule,
    /// Rotation noise at the begin and at the end of the annealing [rad].
    sigma_rad: [f32; 2],
    scratch: Mutex<Scratch>,
}

/// Noise at which annealing begins and ends: the seeds are good grasps already, and below about 4 deg (5 mm) the learned
/// score is mostly estimation noise [rad].
const FIRST_SIGMA_RAD: f32 = 0.2;
const FINAL_SIGMA_RAD: f32 = 0.066;

/// Kept between calls: the step loop must not allocate.
#[derive(Default)]
struct Scratch {
    object_from_gripper: Vec<Isometry3<f32>>,
    energy: Vec<f32>,
    gradient: Vec<[f32; 6]>,
}

impl GraspEnergy {
    pub fn new(
        field: Arc<dyn EnergyField>,
        schedule: NoiseSchedule,
        world_from_object: &Pose,
    ) -> Self {
        let object_from_world = world_from_object.inverse().cast::<f32>();
        Self {
            field,
            object_from_world,
            schedule,
            sigma_rad: [FIRST_SIGMA_RAD, FINAL_SIGMA_RAD],
            scratch: Mutex::default(),
        }
    }

    /// The same energy annealed between other noise levels [rad]: wide ones where the seeds are anywhere.
    pub fn annealed(mut self, first_sigma_rad: f32, final_sigma_rad: f32) -> Self {
        self.sigma_rad = [first_sigma_rad, final_sigma_rad];
        self
    }

    /// Rotation noise [rad] at a place of the annealing, 1 (begin) to 0 (end): geometric between the two.
    fn sigma_rad(&self, annealing: f32) -> f32 {
        let [first, last] = self.sigma_rad;
        last * (first / last).powf(annealing)
    }

    /// Energy of one pose at the final level, at which the field's sampler ranks its grasps too.
    pub fn energy(&self, world_from_gripper: &Isometry3<f32>) -> f32 {
        let pose = self.object_from_world * world_from_gripper;
        let (mut energy, mut gradient) = ([0.0], [[0.0; 6]]);
        let t = self.schedule.level(self.sigma_rad(0.0));
        self.field.evaluate(&[pose], t, &mut energy, &mut gradient);
        energy[0]
    }
}

impl Cost for GraspEnergy {
    fn name(&self) -> &'static str {
        "grasp"
    }

    fn on_ends(&self, ends: &Ends<'_>, weight: f32, out: &mut [EndTerm]) {
        // Only a panic of another thread inside the field could poison the lock; the scratch holds no state.
        let mut guard = self
            .scratch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Scratch {
            object_from_gripper,
            energy,
            gradient,
        } = &mut *guard;
        object_from_gripper.clear();
        object_from_gripper.extend(
            ends.world_from_gripper
                .iter()
                .map(|p| self.object_from_world * p),
        );
        energy.clear();
        energy.resize(out.len(), 0.0);
        gradient.clear();
        gradient.resize(out.len(), [0.0; 6]);
        let t = self.schedule.level(self.sigma_rad(ends.annealing));
        self.field
            .evaluate(object_from_gripper, t, energy, gradient);
        let (linear, angular) = (
            self.schedule.sigma_m(t).powi(-2),
            self.schedule.sigma(t).powi(-2),
        );
        let world_from_object = self.object_from_world.rotation.inverse();
        for ((term, &e), g) in out.iter_mut().zip(energy.iter()).zip(gradient.iter()) {
            let force = world_from_object * Vector3::new(g[0], g[1], g[2]);
            let torque = world_from_object * Vector3::new(g[3], g[4], g[5]);
            term.value += weight * e;
            for k in 0..3 {
                term.wrench[k] += weight * force[k];
                term.wrench[k + 3] += weight * torque[k];
                term.curvature[k] += weight * linear;
                term.curvature[k + 3] += weight * angular;
            }
        }
    }
}
