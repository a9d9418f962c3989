//! A good grasp as a single configuration of the whole robot, without a motion to it (arXiv 2209.03855, section IV-A).
//!
//! Sixteen configurations at a time descend the sum of the end terms (grasp energy or distance to a given pose) through
//! forward kinematics, collision of all links with the scene and with each other, inside the joint limits. The metric is the
//! dense Gauss-Newton matrix of each configuration; the field's noise falls from coarse to fine, and the steps carry
//! Langevin noise of that metric's covariance, which falls with it.

use std::ops::Range;

use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::normal_equations::NormalEquations;
use crate::cost::{ActiveSet, Cost, EndTerm, Ends, SceneCollision, SelfCollision};
use crate::geometry::Pose;
use crate::lanes::{add, cross, horizontal_max, splat, Lanes, LANES, ZERO};
use crate::robot::{BodyWrenches, KinematicState, RobotModel};
use crate::trajectory::{rows_to_lanes, JointRow};
use nalgebra::Isometry3;

/// How configurations are optimised. Angles in rad, lengths in m.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigurationSettings {
    /// Steps, and the share of them over which the field's noise and the temperature fall.
    pub iterations: usize,
    pub annealed_share: f32,
    /// Langevin temperature at the start; falls to zero with the square of what is left of the annealing.
    pub temperature: f32,
    /// Weights of the end terms and of each of the two collision terms.
    pub end_weight: f32,
    pub collision_weight: f32,
    /// Share of the Gauss-Newton step that is taken, and the largest change of a joint in one step.
    pub step: f32,
    pub step_limit_rad: f32,
    /// Multiple of the identity in the metric.
    pub damping: f32,
    /// Distance from obstacles, and between links, at which the collision terms set in.
    pub onset_m: f32,
    pub self_onset_m: f32,
    /// Random starts for each configuration that is asked for. After `trial_share` of the steps only the cheapest goes on: an arm
    /// that is stuck behind its own limits is told by then.
    pub starts: usize,
    pub trial_share: f32,
}

impl Default for ConfigurationSettings {
    fn default() -> Self {
        Self {
            iterations: 120,
            annealed_share: 0.8,
            temperature: 0.0,
            end_weight: 1.0,
            collision_weight: 20.0,
            step: 0.5,
            step_limit_rad: 0.3,
            damping: 0.1,
            onset_m: 0.006,
            self_onset_m: 0.003,
            starts: 4,
            trial_share: 0.35,
        }
    }
}

/// One optimised configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// `[D]`, rad or m.
    pub q: Vec<f64>,
    /// Weighted cost at the end of the annealing: end terms and collision. Ranks configurations of one problem.
    pub cost: f32,
    /// The end terms alone, without weight.
    pub end_value: f32,
}

/// The robot, what it must not touch, and what its gripper is drawn to.
pub struct ConfigurationProblem<'a> {
    robot: &'a RobotModel,
    scene: SceneCollision,
    own: SelfCollision,
    ends: Vec<Box<dyn Cost>>,
    /// Body that carries the gripper, and the gripper's frame in it.
    body: usize,
    body_from_gripper: Pose,
    /// Height of the finger centre in the gripper frame [m]: the field's noise turns poses about it.
    finger_centre_m: f32,
}

/// Steps between refreshes of the active collision pairs, and how far a sphere may move until then [m].
const REFRESH_PERIOD: usize = 4;
const REFRESH_SLACK_M: f32 = 0.25;
/// Nothing is farther away than this [m].
const FAR_M: f32 = 1.0;

/// Scratch of one block of sixteen.
pub struct ConfigurationWorkspace {
    state: KinematicState,
    wrenches: BodyWrenches,
    q: Vec<Lanes>,
    /// Derivatives by the joints of one term.
    derivative: Vec<Lanes>,
    system: NormalEquations,
    scene_pairs: ActiveSet,
    own_pairs: ActiveSet,
    poses: Vec<Isometry3<f32>>,
    end_terms: Vec<EndTerm>,
}

