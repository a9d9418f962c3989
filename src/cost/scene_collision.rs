//! Distance of the robot's spheres to the scene.
//!
//! Cost of a configuration: sum over spheres and obstacles of `1/2 (max(0, e - d) / e)^2`, with d the distance of
//! the sphere's surface and e the activation distance (CHOMP's obstacle cost in its quadratic range,
//! Ratliff et al. 2009). The base stands where it stands and is left out.

use super::active_set::{for_each_bit, ActiveSet};
use crate::lanes::{cross, mul_add, splat, Lanes, Lanes3, ALL_LANES, ZERO, ZERO3};
use crate::robot::{BodyWrenches, CollisionModel, KinematicState, Sphere, SphereGroup};
use crate::scene::LaneScene;

/// Spheres against obstacles, laid out for sixteen configurations at once.
#[derive(Clone, Debug)]
pub struct SceneCollision {
    scene: LaneScene,
    spheres: Vec<Sphere>,
    /// Of bodies that move.
    groups: Vec<SphereGroup>,
    links: Vec<String>,
    /// By group, one bit per obstacle: pairs that are tested.
    tested: ActiveSet,
}

/// The nearest pair of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneClearance {
    pub distance_m: f64,
    pub link: String,
    pub object: String,
}

/// Reach that holds all points inside a shape, m.
const INSIDE_M: f32 = 1e-6;

impl SceneCollision {
    /// Tables for a robot in a scene.
    pub fn new(model: &CollisionModel, scene: LaneScene) -> Self {
        let groups: Vec<SphereGroup> = model
            .scene
            .groups
            .iter()
            .filter(|g| g.body > 0)
            .cloned()
            .collect();
        let mut tested = ActiveSet::new(groups.len(), scene.len());
        for group in 0..groups.len() {
            for obstacle in 0..scene.len() {
                tested.insert(group, obstacle);
            }
        }
        Self {
            scene,
            spheres: model.scene.spheres.clone(),
            groups,
            links: model.links.clone(),
            tested,
        }
    }

    /// Lets a link touch an object (the fingers the object to be grasped). Names that do not exist are left alone:
    /// what is not there cannot be touched.
    pub fn allow(&mut self, link: &str, object: &str) {
        let Some(allowed) = self.scene.index(object) else {
            return;
        };
        let mut tested = ActiveSet::new(self.groups.len(), self.scene.len());
        for (index, group) in self.groups.iter().enumerate() {
            for_each_bit(self.tested.row(index), |obstacle| {
                if obstacle != allowed || self.links[group.link] != link {
                    tested.insert(index, obstacle);
                }
            });
        }
        self.tested = tested;
    }

    /// The spheres of one body alone.
    pub fn of_body(&self, body: usize) -> Self {
        let of_body = |group: &usize| self.groups[*group].body == body;
        let kept: Vec<usize> = (0..self.groups.len()).filter(of_body).collect();
        let mut tested = ActiveSet::new(kept.len(), self.scene.len());
        for (row, &group) in kept.iter().enumerate() {
            for_each_bit(self.tested.row(group), |obstacle| {
                tested.insert(row, obstacle)
            });
        }
        Self {
            groups: kept.iter().map(|&g| self.groups[g].clone()).collect(),
            tested,
            ..self.clone()
        }
    }

    /// An active set of the right size, empty.
    pub fn new_active_set(&self) -> ActiveSet {
        ActiveSet::new(self.groups.len(), self.scene.len())
    }

    /// Makes `active` the pairs that come nearer than `reach_m` in any lane: the activation distance and how far
    /// a sphere may move until the next refresh.
    pub fn refresh(&self, state: &KinematicState, reach_m: f32, active: &mut ActiveSet) {
        active.clear();
        for (index, group) in self
            .groups
            .iter()
            .enumerate()
            .filter(|(_, g)| !g.static_in_world)
        {
            let center = state.bodies[group.body].point(group.center_m);
            let reach = splat(group.radius_m + reach_m.max(0.0));
            for_each_bit(self.tested.row(index), |obstacle| {
                if self.scene.obstacles()[obstacle]
                    .is_near(&center, reach)
                    .any()
                {
                    active.insert(index, obstacle);
                }
            });
        }
    }

