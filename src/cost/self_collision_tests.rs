use super::*;
use crate::cost::kernel_checks::{assert_gradient_matches, configurations};
use crate::robot::{toy_robots, RobotModel};
use nalgebra::Point3;

#[test]
fn gradient_is_the_derivative() {
    for robot in [
        toy_robots::six_joints(),
        toy_robots::seven_joints(),
        toy_robots::twelve_joints(),
        toy_robots::shipped("panda"),
    ] {
        let cost = SelfCollision::new(&robot.collision);
        let mut active = cost.new_active_set();
        assert_gradient_matches(&robot, |state, wrenches, value| {
            cost.refresh(state, 0.5, &mut active);
            cost.evaluate(state, &active, splat(0.3), wrenches, value, &mut splat(1.0));
        });
    }
}

fn exact_distance(robot: &RobotModel, q: &[f64]) -> f64 {
    let model = &robot.collision;
    let center = |group: &SphereGroup, sphere: &Sphere| {
        let link = &model.links[group.link];
        let (_, body_from_link) = robot.kinematics.body_of_link(link).unwrap();
        let world_from_link = robot.kinematics.forward_kinematics(q, link).unwrap();
        world_from_link * body_from_link.inverse() * Point3::from(sphere.center_m.map(f64::from))
    };
    let mut smallest = f64::INFINITY;
    for &(a, b) in &model.self_pairs {
        let (a, b) = (&model.own.groups[a], &model.own.groups[b]);
        for s in &model.own.spheres[a.spheres.clone()] {
            for t in &model.own.spheres[b.spheres.clone()] {
                let distance = (center(a, s) - center(b, t)).norm();
                smallest = smallest.min(distance - f64::from(s.radius_m + t.radius_m));
            }
        }
    }
    smallest
}

#[test]
fn distances_and_masks_agree_with_double_precision() {
    let mut robot = toy_robots::twelve_joints();
    // Only what spheres are tested for: every_tested_pair_of_links_counts has the tables too.
    robot.collision.tables.clear();
    let cost = SelfCollision::new(&robot.collision);
    let mut seen = [false; 2];
    for seed in 0..8 {
        let (lanes, single) = configurations(&robot, seed);
        let mut state = robot.kinematics.new_state();
        robot.kinematics.forward(&lanes, &mut state);
        let mask = cost.in_collision(&state, splat(0.05));
        assert_eq!(cost.any_in_collision(&state, splat(0.05)), mask != 0);
        for (lane, q) in single.iter().enumerate() {
            let exact = exact_distance(&robot, q);
            assert!((cost.clearance(&state, lane).unwrap().distance_m - exact).abs() < 5e-6);
            if (exact - 0.05).abs() > 1e-5 {
                assert_eq!(mask >> lane & 1 == 1, exact < 0.05);
                seen[usize::from(exact < 0.05)] = true;
            }
        }
    }
    assert_eq!(seen, [true, true], "both answers must have been tried");
}

/// Also where a table stands for the spheres.
#[test]
fn every_tested_pair_of_links_counts() {
    let robot = toy_robots::shipped("panda");
    let model = &robot.collision;
    let cost = SelfCollision::new(model);
    let mut by_spheres = robot.clone();
    for table in by_spheres.collision.tables.drain(..) {
        let groups = |link: usize| {
            let groups = model.own.groups.iter().enumerate();
            groups.filter(move |(_, g)| g.link == link).map(|(i, _)| i)
        };
        for a in groups(table.links.0) {
            let pairs = groups(table.links.1).map(|b| (a, b));
            by_spheres.collision.self_pairs.extend(pairs);
        }
    }
    let spheres = SelfCollision::new(&by_spheres.collision);
    let mut seen = [0; 2];
    for seed in 0..40 {
        let (lanes, _) = configurations(&robot, seed);
        let mut state = robot.kinematics.new_state();
        robot.kinematics.forward(&lanes, &mut state);
        let mask = cost.in_collision(&state, splat(0.005));
        for lane in 0..crate::lanes::LANES {
            let found = cost.clearance(&state, lane).unwrap();
            let exact = spheres.clearance(&state, lane).unwrap().distance_m;
            let error = found.distance_m - exact;
            assert!((-0.004..0.0006).contains(&error), "{found:?} {exact}");
            assert_eq!(mask >> lane & 1 == 1, found.distance_m < 0.005, "{found:?}");
            seen[usize::from(exact < 0.005)] += 1;
        }
    }
    assert!(seen[0] > 50 && seen[1] > 20, "both were tried: {seen:?}");
    let mut allowed = cost.clone();
    for table in &model.tables {
        let name = |link: usize| model.links[link].as_str();
        allowed.allow(name(table.links.1), name(table.links.0));
    }
    assert!(allowed.tables.is_empty());
}

#[test]
fn a_folded_snake_is_named() {
    let robot = toy_robots::twelve_joints();
    let cost = SelfCollision::new(&robot.collision);
    let mut state = robot.kinematics.new_state();
    // every second joint bends the same way: a ring
    let q: Vec<Lanes> = (0..12)
        .map(|j| if j % 2 == 0 { splat(1.2) } else { ZERO })
        .collect();
    robot.kinematics.forward(&q, &mut state);
    let clearance = cost.clearance(&state, 0).unwrap();
    assert!(
        clearance.distance_m < 0.0 && clearance.links.0 != clearance.links.1,
        "{clearance:?}"
    );
    assert!(cost.any_in_collision(&state, ZERO));
}

/// Conservative spheres must not forbid what the arm does all day.
#[test]
fn everyday_postures_of_the_shipped_arms_are_free() {
    for arm in ["panda", "fr3"] {
        let robot = toy_robots::shipped(arm);
        let cost = SelfCollision::new(&robot.collision);
        let mut state = robot.kinematics.new_state();
        let postures = [
            [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785],
            [0.0, 0.3, 0.0, -1.9, 0.0, 2.2, 0.785],
            [0.8, 0.6, -0.5, -2.4, 0.4, 2.8, 0.785],
            [0.0, -1.2, 0.0, -2.8, 0.0, 2.9, 0.785],
        ];
        let found = postures.map(|q| {
            robot.kinematics.forward(&q.map(splat), &mut state);
            cost.clearance(&state, 0).unwrap()
        });
        assert!(
            found.iter().all(|c| c.distance_m > 0.0),
            "{arm}: {found:#?}"
        );
    }
}
