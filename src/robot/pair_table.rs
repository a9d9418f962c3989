//! Distance between two links as a table over the joints between them.
//!
//! A forearm and the flange behind the wrist pass each other closely, and only spheres too fine to be tested in every step tell
//! how closely. But two hinges alone decide it. Between the table's points the distance is interpolated; where it has a ridge, since
//! another pair of spheres becomes the nearest, that gives a little less than the truth.

use std::f32::consts::TAU;

use super::collision::CollisionModel;
use super::joints::MotionKind;
use super::link_distance::LinkDistance;
use super::{BodyWrenches, JointLimits, KinematicModel, KinematicState};
use crate::lanes::{scale, splat, Lanes, LANES, ZERO, ZERO3};

/// Widest step of the table, rad.
const STEP_RAD: f64 = 0.03;

/// Distance between two links with two hinges between them.
#[derive(Clone, Debug)]
pub struct PairTable {
    /// Indices into [`CollisionModel::links`].
    pub links: (usize, usize),
    hinges: [Hinge; 2],
    /// `[first hinge][second hinge]`, m.
    distance_m: Vec<f32>,
}

/// One of the two joints.
#[derive(Clone, Debug)]
struct Hinge {
    /// The body that it moves, and the one that it hangs on.
    body: usize,
    parent: usize,
    /// Index of the planned joint.
    variable: usize,
    continuous: bool,
    low_rad: f32,
    step_rad: f32,
    places: usize,
}

impl PairTable {
    /// `None` if other than two simple hinges lie between the links.
    pub(super) fn new(
        model: &CollisionModel,
        kinematics: &KinematicModel,
        limits: &JointLimits,
        links: (usize, usize),
    ) -> Option<Self> {
        let body = |link: usize| {
            model
                .own
                .groups
                .iter()
                .find(|g| g.link == link)
                .map(|g| g.body)
        };
        let bodies = (body(links.0)?, body(links.1)?);
        let hinges = hinges_between(kinematics, limits, bodies)?;
        let mut table = Self {
            links,
            hinges,
            distance_m: Vec::new(),
        };
        table.fill(model, kinematics, limits);
        Some(table)
    }

    /// Measures the distance of the spheres at every point.
    fn fill(&mut self, model: &CollisionModel, kinematics: &KinematicModel, limits: &JointLimits) {
        let [first, second] = &self.hinges;
        let count = first.places * second.places;
        let mut state = kinematics.new_state();
        // The other joints move both links alike.
        let mut q: Vec<Lanes> = (0..kinematics.dof())
            .map(|j| splat(0.5 * (limits.lower[j] + limits.upper[j]) as f32))
            .collect();
        let mut links = LinkDistance::new(&model.own, self.links);
        let mut distance_m = Vec::with_capacity(count + LANES);
        for block in (0..count).step_by(LANES) {
            let at = |of: fn(usize, usize) -> usize, hinge: &Hinge| {
                Lanes::from(std::array::from_fn::<f32, LANES, _>(|lane| {
                    let place = of((block + lane).min(count - 1), second.places);
                    hinge.low_rad + hinge.step_rad * place as f32
                }))
            };
            q[first.variable] = at(|point, columns| point / columns, first);
            q[second.variable] = at(|point, columns| point % columns, second);
            kinematics.forward(&q, &mut state);
            distance_m.extend(links.measure_m(&state).to_array());
        }
        distance_m.truncate(count);
        self.distance_m = distance_m;
    }

    /// Distance of the links (m) and its derivatives by the two joints (m/rad).
    #[inline]
    fn lookup(&self, state: &KinematicState) -> (Lanes, [Lanes; 2]) {
        let [first, second] = [0, 1].map(|k| self.hinges[k].place(&state.q));
        let columns = self.hinges[1].places;
        let (mut value, mut slopes) = ([0f32; LANES], [[0f32; LANES]; 2]);
        for lane in 0..LANES {
            let ((i, u), (j, v)) = (first[lane], second[lane]);
            let row = |at: usize| {
                let (a, b) = (self.distance_m[at], self.distance_m[at + 1]);
                ((b - a).mul_add(v, a), b - a)
            };
            let [(low, slope_low), (high, slope_high)] =
                [row(i * columns + j), row((i + 1) * columns + j)];
            value[lane] = (high - low).mul_add(u, low);
            slopes[0][lane] = (high - low) / self.hinges[0].step_rad;
            slopes[1][lane] =
                (slope_high - slope_low).mul_add(u, slope_low) / self.hinges[1].step_rad;
        }
        (Lanes::from(value), slopes.map(Lanes::from))
    }

    /// Distance of the links, m.
    pub fn distance_m(&self, state: &KinematicState) -> Lanes {
        self.lookup(state).0
    }

