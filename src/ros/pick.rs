//! One goal from its message to its result, on the planning thread.
//!
//! [`Picker::pick`] reads like the list of steps; each either gives its value to the next or ends the goal with a
//! [`Failure`]. A panic ends its goal too, with INTERNAL, and the node lives on.

use super::active_goal::ActiveGoal;
use super::convert::{self, goal::CheckedGoal};
use super::execution;
use super::failure::Failure;
use super::gripper_client::{GripperClient, GripperTask};
use super::object_frames::latest_pose;
use super::parameters::Parameters;
use super::prepare::{prepare, Prepared, Target};
use super::shared::Shared;
use super::status::{Activity, StatusBoard};
use crate::geometry::Pose;
use crate::planner::{GripperAction, Plan, PlanRequest, Planner, PlannerSettings, Stage};
use crate::robot::RobotModel;
use crate::scene::Scene;
use r2r::diffusion_field_planner::action::PlanGraspMotion;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Feedback of a silent planner.
const KEEP_ALIVE: Duration = Duration::from_millis(50);

/// Works on goals, one at a time.
pub struct Picker {
    shared: Arc<Shared>,
    status: Arc<StatusBoard>,
    gripper: Option<GripperClient>,
    /// Made with the first goal and kept; a panic throws it away.
    planner: Option<(Arc<RobotModel>, Planner)>,
    /// Draws the last plan.
    drawing: Option<JoinHandle<()>>,
}

impl Picker {
    pub fn new(
        shared: Arc<Shared>,
        status: Arc<StatusBoard>,
        gripper: Option<GripperClient>,
    ) -> Self {
        Self {
            shared,
            status,
            gripper,
            planner: None,
            drawing: None,
        }
    }

