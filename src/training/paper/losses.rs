//! What the network is trained towards: the score of noised grasps, by one of two definitions, and signed distances.

use nalgebra::{Isometry3, Vector3};
use tch::{Kind, Tensor};

use super::network::PoseForces;
use super::settings::Denoising;
use crate::geometry::so3;

/// Distances beyond this are not learned, eighths of a metre (7.5 cm).
const FARTHEST: f64 = 0.6;
/// The released losses divide by these.
const PROJECTED_DIVISOR: f64 = 10.0;
const LIE_GROUP_DIVISOR: f64 = 20.0;

/// A noised grasp in the coordinates x = (position, Log of the rotation), and the gradient dE/dx that the network should
/// have there: minus the score of the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientTarget {
    /// Eighths of a metre.
    pub position: Vector3<f64>,
    /// rad.
    pub rotation_vector: Vector3<f64>,
    pub by_position: Vector3<f64>,
    /// By the rotation vector, not by a turn of the frame.
    pub by_rotation_vector: Vector3<f64>,
}

impl GradientTarget {
    /// Noises a grasp (positions in eighths of a metre) by `sigma` times the standard normal numbers `shift` and `turn`.
    pub fn new(
        denoising: Denoising,
        grasp: &Isometry3<f64>,
        sigma: f64,
        shift: &Vector3<f64>,
        turn: &Vector3<f64>,
    ) -> Self {
        let position = grasp.translation.vector + shift * sigma;
        let by_position = shift / sigma;
        match denoising {
            // The noised vector may be longer than pi: it is not brought back, so that the noise stays Gaussian.
            Denoising::Projected => Self {
                position,
                rotation_vector: so3::log(&grasp.rotation) + turn * sigma,
                by_position,
                by_rotation_vector: turn / sigma,
            },
            // log p = -|Log(R^T R^)|^2 / (2 sigma^2). With R^ = R Exp(phi), its derivative by a turn from the right is
            // -phi / sigma^2, as J_r(phi)^-T phi = phi; J_r(Log R^) takes it to the rotation vector.
            Denoising::LieGroup => {
                let noise = so3::exp(&(turn * sigma));
                // Beyond half a turn the noise came from the other side: Log gives the shorter way.
                let phi = so3::log(&noise);
                let rotation_vector = so3::log(&(grasp.rotation * noise));
                let jacobian = so3::right_jacobian(&rotation_vector);
                Self {
                    position,
                    rotation_vector,
                    by_position,
                    by_rotation_vector: jacobian.transpose() * phi / (sigma * sigma),
                }
            }
        }
    }
}

/// dE/dx `[B, 6]` by x = (position, rotation vector). `jacobians` `[B, 3, 3]`: left Jacobians of the rotation vectors.
pub fn by_coordinates(forces: &PoseForces, jacobians: &Tensor) -> Tensor {
    let by_rotation_vector = jacobians
        .transpose(1, 2)
        .bmm(&forces.by_turn.unsqueeze(2))
        .squeeze_dim(2);
    Tensor::cat(&[&forces.by_position, &by_rotation_vector], 1)
}

/// Mean absolute error of gradients `[B, 6]`, divided as in the released code. Levels are not weighted: fine ones, whose
/// gradients are the largest, count most.
pub fn score_loss(gradients: &Tensor, targets: &Tensor, denoising: Denoising) -> Tensor {
    let divisor = match denoising {
        Denoising::Projected => PROJECTED_DIVISOR,
        Denoising::LieGroup => LIE_GROUP_DIVISOR,
    };
    (gradients - targets).abs().mean(targets.kind()) / divisor
}

