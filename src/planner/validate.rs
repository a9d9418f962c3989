//! Checks of a request before anything is computed: the error names the thing, the value and what is allowed.

use super::constraints;
use super::error::PlanError;
use super::request::{Goal, PlanRequest};
use crate::geometry::Pose;
use crate::robot::RobotModel;

/// How far a joint may stand outside its limits, for sensors that round [rad or m].
const LIMIT_TOLERANCE: f64 = 1e-3;
/// Share by which a start velocity or acceleration may exceed its limit by rounding.
const RATE_TOLERANCE: f64 = 1e-6;
const QUATERNION_TOLERANCE: f64 = 1e-3;
/// A distance beyond this is a unit error [m].
const LARGEST_DISTANCE_M: f64 = 10.0;

/// Refuses requests that have no meaning.
pub fn validate(robot: &RobotModel, request: &PlanRequest) -> Result<(), PlanError> {
    joint_values(robot, "start", &request.start)?;
    if let Some(v) = robot.limits.violation(&request.start, LIMIT_TOLERANCE) {
        return Err(PlanError::StartOutsideLimits {
            joint: v.joint,
            value: v.value,
            lower: v.lower,
            upper: v.upper,
        });
    }
    for (what, value) in [
        ("velocity_scaling", request.velocity_scaling),
        ("acceleration_scaling", request.acceleration_scaling),
    ] {
        within(
            what,
            value,
            value > 0.0 && value <= 1.0,
            "it must be in (0, 1]",
        )?;
    }
    moving_start(robot, request)?;
    for (what, value) in [
        ("approach_distance_m", request.approach_distance_m),
        ("lift_distance_m", request.lift_distance_m),
        ("retreat_distance_m", request.retreat_distance_m),
        ("collision_margin_m", request.collision_margin_m),
    ] {
        within(
            what,
            value,
            (0.0..=LARGEST_DISTANCE_M).contains(&value),
            "it must be in [0, 10] m",
        )?;
    }
    within(
        "time_limit",
        request.time_limit.as_secs_f64(),
        !request.time_limit.is_zero(),
        "it must be above 0 s",
    )?;
    within(
        "num_particles",
        request.num_particles as f64,
        request.num_particles > 0,
        "it must be at least 1",
    )?;
    request.scene.validate()?;
    goal(robot, &request.goal)?;
    place(request)?;
    allowed_collisions(robot, request)?;
    path_constraints(robot, request)
}

/// Only what is grasped can be put somewhere, and only an object with a known shape.
fn place(request: &PlanRequest) -> Result<(), PlanError> {
    let Some(world_from_object) = &request.place_world_from_object else {
        return Ok(());
    };
    pose("place pose", world_from_object)?;
    if request.goal.target().is_some() {
        return Ok(());
    }
    Err(invalid(
        "place pose".into(),
        "given without an object".into(),
        "placing needs a grasp goal with an object".into(),
    ))
}

/// Velocity and acceleration at the start: inside the limits in force, and such that the arm can still stop.
fn moving_start(robot: &RobotModel, request: &PlanRequest) -> Result<(), PlanError> {
    let limits = &robot.limits;
    let quantities = [
        (
            "velocity",
            &request.start_velocity,
            &limits.velocity,
            request.velocity_scaling,
        ),
        (
            "acceleration",
            &request.start_acceleration,
            &limits.acceleration,
            request.acceleration_scaling,
        ),
    ];
    for (quantity, values, limit, scaling) in quantities {
        if values.is_empty() {
            continue;
        }
        joint_values(robot, &format!("start {quantity}"), values)?;
        for (j, value) in values.iter().enumerate() {
            let (own, scaled) = (limit[j], limit[j] * scaling);
            if value.abs() <= scaled * (1.0 + RATE_TOLERANCE) {
                continue;
            }
            let allowed = if value.abs() <= own * (1.0 + RATE_TOLERANCE) {
                format!("with {quantity}_scaling {scaling} its limit is {scaled:.4}: brake first, or scale less")
            } else {
                format!("its limit is {own:.4}")
            };
            let what = format!("start {quantity} of joint '{}'", limits.names[j]);
            return Err(invalid(what, format!("{value:.4}"), allowed));
        }
    }
    for (j, &v) in request.start_velocity.iter().enumerate() {
        let stop = request.start[j]
            + 0.5 * v * v.abs() / (limits.acceleration[j] * request.acceleration_scaling);
        let bound = if v > 0.0 {
            limits.upper[j]
        } else {
            limits.lower[j]
        };
        if v != 0.0 && (stop - bound) * v.signum() > LIMIT_TOLERANCE {
            return Err(invalid(
                format!("start velocity of joint '{}'", limits.names[j]),
                format!("{v:.4}"),
                format!(
                    "from {:.4} it cannot stop before its limit {bound:.4}",
                    request.start[j]
                ),
            ));
        }
    }
    Ok(())
}

