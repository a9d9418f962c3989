//! An action server whose goals do what their `object_id` says, for `test_action_server.py`.
//! Only the server under test is the package's own; the work is a sleep.

use diffusion_field_planner::ros::action_server::{self, ActionHandler, GoalHandle};
use diffusion_field_planner::ros::goal_registry::GoalId;
use diffusion_field_planner::ros::spin;
use futures::{executor::LocalPool, task::LocalSpawnExt};
use r2r::diffusion_field_planner::action::PlanGraspMotion;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

type Goal = GoalHandle<PlanGraspMotion::Action>;

#[derive(Default)]
struct Script {
    refuse_cancel: HashSet<GoalId>,
}

impl ActionHandler<PlanGraspMotion::Action> for Script {
    fn accepts(&mut self, id: &GoalId, goal: &PlanGraspMotion::Goal) -> bool {
        if goal.object_id == "refuse_cancel" {
            self.refuse_cancel.insert(*id);
        }
        goal.object_id != "reject"
    }

    fn start(&mut self, goal: Goal) {
        thread::spawn(move || work(goal));
    }

    fn accepts_cancel(&mut self, id: &GoalId) -> bool {
        !self.refuse_cancel.contains(id)
    }
}

/// Works for `allowed_planning_time` or until the goal is cancelled, with feedback every 50 ms.
fn work(goal: Goal) {
    let kind = goal.goal().object_id.clone();
    let end = Instant::now() + Duration::from_secs_f64(goal.goal().allowed_planning_time);
    if kind == "deferred" {
        thread::sleep(Duration::from_millis(700));
    }
    goal.execute();
    let mut iteration = 0;
    while Instant::now() < end && !goal.is_canceling() {
        iteration += 1;
        goal.publish_feedback(PlanGraspMotion::Feedback {
            iteration,
            ..Default::default()
        });
        thread::sleep(Duration::from_millis(50));
    }
    let result = PlanGraspMotion::Result {
        iterations: iteration,
        error_msg: kind.clone(),
        ..Default::default()
    };
    match kind.as_str() {
        "drop" => drop(goal),
        "panic" => panic!("asked for"),
        "abort" | "abort_despite_cancel" => goal.abort(result),
        "succeed_despite_cancel" => goal.succeed(result),
        _ if goal.is_canceling() => goal.canceled(result),
        _ => goal.succeed(result),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stop = spin::stop_on_signals()?;
    let context = r2r::Context::create()?;
    let mut node = r2r::Node::create(context.clone(), "action_worker", "")?;
    let mut pool = LocalPool::new();
    let server = action_server::serve(
        &mut node,
        "~/plan",
        Duration::from_secs(2),
        Script::default(),
    )?;
    pool.spawner().spawn_local(server)?;
    spin::spin(&context, &mut node, &mut pool, &stop, || true);
    assert!(stop.load(Ordering::Relaxed));
    Ok(())
}
