//! A client of another node's action, on r2r's service clients.
//!
//! r2r 0.9.7 has an action client of its own. It keeps a channel of every goal for ever and fills it with feedback that
//! nobody reads, so a node that moves an arm all day grows; it panics on an answer to a cancel request that it does not
//! know; it does not say that a server has gone. This one speaks to the three services under `NAME/_action` and takes no
//! feedback. Requests are sent from any thread; answers arrive through the node's loop.

use super::action_server::Action;
use super::active_goal::ActiveGoal;
use super::failure::Failure;
use super::goal_registry::{GoalId, GoalStatus};
use futures::{Future, FutureExt};
use r2r::action_msgs::{msg::GoalInfo, srv::CancelGoal};
use r2r::unique_identifier_msgs::msg::UUID;
use r2r::{Client, Node, QosProfile};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to be found, and to say whether it takes a goal.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// A goal of ours that has to end waits this long for the other's to end too.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(300);
/// How often a server is looked for while it works, and for how long it may not be found.
const PRESENCE_PERIOD: Duration = Duration::from_millis(200);
const PRESENCE_TIMEOUT: Duration = Duration::from_millis(1000);
/// How often answers are looked for.
const POLL: Duration = Duration::from_millis(5);

/// Why a goal on another server did not come to its result.
#[derive(Debug, thiserror::Error)]
pub enum PeerFault {
    #[error("action server '{0}' is not there")]
    Absent(String),
    #[error("action server '{0}' does not answer")]
    Silent(String),
    #[error("action server '{0}' rejected the goal")]
    Rejected(String),
    #[error("action server '{0}' has gone before its goal ended")]
    Gone(String),
    #[error("{0}")]
    Ros(#[from] r2r::Error),
    /// Our own goal was interrupted, or whoever watched the other's found a reason to end it.
    #[error("{0}")]
    Ended(#[from] Failure),
}

/// How the other's goal ended.
#[derive(Debug)]
pub struct Outcome<R> {
    pub status: GoalStatus,
    pub result: R,
}

/// The client of one action.
pub struct ActionClient<A: Action> {
    send: Client<A::SendGoal>,
    cancel: Client<CancelGoal::Service>,
    result: Client<A::GetResult>,
    name: String,
    sent: AtomicU64,
}

impl<A: Action> ActionClient<A> {
    /// # Errors
    /// An r2r error for an invalid name.
    pub fn create(node: &mut Node, name: &str) -> r2r::Result<Self> {
        let qos = QosProfile::services_default;
        let service = |part: &str| format!("{name}/_action/{part}");
        Ok(Self {
            send: node.create_client::<A::SendGoal>(&service("send_goal"), qos())?,
            cancel: node.create_client::<CancelGoal::Service>(&service("cancel_goal"), qos())?,
            result: node.create_client::<A::GetResult>(&service("get_result"), qos())?,
            name: name.to_owned(),
            sent: AtomicU64::new(0),
        })
    }

    /// Waits until the server is there.
    ///
    /// # Errors
    /// [`PeerFault::Absent`] after two seconds, or the interrupt of the goal.
    pub fn find(&self, goal: &ActiveGoal) -> Result<(), PeerFault> {
        let found = [
            Node::is_available(&self.send)?,
            Node::is_available(&self.cancel)?,
            Node::is_available(&self.result)?,
        ];
        for found in found {
            goal.wait(ANSWER_TIMEOUT, answer(found))?
                .ok_or_else(|| PeerFault::Absent(self.name.clone()))??;
        }
        Ok(())
    }

    /// Sends a goal to a server that was [found](Self::find) and waits for its result. `watch` is asked all the while,
    /// from the acceptance on; it must bound the time. With its error, or an interrupt of our own goal, the other's goal
    /// is cancelled where `cancels` says so.
    ///
    /// # Errors
    /// [`PeerFault`]
    pub fn perform(
        &self,
        command: A::Goal,
        goal: &ActiveGoal,
        cancels: bool,
        mut watch: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Outcome<A::Result>, PeerFault> {
        let id = self.fresh_id(goal);
        self.send_goal(id, command, goal, cancels)?;
        let request = A::make_result_request_msg(uuid(&id));
        let mut result = answer(self.result.request(&request)?);
        let outcome = self.watch_result(&mut result, goal, &mut watch);
        if outcome.is_err() && cancels {
            self.request_cancel(&id);
            settle(&mut result);
        }
        outcome
    }

    /// Cancels every goal of the server, whoever sent it; nothing waits for the answer.
    pub fn cancel_all(&self) {
        self.request_cancel(&GoalId::default());
    }

    /// Unique without dice of our own: the id of our goal, which its client drew, and a count.
    fn fresh_id(&self, goal: &ActiveGoal) -> GoalId {
        let mut id = goal.handle().id();
        let count = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        for (byte, part) in id[8..].iter_mut().zip(count.to_be_bytes()) {
            *byte ^= part;
        }
        id
    }

    fn send_goal(
        &self,
        id: GoalId,
        command: A::Goal,
        goal: &ActiveGoal,
        cancels: bool,
    ) -> Result<(), PeerFault> {
        let request = A::make_goal_request_msg(uuid(&id), command);
        let mut accepted = answer(self.send.request(&request)?);
        match goal.wait(ANSWER_TIMEOUT, &mut accepted) {
            Ok(Some(response)) => match A::destructure_goal_response_msg(response?) {
                (true, _) => Ok(()),
                (false, _) => Err(PeerFault::Rejected(self.name.clone())),
            },
            // It may have been accepted all the same, or still be on its way: a cancel request must not overtake it.
            unanswered => {
                if cancels {
                    settle(&mut accepted);
                    self.request_cancel(&id);
                }
                match unanswered {
                    Err(interrupt) => Err(interrupt.into()),
                    Ok(_) => Err(PeerFault::Silent(self.name.clone())),
                }
            }
        }
    }

    fn watch_result(
        &self,
        result: &mut impl FnMut() -> Option<r2r::Result<GetResultResponse<A>>>,
        goal: &ActiveGoal,
        watch: &mut impl FnMut() -> Result<(), Failure>,
    ) -> Result<Outcome<A::Result>, PeerFault> {
        let mut present = answer(Node::is_available(&self.result)?);
        let mut seen = Instant::now();
        loop {
            if let Some(response) = result() {
                let (status, result) = A::destructure_result_response_msg(response?);
                let status = GoalStatus::from_message(status);
                return Ok(Outcome { status, result });
            }
            goal.check()?;
            watch()?;
            if seen.elapsed() > PRESENCE_PERIOD && present().is_some() {
                seen = Instant::now();
                present = answer(Node::is_available(&self.result)?);
            }
            if seen.elapsed() > PRESENCE_TIMEOUT {
                return Err(PeerFault::Gone(self.name.clone()));
            }
            thread::sleep(POLL);
        }
    }

    /// A zero id means every goal.
    fn request_cancel(&self, id: &GoalId) {
        let request = CancelGoal::Request {
            goal_info: GoalInfo {
                goal_id: uuid(id),
                ..Default::default()
            },
        };
        if let Err(error) = self.cancel.request(&request) {
            r2r::log_error!(
                "planner",
                "action '{}' cannot be cancelled: {error}",
                self.name
            );
        }
    }
}

type GetResultResponse<A> =
    <<A as r2r::WrappedActionTypeSupport>::GetResult as r2r::WrappedServiceTypeSupport>::Response;

/// Asks for a future's value without waiting; None again once it was given.
fn answer<T>(future: impl Future<Output = T>) -> impl FnMut() -> Option<T> {
    let mut future = Box::pin(future.fuse());
    move || future.as_mut().now_or_never()
}

/// Waits a little for an answer nobody needs.
fn settle<T>(answer: &mut impl FnMut() -> Option<T>) {
    let deadline = Instant::now() + CANCEL_TIMEOUT;
    while answer().is_none() && Instant::now() < deadline {
        thread::sleep(POLL);
    }
}

fn uuid(id: &GoalId) -> UUID {
    UUID { uuid: id.to_vec() }
}
