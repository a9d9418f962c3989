//! Clearance over the whole motion, by halving intervals of time that cannot be shown to be free.

use parry3d_f64::math::Pose3;

use super::links::LinkChain;
use super::sampling::Samples;
use super::solids::{distance, is_inside, lower_bound, Frame, Solid};
use super::{tolerance_m, Motion, VerifySettings, Violation, SELF_CLEARANCE_OF_INTEREST_M};

/// Two solids that must keep apart.
pub(super) struct Pair {
    pub a: usize,
    pub b: usize,
    with_world: bool,
    required_m: f64,
    /// How far a point of one moves relative to the other per unit of each planned joint, at most.
    weights: Vec<f64>,
}

impl Pair {
    /// Two solids that both move with links.
    pub fn between_links(a: usize, b: usize) -> Self {
        Self {
            a,
            b,
            with_world: false,
            required_m: 0.0,
            weights: Vec::new(),
        }
    }

    /// A solid `a` that moves and an obstacle `b`.
    pub fn with_world(a: usize, b: usize) -> Self {
        Self {
            with_world: true,
            ..Self::between_links(a, b)
        }
    }
}

/// The smallest distance so far.
#[derive(Clone, Copy)]
pub(super) struct Nearest {
    pub distance_m: f64,
    pub pair: Option<usize>,
}

const NOTHING_NEAR: Nearest = Nearest {
    distance_m: f64::INFINITY,
    pair: None,
};

/// A time on the grid, with what is known of the pair's distance there.
#[derive(Clone, Copy)]
struct Node {
    step: usize,
    /// The distance, or at least a bound that it does not fall below, m.
    distance_m: f64,
    exact: bool,
}

/// A time between two neighbours of the grid.
struct FineNode {
    time_s: f64,
    q: Vec<f64>,
    distance_m: f64,
}

/// Solids, pairs and the link poses of one motion.
#[derive(Default)]
pub(super) struct Collider {
    pub solids: Vec<Solid>,
    pub pairs: Vec<Pair>,
    pub nearest_world: Nearest,
    pub nearest_robot: Nearest,
    pub checked_states: usize,
    pub checked_distances: usize,
    /// `[steps + 1][links]`, filled where `is_posed`.
    poses: Vec<Pose3>,
    is_posed: Vec<bool>,
    /// Poses at a time between the grid's.
    fine_poses: Vec<Pose3>,
    reach: Vec<f64>,
}

impl Default for Nearest {
    fn default() -> Self {
        NOTHING_NEAR
    }
}

impl Collider {
    /// Forgets the last motion; the links are the first solids.
    pub fn clear(&mut self, links: &[Solid]) {
        self.solids.clear();
        self.solids.extend_from_slice(links);
        self.pairs.clear();
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
        pair.weights = vec![0.0; chain.dof()];
        self.reach.resize(chain.dof(), 0.0);
        for (solid, other) in [(a, b), (b, a)] {
            let Frame::Link(link) = solid.frame else {
                continue;
            };
            chain.reach(link, solid.extent_m(), &mut self.reach);
            for (joint, (weight, reach)) in pair.weights.iter_mut().zip(&self.reach).enumerate() {
                // A joint below both moves them as one.
                let moves_both = matches!(other.frame, Frame::Link(l) if chain.moves(joint, l));
                if !moves_both {
                    *weight += reach;
                }
            }
        }
        // What no joint moves relative to each other (the base and its table) is the user's to arrange.
        if pair.weights.iter().any(|w| *w > 0.0) {
            self.pairs.push(pair);
        }
    }

    /// Checks all pairs over the whole motion.
    pub fn run(
        &mut self,
        chain: &mut LinkChain,
        samples: &Samples,
        motion: &dyn Motion,
        settings: &VerifySettings,
    ) -> Result<(), Violation> {
        (self.nearest_world, self.nearest_robot) = (NOTHING_NEAR, NOTHING_NEAR);
        (self.checked_states, self.checked_distances) = (0, 0);
        self.poses
            .resize((samples.steps + 1) * chain.link_count(), Pose3::identity());
        self.is_posed.clear();
        self.is_posed.resize(samples.steps + 1, false);
        self.fine_poses
            .resize(chain.link_count(), Pose3::identity());
        let mut scan = Scan {
            collider: self,
            chain,
            samples,
            motion,
            settings,
        };
        scan.all_pairs()
    }
}

/// One run over a motion.
struct Scan<'a> {
    collider: &'a mut Collider,
    chain: &'a mut LinkChain,
    samples: &'a Samples,
    motion: &'a dyn Motion,
    settings: &'a VerifySettings,
}

