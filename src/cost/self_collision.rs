//! Distance of the robot's spheres to each other.
//!
//! The same quadratic cost as towards the scene, over the link pairs that are not allowed to touch: of spheres, or of the links as a
//! whole where a table over the two joints between them knows their distance.

use std::ops::Range;
use std::sync::Arc;

use super::active_set::{for_each_bit, ActiveSet};
use crate::lanes::{cross, dot, horizontal_max, scale, splat, sub, Lanes, Lanes3, ZERO, ZERO3};
use crate::robot::{BodyWrenches, CollisionModel, KinematicState, PairTable, Sphere, SphereGroup};

/// Squared distances below this have no direction, m^2.
const TINY_M2: f32 = 1e-10;

/// Sphere groups against each other, laid out for sixteen configurations at once.
#[derive(Clone, Debug)]
pub struct SelfCollision {
    spheres: Vec<Sphere>,
    groups: Vec<SphereGroup>,
    /// Of groups, sorted by their links.
    pairs: Vec<(usize, usize)>,
    link_pairs: Vec<LinkPair>,
    tables: Vec<Arc<PairTable>>,
    links: Vec<String>,
}

/// Two links with spheres around each: tested before their groups.
#[derive(Clone, Debug)]
struct LinkPair {
    around: (SphereGroup, SphereGroup),
    /// Indices into the pairs of groups.
    pairs: Range<usize>,
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
        let links_of =
            |&(a, b): &(usize, usize)| (model.own.groups[a].link, model.own.groups[b].link);
        let mut pairs = model.self_pairs.clone();
        pairs.sort_by_key(|pair| (links_of(pair), *pair));
        let mut link_pairs: Vec<LinkPair> = Vec::new();
        let mut first = 0;
        for same in pairs.chunk_by(|x, y| links_of(x) == links_of(y)) {
            let side = |of: fn(&(usize, usize)) -> usize| {
                around(same.iter().map(|pair| &model.own.groups[of(pair)]))
            };
            if let (Some(a), Some(b)) = (side(|p| p.0), side(|p| p.1)) {
                link_pairs.push(LinkPair {
                    around: (a, b),
                    pairs: first..first + same.len(),
                });
            }
            first += same.len();
        }
        Self {
            spheres: model.own.spheres.clone(),
            groups: model.own.groups.clone(),
            pairs,
            link_pairs,
            tables: model.tables.clone(),
            links: model.links.clone(),
        }
    }

    /// Lets two links touch. Names that do not exist are left alone.
    pub fn allow(&mut self, link_a: &str, link_b: &str) {
        let stays = |a: usize, b: usize| {
            let pair = (self.links[a].as_str(), self.links[b].as_str());
            pair != (link_a, link_b) && pair != (link_b, link_a)
        };
        self.link_pairs
            .retain(|links| stays(links.around.0.link, links.around.1.link));
        self.tables
            .retain(|table| stays(table.links.0, table.links.1));
    }

    /// The pairs of groups whose links may come nearer than `reach` in any lane.
    #[inline(always)]
    fn near_pairs<'a>(
        &'a self,
        state: &'a KinematicState,
        reach: Lanes,
    ) -> impl Iterator<Item = usize> + 'a {
        self.link_pairs
            .iter()
            .filter(move |links| {
                let (a, b) = &links.around;
                self.is_near(state, (a, b), reach)
            })
            .flat_map(|links| links.pairs.clone())
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
        let reach = splat(reach_m.max(0.0));
        for pair in self.near_pairs(state, reach) {
            if self.is_near(state, self.groups_of(pair), reach) {
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
        for table in &self.tables {
            let distance = table.add_gradient(state, wrenches, |distance| {
                let depth = (activation_m - distance).fast_max(ZERO);
                let slope = depth * inverse2;
                cost = (depth * slope).mul_add(splat(0.5), cost);
                -slope
            });
            nearest = nearest.fast_min(distance);
        }
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
        for table in &self.tables {
            colliding |= table.distance_m(state).simd_lt(margin_m).to_bitmask();
        }
        for pair in self.near_pairs(state, margin_m) {
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
        let near = |table: &Arc<PairTable>| table.distance_m(state).simd_lt(margin_m).any();
        if self.tables.iter().any(near) {
            return true;
        }
        self.near_pairs(state, margin_m).any(|pair| {
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
        for table in &self.tables {
            let distance = table.distance_m(state).as_array()[lane];
            if distance < smallest {
                smallest = distance;
                best = Some(table.links);
            }
        }
        let apart =
            |pair: (&SphereGroup, &SphereGroup)| self.group_distance(state, pair).as_array()[lane];
        for links in &self.link_pairs {
            // Bounding spheres that are further apart hold nothing nearer.
            if apart((&links.around.0, &links.around.1)) >= smallest {
                continue;
            }
            for pair in links.pairs.clone() {
                let (a, b) = self.groups_of(pair);
                if apart((a, b)) >= smallest {
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
        }
        best.map(|(a, b)| SelfClearance {
            distance_m: f64::from(smallest),
            links: (self.links[a].clone(), self.links[b].clone()),
        })
    }
}

/// A sphere around groups of one link; `None` without any. Of one link, so all in one body.
fn around<'a>(groups: impl Iterator<Item = &'a SphereGroup> + Clone) -> Option<SphereGroup> {
    let count = groups.clone().count() as f32;
    let first = groups.clone().next()?;
    let center_m: [f32; 3] =
        std::array::from_fn(|k| groups.clone().map(|g| g.center_m[k]).sum::<f32>() / count);
    let reach = |g: &SphereGroup| {
        let squared: f32 = (0..3).map(|k| (g.center_m[k] - center_m[k]).powi(2)).sum();
        squared.sqrt() + g.radius_m
    };
    Some(SphereGroup {
        center_m,
        // Rounding must not lose a contact.
        radius_m: groups.map(reach).fold(0.0, f32::max) + 1e-5,
        ..first.clone()
    })
}

#[cfg(test)]
#[path = "self_collision_tests.rs"]
mod tests;
