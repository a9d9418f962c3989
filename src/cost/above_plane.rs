//! Keeps links, or a point of the tool, on one side of a plane.

use super::{Cost, SampleTerms, Samples};
use crate::lanes::{dot, scale, splat, splat3, Lanes, Lanes3, ZERO};
use crate::robot::KinematicState;

/// A ball that must stay above the plane, fixed in a body; a point has radius 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardedBall {
    pub body: usize,
    /// In the body's frame, m.
    pub center_m: [f32; 3],
    pub radius_m: f32,
}

/// For every sample the sum over all balls of `w/2 (max(0, ONSET_M - h) / ONSET_M)^2`, h the height of the ball's lowest
/// point above the plane.
pub struct AbovePlane {
    balls: Vec<GuardedBall>,
    normal: [f32; 3],
    /// Of the plane along its normal, from the world's origin, m.
    offset_m: f32,
}

/// Height at which the term sets in [m].
const ONSET_M: f32 = 0.02;
/// Height that stands for "nothing to guard" [m].
const FAR_M: f32 = 1.0;

impl AbovePlane {
    /// The plane through a world point [m] with a unit normal to the side that is allowed.
    pub fn new(balls: Vec<GuardedBall>, point_m: [f64; 3], normal: [f64; 3]) -> Self {
        Self {
            balls,
            normal: normal.map(|v| v as f32),
            offset_m: (0..3).map(|k| point_m[k] * normal[k]).sum::<f64>() as f32,
        }
    }

    /// Centre and height of a ball.
    #[inline]
    fn height(&self, ball: &GuardedBall, state: &KinematicState) -> (Lanes3, Lanes) {
        let center = state.bodies[ball.body].point(ball.center_m);
        let height = dot(&center, &splat3(self.normal)) - splat(self.offset_m + ball.radius_m);
        (center, height)
    }
}

impl Cost for AbovePlane {
    fn name(&self) -> &'static str {
        "above_plane"
    }

    fn on_samples(&self, samples: &Samples<'_>, weight: f32, out: &mut SampleTerms<'_>) {
        let normal = splat3(self.normal);
        for ball in &self.balls {
            let (center, height) = self.height(ball, samples.state);
            let depth = (splat(ONSET_M) - height).fast_max(ZERO);
            if !depth.simd_gt(ZERO).any() {
                continue;
            }
            let slope = depth * splat(weight / (ONSET_M * ONSET_M));
            *out.value += splat(0.5) * depth * slope;
            out.wrenches
                .add_force(ball.body, &center, &scale(&normal, -slope));
        }
    }

    fn slack_m(&self, state: &KinematicState) -> Option<Lanes> {
        let heights = self.balls.iter().map(|ball| self.height(ball, state).1);
        Some(heights.fold(splat(FAR_M), Lanes::fast_min))
    }
}
