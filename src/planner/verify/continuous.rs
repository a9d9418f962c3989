//! Clearance over the whole motion, by halving intervals of time that cannot be shown to be free.

use parry3d_f64::math::{Pose3, Vec3};

use super::apart::solids_apart;
use super::excursion::Excursion;
use super::inside::is_inside;
use super::links::{Hinge, LinkChain};
use super::measure::{distance_below, nearest_points};
use super::sampling::Samples;
use super::solids::Solid;
use super::timeline::{Timeline, WHOLE};
use super::{
    tolerance_m, Motion, NearestObstacle, VerifySettings, Violation, SELF_CLEARANCE_OF_INTEREST_M,
};

/// Two solids that must keep apart.
pub(super) struct Pair {
    pub a: usize,
    pub b: usize,
    with_world: bool,
    required_m: f64,
    /// Index into [`Collider::movers`].
    mover: usize,
    /// First of the pair's entries in [`Collider::directions`].
    directions: usize,
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
    fn fixed_and_moving(&self) -> (usize, usize) {
        match self.with_world {
            true => (self.b, self.a),
            false => (self.a, self.b),
        }
    }
}

/// A solid as it moves in the frame of a link; all pairs with other solids of that link share its bounds.
struct Mover {
    frame: usize,
    solid: usize,
    hinges: Vec<Hinge>,
}

/// The smallest distance so far.
#[derive(Clone, Copy)]
pub(super) struct Nearest {
    pub distance_m: f64,
    pub pair: Option<usize>,
    /// Of the timeline: when that was.
    moment: usize,
}

impl Default for Nearest {
    fn default() -> Self {
        Self {
            distance_m: f64::INFINITY,
            pair: None,
            moment: 0,
        }
    }
}

/// Solids, pairs and the link poses of one motion.
#[derive(Default)]
pub(super) struct Collider {
    pub solids: Vec<Solid>,
    pub pairs: Vec<Pair>,
    pub nearest_world: Nearest,
    pub nearest_robot: Nearest,
    pub checked_distances: usize,
    pub timeline: Timeline,
    movers: Vec<Mover>,
    /// `[intervals][movers]`, as far as they were asked for.
    excursions: Vec<Option<Excursion>>,
    /// Directions in which parts were last shown to be apart, by pair, part and part; zero: none yet.
    directions: Vec<Vec3>,
}

impl Collider {
    /// Forgets the last motion; the links are the first solids.
    pub fn clear(&mut self, links: &[Solid]) {
        self.solids.clear();
        self.solids.extend_from_slice(links);
        self.pairs.clear();
        self.movers.clear();
        self.directions.clear();
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
            pair.directions = self.directions.len();
            self.directions.resize(pair.directions + parts, Vec3::ZERO);
            self.pairs.push(pair);
        }
    }

    /// Checks all pairs over the whole motion.
    pub fn run(
        &mut self,
        chain: &LinkChain,
        samples: &Samples,
        motion: &dyn Motion,
        settings: &VerifySettings,
    ) -> Result<(), Violation> {
        (self.nearest_world, self.nearest_robot) = Default::default();
        self.checked_distances = 0;
        self.excursions.clear();
        self.timeline.begin(chain, samples);
        let mut scan = Scan {
            collider: self,
            chain,
            samples,
            motion,
            settings,
        };
        scan.all_pairs()
    }

    /// Where the last motion was nearest to an obstacle.
    pub fn nearest_obstacle(&self) -> Option<NearestObstacle> {
        let Nearest {
            distance_m,
            pair,
            moment,
        } = self.nearest_world;
        let pair = &self.pairs[pair?];
        let (link, object) = (&self.solids[pair.a], &self.solids[pair.b]);
        let points = nearest_points(link, object, self.timeline.poses(moment), distance_m);
        Some(NearestObstacle {
            link: link.name.clone(),
            object: object.name.clone(),
            points_m: points.map(|points| points.map(|p| p.to_array())),
        })
    }
}

