//! One door for cancelling, the deadline and feedback.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::error::PlanError;
use super::result::{Progress, Stage};

/// Receives progress; breaking out cancels the request.
pub type Observe<'a> = &'a mut (dyn FnMut(&Progress) -> ControlFlow<()> + Send);

/// Why work stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Cancelled,
    Deadline,
}

/// Clock and observer of one request.
pub struct Session<'a> {
    start: Instant,
    limit: Duration,
    observe: Observe<'a>,
    stop: Option<Stop>,
    best_cost: f64,
    reached: &'static str,
}

impl<'a> Session<'a> {
    pub fn new(limit: Duration, observe: Observe<'a>) -> Self {
        Self {
            start: Instant::now(),
            limit,
            observe,
            stop: None,
            best_cost: f64::INFINITY,
            reached: "request",
        }
    }

    pub fn elapsed_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Why work was stopped, if it was.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// Duration of the best candidate so far [s].
    pub fn set_best_cost(&mut self, best_cost: f64) {
        self.best_cost = best_cost;
    }

    /// Tells the observer; breaks when it cancels or the time is up.
    pub fn tell(&mut self, stage: Stage, iteration: u32, progress: f64) -> ControlFlow<()> {
        self.reached = stage.name();
        let elapsed = self.start.elapsed();
        let report = Progress {
            stage,
            iteration,
            best_cost: self.best_cost,
            progress: progress.clamp(0.0, 1.0),
            elapsed_s: elapsed.as_secs_f64(),
        };
        if (self.observe)(&report).is_break() {
            self.stop = Some(Stop::Cancelled);
        } else if self.stop.is_none() && elapsed > self.limit {
            self.stop = Some(Stop::Deadline);
        }
        if self.stop.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// [`Self::tell`] as a result, for stages that have nothing to show when they are stopped.
    pub fn checkpoint(&mut self, stage: Stage, progress: f64) -> Result<(), PlanError> {
        match self.tell(stage, 0, progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(self.stopped()),
        }
    }

    /// The error of a stopped request.
    pub fn stopped(&self) -> PlanError {
        match self.stop {
            Some(Stop::Cancelled) => PlanError::Cancelled,
            _ => PlanError::Timeout {
                limit_s: self.limit.as_secs_f64(),
                reached: self.reached.into(),
            },
        }
    }
}
