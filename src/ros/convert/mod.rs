//! The border between messages and the core: every conversion is here.

pub mod constraints;
pub mod goal;
pub mod markers;
#[cfg(moveit_msgs)]
pub mod moveit;
pub mod result;
pub mod scene;

use super::controller_rules::{CommandedPoint, CommandedTrajectory};
use super::state::TimeNs;
use crate::geometry::Pose;
use nalgebra::{Quaternion, Translation3, UnitQuaternion};
use r2r::builtin_interfaces::msg::{Duration, Time};
use r2r::{geometry_msgs, trajectory_msgs};

/// A quaternion's length may differ from one by this much: senders with f32 are further off than 1e-6.
const QUATERNION_TOLERANCE: f64 = 1e-3;

/// Why a pose was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PoseError {
    #[error("{what}: position ({x}, {y}, {z}) is not finite")]
    Position {
        what: String,
        x: f64,
        y: f64,
        z: f64,
    },
    #[error("{what}: quaternion ({x}, {y}, {z}, {w}) has length {length:.6}, it must be 1 within {QUATERNION_TOLERANCE}")]
    Quaternion {
        what: String,
        x: f64,
        y: f64,
        z: f64,
        w: f64,
        length: f64,
    },
}

/// A pose from a message; `what` names it in the error.
///
/// # Errors
/// [`PoseError`]: not finite, or a quaternion that is not of length one.
pub fn pose_from_message(
    message: &geometry_msgs::msg::Pose,
    what: &str,
) -> Result<Pose, PoseError> {
    let (p, q) = (&message.position, &message.orientation);
    if ![p.x, p.y, p.z].iter().all(|v| v.is_finite()) {
        return Err(PoseError::Position {
            what: what.to_owned(),
            x: p.x,
            y: p.y,
            z: p.z,
        });
    }
    let quaternion = Quaternion::new(q.w, q.x, q.y, q.z);
    let length = quaternion.norm();
    // Not `>`: NaN has to fail too.
    let is_unit = (length - 1.0).abs() <= QUATERNION_TOLERANCE;
    if !is_unit {
        return Err(PoseError::Quaternion {
            what: what.to_owned(),
            x: q.x,
            y: q.y,
            z: q.z,
            w: q.w,
            length,
        });
    }
    Ok(Pose::from_parts(
        Translation3::new(p.x, p.y, p.z),
        UnitQuaternion::from_quaternion(quaternion),
    ))
}

/// A transform's pose, by the same rules.
///
/// # Errors
/// [`PoseError`]
pub fn pose_from_transform(
    message: &geometry_msgs::msg::Transform,
    what: &str,
) -> Result<Pose, PoseError> {
    let t = &message.translation;
    let pose = geometry_msgs::msg::Pose {
        position: geometry_msgs::msg::Point {
            x: t.x,
            y: t.y,
            z: t.z,
        },
        orientation: message.rotation.clone(),
    };
    pose_from_message(&pose, what)
}

pub fn pose_to_message(pose: &Pose) -> geometry_msgs::msg::Pose {
    let (t, q) = (&pose.translation, &pose.rotation);
    geometry_msgs::msg::Pose {
        position: geometry_msgs::msg::Point {
            x: t.x,
            y: t.y,
            z: t.z,
        },
        orientation: geometry_msgs::msg::Quaternion {
            x: q.i,
            y: q.j,
            z: q.k,
            w: q.w,
        },
    }
}

pub fn time_from_message(time: &Time) -> TimeNs {
    TimeNs::from(time.sec) * 1_000_000_000 + TimeNs::from(time.nanosec)
}

pub fn time_to_message(time: TimeNs) -> Time {
    Time {
        sec: time.div_euclid(1_000_000_000) as i32,
        nanosec: time.rem_euclid(1_000_000_000) as u32,
    }
}

pub fn duration_from_message(duration: &Duration) -> f64 {
    f64::from(duration.sec) + f64::from(duration.nanosec) * 1e-9
}

/// Rounded to the nanosecond.
pub fn duration_to_message(seconds: f64) -> Duration {
    let nanoseconds = (seconds * 1e9).round() as i64;
    Duration {
        sec: nanoseconds.div_euclid(1_000_000_000) as i32,
        nanosec: nanoseconds.rem_euclid(1_000_000_000) as u32,
    }
}

/// A trajectory as a controller reads it at time `now`; a zero stamp means at once.
pub fn trajectory_from_message(
    message: &trajectory_msgs::msg::JointTrajectory,
    now: TimeNs,
) -> CommandedTrajectory {
    let stamp = time_from_message(&message.header.stamp);
    CommandedTrajectory {
        joint_names: message.joint_names.clone(),
        points: message
            .points
            .iter()
            .map(|point| CommandedPoint {
                time_s: duration_from_message(&point.time_from_start),
                positions: point.positions.clone(),
                velocities: point.velocities.clone(),
                accelerations: point.accelerations.clone(),
            })
            .collect(),
        start_in_s: (stamp != 0).then(|| (stamp - now) as f64 * 1e-9),
    }
}

/// The message for a trajectory that starts at once.
pub fn trajectory_to_message(
    trajectory: &CommandedTrajectory,
) -> trajectory_msgs::msg::JointTrajectory {
    trajectory_msgs::msg::JointTrajectory {
        joint_names: trajectory.joint_names.clone(),
        points: trajectory
            .points
            .iter()
            .map(|point| trajectory_msgs::msg::JointTrajectoryPoint {
                positions: point.positions.clone(),
                velocities: point.velocities.clone(),
                accelerations: point.accelerations.clone(),
                effort: Vec::new(),
                time_from_start: duration_to_message(point.time_s),
            })
            .collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poses_go_both_ways() {
        let pose = Pose::from_parts(
            Translation3::new(0.1, -2.0, 3.0),
            UnitQuaternion::from_euler_angles(0.3, -1.2, 2.9),
        );
        let back = pose_from_message(&pose_to_message(&pose), "p").unwrap();
        assert!((pose.inverse() * back).rotation.angle() < 1e-12);
        assert!((pose.translation.vector - back.translation.vector).norm() < 1e-15);
    }

    #[test]
    fn bad_poses_name_thing_value_and_limit() {
        let mut message = pose_to_message(&Pose::identity());
        message.orientation.w = 0.5;
        assert_eq!(
            pose_from_message(&message, "object_pose")
                .unwrap_err()
                .to_string(),
            "object_pose: quaternion (0, 0, 0, 0.5) has length 0.500000, it must be 1 within 0.001"
        );
        message.orientation.w = f64::NAN;
        assert!(pose_from_message(&message, "p").is_err());
        message.orientation.w = 1.0;
        message.position.y = f64::INFINITY;
        assert_eq!(
            pose_from_message(&message, "p").unwrap_err().to_string(),
            "p: position (0, inf, 0) is not finite"
        );
    }

    #[test]
    fn times_go_both_ways_also_before_zero() {
        for seconds in [0.0, 1.25, 3600.000000001, -0.5] {
            let back = duration_from_message(&duration_to_message(seconds));
            assert!((back - seconds).abs() < 1e-9);
        }
        assert_eq!(
            time_from_message(&time_to_message(1_700_000_000_123_456_789)),
            1_700_000_000_123_456_789
        );
    }
}
