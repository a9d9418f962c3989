//! How much clearance a motion must keep along its path.
//!
//! Starts and goals are often nearly in contact (a hand around a mug, a tool above a table). The clearance asked for
//! therefore rises from what the ends themselves have; a constant one would make such problems unsolvable.

use crate::lanes::{splat, Lanes};

/// Clearance required and wanted over the path fraction s in [0, 1], all in m:
///
/// required(s) = min(margin, kept start + rise s, kept end + rise r)
/// wanted(s)   = min(onset, start + wanted_rise s, end + wanted_rise r), not below required(s) + 2 mm
///
/// with r = 1 - s, or its square where the end is gentle: a motion that comes to rest covers the last of its way with the
/// square of the time that is left, and fingers around an object stay around it for several centimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClearanceRamp {
    /// Required away from the ends.
    pub margin_m: f32,
    /// Where the collision term sets in away from the ends.
    pub onset_m: f32,
    /// Clearance at the start and at the end as measured there; may be negative for a target in the hand.
    pub start_m: f32,
    pub end_m: f32,
    /// Rise of the required clearance per unit of path fraction.
    pub rise_m: f32,
    pub gentle_end: bool,
}

/// Rise of the wanted clearance per unit of path fraction [m].
const WANTED_RISE_M: f32 = 0.5;
/// The collision term always sets in a little before the required clearance is lost [m].
const LEAST_ONSET_M: f32 = 0.002;

impl ClearanceRamp {
    /// Share of a positive end clearance that must be kept; a negative one may not grow by more than half of itself.
    fn kept(end_m: f32) -> f32 {
        if end_m > 0.0 {
            0.5 * end_m
        } else {
            end_m - LEAST_ONSET_M
        }
    }

    /// What is left of the path, as the end counts it.
    #[inline]
    fn remaining(&self, fraction: Lanes) -> Lanes {
        let left = Lanes::ONE - fraction;
        if self.gentle_end {
            left * left
        } else {
            left
        }
    }

    /// Required clearance [m].
    #[inline]
    pub fn required(&self, fraction: Lanes) -> Lanes {
        let rise = splat(self.rise_m);
        let from_start = rise.mul_add(fraction, splat(Self::kept(self.start_m)));
        let to_end = rise.mul_add(self.remaining(fraction), splat(Self::kept(self.end_m)));
        splat(self.margin_m).fast_min(from_start.fast_min(to_end))
    }

    /// Clearance below which the collision term acts [m].
    #[inline]
    pub fn wanted(&self, fraction: Lanes) -> Lanes {
        let rise = splat(WANTED_RISE_M);
        let from_start = rise.mul_add(fraction, splat(self.start_m));
        let to_end = rise.mul_add(self.remaining(fraction), splat(self.end_m));
        let least = self.required(fraction) + splat(LEAST_ONSET_M);
        splat(self.onset_m)
            .fast_min(from_start.fast_min(to_end))
            .fast_max(least)
    }

    /// The same ramp with another margin away from the ends.
    pub fn with_margin(self, margin_m: f32) -> Self {
        Self { margin_m, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_need_less_than_the_middle() {
        let ramp = ClearanceRamp {
            margin_m: 0.01,
            onset_m: 0.03,
            start_m: 0.05,
            end_m: 0.001,
            rise_m: 0.02,
            gentle_end: false,
        };
        let at = |s: f32| {
            (
                ramp.required(splat(s)).to_array()[0],
                ramp.wanted(splat(s)).to_array()[0],
            )
        };
        assert_eq!(at(0.3).0, 0.01);
        assert!(
            (at(1.0).0 - 0.0005).abs() < 1e-7,
            "half of the goal's own clearance"
        );
        assert!((at(0.95).0 - 0.0015).abs() < 1e-6);
        assert_eq!(at(0.5).1, 0.03);
        for i in 0..=20 {
            let (required, wanted) = at(i as f32 / 20.0);
            assert!(wanted > required);
        }
    }

    #[test]
    fn a_target_in_the_hand_may_stay_there_but_not_sink_deeper() {
        let ramp = ClearanceRamp {
            margin_m: 0.005,
            onset_m: 0.02,
            start_m: 0.3,
            end_m: -0.012,
            rise_m: 0.3,
            gentle_end: true,
        };
        let required = |s: f32| ramp.required(splat(s)).to_array()[0];
        assert!((required(1.0) + 0.014).abs() < 1e-6);
        assert!(required(0.9) < 0.0, "the fingers are still around it");
        assert_eq!(required(0.7), 0.005);
    }
}
