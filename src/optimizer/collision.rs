//! The three collision terms together: scene, robot against itself, object to be grasped.

use super::clearance::ClearanceRamp;
use super::particle::GoalPoint;
use super::settings::OptimizerSettings;
use crate::cost::{ActiveSet, SceneCollision, SelfCollision};
use crate::lanes::{horizontal_max, horizontal_min, scale, splat, Lanes};
use crate::robot::{BodyWrenches, KinematicState};

/// Pairs near collision of sixteen samples, by term.
#[derive(Clone, Debug)]
pub struct ActivePairs {
    scene: ActiveSet,
    own: ActiveSet,
    target: Option<ActiveSet>,
}

/// The nearest pair of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// Signed distance [m].
    pub distance_m: f64,
    pub link: String,
    /// An object, or another link.
    pub other: String,
}

/// Which of the terms an evaluation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Included {
    pub scene: bool,
    pub own: bool,
    pub target: bool,
}

impl Included {
    pub const ALL: Self = Self {
        scene: true,
        own: true,
        target: true,
    };
    pub const NONE: Self = Self {
        scene: false,
        own: false,
        target: false,
    };
}

/// Collision kernels with the clearances that a motion must keep.
#[derive(Clone)]
pub struct CollisionTerms {
    scene: SceneCollision,
    own: SelfCollision,
    target: Option<SceneCollision>,
    onset_m: f32,
    self_onset_m: f32,
    /// Required clearance away from the ends [m].
    pub margin_m: f32,
    /// Required clearance of the robot to itself [m]; see [`Self::limit_self_margin`].
    self_margin_m: f32,
    /// Clearance of the start to the scene [m].
    pub start_clearance_m: f32,
    /// Clearance of the start to the object to be grasped [m].
    pub start_target_clearance_m: f32,
}

/// Links pass each other closer by construction than obstacles should be passed [m].
const SELF_MARGIN_M: f32 = 0.005;
/// The object to be grasped needs less room: the hand is about to touch it [m].
const TARGET_MARGIN_M: f32 = 0.005;
/// Rise of the required clearance per unit of path fraction [m]: slow against the scene, fast away from a grasped object.
const SCENE_RISE_M: f32 = 0.02;
const TARGET_RISE_M: f32 = 0.3;
/// How far a configuration may move until the active pairs are found again [m].
const REFRESH_SLACK_M: f32 = 0.06;
/// Clearance that stands for "nothing near" [m].
const FAR_M: f32 = 1.0;

impl CollisionTerms {
    /// The kernels know positive clearances only, but the spheres of a hand around an object overlap it. The object to be
    /// grasped is therefore laid out thinner by this much all around [m], and every distance to it is read accordingly.
    pub const TARGET_SHIFT_M: f32 = 0.04;

    /// `target` holds the object to be grasped with a margin of minus [`Self::TARGET_SHIFT_M`].
    pub fn new(
        scene: SceneCollision,
        own: SelfCollision,
        target: Option<SceneCollision>,
        margin_m: f64,
        settings: &OptimizerSettings,
    ) -> Self {
        const LEAST_RUN_UP_M: f32 = 0.02;
        Self {
            scene,
            own,
            target,
            onset_m: settings.onset_m.max(margin_m as f32 + LEAST_RUN_UP_M),
            self_onset_m: settings.self_onset_m,
            margin_m: margin_m as f32,
            self_margin_m: SELF_MARGIN_M,
            start_clearance_m: FAR_M,
            start_target_clearance_m: FAR_M,
        }
    }

    /// The robot against the scene.
    pub fn scene(&self) -> &SceneCollision {
        &self.scene
    }

    /// Empty active pairs of the right size.
    pub fn new_active_pairs(&self) -> ActivePairs {
        ActivePairs {
            scene: self.scene.new_active_set(),
            own: self.own.new_active_set(),
            target: self.target.as_ref().map(SceneCollision::new_active_set),
        }
    }

    /// Neighbouring links stand as close as their spheres make them, in every configuration: no more than half of what start
    /// and goals themselves have [m] can be asked for on the way.
    pub fn limit_self_margin(&mut self, own_clearance_m: f32) {
        self.self_margin_m = self.self_margin_m.min(0.5 * own_clearance_m.max(0.0));
    }

    /// Ramp against the scene, for a goal.
    pub fn scene_ramp(&self, goal: &GoalPoint) -> ClearanceRamp {
        ClearanceRamp {
            margin_m: self.margin_m,
            onset_m: self.onset_m,
            start_m: self.start_clearance_m,
            end_m: goal.clearance_m,
            rise_m: SCENE_RISE_M,
            gentle_end: false,
        }
    }

    /// Ramp against the object to be grasped, for a goal.
    pub fn target_ramp(&self, goal: &GoalPoint) -> ClearanceRamp {
        ClearanceRamp {
            margin_m: self.margin_m.min(TARGET_MARGIN_M),
            onset_m: self.onset_m,
            start_m: self.start_target_clearance_m,
            end_m: goal.target_clearance_m,
            rise_m: TARGET_RISE_M,
            gentle_end: true,
        }
    }

