//! Keeps an axis of a link upright: a full mug, a tool that must stay level.

use super::{Cost, SampleTerms, Samples};
use crate::lanes::{cross, dot, scale, splat, splat3, sub, Lanes, Lanes3, ZERO, ZERO3};
use crate::robot::KinematicState;

/// For every sample, with the axis a in the world and the direction d it shall keep: `w/2 (max(0, |a - d| - u) / SCALE)^2`.
/// The chord `|a - d| = 2 sin(tilt/2)` grows with the tilt all the way, and is exact in f32 also near zero; `u` is the chord
/// of a tilt a little inside the limit.
pub struct Upright {
    body: usize,
    axis_in_body: [f32; 3],
    direction: [f32; 3],
    /// Chords of the limit, and where the term sets in.
    limit: f32,
    wanted: f32,
}

/// Deviations of this size count as one (chord, about rad).
const SCALE: f32 = 0.1;
/// The term sets in this much inside the limit, at most (chord, about rad).
const RUN_UP: f32 = 0.05;
/// Tilt as a length for [`Cost::slack_m`]: that of a point this far up the axis [m/rad].
const LEVER_M: f32 = 0.1;
/// Chords below this have no direction to turn in.
const TINY: f32 = 1e-6;

impl Upright {
    /// Axis (in the body's frame) and direction (in the world) as unit vectors, largest tilt in (0, pi].
    pub fn new(
        body: usize,
        axis_in_body: [f64; 3],
        direction: [f64; 3],
        max_tilt_rad: f64,
    ) -> Self {
        let limit = 2.0 * (0.5 * max_tilt_rad).sin() as f32;
        Self {
            body,
            axis_in_body: axis_in_body.map(|v| v as f32),
            direction: direction.map(|v| v as f32),
            limit,
            wanted: (limit - RUN_UP).max(0.5 * limit),
        }
    }

    /// The axis in the world, and its chord to the direction.
    #[inline]
    fn axis_and_chord(&self, state: &KinematicState) -> (Lanes3, Lanes) {
        let axis = state.bodies[self.body].direction(self.axis_in_body);
        let difference = sub(&axis, &splat3(self.direction));
        (axis, dot(&difference, &difference).sqrt())
    }
}

impl Cost for Upright {
    fn name(&self) -> &'static str {
        "upright"
    }

    fn on_samples(&self, samples: &Samples<'_>, weight: f32, out: &mut SampleTerms<'_>) {
        let (axis, chord) = self.axis_and_chord(samples.state);
        let depth = (chord - splat(self.wanted)).fast_max(ZERO);
        if !depth.simd_gt(ZERO).any() {
            return;
        }
        let slope = depth * splat(weight / (SCALE * SCALE));
        *out.value += splat(0.5) * depth * slope;
        // A turn w changes the axis by w x a, and with it the chord by -(a x d) . w / chord.
        let lever = cross(&axis, &splat3(self.direction));
        let torque = scale(&lever, -(slope / chord.fast_max(splat(TINY))));
        out.wrenches.add(self.body, &ZERO3, &torque);
    }

    fn slack_m(&self, state: &KinematicState) -> Option<Lanes> {
        let (_, chord) = self.axis_and_chord(state);
        Some((splat(self.limit) - chord) * splat(LEVER_M))
    }
}
