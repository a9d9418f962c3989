//! Boolean collision checks of configurations, edges and whole splines on the robot's conservative spheres.

use std::sync::Arc;

use rand::{Rng, RngExt};

use super::error::Contact;
use crate::cost::SceneCollision;
use crate::lanes::{splat, Lanes, LANES};
use crate::optimizer::{
    CandidateCheck, ClearanceRamp, CollisionTerms, GoalPoint, Nearest, PathRules,
};
use crate::robot::{BodyWrenches, KinematicState, RobotModel};
use crate::trajectory::{basis, rows_from_lanes, rows_to_lanes, JointRow, Spline};

/// Largest joint distance of two neighbouring checks on an edge [rad or m, 2-norm].
const EDGE_STEP: f32 = 1.0 / 32.0;
/// Joint limits may be missed by rounding only.
const LIMIT_TOLERANCE: f32 = 1e-4;

/// Clearance where there is nothing to be clear of [m].
pub const FAR_M: f32 = 1.0;

/// Checks with their scratch; one a thread.
#[derive(Clone)]
pub struct Checker {
    pub robot: Arc<RobotModel>,
    pub collision: CollisionTerms,
    /// Kept to by edges and whole motions, with their margin.
    pub rules: PathRules,
    lower: JointRow,
    upper: JointRow,
    state: KinematicState,
    q: Vec<Lanes>,
    wrenches: BodyWrenches,
    gradient: Vec<Lanes>,
    parameters: Vec<f32>,
}

/// Clearances of one configuration [m].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clearance {
    /// To the scene.
    pub scene_m: f32,
    /// Of the robot to itself.
    pub own_m: f32,
    /// To the object to be grasped.
    pub target_m: f32,
}

impl Checker {
    pub fn new(
        robot: Arc<RobotModel>,
        collision: CollisionTerms,
        rules: PathRules,
        lower: JointRow,
        upper: JointRow,
    ) -> Self {
        let state = robot.kinematics.new_state();
        let q = vec![Lanes::ZERO; robot.kinematics.dof()];
        let wrenches = BodyWrenches::new(robot.kinematics.body_count());
        Self {
            robot,
            collision,
            rules,
            lower,
            upper,
            state,
            gradient: q.clone(),
            q,
            wrenches,
            parameters: Vec::new(),
        }
    }

    /// Uniform within the joint limits.
    pub fn random_configuration(&self, rng: &mut impl Rng) -> JointRow {
        let mut unit = [0.0f32; LANES];
        for u in &mut unit[..self.robot.kinematics.dof()] {
            *u = rng.random();
        }
        let lower = self.zero_beyond_dof(self.lower);
        (self.zero_beyond_dof(self.upper) - lower).mul_add(JointRow::new(unit), lower)
    }

    fn zero_beyond_dof(&self, row: JointRow) -> JointRow {
        let mut values = row.to_array();
        values[self.robot.kinematics.dof()..].fill(0.0);
        JointRow::new(values)
    }

    /// Whether all configurations keep the margins [m].
    pub fn rows_keep(
        &mut self,
        rows: &[JointRow],
        scene_margin: Lanes,
        target_margin: Lanes,
    ) -> bool {
        rows.chunks(LANES)
            .all(|chunk| self.rows_are_free(&sixteen(chunk), scene_margin, target_margin))
    }

    /// Bit mask of the rows that come nearer than their margins [m], or break a path rule (whose margin does not count: goals
    /// may lie at the limit).
    pub fn blocked_rows(
        &mut self,
        rows: &[JointRow; LANES],
        scene_margin: Lanes,
        target_margin: Lanes,
    ) -> u32 {
        rows_to_lanes(rows, &mut self.q);
        self.robot.kinematics.forward(&self.q, &mut self.state);
        self.rules.broken(&self.state)
            | self
                .collision
                .blocked(&self.state, scene_margin, target_margin)
    }

    fn rows_are_free(
        &mut self,
        rows: &[JointRow; LANES],
        scene_margin: Lanes,
        target_margin: Lanes,
    ) -> bool {
        rows_to_lanes(rows, &mut self.q);
        self.robot.kinematics.forward(&self.q, &mut self.state);
        self.keeps(scene_margin, target_margin)
    }

