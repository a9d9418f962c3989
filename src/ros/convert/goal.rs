//! The action's goal, checked.

use super::constraints::path_constraints;
use super::{pose_from_message, time_from_message};
use crate::geometry::Pose;
use crate::planner::PathConstraint;
use crate::ros::failure::Failure;
use crate::ros::objects::ObservedPose;
use crate::ros::parameters::Parameters;
use r2r::diffusion_field_planner::action::PlanGraspMotion;
use r2r::diffusion_field_planner::msg::GraspCandidate;
use r2r::{geometry_msgs, sensor_msgs};
use std::time::Duration;

/// A goal whose values make sense by themselves; nothing is looked up yet.
#[derive(Clone, Debug)]
pub struct CheckedGoal {
    pub object_id: String,
    /// None: the last observed one.
    pub object_pose: Option<ObservedPose>,
    /// Empty: sampled from the object's field.
    pub grasps: Vec<GivenGrasp>,
    /// Joint positions by name; empty: the measured ones.
    pub start: Vec<(String, f64)>,
    /// Where the object's frame is put; None: it stays in the hand.
    pub place_pose: Option<ObservedPose>,
    /// Empty: the robot's tool link.
    pub goal_link: String,
    pub approach_distance_m: f64,
    pub lift_distance_m: f64,
    pub velocity_scaling: f64,
    pub acceleration_scaling: f64,
    pub time_limit: Duration,
    pub num_candidates: usize,
    /// None: a new one.
    pub seed: Option<u64>,
    pub plan_only: bool,
    pub use_gripper: bool,
    pub ignored_objects: Vec<String>,
    /// A link that is empty is the tool link.
    pub constraints: Vec<PathConstraint>,
}

/// A grasp that came with the goal.
#[derive(Clone, Debug)]
pub struct GivenGrasp {
    pub id: String,
    /// Frame empty: the object's own.
    pub pose: ObservedPose,
    pub width_m: f64,
}

/// Checks a goal and fills in the parameters' values.
///
/// # Errors
/// [`Failure::InvalidRequest`], naming field, value and what is allowed.
pub fn check(goal: &PlanGraspMotion::Goal, p: &Parameters) -> Result<CheckedGoal, Failure> {
    let start = check_start(&goal.start_state)?;
    if !start.is_empty() && !goal.plan_only {
        return Err(invalid(
            "start_state is not empty: the arm is elsewhere, this needs plan_only",
        ));
    }
    if goal.use_gripper && !goal.plan_only && p.gripper_type == "none" {
        return Err(invalid(
            "use_gripper is true but parameter gripper.type is none",
        ));
    }
    let time_limit_s = or_default(
        "allowed_planning_time",
        goal.allowed_planning_time,
        p.planning_time_limit_s,
        120.0,
    )?;
    Ok(CheckedGoal {
        object_id: match goal.object_id.is_empty() {
            true => p.objects_default_id.clone(),
            false => goal.object_id.clone(),
        },
        object_pose: stamped("object_pose", &goal.object_pose)?,
        grasps: goal
            .grasps
            .iter()
            .enumerate()
            .map(given_grasp)
            .collect::<Result<_, _>>()?,
        start,
        place_pose: stamped("place_pose", &goal.place_pose)?,
        goal_link: goal.goal_link.clone(),
        approach_distance_m: distance(
            "approach_distance",
            goal.approach_distance,
            p.planning_approach_distance_m,
        )?,
        lift_distance_m: distance(
            "lift_distance",
            goal.lift_distance,
            p.planning_lift_distance_m,
        )?,
        velocity_scaling: or_default(
            "velocity_scaling",
            goal.velocity_scaling,
            p.planning_velocity_scaling,
            1.0,
        )?,
        acceleration_scaling: or_default(
            "acceleration_scaling",
            goal.acceleration_scaling,
            p.planning_acceleration_scaling,
            1.0,
        )?,
        time_limit: Duration::from_secs_f64(time_limit_s),
        num_candidates: match goal.num_candidates {
            0 => p.planning_num_candidates as usize,
            1..=4096 => goal.num_candidates as usize,
            n => {
                return Err(invalid(format!(
                    "num_candidates is {n}, it must be in [0, 4096]"
                )))
            }
        },
        seed: match (goal.seed, p.planning_seed) {
            (0, 0) => None,
            (0, seed) => Some(seed as u64),
            (seed, _) => Some(seed),
        },
        plan_only: goal.plan_only,
        use_gripper: goal.use_gripper,
        ignored_objects: goal.ignored_collision_objects.clone(),
        constraints: path_constraints(&goal.path_constraints)?,
    })
}

/// 0 means the parameter's value; else (0, max]. The comparison is written so that NaN fails.
fn or_default(field: &str, value: f64, default: f64, max: f64) -> Result<f64, Failure> {
    match value {
        0.0 => Ok(default),
        v if 0.0 < v && v <= max => Ok(v),
        v => Err(invalid(format!(
            "{field} is {v}, it must be in (0, {max}], or 0 for the parameter"
        ))),
    }
}

/// Negative means the parameter's value.
fn distance(field: &str, value: f64, default: f64) -> Result<f64, Failure> {
    const MAX_M: f64 = 1.0;
    match value {
        v if v < 0.0 => Ok(default),
        v if v <= MAX_M => Ok(v),
        v => Err(invalid(format!(
            "{field} is {v} m, it must be at most {MAX_M} m, or negative for the parameter"
        ))),
    }
}

