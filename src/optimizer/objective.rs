//! The weighted sum of all terms, evaluated with one forward pass and one pull-back.

use std::sync::Arc;

use nalgebra::Isometry3;

use super::collision::{CollisionTerms, Included};
use super::particle::{GoalPoint, Particle};
use super::path_rules::PathRules;
use super::settings::OptimizerSettings;
use crate::cost::{Cost, EndTerm, Motion, SampleTerms, Samples};
use crate::geometry::Pose;
use crate::lanes::{dot, splat, splat3, sub, Lanes, LANES};
use crate::robot::{BodyWrenches, KinematicState, RobotModel};
use crate::trajectory::{
    basis, rows_from_lanes, rows_to_lanes, BandedSystem, JointRow, MotionLimits, MovingStart, ORDER,
};

/// Sampled configurations in each span.
const SAMPLES_PER_SPAN: usize = 2;
/// Phases of the samples in successive steps: four steps see eight points a span.
const PHASES: [f32; 4] = [0.5, 0.0, 0.75, 0.25];
/// Sample weights are relative to this many samples a motion.
const REFERENCE_SAMPLES: f32 = 32.0;

/// Which set of weights applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Anneal,
    Refine,
}

#[derive(Clone)]
pub(super) struct Term {
    pub cost: Arc<dyn Cost>,
    pub weight: f32,
    refine_factor: f32,
}

/// All terms with their weights, and the robot they act on.
#[derive(Clone)]
pub struct Objective {
    pub robot: Arc<RobotModel>,
    pub limits: MotionLimits,
    /// Where motions begin, if not at rest: their first control points then follow from the spacing.
    pub moving_start: Option<MovingStart>,
    pub lower: JointRow,
    pub upper: JointRow,
    pub collision: CollisionTerms,
    pub collision_weight: f32,
    /// Length of the straight approach [m].
    pub approach_distance_m: f32,
    /// What feasible motions keep to besides their clearances; the terms themselves are added like others.
    pub rules: PathRules,
    pub(super) terms: Vec<Term>,
    /// Body that carries the gripper, and the gripper's frame in it.
    pub(super) gripper: Option<(usize, Pose)>,
    refine_collision: f32,
}

/// Scratch of one thread; made once, used by every step.
pub struct Workspace {
    pub system: BandedSystem,
    pub state: KinematicState,
    pub wrenches: BodyWrenches,
    pub(super) q: Vec<Lanes>,
    pub(super) gradient_q: Vec<Lanes>,
    pub(super) ends: Vec<Isometry3<f32>>,
    pub(super) end_terms: Vec<EndTerm>,
}

impl Workspace {
    pub fn new(robot: &RobotModel) -> Self {
        let dof = robot.kinematics.dof();
        Self {
            system: BandedSystem::default(),
            state: robot.kinematics.new_state(),
            wrenches: BodyWrenches::new(robot.kinematics.body_count()),
            q: vec![Lanes::ZERO; dof],
            gradient_q: vec![Lanes::ZERO; dof],
            ends: Vec::new(),
            end_terms: Vec::new(),
        }
    }
}

impl Objective {
    /// An objective without terms but collision; `limits` are already scaled as the request asks.
    pub fn new(
        robot: Arc<RobotModel>,
        limits: MotionLimits,
        collision: CollisionTerms,
        approach_distance_m: f64,
        settings: &OptimizerSettings,
    ) -> Self {
        let bound = |values: &[f64], beyond: f32| {
            let mut row = [beyond; LANES];
            for (r, &v) in row.iter_mut().zip(values) {
                *r = v as f32;
            }
            JointRow::new(row)
        };
        let (lower, upper) = (
            bound(&robot.limits.lower, -1.0),
            bound(&robot.limits.upper, 1.0),
        );
        let gripper = robot.gripper.as_ref().map(|g| {
            (
                robot.kinematics.tool_body(),
                robot.kinematics.body_from_tool() * g.tool_from_gripper,
            )
        });
        Self {
            robot,
            limits,
            moving_start: None,
            lower,
            upper,
            collision,
            collision_weight: settings.weights.collision,
            approach_distance_m: approach_distance_m as f32,
            rules: PathRules::default(),
            terms: Vec::new(),
            gripper,
            refine_collision: settings.refine_collision,
        }
    }

