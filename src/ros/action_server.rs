//! A ROS 2 action server on r2r's services and publishers.
//!
//! r2r 0.9.7 has an action server of its own. It never frees results, spins at full load once a goal has ended,
//! loses the CANCELED status and cannot end a goal otherwise after it accepted a cancel request; a client that asks
//! for the result of an unknown goal gets no answer. This server follows `rcl_action` and `rclcpp_action` instead:
//! three services and two topics under `NAME/_action`, with the rules kept in [`GoalRegistry`].
//!
//! Everything a [`GoalHandle`] does takes effect at once and from any thread; no turn of the node's loop is needed.

use super::goal_registry::{CancelCode, GoalId, GoalRegistry, GoalStatus, ResultAnswer, StampNs};
use super::lock;
use super::services::respond;
use futures::{stream, Future, StreamExt};
use r2r::{
    action_msgs, builtin_interfaces::msg::Time, unique_identifier_msgs::msg::UUID, Clock, Node,
    Publisher, QosProfile, ServiceRequest, WrappedActionTypeSupport, WrappedServiceTypeSupport,
};
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc, Mutex,
};
use std::time::{Duration, Instant};

/// An action type whose messages may be moved between threads; every generated action is one.
pub trait Action:
    WrappedActionTypeSupport<
        Goal: Send + Sync + 'static,
        Result: Send + 'static,
        Feedback: Send + 'static,
        FeedbackMessage: 'static,
        SendGoal: 'static,
        GetResult: 'static,
    > + 'static
{
}

impl<T> Action for T where
    T: WrappedActionTypeSupport<
            Goal: Send + Sync + 'static,
            Result: Send + 'static,
            Feedback: Send + 'static,
            FeedbackMessage: 'static,
            SendGoal: 'static,
            GetResult: 'static,
        > + 'static
{
}

type GoalResponse<A> =
    <<A as WrappedActionTypeSupport>::SendGoal as WrappedServiceTypeSupport>::Response;
type ResultRequest<A> = ServiceRequest<<A as WrappedActionTypeSupport>::GetResult>;
type CancelRequest = ServiceRequest<action_msgs::srv::CancelGoal::Service>;

/// How long the result of a goal that has ended is kept, as in ROS 2 Jazzy.
pub const DEFAULT_RESULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The decisions of the application. Calls come from the node's loop and must return within milliseconds.
pub trait ActionHandler<A: Action> {
    /// Whether the goal is accepted. ROS cannot carry the reason of a rejection: log it.
    fn accepts(&mut self, id: &GoalId, goal: &A::Goal) -> bool;

    /// Takes over an accepted goal. A handle that is dropped before its goal has ended aborts the goal.
    fn start(&mut self, goal: GoalHandle<A>);

    /// Whether a goal may be cancelled; the goal then sees [`GoalHandle::is_canceling`].
    fn accepts_cancel(&mut self, id: &GoalId) -> bool {
        let _ = id;
        true
    }
}

struct Server<A: Action> {
    goals: Mutex<GoalRegistry<A::Result, ResultRequest<A>>>,
    status_publisher: Mutex<Publisher<action_msgs::msg::GoalStatusArray>>,
    feedback_publisher: Mutex<Publisher<A::FeedbackMessage>>,
    clock: Arc<Mutex<Clock>>,
    cancel_flags: Mutex<Vec<(GoalId, Arc<AtomicBool>)>>,
}

/// Creates the server `name` (expanded as every ROS name: `~/pick` is private to the node) and returns the future
/// that serves it. Spawn the future on the executor that runs beside `node.spin_once`.
///
/// # Errors
/// An r2r error if a service or publisher cannot be created, most often an invalid name.
pub fn serve<A: Action>(
    node: &mut Node,
    name: &str,
    result_timeout: Duration,
    mut handler: impl ActionHandler<A> + 'static,
) -> r2r::Result<impl Future<Output = ()>> {
    enum Event<A: Action> {
        Goal(ServiceRequest<A::SendGoal>),
        Cancel(CancelRequest),
        Result(ResultRequest<A>),
        Tick,
    }

    let services = QosProfile::services_default();
    let goals = node
        .create_service::<A::SendGoal>(&format!("{name}/_action/send_goal"), services.clone())?
        .map(Event::<A>::Goal);
    let cancels = node
        .create_service::<action_msgs::srv::CancelGoal::Service>(
            &format!("{name}/_action/cancel_goal"),
            services.clone(),
        )?
        .map(Event::<A>::Cancel);
    let results = node
        .create_service::<A::GetResult>(&format!("{name}/_action/get_result"), services)?
        .map(Event::<A>::Result);
    let status_publisher = node.create_publisher(
        &format!("{name}/_action/status"),
        QosProfile::default().keep_last(1).transient_local(),
    )?;
    let feedback_publisher =
        node.create_publisher(&format!("{name}/_action/feedback"), QosProfile::default())?;
    let timer = node.create_wall_timer(Duration::from_secs(1))?;
    let ticks = stream::unfold(timer, |mut timer| async move {
        timer.tick().await.ok().map(|_| (Event::<A>::Tick, timer))
    });

    let server = Arc::new(Server::<A> {
        goals: Mutex::new(GoalRegistry::new(result_timeout)),
        status_publisher: Mutex::new(status_publisher),
        feedback_publisher: Mutex::new(feedback_publisher),
        clock: node.get_ros_clock(),
        cancel_flags: Mutex::new(Vec::new()),
    });
    let mut events = stream::select(
        stream::select(goals, cancels),
        stream::select(results, Box::pin(ticks)),
    );
    Ok(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::Goal(request) => server.on_goal(request, &mut handler),
                Event::Cancel(request) => server.on_cancel(request, &mut handler),
                Event::Result(request) => server.on_result(request),
                Event::Tick => server.on_tick(),
            }
        }
    })
}

