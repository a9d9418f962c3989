//! Clearance over the whole motion, to obstacles and of the robot to itself, side by side: neither smallest distance waits for the
//! other.

use parry3d_f64::math::Pose3;

use super::links::{Hinge, LinkChain};
use super::measure::nearest_points;
use super::sampling::Samples;
use super::scan::{Check, Nearest, ScanState};
use super::solids::Solid;
use super::timeline::{Timeline, WHOLE};
use super::{Motion, NearestObstacle, VerifySettings, Violation};

/// Two solids that must keep apart.
pub(super) struct Pair {
    pub a: usize,
    pub b: usize,
    pub with_world: bool,
    pub required_m: f64,
    /// Index into [`Bodies::movers`].
    pub mover: usize,
    /// First of the pair's entries in [`ScanState::directions`].
    pub directions: usize,
}

impl Pair {
    /// Two solids that both move with links.
    pub fn between_links(a: usize, b: usize) -> Self {
        Self {
            a,
            b,
            with_world: false,
            required_m: 0.0,
            mover: 0,
            directions: 0,
        }
    }

    /// A solid `a` that moves and an obstacle `b`.
    pub fn with_world(a: usize, b: usize) -> Self {
        Self {
            with_world: true,
            ..Self::between_links(a, b)
        }
    }

    /// The solid that is taken to stand, and the one that moves as seen from it.
    pub fn fixed_and_moving(&self) -> (usize, usize) {
        match self.with_world {
            true => (self.b, self.a),
            false => (self.a, self.b),
        }
    }
}

/// A solid as it moves in the frame of a link; all pairs with other solids of that link share its bounds.
pub(super) struct Mover {
    frame: usize,
    pub solid: usize,
    pub hinges: Vec<Hinge>,
}

/// What there is to keep apart.
#[derive(Default)]
pub(super) struct Bodies {
    pub solids: Vec<Solid>,
    pub pairs: Vec<Pair>,
    pub movers: Vec<Mover>,
    /// Parts by parts, of all pairs.
    pub direction_count: usize,
}

/// Bodies, and what the check of a motion found.
#[derive(Default)]
pub(super) struct Collider {
    pub bodies: Bodies,
    /// Pairs with an obstacle, in two lanes.
    world: [ScanState; 2],
    /// Pairs of links and held objects.
    robot: [ScanState; 2],
}

impl Bodies {
    /// Forgets the last motion; the links are the first solids.
    pub fn clear(&mut self, links: &[Solid]) {
        self.solids.clear();
        self.solids.extend_from_slice(links);
        self.pairs.clear();
        self.movers.clear();
        self.direction_count = 0;
    }

    /// Adds a pair unless it may touch or never moves.
    pub fn add_pair(&mut self, chain: &LinkChain, settings: &VerifySettings, mut pair: Pair) {
        let (a, b) = (&self.solids[pair.a], &self.solids[pair.b]);
        if settings.may_touch(&a.name, &b.name) {
            return;
        }
        pair.required_m = if pair.with_world {
            settings.min_clearance_m
        } else {
            settings.min_self_clearance_m
        };
        let (fixed, moving) = pair.fixed_and_moving();
        let parts = self.solids[fixed].parts.len() * self.solids[moving].parts.len();
        let frame_of = |solid: usize| self.solids[solid].link.unwrap_or(chain.base());
        let (frame, link) = (frame_of(fixed), frame_of(moving));
        let known = |m: &Mover| m.frame == frame && m.solid == moving;
        pair.mover = match self.movers.iter().position(known) {
            Some(mover) => mover,
            None => {
                self.movers.push(Mover {
                    frame,
                    solid: moving,
                    hinges: chain.between(frame, link),
                });
                self.movers.len() - 1
            }
        };
        // What no joint moves relative to each other (the base and its table) is the user's to arrange.
        if !self.movers[pair.mover].hinges.is_empty() {
            pair.directions = self.direction_count;
            self.direction_count += parts;
            self.pairs.push(pair);
        }
    }

    /// The two solids of a pair: the one that is taken to stand, and the one that moves as seen from it.
    pub fn solids_of(&self, pair: usize) -> (&Solid, &Solid) {
        let (fixed, moving) = self.pairs[pair].fixed_and_moving();
        (&self.solids[fixed], &self.solids[moving])
    }

