//! Bidirectional RRT-Connect with dynamic domain on the boolean checks, and shortcuts.
//!
//! Kuffner and LaValle 2000; Yershova et al. 2005 for the domain radius of nodes that failed to extend. The second tree
//! has a root at every goal, so the nearest reachable goal wins.

use rand::{Rng, RngExt};

use super::checker::Checker;
use crate::trajectory::JointRow;

/// Longest extension in one step [rad or m, 2-norm]; shorter where every node is moved inside path rules, which straight edges
/// between them soon leave.
const RANGE: f32 = 1.0;
const RULED_RANGE: f32 = 0.3;
/// Domain radius of a node that failed to extend, at first and at least.
const DOMAIN_START: f32 = 4.0;
const DOMAIN_LEAST: f32 = 1.0;
const DOMAIN_RATE: f32 = 1e-4;
const NO_PARENT: u32 = u32::MAX;

/// Settings of one search.
#[derive(Clone, Copy, Debug)]
pub struct TreeSettings {
    /// The search gives up when samples drawn >= max_samples.
    pub max_samples: usize,
    /// Clearance kept along every edge [m].
    pub margin_m: f32,
    /// Random shortcuts tried on a path.
    pub shortcuts: usize,
}

impl Default for TreeSettings {
    fn default() -> Self {
        Self {
            max_samples: 20_000,
            margin_m: 0.004,
            shortcuts: 60,
        }
    }
}

#[derive(Default)]
struct Tree {
    nodes: Vec<JointRow>,
    parents: Vec<u32>,
    radii: Vec<f32>,
}

impl Tree {
    fn nearest(&self, q: JointRow) -> (usize, f32) {
        let mut best = (0, f32::INFINITY);
        for (i, &node) in self.nodes.iter().enumerate() {
            let d = node - q;
            let squared = (d * d).reduce_add();
            if squared < best.1 {
                best = (i, squared);
            }
        }
        (best.0, best.1.sqrt())
    }

    fn add(&mut self, q: JointRow, parent: u32) -> usize {
        self.nodes.push(q);
        self.parents.push(parent);
        self.radii.push(f32::INFINITY);
        self.nodes.len() - 1
    }

    /// Nodes from `node` to its root.
    fn branch(&self, node: usize) -> impl Iterator<Item = JointRow> + '_ {
        let mut next = node as u32;
        std::iter::from_fn(move || {
            (next != NO_PARENT).then(|| {
                let q = self.nodes[next as usize];
                next = self.parents[next as usize];
                q
            })
        })
    }
}

/// The straight way from `start` to the first of `goals` to which it is free.
pub fn straight(
    checker: &mut Checker,
    start: JointRow,
    goals: &[JointRow],
    settings: &TreeSettings,
) -> Option<Vec<JointRow>> {
    let mut is_free = |goal: &&JointRow| checker.edge_is_free(start, **goal, settings.margin_m);
    goals
        .iter()
        .find(&mut is_free)
        .map(|&goal| vec![start, goal])
}

/// Corners of a collision-free path from `start` to one of `goals`, where no way is [`straight`]; `stop` is asked now and then
/// whether to give up.
pub fn connect(
    checker: &mut Checker,
    start: JointRow,
    goals: &[JointRow],
    settings: &TreeSettings,
    rng: &mut impl Rng,
    stop: &mut dyn FnMut() -> bool,
) -> Option<Vec<JointRow>> {
    let mut trees = [Tree::default(), Tree::default()];
    trees[0].add(start, NO_PARENT);
    for &goal in goals {
        trees[1].add(goal, NO_PARENT);
    }
    let mut growing = 0;
    for drawn in 0..settings.max_samples {
        if drawn % 64 == 63 && stop() {
            return None;
        }
        if trees[growing].nodes.len() > trees[1 - growing].nodes.len() {
            growing = 1 - growing;
        }
        let sample = checker.random_configuration(rng);
        let Some(tip) = extend(&mut trees[growing], checker, sample, settings) else {
            continue;
        };
        let q = trees[growing].nodes[tip];
        if let Some(meeting) = reach(&mut trees[1 - growing], checker, q, settings) {
            let mut path: Vec<JointRow> = trees[growing].branch(tip).collect();
            path.reverse();
            path.extend(trees[1 - growing].branch(meeting));
            if growing == 1 {
                path.reverse();
            }
            return Some(path);
        }
        growing = 1 - growing;
    }
    None
}

