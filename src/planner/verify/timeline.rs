//! Times of one motion, halved where something is near, with the links' poses: shared by all pairs of solids.

use parry3d_f64::math::Pose3;

use super::links::LinkChain;
use super::sampling::Samples;
use super::Motion;

/// Two times and what lies between them, once that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Interval {
    /// Indices of moments.
    pub from: usize,
    pub to: usize,
    halves: Option<Halves>,
}

/// The middle of an interval and the intervals on both sides.
#[derive(Clone, Copy)]
pub(super) struct Halves {
    pub middle: usize,
    pub first: usize,
    pub second: usize,
}

/// A time; on the grid of the samples as long as it can be.
#[derive(Clone, Copy)]
struct Moment {
    time_s: f64,
    step: Option<usize>,
}

/// How the joints move in an interval, `[D]` each, rad or m.
pub(super) struct JointMotion<'a> {
    /// Bound on the way.
    pub way: &'a [f64],
    /// Difference of the positions at both ends.
    pub change: &'a [f64],
    /// Bound on the distance from the straight line over time between both ends.
    pub bow: &'a [f64],
}

/// A binary tree of intervals, grown on request.
#[derive(Default)]
pub(super) struct Timeline {
    dof: usize,
    links: usize,
    moments: Vec<Moment>,
    /// `[moments][D]`.
    positions: Vec<f64>,
    /// `[moments][links]`.
    poses: Vec<Pose3>,
    intervals: Vec<Interval>,
    /// `[intervals][D]` each.
    ways: Vec<f64>,
    changes: Vec<f64>,
    bows: Vec<f64>,
}

/// The interval from the start to the end.
pub(super) const WHOLE: usize = 0;

impl Timeline {
    /// Forgets the last motion; the first interval is the whole of the new one.
    pub fn begin(&mut self, chain: &mut LinkChain, samples: &Samples) {
        (self.dof, self.links) = (samples.dof, chain.link_count());
        self.moments.clear();
        self.positions.clear();
        self.poses.clear();
        self.intervals.clear();
        self.ways.clear();
        self.changes.clear();
        self.bows.clear();
        let from = self.add_step(chain, samples, 0);
        let to = self.add_step(chain, samples, samples.steps);
        self.add_interval(samples, from, to);
    }

    pub fn interval(&self, index: usize) -> Interval {
        self.intervals[index]
    }

    pub fn interval_count(&self) -> usize {
        self.intervals.len()
    }

    pub fn moment_count(&self) -> usize {
        self.moments.len()
    }

    pub fn time_s(&self, moment: usize) -> f64 {
        self.moments[moment].time_s
    }

    /// Poses of all links in the world.
    pub fn poses(&self, moment: usize) -> &[Pose3] {
        &self.poses[moment * self.links..(moment + 1) * self.links]
    }

    pub fn joint_motion(&self, interval: usize) -> JointMotion<'_> {
        let row = interval * self.dof..(interval + 1) * self.dof;
        JointMotion {
            way: &self.ways[row.clone()],
            change: &self.changes[row.clone()],
            bow: &self.bows[row],
        }
    }

    /// The two halves of an interval.
    pub fn halve(
        &mut self,
        index: usize,
        chain: &mut LinkChain,
        samples: &Samples,
        motion: &dyn Motion,
    ) -> Halves {
        let Interval { from, to, halves } = self.intervals[index];
        if let Some(halves) = halves {
            return halves;
        }
        let middle = match (self.moments[from].step, self.moments[to].step) {
            (Some(a), Some(b)) if b - a > 1 => self.add_step(chain, samples, (a + b) / 2),
            _ => {
                let time_s = 0.5 * (self.moments[from].time_s + self.moments[to].time_s);
                let first = self.positions.len();
                self.positions.resize(first + self.dof, 0.0);
                motion.position(time_s, &mut self.positions[first..]);
                self.add_moment(chain, Moment { time_s, step: None })
            }
        };
        let halves = Halves {
            middle,
            first: self.add_interval(samples, from, middle),
            second: self.add_interval(samples, middle, to),
        };
        self.intervals[index].halves = Some(halves);
        halves
    }

    fn add_step(&mut self, chain: &mut LinkChain, samples: &Samples, step: usize) -> usize {
        self.positions.extend_from_slice(samples.position(step));
        let time_s = samples.time_s(step);
        let step = Some(step);
        self.add_moment(chain, Moment { time_s, step })
    }

    /// Adds a moment whose positions are the last ones.
    fn add_moment(&mut self, chain: &mut LinkChain, moment: Moment) -> usize {
        let index = self.moments.len();
        self.moments.push(moment);
        self.poses
            .resize((index + 1) * self.links, Pose3::identity());
        let q = &self.positions[index * self.dof..];
        chain.poses(q, &mut self.poses[index * self.links..]);
        index
    }

    fn add_interval(&mut self, samples: &Samples, from: usize, to: usize) -> usize {
        let (first, last) = (from * self.dof, to * self.dof);
        let change = |j: usize| self.positions[last + j] - self.positions[first + j];
        self.changes.extend((0..self.dof).map(change));
        match (self.moments[from].step, self.moments[to].step) {
            (Some(a), Some(b)) => {
                self.ways.extend(samples.ways(a, b));
                self.bows
                    .extend((0..self.dof).map(|j| samples.bow_between(j, a, b)));
            }
            _ => {
                let time_s = self.moments[to].time_s - self.moments[from].time_s;
                self.ways
                    .extend((0..self.dof).map(|j| samples.way(j, change(j), time_s)));
                self.bows
                    .extend((0..self.dof).map(|j| samples.bow(j, time_s)));
            }
        }
        self.intervals.push(Interval {
            from,
            to,
            halves: None,
        });
        self.intervals.len() - 1
    }
}
