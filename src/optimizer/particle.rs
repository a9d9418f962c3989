//! One motion while it is optimised.

use nalgebra::Isometry3;
use rand_pcg::Pcg64Mcg;

use super::collision::ActivePairs;
use crate::trajectory::{JointRow, Spline};

/// Where a particle came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A straight line, most with smooth noise.
    Line,
    /// A sampling-based path.
    Tree,
    /// What is left of a motion that is being executed.
    Running,
}

/// One goal of the optimisation.
#[derive(Clone, Debug)]
pub struct GoalPoint {
    pub q: JointRow,
    /// Distance to the scene at the goal [m].
    pub clearance_m: f32,
    /// Distance to the object that is grasped there [m], negative inside the conservative spheres.
    pub target_clearance_m: f32,
    /// Whether the grasp energy may move the goal.
    pub movable: bool,
    /// Gripper pose at the goal, where the approach shall be straight.
    pub world_from_gripper: Option<Isometry3<f32>>,
}

/// A feasible motion, found in passing.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub spline: Spline,
    pub spacing_s: f32,
    /// Index into the goals.
    pub goal: usize,
    pub origin: Origin,
}

impl Candidate {
    pub fn duration_s(&self) -> f32 {
        self.spacing_s * self.spline.spans() as f32
    }
}

/// A motion with its own spacing, and what the last step learnt about it.
#[derive(Clone, Debug)]
pub struct Particle {
    pub spline: Spline,
    pub spacing_s: f32,
    /// The spacing is never shortened below this [s].
    pub spacing_floor_s: f32,
    pub goal: usize,
    pub origin: Origin,
    pub alive: bool,
    pub steps: usize,
    /// The spline before the last step, and whether it was feasible at its samples (and, from a moving start, inside its limits at a
    /// spacing near its own, which it then has).
    pub before: Spline,
    pub feasible: bool,
    /// Where the noise of its steps comes from.
    pub noise: Pcg64Mcg,
    /// Pairs near collision, by block of sixteen samples.
    pub active: Vec<ActivePairs>,
    /// Smallest clearance minus the required one at the last sampled configurations [m].
    pub excess_m: f32,
    /// Duration at the limits of the last evaluated spline [s].
    pub duration_s: f32,
    /// Best spline that was feasible at its samples, and its duration.
    pub best: Spline,
    pub best_duration_s: f32,
    /// Gradient and curvature of the end terms by the final configuration, and that configuration.
    pub end_q: JointRow,
    pub end_gradient: JointRow,
    pub end_curvature: JointRow,
    pub world_from_end_gripper: Option<Isometry3<f32>>,
    /// Place on the path where the straight approach begins.
    pub approach_fraction: f32,
}

impl Particle {
    /// A new particle; `floor_s` is the least duration any motion between its ends can have.
    pub fn new(spline: Spline, spacing_s: f32, floor_s: f32, goal: usize, origin: Origin) -> Self {
        let spans = spline.spans() as f32;
        let floor = floor_s / spans;
        Self {
            best: spline.clone(),
            spline,
            spacing_s: spacing_s.clamp(floor, 2.0 * floor + 0.01),
            // The bound is for trapezoids; a hair below it keeps the limit term in contact.
            spacing_floor_s: 0.97 * floor,
            goal,
            origin,
            alive: true,
            steps: 0,
            before: Spline::default(),
            feasible: false,
            noise: Pcg64Mcg::new(0),
            active: Vec::new(),
            excess_m: f32::NEG_INFINITY,
            duration_s: f32::INFINITY,
            best_duration_s: f32::INFINITY,
            end_q: JointRow::ZERO,
            end_gradient: JointRow::ZERO,
            end_curvature: JointRow::ZERO,
            world_from_end_gripper: None,
            approach_fraction: 1.0,
        }
    }

    /// Rank among particles: duration, made worse by lack of clearance. Smaller is better.
    pub fn rank(&self) -> f32 {
        let spans = self.spline.spans() as f32;
        let reach = (self.spacing_s * spans).max(0.9 * self.duration_s);
        let penalty = if self.excess_m > 0.0 {
            0.0
        } else {
            0.5 - 20.0 * self.excess_m.max(-0.1)
        };
        reach * (1.0 + penalty)
    }
}