/// One step from the nearest node towards `sample`; the new node if the way is free.
fn extend(
    tree: &mut Tree,
    checker: &mut Checker,
    sample: JointRow,
    settings: &TreeSettings,
) -> Option<usize> {
    let (near, distance) = tree.nearest(sample);
    if distance > tree.radii[near] {
        return None;
    }
    let from = tree.nodes[near];
    let range = range(checker);
    let to = if distance > range {
        step(from, sample, range / distance)
    } else {
        sample
    };
    let radius = &mut tree.radii[near];
    let to = checker.inside_rules(to);
    let Some(to) = to.filter(|&to| checker.edge_is_free(from, to, settings.margin_m)) else {
        *radius = if radius.is_infinite() {
            DOMAIN_START
        } else {
            (*radius * (1.0 - DOMAIN_RATE)).max(DOMAIN_LEAST)
        };
        return None;
    };
    if radius.is_finite() {
        *radius *= 1.0 + DOMAIN_RATE;
    }
    Some(tree.add(to, near as u32))
}

fn range(checker: &Checker) -> f32 {
    if checker.rules.is_empty() {
        RANGE
    } else {
        RULED_RANGE
    }
}

/// Grows a tree straight towards `q` until it gets there or is blocked; the last node before `q`.
fn reach(
    tree: &mut Tree,
    checker: &mut Checker,
    q: JointRow,
    settings: &TreeSettings,
) -> Option<usize> {
    let (mut node, mut distance) = tree.nearest(q);
    let range = range(checker);
    loop {
        let last = distance <= range;
        let from = tree.nodes[node];
        let to = if last {
            q
        } else {
            checker.inside_rules(step(from, q, range / distance))?
        };
        if !checker.edge_is_free(from, to, settings.margin_m) {
            return None;
        }
        if last {
            return Some(node);
        }
        node = tree.add(to, node as u32);
        let d = to - q;
        let left = (d * d).reduce_add().sqrt();
        // Moved back inside the rules as far as it went.
        if left > distance - 0.1 * range {
            return None;
        }
        distance = left;
    }
}

/// Removes corners that a straight edge can skip, then cuts corners between random points.
pub fn shortcut(
    checker: &mut Checker,
    path: &mut Vec<JointRow>,
    settings: &TreeSettings,
    rng: &mut impl Rng,
) {
    let mut i = 0;
    while i + 2 < path.len() {
        let far = (i + 2..path.len())
            .rev()
            .find(|&j| checker.edge_is_free(path[i], path[j], settings.margin_m));
        if let Some(j) = far {
            path.drain(i + 1..j);
        }
        i += 1;
    }
    for _ in 0..settings.shortcuts {
        if path.len() < 3 {
            return;
        }
        let reached = arc_lengths(path);
        let length = reached[reached.len() - 1];
        let (a, b): (f32, f32) = (rng.random::<f32>() * length, rng.random::<f32>() * length);
        let (low, high) = (a.min(b), a.max(b));
        if high - low < 0.05 * length {
            continue;
        }
        let (first, qa) = point_at(path, &reached, low);
        let (last, qb) = point_at(path, &reached, high);
        if first != last && checker.edge_is_free(qa, qb, settings.margin_m) {
            path.splice(first + 1..=last, [qa, qb]);
        }
    }
}

/// Length of a polyline [rad or m, 2-norm].
pub fn path_length(path: &[JointRow]) -> f32 {
    arc_lengths(path).last().copied().unwrap_or(0.0)
}

fn arc_lengths(path: &[JointRow]) -> Vec<f32> {
    let mut reached = vec![0.0f32];
    for pair in path.windows(2) {
        let d = pair[1] - pair[0];
        reached.push(reached[reached.len() - 1] + (d * d).reduce_add().sqrt());
    }
    reached
}

fn point_at(path: &[JointRow], reached: &[f32], wanted: f32) -> (usize, JointRow) {
    let mut k = 0;
    while k + 2 < path.len() && reached[k + 1] < wanted {
        k += 1;
    }
    let leg = (reached[k + 1] - reached[k]).max(1e-9);
    (
        k,
        step(
            path[k],
            path[k + 1],
            ((wanted - reached[k]) / leg).clamp(0.0, 1.0),
        ),
    )
}

#[inline]
fn step(from: JointRow, to: JointRow, share: f32) -> JointRow {
    (to - from).mul_add(JointRow::splat(share), from)
}
