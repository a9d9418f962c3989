//! What the planner returns, and what it tells while it works.

use super::verify::Verification;
use crate::geometry::Pose;
use crate::trajectory::TimedTrajectory;

/// A verified plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In the order of execution; each starts where the one before ends.
    pub phases: Vec<Phase>,
    pub grasp: Option<PlannedGrasp>,
    /// Pose of the object's frame after the set-down, if it is placed.
    pub placed_world_from_object: Option<Pose>,
    /// Weighted value of each energy term at the returned motion, by the term's name.
    pub costs: Vec<(String, f64)>,
    /// Of the worst phase.
    pub verification: Verification,
    pub timing: StageTiming,
    /// Steps of all particles together.
    pub iterations: u32,
}

impl Plan {
    /// Time of all phases together [s], without the gripper's.
    pub fn duration_s(&self) -> f64 {
        self.phases.iter().map(|p| p.trajectory.duration_s()).sum()
    }
}

/// A part of the motion between two actions of the gripper.
#[derive(Debug, Clone)]
pub struct Phase {
    pub kind: PhaseKind,
    pub trajectory: TimedTrajectory,
    pub gripper_before: GripperAction,
    pub gripper_after: GripperAction,
}

impl Phase {
    /// A motion during which the gripper stays as it is.
    pub fn new(kind: PhaseKind, trajectory: TimedTrajectory) -> Self {
        Self {
            kind,
            trajectory,
            gripper_before: GripperAction::Keep,
            gripper_after: GripperAction::Keep,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseKind {
    /// From the start to the goal, or to the grasp.
    Reach,
    /// Straight up with the object in the hand.
    Lift,
    /// From above where the object stood to above its place.
    Carry,
    /// Straight down to the place.
    Lower,
    /// Back along the gripper's axis, without the object.
    Retreat,
}

impl PhaseKind {
    pub fn name(self) -> &'static str {
        match self {
            PhaseKind::Reach => "reach",
            PhaseKind::Lift => "lift",
            PhaseKind::Carry => "carry",
            PhaseKind::Lower => "lower",
            PhaseKind::Retreat => "retreat",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GripperAction {
    Keep,
    /// To a distance of the finger pads [m].
    Open {
        width_m: f64,
    },
    /// Around something of about this width [m].
    Close {
        width_m: f64,
    },
}

/// The grasp at the end of the reach.
#[derive(Debug, Clone)]
pub struct PlannedGrasp {
    /// Gripper frame: +z approach, x closing.
    pub object_from_gripper: Pose,
    pub world_from_gripper: Pose,
    /// Of the clean field (t = 0); `None` for grasps given without a field.
    pub energy: Option<f64>,
    /// Distance of the pads when closed on the object, as far as it is known [m].
    pub width_m: Option<f64>,
}

/// Wall time by stage [ms].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageTiming {
    /// Request, scene, start.
    pub prepare_ms: f64,
    /// Grasps, inverse kinematics and their filters.
    pub goals_ms: f64,
    /// Sampling-based seeds.
    pub seed_ms: f64,
    pub anneal_ms: f64,
    pub refine_ms: f64,
    pub verify_ms: f64,
    /// Everything between the lift and the end, where the object is placed; not part of the stages before.
    pub transfer_ms: f64,
    pub total_ms: f64,
}

/// Told about once an iteration; the receiver may stop the planner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    pub stage: Stage,
    pub iteration: u32,
    /// Duration [s] of the best feasible candidate so far; infinite before there is one.
    pub best_cost: f64,
    /// Of the whole request, 0 to 1.
    pub progress: f64,
    pub elapsed_s: f64,
}

/// Stages as the action's feedback numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    Queued = 0,
    WaitState = 1,
    Sample = 2,
    Optimise = 3,
    Refine = 4,
    Retime = 5,
    Execute = 6,
    Gripper = 7,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Queued => "queued",
            Stage::WaitState => "wait_state",
            Stage::Sample => "sample",
            Stage::Optimise => "optimise",
            Stage::Refine => "refine",
            Stage::Retime => "retime",
            Stage::Execute => "execute",
            Stage::Gripper => "gripper",
        }
    }
}