impl ConfigurationWorkspace {
    /// The sixteen configurations with their costs.
    fn configurations(&self, cost: &ConfigurationCost) -> Vec<Configuration> {
        let (total, ends) = (cost.total.to_array(), cost.ends.to_array());
        (0..LANES)
            .map(|lane| Configuration {
                q: self
                    .q
                    .iter()
                    .map(|q| f64::from(q.as_array()[lane]))
                    .collect(),
                cost: total[lane],
                end_value: ends[lane],
            })
            .collect()
    }
}

/// Costs of sixteen configurations.
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationCost {
    /// Weighted sum.
    pub total: Lanes,
    /// End terms without weight.
    pub ends: Lanes,
}

impl<'a> ConfigurationProblem<'a> {
    /// A problem without end terms; `None` for a robot without a gripper. `scene` says what each link must keep away from.
    pub fn new(robot: &'a RobotModel, scene: SceneCollision) -> Option<Self> {
        let gripper = robot.gripper.as_ref()?;
        Some(Self {
            robot,
            scene,
            own: SelfCollision::new(&robot.collision),
            ends: Vec::new(),
            body: robot.kinematics.tool_body(),
            body_from_gripper: robot.kinematics.body_from_tool() * gripper.tool_from_gripper,
            finger_centre_m: gripper.geometry.finger_centre_m() as f32,
        })
    }

    /// Adds a term of the gripper pose, for example [`crate::cost::GraspEnergy`].
    pub fn draw_to(mut self, term: impl Cost + 'static) -> Self {
        self.ends.push(Box::new(term));
        self
    }

    /// Scratch for this problem.
    pub fn new_workspace(&self) -> ConfigurationWorkspace {
        let kinematics = &self.robot.kinematics;
        ConfigurationWorkspace {
            state: kinematics.new_state(),
            wrenches: BodyWrenches::new(kinematics.body_count()),
            q: vec![ZERO; kinematics.dof()],
            derivative: vec![ZERO; kinematics.dof()],
            system: NormalEquations::new(kinematics.dof()),
            scene_pairs: self.scene.new_active_set(),
            own_pairs: self.own.new_active_set(),
            poses: Vec::with_capacity(LANES),
            end_terms: Vec::with_capacity(LANES),
        }
    }

    /// `count` configurations from random starts, the cheapest first. Equal random numbers give equal results.
    pub fn solve(
        &self,
        settings: &ConfigurationSettings,
        count: usize,
        rng: &mut impl Rng,
    ) -> Vec<Configuration> {
        let mut found = self.solve_blocks(settings, count.div_ceil(LANES), rng);
        found.truncate(count);
        found.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        found
    }

    /// Blocks of sixteen configurations, in the order of their lanes. Blocks, and the random starts of each, are shared out among
    /// the threads of the caller's pool; each has random numbers of its own, so that their number does not matter.
    pub fn solve_blocks(
        &self,
        settings: &ConfigurationSettings,
        blocks: usize,
        rng: &mut impl Rng,
    ) -> Vec<Configuration> {
        let found = own_seeds(blocks, rng).into_par_iter().map(|seed| {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            self.solve_block(settings, &mut rng)
        });
        found.collect::<Vec<_>>().concat()
    }

    fn solve_block(
        &self,
        settings: &ConfigurationSettings,
        rng: &mut impl Rng,
    ) -> Vec<Configuration> {
        let starts = settings.starts.max(1);
        let trial = match starts {
            1 => 0,
            _ => (settings.trial_share * settings.iterations as f32) as usize,
        };
        let tried = own_seeds(starts, rng).into_par_iter().map(|seed| {
            let (mut rng, mut ws) = (Pcg64Mcg::seed_from_u64(seed), self.new_workspace());
            self.robot.limits.draw_lanes(&mut rng, &mut ws.q);
            let cost = self.anneal(settings, 0..trial, &mut rng, &mut ws);
            (cost.total, ws)
        });
        let mut tried = tried.collect::<Vec<_>>().into_iter();
        let Some((mut best, mut ws)) = tried.next() else {
            return Vec::new();
        };
        for (cost, other) in tried {
            let better = cost.simd_lt(best);
            best = best.fast_min(cost);
            for (kept, &new) in ws.q.iter_mut().zip(&other.q) {
                *kept = better.select(new, *kept);
            }
        }
        let cost = self.anneal(settings, trial..settings.iterations, rng, &mut ws);
        ws.configurations(&cost)
    }