fn check_start(state: &sensor_msgs::msg::JointState) -> Result<Vec<(String, f64)>, Failure> {
    if state.name.len() != state.position.len() {
        return Err(invalid(format!(
            "start_state has {} names and {} positions",
            state.name.len(),
            state.position.len()
        )));
    }
    for (name, position) in state.name.iter().zip(&state.position) {
        if !position.is_finite() {
            return Err(invalid(format!(
                "start_state: position of joint '{name}' is {position}"
            )));
        }
    }
    Ok(state
        .name
        .iter()
        .cloned()
        .zip(state.position.iter().copied())
        .collect())
}

/// None if the frame is empty, which means "not given".
fn stamped(
    what: &str,
    message: &geometry_msgs::msg::PoseStamped,
) -> Result<Option<ObservedPose>, Failure> {
    match message.header.frame_id.is_empty() {
        true => Ok(None),
        false => observed(what, message).map(Some),
    }
}

fn observed(
    what: &str,
    message: &geometry_msgs::msg::PoseStamped,
) -> Result<ObservedPose, Failure> {
    Ok(ObservedPose {
        frame: message.header.frame_id.clone(),
        frame_from_object: pose(what, &message.pose)?,
        stamp: time_from_message(&message.header.stamp),
    })
}

fn given_grasp((index, grasp): (usize, &GraspCandidate)) -> Result<GivenGrasp, Failure> {
    let what = format!("grasps[{index}].grasp_pose");
    let width_m = grasp.width;
    if !(0.0..=1.0).contains(&width_m) {
        return Err(invalid(format!(
            "grasps[{index}].width is {width_m} m, it must be in [0, 1]"
        )));
    }
    Ok(GivenGrasp {
        id: grasp.id.clone(),
        pose: observed(&what, &grasp.grasp_pose)?,
        width_m,
    })
}

fn pose(what: &str, message: &geometry_msgs::msg::Pose) -> Result<Pose, Failure> {
    pose_from_message(message, what).map_err(|error| invalid(error.to_string()))
}

pub(super) fn invalid(reason: impl Into<String>) -> Failure {
    Failure::InvalidRequest(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_1_SQRT_2;

    fn goal() -> PlanGraspMotion::Goal {
        let mut goal = PlanGraspMotion::Goal {
            object_id: "mug".into(),
            approach_distance: -1.0,
            lift_distance: 0.2,
            ..Default::default()
        };
        goal.object_pose.header.frame_id = "base".into();
        goal.object_pose.pose.orientation.z = FRAC_1_SQRT_2;
        goal.object_pose.pose.orientation.w = FRAC_1_SQRT_2;
        goal
    }

    #[test]
    fn zero_and_negative_values_mean_the_parameters() {
        let p = Parameters::default();
        let checked = check(&goal(), &p).unwrap();
        assert_eq!(checked.approach_distance_m, p.planning_approach_distance_m);
        assert_eq!(checked.lift_distance_m, 0.2);
        assert_eq!(checked.velocity_scaling, p.planning_velocity_scaling);
        assert_eq!(checked.num_candidates, 12);
        assert_eq!(checked.seed, None);
        let pose = checked.object_pose.unwrap();
        assert!(
            (pose.frame_from_object.rotation.angle() - std::f64::consts::FRAC_PI_2).abs() < 1e-9
        );
    }

    #[test]
    fn each_bad_field_is_named_with_its_value() {
        type Change = fn(&mut PlanGraspMotion::Goal);
        let cases: [(Change, &str); 12] = [
            (|g| g.velocity_scaling = f64::NAN, "velocity_scaling is NaN"),
            (|g| g.velocity_scaling = -0.1, "velocity_scaling is -0.1"),
            (
                |g| g.acceleration_scaling = 1.5,
                "acceleration_scaling is 1.5, it must be in (0, 1]",
            ),
            (
                |g| g.allowed_planning_time = -1.0,
                "allowed_planning_time is -1",
            ),
            (
                |g| g.approach_distance = f64::NAN,
                "approach_distance is NaN",
            ),
            (|g| g.lift_distance = 3.0, "lift_distance is 3 m"),
            (|g| g.num_candidates = 5000, "num_candidates is 5000"),
            (
                |g| g.object_pose.pose.orientation.w = 0.0,
                "object_pose: quaternion (0, 0, 0.7071",
            ),
            (
                |g| g.object_pose.pose.position.x = f64::NAN,
                "object_pose: position (NaN, 0, 0)",
            ),
            (
                |g| g.start_state.name.push("a".into()),
                "start_state has 1 names and 0 positions",
            ),
            (|g| g.use_gripper = true, "gripper.type is none"),
            (
                |g| {
                    g.place_pose.header.frame_id = "base".into();
                    g.place_pose.pose.orientation.w = 0.5;
                },
                "place_pose: quaternion (0, 0, 0, 0.5)",
            ),
        ];
        for (change, expected) in cases {
            let mut bad = goal();
            change(&mut bad);
            let failure = check(&bad, &Parameters::default()).unwrap_err();
            assert!(failure.to_string().contains(expected), "{failure}");
            assert_eq!(failure.codes(), (901, -13));
        }
    }

    #[test]
    fn bad_grasps_are_named_by_their_place() {
        let mut bad = goal();
        let mut grasp = GraspCandidate::default();
        grasp.grasp_pose.pose.orientation.w = 1.0;
        bad.grasps = vec![grasp.clone(), grasp];
        assert_eq!(check(&bad, &Parameters::default()).unwrap().grasps.len(), 2);
        bad.grasps[1].grasp_pose.pose.orientation.w = 2.0;
        let failure = check(&bad, &Parameters::default()).unwrap_err();
        assert!(
            failure
                .to_string()
                .starts_with("grasps[1].grasp_pose: quaternion"),
            "{failure}"
        );
    }
}