    /// Adds a term; refinement multiplies its weight by `refine_factor`.
    pub fn add(&mut self, cost: impl Cost + 'static, weight: f32, refine_factor: f32) {
        self.add_shared(Arc::new(cost), weight, refine_factor);
    }

    /// The same for a term that others look at too.
    pub fn add_shared(&mut self, cost: Arc<dyn Cost>, weight: f32, refine_factor: f32) {
        self.terms.push(Term {
            cost,
            weight,
            refine_factor,
        });
    }

    /// Gripper frame of the first lane of a state.
    pub fn world_from_gripper(
        &self,
        state: &KinematicState,
        lane: usize,
    ) -> Option<Isometry3<f32>> {
        self.gripper.as_ref().map(|(body, body_from_gripper)| {
            state.bodies[*body].child(body_from_gripper).pose(lane)
        })
    }

    /// Evaluates all terms at a particle: fills `workspace.system`, and the particle's clearance and duration.
    pub fn evaluate(
        &self,
        particle: &mut Particle,
        goal: &GoalPoint,
        pass: Pass,
        settings: &OptimizerSettings,
        workspace: &mut Workspace,
    ) -> f32 {
        workspace
            .system
            .reset(particle.spline.points.len(), settings.damping);
        particle.duration_s =
            self.limits.spacing(&particle.spline).spacing_s() * particle.spline.spans() as f32;
        let mut value = 0.0;
        let motion = Motion {
            spline: &particle.spline,
            spacing_s: particle.spacing_s,
        };
        for term in &self.terms {
            value +=
                term.cost
                    .on_control_points(&motion, term.weight_in(pass), &mut workspace.system);
        }
        let all = Selection {
            terms: Terms::All,
            collision: Included::ALL,
        };
        value + self.evaluate_samples(particle, goal, pass, settings, workspace, all)
    }

