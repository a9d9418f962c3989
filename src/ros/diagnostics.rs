//! `/diagnostics`: what a supervisor needs to know of the node, once a second.

use super::convert;
use super::library::ModelStatus;
use super::lock;
use super::parameters::Parameters;
use super::shared::{RobotStatus, Shared};
use super::status::{Activity, StatusBoard};
use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};

const OK: u8 = DiagnosticStatus::OK as u8;
const WARN: u8 = DiagnosticStatus::WARN as u8;
const ERROR: u8 = DiagnosticStatus::ERROR as u8;
/// A fault of the node itself.
const INTERNAL: u16 = 999;

/// Publishes the state of every part.
pub fn publish(shared: &Shared, status: &StatusBoard, node_name: &str) {
    let parameters = shared.parameters();
    let mut message = DiagnosticArray {
        status: vec![
            robot(shared),
            joint_states(shared, &parameters),
            objects(shared, &parameters),
            planner(status),
        ],
        ..Default::default()
    };
    for part in &mut message.status {
        part.name = format!("{node_name}: {}", part.name);
        part.hardware_id = node_name.to_owned();
    }
    message.header.stamp = convert::time_to_message(shared.now());
    shared.outputs.diagnostics.publish(&message);
}

fn part(name: &str, level: u8, message: String, values: Vec<(&str, String)>) -> DiagnosticStatus {
    DiagnosticStatus {
        level,
        name: name.to_owned(),
        message,
        values: values
            .into_iter()
            .map(|(key, value)| KeyValue {
                key: key.to_owned(),
                value,
            })
            .collect(),
        ..Default::default()
    }
}

fn robot(shared: &Shared) -> DiagnosticStatus {
    let (level, message, values) = match shared.robot() {
        RobotStatus::Waiting => (WARN, "waiting for robot_description".to_owned(), vec![]),
        RobotStatus::Building => (WARN, "the model is being built".to_owned(), vec![]),
        RobotStatus::Failed(reason) => (ERROR, reason, vec![]),
        RobotStatus::Ready(robot) => {
            let joints = robot.kinematics.joint_names().join(", ");
            (OK, robot.name.clone(), vec![("joints", joints)])
        }
    };
    part("robot model", level, message, values)
}

fn joint_states(shared: &Shared, parameters: &Parameters) -> DiagnosticStatus {
    let RobotStatus::Ready(robot) = shared.robot() else {
        return part("joint states", WARN, "no robot model".to_owned(), vec![]);
    };
    let names = robot.kinematics.joint_names();
    let age_s = lock(&shared.joint_states).age_s(names, shared.now());
    let state = shared.arm_state(&robot, parameters.state_max_age_s);
    let (level, message) = match state {
        Ok(_) => (OK, "fresh".to_owned()),
        Err(error) => (ERROR, error.to_string()),
    };
    let age = age_s.map_or("unknown".to_owned(), |age| format!("{age:.3}"));
    part("joint states", level, message, vec![("age_s", age)])
}

fn objects(shared: &Shared, parameters: &Parameters) -> DiagnosticStatus {
    let ages = lock(&shared.object_poses).ages_s(shared.now());
    let models = shared.library.statuses();
    let scene_fault = lock(&shared.scene).fault.clone();
    let list_fault = shared.library.fault();
    let failed: Vec<&str> = models
        .iter()
        .filter_map(|(_, status)| match status {
            ModelStatus::Failed(reason) => Some(reason.as_str()),
            _ => None,
        })
        .chain(list_fault.as_deref())
        .chain(scene_fault.as_deref())
        .collect();
    let limit_s = parameters.objects_max_age_s;
    let stale = ages
        .iter()
        .filter(|(_, age_s)| limit_s > 0.0 && *age_s > limit_s)
        .count();
    let (level, message) = match (failed.is_empty(), stale) {
        (false, _) => (ERROR, failed.join("; ")),
        (true, 0) => (OK, format!("{} poses, {} models", ages.len(), models.len())),
        (true, n) => (
            WARN,
            format!("{n} of {} poses are older than {limit_s} s", ages.len()),
        ),
    };
    let mut values: Vec<(String, String)> = ages
        .iter()
        .map(|(id, age_s)| (format!("{id} age_s"), format!("{age_s:.3}")))
        .collect();
    values.extend(models.iter().map(|(id, status)| {
        let state = match status {
            ModelStatus::Loading => "loading",
            ModelStatus::Ready(_) => "ready",
            ModelStatus::Failed(_) => "failed",
        };
        (format!("{id} model"), state.to_owned())
    }));
    let values = values
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    part("objects", level, message, values)
}

fn planner(status: &StatusBoard) -> DiagnosticStatus {
    let (code, error, time_s) = status.last_outcome();
    let level = match (code, status.activity()) {
        (INTERNAL, _) => ERROR,
        (_, Activity::Unconfigured | Activity::Inactive) => WARN,
        _ => OK,
    };
    let message = match code {
        0 => format!("{:?}", status.activity()),
        _ => format!("{:?}; last goal failed: {error}", status.activity()),
    };
    let values = vec![
        ("last_error_code", code.to_string()),
        ("last_planning_time_s", format!("{time_s:.3}")),
    ];
    part("planner", level, message, values)
}
