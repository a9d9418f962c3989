//! Distance of the robot's spheres to each other.
//!
//! The same quadratic cost as towards the scene, over the link pairs that are not allowed to touch.

use super::active_set::{for_each_bit, ActiveSet};
use crate::lanes::{cross, dot, horizontal_max, scale, splat, sub, Lanes, Lanes3, ZERO, ZERO3};
use crate::robot::{BodyWrenches, CollisionModel, KinematicState, Sphere, SphereGroup};

/// Squared distances below this have no direction, m^2.
const TINY_M2: f32 = 1e-10;

/// Sphere groups against each other, laid out for sixteen configurations at once.
#[derive(Clone, Debug)]
pub struct SelfCollision {
    spheres: Vec<Sphere>,
    groups: Vec<SphereGroup>,
    pairs: Vec<(usize, usize)>,
    links: Vec<String>,
}

/// The nearest pair of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfClearance {
    pub distance_m: f64,
    pub links: (String, String),
}

impl SelfCollision {
    /// Tables for a robot.
    pub fn new(model: &CollisionModel) -> Self {
        Self {
            spheres: model.spheres.clone(),
            groups: model.groups.clone(),
            pairs: model.self_pairs.clone(),
            links: model.links.clone(),
        }
    }

    /// Lets two links touch. Names that do not exist are left alone.
    pub fn allow(&mut self, link_a: &str, link_b: &str) {
        let (groups, links) = (&self.groups, &self.links);
        let name = |group: usize| links[groups[group].link].as_str();
        self.pairs.retain(|&(a, b)| {
            let pair = (name(a), name(b));
            pair != (link_a, link_b) && pair != (link_b, link_a)
        });
    }

    /// An active set of the right size, empty.
    pub fn new_active_set(&self) -> ActiveSet {
        ActiveSet::new(1, self.pairs.len())
    }

    /// Bits of the lanes in which the bounding spheres of a pair come nearer than `reach`.
    #[inline(always)]
    fn is_near(
        &self,
        state: &KinematicState,
        (a, b): (&SphereGroup, &SphereGroup),
        reach: Lanes,
    ) -> bool {
        let offset = sub(
            &state.bodies[a.body].point(a.center_m),
            &state.bodies[b.body].point(b.center_m),
        );
        let reach = reach + splat(a.radius_m + b.radius_m);
        dot(&offset, &offset).simd_lt(reach * reach).any()
    }

    /// Distance between the bounding spheres of a pair, m.
    #[inline(always)]
    fn group_distance(
        &self,
        state: &KinematicState,
        (a, b): (&SphereGroup, &SphereGroup),
    ) -> Lanes {
        let offset = sub(
            &state.bodies[a.body].point(a.center_m),
            &state.bodies[b.body].point(b.center_m),
        );
        dot(&offset, &offset).sqrt() - splat(a.radius_m + b.radius_m)
    }

    #[inline(always)]
    fn groups_of(&self, pair: usize) -> (&SphereGroup, &SphereGroup) {
        let (a, b) = self.pairs[pair];
        (&self.groups[a], &self.groups[b])
    }

    /// Makes `active` the pairs that come nearer than `reach_m` in any lane.
    pub fn refresh(&self, state: &KinematicState, reach_m: f32, active: &mut ActiveSet) {
        active.clear();
        for pair in 0..self.pairs.len() {
            if self.is_near(state, self.groups_of(pair), splat(reach_m.max(0.0))) {
                active.insert(0, pair);
            }
        }
    }

    /// Adds the cost to `value`, its gradient by the bodies' motion to `wrenches`, and lowers `min_distance` (m) to
    /// the smallest distance found. `activation_m` is positive in every lane.
    pub fn evaluate(
        &self,
        state: &KinematicState,
        active: &ActiveSet,
        activation_m: Lanes,
        wrenches: &mut BodyWrenches,
        value: &mut Lanes,
        min_distance: &mut Lanes,
    ) {
        let widest = splat(horizontal_max(activation_m));
        let inverse = splat(1.0) / activation_m;
        let inverse2 = inverse * inverse;
        let (mut cost, mut nearest) = (ZERO, *min_distance);
        for_each_bit(active.row(0), |pair| {
            let (a, b) = self.groups_of(pair);
            if !self.is_near(state, (a, b), widest) {
                return;
            }
            let (mut force, mut moment) = (ZERO3, ZERO3);
            self.for_each_near(state, (a, b), widest, |at, offset, squared, radii| {
                let squared = squared.fast_max(splat(TINY_M2));
                let inverse_length = splat(1.0) / squared.sqrt();
                let distance = squared.mul_sub(inverse_length, radii);
                nearest = nearest.fast_min(distance);
                let depth = (activation_m - distance).fast_max(ZERO);
                let slope = depth * inverse2;
                cost = (depth * slope).mul_add(splat(0.5), cost);
                let push = scale(offset, -(slope * inverse_length));
                force = crate::lanes::add(&force, &push);
                moment = crate::lanes::add(&moment, &cross(at, &push));
            });
            // equal and opposite; the line of action is common, so both moments are
            wrenches.add(a.body, &force, &moment);
            wrenches.add(
                b.body,
                &scale(&force, splat(-1.0)),
                &scale(&moment, splat(-1.0)),
            );
        });
        *value += cost;
        *min_distance = nearest;
    }