    /// The same; `slope(distance)` is the cost's derivative by it (1/m), and the cost's gradient by the joints is added to `wrenches`:
    /// as a torque between the bodies on both sides of each hinge.
    pub fn add_gradient(
        &self,
        state: &KinematicState,
        wrenches: &mut BodyWrenches,
        slope: impl FnOnce(Lanes) -> Lanes,
    ) -> Lanes {
        let (distance, by_joint) = self.lookup(state);
        let slope = slope(distance);
        if slope.simd_ne(ZERO).any() {
            for (hinge, by_joint) in self.hinges.iter().zip(by_joint) {
                let torque = scale(&state.bodies[hinge.body].z, slope * by_joint);
                wrenches.add(hinge.body, &ZERO3, &torque);
                wrenches.add(hinge.parent, &ZERO3, &scale(&torque, splat(-1.0)));
            }
        }
        distance
    }
}

impl Hinge {
    /// Cell and fraction in it for each lane.
    #[inline]
    fn place(&self, q: &[Lanes]) -> [(usize, f32); LANES] {
        let mut angle = q[self.variable];
        if self.continuous {
            angle -= (angle * splat(1.0 / TAU)).round_ties_even() * splat(TAU);
        }
        let place = ((angle - splat(self.low_rad)) * splat(1.0 / self.step_rad))
            .fast_max(ZERO)
            .fast_min(splat((self.places - 1) as f32));
        place.to_array().map(|place| {
            // `as` takes NaN to 0.
            let cell = (place as usize).min(self.places - 2);
            (cell, place - cell as f32)
        })
    }
}

/// The two hinges between two bodies; `None` if there are more or fewer, or others than hinges with a planned joint each.
fn hinges_between(
    kinematics: &KinematicModel,
    limits: &JointLimits,
    (a, b): (usize, usize),
) -> Option<[Hinge; 2]> {
    let above = |body: usize| {
        std::iter::successors(Some(body), |&body| kinematics.parent_body(body))
            .take_while(|&body| body > 0)
    };
    let only =
        |body: usize, other: usize| above(body).filter(move |&x| above(other).all(|y| y != x));
    let hinge = |body: usize| {
        let joint = &kinematics.body_joints[body - 1];
        let simple = joint.kind == MotionKind::Turn
            && joint.multiplier == 1.0
            && joint.position_offset == 0.0;
        let (low, high) = limits.sampling_range(joint.variable);
        let places = ((high - low) / STEP_RAD).ceil().max(1.0) as usize + 1;
        simple.then(|| Hinge {
            body,
            parent: joint.parent,
            variable: joint.variable,
            continuous: limits.continuous[joint.variable],
            low_rad: low as f32,
            step_rad: ((high - low) / (places - 1) as f64) as f32,
            places,
        })
    };
    let hinges: Vec<Hinge> = only(a, b)
        .chain(only(b, a))
        .map(hinge)
        .collect::<Option<_>>()?;
    let hinges: [Hinge; 2] = hinges.try_into().ok()?;
    let usable =
        hinges[0].variable != hinges[1].variable && hinges.iter().all(|h| h.step_rad > 0.0);
    usable.then_some(hinges)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::lanes::{dot, sub};
    use crate::robot::toy_robots;

    /// Smallest distance of the spheres of two links.
    fn of_spheres(model: &CollisionModel, state: &KinematicState, links: (usize, usize)) -> Lanes {
        let spheres = |link: usize| {
            let groups = model.own.groups.iter().filter(move |g| g.link == link);
            groups.flat_map(|g| {
                model.own.spheres[g.spheres.clone()]
                    .iter()
                    .map(|s| (g.body, s))
            })
        };
        let mut smallest = splat(f32::INFINITY);
        for (body, s) in spheres(links.0) {
            let center = state.bodies[body].point(s.center_m);
            for (other, t) in spheres(links.1) {
                let offset = sub(&center, &state.bodies[other].point(t.center_m));
                let radii = splat(s.radius_m + t.radius_m);
                smallest = smallest.fast_min(dot(&offset, &offset).sqrt() - radii);
            }
        }
        smallest
    }

    #[test]
    fn tables_agree_with_the_spheres_and_rather_give_less() {
        for robot in [
            toy_robots::shipped("panda"),
            toy_robots::shipped("fr3"),
            toy_robots::twelve_joints(),
        ] {
            let model = &robot.collision;
            assert!(!model.tables.is_empty(), "{}", robot.name);
            let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(3);
            let mut state = robot.kinematics.new_state();
            let mut q = vec![ZERO; robot.limits.dof()];
            let (mut near, mut total) = (0, 0.0);
            for _ in 0..100 {
                robot.limits.draw_lanes(&mut rng, &mut q);
                robot.kinematics.forward(&q, &mut state);
                for table in &model.tables {
                    let exact = of_spheres(model, &state, table.links).to_array();
                    let found = table.distance_m(&state).to_array();
                    for (found, exact) in found.into_iter().zip(exact) {
                        let error = found - exact;
                        assert!((-0.004..0.0006).contains(&error), "{found} {exact}");
                        near += usize::from(exact < 0.02);
                        total += error.abs();
                    }
                }
            }
            let count = (100 * LANES * model.tables.len()) as f32;
            assert!(total / count < 4e-4, "{}: {}", robot.name, total / count);
            assert!(near > 0, "{}: none came near", robot.name);
        }
    }
}
