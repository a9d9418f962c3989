//! The trajectory that brings an arm to rest.

use super::controller_rules::{CommandedPoint, CommandedTrajectory};
use super::state::ArmState;
use crate::robot::RobotModel;

/// A stop takes at least this long, so that the controller has a way to go.
const SHORTEST_STOP_S: f64 = 0.05;

/// One point at rest. A controller interpolates to it from the present motion: with the point at half the way that the
/// present speed would go, each joint slows down evenly within its acceleration limit and does not turn back.
pub fn stopping(state: &ArmState, robot: &RobotModel) -> CommandedTrajectory {
    let limits = &robot.limits;
    let time_s = state
        .velocity
        .iter()
        .zip(&limits.acceleration)
        .map(|(v, a)| v.abs() / a)
        .fold(SHORTEST_STOP_S, f64::max);
    let positions = (0..state.position.len())
        .map(|j| {
            let rest = state.position[j] + 0.5 * time_s * state.velocity[j];
            rest.clamp(
                limits.lower[j].min(state.position[j]),
                limits.upper[j].max(state.position[j]),
            )
        })
        .collect();
    CommandedTrajectory {
        joint_names: robot.kinematics.joint_names().to_vec(),
        points: vec![CommandedPoint {
            time_s,
            positions,
            velocities: vec![0.0; state.position.len()],
            accelerations: Vec::new(),
        }],
        start_in_s: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::controller_rules;
    use super::*;
    use crate::robot::toy_robots::shipped;
    use crate::ros::sim::follower::TrajectoryFollower;

    #[test]
    fn a_stop_slows_every_joint_evenly_within_its_limits() {
        let robot = shipped("panda");
        let limits = &robot.limits;
        let middle = |j: usize| 0.5 * (limits.lower[j] + limits.upper[j]);
        let state = ArmState {
            position: (0..limits.dof()).map(middle).collect(),
            velocity: (0..limits.dof())
                .map(|j| limits.velocity[j] * if j % 2 == 0 { 0.9 } else { -0.4 })
                .collect(),
            stamp: 0,
        };
        let command = stopping(&state, &robot);
        controller_rules::check(&command, robot.kinematics.joint_names()).unwrap();
        let mut arm = TrajectoryFollower::new(limits.names.clone(), state.position.clone());
        arm.velocity.clone_from(&state.velocity);
        arm.command(&command, 0.0).unwrap();
        let dt_s = 1e-3;
        let mut before = state.velocity.clone();
        let steps = (command.points[0].time_s / dt_s) as usize;
        for i in 1..=steps {
            arm.step(i as f64 * dt_s);
            for (j, before) in before.iter().enumerate() {
                let (v, joint) = (arm.velocity[j], &limits.names[j]);
                let acceleration = (v - before).abs() / dt_s;
                assert!(
                    acceleration <= 1.001 * limits.acceleration[j],
                    "{joint}: {acceleration}"
                );
                assert!(v * state.velocity[j] >= -1e-9, "{joint} turns back");
            }
            before.clone_from(&arm.velocity);
        }
        arm.step(10.0);
        assert!(!arm.is_moving());
        for (j, &position) in arm.position.iter().enumerate() {
            assert!(limits.lower[j] <= position && position <= limits.upper[j]);
        }
    }

    #[test]
    fn a_resting_arm_is_held_where_it_is() {
        let robot = shipped("panda");
        let position = vec![0.1, -0.5, 0.2, -2.0, 0.1, 1.5, 0.7];
        let state = ArmState {
            velocity: vec![0.0; 7],
            position: position.clone(),
            stamp: 0,
        };
        let command = stopping(&state, &robot);
        assert_eq!(command.points.len(), 1);
        assert_eq!(command.points[0].positions, position);
        assert!(command.points[0].time_s > 0.0);
    }
}