    /// Visits the sphere pairs of two groups that are nearer than `reach` in any lane:
    /// (centre of the first, offset from the second, its square, sum of radii).
    #[inline(always)]
    fn for_each_near(
        &self,
        state: &KinematicState,
        (a, b): (&SphereGroup, &SphereGroup),
        reach: Lanes,
        mut visit: impl FnMut(&Lanes3, &Lanes3, Lanes, Lanes),
    ) {
        let (frame_a, frame_b) = (&state.bodies[a.body], &state.bodies[b.body]);
        for first in &self.spheres[a.spheres.clone()] {
            let at = frame_a.point(first.center_m);
            for second in &self.spheres[b.spheres.clone()] {
                let offset = sub(&at, &frame_b.point(second.center_m));
                let squared = dot(&offset, &offset);
                let radii = splat(first.radius_m + second.radius_m);
                let limit = radii + reach;
                if squared.simd_lt(limit * limit).any() {
                    visit(&at, &offset, squared, radii);
                }
            }
        }
    }

    /// Bits of the lanes in which two spheres come nearer than `margin_m` (not negative).
    pub fn in_collision(&self, state: &KinematicState, margin_m: Lanes) -> u32 {
        let margin_m = margin_m.fast_max(ZERO);
        let mut colliding = 0;
        for pair in 0..self.pairs.len() {
            let groups = self.groups_of(pair);
            if self.is_near(state, groups, margin_m) {
                self.for_each_near(state, groups, margin_m, |_, _, squared, radii| {
                    let limit = radii + margin_m;
                    colliding |= squared.simd_lt(limit * limit).to_bitmask();
                });
            }
        }
        colliding
    }

    /// Whether any lane collides; stops at the first pair of groups that does.
    pub fn any_in_collision(&self, state: &KinematicState, margin_m: Lanes) -> bool {
        let margin_m = margin_m.fast_max(ZERO);
        (0..self.pairs.len()).any(|pair| {
            let groups = self.groups_of(pair);
            let mut found = false;
            if self.is_near(state, groups, margin_m) {
                self.for_each_near(state, groups, margin_m, |_, _, _, _| found = true);
            }
            found
        })
    }

    /// The smallest distance of one lane and its pair of links; `None` if no pair is tested.
    pub fn clearance(&self, state: &KinematicState, lane: usize) -> Option<SelfClearance> {
        let mut best = None;
        let mut smallest = f32::INFINITY;
        for pair in 0..self.pairs.len() {
            let (a, b) = self.groups_of(pair);
            // Bounding spheres that are further apart hold nothing nearer.
            if self.group_distance(state, (a, b)).as_array()[lane] >= smallest {
                continue;
            }
            self.for_each_near(state, (a, b), splat(smallest), |_, _, squared, radii| {
                let distance = squared.as_array()[lane].sqrt() - radii.as_array()[lane];
                if distance < smallest {
                    smallest = distance;
                    best = Some((a.link, b.link));
                }
            });
        }
        best.map(|(a, b)| SelfClearance {
            distance_m: f64::from(smallest),
            links: (self.links[a].clone(), self.links[b].clone()),
        })
    }
}

#[cfg(test)]
mod tests {
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
            world_from_link
                * body_from_link.inverse()
                * Point3::from(sphere.center_m.map(f64::from))
        };
        let mut smallest = f64::INFINITY;
        for &(a, b) in &model.self_pairs {
            let (a, b) = (&model.groups[a], &model.groups[b]);
            for s in &model.spheres[a.spheres.clone()] {
                for t in &model.spheres[b.spheres.clone()] {
                    let distance = (center(a, s) - center(b, t)).norm();
                    smallest = smallest.min(distance - f64::from(s.radius_m + t.radius_m));
                }
            }
        }
        smallest
    }

    #[test]
    fn distances_and_masks_agree_with_double_precision() {
        let robot = toy_robots::twelve_joints();
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
}