impl<A: Action> Server<A> {
    fn on_goal(
        self: &Arc<Self>,
        request: ServiceRequest<A::SendGoal>,
        handler: &mut impl ActionHandler<A>,
    ) {
        let (uuid, goal) = A::destructure_goal_request_msg(request.message.clone());
        let stamp = self.now();
        let id = id_from_message(&uuid);
        let accepted = match id {
            Some(id) if !lock(&self.goals).contains(&id) => handler.accepts(&id, &goal),
            _ => false,
        };
        let (Some(id), true) = (id, accepted) else {
            respond(request, goal_response::<A>(false, stamp));
            return;
        };
        let cancel_requested = Arc::new(AtomicBool::new(false));
        lock(&self.goals).accept(id, stamp);
        lock(&self.cancel_flags).push((id, cancel_requested.clone()));
        respond(request, goal_response::<A>(true, stamp));
        self.publish_status(&lock(&self.goals));
        handler.start(GoalHandle {
            server: self.clone(),
            id,
            goal: Arc::new(goal),
            cancel_requested,
        });
    }

    fn on_cancel(&self, request: CancelRequest, handler: &mut impl ActionHandler<A>) {
        let info = &request.message.goal_info;
        let id = id_from_message(&info.goal_id).filter(|id| id != &GoalId::default());
        let stamp = Some(stamp_from_message(&info.stamp)).filter(|stamp| *stamp != 0);
        let (mut code, chosen) = lock(&self.goals).select_for_cancel(id, stamp);
        let allowed: Vec<GoalId> = chosen
            .iter()
            .filter(|id| handler.accepts_cancel(id))
            .copied()
            .collect();
        if allowed.is_empty() && !chosen.is_empty() {
            code = CancelCode::Rejected;
        }

        let mut response = action_msgs::srv::CancelGoal::Response::default();
        let mut goals = lock(&self.goals);
        for id in &allowed {
            // A worker may have ended the goal in the meantime: then it is not part of the answer.
            if let (true, Some(stamp)) = (goals.advance(id, GoalStatus::Canceling), goals.stamp(id))
            {
                response.goals_canceling.push(goal_info(id, stamp));
            }
        }
        if response.goals_canceling.is_empty() && !allowed.is_empty() && id.is_some() {
            code = CancelCode::GoalTerminated;
        }
        response.return_code = code as i8;
        respond(request, response);
        self.publish_status(&goals);
        drop(goals);
        // Raised last: the worker's CANCELED must come after CANCELING on the status topic.
        for (id, flag) in lock(&self.cancel_flags).iter() {
            if allowed.contains(id) {
                flag.store(true, Ordering::Release);
            }
        }
    }

    fn on_result(&self, request: ResultRequest<A>) {
        let uuid = A::destructure_result_request_msg(request.message.clone());
        let mut goals = lock(&self.goals);
        goals.expire(Instant::now());
        let answer = match id_from_message(&uuid) {
            Some(id) => goals.request_result(&id, request),
            None => ResultAnswer::Unknown(request),
        };
        drop(goals);
        match answer {
            ResultAnswer::Now(request, status, result) => {
                respond(request, A::make_result_response_msg(status as i8, result));
            }
            ResultAnswer::Unknown(request) => {
                let status = GoalStatus::Unknown as i8;
                respond(
                    request,
                    A::make_result_response_msg(status, A::Result::default()),
                );
            }
            ResultAnswer::Kept => {}
        }
    }

    fn on_tick(&self) {
        let mut goals = lock(&self.goals);
        if goals.expire(Instant::now()) {
            self.publish_status(&goals);
        }
    }

