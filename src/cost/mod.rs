//! Terms of the trajectory energy, one file each.
//!
//! A term sees the motion in up to three forms: the control points, sixteen sampled configurations after forward
//! kinematics, and the final gripper pose. It adds its value, its gradient (as a wrench on the bodies where it acts in
//! space: one pull-back then serves all terms) and, for control points, its Gauss-Newton curvature. No term knows another.

mod above_plane;
mod active_set;
mod approach;
mod grasp;
mod joint_limits;
#[cfg(test)]
pub(crate) mod kernel_checks;
mod motion_limits;
mod pose_target;
pub mod scene_collision;
pub mod self_collision;
mod smoothness;
mod start;
mod upright;

#[cfg(test)]
mod gradient_tests;

pub use above_plane::{AbovePlane, GuardedBall};
pub use active_set::ActiveSet;
pub use approach::Approach;
pub use grasp::GraspEnergy;
pub use joint_limits::JointLimitHinge;
pub use motion_limits::MotionLimitHinge;
pub use pose_target::PoseTarget;
pub use scene_collision::SceneCollision;
pub use self_collision::SelfCollision;
pub use smoothness::Smoothness;
pub use start::StartState;
pub use upright::Upright;

use nalgebra::Isometry3;

use crate::lanes::Lanes;
use crate::robot::{BodyWrenches, KinematicState};
use crate::trajectory::{BandedSystem, Spline};

/// One term of the energy. All values are dimensionless; `weight` multiplies value, gradient and curvature.
pub trait Cost: Send + Sync {
    /// Name in breakdowns and settings.
    fn name(&self) -> &'static str;

    /// Adds gradient and curvature by the control points; returns the weighted value.
    fn on_control_points(
        &self,
        _motion: &Motion<'_>,
        _weight: f32,
        _system: &mut BandedSystem,
    ) -> f32 {
        0.0
    }

    /// Adds value by lane and wrenches on the bodies for sixteen configurations.
    fn on_samples(&self, _samples: &Samples<'_>, _weight: f32, _out: &mut SampleTerms<'_>) {}

    /// How far sixteen configurations are inside what the term demands, negative where they break it [m] (angles count with a
    /// lever); `None` for a term that only prefers.
    fn slack_m(&self, _state: &KinematicState) -> Option<Lanes> {
        None
    }

    /// Adds value and gradient for the final gripper poses of a batch of motions.
    fn on_ends(&self, _ends: &Ends<'_>, _weight: f32, _out: &mut [EndTerm]) {}
}

/// A spline with its knot spacing.
#[derive(Clone, Copy)]
pub struct Motion<'a> {
    pub spline: &'a Spline,
    pub spacing_s: f32,
}

/// Sixteen configurations of one motion.
pub struct Samples<'a> {
    /// `[D]`, rad or m.
    pub q: &'a [Lanes],
    pub state: &'a KinematicState,
    /// Place on the path, 0 at the start, 1 at the end.
    pub fraction: Lanes,
    /// Final gripper pose of the motion, where the approach term is wanted.
    pub world_from_final_gripper: Option<&'a Isometry3<f32>>,
    /// Place on the path where the straight approach begins.
    pub approach_fraction: f32,
}

/// What the terms of sixteen configurations add up to.
pub struct SampleTerms<'a> {
    /// Weighted value by lane.
    pub value: &'a mut Lanes,
    pub wrenches: &'a mut BodyWrenches,
}

/// Final gripper poses of a batch of motions.
pub struct Ends<'a> {
    /// `[B]` world_from_gripper.
    pub world_from_gripper: &'a [Isometry3<f32>],
    /// Place of the annealing, 1 at its beginning, 0 at its end.
    pub annealing: f32,
}

/// Value, gradient and curvature by the final gripper pose.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EndTerm {
    pub value: f32,
    /// (force 1/m, torque 1/rad) in world axes about the gripper frame's origin.
    pub wrench: [f32; 6],
    /// Diagonal of the curvature in the same axes, not negative.
    pub curvature: [f32; 6],
}
