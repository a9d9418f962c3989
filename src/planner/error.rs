//! Why there is no plan. Each variant names the thing, the value and the limit, and maps to one result code.

use std::fmt;

use super::constraints::Breach;
use super::verify::Violation;
use crate::robot::RobotError;
use crate::scene::SceneError;
use crate::trajectory::TimedTrajectory;

/// What became of the grasps that were tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GraspCounts {
    /// Grasps that the field or the request offered.
    pub offered: usize,
    /// Dropped because the open hand touches the object there.
    pub hand_touches_object: usize,
    /// Dropped because no joint configuration reaches them.
    pub unreachable: usize,
    /// Reached, but only with the robot in collision.
    pub in_collision: usize,
    /// Reached, but against a path constraint.
    pub against_constraint: usize,
    /// Reached, but the object cannot be lifted from there.
    pub lift_blocked: usize,
    /// Reached, but no joint configuration puts the object down with that grasp.
    pub place_unreachable: usize,
    /// Reached, but the arm or the object collides at the place, on the way down to it or back out.
    pub place_blocked: usize,
}

impl fmt::Display for GraspCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of {} grasps: {} touch the object with the open hand, {} out of reach, {} only in collision, {} cannot be lifted",
            self.offered, self.hand_touches_object, self.unreachable, self.in_collision, self.lift_blocked
        )?;
        if self.place_unreachable + self.place_blocked > 0 {
            write!(
                f,
                "; at the place {} out of reach, {} only in collision",
                self.place_unreachable, self.place_blocked
            )?;
        }
        match self.against_constraint {
            0 => Ok(()),
            n => write!(f, ", {n} only against a path constraint"),
        }
    }
}

/// The nearest pair at a configuration that collides.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    pub link: String,
    /// An object of the scene, or another link of the robot.
    pub other: String,
    /// Signed distance [m], negative: penetration.
    pub distance_m: f64,
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} against {} at {:.1} mm",
            self.link,
            self.other,
            1e3 * self.distance_m
        )
    }
}

/// Why planning failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    #[error("invalid request: {what} is {value}; {allowed}")]
    InvalidRequest {
        what: String,
        value: String,
        allowed: String,
    },
    #[error("invalid scene: {0}")]
    InvalidScene(#[from] SceneError),
    #[error("planning was cancelled")]
    Cancelled,
    #[error("robot model: {0}")]
    RobotModel(#[from] RobotError),
    #[error("start state: joint '{joint}' is {value:.4}, its limits are [{lower:.4}, {upper:.4}]")]
    StartOutsideLimits {
        joint: String,
        value: f64,
        lower: f64,
        upper: f64,
    },
    #[error("start state in collision: {0}")]
    StartInCollision(Contact),
    #[error("start state breaks a path constraint: {0}")]
    StartBreaksConstraint(Breach),
    #[error("goal breaks a path constraint: {0}")]
    GoalBreaksConstraint(Breach),
    #[error("no grasp for object '{object}': {counts}")]
    NoGrasp { object: String, counts: GraspCounts },
    #[error("goal out of reach: {reason}")]
    NoIkSolution { reason: String },
    #[error("goal in collision: {reason}")]
    GoalInCollision { reason: String },
    #[error("no collision-free path found: {reason}")]
    NoPath { reason: String },
    /// The best candidate comes along for inspection only: it breaks a constraint and must not be executed.
    #[error("no candidate passed verification ({tried} tried); the best fails with: {violation}")]
    NotConverged {
        tried: usize,
        violation: Violation,
        best: Option<Box<TimedTrajectory>>,
    },
    #[error("no verified plan within {limit_s:.3} s; reached: {reached}")]
    Timeout { limit_s: f64, reached: String },
    #[error("internal error: {reason}")]
    Internal { reason: String },
}

impl PlanError {
    /// Code of the action's result.
    pub fn code(&self) -> u16 {
        match self {
            Self::InvalidRequest { .. } | Self::InvalidScene(_) | Self::GoalBreaksConstraint(_) => {
                901
            }
            Self::Cancelled => 903,
            Self::RobotModel(_) => 910,
            Self::StartOutsideLimits { .. } | Self::StartBreaksConstraint(_) => 912,
            Self::StartInCollision(_) => 914,
            Self::NoGrasp { .. } => 930,
            Self::NoIkSolution { .. } => 931,
            Self::GoalInCollision { .. } => 932,
            Self::NoPath { .. } => 933,
            Self::NotConverged { .. } => 934,
            Self::Timeout { .. } => 935,
            Self::Internal { .. } => 999,
        }
    }

    /// The nearest `moveit_msgs/MoveItErrorCodes` value.
    pub fn moveit_code(&self) -> i32 {
        match self {
            Self::InvalidRequest { .. } | Self::InvalidScene(_) | Self::GoalBreaksConstraint(_) => {
                -13
            }
            Self::Cancelled => -7,
            Self::RobotModel(_) => -17,
            Self::StartOutsideLimits { .. } => -26,
            Self::StartInCollision(_) => -10,
            Self::StartBreaksConstraint(_) => -11,
            Self::NoGrasp { .. } | Self::NoPath { .. } => -1,
            Self::NoIkSolution { .. } => -31,
            Self::GoalInCollision { .. } => -12,
            Self::NotConverged { .. } => -2,
            Self::Timeout { .. } => -6,
            Self::Internal { .. } => -29,
        }
    }
}
