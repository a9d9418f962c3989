//! Decides about goals on the node's loop and hands them to the planning thread.

use super::action_server::{ActionHandler, GoalHandle};
use super::active_goal::{ActiveGoal, Interrupt, InterruptFlag};
use super::goal_registry::GoalId;
use super::lifecycle::State;
use super::lock;
use super::pick::{self, Picker};
use super::shared::Shared;
use super::status::StatusBoard;
use futures::channel::oneshot;
use futures::{Future, FutureExt};
use r2r::diffusion_field_planner::action::PlanGraspMotion;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// Goals that may wait with `planning.on_new_goal` = queue.
const LONGEST_QUEUE: usize = 100;

/// The goals between acceptance and end.
pub struct GoalGate {
    enabled: AtomicBool,
    state: Mutex<Pending>,
    arrived: Condvar,
}

#[derive(Default)]
struct Pending {
    waiting: VecDeque<ActiveGoal>,
    /// Of the goal in work.
    working: Option<InterruptFlag>,
    closed: bool,
    /// Dropped when no goal is pending: whoever waits for that holds the other ends.
    until_idle: Vec<oneshot::Sender<()>>,
}

impl Default for GoalGate {
    fn default() -> Self {
        Self {
            enabled: AtomicBool::new(true),
            state: Mutex::default(),
            arrived: Condvar::new(),
        }
    }
}

impl GoalGate {
    /// Whether goals are accepted.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    pub fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Release);
    }

    /// Goals that are accepted and have not ended.
    pub fn pending(&self) -> usize {
        let state = lock(&self.state);
        state.waiting.len() + usize::from(state.working.is_some())
    }

    /// Ends every pending goal for a reason.
    pub fn interrupt_all(&self, reason: Interrupt) {
        let state = lock(&self.state);
        state.working.iter().for_each(|flag| flag.raise(reason));
        state
            .waiting
            .iter()
            .for_each(|goal| goal.interrupt().raise(reason));
    }

    /// Done as soon as no goal is pending.
    pub fn when_idle(&self) -> impl Future<Output = ()> {
        let (sender, idle) = oneshot::channel();
        let mut state = lock(&self.state);
        if !state.waiting.is_empty() || state.working.is_some() {
            state.until_idle.push(sender);
        }
        idle.map(|_| ())
    }

    /// Lets the planning thread end when its goals have.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.arrived.notify_all();
    }

    fn push(&self, goal: ActiveGoal) {
        lock(&self.state).waiting.push_back(goal);
        self.arrived.notify_all();
    }

    /// The next goal, for the planning thread; None when the gate is closed.
    fn next(&self) -> Option<ActiveGoal> {
        let mut state = lock(&self.state);
        state.working = None;
        loop {
            if let Some(goal) = state.waiting.pop_front() {
                state.working = Some(goal.interrupt().clone());
                return Some(goal);
            }
            state.until_idle.clear();
            if state.closed {
                return None;
            }
            let woken = self.arrived.wait(state);
            state = woken.unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Feedback for the goals that wait, and an end for those that need not wait any longer. The node's loop calls
    /// this ten times a second: the planning thread may be busy for as long as a motion takes.
    pub fn sweep(&self, shared: &Shared, status: &StatusBoard) {
        let mut over = Vec::new();
        let mut state = lock(&self.state);
        for _ in 0..state.waiting.len() {
            let Some(goal) = state.waiting.pop_front() else {
                break;
            };
            match goal.check() {
                Ok(()) => {
                    goal.keep_alive();
                    state.waiting.push_back(goal);
                }
                Err(failure) => over.push((goal, failure)),
            }
        }
        drop(state);
        for (goal, failure) in over {
            pick::end(shared, status, goal, Err(failure), pick::empty_result());
        }
    }
}

/// The action's handler.
pub struct PickServer {
    shared: Arc<Shared>,
    status: Arc<StatusBoard>,
    gate: Arc<GoalGate>,
}

impl PickServer {
    /// Starts the planning thread; [`GoalGate::close`] ends it.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn start(
        shared: Arc<Shared>,
        status: Arc<StatusBoard>,
        gate: Arc<GoalGate>,
        mut picker: Picker,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let goals = gate.clone();
        let thread = thread::Builder::new()
            .name("planning".into())
            .spawn(move || {
                while let Some(goal) = goals.next() {
                    picker.run(goal);
                }
            })?;
        let server = Self {
            shared,
            status,
            gate,
        };
        Ok((server, thread))
    }

    /// Why a goal is not accepted now; None if it is.
    fn refusal(&self) -> Option<String> {
        let busy = self.gate.pending();
        let state = self.shared.lifecycle.state();
        if state != State::Active {
            let state = state.label();
            return Some(format!(
                "the node is not active, its lifecycle state is {state}"
            ));
        }
        if !self.gate.is_enabled() {
            return Some("the node is not enabled (service ~/set_enabled)".into());
        }
        match self.shared.parameters().planning_on_new_goal.as_str() {
            "reject" if busy > 0 => {
                Some("another goal is in work (planning.on_new_goal is reject)".into())
            }
            "queue" if busy >= LONGEST_QUEUE => Some(format!("{busy} goals are waiting already")),
            _ => None,
        }
    }
}

impl ActionHandler<PlanGraspMotion::Action> for PickServer {
    fn accepts(&mut self, _id: &GoalId, _goal: &PlanGraspMotion::Goal) -> bool {
        match self.refusal() {
            None => true,
            Some(reason) => {
                r2r::log_warn!("planner", "goal rejected: {reason}");
                self.status.set_rejection(&self.shared, &reason);
                false
            }
        }
    }

    fn start(&mut self, handle: GoalHandle<PlanGraspMotion::Action>) {
        if self.shared.parameters().planning_on_new_goal == "preempt" {
            self.gate.interrupt_all(Interrupt::Preempted);
        }
        let goal = ActiveGoal::new(handle, InterruptFlag::default());
        goal.keep_alive();
        self.gate.push(goal);
    }
}