    /// Finds the active pairs again.
    fn refresh(&self, state: &KinematicState, active: &mut ActivePairs) {
        self.scene
            .refresh(state, self.onset_m + REFRESH_SLACK_M, &mut active.scene);
        self.own
            .refresh(state, self.self_onset_m + REFRESH_SLACK_M, &mut active.own);
        if let (Some(target), Some(active)) = (&self.target, &mut active.target) {
            target.refresh(
                state,
                self.onset_m + Self::TARGET_SHIFT_M + REFRESH_SLACK_M,
                active,
            );
        }
    }

    /// Adds values and wrenches of the included terms, times `weight`; the smallest clearance beyond the required one of the
    /// sixteen [m]. `wrenches` must come in empty.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn accumulate(
        &self,
        state: &KinematicState,
        fraction: Lanes,
        goal: &GoalPoint,
        active: &mut ActivePairs,
        refresh: bool,
        included: Included,
        weight: f32,
        value: &mut Lanes,
        wrenches: &mut BodyWrenches,
    ) -> f32 {
        if refresh {
            self.refresh(state, active);
        }
        let far = splat(FAR_M);
        let ramp = self.scene_ramp(goal);
        let (required, wanted) = (ramp.required(fraction), ramp.wanted(fraction));
        let mut excess = far;
        let mut sum = Lanes::ZERO;
        if included.scene {
            let mut distance = far;
            self.scene.evaluate(
                state,
                &active.scene,
                wanted,
                wrenches,
                &mut sum,
                &mut distance,
            );
            excess = excess.fast_min(distance - required);
        }
        if included.own {
            let mut distance = far;
            let onset = self
                .self_onset_m
                .min(2.0 * self.self_margin_m)
                .max(LEAST_SELF_ONSET_M);
            let own_wanted = wanted.fast_min(splat(onset));
            self.own.evaluate(
                state,
                &active.own,
                own_wanted,
                wrenches,
                &mut sum,
                &mut distance,
            );
            excess = excess.fast_min(distance - required.fast_min(splat(self.self_margin_m)));
        }
        if let (Some(target), Some(active), true) = (&self.target, &active.target, included.target)
        {
            let ramp = self.target_ramp(goal);
            let shift = splat(Self::TARGET_SHIFT_M);
            let wanted = (ramp.wanted(fraction) + shift).fast_max(splat(LEAST_ACTIVATION_M));
            let mut distance = far;
            target.evaluate(state, active, wanted, wrenches, &mut sum, &mut distance);
            excess = excess.fast_min(distance - shift - ramp.required(fraction));
        }
        if horizontal_max(sum) > 0.0 {
            let weight = splat(weight);
            *value += sum * weight;
            for (force, moment) in wrenches.force.iter_mut().zip(&mut wrenches.moment) {
                *force = scale(force, weight);
                *moment = scale(moment, weight);
            }
        }
        horizontal_min(excess)
    }

    /// Bit mask of the lanes that come nearer than `scene_margin` to the scene (at most the self margin of it to the robot itself) or
    /// than `target_margin` to the object to be grasped [m].
    pub fn blocked(
        &self,
        state: &KinematicState,
        scene_margin: Lanes,
        target_margin: Lanes,
    ) -> u32 {
        let mut mask = self.scene.in_collision(state, scene_margin);
        if let Some(target) = &self.target {
            mask |= target.in_collision(state, target_margin + splat(Self::TARGET_SHIFT_M));
        }
        mask | self
            .own
            .in_collision(state, scene_margin.fast_min(splat(self.self_margin_m)))
    }

    /// Whether [`Self::blocked`] would have any bit; stops at the first collision.
    pub fn any_blocked(
        &self,
        state: &KinematicState,
        scene_margin: Lanes,
        target_margin: Lanes,
    ) -> bool {
        let shift = splat(Self::TARGET_SHIFT_M);
        self.scene.any_in_collision(state, scene_margin)
            || self
                .target
                .as_ref()
                .is_some_and(|t| t.any_in_collision(state, target_margin + shift))
            || self
                .own
                .any_in_collision(state, scene_margin.fast_min(splat(self.self_margin_m)))
    }

    /// The nearest link and object of the scene, in the first lane.
    pub fn nearest_in_scene(&self, state: &KinematicState) -> Option<Nearest> {
        self.scene.clearance(state, 0).map(|c| Nearest {
            distance_m: c.distance_m,
            link: c.link,
            other: c.object,
        })
    }

    /// The nearest pair of links, in the first lane.
    pub fn nearest_links(&self, state: &KinematicState) -> Option<Nearest> {
        self.own.clearance(state, 0).map(|c| Nearest {
            distance_m: c.distance_m,
            link: c.links.0,
            other: c.links.1,
        })
    }

    /// The nearest link of the first lane to the object to be grasped.
    pub fn nearest_to_target(&self, state: &KinematicState) -> Option<Nearest> {
        self.target.as_ref()?.clearance(state, 0).map(|c| Nearest {
            distance_m: c.distance_m - f64::from(Self::TARGET_SHIFT_M),
            link: c.link,
            other: c.object,
        })
    }
}

/// Activation distances are kept above this [m].
const LEAST_ACTIVATION_M: f32 = 0.005;
const LEAST_SELF_ONSET_M: f32 = 0.001;
