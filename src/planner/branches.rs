//! Collision-free joint configurations that reach a tool pose.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::checker::{Clearance, FAR_M};
use super::world::{joint_values, World};
use crate::geometry::Pose;
use crate::lanes::{splat, Lanes, LANES};
use crate::robot::{IkSettings, InverseKinematics, LaneFrame, RobotModel};
use crate::trajectory::{rows_from_lanes, JointRow};

/// One configuration that reaches the pose.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub q: JointRow,
    /// Lower bound of the motion's duration from the start [s].
    pub time_s: f32,
    /// Orders the branches, the least first.
    pub rank: f32,
}

/// The same with its room, which takes longer to measure than to find that there is some.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    pub q: JointRow,
    pub time_s: f32,
    pub clearance_m: f32,
    pub target_clearance_m: f32,
}

impl Branch {
    /// A configuration as it stands in the world.
    pub fn at(world: &mut World, Reached { q, time_s, .. }: Reached) -> Self {
        let clearance = world.checker.obstacle_clearance(q);
        Self {
            q,
            time_s,
            clearance_m: clearance.scene_m.max(0.0),
            target_clearance_m: clearance.target_m,
        }
    }

    /// The same where the time that it takes from the start is not known yet.
    pub fn of(world: &mut World, q: JointRow) -> Self {
        let time_s = world.least_duration_s(q);
        let reached = Reached {
            q,
            time_s,
            rank: time_s,
        };
        Self::at(world, reached)
    }

    pub fn clearance(&self) -> Clearance {
        Clearance {
            scene_m: self.clearance_m,
            own_m: FAR_M,
            target_m: self.target_clearance_m,
        }
    }
}

/// Iterations of a batch; after many batches without success each gets more.
const ITERATIONS: usize = 40;
const EXTRA_ITERATIONS: usize = 20;
const PATIENT_BATCHES: usize = 32;
/// A lane has converged within these tolerances.
const POSITION_TOLERANCE_M: f32 = 1e-5;
const ANGLE_TOLERANCE_RAD: f32 = 2e-5;
/// Spread of the seeds around a known configuration [rad or m].
const START_SPREAD: f32 = 0.4;
const NEAR_SPREAD: f32 = 0.05;
/// Clearance that configurations must have, at first and when they are hard to find [m].
const MARGIN_M: f32 = 0.003;
const LEAST_MARGIN_M: f32 = 0.0003;
/// What a radian of the straight way from the start adds to a branch's rank [s/rad]. By time alone, ways are longer by a fiftieth
/// and motions shorter by a hundredth: many branches take as long, since the slowest joint decides, and move the others for nothing.
const RANK_BY_WAY: f32 = 1.0;
/// Configurations closer than this are one branch [rad or m, 2-norm].
const DISTINCT: f32 = 0.5;

/// A running search for one pose.
pub struct BranchSearch {
    target: Option<LaneFrame>,
    center: JointRow,
    spread: f32,
    always_near: bool,
    /// The object to be grasped does not count as an obstacle at the pose.
    pub target_may_touch: bool,
    pub batches: usize,
    /// Solutions found, whether they collide or not.
    pub converged: usize,
    /// A solution that collides, for messages.
    pub colliding: Option<JointRow>,
    /// A solution that breaks a path constraint.
    pub breaking: Option<JointRow>,
    /// Smallest position and rotation error of all that did not converge.
    pub nearest_m: f64,
    pub nearest_rad: f64,
    pub branches: Vec<Reached>,
}

impl BranchSearch {
    /// Seeds around the start, then all over the joint limits.
    pub fn new(world: &World, world_from_tool: Pose) -> Self {
        Self {
            target: LaneFrame::from_poses(&[world_from_tool]),
            center: world.start,
            spread: START_SPREAD,
            always_near: false,
            target_may_touch: false,
            batches: 0,
            converged: 0,
            colliding: None,
            breaking: None,
            nearest_m: f64::INFINITY,
            nearest_rad: f64::INFINITY,
            branches: Vec::new(),
        }
    }

    /// Seeds around one configuration only; results are ordered by their distance from it.
    pub fn near(world: &World, world_from_tool: Pose, center: JointRow) -> Self {
        Self {
            center,
            spread: NEAR_SPREAD,
            always_near: true,
            ..Self::new(world, world_from_tool)
        }
    }

