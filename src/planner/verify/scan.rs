//! Pairs of solids of one sort over a motion, by halving intervals of time that cannot be shown to be free.

use parry3d_f64::math::{Pose3, Vec3};

use super::apart::solids_apart;
use super::continuous::{Bodies, Mover};
use super::excursion::Excursion;
use super::inside::is_inside;
use super::links::LinkChain;
use super::measure::distance_below;
use super::sampling::Samples;
use super::timeline::{Timeline, WHOLE};
use super::{tolerance_m, Motion, VerifySettings, Violation, SELF_CLEARANCE_OF_INTEREST_M};

/// The smallest distance so far, among pairs of one sort.
#[derive(Clone, Copy)]
pub(super) struct Nearest {
    pub distance_m: f64,
    pub pair: Option<usize>,
    /// Of the timeline: when that was.
    pub moment: usize,
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

/// What one lane of the check of one sort of pairs works on and finds.
#[derive(Default)]
pub(super) struct ScanState {
    pub nearest: Nearest,
    pub checked_distances: usize,
    pub timeline: Timeline,
    /// `[intervals][movers]`, as far as they were asked for.
    excursions: Vec<Option<Excursion>>,
    /// Directions in which parts were last shown to be apart, by pair, part and part; zero: none yet.
    directions: Vec<Vec3>,
}

impl ScanState {
    /// Forgets the last motion.
    fn begin(&mut self, directions: usize, chain: &mut LinkChain, samples: &Samples) {
        self.nearest = Nearest::default();
        self.checked_distances = 0;
        self.excursions.clear();
        self.directions.clear();
        self.directions.resize(directions, Vec3::ZERO);
        self.timeline.begin(chain, samples);
    }
}

/// A motion, and what is to be shown of it.
#[derive(Clone, Copy)]
pub(super) struct Check<'a> {
    pub bodies: &'a Bodies,
    pub samples: &'a Samples,
    pub motion: &'a dyn Motion,
    pub settings: &'a VerifySettings,
}

/// One run over a motion.
struct Scan<'a> {
    check: Check<'a>,
    chain: &'a mut LinkChain,
    state: &'a mut ScanState,
}

impl Check<'_> {
    /// Shows that all pairs of a sort keep apart. The pairs are dealt to two lanes, which run side by side.
    ///
    /// # Errors
    /// A violation; that of the first lane, if there are two.
    pub fn run(
        self,
        with_world: bool,
        chains: &mut [LinkChain; 2],
        lanes: &mut [ScanState; 2],
    ) -> Result<(), Violation> {
        let bodies = self.bodies;
        let [first, second] = lanes;
        let [chain, other_chain] = chains;
        first.begin(bodies.direction_count, chain, self.samples);
        second.begin(bodies.direction_count, other_chain, self.samples);
        // What the nearest ones leave as the smallest distance makes the others cheap.
        let ends = bodies.nearest_first(with_world, &first.timeline);
        let mut scan = Scan {
            check: self,
            chain,
            state: first,
        };
        ends.iter().try_for_each(|&end| scan.end(end))?;
        let mut seen = vec![false; bodies.pairs.len()];
        let pairs = ends.iter().map(|(pair, _)| *pair);
        let order: Vec<usize> = pairs
            .filter(|&pair| !std::mem::replace(&mut seen[pair], true))
            .collect();
        // Most motions are nowhere nearer than at their ends, so neither lane looks for a smallest distance of its own.
        second.nearest = scan.state.nearest;
        second.directions.clone_from(&scan.state.directions);
        let mut other_scan = Scan {
            check: self,
            chain: other_chain,
            state: second,
        };
        let (first, second) = rayon::join(|| scan.lane(&order, 0), || other_scan.lane(&order, 1));
        first.and(second)
    }
}

