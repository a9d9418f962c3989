//! The released sampler: annealed Langevin over positions and rotations, then a noise-free tail.

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion, Vector3, Vector4};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;

use super::noise::sigma;
use crate::geometry::so3;

/// Derivative of the energy at a pose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wrench {
    /// By the position of the gripper's origin.
    pub force: Vector3<f64>,
    /// By a turn from the left about that origin, per rad.
    pub torque: Vector3<f64>,
}

/// The steps of the sampler; the default is what the released evaluation uses: 240 evaluations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnnealedLangevin {
    /// Levels from the coarsest down, with noise.
    pub levels: usize,
    /// Further steps at the last level, without noise.
    pub tail: usize,
    /// Steps at each level.
    pub repeats: usize,
    /// Squared step length at the last level.
    pub rate: f64,
    /// Squared step length of the tail.
    pub tail_rate: f64,
    /// Noise put back, of what Langevin dynamics asks for.
    pub noise: f64,
    /// The last level.
    pub last: f64,
}

impl Default for AnnealedLangevin {
    fn default() -> Self {
        Self {
            levels: 70,
            tail: 50,
            repeats: 2,
            rate: 1e-3,
            tail_rate: 3e-3,
            noise: 0.5,
            last: 1e-3,
        }
    }
}

impl AnnealedLangevin {
    /// Level and squared step length of each evaluation in turn, and whether noise is added.
    fn steps(&self) -> impl Iterator<Item = (f64, f64, bool)> + '_ {
        let annealed = (0..self.levels).map(|i| {
            let level = (self.levels - i) as f64 / self.levels as f64 + self.last;
            let ratio = (sigma(level) / sigma(self.last)).powi(2);
            (level, self.rate * ratio, true)
        });
        let tail = (0..self.tail).map(|_| (self.last, self.tail_rate, false));
        annealed
            .chain(tail)
            .flat_map(|step| std::iter::repeat_n(step, self.repeats))
    }
}

struct Walker {
    pose: Isometry3<f64>,
    rng: Pcg64Mcg,
}

impl Walker {
    /// Any rotation, position normal about the object's middle: 12.5 cm.
    fn start(seed: u64, number: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(number),
        );
        let q = Vector4::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal));
        let rotation = UnitQuaternion::from_quaternion(Quaternion::from(q));
        let position = normal(&mut rng);
        Self {
            pose: Isometry3::from_parts(Translation3::from(position), rotation),
            rng,
        }
    }

    /// The gradient by the rotation vector is taken for a turn from the left, as the released code does.
    fn step(&mut self, wrench: &Wrench, rate: f64, noise: f64) {
        let jacobian = so3::left_jacobian(&so3::log(&self.pose.rotation));
        let mut shift = -0.5 * rate * wrench.force;
        let mut turn = -0.5 * rate * (jacobian.transpose() * wrench.torque);
        if noise > 0.0 {
            shift += noise * normal(&mut self.rng);
            turn += noise * normal(&mut self.rng);
        }
        self.pose.translation.vector += shift;
        self.pose.rotation = so3::exp(&turn) * self.pose.rotation;
        self.pose.rotation.renormalize();
    }
}

fn normal(rng: &mut Pcg64Mcg) -> Vector3<f64> {
    Vector3::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal))
}

/// Draws one pose for each number (positions in eighths of a metre) and its energy at the last level.
///
/// `evaluate` gives energy and derivative of poses at a level. A pose depends on seed and number alone.
pub fn anneal(
    settings: &AnnealedLangevin,
    numbers: &[u64],
    seed: u64,
    evaluate: impl Fn(&[Isometry3<f64>], f64) -> Vec<(f64, Wrench)>,
) -> Vec<(Isometry3<f64>, f64)> {
    let mut walkers: Vec<Walker> = numbers.iter().map(|&n| Walker::start(seed, n)).collect();
    let poses =
        |walkers: &[Walker]| -> Vec<Isometry3<f64>> { walkers.iter().map(|w| w.pose).collect() };
    for (level, rate, is_noisy) in settings.steps() {
        let noise = if is_noisy {
            settings.noise * rate.sqrt()
        } else {
            0.0
        };
        let evaluated = evaluate(&poses(&walkers), level);
        for (walker, (_, wrench)) in walkers.iter_mut().zip(evaluated) {
            walker.step(&wrench, rate, noise);
        }
    }
    let ended = poses(&walkers);
    let energies = evaluate(&ended, settings.last);
    ended
        .into_iter()
        .zip(energies)
        .map(|(pose, (energy, _))| (pose, energy))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn steps_are_those_of_the_released_code() {
        let settings = AnnealedLangevin::default();
        let steps: Vec<_> = settings.steps().collect();
        assert_eq!(steps.len(), 240);
        assert!((steps[0].1 - 0.5416).abs() < 2e-4, "{:?}", steps[0]);
        assert!((steps[139].1 - 0.0151).abs() < 1e-4, "{:?}", steps[139]);
        assert_eq!(steps[140], (1e-3, 3e-3, false));
    }

    #[test]
    fn poses_of_an_analytic_energy_end_at_its_minimum() {
        let target = Isometry3::from_parts(
            Translation3::new(0.3, -0.2, 0.5),
            UnitQuaternion::from_scaled_axis(Vector3::new(0.4, -0.3, 0.9)),
        );
        let calls = Cell::new(0);
        // -log of the data, a Gaussian of 0.1 about one grasp, noised to the level: the exact score.
        let evaluate = |poses: &[Isometry3<f64>], level: f64| {
            calls.set(calls.get() + 1);
            let variance = sigma(level).powi(2) + 0.01;
            let wrench = |pose: &Isometry3<f64>| {
                let shift = pose.translation.vector - target.translation.vector;
                let turn = so3::log(&(pose.rotation * target.rotation.inverse()));
                let energy = 0.5 * (shift.norm_squared() + turn.norm_squared()) / variance;
                let wrench = Wrench {
                    force: shift / variance,
                    torque: turn / variance,
                };
                (energy, wrench)
            };
            poses.iter().map(wrench).collect()
        };
        let settings = AnnealedLangevin::default();
        let numbers: Vec<u64> = (0..100).collect();
        let drawn = anneal(&settings, &numbers, 3, evaluate);
        assert_eq!(calls.get(), 241);
        let mut far = 0;
        for (pose, energy) in &drawn {
            let shift = (pose.translation.vector - target.translation.vector).norm();
            let turn = pose.rotation.angle_to(&target.rotation);
            assert!((energy - 0.5 * (shift * shift + turn * turn) / (1e-3f64 + 0.01)).abs() < 0.01);
            far += usize::from(shift > 0.1 || turn > 0.1);
        }
        assert!(far <= 2, "{far} of 100 did not arrive");
        // A pose does not depend on which others are drawn with it.
        assert_eq!(anneal(&settings, &[41], 3, evaluate)[0].0, drawn[41].0);
        assert_ne!(anneal(&settings, &[41], 4, evaluate)[0].0, drawn[41].0);
    }
}
