//! Terms that every configuration of a motion must keep to.

use std::sync::Arc;

use crate::cost::{Cost, SampleTerms, Samples};
use crate::lanes::{horizontal_min, splat, Lanes, ZERO};
use crate::robot::{BodyWrenches, KinematicState};

/// Terms with a hard limit ([`Cost::slack_m`]), and the margin that motions keep inside it.
#[derive(Clone, Default)]
pub struct PathRules {
    terms: Vec<Arc<dyn Cost>>,
    margin_m: f32,
}

/// Margin where start and goals leave that much [m]: what lies between two samples of a fine check is smaller.
const MARGIN_M: f32 = 0.001;
/// Slack where nothing is demanded [m].
const FAR_M: f32 = 1.0;

impl PathRules {
    pub fn new(terms: Vec<Arc<dyn Cost>>) -> Self {
        Self {
            terms,
            margin_m: MARGIN_M,
        }
    }

    pub fn terms(&self) -> &[Arc<dyn Cost>] {
        &self.terms
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Smallest slack over all terms, by lane [m]; 1 m without terms.
    pub fn slack_m(&self, state: &KinematicState) -> Lanes {
        self.terms
            .iter()
            .filter_map(|term| term.slack_m(state))
            .fold(splat(FAR_M), Lanes::fast_min)
    }

    /// Smallest slack of the sixteen beyond the margin [m].
    pub fn least_excess_m(&self, state: &KinematicState) -> f32 {
        if self.is_empty() {
            return FAR_M;
        }
        horizontal_min(self.slack_m(state)) - self.margin_m
    }

    /// Adds up the terms' wrenches at unit weight; their values by lane.
    pub fn add_up(
        &self,
        q: &[Lanes],
        state: &KinematicState,
        wrenches: &mut BodyWrenches,
    ) -> Lanes {
        let mut value = ZERO;
        let samples = Samples {
            q,
            state,
            fraction: ZERO,
            world_from_final_gripper: None,
            approach_fraction: 1.0,
        };
        for term in &self.terms {
            let mut out = SampleTerms {
                value: &mut value,
                wrenches: &mut *wrenches,
            };
            term.on_samples(&samples, 1.0, &mut out);
        }
        value
    }

    /// Bit mask of the lanes that break a limit itself; the margin does not count.
    pub fn broken(&self, state: &KinematicState) -> u32 {
        if self.is_empty() {
            return 0;
        }
        self.slack_m(state).simd_lt(ZERO).to_bitmask()
    }

    /// Asks for no more margin than half of what an end of the motion has [m]. An end at the limit itself may be beyond it by
    /// rounding.
    pub fn limit_margin(&mut self, slack_m: f32) {
        const ROUNDING_M: f32 = 2e-7;
        let kept_m = if slack_m > ROUNDING_M {
            0.5 * slack_m
        } else {
            slack_m - ROUNDING_M
        };
        self.margin_m = self.margin_m.min(kept_m);
    }
}
