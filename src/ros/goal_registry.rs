//! What an action server knows about its goals: states, cancellation, results and their expiry.
//!
//! Plain data without ROS types, so that the rules of the action protocol can be tested alone:
//!
//! ```text
//!             execute               succeed / abort
//! ACCEPTED ------------> EXECUTING ------------------> SUCCEEDED | ABORTED
//!     | cancel               | cancel                        ^
//!     +--------> CANCELING <-+                               |
//!                    | canceled -> CANCELED                  |
//!                    +---------- succeed / abort ------------+
//! ```

use std::time::{Duration, Instant};

/// The client's identifier of a goal (a UUID).
pub type GoalId = [u8; 16];

/// Time of acceptance by the node's clock, nanoseconds.
pub type StampNs = i64;

/// `action_msgs/msg/GoalStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum GoalStatus {
    Unknown = 0,
    Accepted = 1,
    Executing = 2,
    Canceling = 3,
    Succeeded = 4,
    Canceled = 5,
    Aborted = 6,
}

impl GoalStatus {
    /// From a message's number; one that has no meaning is UNKNOWN.
    pub fn from_message(status: i8) -> Self {
        use GoalStatus::*;
        [Accepted, Executing, Canceling, Succeeded, Canceled, Aborted]
            .into_iter()
            .find(|known| *known as i8 == status)
            .unwrap_or(Unknown)
    }

    /// Whether the goal has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Canceled | Self::Aborted)
    }

    /// Whether a cancel request may still move the goal to CANCELING.
    pub fn is_cancelable(self) -> bool {
        matches!(self, Self::Accepted | Self::Executing)
    }

    /// Whether the protocol allows the step from `self` to `next`.
    pub fn allows(self, next: GoalStatus) -> bool {
        use GoalStatus::*;
        match (self, next) {
            (Accepted, Executing | Canceling) => true,
            // A server that gives up before it starts needs no detour through EXECUTING.
            (Accepted, Aborted) => true,
            (Executing, Canceling | Succeeded | Aborted) => true,
            (Canceling, Canceled | Succeeded | Aborted) => true,
            _ => false,
        }
    }
}

/// `action_msgs/srv/CancelGoal`, `return_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum CancelCode {
    None = 0,
    Rejected = 1,
    UnknownGoalId = 2,
    GoalTerminated = 3,
}

/// One goal from its acceptance until its result expires.
struct Record<R, W> {
    id: GoalId,
    stamp: StampNs,
    status: GoalStatus,
    result: Option<R>,
    waiting: Vec<W>,
    ended: Option<Instant>,
}

/// The goals of one server; `R` is the result type, `W` a result request kept for later.
pub struct GoalRegistry<R, W> {
    records: Vec<Record<R, W>>,
    result_timeout: Duration,
}

/// What to do with a result request.
#[derive(Debug, PartialEq)]
pub enum ResultAnswer<R, W> {
    /// Answer at once: the goal has ended.
    Now(W, GoalStatus, R),
    /// The goal is unknown or its result has expired.
    Unknown(W),
    /// Kept; [`GoalRegistry::finish`] hands it back.
    Kept,
}

impl<R: Clone, W> GoalRegistry<R, W> {
    /// Results are kept for `result_timeout` after a goal's end.
    pub fn new(result_timeout: Duration) -> Self {
        Self {
            records: Vec::new(),
            result_timeout,
        }
    }

    /// Registers an accepted goal; false if the id is in use.
    pub fn accept(&mut self, id: GoalId, stamp: StampNs) -> bool {
        if self.contains(&id) {
            return false;
        }
        self.records.push(Record {
            id,
            stamp,
            status: GoalStatus::Accepted,
            result: None,
            waiting: Vec::new(),
            ended: None,
        });
        true
    }

    pub fn contains(&self, id: &GoalId) -> bool {
        self.records.iter().any(|r| &r.id == id)
    }

    /// UNKNOWN for a goal that was never accepted or has expired.
    pub fn status(&self, id: &GoalId) -> GoalStatus {
        self.find(id).map_or(GoalStatus::Unknown, |r| r.status)
    }

    /// Moves a goal to a state that is not terminal; false if the protocol forbids it.
    pub fn advance(&mut self, id: &GoalId, next: GoalStatus) -> bool {
        match self.find_mut(id) {
            Some(record) if !next.is_terminal() && record.status.allows(next) => {
                record.status = next;
                true
            }
            _ => false,
        }
    }

    /// Ends a goal and returns the requests that waited for its result; None if the protocol forbids the step.
    pub fn finish(
        &mut self,
        id: &GoalId,
        end: GoalStatus,
        result: R,
        now: Instant,
    ) -> Option<Vec<W>> {
        let record = self.find_mut(id)?;
        if !end.is_terminal() || !record.status.allows(end) {
            return None;
        }
        record.status = end;
        record.result = Some(result);
        record.ended = Some(now);
        Some(std::mem::take(&mut record.waiting))
    }

    /// Answers or keeps a result request.
    pub fn request_result(&mut self, id: &GoalId, request: W) -> ResultAnswer<R, W> {
        match self.find_mut(id) {
            None => ResultAnswer::Unknown(request),
            Some(record) => match &record.result {
                Some(result) => ResultAnswer::Now(request, record.status, result.clone()),
                None => {
                    record.waiting.push(request);
                    ResultAnswer::Kept
                }
            },
        }
    }