/// Pairs of things that exist.
fn allowed_collisions(robot: &RobotModel, request: &PlanRequest) -> Result<(), PlanError> {
    let target = request
        .goal
        .target()
        .map(|(object, _)| object.name.as_str());
    let objects = request.scene.objects.iter().map(|o| o.name.as_str());
    let known: Vec<&str> = (robot.kinematics.link_names().chain(objects).chain(target)).collect();
    let names = request.allowed_collisions.iter().flat_map(|(a, b)| [a, b]);
    match names
        .into_iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        None => Ok(()),
        Some(unknown) => Err(invalid(
            "name in allowed_collisions".into(),
            format!("'{unknown}'"),
            format!("known are: {}", known.join(", ")),
        )),
    }
}

/// Constraints that make sense, and that start and goal keep where those are given as configurations.
fn path_constraints(robot: &RobotModel, request: &PlanRequest) -> Result<(), PlanError> {
    constraints::rules(robot, &request.constraints)?;
    let breach = |q: &[f64]| constraints::breach(robot, &request.constraints, false, q);
    if let Some(breach) = breach(&request.start) {
        return Err(PlanError::StartBreaksConstraint(breach));
    }
    match &request.goal {
        Goal::Joints(q) => breach(q).map_or(Ok(()), |b| Err(PlanError::GoalBreaksConstraint(b))),
        Goal::Pose { .. } | Goal::Grasp { .. } | Goal::Grasps { .. } => Ok(()),
    }
}

fn goal(robot: &RobotModel, goal: &Goal) -> Result<(), PlanError> {
    match goal {
        Goal::Joints(q) => {
            joint_values(robot, "goal", q)?;
            match robot.limits.violation(q, LIMIT_TOLERANCE) {
                None => Ok(()),
                Some(v) => Err(invalid(
                    format!("goal of joint '{}'", v.joint),
                    format!("{:.4}", v.value),
                    format!("its limits are [{:.4}, {:.4}]", v.lower, v.upper),
                )),
            }
        }
        Goal::Pose { world_from_tool } => pose("goal pose", world_from_tool),
        Goal::Grasp {
            world_from_object, ..
        } => {
            needs_gripper(robot)?;
            pose("object pose", world_from_object)
        }
        Goal::Grasps {
            world_from_object,
            object_from_gripper,
            ..
        } => {
            needs_gripper(robot)?;
            pose("object pose", world_from_object)?;
            if object_from_gripper.is_empty() {
                return Err(invalid(
                    "list of grasps".into(),
                    "empty".into(),
                    "give at least one".into(),
                ));
            }
            object_from_gripper
                .iter()
                .enumerate()
                .try_for_each(|(i, g)| pose(&format!("grasp {i}"), g))
        }
    }
}

fn needs_gripper(robot: &RobotModel) -> Result<(), PlanError> {
    if robot.gripper.is_some() {
        return Ok(());
    }
    Err(invalid(
        "gripper of the robot".into(),
        "not described".into(),
        "a grasp goal needs it in the settings".into(),
    ))
}

fn joint_values(robot: &RobotModel, what: &str, q: &[f64]) -> Result<(), PlanError> {
    let names = robot.kinematics.joint_names();
    if q.len() != names.len() {
        let allowed = format!("the robot has {} joints: {}", names.len(), names.join(", "));
        return Err(invalid(
            format!("number of {what} joint values"),
            q.len().to_string(),
            allowed,
        ));
    }
    match q.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(j) => Err(invalid(
            format!("{what} of joint '{}'", names[j]),
            q[j].to_string(),
            "it must be finite".into(),
        )),
    }
}

fn pose(what: &str, pose: &Pose) -> Result<(), PlanError> {
    let translation = pose.translation.vector;
    if translation.iter().any(|v| !v.is_finite()) {
        let value = format!(
            "({}, {}, {}) m",
            translation.x, translation.y, translation.z
        );
        return Err(invalid(
            format!("{what}'s position"),
            value,
            "it must be finite".into(),
        ));
    }
    let norm = pose.rotation.quaternion().norm();
    if (norm - 1.0).abs() <= QUATERNION_TOLERANCE {
        return Ok(());
    }
    Err(invalid(
        format!("{what}'s quaternion length"),
        norm.to_string(),
        "it must be 1 within 1e-3".into(),
    ))
}

fn within(what: &str, value: f64, holds: bool, allowed: &str) -> Result<(), PlanError> {
    if holds {
        return Ok(());
    }
    Err(invalid(what.into(), value.to_string(), allowed.into()))
}

fn invalid(what: String, value: String, allowed: String) -> PlanError {
    PlanError::InvalidRequest {
        what,
        value,
        allowed,
    }
}