impl Scan<'_> {
    /// Nearest pairs first: what they leave as the smallest distance makes the others cheap.
    fn all_pairs(&mut self) -> Result<(), Violation> {
        let last = self.samples.steps;
        let mut order = Vec::with_capacity(self.collider.pairs.len());
        for pair in 0..self.collider.pairs.len() {
            let start = self.bound(pair, 0);
            let end = self.bound(pair, last);
            order.push((start.distance_m.min(end.distance_m), pair, start, end));
        }
        order.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        for (_, pair, mut start, mut end) in order {
            self.check_not_inside(pair, &mut start)?;
            self.interval(pair, &mut start, &mut end)?;
        }
        Ok(())
    }

    /// A body inside a closed surface touches nothing; it is looked for once, as it could not have got there later.
    fn check_not_inside(&mut self, pair: usize, start: &mut Node) -> Result<(), Violation> {
        let (a, b) = self.solids(pair);
        if !is_inside(a, b, self.poses(0)) {
            return Ok(());
        }
        self.measure(pair, start)?;
        // The depth to the surface at least.
        Err(self.violation(pair, self.samples.time_s(0), -start.distance_m.abs()))
    }

    fn solids(&self, pair: usize) -> (&Solid, &Solid) {
        let pair = &self.collider.pairs[pair];
        (&self.collider.solids[pair.a], &self.collider.solids[pair.b])
    }

    fn poses(&self, step: usize) -> &[Pose3] {
        let n = self.chain.link_count();
        &self.collider.poses[step * n..(step + 1) * n]
    }

    fn pose(&mut self, step: usize) {
        if self.collider.is_posed[step] {
            return;
        }
        let n = self.chain.link_count();
        let target = &mut self.collider.poses[step * n..(step + 1) * n];
        self.chain.poses(self.samples.position(step), target);
        self.collider.is_posed[step] = true;
        self.collider.checked_states += 1;
    }

    /// A time with the cheap bound.
    fn bound(&mut self, pair: usize, step: usize) -> Node {
        self.pose(step);
        let (a, b) = self.solids(pair);
        Node {
            step,
            distance_m: lower_bound(a, b, self.poses(step)),
            exact: false,
        }
    }

    /// Replaces a node's bound by the true distance.
    fn measure(&mut self, pair: usize, node: &mut Node) -> Result<(), Violation> {
        let (a, b) = self.solids(pair);
        let mut computed = 0;
        node.distance_m = distance(a, b, self.poses(node.step), &mut computed)?;
        node.exact = true;
        self.collider.checked_distances += computed;
        self.record(pair, self.samples.time_s(node.step), node.distance_m)
    }

    /// Notes a true distance; an error if it is too small.
    fn record(&mut self, pair: usize, time_s: f64, distance_m: f64) -> Result<(), Violation> {
        let p = &self.collider.pairs[pair];
        if distance_m <= 0.0 || distance_m < p.required_m {
            return Err(self.violation(pair, time_s, distance_m));
        }
        let nearest = match p.with_world {
            true => &mut self.collider.nearest_world,
            false => &mut self.collider.nearest_robot,
        };
        if distance_m < nearest.distance_m {
            *nearest = Nearest {
                distance_m,
                pair: Some(pair),
            };
        }
        Ok(())
    }

    fn violation(&self, pair: usize, time_s: f64, distance_m: f64) -> Violation {
        let p = &self.collider.pairs[pair];
        let (a, b) = self.solids(pair);
        let (first, second, required_m) = (a.name.clone(), b.name.clone(), p.required_m);
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
        let p = &self.collider.pairs[pair];
        if p.with_world {
            let nearest_m = self.collider.nearest_world.distance_m;
            return p.required_m.max(nearest_m - tolerance_m(nearest_m));
        }
        let nearest_m = self.collider.nearest_robot.distance_m;
        let smaller_m = nearest_m - tolerance_m(nearest_m);
        p.required_m
            .max(smaller_m.min(SELF_CLEARANCE_OF_INTEREST_M))
    }

    /// Shows that the pair keeps apart between two times of the grid.
    fn interval(&mut self, pair: usize, from: &mut Node, to: &mut Node) -> Result<(), Violation> {
        let travel_m = self
            .samples
            .travel(&self.collider.pairs[pair].weights, from.step, to.step);
        loop {
            let proven_m = 0.5 * (from.distance_m + to.distance_m - travel_m);
            if proven_m > self.target_m(pair) {
                return Ok(());
            }
            // The lower bound is the one with more to gain.
            let (near, far) = if from.distance_m <= to.distance_m {
                (&mut *from, &mut *to)
            } else {
                (&mut *to, &mut *from)
            };
            if !near.exact {
                self.measure(pair, near)?;
            } else if !far.exact {
                self.measure(pair, far)?;
            } else {
                break;
            }
        }
        if travel_m < self.settings.resolution_m {
            return Ok(());
        }
        if to.step - from.step == 1 {
            let fine = |node: &Node| FineNode {
                time_s: self.samples.time_s(node.step),
                q: self.samples.position(node.step).to_vec(),
                distance_m: node.distance_m,
            };
            return self.fine_interval(pair, &fine(from), &fine(to));
        }
        let mut middle = self.bound(pair, (from.step + to.step) / 2);
        self.interval(pair, from, &mut middle)?;
        self.interval(pair, &mut middle, to)
    }

    /// The same below the grid, down to the resolution.
    fn fine_interval(
        &mut self,
        pair: usize,
        from: &FineNode,
        to: &FineNode,
    ) -> Result<(), Violation> {
        let time_s = to.time_s - from.time_s;
        let weights = &self.collider.pairs[pair].weights;
        let way = |j: usize| self.samples.way(j, to.q[j] - from.q[j], time_s);
        let travel_m: f64 = weights.iter().enumerate().map(|(j, w)| w * way(j)).sum();
        let proven_m = 0.5 * (from.distance_m + to.distance_m - travel_m);
        if proven_m > self.target_m(pair) || travel_m < self.settings.resolution_m {
            return Ok(());
        }
        let mut middle = FineNode {
            time_s: from.time_s + 0.5 * time_s,
            q: from.q.clone(),
            distance_m: 0.0,
        };
        self.motion.position(middle.time_s, &mut middle.q);
        self.chain.poses(&middle.q, &mut self.collider.fine_poses);
        self.collider.checked_states += 1;
        let mut computed = 0;
        let (a, b) = self.solids(pair);
        middle.distance_m = distance(a, b, &self.collider.fine_poses, &mut computed)?;
        self.collider.checked_distances += computed;
        self.record(pair, middle.time_s, middle.distance_m)?;
        self.fine_interval(pair, from, &middle)?;
        self.fine_interval(pair, &middle, to)
    }
}