    /// Adds the cost to `value`, its gradient by the bodies' motion to `wrenches`, and lowers `min_distance` (m) to
    /// the smallest distance found. Distances beyond the activation distance are not looked for.
    /// `activation_m` is positive in every lane.
    pub fn evaluate(
        &self,
        state: &KinematicState,
        active: &ActiveSet,
        activation_m: Lanes,
        wrenches: &mut BodyWrenches,
        value: &mut Lanes,
        min_distance: &mut Lanes,
    ) {
        let inverse = splat(1.0) / activation_m;
        let inverse2 = inverse * inverse;
        let obstacles = self.scene.obstacles();
        let (mut cost, mut nearest) = (ZERO, *min_distance);
        for (index, group) in self.groups.iter().enumerate() {
            let row = active.row(index);
            if row.iter().all(|&w| w == 0) {
                continue;
            }
            let frame = &state.bodies[group.body];
            let (mut group_force, mut group_moment) = (ZERO3, ZERO3);
            for sphere in &self.spheres[group.spheres.clone()] {
                let center = frame.point(sphere.center_m);
                let radius = splat(sphere.radius_m);
                let reach = radius + activation_m;
                let mut force = ZERO3;
                let mut touched = false;
                for_each_bit(row, |obstacle| {
                    let obstacle = &obstacles[obstacle];
                    let near = obstacle.is_near(&center, reach).to_bitmask();
                    if near == 0 {
                        return;
                    }
                    let (distance, gradient) = obstacle.distance_and_gradient(&center, near);
                    let distance = distance - radius;
                    nearest = nearest.fast_min(distance);
                    let depth = (activation_m - distance).fast_max(ZERO);
                    let slope = depth * inverse2;
                    cost = (depth * slope).mul_add(splat(0.5), cost);
                    force = mul_add(&gradient, -slope, &force);
                    touched = true;
                });
                if touched {
                    group_force = crate::lanes::add(&group_force, &force);
                    group_moment = crate::lanes::add(&group_moment, &cross(&center, &force));
                }
            }
            wrenches.add(group.body, &group_force, &group_moment);
        }
        *value += cost;
        *min_distance = nearest;
    }

    /// Bits of the lanes in which a sphere comes nearer to an obstacle than `margin_m` (not negative).
    pub fn in_collision(&self, state: &KinematicState, margin_m: Lanes) -> u32 {
        self.colliding(state, margin_m, ALL_LANES)
    }

    /// Whether any lane collides; stops at the first.
    pub fn any_in_collision(&self, state: &KinematicState, margin_m: Lanes) -> bool {
        self.colliding(state, margin_m, 0) != 0
    }

    /// Stops as soon as all of `enough` (or, if that is none, any lane) collide.
    #[inline(always)]
    fn colliding(&self, state: &KinematicState, margin_m: Lanes, enough: u32) -> u32 {
        let margin_m = margin_m.fast_max(ZERO);
        let obstacles = self.scene.obstacles();
        let mut colliding = 0u32;
        // the hand first: it collides most often
        for (index, group) in self.groups.iter().enumerate().rev() {
            let frame = &state.bodies[group.body];
            let center = frame.point(group.center_m);
            let group_reach = margin_m + splat(group.radius_m);
            for (word_index, &word) in self.tested.row(index).iter().enumerate() {
                let mut near = 0u64;
                for_each_bit(&[word], |bit| {
                    if obstacles[64 * word_index + bit]
                        .is_near(&center, group_reach)
                        .any()
                    {
                        near |= 1 << bit;
                    }
                });
                if near == 0 {
                    continue;
                }
                for sphere in &self.spheres[group.spheres.clone()] {
                    let center = frame.point(sphere.center_m);
                    let reach = margin_m + splat(sphere.radius_m);
                    for_each_bit(&[near], |bit| {
                        colliding |= obstacles[64 * word_index + bit]
                            .is_nearer(&center, reach)
                            .to_bitmask();
                    });
                    if colliding != 0 && colliding & enough == enough {
                        return colliding;
                    }
                }
            }
        }
        colliding
    }