    /// The part of [`Self::evaluate`] that acts on sampled configurations, sixteen at a time.
    pub(super) fn evaluate_samples(
        &self,
        particle: &mut Particle,
        goal: &GoalPoint,
        pass: Pass,
        settings: &OptimizerSettings,
        ws: &mut Workspace,
        selection: Selection,
    ) -> f32 {
        let spans = particle.spline.spans();
        let count = spans * SAMPLES_PER_SPAN;
        let blocks = count.div_ceil(LANES);
        particle
            .active
            .resize_with(blocks, || self.collision.new_active_pairs());
        let phase = PHASES[particle.steps % PHASES.len()];
        let refresh = particle.steps.is_multiple_of(settings.refresh_period);
        let share = REFERENCE_SAMPLES / count as f32;
        let collision_weight = share
            * self.collision_weight
            * if pass == Pass::Refine {
                self.refine_collision
            } else {
                1.0
            };
        let weights: [[f32; ORDER]; SAMPLES_PER_SPAN] =
            std::array::from_fn(|k| basis((k as f32 + phase) / SAMPLES_PER_SPAN as f32));
        let end = particle.world_from_end_gripper.or(goal.world_from_gripper);
        let (mut total, mut excess, mut approach_from) = (0.0, f32::INFINITY, 0.0f32);
        for block in 0..blocks {
            // The last block repeats its last samples where the spans do not fill it.
            let sample = |lane: usize| (block * LANES + lane).min(count - 1);
            let mut rows = [JointRow::ZERO; LANES];
            for (lane, row) in rows.iter_mut().enumerate() {
                let s = sample(lane);
                *row = particle
                    .spline
                    .weighted(s / SAMPLES_PER_SPAN, weights[s % SAMPLES_PER_SPAN]);
            }
            rows_to_lanes(&rows, &mut ws.q);
            let fraction = splat(1.0 / count as f32)
                * Lanes::new(std::array::from_fn(|lane| sample(lane) as f32 + phase));
            self.robot.kinematics.forward(&ws.q, &mut ws.state);
            ws.wrenches.reset();
            let mut value = Lanes::ZERO;
            let block_excess = self.collision.accumulate(
                &ws.state,
                fraction,
                goal,
                &mut particle.active[block],
                refresh,
                selection.collision,
                collision_weight,
                &mut value,
                &mut ws.wrenches,
            );
            excess = excess
                .min(block_excess)
                .min(self.rules.least_excess_m(&ws.state));
            if let (Some(end), Some((body, body_from_gripper))) = (&end, &self.gripper) {
                let origin = ws.state.bodies[*body]
                    .point(body_from_gripper.translation.vector.cast::<f32>().into());
                let offset = sub(&origin, &splat3(end.translation.vector.into()));
                let far = dot(&offset, &offset).simd_gt(splat(self.approach_distance_m.powi(2)));
                approach_from = approach_from.max(crate::lanes::horizontal_max(far & fraction));
            }
            let samples = Samples {
                q: &ws.q,
                state: &ws.state,
                fraction,
                world_from_final_gripper: end.as_ref(),
                approach_fraction: particle.approach_fraction,
            };
            for (index, term) in self.terms.iter().enumerate() {
                if !selection.includes(index) {
                    continue;
                }
                let mut out = SampleTerms {
                    value: &mut value,
                    wrenches: &mut ws.wrenches,
                };
                term.cost
                    .on_samples(&samples, share * term.weight_in(pass), &mut out);
            }
            let sum = value.reduce_add();
            total += sum;
            if sum == 0.0 {
                continue;
            }
            ws.gradient_q.fill(Lanes::ZERO);
            self.robot
                .kinematics
                .pull_back(&ws.state, &mut ws.wrenches, &mut ws.gradient_q);
            scatter(&mut ws.system, &value, &ws.gradient_q, |lane| {
                let s = sample(lane);
                let valid = block * LANES + lane < count;
                valid.then_some((s / SAMPLES_PER_SPAN, weights[s % SAMPLES_PER_SPAN]))
            });
        }
        particle.excess_m = excess;
        particle.approach_fraction = approach_from;
        particle.steps += 1;
        total
    }
}

/// Which terms an evaluation counts: all, or one of `terms` (or none of them) with given collision weights.
#[derive(Clone, Copy)]
pub(super) struct Selection {
    pub terms: Terms,
    pub collision: Included,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Terms {
    All,
    Only(usize),
    CollisionOnly,
}

impl Selection {
    fn includes(&self, index: usize) -> bool {
        self.terms == Terms::All || self.terms == Terms::Only(index)
    }
}

impl Term {
    pub fn weight_in(&self, pass: Pass) -> f32 {
        match pass {
            Pass::Anneal => self.weight,
            Pass::Refine => self.weight * self.refine_factor,
        }
    }
}

/// Adds the samples of one block to the banded system. For c = r^2 / 2 the outer product g g^T / (2c) is the Gauss-Newton
/// matrix; its diagonal, with room for what is dropped beside it, is the curvature used.
fn scatter(
    system: &mut BandedSystem,
    value: &Lanes,
    gradient_q: &[Lanes],
    place: impl Fn(usize) -> Option<(usize, [f32; ORDER])>,
) {
    const OWN: f32 = 1.5;
    const SHARED: f32 = 0.05;
    let values = value.to_array();
    for (lane, gradient) in rows_from_lanes(gradient_q).into_iter().enumerate() {
        if values[lane] <= 0.0 {
            continue;
        }
        let Some((span, weights)) = place(lane) else {
            continue;
        };
        let scale = 0.5 / values[lane];
        let squares = gradient * gradient;
        let shared = JointRow::splat(SHARED * scale * squares.reduce_add());
        system.add_sample(
            span,
            weights,
            gradient,
            squares.mul_add(JointRow::splat(OWN * scale), shared),
        );
    }
}