/// Mean absolute error of distances, both cut at 7.5 cm.
pub fn distance_loss(predicted: &Tensor, measured: &Tensor) -> Tensor {
    (predicted.clamp_max(FARTHEST) - measured.clamp_max(FARTHEST))
        .abs()
        .mean(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Translation3, UnitQuaternion, Vector6};
    use proptest::prelude::*;
    use tch::Device;

    fn vector(range: f64) -> impl Strategy<Value = Vector3<f64>> {
        let side = -range..range;
        (side.clone(), side.clone(), side).prop_map(|(x, y, z)| Vector3::new(x, y, z))
    }

    /// -log p of the noise about one grasp.
    fn energy(denoising: Denoising, grasp: &Isometry3<f64>, sigma: f64, x: &Vector6<f64>) -> f64 {
        let shift = x.fixed_rows::<3>(0) - grasp.translation.vector;
        let rotation_vector: Vector3<f64> = x.fixed_rows::<3>(3).into();
        let turn = match denoising {
            Denoising::Projected => rotation_vector - so3::log(&grasp.rotation),
            Denoising::LieGroup => {
                so3::log(&(grasp.rotation.inverse() * so3::exp(&rotation_vector)))
            }
        };
        0.5 * (shift.norm_squared() + turn.norm_squared()) / (sigma * sigma)
    }

    proptest! {
        #[test]
        fn the_loss_is_zero_at_the_exact_score_of_a_single_grasp(
            w in vector(1.7), p in vector(0.8), shift in vector(2.0), turn in vector(2.0), level in 0.02..1.0f64,
        ) {
            let sigma = super::super::sigma(level);
            let rotation = UnitQuaternion::from_scaled_axis(w);
            let grasp = Isometry3::from_parts(Translation3::from(p), rotation);
            for denoising in [Denoising::Projected, Denoising::LieGroup] {
                let noised = GradientTarget::new(denoising, &grasp, sigma, &shift, &turn);
                // On the far side of half a turn the logarithm jumps, and no difference is a derivative.
                prop_assume!((noised.rotation_vector.norm() - std::f64::consts::PI).abs() > 0.01);
                prop_assume!((turn.norm() * sigma - std::f64::consts::PI).abs() > 0.01);
                let x = Vector6::from_iterator(
                    noised.position.iter().chain(noised.rotation_vector.iter()).copied(),
                );
                let gradient: Vec<f64> = (0..6)
                    .map(|i| {
                        let mut step = Vector6::zeros();
                        step[i] = 1e-6;
                        let at = |x: Vector6<f64>| energy(denoising, &grasp, sigma, &x);
                        (at(x + step) - at(x - step)) / 2e-6
                    })
                    .collect();
                let target: Vec<f64> = noised
                    .by_position
                    .iter()
                    .chain(noised.by_rotation_vector.iter())
                    .copied()
                    .collect();
                let row = |values: &[f64]| Tensor::from_slice(values).reshape([1, 6]);
                let loss = score_loss(&row(&gradient), &row(&target), denoising).double_value(&[]);
                let scale = score_loss(&row(&[0.0; 6]), &row(&target), denoising).double_value(&[]);
                prop_assert!(loss < 1e-5 * (1.0 + scale), "{denoising:?}: {loss} of {scale}");
            }
        }
    }

    #[test]
    fn noise_beyond_half_a_turn_is_pulled_back_the_short_way_on_the_group() {
        let grasp = Isometry3::identity();
        let turn = Vector3::new(0.0, 0.0, 5.0);
        let noised =
            GradientTarget::new(Denoising::LieGroup, &grasp, 0.7, &Vector3::zeros(), &turn);
        let short = 3.5 - 2.0 * std::f64::consts::PI;
        assert!((noised.rotation_vector.z - short).abs() < 1e-12);
        assert!((noised.by_rotation_vector.z - short / 0.49).abs() < 1e-9);
        // Exactly half a turn: either way is one, and the pull is half a turn long.
        let turn = Vector3::new(std::f64::consts::PI / 0.7, 0.0, 0.0);
        let noised =
            GradientTarget::new(Denoising::LieGroup, &grasp, 0.7, &Vector3::zeros(), &turn);
        let pull = noised.by_rotation_vector.norm() * 0.49;
        assert!((pull - std::f64::consts::PI).abs() < 1e-6, "{pull}");
    }

    #[test]
    fn far_distances_are_not_learned() {
        let row = |values: &[f32]| Tensor::from_slice(values).to_device(Device::Cpu);
        let loss = distance_loss(&row(&[0.61, -0.1]), &row(&[5.0, 0.1]));
        assert!((loss.double_value(&[]) - 0.1).abs() < 1e-6);
    }
}