    /// The smallest distance of one lane and the pair it belongs to; `None` in an empty scene.
    pub fn clearance(&self, state: &KinematicState, lane: usize) -> Option<SceneClearance> {
        let mut best = None;
        let mut smallest = f32::INFINITY;
        // The hand first: it is nearest most often, and what is further away than the nearest so far is passed over.
        for (index, group) in self.groups.iter().enumerate().rev() {
            let frame = &state.bodies[group.body];
            let around = frame.point(group.center_m);
            for_each_bit(self.tested.row(index), |obstacle| {
                let shape = &self.scene.obstacles()[obstacle];
                let distance_to = |center: &Lanes3| {
                    shape.distance_and_gradient(center, 1 << lane).0.as_array()[lane]
                };
                // A bounding sphere that is further away holds nothing nearer; beyond a grid's cube its distance grows
                // faster than the way gone, so the cube is what counts. Inside a shape every sphere is looked at.
                let reach = splat((smallest + group.radius_m).max(INSIDE_M));
                if shape.is_near(&around, reach).to_bitmask() >> lane & 1 == 0 {
                    return;
                }
                for sphere in &self.spheres[group.spheres.clone()] {
                    let distance = distance_to(&frame.point(sphere.center_m)) - sphere.radius_m;
                    if distance < smallest {
                        smallest = distance;
                        best = Some((group.link, obstacle));
                    }
                }
            });
        }
        best.map(|(link, obstacle)| SceneClearance {
            distance_m: f64::from(smallest),
            link: self.links[link].clone(),
            object: self.scene.name(obstacle).to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::kernel_checks::{assert_gradient_matches, configurations};
    use crate::geometry::Pose;
    use crate::robot::toy_robots;
    use crate::scene::{Scene, SceneObject, Shape};
    use nalgebra::Point3;

    fn scene() -> Scene {
        let at = |x: f64, y: f64, z: f64| {
            Pose::from_parts(
                nalgebra::Translation3::new(x, y, z),
                nalgebra::UnitQuaternion::from_euler_angles(0.3 * x, 0.2, y),
            )
        };
        Scene {
            objects: vec![
                SceneObject::new("table", Shape::Plane, Pose::translation(0.0, 0.0, -0.1)),
                SceneObject::new("ball", Shape::Sphere { radius_m: 0.1 }, at(0.3, 0.2, 0.4)),
                SceneObject::new(
                    "pipe",
                    Shape::Capsule {
                        radius_m: 0.05,
                        length_m: 0.6,
                    },
                    at(-0.2, 0.3, 0.5),
                ),
                SceneObject::new(
                    "can",
                    Shape::Cylinder {
                        radius_m: 0.1,
                        length_m: 0.2,
                    },
                    at(0.4, -0.3, 0.3),
                ),
                SceneObject::new(
                    "crate",
                    Shape::Box {
                        half_extents_m: [0.1, 0.2, 0.1],
                    },
                    at(-0.3, -0.2, 0.6),
                ),
            ],
        }
    }

    #[test]
    fn gradient_is_the_derivative() {
        for robot in toy_robots::all() {
            let cost = SceneCollision::new(&robot.collision, LaneScene::from_scene(&scene()));
            let mut active = cost.new_active_set();
            assert_gradient_matches(&robot, |state, wrenches, value| {
                cost.refresh(state, 0.3, &mut active);
                let activation = Lanes::from(std::array::from_fn::<f32, 16, _>(|l| {
                    0.08 + 0.01 * l as f32
                }));
                cost.evaluate(state, &active, activation, wrenches, value, &mut splat(1.0));
            });
        }
    }

    /// Sphere distances in double precision, by brute force.
    fn exact_distance(robot: &crate::robot::RobotModel, q: &[f64]) -> f64 {
        let scene = scene();
        let mut smallest = f64::INFINITY;
        for group in robot.collision.scene.groups.iter().filter(|g| g.body > 0) {
            let link = &robot.collision.links[group.link];
            let (_, body_from_link) = robot.kinematics.body_of_link(link).unwrap();
            let world_from_body =
                robot.kinematics.forward_kinematics(q, link).unwrap() * body_from_link.inverse();
            for sphere in &robot.collision.scene.spheres[group.spheres.clone()] {
                let center = world_from_body * Point3::from(sphere.center_m.map(f64::from));
                for object in &scene.objects {
                    smallest = smallest.min(object.distance(&center) - f64::from(sphere.radius_m));
                }
            }
        }
        smallest
    }

    #[test]
    fn distances_and_masks_agree_with_double_precision() {
        for robot in toy_robots::all() {
            let cost = SceneCollision::new(&robot.collision, LaneScene::from_scene(&scene()));
            if robot.collision.scene.groups.is_empty() {
                continue;
            }
            for seed in 0..6 {
                let (lanes, single) = configurations(&robot, seed);
                let mut state = robot.kinematics.new_state();
                robot.kinematics.forward(&lanes, &mut state);
                let mut active = cost.new_active_set();
                cost.refresh(&state, 0.2, &mut active);
                let mut nearest = splat(1.0);
                let mut wrenches = BodyWrenches::new(robot.kinematics.body_count());
                cost.evaluate(
                    &state,
                    &active,
                    splat(0.2),
                    &mut wrenches,
                    &mut ZERO.clone(),
                    &mut nearest,
                );
                let mask = cost.in_collision(&state, splat(0.02));
                assert_eq!(cost.any_in_collision(&state, splat(0.02)), mask != 0);
                for (lane, q) in single.iter().enumerate() {
                    let exact = exact_distance(&robot, q);
                    let found = f64::from(nearest.to_array()[lane]);
                    let moving = robot
                        .collision
                        .scene
                        .groups
                        .iter()
                        .all(|g| !g.static_in_world);
                    if exact < 0.19 && moving {
                        assert!((found - exact).abs() < 5e-6, "{found} {exact}");
                    }
                    let clearance = cost.clearance(&state, lane).unwrap();
                    assert!((clearance.distance_m - exact).abs() < 5e-6);
                    if (exact - 0.02).abs() > 1e-5 {
                        assert_eq!(mask >> lane & 1 == 1, exact < 0.02, "{exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_nearest_pair_is_named_and_can_be_allowed() {
        let robot = toy_robots::one_joint();
        // the arm lies along +x, 0.2 above the base; its sphere is at x = 0.25
        let object = |name: &str, x| {
            SceneObject::new(
                name,
                Shape::Sphere { radius_m: 0.05 },
                Pose::translation(x, 0.0, 0.2),
            )
        };
        let scene = Scene {
            objects: vec![object("far", 0.6), object("near", 0.4)],
        };
        let mut cost = SceneCollision::new(&robot.collision, LaneScene::from_scene(&scene));
        let mut state = robot.kinematics.new_state();
        robot.kinematics.forward(&[ZERO], &mut state);
        let clearance = cost.clearance(&state, 0).unwrap();
        assert_eq!(
            (clearance.link.as_str(), clearance.object.as_str()),
            ("l1", "near")
        );
        assert!((clearance.distance_m - 0.05).abs() < 1e-6);
        assert_eq!(cost.in_collision(&state, splat(0.06)), ALL_LANES);
        cost.allow("l1", "near");
        assert_eq!(cost.clearance(&state, 0).unwrap().object, "far");
        assert_eq!(cost.in_collision(&state, splat(0.06)), 0);
    }
}