    /// Pose of the moving solid's frame in the frame of the fixed one.
    pub fn fixed_from_moving(&self, pair: usize, links: &[Pose3]) -> Pose3 {
        let (fixed, moving) = self.solids_of(pair);
        fixed
            .world_from_frame(links)
            .inv_mul(moving.world_from_frame(links))
    }

    /// The pairs of a sort with both ends of the motion, those first that are nearest then: pair and moment.
    pub fn nearest_first(&self, with_world: bool, timeline: &Timeline) -> Vec<(usize, usize)> {
        let whole = timeline.interval(WHOLE);
        // A bound by spheres.
        let distance_at_least = |pair: usize, moment: usize| {
            let (fixed, moving) = self.solids_of(pair);
            let fixed_from_moving = self.fixed_from_moving(pair, timeline.poses(moment));
            let center = fixed_from_moving.transform_point(moving.center);
            fixed.distance_at_least(center, moving.radius_m) - fixed.margin_m - moving.margin_m
        };
        let pairs = (0..self.pairs.len()).filter(|&pair| self.pairs[pair].with_world == with_world);
        let ends = pairs.flat_map(|pair| [(pair, whole.from), (pair, whole.to)]);
        let mut order: Vec<(f64, (usize, usize))> = ends
            .map(|(pair, moment)| (distance_at_least(pair, moment), (pair, moment)))
            .collect();
        order.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        order.into_iter().map(|(_, end)| end).collect()
    }

    /// Names of the two solids of a pair.
    pub fn names(&self, pair: usize) -> (String, String) {
        let Pair { a, b, .. } = self.pairs[pair];
        (self.solids[a].name.clone(), self.solids[b].name.clone())
    }
}

impl Collider {
    /// Checks all pairs over the whole motion; both lanes of both sorts have a chain for themselves.
    ///
    /// # Errors
    /// A violation; one with an obstacle, if there are both.
    pub fn run(
        &mut self,
        chains: &mut [[LinkChain; 2]; 2],
        samples: &Samples,
        motion: &dyn Motion,
        settings: &VerifySettings,
    ) -> Result<(), Violation> {
        let check = Check {
            bodies: &self.bodies,
            samples,
            motion,
            settings,
        };
        let [of_world, of_robot] = chains;
        let (world, robot) = rayon::join(
            || check.run(true, of_world, &mut self.world),
            || check.run(false, of_robot, &mut self.robot),
        );
        world.and(robot)
    }

    /// The smallest distance to an obstacle.
    pub fn nearest_world(&self) -> &Nearest {
        &nearest(&self.world).nearest
    }

    /// The smallest distance between links that may not touch.
    pub fn nearest_robot(&self) -> &Nearest {
        &nearest(&self.robot).nearest
    }

    /// Where the last motion was nearest to an obstacle.
    pub fn nearest_obstacle(&self) -> Option<NearestObstacle> {
        let state = nearest(&self.world);
        let Nearest {
            distance_m,
            pair,
            moment,
        } = state.nearest;
        let pair = &self.bodies.pairs[pair?];
        let (link, object) = (&self.bodies.solids[pair.a], &self.bodies.solids[pair.b]);
        let links = state.timeline.poses(moment);
        let points = nearest_points(link, object, links, distance_m);
        Some(NearestObstacle {
            link: link.name.clone(),
            object: object.name.clone(),
            points_m: points.map(|points| points.map(|p| p.to_array())),
        })
    }

    /// Configurations that were looked at.
    pub fn checked_states(&self) -> usize {
        self.lanes().map(|lane| lane.timeline.moment_count()).sum()
    }

    /// Distances that were measured.
    pub fn checked_distances(&self) -> usize {
        self.lanes().map(|lane| lane.checked_distances).sum()
    }

    fn lanes(&self) -> impl Iterator<Item = &ScanState> {
        self.world.iter().chain(&self.robot)
    }
}

/// The lane that found the smaller distance.
fn nearest([first, second]: &[ScanState; 2]) -> &ScanState {
    match second.nearest.distance_m < first.nearest.distance_m {
        true => second,
        false => first,
    }
}
