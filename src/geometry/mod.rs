//! Rotations and rigid motions: exponential, logarithm, Jacobians, Gaussians.
//!
//! **Perturbation convention of the whole crate**: a [`Twist`] `(v, w)` moves a frame's origin by `v` (m) and
//! rotates the frame by `Exp(w)` (rad) from the left, both in the axes of the reference frame
//! ([`perturb`]; the group R3 x SO(3)). The gradient of an energy by a pose is then a "force" on the frame's
//! origin and a "torque" about that origin in the axes of the reference frame: what a geometric Jacobian takes.

pub mod se3;
pub mod so3;

use nalgebra::{Isometry3, Translation3, Vector3, Vector6};

/// A rigid motion, named `world_from_object` and the like: maps coordinates in `object` to coordinates in `world`.
pub type Pose = Isometry3<f64>;

/// `(linear m, angular rad)`.
pub type Twist = Vector6<f64>;

/// Linear and angular part of a twist.
pub fn split(twist: &Twist) -> (Vector3<f64>, Vector3<f64>) {
    (
        twist.fixed_rows::<3>(0).into(),
        twist.fixed_rows::<3>(3).into(),
    )
}

/// A twist from its linear (m) and angular (rad) part.
pub fn join(linear: &Vector3<f64>, angular: &Vector3<f64>) -> Twist {
    Twist::new(
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z,
    )
}

/// Moves a frame by a twist in the crate's convention: origin + v, rotation Exp(w) R.
pub fn perturb(reference_from_frame: &Pose, twist: &Twist) -> Pose {
    let (linear, angular) = split(twist);
    Pose::from_parts(
        Translation3::from(reference_from_frame.translation.vector + linear),
        so3::exp(&angular) * reference_from_frame.rotation,
    )
}

/// The twist that [`perturb`] needs to bring `from` to `to`.
pub fn difference(from: &Pose, to: &Pose) -> Twist {
    join(
        &(to.translation.vector - from.translation.vector),
        &so3::log(&(to.rotation * from.rotation.inverse())),
    )
}
