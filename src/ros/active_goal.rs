//! A goal in work: its feedback, and every reason to stop early.

use super::action_server::GoalHandle;
use super::convert;
use super::failure::Failure;
use super::lock;
use crate::planner::{Progress, Stage};
use r2r::diffusion_field_planner::action::PlanGraspMotion;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Feedback goes out at once when the stage changes, else this often.
const FEEDBACK_PERIOD: Duration = Duration::from_millis(100);
/// How often a waiting goal looks around.
const POLL: Duration = Duration::from_millis(5);

/// Why somebody other than the client ends a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interrupt {
    Preempted = 1,
    Stopped = 2,
    ShuttingDown = 3,
    Deactivated = 4,
}

/// Raised by the node's loop, read by the planning thread. The first reason counts.
#[derive(Clone, Default)]
pub struct InterruptFlag(Arc<AtomicU8>);

impl InterruptFlag {
    pub fn raise(&self, reason: Interrupt) {
        let _ = self
            .0
            .compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    fn get(&self) -> Option<Interrupt> {
        match self.0.load(Ordering::Acquire) {
            1 => Some(Interrupt::Preempted),
            2 => Some(Interrupt::Stopped),
            3 => Some(Interrupt::ShuttingDown),
            4 => Some(Interrupt::Deactivated),
            _ => None,
        }
    }
}

/// An accepted goal on its way through the planning thread.
pub struct ActiveGoal {
    handle: GoalHandle<PlanGraspMotion::Action>,
    interrupt: InterruptFlag,
    accepted: Instant,
    feedback: Mutex<FeedbackState>,
}

struct FeedbackState {
    sent: Option<Instant>,
    progress: Progress,
}

impl ActiveGoal {
    pub fn new(handle: GoalHandle<PlanGraspMotion::Action>, interrupt: InterruptFlag) -> Self {
        Self {
            handle,
            interrupt,
            accepted: Instant::now(),
            feedback: Mutex::new(FeedbackState {
                sent: None,
                progress: Progress {
                    stage: Stage::Queued,
                    iteration: 0,
                    best_cost: f64::INFINITY,
                    progress: 0.0,
                    elapsed_s: 0.0,
                },
            }),
        }
    }

    pub fn interrupt(&self) -> &InterruptFlag {
        &self.interrupt
    }

    pub fn handle(&self) -> &GoalHandle<PlanGraspMotion::Action> {
        &self.handle
    }

    pub fn into_handle(self) -> GoalHandle<PlanGraspMotion::Action> {
        self.handle
    }

    pub fn goal(&self) -> &PlanGraspMotion::Goal {
        self.handle.goal()
    }

    /// Since the goal was accepted.
    pub fn elapsed_s(&self) -> f64 {
        self.accepted.elapsed().as_secs_f64()
    }

    /// # Errors
    /// The failure with which the goal has to end now.
    pub fn check(&self) -> Result<(), Failure> {
        if self.handle.is_canceling() {
            return Err(Failure::Canceled(""));
        }
        match self.interrupt.get() {
            None => Ok(()),
            Some(Interrupt::Preempted) => Err(Failure::Preempted),
            Some(Interrupt::Stopped) => Err(Failure::Stopped("")),
            Some(Interrupt::ShuttingDown) => Err(Failure::ShuttingDown),
            Some(Interrupt::Deactivated) => Err(Failure::Deactivated),
        }
    }

    /// For the planner's loop: whether to go on.
    pub fn observe(&self, progress: &Progress) -> ControlFlow<()> {
        self.report(*progress);
        match self.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Enters a stage that is not the planner's.
    pub fn enter(&self, stage: Stage, progress: f64) {
        let mut known = lock(&self.feedback).progress;
        known.stage = stage;
        known.progress = progress;
        self.report(known);
    }

    /// Repeats the last feedback if the planner has been silent; the node's loop calls this.
    pub fn keep_alive(&self) {
        let known = lock(&self.feedback).progress;
        self.report(known);
    }

    /// Waits until `ready` gives something, an interrupt comes, or the time is over (`Ok(None)`).
    ///
    /// # Errors
    /// The failure with which the goal has to end now.
    pub fn wait<T>(
        &self,
        timeout: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let deadline = Instant::now() + timeout;
        loop {
            self.check()?;
            if let Some(value) = ready() {
                return Ok(Some(value));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            self.keep_alive();
            thread::sleep(POLL);
        }
    }

    fn report(&self, progress: Progress) {
        let mut state = lock(&self.feedback);
        let entered = state.progress.stage != progress.stage;
        let due = state
            .sent
            .is_none_or(|sent| sent.elapsed() >= FEEDBACK_PERIOD);
        state.progress = progress;
        if !entered && !due {
            return;
        }
        state.sent = Some(Instant::now());
        drop(state);
        self.handle.publish_feedback(PlanGraspMotion::Feedback {
            stage: progress.stage as u8,
            stage_name: progress.stage.name().to_owned(),
            iteration: progress.iteration,
            best_cost: progress.best_cost,
            progress: progress.progress.clamp(0.0, 1.0),
            elapsed: convert::duration_to_message(self.elapsed_s()),
        });
    }
}
