//! Straight approach: the last part of the path stays on the line behind the final gripper pose.

use nalgebra::Isometry3;

use super::{Cost, SampleTerms, Samples};
use crate::geometry::Pose;
use crate::lanes::{add, cross, dot, scale, splat, splat3, sub, Lanes, Lanes3, ZERO};
use crate::robot::LaneFrame;

/// For every sample of the final part, with offset d from the final gripper's origin, its approach axis a, and rotation
/// error theta: `w/2 (|d - (d.a) a|^2 + max(0, d.a)^2) / LATERAL_M^2 + w (1 - cos theta) / ANGLE_RAD^2`
/// (the pre-grasp term of arXiv 2209.03855, App. II-C, without its prescribed distance at each time: the timing is free).
/// The final pose is taken as given: the line follows it, this term does not move it.
pub struct Approach {
    body: usize,
    body_from_gripper: Pose,
}

/// Deviations of this size count as one [m], [rad].
const LATERAL_M: f32 = 0.01;
const ANGLE_RAD: f32 = 0.1;

impl Approach {
    /// The body that carries the gripper, and the gripper's frame (+z approach) in it.
    pub fn new(body: usize, body_from_gripper: Pose) -> Self {
        Self {
            body,
            body_from_gripper,
        }
    }
}

/// A pose with the same value in all lanes.
fn splat_pose(pose: &Isometry3<f32>) -> LaneFrame {
    let r = pose.rotation.to_rotation_matrix();
    let column = |c: usize| splat3([r[(0, c)], r[(1, c)], r[(2, c)]]);
    LaneFrame {
        x: column(0),
        y: column(1),
        z: column(2),
        origin: splat3(pose.translation.vector.into()),
    }
}

impl Cost for Approach {
    fn name(&self) -> &'static str {
        "approach"
    }

    fn on_samples(&self, samples: &Samples<'_>, weight: f32, out: &mut SampleTerms<'_>) {
        let Some(end) = samples.world_from_final_gripper else {
            return;
        };
        let inside = samples.fraction.simd_gt(splat(samples.approach_fraction));
        if !inside.any() {
            return;
        }
        let end = splat_pose(end);
        let gripper = samples.state.bodies[self.body].child(&self.body_from_gripper);
        let w = inside & splat(weight);
        let offset = sub(&gripper.origin, &end.origin);
        let along = dot(&offset, &end.z);
        // Behind the pose only the lateral part counts, in front of it the whole offset does.
        let free = along.fast_min(ZERO);
        let deviation = sub(&offset, &scale(&end.z, free));
        let stiffness = w * splat(1.0 / (LATERAL_M * LATERAL_M));
        let force = scale(&deviation, stiffness);
        let turn = w * splat(1.0 / (ANGLE_RAD * ANGLE_RAD));
        let sines: Lanes3 = add(
            &add(&cross(&gripper.x, &end.x), &cross(&gripper.y, &end.y)),
            &cross(&gripper.z, &end.z),
        );
        let trace: Lanes =
            dot(&gripper.x, &end.x) + dot(&gripper.y, &end.y) + dot(&gripper.z, &end.z);
        let torque = scale(&sines, turn * splat(-0.5));
        *out.value +=
            splat(0.5) * dot(&deviation, &force) + turn * splat(0.5) * (splat(3.0) - trace);
        let moment = add(&cross(&gripper.origin, &force), &torque);
        out.wrenches.add(self.body, &force, &moment);
    }
}