    /// Works on a goal until it has ended.
    pub fn run(&mut self, goal: ActiveGoal) {
        let parameters = self.shared.parameters();
        let id = Some(goal.handle().id());
        self.status
            .set_activity(&self.shared, Activity::Planning, id);
        let mut result = empty_result();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.pick(&goal, &parameters, &mut result)
        }));
        let outcome = outcome.unwrap_or_else(|_| {
            self.planner = None;
            Err(Failure::Internal(
                "the planner panicked; see the node's log".into(),
            ))
        });
        end(&self.shared, &self.status, goal, outcome, result);
    }

    fn pick(
        &mut self,
        goal: &ActiveGoal,
        parameters: &Parameters,
        result: &mut PlanGraspMotion::Result,
    ) -> Result<(), Failure> {
        goal.check()?;
        goal.handle().execute();
        let checked = convert::goal::check(goal.goal(), parameters)?;
        goal.enter(Stage::WaitState, 0.0);
        let Prepared {
            robot,
            target,
            request,
        } = prepare(&self.shared, goal, parameters, &checked)?;
        let plan = self.plan(goal, &robot, &request);
        result.planning_time = goal.elapsed_s();
        let plan = plan?;
        self.publish(parameters, &robot, &plan, (&checked, &target), result);
        if parameters.publish_markers {
            self.show(&robot, &plan, request.scene, &target);
        }
        if !checked.plan_only && parameters.controller_mode != "none" {
            self.status
                .set_activity(&self.shared, Activity::Executing, Some(goal.handle().id()));
            self.check_target_unmoved(parameters, &robot, &target)?;
            self.execute(goal, parameters, &robot, &plan, &checked, result)?;
        }
        Ok(())
    }

    fn plan(
        &mut self,
        goal: &ActiveGoal,
        robot: &Arc<RobotModel>,
        request: &PlanRequest,
    ) -> Result<Plan, Failure> {
        let planner = planner_for(&mut self.planner, robot, &self.shared.parameters());
        let (planning, done) = mpsc::channel::<()>();
        let planned = thread::scope(|scope| {
            // Feedback goes on where the planner is silent for long. The channel closes when it is done: that ends the wait at once.
            scope.spawn(move || {
                while done.recv_timeout(KEEP_ALIVE) == Err(RecvTimeoutError::Timeout) {
                    goal.keep_alive();
                }
            });
            let planned = catch_unwind(AssertUnwindSafe(|| {
                planner.plan(request, &mut |progress| goal.observe(progress))
            }));
            drop(planning);
            planned
        });
        let planned = match planned {
            Ok(planned) => planned,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // Cancelled by the observer: it knows why.
        goal.check()?;
        Ok(planned?)
    }

    /// Enters the plan into the result and publishes it.
    fn publish(
        &self,
        parameters: &Parameters,
        robot: &RobotModel,
        plan: &Plan,
        (checked, target): (&CheckedGoal, &Target),
        result: &mut PlanGraspMotion::Result,
    ) {
        let frame = robot.kinematics.base_link();
        let stamp = self.shared.now();
        convert::result::fill_plan(result, plan, frame, parameters.controller_sample_period_s);
        let outputs = &self.shared.outputs;
        outputs.planned_trajectory.publish(&result.trajectory);
        #[cfg(moveit_msgs)]
        outputs
            .display_trajectory
            .publish(&convert::moveit::display(&robot.name, &result.trajectory));
        if let Some(grasp) = &plan.grasp {
            let chosen = nearest(&grasp.object_from_gripper, &target.grasps);
            let id = chosen.map_or("", |index| &checked.grasps[index].id);
            result.grasp = convert::result::grasp(grasp, id, frame, stamp);
            outputs.grasp_pose.publish(&result.grasp.grasp_pose);
        }
    }

    /// Draws the plan, with what it was made from, for RViz; in a thread, as neither the arm nor the client waits for a picture.
    fn show(&mut self, robot: &Arc<RobotModel>, plan: &Plan, scene: Scene, target: &Target) {
        if let Some(before) = self.drawing.take() {
            // A panic in there was reported when it happened.
            let _ = before.join();
        }
        let (shared, stamp) = (self.shared.clone(), self.shared.now());
        let (robot, plan, target) = (robot.clone(), plan.clone(), target.clone());
        let draw = move || {
            let shown = convert::markers::Shown {
                robot: &robot,
                plan: &plan,
                scene: &scene,
                object: target.model.as_deref(),
                given_grasps: &target.grasps,
                world_from_object: target.world_from_object,
            };
            let frame = robot.kinematics.base_link();
            let markers = convert::markers::of_plan(&shown, frame, stamp);
            shared.outputs.grasp_markers.publish(&markers);
        };
        self.drawing = thread::Builder::new()
            .name("markers".into())
            .spawn(draw)
            .ok();
    }

    fn check_target_unmoved(
        &self,
        parameters: &Parameters,
        robot: &RobotModel,
        target: &Target,
    ) -> Result<(), Failure> {
        let Some(_) = &target.observed else {
            return Ok(());
        };
        let latest = latest_pose(&self.shared, parameters, robot, &target.id)?;
        let Some(latest) = latest else {
            return Err(Failure::SceneChanged(format!(
                "object '{}' was removed",
                target.id
            )));
        };
        let moved = self
            .shared
            .to_planning_frame(robot, &latest)?
            .translation
            .vector
            - target.world_from_object.translation.vector;
        if moved.norm() > parameters.objects_max_motion_m {
            return Err(Failure::SceneChanged(format!(
                "object '{}' moved by {:.4} m while planning, the limit is {} m (objects.max_motion)",
                target.id,
                moved.norm(),
                parameters.objects_max_motion_m
            )));
        }
        Ok(())
    }

    /// Without `use_gripper` the motion ends before the gripper would have to close.
    fn execute(
        &self,
        goal: &ActiveGoal,
        parameters: &Parameters,
        robot: &RobotModel,
        plan: &Plan,
        checked: &CheckedGoal,
        result: &mut PlanGraspMotion::Result,
    ) -> Result<(), Failure> {
        let gripper = self.gripper.as_ref().filter(|_| checked.use_gripper);
        let task = GripperTask {
            shared: &self.shared,
            parameters,
            goal,
        };
        for phase in &plan.phases {
            if let Some(gripper) = gripper {
                act(gripper, phase.gripper_before, &task)?;
            }
            let end = execution::execute(&self.shared, robot, parameters, &phase.trajectory, goal)?;
            let closes = matches!(phase.gripper_after, GripperAction::Close { .. });
            if let (Some(grasp), true) = (&plan.grasp, closes) {
                let world_from_gripper = world_from_gripper(robot, &end.position);
                let error = grasp.world_from_gripper.inverse() * world_from_gripper;
                result.grasp_position_error = error.translation.vector.norm();
                result.grasp_orientation_error = error.rotation.angle();
            }
            match gripper {
                Some(gripper) => act(gripper, phase.gripper_after, &task)?,
                None if phase.gripper_after == GripperAction::Keep => {}
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

fn act(
    gripper: &GripperClient,
    action: GripperAction,
    task: &GripperTask<'_>,
) -> Result<(), Failure> {
    let widest_m = task.parameters.gripper_width_open_m;
    match action {
        GripperAction::Keep => Ok(()),
        GripperAction::Open { width_m } => gripper.open(width_m.min(widest_m), task),
        GripperAction::Close { width_m } => gripper.close(width_m, task),
    }
}

/// Result of a goal that has not been planned yet.
pub fn empty_result() -> PlanGraspMotion::Result {
    convert::result::empty()
}

/// Ends a goal: result, status board, answer to the client.
pub fn end(
    shared: &Shared,
    status: &StatusBoard,
    goal: ActiveGoal,
    outcome: Result<(), Failure>,
    mut result: PlanGraspMotion::Result,
) {
    let parameters = shared.parameters();
    if let Err(failure) = &outcome {
        let period_s = parameters.controller_sample_period_s;
        convert::result::fill_failure(&mut result, failure, period_s);
        r2r::log_warn!("planner", "goal failed ({}): {failure}", result.error_code);
    } else {
        r2r::log_info!(
            "planner",
            "goal done: planned in {:.3} s, smallest clearance {:.1} mm",
            result.planning_time,
            1e3 * result.min_clearance
        );
    }
    // The board first: whoever has the result may look at it.
    status.set_outcome(shared, goal.handle().id(), &result);
    let canceling = goal.handle().is_canceling();
    let handle = goal.into_handle();
    match outcome {
        Ok(()) => handle.succeed(result),
        Err(Failure::Canceled(_)) if canceling => handle.canceled(result),
        Err(_) if parameters.failure_status == "succeed" => handle.succeed(result),
        Err(_) => handle.abort(result),
    }
}

/// The planner of the robot, made anew when the robot's description has changed.
fn planner_for<'a>(
    known: &'a mut Option<(Arc<RobotModel>, Planner)>,
    robot: &Arc<RobotModel>,
    p: &Parameters,
) -> &'a mut Planner {
    known.take_if(|(of, _)| !Arc::ptr_eq(of, robot));
    let settings = PlannerSettings {
        threads: p.planning_threads as usize,
        ..PlannerSettings::default()
    };
    let make = || (robot.clone(), Planner::new(robot.clone(), settings));
    &mut known.get_or_insert_with(make).1
}

/// Which of the given grasps the planned one is: the nearest, as they go through the planner unchanged.
fn nearest(planned: &Pose, given: &[Pose]) -> Option<usize> {
    let distance = |pose: &Pose| {
        let error = planned.inverse() * pose;
        error.translation.vector.norm() + error.rotation.angle()
    };
    let distances = given.iter().map(distance).enumerate();
    distances
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(index, _)| index)
}

fn world_from_gripper(robot: &RobotModel, position: &[f64]) -> Pose {
    let world_from_tool = robot.kinematics.tool_pose(position);
    match &robot.gripper {
        Some(gripper) => world_from_tool * gripper.tool_from_gripper,
        None => world_from_tool,
    }
}