    /// Configurations descended from given ones, in their order; shared out as by [`Self::solve_blocks`].
    pub fn descend(
        &self,
        starts: &[JointRow],
        settings: &ConfigurationSettings,
        rng: &mut impl Rng,
    ) -> Vec<Configuration> {
        let blocks = starts.par_chunks(LANES);
        let seeds = own_seeds(blocks.len(), rng);
        let found = blocks.zip(seeds).map(|(block, seed)| {
            let (mut rng, mut ws) = (Pcg64Mcg::seed_from_u64(seed), self.new_workspace());
            let last = block[block.len() - 1];
            let rows = std::array::from_fn(|lane| *block.get(lane).unwrap_or(&last));
            rows_to_lanes(&rows, &mut ws.q);
            let cost = self.anneal(settings, 0..settings.iterations, &mut rng, &mut ws);
            let mut found = ws.configurations(&cost);
            found.truncate(block.len());
            found
        });
        found.collect::<Vec<_>>().concat()
    }

    /// Weighted costs of sixteen configurations at the coarsest noise.
    pub fn coarse_costs(
        &self,
        q: &[Lanes],
        settings: &ConfigurationSettings,
        ws: &mut ConfigurationWorkspace,
    ) -> [f32; LANES] {
        ws.q.copy_from_slice(q);
        self.linearise(settings, 1.0, true, ws).total.to_array()
    }

    /// Some of the steps; the costs after them, at the noise of the next one.
    fn anneal(
        &self,
        settings: &ConfigurationSettings,
        steps: Range<usize>,
        rng: &mut impl Rng,
        ws: &mut ConfigurationWorkspace,
    ) -> ConfigurationCost {
        let left = |iteration: usize| {
            let share = iteration as f32 / settings.iterations.max(1) as f32;
            (1.0 - share / settings.annealed_share.max(1e-6)).max(0.0)
        };
        for iteration in steps.clone() {
            let left = left(iteration);
            let refresh = (iteration - steps.start).is_multiple_of(REFRESH_PERIOD);
            self.linearise(settings, left, refresh, ws);
            self.step(settings, settings.temperature * left * left, rng, ws);
        }
        self.linearise(settings, left(steps.end), true, ws)
    }

    /// Costs at `ws.q`, with gradient and Gauss-Newton matrix in `ws.system`. `annealing`: 1 coarse, 0 fine.
    fn linearise(
        &self,
        settings: &ConfigurationSettings,
        annealing: f32,
        refresh: bool,
        ws: &mut ConfigurationWorkspace,
    ) -> ConfigurationCost {
        self.robot.kinematics.forward(&ws.q, &mut ws.state);
        ws.system.reset(settings.damping);
        let ends = self.add_ends(settings.end_weight, annealing, ws);
        if refresh {
            let reach_m = settings.onset_m + REFRESH_SLACK_M;
            self.scene.refresh(&ws.state, reach_m, &mut ws.scene_pairs);
            let reach_m = settings.self_onset_m + REFRESH_SLACK_M;
            self.own.refresh(&ws.state, reach_m, &mut ws.own_pairs);
        }
        let mut collision = ZERO;
        for of_scene in [true, false] {
            let mut value = ZERO;
            ws.wrenches.reset();
            let (wrenches, value_ref) = (&mut ws.wrenches, &mut value);
            let mut nearest = splat(FAR_M);
            if of_scene {
                let onset = splat(settings.onset_m);
                let pairs = &ws.scene_pairs;
                self.scene
                    .evaluate(&ws.state, pairs, onset, wrenches, value_ref, &mut nearest);
            } else {
                let onset = splat(settings.self_onset_m);
                let pairs = &ws.own_pairs;
                self.own
                    .evaluate(&ws.state, pairs, onset, wrenches, value_ref, &mut nearest);
            }
            if horizontal_max(value) > 0.0 {
                self.pull_back(ws);
                let weight = splat(settings.collision_weight);
                ws.system.add_square(&ws.derivative, value, weight);
                collision += weight * value;
            }
        }
        ConfigurationCost {
            total: collision + ends * splat(settings.end_weight),
            ends,
        }
    }

