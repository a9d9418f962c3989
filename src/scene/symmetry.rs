//! The symmetry that best explains one view of an object: a mirror, a half turn or a point reflection.
//!
//! Most household objects have one that shows their back. A symmetry fits if what it makes of the seen surface contradicts
//! nothing that is known to be free, if it closes the silhouette, and if it looks at the object from behind (after Bohg et
//! al., "Mind the gap", ICRA 2011, who search for a vertical mirror).

use nalgebra::{Matrix3, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use rstar::RTree;

use super::depth_grid::DepthGrid;

/// Directions of mirrors and axes tried, over the whole sphere.
const DIRECTIONS: usize = 240;
/// Places tried along the view and across it.
const DEPTHS: usize = 10;
const SHIFTS: [f64; 5] = [-0.2, -0.1, 0.0, 0.1, 0.2];
/// Seen points and points of the silhouette that are compared.
const COMPARED: usize = 160;
const RIM_COMPARED: usize = 80;
/// Steps of the refinement of the best few.
const REFINED: usize = 6;
const REFINEMENTS: usize = 120;
/// Weights of the parts of the cost, whose lengths are shares of the object's width: contradiction, open silhouette, and
/// seeing the front again.
const CONTRADICTION: f64 = 4.0;
const OPEN: f64 = 1.0;
const FRONT: f64 = 0.12;
/// A silhouette that is last seen at less than this cosine belongs to a round body, which goes on for half that share of its
/// width there and back.
const ROUND: f64 = 0.5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mirror,
    HalfTurn,
    Point,
}

/// A map that is its own inverse.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symmetry {
    kind: Kind,
    /// Normal of the mirror, or axis of the half turn.
    axis: Vector3<f64>,
    centre: Vector3<f64>,
}

impl Symmetry {
    pub fn apply(&self, point: &Vector3<f64>) -> Vector3<f64> {
        let offset = point - self.centre;
        let along = self.axis * self.axis.dot(&offset);
        let image = match self.kind {
            Kind::Mirror => offset - 2.0 * along,
            Kind::HalfTurn => 2.0 * along - offset,
            Kind::Point => -offset,
        };
        self.centre + image
    }
}

/// What candidates are measured by.
struct View<'a> {
    grid: &'a DepthGrid,
    viewpoint: Vector3<f64>,
    points: Vec<Vector3<f64>>,
    /// Points of the silhouette, and how far they and their images lie apart, m: a surface that turns away is lost before
    /// its edge, a sharp edge is seen.
    rim: Vec<(Vector3<f64>, f64)>,
    seen: RTree<[f64; 3]>,
    middle: Vector3<f64>,
    forward: Vector3<f64>,
    width: f64,
}

/// The symmetry of least cost; equal views give equal answers. `None` for a view without extent.
pub(super) fn find(grid: &DepthGrid, viewpoint: Vector3<f64>) -> Option<Symmetry> {
    let view = View::new(grid, viewpoint)?;
    let mut ranked: Vec<(f64, Symmetry)> = candidates(&view)
        .into_par_iter()
        .map(|symmetry| (view.cost(&symmetry), symmetry))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(REFINED);
    let refined = ranked.into_par_iter().map(|start| view.refine(start));
    let best = refined.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(best.1)
}

/// Directions spread evenly over the sphere (Fibonacci lattice).
pub(super) fn directions(count: usize) -> impl Iterator<Item = Vector3<f64>> {
    let golden = std::f64::consts::PI * (3.0 - 5f64.sqrt());
    (0..count).map(move |i| {
        let z = 1.0 - (2.0 * i as f64 + 1.0) / count as f64;
        let (sine, cosine) = (golden * i as f64).sin_cos();
        let radius = (1.0 - z * z).sqrt();
        Vector3::new(radius * cosine, radius * sine, z)
    })
}