    /// The goals a cancel request means, as `rcl_action_process_cancel_request` chooses them:
    /// an id alone means that goal; a stamp means every goal accepted at or before it, and the goal with the id;
    /// neither means all. Only goals that can be cancelled are returned.
    pub fn select_for_cancel(
        &self,
        id: Option<GoalId>,
        stamp: Option<StampNs>,
    ) -> (CancelCode, Vec<GoalId>) {
        if let (Some(id), None) = (id, stamp) {
            return match self.status(&id) {
                GoalStatus::Unknown => (CancelCode::UnknownGoalId, Vec::new()),
                status if status.is_cancelable() => (CancelCode::None, vec![id]),
                _ => (CancelCode::GoalTerminated, Vec::new()),
            };
        }
        let latest = stamp.unwrap_or(StampNs::MAX);
        let chosen = self
            .records
            .iter()
            .filter(|r| r.status.is_cancelable())
            .filter(|r| r.stamp <= latest || Some(r.id) == id)
            .map(|r| r.id)
            .collect();
        (CancelCode::None, chosen)
    }

    /// Forgets the results that are older than the timeout; true if any was.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.records.len();
        let timeout = self.result_timeout;
        self.records.retain(|r| match r.ended {
            Some(ended) => now.saturating_duration_since(ended) < timeout,
            None => true,
        });
        self.records.len() != before
    }

    /// Id, stamp and status of every known goal, oldest first.
    pub fn statuses(&self) -> impl Iterator<Item = (GoalId, StampNs, GoalStatus)> + '_ {
        self.records.iter().map(|r| (r.id, r.stamp, r.status))
    }

    /// Time of acceptance.
    pub fn stamp(&self, id: &GoalId) -> Option<StampNs> {
        self.find(id).map(|r| r.stamp)
    }

    fn find(&self, id: &GoalId) -> Option<&Record<R, W>> {
        self.records.iter().find(|r| &r.id == id)
    }

    fn find_mut(&mut self, id: &GoalId) -> Option<&mut Record<R, W>> {
        self.records.iter_mut().find(|r| &r.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: GoalId = [1; 16];
    const B: GoalId = [2; 16];
    const C: GoalId = [3; 16];

    fn three_goals() -> GoalRegistry<u32, &'static str> {
        let mut goals = GoalRegistry::new(Duration::from_secs(10));
        assert!(goals.accept(A, 100));
        assert!(goals.accept(B, 200));
        assert!(goals.accept(C, 300));
        goals
    }

    #[test]
    fn an_id_is_accepted_once() {
        let mut goals = three_goals();
        assert!(!goals.accept(A, 400));
        assert_eq!(goals.stamp(&A), Some(100));
    }

    #[test]
    fn only_the_steps_of_the_protocol_are_allowed() {
        use GoalStatus::*;
        let all = [
            Unknown, Accepted, Executing, Canceling, Succeeded, Canceled, Aborted,
        ];
        let allowed = [
            (Accepted, Executing),
            (Accepted, Canceling),
            (Accepted, Aborted),
            (Executing, Canceling),
            (Executing, Succeeded),
            (Executing, Aborted),
            (Canceling, Canceled),
            (Canceling, Succeeded),
            (Canceling, Aborted),
        ];
        for from in all {
            for to in all {
                assert_eq!(
                    from.allows(to),
                    allowed.contains(&(from, to)),
                    "{from:?} -> {to:?}"
                );
            }
        }
    }

    #[test]
    fn cancel_by_id_by_stamp_and_all() {
        let mut goals = three_goals();
        assert_eq!(
            goals.select_for_cancel(Some(B), None),
            (CancelCode::None, vec![B])
        );
        assert_eq!(
            goals.select_for_cancel(None, Some(200)),
            (CancelCode::None, vec![A, B])
        );
        assert_eq!(
            goals.select_for_cancel(Some(C), Some(100)),
            (CancelCode::None, vec![A, C])
        );
        assert_eq!(
            goals.select_for_cancel(None, None),
            (CancelCode::None, vec![A, B, C])
        );
        assert_eq!(
            goals.select_for_cancel(Some([9; 16]), None).0,
            CancelCode::UnknownGoalId
        );
        assert!(goals.advance(&A, GoalStatus::Executing));
        assert!(goals
            .finish(&A, GoalStatus::Succeeded, 1, Instant::now())
            .is_some());
        assert_eq!(
            goals.select_for_cancel(Some(A), None).0,
            CancelCode::GoalTerminated
        );
        assert_eq!(goals.select_for_cancel(None, None).1, vec![B, C]);
    }

    #[test]
    fn result_requests_wait_are_answered_and_expire() {
        let mut goals = three_goals();
        let end = Instant::now();
        assert_eq!(goals.request_result(&A, "one"), ResultAnswer::Kept);
        assert_eq!(goals.request_result(&A, "two"), ResultAnswer::Kept);
        assert!(goals.advance(&A, GoalStatus::Executing));
        let waiting = goals.finish(&A, GoalStatus::Aborted, 7, end);
        assert_eq!(waiting, Some(vec!["one", "two"]));
        assert_eq!(
            goals.request_result(&A, "three"),
            ResultAnswer::Now("three", GoalStatus::Aborted, 7)
        );
        assert!(!goals.expire(end + Duration::from_secs(9)));
        assert!(goals.expire(end + Duration::from_secs(10)));
        assert_eq!(
            goals.request_result(&A, "four"),
            ResultAnswer::Unknown("four")
        );
        assert_eq!(
            goals.statuses().count(),
            2,
            "goals that run must not be forgotten"
        );
    }

    #[test]
    fn a_goal_ends_once() {
        let mut goals = three_goals();
        goals.advance(&A, GoalStatus::Executing);
        assert!(goals
            .finish(&A, GoalStatus::Succeeded, 1, Instant::now())
            .is_some());
        assert!(goals
            .finish(&A, GoalStatus::Aborted, 2, Instant::now())
            .is_none());
        assert!(goals
            .finish(&B, GoalStatus::Canceled, 2, Instant::now())
            .is_none());
        assert_eq!(goals.status(&A), GoalStatus::Succeeded);
    }
}
