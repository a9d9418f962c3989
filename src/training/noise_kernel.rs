//! Noise of one level on an object's grasps, and the way back from a noisy pose: the mean over all grasps that it may have come from.

use std::f64::consts::PI;

use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::field::igso3::IsotropicGaussian;

/// Entries of the tables by angle.
const TABLE_SIZE: usize = 512;
/// Grasps whose log density lies this far below another's add nothing.
const NEGLIGIBLE: f64 = 16.0;

/// Where the fingers close, and how they are turned.
#[derive(Debug, Clone, Copy)]
pub(super) struct FingerPose {
    pub centre: Point3<f64>,
    pub rotation: UnitQuaternion<f64>,
}

impl FingerPose {
    /// Of a pose of the gripper whose finger centre lies `height_m` above its origin.
    pub fn new(gripper: &Isometry3<f64>, height_m: f64) -> Self {
        Self {
            centre: gripper * Point3::new(0.0, 0.0, height_m),
            rotation: gripper.rotation,
        }
    }
}

/// Gaussian noise on the finger centre beside isotropic noise on the rotation.
pub(super) struct NoiseKernel {
    rotation_noise: IsotropicGaussian,
    sigma_rad: f64,
    sigma_m: f64,
    /// Log density of the rotation, up to a constant, and its slope, 1/rad, by angle over 0..pi.
    by_angle: Vec<[f64; 2]>,
}

impl NoiseKernel {
    pub fn new(sigma_rad: f64, sigma_m: f64) -> Self {
        let rotation_noise = IsotropicGaussian::new(sigma_rad);
        let by_angle = (0..TABLE_SIZE)
            .map(|i| {
                let angle = PI * i as f64 / (TABLE_SIZE - 1) as f64;
                [
                    rotation_noise.log_density(angle),
                    rotation_noise.score(angle),
                ]
            })
            .collect();
        Self {
            rotation_noise,
            sigma_rad,
            sigma_m,
            by_angle,
        }
    }

    /// The grasp out of place.
    pub fn disturbed(&self, grasp: &FingerPose, rng: &mut impl Rng) -> FingerPose {
        let shift = Vector3::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal));
        let turn = self.rotation_noise.sample(rng);
        FingerPose {
            centre: grasp.centre + shift * self.sigma_m,
            rotation: UnitQuaternion::from_scaled_axis(turn) * grasp.rotation,
        }
    }

    /// Gradient of -log of the density at `pose` of all grasps under this noise, by the finger centre times `sigma_m` and by the rotation
    /// from the left times `sigma_rad`: the mean of the ways back to each grasp, weighted by how likely the pose came from it.
    /// Denoising score matching against it has the same optimum as against the one grasp that the pose was drawn from, with
    /// less noise (Xu et al., arXiv 2302.00670). `grasps` has that one.
    pub fn way_back(&self, grasps: &[FingerPose], pose: &FingerPose) -> [Vector3<f64>; 2] {
        let highest = self.by_angle[0][0];
        let mut best = f64::NEG_INFINITY;
        let mut ways: Vec<(f64, [Vector3<f64>; 2])> = Vec::new();
        for grasp in grasps {
            let shift = (pose.centre - grasp.centre) / self.sigma_m;
            let by_shift = -0.5 * shift.norm_squared();
            if by_shift + highest < best - NEGLIGIBLE {
                continue;
            }
            let turn = (pose.rotation * grasp.rotation.inverse()).into_inner();
            let sine = turn.imag().norm();
            let angle = 2.0 * sine.atan2(turn.w.abs());
            let [by_turn, slope] = self.at_angle(angle);
            let log_density = by_shift + by_turn;
            if log_density < best - NEGLIGIBLE {
                continue;
            }
            best = best.max(log_density);
            let axis = turn.imag() * (turn.w.signum() / sine.max(1e-12));
            ways.push((log_density, [shift, axis * (-self.sigma_rad * slope)]));
        }
        let mut total = 0.0;
        let mut mean = [Vector3::zeros(); 2];
        for (log_density, way) in ways {
            let weight = (log_density - best).exp();
            total += weight;
            mean = [mean[0] + way[0] * weight, mean[1] + way[1] * weight];
        }
        mean.map(|sum| sum / total)
    }

    fn at_angle(&self, angle: f64) -> [f64; 2] {
        let place = angle / PI * (TABLE_SIZE - 1) as f64;
        let cell = (place as usize).min(TABLE_SIZE - 2);
        let (low, high) = (self.by_angle[cell], self.by_angle[cell + 1]);
        let share = place - cell as f64;
        [0, 1].map(|i| low[i] + share * (high[i] - low[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::robot::half_turn;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    fn grasps(rng: &mut Pcg64Mcg) -> Vec<FingerPose> {
        (0..12)
            .flat_map(|_| {
                let mut vector = || Vector3::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal));
                let grasp = Isometry3::new(vector() * 0.03, vector());
                [grasp, half_turn(&grasp)].map(|grasp| FingerPose::new(&grasp, 0.0))
            })
            .collect()
    }

    /// -log of the mixture's density, without tables.
    fn minus_log(kernel: &NoiseKernel, grasps: &[FingerPose], pose: &FingerPose) -> f64 {
        let density = |grasp: &FingerPose| {
            let shift = (pose.centre - grasp.centre) / kernel.sigma_m;
            let angle = pose.rotation.angle_to(&grasp.rotation);
            (-0.5 * shift.norm_squared() + kernel.rotation_noise.log_density(angle)).exp()
        };
        -grasps.iter().map(density).sum::<f64>().ln()
    }

    #[test]
    fn the_way_back_is_the_slope_of_the_mixture() {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        for sigma in [0.08, 0.25, 0.5, 1.2] {
            let kernel = NoiseKernel::new(sigma, 0.08 * sigma);
            let grasps = grasps(&mut rng);
            for grasp in &grasps[..6] {
                let pose = kernel.disturbed(grasp, &mut rng);
                let way = kernel.way_back(&grasps, &pose);
                let h = 1e-5;
                // By the centre's three coordinates, then by the turn's.
                for (part, length) in [(0, kernel.sigma_m), (1, sigma)] {
                    let moved = |by: Vector3<f64>| match part {
                        0 => FingerPose {
                            centre: pose.centre + by,
                            ..pose
                        },
                        _ => FingerPose {
                            rotation: UnitQuaternion::from_scaled_axis(by) * pose.rotation,
                            ..pose
                        },
                    };
                    let value = |by: Vector3<f64>| minus_log(&kernel, &grasps, &moved(by));
                    for (axis, found) in way[part].iter().enumerate() {
                        let step = Vector3::ith(axis, h);
                        let expected = length * (value(step) - value(-step)) / (2.0 * h);
                        assert!(
                            (found - expected).abs() < 5e-3,
                            "{sigma}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn little_noise_leads_back_to_the_grasp_itself() {
        let mut rng = Pcg64Mcg::seed_from_u64(4);
        let kernel = NoiseKernel::new(0.01, 0.0008);
        let grasps = grasps(&mut rng);
        let pose = kernel.disturbed(&grasps[5], &mut rng);
        let [shift, turn] = kernel.way_back(&grasps, &pose);
        assert!((pose.centre - shift * 0.0008 - grasps[5].centre).norm() < 1e-9);
        let back = UnitQuaternion::from_scaled_axis(-turn * 0.01) * pose.rotation;
        assert!(back.angle_to(&grasps[5].rotation) < 1e-4);
    }
}