/// One run over a motion.
struct Scan<'a> {
    collider: &'a mut Collider,
    chain: &'a LinkChain,
    samples: &'a Samples,
    motion: &'a dyn Motion,
    settings: &'a VerifySettings,
}

impl Scan<'_> {
    /// Nearest pairs first: what they leave as the smallest distance makes the others cheap.
    fn all_pairs(&mut self) -> Result<(), Violation> {
        let whole = self.collider.timeline.interval(WHOLE);
        let mut order: Vec<(f64, usize)> = (0..self.collider.pairs.len())
            .map(|pair| {
                let at = |moment| self.distance_at_least(pair, moment);
                (at(whole.from).min(at(whole.to)), pair)
            })
            .collect();
        order.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        for &(_, pair) in &order {
            self.check_not_inside(pair, whole.from)?;
            for moment in [whole.from, whole.to] {
                self.measure(pair, moment, self.nearest_m(pair))?;
            }
        }
        for &(_, pair) in &order {
            self.interval(pair, WHOLE)?;
        }
        Ok(())
    }

    fn solids(&self, pair: usize) -> (&Solid, &Solid) {
        let (fixed, moving) = self.collider.pairs[pair].fixed_and_moving();
        (&self.collider.solids[fixed], &self.collider.solids[moving])
    }

    /// Pose of the moving solid's frame in the frame of the fixed one.
    fn fixed_from_moving(&self, pair: usize, moment: usize) -> Pose3 {
        let (fixed, moving) = self.solids(pair);
        let links = self.collider.timeline.poses(moment);
        fixed
            .world_from_frame(links)
            .inv_mul(moving.world_from_frame(links))
    }

    /// A bound by spheres, to sort by.
    fn distance_at_least(&self, pair: usize, moment: usize) -> f64 {
        let (fixed, moving) = self.solids(pair);
        let center = self
            .fixed_from_moving(pair, moment)
            .transform_point(moving.center);
        fixed.distance_at_least(center, moving.radius_m) - fixed.margin_m - moving.margin_m
    }

    /// A body inside a closed surface touches nothing; it is looked for once, as it could not have got there later.
    fn check_not_inside(&mut self, pair: usize, start: usize) -> Result<(), Violation> {
        let (a, b) = self.solids(pair);
        if !is_inside(a, b, self.collider.timeline.poses(start)) {
            return Ok(());
        }
        // The depth to the surface at least.
        let depth_m = self.distance_below(pair, start, f64::INFINITY)?;
        Err(self.violation(pair, start, -depth_m.map_or(0.0, f64::abs)))
    }

    fn distance_below(
        &mut self,
        pair: usize,
        moment: usize,
        limit_m: f64,
    ) -> Result<Option<f64>, Violation> {
        let pose = self.fixed_from_moving(pair, moment);
        let collider = &mut *self.collider;
        let pair = &collider.pairs[pair];
        let (fixed, moving) = pair.fixed_and_moving();
        distance_below(
            &collider.solids[fixed],
            &collider.solids[moving],
            &pose,
            limit_m,
            &mut collider.directions[pair.directions..],
            &mut collider.checked_distances,
        )
    }

    /// Notes the true distance at a time if it is below the limit; an error if it is too small.
    fn measure(&mut self, pair: usize, moment: usize, limit_m: f64) -> Result<(), Violation> {
        let required_m = self.collider.pairs[pair].required_m;
        // Touching is a violation even where no distance is demanded.
        let limit_m = limit_m.max(required_m).max(f64::MIN_POSITIVE);
        let Some(distance_m) = self.distance_below(pair, moment, limit_m)? else {
            return Ok(());
        };
        if distance_m <= 0.0 || distance_m < required_m {
            return Err(self.violation(pair, moment, distance_m));
        }
        let nearest = match self.collider.pairs[pair].with_world {
            true => &mut self.collider.nearest_world,
            false => &mut self.collider.nearest_robot,
        };
        if distance_m < nearest.distance_m {
            *nearest = Nearest {
                distance_m,
                pair: Some(pair),
                moment,
            };
        }
        Ok(())
    }

    fn violation(&self, pair: usize, moment: usize, distance_m: f64) -> Violation {
        let p = &self.collider.pairs[pair];
        let name = |solid: usize| self.collider.solids[solid].name.clone();
        let (first, second, required_m) = (name(p.a), name(p.b), p.required_m);
        let time_s = self.collider.timeline.time_s(moment);
        if p.with_world {
            Violation::Clearance {
                link: first,
                object: second,
                time_s,
                distance_m,
                required_m,
            }
        } else {
            Violation::SelfClearance {
                link_a: first,
                link_b: second,
                time_s,
                distance_m,
                required_m,
            }
        }
    }

    /// Smallest distance so far among pairs of the same sort.
    fn nearest_m(&self, pair: usize) -> f64 {
        match self.collider.pairs[pair].with_world {
            true => self.collider.nearest_world.distance_m,
            false => self.collider.nearest_robot.distance_m,
        }
    }

    /// Distance above which an interval holds nothing new: neither a violation nor a smallest distance of interest.
    fn target_m(&self, pair: usize) -> f64 {
        let p = &self.collider.pairs[pair];
        let nearest_m = self.nearest_m(pair);
        let smaller_m = nearest_m - tolerance_m(nearest_m);
        let of_interest_m = match p.with_world {
            true => smaller_m,
            false => smaller_m.min(SELF_CLEARANCE_OF_INTEREST_M),
        };
        p.required_m.max(of_interest_m)
    }

    /// Bounds of a pair's motion in an interval.
    fn excursion(&mut self, pair: usize, interval: usize) -> Excursion {
        let collider = &mut *self.collider;
        let (mover, count) = (collider.pairs[pair].mover, collider.movers.len());
        let known = count * collider.timeline.interval_count();
        if collider.excursions.len() < known {
            collider.excursions.resize(known, None);
        }
        let timeline = &collider.timeline;
        *collider.excursions[interval * count + mover].get_or_insert_with(|| {
            let Mover { solid, hinges, .. } = &collider.movers[mover];
            let ends = timeline.interval(interval);
            Excursion::new(
                hinges,
                &collider.solids[*solid],
                [ends.from, ends.to].map(|moment| timeline.poses(moment)),
                &timeline.joint_motion(interval),
            )
        })
    }

    /// Whether the pair is shown to keep further apart than the gap from one end of an interval to the other, the
    /// moving solid staying within the hull of its two ends.
    fn is_apart(&mut self, pair: usize, interval: usize, gap_m: f64) -> bool {
        let ends = self.collider.timeline.interval(interval);
        let poses = [ends.from, ends.to].map(|moment| self.fixed_from_moving(pair, moment));
        let collider = &mut *self.collider;
        let pair = &collider.pairs[pair];
        let (fixed, moving) = pair.fixed_and_moving();
        solids_apart(
            &collider.solids[fixed],
            &collider.solids[moving],
            poses,
            gap_m,
            &mut collider.directions[pair.directions..],
        )
    }

    /// Shows that the pair keeps apart between two times at which it was measured.
    fn interval(&mut self, pair: usize, interval: usize) -> Result<(), Violation> {
        let excursion = self.excursion(pair, interval);
        let gap_m = self.target_m(pair) + excursion.beyond_hull_m;
        if self.is_apart(pair, interval, gap_m) || excursion.travel_m < self.settings.resolution_m {
            return Ok(());
        }
        let halves = self
            .collider
            .timeline
            .halve(interval, self.chain, self.samples, self.motion);
        self.measure(pair, halves.middle, self.target_m(pair))?;
        self.interval(pair, halves.first)?;
        self.interval(pair, halves.second)
    }
}
