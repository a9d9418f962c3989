//! Why a goal failed: the planner's errors and the node's own, each with its code.

use super::controller_rules::Rejection;
use super::state::StateError;
use super::tf::TransformError;
use crate::planner::PlanError;

/// Every way a goal can fail. `error_msg` of the result is the `Display` text.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    Configuration(String),
    #[error("a newer goal took over")]
    Preempted,
    #[error("cancelled by the client{0}")]
    Canceled(&'static str),
    #[error("stopped by the service ~/stop{0}")]
    Stopped(&'static str),
    #[error("the node is shutting down")]
    ShuttingDown,
    #[error("the node was deactivated")]
    Deactivated,
    #[error("no robot model: {0}")]
    RobotModel(String),
    #[error("{0}")]
    StateStale(#[from] StateError),
    #[error("joint '{joint}' moves with {velocity:.4}, the limit for planning is {limit} (state.stationary_velocity)")]
    StartMoving {
        joint: String,
        velocity: f64,
        limit: f64,
    },
    #[error("{0}")]
    UnknownObject(String),
    #[error(
        "the pose of object '{id}' is {age_s:.3} s old, the limit is {limit_s} s (objects.max_age)"
    )]
    ObjectStale {
        id: String,
        age_s: f64,
        limit_s: f64,
    },
    #[error("{0}")]
    CloudStale(String),
    #[error("{0}")]
    Transform(#[from] TransformError),
    #[error("{0}")]
    InvalidLink(String),
    #[error("{0}")]
    NoGrasp(String),
    #[error("{0}")]
    ControllerUnavailable(String),
    #[error("the controller would reject the trajectory: {0}")]
    ControllerRejects(#[from] Rejection),
    #[error("{0}")]
    ControllerRejected(String),
    #[error("{0}")]
    Execution(String),
    #[error("{0}")]
    SceneChanged(String),
    #[error("{0}")]
    Gripper(String),
    #[error("{0}")]
    GraspEmpty(String),
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// `error_code` of the action's result and the matching `moveit_msgs/MoveItErrorCodes` value.
    pub fn codes(&self) -> (u16, i32) {
        match self {
            Failure::Plan(PlanError::Cancelled) => (903, -7),
            Failure::Plan(error) => (error.code(), error.moveit_code()),
            Failure::InvalidRequest(_) | Failure::Configuration(_) => (901, -13),
            Failure::Preempted => (902, -7),
            Failure::Canceled(_)
            | Failure::Stopped(_)
            | Failure::ShuttingDown
            | Failure::Deactivated => (903, -7),
            Failure::RobotModel(_) => (910, -17),
            Failure::StateStale(_) => (911, -23),
            Failure::StartMoving { .. } => (913, -26),
            Failure::UnknownObject(_) => (920, -19),
            Failure::ObjectStale { .. } | Failure::CloudStale(_) => (921, -24),
            Failure::Transform(_) => (922, -21),
            Failure::InvalidLink(_) => (923, -18),
            Failure::NoGrasp(_) => (930, -1),
            Failure::ControllerUnavailable(_) => (940, -25),
            Failure::ControllerRejects(_) | Failure::ControllerRejected(_) => (941, -4),
            Failure::Execution(_) => (942, -4),
            Failure::SceneChanged(_) => (943, -3),
            Failure::Gripper(_) => (944, -4),
            Failure::GraspEmpty(_) => (945, -4),
            Failure::Internal(_) => (999, -29),
        }
    }
}