fn candidates(view: &View) -> Vec<Symmetry> {
    let depth = |i: usize| (i as f64 / (DEPTHS - 1) as f64 - 0.15) * view.width;
    let mut found = Vec::new();
    let across = Matrix3::from_columns(&[
        view.forward
            .cross(&Vector3::ith(view.forward.iamin(), 1.0))
            .normalize(),
        view.forward,
        Vector3::zeros(),
    ]);
    let right = across.column(0).into_owned();
    let up = right.cross(&view.forward);
    for i in 0..DEPTHS {
        let behind = view.middle + view.forward * depth(i);
        for axis in directions(DIRECTIONS) {
            let slant = axis.dot(&view.forward);
            if slant > 0.3 {
                found.push(Symmetry {
                    kind: Kind::Mirror,
                    axis,
                    centre: behind,
                });
            }
            // Half of the axes: the opposite direction is the same axis.
            if slant.abs() < 0.8 && axis.dot(&up) > 0.0 {
                let side = axis.cross(&view.forward).normalize();
                found.extend(SHIFTS.map(|shift| Symmetry {
                    kind: Kind::HalfTurn,
                    axis,
                    centre: behind + side * (shift * view.width),
                }));
            }
        }
        for x in SHIFTS {
            found.extend(SHIFTS.map(|y| Symmetry {
                kind: Kind::Point,
                axis: view.forward,
                centre: behind + (right * x + up * y) * view.width,
            }));
        }
    }
    found
}

impl<'a> View<'a> {
    fn new(grid: &'a DepthGrid, viewpoint: Vector3<f64>) -> Option<Self> {
        let surface = grid.surface();
        let every = |points: Vec<Vector3<f64>>, count: usize| -> Vec<Vector3<f64>> {
            let step = points.len().div_ceil(count).max(1);
            points.into_iter().step_by(step).collect()
        };
        let all: Vec<Vector3<f64>> = surface.iter().map(|(p, _)| *p).collect();
        let rim: Vec<(Vector3<f64>, f64)> = surface
            .iter()
            .filter_map(|(p, facing)| Some((*p, (*facing)?)))
            .collect();
        let step = rim.len().div_ceil(RIM_COMPARED).max(1);
        let forward = grid.forward();
        let middle = all.iter().sum::<Vector3<f64>>() / all.len().max(1) as f64;
        let width = all
            .iter()
            .map(|p| (p - middle) - forward * forward.dot(&(p - middle)))
            .map(|across| 2.0 * across.norm())
            .fold(0.0, f64::max);
        (width > 0.0).then(|| Self {
            grid,
            viewpoint,
            rim: rim
                .into_iter()
                .step_by(step)
                .map(|(p, c)| (p, if c < ROUND { 0.5 * c * width } else { 0.0 }))
                .collect(),
            seen: RTree::bulk_load(every(all.clone(), 2500).iter().map(|&p| p.into()).collect()),
            points: every(all, COMPARED),
            middle,
            forward,
            width,
        })
    }

    fn cost(&self, symmetry: &Symmetry) -> f64 {
        let cap = 0.25 * self.width;
        let slack = self.grid.pixel_m();
        let contradiction: f64 = self
            .points
            .iter()
            .map(|p| (self.grid.free(&symmetry.apply(p)) - slack).clamp(0.0, cap))
            .sum();
        let open: f64 = self
            .rim
            .iter()
            .map(|(p, lost)| {
                let image = symmetry.apply(p);
                let nearest = self.seen.nearest_neighbor(image.into());
                let gap = nearest.map_or(cap, |n| (Vector3::from(*n) - image).norm());
                (gap - lost).abs().min(cap)
            })
            .sum();
        let behind = symmetry.apply(&self.viewpoint) - self.middle;
        let facing = behind.normalize().dot(&self.forward);
        CONTRADICTION * contradiction / (self.points.len().max(1) as f64 * self.width)
            + OPEN * open / (self.rim.len().max(1) as f64 * self.width)
            + FRONT * 0.5 * (1.0 - facing)
    }

    /// Keeps random changes that make it better, smaller and smaller ones.
    fn refine(&self, (mut cost, mut best): (f64, Symmetry)) -> (f64, Symmetry) {
        let mut rng = Pcg64Mcg::seed_from_u64(0);
        for step in 0..REFINEMENTS {
            let size = 0.1 * (1.0 - step as f64 / REFINEMENTS as f64) + 0.003;
            let mut changed = best;
            changed.axis = (best.axis + size * noise(&mut rng)).normalize();
            changed.centre += 0.5 * size * self.width * noise(&mut rng);
            let new = self.cost(&changed);
            if new < cost {
                (cost, best) = (new, changed);
            }
        }
        (cost, best)
    }
}

fn noise(rng: &mut impl Rng) -> Vector3<f64> {
    Vector3::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal))
}
