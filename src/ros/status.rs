//! What the node is doing, as `~/status` tells it.

use super::convert;
use super::goal_registry::GoalId;
use super::lifecycle::State as LifecycleState;
use super::lock;
use super::shared::{RobotStatus, Shared};
use r2r::diffusion_field_planner::action::PlanGraspMotion;
use r2r::diffusion_field_planner::msg::PlannerStatus;
use r2r::unique_identifier_msgs::msg::UUID;
use std::sync::Mutex;

/// `PlannerStatus.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// No robot model yet.
    Unconfigured = 0,
    /// Takes no goal.
    Inactive = 1,
    Idle = 2,
    Planning = 3,
    Executing = 4,
    ShuttingDown = 5,
}

#[derive(Clone, Debug)]
struct State {
    activity: Activity,
    active_goal: Option<GoalId>,
    last_error_code: u16,
    last_error_msg: String,
    last_planning_time_s: f64,
    last_rejection: String,
}

/// The present state; every change is published.
pub struct StatusBoard(Mutex<State>);

impl Default for StatusBoard {
    fn default() -> Self {
        Self(Mutex::new(State {
            activity: Activity::Unconfigured,
            active_goal: None,
            last_error_code: 0,
            last_error_msg: String::new(),
            last_planning_time_s: 0.0,
            last_rejection: String::new(),
        }))
    }
}

impl StatusBoard {
    pub fn activity(&self) -> Activity {
        lock(&self.0).activity
    }

    pub fn set_activity(&self, shared: &Shared, activity: Activity, goal: Option<GoalId>) {
        self.change(shared, |state| {
            state.activity = activity;
            state.active_goal = goal;
        });
    }

    /// What the node does while it has no goal; `enabled` as the service ~/set_enabled left it.
    pub fn refresh(&self, shared: &Shared, enabled: bool) {
        // Read under the board's lock: of two threads that refresh, the later one must have seen the newer state.
        self.change(shared, |state| {
            state.active_goal = None;
            state.activity = match (shared.lifecycle.state(), shared.robot()) {
                (LifecycleState::Active, RobotStatus::Ready(_)) if enabled => Activity::Idle,
                (LifecycleState::Active, _) if enabled => Activity::Unconfigured,
                (LifecycleState::Unconfigured, _) => Activity::Unconfigured,
                (LifecycleState::Finalized, _) => Activity::ShuttingDown,
                _ => Activity::Inactive,
            };
        });
    }

    /// A goal has ended; the node is idle if it was the active one.
    pub fn set_outcome(&self, shared: &Shared, id: GoalId, result: &PlanGraspMotion::Result) {
        self.change(shared, |state| {
            state.last_error_code = result.error_code;
            state.last_error_msg.clone_from(&result.error_msg);
            state.last_planning_time_s = result.planning_time;
            if state.active_goal == Some(id) {
                state.active_goal = None;
                state.activity = Activity::Idle;
            }
        });
    }

    pub fn set_rejection(&self, shared: &Shared, reason: &str) {
        self.change(shared, |state| state.last_rejection = reason.to_owned());
    }

    /// Code, message and planning time of the goal that ended last.
    pub fn last_outcome(&self) -> (u16, String, f64) {
        let state = lock(&self.0);
        (
            state.last_error_code,
            state.last_error_msg.clone(),
            state.last_planning_time_s,
        )
    }

    fn change(&self, shared: &Shared, change: impl FnOnce(&mut State)) {
        let stamp = convert::time_to_message(shared.now());
        let mut state = lock(&self.0);
        change(&mut state);
        // Published under the lock, so that messages leave in the order of the changes.
        shared.outputs.status.publish(&PlannerStatus {
            stamp,
            state: state.activity as u8,
            active_goal: UUID {
                uuid: state.active_goal.unwrap_or_default().to_vec(),
            },
            last_error_code: state.last_error_code,
            last_error_msg: state.last_error_msg.clone(),
            last_planning_time: state.last_planning_time_s,
            last_rejection: state.last_rejection.clone(),
        });
    }
}
