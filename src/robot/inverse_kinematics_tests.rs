//! Poses that are found again, and what is left where none exists.

use super::*;
use crate::geometry::difference;
use crate::robot::toy_robots;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

fn lane(q: &[Lanes], lane: usize) -> Vec<f64> {
    q.iter().map(|v| f64::from(v.as_array()[lane])).collect()
}

/// Tool poses of random configurations, each lane another, are found again from random seeds.
fn found_part(robot: &RobotModel, seeds: usize, settings: IkSettings, rest: Option<&[f64]>) -> f64 {
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let mut solver = InverseKinematics::new(robot, settings);
    let mut q = vec![ZERO; robot.kinematics.dof()];
    robot.limits.draw_lanes(&mut rng, &mut q);
    let targets: Vec<Pose> = (0..LANES)
        .map(|l| robot.kinematics.tool_pose(&lane(&q, l)))
        .collect();
    let target = LaneFrame::from_poses(&targets).unwrap();
    let mut found = 0u32;
    for _ in 0..seeds {
        robot.limits.draw_lanes(&mut rng, &mut q);
        let residual = solver.solve(&target, rest, &mut q);
        let converged = residual.converged(1e-4, 1e-3);
        for (l, pose) in targets
            .iter()
            .enumerate()
            .filter(|(l, _)| converged >> l & 1 == 1)
        {
            let single = lane(&q, l);
            let error = difference(&robot.kinematics.tool_pose(&single), pose);
            assert!(
                error.fixed_rows::<3>(0).norm() < 1.1e-4
                    && error.fixed_rows::<3>(3).norm() < 1.1e-3
            );
            assert!(robot.limits.violation(&single, 1e-6).is_none());
        }
        found |= converged;
    }
    f64::from(found.count_ones()) / LANES as f64
}

#[test]
fn reachable_poses_are_found() {
    let ik = IkSettings::default;
    assert_eq!(found_part(&toy_robots::seven_joints(), 24, ik(), None), 1.0);
    assert!(found_part(&toy_robots::six_joints(), 48, ik(), None) >= 0.9);
    assert_eq!(
        found_part(&toy_robots::twelve_joints(), 16, ik(), None),
        1.0
    );
}

#[test]
fn arms_with_few_joints_find_the_poses_they_can_reach() {
    for robot in [
        toy_robots::one_joint(),
        toy_robots::two_joints(),
        toy_robots::mimic(),
    ] {
        assert_eq!(
            found_part(&robot, 24, IkSettings::default(), None),
            1.0,
            "{}",
            robot.name
        );
    }
}

#[test]
fn the_pull_draws_redundant_arms_to_the_rest_posture() {
    let robot = toy_robots::seven_joints();
    let rest = [0.2, 0.5, -0.1, 0.8, 0.1, 0.6, 0.0];
    // a posture that reaches the same pose with another elbow
    let target = LaneFrame::from_poses(&[robot.kinematics.tool_pose(&rest)]).unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let mut away = [0.0; 2];
    let mut start = vec![ZERO; 7];
    robot.limits.draw_lanes(&mut rng, &mut start);
    for (pulled, away) in away.iter_mut().enumerate() {
        let mut solver = InverseKinematics::new(
            &robot,
            IkSettings {
                iterations: 80,
                ..IkSettings::default()
            },
        );
        let mut q = start.clone();
        let residual = solver.solve(&target, (pulled == 1).then_some(&rest[..]), &mut q);
        let converged = residual.converged(1e-3, 1e-2);
        let distance = |l: usize| -> f64 {
            lane(&q, l)
                .iter()
                .zip(rest)
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let found: Vec<f64> = (0..LANES)
            .filter(|l| converged >> l & 1 == 1)
            .map(distance)
            .collect();
        assert!(found.len() >= 4, "{}", found.len());
        *away = found.iter().copied().fold(f64::INFINITY, f64::min);
    }
    assert!(away[1] < 0.7 * away[0], "{away:?}");
}

#[test]
fn unreachable_poses_leave_a_residual() {
    let robot = toy_robots::seven_joints();
    let target = LaneFrame::from_poses(&[Pose::translation(3.0, 0.0, 0.0)]).unwrap();
    let mut solver = InverseKinematics::new(&robot, IkSettings::default());
    let mut q = vec![splat(0.1); 7];
    let residual = solver.solve(&target, None, &mut q);
    assert_eq!(residual.converged(0.1, 10.0), 0);
    assert!(residual
        .position_m
        .to_array()
        .iter()
        .all(|r| *r > 1.5 && *r < 3.5));
    assert!(lane(&q, 0).iter().all(|v| v.is_finite()));
}

#[test]
fn angles_are_told_up_to_a_half_turn() {
    for angle in [1e-4, 0.3, 1.5, 2.5, 3.1] {
        let pose = Pose::rotation(nalgebra::Vector3::new(0.6, 0.0, 0.8) * angle);
        let turned = LaneFrame::from_poses(&[pose]).unwrap();
        let found = f64::from(angle_between(&LaneFrame::identity(), &turned).as_array()[0]);
        assert!(
            (found - angle).abs() < 2e-3 * angle.max(0.1),
            "{angle} {found}"
        );
    }
}
