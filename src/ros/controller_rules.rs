//! The rules by which a joint_trajectory_controller accepts a trajectory from its topic.
//!
//! The planner checks its own trajectories before it sends them, because the topic carries no answer;
//! the simulated arm rejects by the same rules.

/// A trajectory as it arrives, without ROS types: times from its start, seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandedTrajectory {
    pub joint_names: Vec<String>,
    pub points: Vec<CommandedPoint>,
    /// Start in seconds from now; None: at once (a zero stamp).
    pub start_in_s: Option<f64>,
}

/// One point; velocities and accelerations may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandedPoint {
    pub time_s: f64,
    pub positions: Vec<f64>,
    pub velocities: Vec<f64>,
    pub accelerations: Vec<f64>,
}

/// A speed below this counts as zero at the end of a trajectory (the controller's own constant is float epsilon).
const ZERO_VELOCITY: f64 = 1.2e-7;

/// Why the controller would not accept the trajectory.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    #[error("joints [{got}] are not the controller's joints [{expected}]")]
    JointNames { got: String, expected: String },
    #[error("the trajectory has no points")]
    Empty,
    #[error("point {index}: {field} has {got} values for {joints} joints")]
    Size {
        index: usize,
        field: &'static str,
        got: usize,
        joints: usize,
    },
    #[error("point {index}: {field} of joint '{joint}' is {value}")]
    NotFinite {
        index: usize,
        field: &'static str,
        joint: String,
        value: f64,
    },
    #[error("point {index} at {time_s} s is not later than the one before at {before_s} s")]
    Time {
        index: usize,
        time_s: f64,
        before_s: f64,
    },
    #[error("joint '{joint}' ends with velocity {velocity}, it must be 0")]
    EndVelocity { joint: String, velocity: f64 },
    #[error("the trajectory ends {ago_s:.3} s in the past")]
    EndsInThePast { ago_s: f64 },
}

/// Checks a trajectory as joint_trajectory_controller does with its default settings.
///
/// # Errors
/// The first rule that is broken.
pub fn check(trajectory: &CommandedTrajectory, joints: &[String]) -> Result<(), Rejection> {
    let named = &trajectory.joint_names;
    if named.len() != joints.len() || joints.iter().any(|joint| !named.contains(joint)) {
        return Err(Rejection::JointNames {
            got: named.join(", "),
            expected: joints.join(", "),
        });
    }
    let last = trajectory.points.last().ok_or(Rejection::Empty)?;
    if let Some(start_in_s) = trajectory.start_in_s {
        let end_in_s = start_in_s + last.time_s;
        if end_in_s < 0.0 {
            return Err(Rejection::EndsInThePast { ago_s: -end_in_s });
        }
    }
    for (index, point) in trajectory.points.iter().enumerate() {
        check_values(index, point, named)?;
        // The first point may be due at once; every other must be later than the one before.
        let before_s = match index {
            0 => -f64::MIN_POSITIVE,
            _ => trajectory.points[index - 1].time_s,
        };
        if point.time_s.is_nan() || point.time_s <= before_s {
            return Err(Rejection::Time {
                index,
                time_s: point.time_s,
                before_s,
            });
        }
    }
    for (joint, &velocity) in named.iter().zip(&last.velocities) {
        if velocity.abs() > ZERO_VELOCITY {
            return Err(Rejection::EndVelocity {
                joint: joint.clone(),
                velocity,
            });
        }
    }
    Ok(())
}

fn check_values(index: usize, point: &CommandedPoint, joints: &[String]) -> Result<(), Rejection> {
    let fields = [
        ("positions", &point.positions, true),
        ("velocities", &point.velocities, false),
        ("accelerations", &point.accelerations, false),
    ];
    for (field, values, required) in fields {
        if values.len() != joints.len() && (required || !values.is_empty()) {
            return Err(Rejection::Size {
                index,
                field,
                got: values.len(),
                joints: joints.len(),
            });
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Rejection::NotFinite {
                index,
                field,
                joint: joints[i].clone(),
                value: values[i],
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joints() -> Vec<String> {
        vec!["a".into(), "b".into()]
    }

    fn good() -> CommandedTrajectory {
        let point = |time_s: f64, x: f64, v: f64| CommandedPoint {
            time_s,
            positions: vec![x, -x],
            velocities: vec![v, -v],
            accelerations: vec![0.0, 0.0],
        };
        CommandedTrajectory {
            joint_names: vec!["b".into(), "a".into()],
            points: vec![
                point(0.0, 0.0, 0.0),
                point(0.5, 0.1, 0.3),
                point(1.0, 0.2, 0.0),
            ],
            start_in_s: None,
        }
    }

    #[test]
    fn a_good_trajectory_passes_in_any_order_of_joints() {
        assert_eq!(check(&good(), &joints()), Ok(()));
        let mut bare = good();
        for point in &mut bare.points {
            point.velocities.clear();
            point.accelerations.clear();
        }
        assert_eq!(check(&bare, &joints()), Ok(()));
    }

    #[test]
    fn each_rule_rejects() {
        type Change = fn(&mut CommandedTrajectory);
        let cases: [(Change, &str); 10] = [
            (
                |t| t.joint_names[0] = "c".into(),
                "joints [c, a] are not the controller's joints [a, b]",
            ),
            (
                |t| drop(t.joint_names.pop()),
                "joints [b] are not the controller's joints [a, b]",
            ),
            (|t| t.points.clear(), "the trajectory has no points"),
            (
                |t| t.points[1].positions.truncate(1),
                "point 1: positions has 1 values for 2 joints",
            ),
            (
                |t| t.points[2].velocities.truncate(1),
                "point 2: velocities has 1 values for 2 joints",
            ),
            (
                |t| t.points[0].accelerations.push(0.0),
                "point 0: accelerations has 3 values for 2 joints",
            ),
            (
                |t| t.points[1].positions[1] = f64::NAN,
                "point 1: positions of joint 'a' is NaN",
            ),
            (
                |t| t.points[2].time_s = 0.5,
                "point 2 at 0.5 s is not later than the one before at 0.5 s",
            ),
            (
                |t| t.points[2].velocities[0] = 0.01,
                "joint 'b' ends with velocity 0.01, it must be 0",
            ),
            (
                |t| t.start_in_s = Some(-1.5),
                "the trajectory ends 0.500 s in the past",
            ),
        ];
        for (change, message) in cases {
            let mut trajectory = good();
            change(&mut trajectory);
            let rejection = check(&trajectory, &joints()).unwrap_err();
            assert_eq!(rejection.to_string(), message);
        }
    }

    #[test]
    fn negative_and_missing_times_are_rejected() {
        for time_s in [-0.1, f64::NAN] {
            let mut trajectory = good();
            trajectory.points[0].time_s = time_s;
            assert!(matches!(
                check(&trajectory, &joints()),
                Err(Rejection::Time { index: 0, .. })
            ));
        }
    }
}
