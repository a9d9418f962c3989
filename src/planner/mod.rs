//! From a request to a verified trajectory.
//!
//! [`Planner::plan`] reads like the list of stages: validate, lay out, find goals, seed, anneal, refine, time, verify. A
//! motion that is not verified is never returned.

mod branches;
mod checker;
mod configurations;
mod constraints;
mod error;
mod facade;
mod finish;
mod goals;
mod grasp_goals;
mod grasp_try;
mod grasps;
mod hand;
mod held;
mod joint_ends;
mod place;
mod problem;
mod replan;
mod request;
mod result;
mod sampled_ends;
mod seeds;
mod session;
mod settings;
mod solver;
mod straight;
mod tool_speed;
mod transfer;
#[cfg(test)]
mod transfer_tests;
mod tree;
mod validate;
pub mod verify;
mod warm;
mod world;

pub use configurations::{grasp_configurations, keep_arm_clear};
pub use constraints::{Applies, Breach, ConstraintKind, Guarded, PathConstraint};
pub use error::{Contact, GraspCounts, PlanError};
pub use facade::Planner;
pub use grasps::{keeps as keeps_grasp, prepare as prepare_grasps};
pub use problem::{ObstacleEntry, Problem, ProblemError, ProblemFile};
pub use replan::{Brake, BrakeWay, Replan, Running};
pub use request::{Goal, PlanRequest};
pub use result::{
    GripperAction, Phase, PhaseKind, Plan, PlannedGrasp, Progress, Stage, StageTiming,
};
pub use settings::{GraspEnds, PlannerSettings};