    /// Solves from sixteen more seeds and keeps what is free of collision.
    pub fn batch(&mut self, world: &mut World, rng: &mut impl Rng) {
        let robot = world.robot.clone();
        let Some(target) = &self.target else { return };
        let reference = joint_values(self.center, robot.kinematics.dof());
        let mut q = self.seeds(&robot, rng);
        let patient = self.batches >= PATIENT_BATCHES;
        let settings = IkSettings {
            iterations: if patient {
                ITERATIONS + EXTRA_ITERATIONS
            } else {
                ITERATIONS
            },
            ..IkSettings::default()
        };
        // Every second batch is pulled towards the start in the null space: short motions, and few branches missed.
        let rest = self
            .batches
            .is_multiple_of(2)
            .then_some(reference.as_slice());
        let residual = InverseKinematics::new(&robot, settings).solve(target, rest, &mut q);
        self.batches += 1;
        let reached = residual.converged(POSITION_TOLERANCE_M, ANGLE_TOLERANCE_RAD);
        self.converged += reached.count_ones() as usize;
        if reached == 0 {
            let (position, angle) = (
                residual.position_m.to_array(),
                residual.angle_rad.to_array(),
            );
            for (m, rad) in position.into_iter().zip(angle) {
                if f64::from(m + rad) < self.nearest_m + self.nearest_rad {
                    (self.nearest_m, self.nearest_rad) = (f64::from(m), f64::from(rad));
                }
            }
            return;
        }
        let rows = rows_from_lanes(&q);
        let margin = splat(if patient { LEAST_MARGIN_M } else { MARGIN_M });
        let target_margin = if self.target_may_touch {
            splat(f32::NEG_INFINITY)
        } else {
            margin
        };
        let blocked = world.checker.blocked_rows(&rows, margin, target_margin);
        for lane in (0..LANES).filter(|lane| reached >> lane & 1 == 1) {
            if blocked >> lane & 1 == 1 {
                let slack_m = world.checker.slack_m(&world.objective.rules, rows[lane]);
                let found = if slack_m < 0.0 {
                    &mut self.breaking
                } else {
                    &mut self.colliding
                };
                *found = Some(rows[lane]);
                continue;
            }
            self.keep(world, rows[lane]);
        }
    }

    fn seeds(&self, robot: &RobotModel, rng: &mut impl Rng) -> Vec<Lanes> {
        let around = self.always_near || self.batches == 0;
        let center = self.center.to_array();
        (0..robot.kinematics.dof())
            .map(|j| {
                let (lower, upper) = (robot.limits.lower[j] as f32, robot.limits.upper[j] as f32);
                Lanes::new(std::array::from_fn(|lane| {
                    if around {
                        let normal: f32 = StandardNormal.sample(rng);
                        let spread = if lane == 0 { 0.0 } else { self.spread };
                        (center[j] + spread * normal).clamp(lower, upper)
                    } else {
                        lower + (upper - lower) * rng.random::<f32>()
                    }
                }))
            })
            .collect()
    }

    /// A configuration that is known to reach the pose, kept if it is free.
    pub fn offer(&mut self, world: &mut World, q: JointRow) {
        let margin = splat(MARGIN_M);
        if world.checker.blocked_rows(&[q; LANES], margin, margin) == 0 {
            self.keep(world, q);
        }
    }

    /// Keeps one configuration of each branch, the nearest.
    fn keep(&mut self, world: &World, q: JointRow) {
        let time_s = world.least_duration_s(q);
        let way = q - self.center;
        let way = (way * way).reduce_add().sqrt();
        let rank = match self.always_near {
            true => way,
            false => time_s + RANK_BY_WAY * way,
        };
        let close = self.branches.iter().position(|b| {
            let d = b.q - q;
            (d * d).reduce_add() < DISTINCT * DISTINCT
        });
        if close.is_some_and(|i| self.branches[i].rank <= rank) {
            return;
        }
        let reached = Reached { q, time_s, rank };
        match close {
            Some(i) => self.branches[i] = reached,
            None => self.branches.push(reached),
        }
    }

    /// Number of branches found.
    pub fn distinct(&self) -> usize {
        self.branches.len()
    }

    /// The `count` branches that are nearest, the best first.
    pub fn best(&self, count: usize) -> Vec<Reached> {
        let mut order = self.branches.clone();
        order.sort_by(|a, b| a.rank.total_cmp(&b.rank));
        order.truncate(count);
        order
    }
}