    /// Whether the configurations of the state keep the margins and the path rules.
    fn keeps(&self, scene_margin: Lanes, target_margin: Lanes) -> bool {
        self.rules.least_excess_m(&self.state) >= 0.0
            && !self
                .collision
                .any_blocked(&self.state, scene_margin, target_margin)
    }

    /// The configuration itself if it keeps the path rules with their margin, else one nearby that does, by Gauss-Newton steps
    /// on their terms (`None` if those lead nowhere).
    pub fn inside_rules(&mut self, mut q: JointRow) -> Option<JointRow> {
        const STEPS: usize = 12;
        const FLAT: f32 = 1e-12;
        if self.rules.is_empty() {
            return Some(q);
        }
        let kinematics = &self.robot.kinematics;
        for _ in 0..STEPS {
            rows_to_lanes(&[q; LANES], &mut self.q);
            kinematics.forward(&self.q, &mut self.state);
            if self.rules.least_excess_m(&self.state) >= 0.0 {
                return Some(q);
            }
            self.wrenches.reset();
            let value = self
                .rules
                .add_up(&self.q, &self.state, &mut self.wrenches)
                .as_array()[0];
            self.gradient.fill(Lanes::ZERO);
            kinematics.pull_back(&self.state, &mut self.wrenches, &mut self.gradient);
            let gradient = rows_from_lanes(&self.gradient)[0];
            let squared = (gradient * gradient).reduce_add();
            if squared < FLAT {
                return None;
            }
            // For c = r^2 / 2 this step makes r zero to first order.
            let step = JointRow::splat(2.0 * value / squared);
            q = gradient
                .mul_neg_add(step, q)
                .fast_max(self.lower)
                .fast_min(self.upper);
        }
        None
    }

    /// How far one configuration is inside `rules` [m], negative where it breaks one.
    pub fn slack_m(&mut self, rules: &PathRules, q: JointRow) -> f32 {
        if rules.is_empty() {
            return FAR_M;
        }
        rows_to_lanes(&[q; LANES], &mut self.q);
        self.robot.kinematics.forward(&self.q, &mut self.state);
        rules.slack_m(&self.state).as_array()[0]
    }

    /// Whether a further body, fixed to one of the robot's, touches nothing at any of the rows.
    pub fn body_is_free(&mut self, body: &SceneCollision, rows: &[JointRow]) -> bool {
        rows.chunks(LANES).all(|chunk| {
            rows_to_lanes(&sixteen(chunk), &mut self.q);
            self.robot.kinematics.forward(&self.q, &mut self.state);
            !body.any_in_collision(&self.state, Lanes::ZERO)
        })
    }

    /// Whether the straight edge keeps a margin [m]; `from` itself is not checked again. Sixteen places spread over the
    /// whole edge are tested at a time, so that a blocked edge is found early.
    pub fn edge_is_free(&mut self, from: JointRow, to: JointRow, margin_m: f32) -> bool {
        let way = to - from;
        let length = (way * way).reduce_add().sqrt();
        let rounds = ((length / (EDGE_STEP * LANES as f32)).ceil() as usize).max(1);
        let step = 1.0 / (LANES * rounds) as f32;
        let margin = splat(margin_m);
        (0..rounds).all(|round| {
            let share = Lanes::new(std::array::from_fn(|lane| {
                (lane + 1) as f32 / LANES as f32 - step * round as f32
            }));
            for j in 0..self.q.len() {
                self.q[j] = share.mul_add(splat(way.as_array()[j]), splat(from.as_array()[j]));
            }
            self.robot.kinematics.forward(&self.q, &mut self.state);
            self.keeps(margin, margin)
        })
    }

    /// Clearances of one configuration; [`FAR_M`] where nothing is tested.
    pub fn clearance(&mut self, q: JointRow) -> Clearance {
        let to_obstacles = self.obstacle_clearance(q);
        Clearance {
            own_m: distance_m(self.collision.nearest_links(&self.state)),
            ..to_obstacles
        }
    }

    /// The same without the robot's distance to itself, which takes longest.
    pub fn obstacle_clearance(&mut self, q: JointRow) -> Clearance {
        rows_to_lanes(&[q; LANES], &mut self.q);
        self.robot.kinematics.forward(&self.q, &mut self.state);
        Clearance {
            scene_m: distance_m(self.collision.nearest_in_scene(&self.state)),
            own_m: FAR_M,
            target_m: distance_m(self.collision.nearest_to_target(&self.state)),
        }
    }

