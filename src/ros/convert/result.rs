//! The action's result from a plan.

use super::{pose_to_message, time_to_message, trajectory_to_message};
use crate::planner::{Plan, PlanError, PlannedGrasp};
use crate::ros::controller_rules::CommandedTrajectory;
use crate::ros::execution::commanded;
use crate::ros::failure::Failure;
use crate::ros::state::TimeNs;
use r2r::diffusion_field_planner::action::PlanGraspMotion;
use r2r::diffusion_field_planner::msg::GraspCandidate;
use r2r::geometry_msgs::msg::PoseStamped;

/// `moveit_msgs/MoveItErrorCodes.SUCCESS`.
const MOVEIT_SUCCESS: i32 = 1;

/// Result of a goal that has not been planned yet.
pub fn empty() -> PlanGraspMotion::Result {
    PlanGraspMotion::Result {
        moveit_error_code: MOVEIT_SUCCESS,
        grasp_position_error: -1.0,
        grasp_orientation_error: -1.0,
        ..Default::default()
    }
}

/// Enters everything that is known of a plan.
pub fn fill_plan(result: &mut PlanGraspMotion::Result, plan: &Plan, frame: &str, period_s: f64) {
    let (trajectory, first_points) = joined(plan, period_s);
    result.trajectory = trajectory_to_message(&trajectory);
    result.trajectory.header.frame_id = frame.to_owned();
    result.phase_names = plan
        .phases
        .iter()
        .map(|p| p.kind.name().to_owned())
        .collect();
    result.phase_first_points = first_points;
    result.cost = plan.costs.iter().map(|(_, value)| value).sum();
    result.cost_names = plan.costs.iter().map(|(name, _)| name.clone()).collect();
    result.cost_values = plan.costs.iter().map(|(_, value)| *value).collect();
    let timing = &plan.timing;
    let stages = [
        ("prepare", timing.prepare_ms),
        ("goals", timing.goals_ms),
        ("seed", timing.seed_ms),
        ("anneal", timing.anneal_ms),
        ("refine", timing.refine_ms),
        ("verify", timing.verify_ms),
        ("transfer", timing.transfer_ms),
    ];
    result.stage_names = stages.iter().map(|(name, _)| (*name).to_owned()).collect();
    result.stage_times = stages.iter().map(|(_, ms)| 1e-3 * ms).collect();
    let v = &plan.verification;
    result.min_clearance = v.min_clearance_m;
    if let Some(nearest) = &v.nearest {
        result.min_clearance_link.clone_from(&nearest.link);
        result.min_clearance_object.clone_from(&nearest.object);
    }
    result.max_velocity_ratio = v.max_velocity_ratio;
    result.max_acceleration_ratio = v.max_acceleration_ratio;
    result.max_jerk_ratio = v.max_jerk_ratio;
    result.iterations = plan.iterations;
}

/// The chosen grasp; `id` is that of the candidate it came from, if any.
pub fn grasp(planned: &PlannedGrasp, id: &str, frame: &str, stamp: TimeNs) -> GraspCandidate {
    GraspCandidate {
        id: id.to_owned(),
        grasp_pose: pose_stamped(planned, frame, stamp),
        width: planned.width_m.unwrap_or(0.0),
        // 0 would be a claim about a field that was never asked.
        energy: planned.energy.unwrap_or(f64::NAN),
    }
}

/// The gripper's pose at the grasp, for `~/grasp_pose`.
pub fn pose_stamped(planned: &PlannedGrasp, frame: &str, stamp: TimeNs) -> PoseStamped {
    let mut message = PoseStamped {
        pose: pose_to_message(&planned.world_from_gripper),
        ..Default::default()
    };
    message.header.frame_id = frame.to_owned();
    message.header.stamp = time_to_message(stamp);
    message
}

/// Enters why the goal failed. The best trajectory of a plan that was not verified comes along for inspection only.
pub fn fill_failure(result: &mut PlanGraspMotion::Result, failure: &Failure, period_s: f64) {
    if let Failure::Plan(PlanError::NotConverged {
        best: Some(best), ..
    }) = failure
    {
        result.trajectory = trajectory_to_message(&commanded(best, period_s));
    }
    let (error_code, moveit_code) = failure.codes();
    result.error_code = error_code;
    result.moveit_error_code = moveit_code;
    result.error_msg = failure.to_string();
}

/// All phases one after the other, and where each begins. The last point of a phase is the first of the next.
fn joined(plan: &Plan, period_s: f64) -> (CommandedTrajectory, Vec<u32>) {
    let mut whole = CommandedTrajectory::default();
    let mut first_points = Vec::new();
    for phase in &plan.phases {
        let part = commanded(&phase.trajectory, period_s);
        let offset_s = whole.points.last().map_or(0.0, |point| point.time_s);
        let skip = usize::from(!whole.points.is_empty());
        first_points.push((whole.points.len() - skip) as u32);
        whole.joint_names = part.joint_names;
        whole
            .points
            .extend(part.points.into_iter().skip(skip).map(|mut point| {
                point.time_s += offset_s;
                point
            }));
    }
    (whole, first_points)
}
