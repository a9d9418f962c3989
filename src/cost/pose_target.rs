//! Distance of the final gripper poses to given ones: inverse kinematics as a cost beside the others.

use nalgebra::{Isometry3, Point3, Vector3};

use super::{Cost, EndTerm, Ends};

/// `w/2 (|p - p*|^2 / length^2 + |Log(R R*^T)|^2) / sigma^2` with p the finger centre: a Gaussian about a pose for each gripper of the
/// batch, as wide as a noise level of the field.
pub struct PoseTarget {
    world_from_gripper: Vec<Isometry3<f32>>,
    /// Finger centre in the gripper frame [m].
    centre: Point3<f32>,
    /// Length that counts as one radian [m], and the width [rad].
    length_m: f32,
    sigma_rad: f32,
}

impl PoseTarget {
    /// One target a gripper, in the order of the batch; the last one serves all further grippers.
    pub fn new(
        world_from_gripper: Vec<Isometry3<f32>>,
        finger_centre_m: f32,
        length_m: f32,
        sigma_rad: f32,
    ) -> Self {
        Self {
            world_from_gripper,
            centre: Point3::new(0.0, 0.0, finger_centre_m),
            length_m,
            sigma_rad,
        }
    }
}

impl Cost for PoseTarget {
    fn name(&self) -> &'static str {
        "pose_target"
    }

    fn on_ends(&self, ends: &Ends<'_>, weight: f32, out: &mut [EndTerm]) {
        let Some(last) = self.world_from_gripper.last() else {
            return;
        };
        let angular = weight / self.sigma_rad.powi(2);
        let linear = angular / self.length_m.powi(2);
        for (i, (term, pose)) in out.iter_mut().zip(ends.world_from_gripper).enumerate() {
            let target = self.world_from_gripper.get(i).unwrap_or(last);
            let centre = pose * self.centre;
            let away: Vector3<f32> = centre - target * self.centre;
            let turn = (pose.rotation * target.rotation.inverse()).scaled_axis();
            let force = linear * away;
            let torque = angular * turn + (centre.coords - pose.translation.vector).cross(&force);
            term.value += 0.5 * (linear * away.norm_squared() + angular * turn.norm_squared());
            for k in 0..3 {
                term.wrench[k] += force[k];
                term.wrench[k + 3] += torque[k];
                term.curvature[k] += linear;
                term.curvature[k + 3] += angular;
            }
        }
    }
}