    fn finish(&self, id: &GoalId, end: GoalStatus, result: A::Result) -> bool {
        let mut goals = lock(&self.goals);
        let Some(waiting) = goals.finish(id, end, result.clone(), Instant::now()) else {
            return false;
        };
        self.publish_status(&goals);
        drop(goals);
        lock(&self.cancel_flags).retain(|(other, _)| other != id);
        for request in waiting {
            respond(
                request,
                A::make_result_response_msg(end as i8, result.clone()),
            );
        }
        true
    }

    /// Takes the locked registry so that messages leave in the order of the changes.
    fn publish_status(&self, goals: &GoalRegistry<A::Result, ResultRequest<A>>) {
        let status_list = goals
            .statuses()
            .map(|(id, stamp, status)| action_msgs::msg::GoalStatus {
                goal_info: goal_info(&id, stamp),
                status: status as i8,
            })
            .collect();
        let message = action_msgs::msg::GoalStatusArray { status_list };
        // An error here means the node is shutting down; nobody is left to be told.
        let _ = lock(&self.status_publisher).publish(&message);
    }

    fn now(&self) -> StampNs {
        lock(&self.clock)
            .get_now()
            .map_or(0, |now| now.as_nanos() as StampNs)
    }
}

/// An accepted goal in the hands of the application.
///
/// It must be ended by [`succeed`](Self::succeed), [`abort`](Self::abort) or [`canceled`](Self::canceled);
/// a handle that is dropped without aborts its goal with an empty result, so that no client waits for ever.
pub struct GoalHandle<A: Action> {
    server: Arc<Server<A>>,
    id: GoalId,
    goal: Arc<A::Goal>,
    cancel_requested: Arc<AtomicBool>,
}

impl<A: Action> GoalHandle<A> {
    pub fn id(&self) -> GoalId {
        self.id
    }

    pub fn goal(&self) -> &A::Goal {
        &self.goal
    }

    /// ACCEPTED to EXECUTING. A goal may wait in ACCEPTED as long as the application likes.
    pub fn execute(&self) {
        let mut goals = lock(&self.server.goals);
        if goals.advance(&self.id, GoalStatus::Executing) {
            self.server.publish_status(&goals);
        }
    }

    /// Whether a cancel request was accepted. One atomic read: cheap enough for an inner loop.
    pub fn is_canceling(&self) -> bool {
        self.cancel_requested.load(Ordering::Acquire)
    }

    /// Sends feedback to every client that listens.
    pub fn publish_feedback(&self, feedback: A::Feedback) {
        let message = A::make_feedback_msg(id_to_message(&self.id), feedback);
        let _ = lock(&self.server.feedback_publisher).publish(&message);
    }

    /// Ends the goal as SUCCEEDED; allowed after a cancel request too.
    pub fn succeed(self, result: A::Result) {
        self.execute();
        self.server.finish(&self.id, GoalStatus::Succeeded, result);
    }

    /// Ends the goal as ABORTED.
    pub fn abort(self, result: A::Result) {
        self.server.finish(&self.id, GoalStatus::Aborted, result);
    }

    /// Ends the goal as CANCELED if a client asked for it, else as ABORTED: the protocol has no other way.
    pub fn canceled(self, result: A::Result) {
        let end = match self.is_canceling() {
            true => GoalStatus::Canceled,
            false => GoalStatus::Aborted,
        };
        self.server.finish(&self.id, end, result);
    }
}

impl<A: Action> Drop for GoalHandle<A> {
    fn drop(&mut self) {
        // Refused by the registry, as it should be, if the goal has ended.
        self.server
            .finish(&self.id, GoalStatus::Aborted, A::Result::default());
    }
}

fn goal_response<A: Action>(accepted: bool, stamp: StampNs) -> GoalResponse<A> {
    A::make_goal_response_msg(accepted, stamp_to_message(stamp))
}

fn goal_info(id: &GoalId, stamp: StampNs) -> action_msgs::msg::GoalInfo {
    action_msgs::msg::GoalInfo {
        goal_id: id_to_message(id),
        stamp: stamp_to_message(stamp),
    }
}

fn id_from_message(uuid: &UUID) -> Option<GoalId> {
    uuid.uuid.as_slice().try_into().ok()
}

fn id_to_message(id: &GoalId) -> UUID {
    UUID { uuid: id.to_vec() }
}

fn stamp_from_message(stamp: &Time) -> StampNs {
    StampNs::from(stamp.sec) * 1_000_000_000 + StampNs::from(stamp.nanosec)
}

fn stamp_to_message(stamp: StampNs) -> Time {
    Time {
        sec: (stamp / 1_000_000_000) as i32,
        nanosec: (stamp % 1_000_000_000) as u32,
    }
}
