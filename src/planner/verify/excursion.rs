//! How far a solid can get, between two times, from where it is at these times.
//!
//! Let p(t) be a point of the solid in the frame of the other one, moved by the joints j between the two, and r_j a
//! bound on its distance from joint j's axis (1 for a prismatic joint). Joint by joint, |dp/dq_j| <= r_j and
//! |d2p/dq_j dq_k| <= r of the one that is nearer to the point. So
//!
//! - p is never further from one of its two ends than half of `sum_j r_j way_j`;
//! - if the joints ran straight from end to end, p would stay within `1/8 sum_jk r dq_j dq_k` of the chord between its
//!   ends; a joint that leaves its straight line by `bow_j` moves p by at most `r_j bow_j` more.
//!
//! The smaller of the two bounds how far the solid leaves the hull of where it is at both times. The second shrinks
//! with the square of the interval.
//!
//! `r_j` over the interval: only the joints between j and the point change its distance from the axis. From each end it
//! changes by at most the way since then, so the mean of both ends plus half the way holds for all times.

use parry3d_f64::math::Pose3;

use super::links::Hinge;
use super::solids::Solid;
use super::timeline::JointMotion;

/// Bounds for one solid in one interval, m.
#[derive(Clone, Copy)]
pub(super) struct Excursion {
    /// Longest way of any point.
    pub travel_m: f64,
    /// Distance from the hull of the solid at both ends.
    pub beyond_hull_m: f64,
}

impl Excursion {
    /// `ends`: poses of all links in the world at both times. `hinges` lead from the other solid to this one.
    pub fn new(hinges: &[Hinge], solid: &Solid, ends: [&[Pose3]; 2], joints: &JointMotion) -> Self {
        let turn = |h: &Hinge| h.factor * joints.change[h.joint].abs();
        // Turns of the joints that are farther from the point than the one at hand.
        let mut before: f64 = hinges.iter().map(turn).sum();
        let (mut travel_m, mut bend_m, mut bow_m) = (0.0, 0.0, 0.0);
        for hinge in hinges.iter().rev() {
            let lever_m = if hinge.prismatic {
                1.0
            } else {
                let at_ends = lever_m(hinge, solid, ends[0]) + lever_m(hinge, solid, ends[1]);
                0.5 * (at_ends + travel_m + bow_m)
            };
            let dq = turn(hinge);
            before -= dq;
            bend_m += lever_m * dq * (dq + 2.0 * before.max(0.0));
            travel_m += lever_m * hinge.factor * joints.way[hinge.joint];
            bow_m += lever_m * hinge.factor * joints.bow[hinge.joint];
        }
        Self {
            travel_m,
            beyond_hull_m: (0.125 * bend_m + bow_m).min(0.5 * travel_m),
        }
    }
}

/// Largest distance of any point of the solid from a joint's axis, m.
fn lever_m(hinge: &Hinge, solid: &Solid, links: &[Pose3]) -> f64 {
    let joint = &links[hinge.link];
    let axis = joint.rotation * hinge.axis;
    let world_from_solid = solid.world_from_frame(links);
    let reach = |(center, radius_m)| {
        let arm = world_from_solid.transform_point(center) - joint.translation;
        (arm - axis * arm.dot(axis)).length() + radius_m
    };
    solid.spheres().map(reach).fold(0.0, f64::max)
}