    /// Adds the terms of the gripper pose; their sum without weight.
    fn add_ends(&self, weight: f32, annealing: f32, ws: &mut ConfigurationWorkspace) -> Lanes {
        let frame = ws.state.bodies[self.body].child(&self.body_from_gripper);
        ws.poses.clear();
        ws.poses.extend((0..LANES).map(|lane| frame.pose(lane)));
        ws.end_terms.clear();
        ws.end_terms.resize(LANES, EndTerm::default());
        let ends = Ends {
            world_from_gripper: &ws.poses,
            annealing,
        };
        for term in &self.ends {
            term.on_ends(&ends, 1.0, &mut ws.end_terms);
        }
        let lanes = |of: fn(&EndTerm, usize) -> f32, k: usize, terms: &[EndTerm]| {
            Lanes::new(std::array::from_fn(|lane| of(&terms[lane], k)))
        };
        let value = lanes(|t, _| t.value, 0, &ws.end_terms);
        let wrench: [Lanes; 6] =
            std::array::from_fn(|k| lanes(|t, k| t.wrench[k], k, &ws.end_terms));
        self.pull_back_at(&frame.origin, &wrench, ws);
        ws.system.add_gradient(&ws.derivative, splat(weight));
        // The field's noise moves and turns poses about the finger centre: there its curvature is diagonal.
        let centre = frame.point([0.0, 0.0, self.finger_centre_m]);
        for k in 0..6 {
            let mut unit = [ZERO; 6];
            unit[k] = Lanes::ONE;
            self.pull_back_at(&centre, &unit, ws);
            let curvature = lanes(|t, k| t.curvature[k], k, &ws.end_terms);
            ws.system
                .add_curvature(&ws.derivative, curvature * splat(weight));
        }
        value
    }

    /// Derivative by the joints of a (force, torque) at a world point of the gripper's body.
    fn pull_back_at(
        &self,
        point: &[Lanes; 3],
        wrench: &[Lanes; 6],
        ws: &mut ConfigurationWorkspace,
    ) {
        let (force, torque) = (
            [wrench[0], wrench[1], wrench[2]],
            [wrench[3], wrench[4], wrench[5]],
        );
        ws.wrenches.reset();
        let moment = add(&cross(point, &force), &torque);
        ws.wrenches.add(self.body, &force, &moment);
        self.pull_back(ws);
    }

    fn pull_back(&self, ws: &mut ConfigurationWorkspace) {
        ws.derivative.fill(ZERO);
        let kinematics = &self.robot.kinematics;
        kinematics.pull_back(&ws.state, &mut ws.wrenches, &mut ws.derivative);
    }

    /// `q <- q - s H^-1 g + sqrt(2 T s) L^-T xi` with `H = L L^T`, inside the joint limits.
    fn step(
        &self,
        settings: &ConfigurationSettings,
        temperature: f32,
        rng: &mut impl Rng,
        ws: &mut ConfigurationWorkspace,
    ) {
        let limits = &self.robot.limits;
        for (j, &q) in ws.q.iter().enumerate() {
            ws.system
                .hold_at_bounds(j, q, limits.lower[j] as f32, limits.upper[j] as f32);
        }
        ws.system.factor();
        ws.system.solve_lower();
        if temperature > 0.0 {
            let amplitude = splat(-(2.0 * temperature / settings.step).sqrt());
            for value in &mut ws.system.gradient {
                let noise = Lanes::new(std::array::from_fn(|_| StandardNormal.sample(rng)));
                *value = noise.mul_add(amplitude, *value);
            }
        }
        ws.system.solve_upper();
        let largest = ws
            .system
            .gradient
            .iter()
            .fold(splat(1e-9), |m, g| m.fast_max(g.abs()));
        let scale = splat(settings.step).fast_min(splat(settings.step_limit_rad) / largest);
        for (j, q) in ws.q.iter_mut().enumerate() {
            let moved = ws.system.gradient[j].mul_neg_add(scale, *q);
            *q = moved
                .fast_max(splat(limits.lower[j] as f32))
                .fast_min(splat(limits.upper[j] as f32));
        }
    }
}

/// One seed for each of so many shares of the work.
fn own_seeds(count: usize, rng: &mut impl Rng) -> Vec<u64> {
    (0..count).map(|_| rng.random()).collect()
}

#[cfg(test)]
#[path = "configuration_tests.rs"]
mod tests;