impl Scan<'_> {
    /// Measures a pair at one end of the motion.
    fn end(&mut self, (pair, moment): (usize, usize)) -> Result<(), Violation> {
        if moment == self.state.timeline.interval(WHOLE).from {
            self.check_not_inside(pair, moment)?;
        }
        self.measure(pair, moment, self.state.nearest.distance_m)
    }

    /// Every second pair over the whole motion.
    fn lane(&mut self, order: &[usize], number: usize) -> Result<(), Violation> {
        let mut pairs = order.iter().skip(number).step_by(2);
        pairs.try_for_each(|&pair| self.interval(pair, WHOLE))
    }

    fn fixed_from_moving(&self, pair: usize, moment: usize) -> Pose3 {
        let links = self.state.timeline.poses(moment);
        self.check.bodies.fixed_from_moving(pair, links)
    }

    /// A body inside a closed surface touches nothing; it is looked for once, as it could not have got there later.
    fn check_not_inside(&mut self, pair: usize, start: usize) -> Result<(), Violation> {
        let (a, b) = self.check.bodies.solids_of(pair);
        if !is_inside(a, b, self.state.timeline.poses(start)) {
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
        let (bodies, state) = (self.check.bodies, &mut *self.state);
        let (fixed, moving) = bodies.solids_of(pair);
        let first = bodies.pairs[pair].directions;
        distance_below(
            fixed,
            moving,
            &pose,
            limit_m,
            &mut state.directions[first..],
            &mut state.checked_distances,
        )
    }

    /// Notes the true distance at a time if it is below the limit; an error if it is too small.
    fn measure(&mut self, pair: usize, moment: usize, limit_m: f64) -> Result<(), Violation> {
        let required_m = self.check.bodies.pairs[pair].required_m;
        // Touching is a violation even where no distance is demanded.
        let limit_m = limit_m.max(required_m).max(f64::MIN_POSITIVE);
        let Some(distance_m) = self.distance_below(pair, moment, limit_m)? else {
            return Ok(());
        };
        if distance_m <= 0.0 || distance_m < required_m {
            return Err(self.violation(pair, moment, distance_m));
        }
        let nearest = &mut self.state.nearest;
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
        let p = &self.check.bodies.pairs[pair];
        let name = |solid: usize| self.check.bodies.solids[solid].name.clone();
        let (first, second, required_m) = (name(p.a), name(p.b), p.required_m);
        let time_s = self.state.timeline.time_s(moment);
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

    /// Distance above which an interval holds nothing new: neither a violation nor a smallest distance of interest.
    fn target_m(&self, pair: usize) -> f64 {
        let p = &self.check.bodies.pairs[pair];
        let nearest_m = self.state.nearest.distance_m;
        let smaller_m = nearest_m - tolerance_m(nearest_m);
        let of_interest_m = match p.with_world {
            true => smaller_m,
            false => smaller_m.min(SELF_CLEARANCE_OF_INTEREST_M),
        };
        p.required_m.max(of_interest_m)
    }

    /// Bounds of a pair's motion in an interval.
    fn excursion(&mut self, pair: usize, interval: usize) -> Excursion {
        let (bodies, state) = (self.check.bodies, &mut *self.state);
        let (mover, count) = (bodies.pairs[pair].mover, bodies.movers.len());
        let timeline = &state.timeline;
        let known = count * timeline.interval_count();
        if state.excursions.len() < known {
            state.excursions.resize(known, None);
        }
        *state.excursions[interval * count + mover].get_or_insert_with(|| {
            let Mover { solid, hinges, .. } = &bodies.movers[mover];
            let ends = timeline.interval(interval);
            Excursion::new(
                hinges,
                &bodies.solids[*solid],
                [ends.from, ends.to].map(|moment| timeline.poses(moment)),
                &timeline.joint_motion(interval),
            )
        })
    }

    /// Whether the pair is shown to keep further apart than the gap from one end of an interval to the other, the
    /// moving solid staying within the hull of its two ends.
    fn is_apart(&mut self, pair: usize, interval: usize, gap_m: f64) -> bool {
        let ends = self.state.timeline.interval(interval);
        let poses = [ends.from, ends.to].map(|moment| self.fixed_from_moving(pair, moment));
        let (bodies, state) = (self.check.bodies, &mut *self.state);
        let (fixed, moving) = bodies.solids_of(pair);
        let first = bodies.pairs[pair].directions;
        solids_apart(fixed, moving, poses, gap_m, &mut state.directions[first..])
    }

    /// Shows that the pair keeps apart between two times at which it was measured.
    fn interval(&mut self, pair: usize, interval: usize) -> Result<(), Violation> {
        let excursion = self.excursion(pair, interval);
        let gap_m = self.target_m(pair) + excursion.beyond_hull_m;
        if self.is_apart(pair, interval, gap_m)
            || excursion.travel_m < self.check.settings.resolution_m
        {
            return Ok(());
        }
        let Check {
            samples, motion, ..
        } = self.check;
        let timeline = &mut self.state.timeline;
        let halves = timeline.halve(interval, self.chain, samples, motion);
        self.measure(pair, halves.middle, self.target_m(pair))?;
        self.interval(pair, halves.first)?;
        self.interval(pair, halves.second)
    }
}