    /// Whether a whole spline keeps the clearances of its ramps and the joint limits, at joint steps of at most `step`
    /// [rad or m, 2-norm bound from the control polygon].
    pub fn spline_is_free(
        &mut self,
        spline: &Spline,
        step: f32,
        scene_ramp: &ClearanceRamp,
        target_ramp: &ClearanceRamp,
    ) -> bool {
        let spans = spline.spans();
        let mut parameters = std::mem::take(&mut self.parameters);
        parameters.clear();
        for span in 0..spans {
            let longest = (0..3).fold(0.0f32, |m, k| {
                let d = spline.points[span + k + 1] - spline.points[span + k];
                m.max((d * d).reduce_add())
            });
            let pieces = ((longest.sqrt() / step).ceil() as usize).max(1);
            parameters.extend((0..pieces).map(|p| span as f32 + p as f32 / pieces as f32));
        }
        parameters.resize((parameters.len() + 1).next_multiple_of(LANES), spans as f32);
        let blocks = parameters.len() / LANES;
        let free = (0..blocks).all(|block| {
            // Spread over the whole motion, so that a collision is met early.
            let at: [f32; LANES] = std::array::from_fn(|lane| parameters[block + blocks * lane]);
            let rows = at.map(|parameter| {
                let (span, u) = spline.locate(parameter);
                spline.weighted(span, basis(u))
            });
            let fraction = Lanes::new(at) * splat(1.0 / spans as f32);
            self.inside_limits(&rows)
                && self.rows_are_free(
                    &rows,
                    scene_ramp.required(fraction),
                    target_ramp.required(fraction),
                )
        });
        self.parameters = parameters;
        free
    }

    fn inside_limits(&self, rows: &[JointRow; LANES]) -> bool {
        let tolerance = JointRow::splat(LIMIT_TOLERANCE);
        let (lower, upper) = (self.lower - tolerance, self.upper + tolerance);
        rows.iter()
            .all(|&q| !(q.simd_lt(lower) | q.simd_gt(upper)).any())
    }

    /// The nearest link and object (or other link) at a configuration, for messages; `target`: the object to be grasped
    /// counts too.
    pub fn nearest_contact(&mut self, q: JointRow, target: bool) -> Option<Contact> {
        rows_to_lanes(&[q; LANES], &mut self.q);
        self.robot.kinematics.forward(&self.q, &mut self.state);
        let to_target = if target {
            self.collision.nearest_to_target(&self.state)
        } else {
            None
        };
        self.collision
            .nearest_in_scene(&self.state)
            .into_iter()
            .chain(self.collision.nearest_links(&self.state))
            .chain(to_target)
            .min_by(|a, b| a.distance_m.total_cmp(&b.distance_m))
            .map(|n| Contact {
                link: n.link,
                other: n.other,
                distance_m: n.distance_m,
            })
    }
}

fn distance_m(nearest: Option<Nearest>) -> f32 {
    nearest.map_or(FAR_M, |n| n.distance_m as f32)
}

/// At least one row, the last repeated until there are sixteen.
fn sixteen(rows: &[JointRow]) -> [JointRow; LANES] {
    std::array::from_fn(|i| rows[i.min(rows.len() - 1)])
}

/// The fine check of candidates: dense samples with the ramps of their goals, and the goals' own rules.
pub struct DenseCheck<'a> {
    pub checker: &'a mut Checker,
    pub goals: &'a [GoalPoint],
    /// Joint step [rad or m].
    pub step: f32,
    /// Further condition on the final configuration of a goal that the grasp energy moved.
    pub end_holds: &'a mut (dyn FnMut(JointRow) -> bool + Send),
}

impl CandidateCheck for DenseCheck<'_> {
    fn accepts(&mut self, spline: &Spline, goal: usize) -> bool {
        let goal = &self.goals[goal];
        let (scene, target) = (
            self.checker.collision.scene_ramp(goal),
            self.checker.collision.target_ramp(goal),
        );
        self.checker
            .spline_is_free(spline, self.step, &scene, &target)
            && (!goal.movable || (self.end_holds)(spline.end()))
    }
}
