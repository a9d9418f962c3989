//! A closed surface from a point cloud of one view.
//!
//! What lies between the viewpoint and a point is free, and so is what the view sees past the object. What is hidden is a
//! guess: see [`Completion`]. The surface is the border of everything that is neither known nor guessed to be free.

use nalgebra::Vector3;
use rayon::prelude::*;

use super::depth_grid::DepthGrid;
use super::symmetry::{self, Symmetry};
use super::{isosurface, point_cloud, MeshError, SeenSide, TriangleMesh, VoxelGrid};

/// How the hidden side of an object is guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Completion {
    /// The convex hull of what is seen.
    Hull,
    /// As deep as it is wide, straight back along the view.
    Extruded,
    /// The convex hull of what is seen and of its image under the best symmetry, without what is seen to be free.
    #[default]
    Mirrored,
    /// The same without what the image shows to be free as well: follows hollow backs, and hurts where the symmetry is wrong.
    Carved,
}

impl Completion {
    pub const ALL: [Self; 4] = [Self::Hull, Self::Extruded, Self::Mirrored, Self::Carved];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hull => "hull",
            Self::Extruded => "extruded",
            Self::Mirrored => "mirrored",
            Self::Carved => "carved",
        }
    }
}

impl std::str::FromStr for Completion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|c| c.name() == text);
        let names = Self::ALL.map(Self::name).join(", ");
        known.ok_or_else(|| format!("'{text}' is no completion: {names}"))
    }
}

/// Every seen surface is taken for this thick at least, m.
const LEAST_THICKNESS_M: f64 = 0.006;
/// Cells along the diagonal of the result, at most.
const CELLS: f64 = 100.0;
const RIM_CELLS: f64 = 3.0;
/// Directions in which the convex hull is bounded.
const HULL_DIRECTIONS: usize = 240;

/// An object of which one side was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// Its surface: what was seen, and a guess.
    pub mesh: TriangleMesh,
    pub seen: SeenSide,
}

/// The surface of the object that these points show one side of. Points and viewpoint in metres, in one frame;
/// other objects and the ground must not be among the points.
///
/// # Errors
/// [`MeshError::BadView`]: too few points, or none in front of the viewpoint; [`MeshError::NotFinite`].
pub fn complete(
    points: &[[f64; 3]],
    viewpoint_m: [f64; 3],
    completion: Completion,
) -> Result<Completed, MeshError> {
    let bad = |problem: String| MeshError::BadView { problem };
    if points.len() < point_cloud::LEAST_POINTS {
        return Err(bad(format!(
            "{} points, at least {} are needed",
            points.len(),
            point_cloud::LEAST_POINTS
        )));
    }
    let finite = |p: &[f64; 3]| p.iter().all(|x| x.is_finite());
    if let Some(vertex) = points.iter().position(|p| !finite(p)) {
        return Err(MeshError::NotFinite {
            vertex,
            value: points[vertex],
        });
    }
    if !finite(&viewpoint_m) {
        return Err(bad(format!("the viewpoint {viewpoint_m:?} is not finite")));
    }
    let seen = SeenSide::new(points);
    let points: Vec<Vector3<f64>> = points.iter().map(|&p| p.into()).collect();
    let viewpoint = Vector3::from(viewpoint_m);
    let view = DepthGrid::new(&points, viewpoint)
        .ok_or_else(|| bad("the points do not lie in front of the viewpoint".into()))?;
    let guess = Guess::new(view, viewpoint, completion);
    let mesh = point_cloud::merged(&isosurface::triangles(&guess.volume()));
    mesh.validate()?;
    Ok(Completed { mesh, seen })
}

/// What is seen and what is guessed.
struct Guess {
    view: DepthGrid,
    /// Whose image of the view is carved out too.
    carving: Option<Symmetry>,
    /// Outer planes, where a hull bounds the body: direction and height.
    hull: Vec<(Vector3<f64>, f64)>,
    /// How far the body reaches behind what is seen, where no hull bounds it, m.
    depth_m: f64,
    low: Vector3<f64>,
    high: Vector3<f64>,
}

impl Guess {
    fn new(view: DepthGrid, viewpoint: Vector3<f64>, completion: Completion) -> Self {
        let symmetry = match completion {
            Completion::Mirrored | Completion::Carved => symmetry::find(&view, viewpoint),
            Completion::Hull | Completion::Extruded => None,
        };
        let mut points: Vec<Vector3<f64>> = view.surface().iter().map(|(p, _)| *p).collect();
        let forward = view.forward();
        let depth_m = match completion {
            Completion::Extruded => narrowest(&points, &forward),
            _ => LEAST_THICKNESS_M,
        };
        if let Some(symmetry) = &symmetry {
            let images: Vec<_> = points.iter().map(|p| symmetry.apply(p)).collect();
            // An image that is seen to be free is none of the object's.
            points.extend(
                images
                    .into_iter()
                    .filter(|p| view.free(p) <= view.pixel_m()),
            );
        }
        let hull = match completion {
            Completion::Extruded => Vec::new(),
            _ => symmetry::directions(HULL_DIRECTIONS)
                .map(|n| (n, points.iter().map(|p| n.dot(p)).fold(f64::MIN, f64::max)))
                .collect(),
        };
        let behind: Vec<_> = points.iter().map(|p| p + forward * depth_m).collect();
        let all = || points.iter().chain(&behind);
        Self {
            low: all().fold(Vector3::repeat(f64::INFINITY), |low, p| low.inf(p)),
            high: all().fold(Vector3::repeat(f64::NEG_INFINITY), |high, p| high.sup(p)),
            view,
            carving: symmetry.filter(|_| completion == Completion::Carved),
            hull,
            depth_m,
        }
    }

    /// Positive where space is free, negative in the body; its zero level is the surface, elsewhere only the sign is meant.
    fn free(&self, place: &Vector3<f64>) -> f64 {
        let seen = self.view.free(place);
        let skin = seen.max(-seen - self.depth_m);
        if self.hull.is_empty() {
            return skin;
        }
        let image = self
            .carving
            .map_or(f64::NEG_INFINITY, |s| self.view.free(&s.apply(place)));
        let outside = self.hull.iter().map(|(n, height)| n.dot(place) - height);
        outside.fold(seen.max(image), f64::max).min(skin)
    }

    fn volume(&self) -> VoxelGrid {
        let diagonal = (self.high - self.low).norm();
        let spacing_m = self.view.pixel_m().max(diagonal / CELLS);
        let origin = self.low - Vector3::repeat(RIM_CELLS * spacing_m);
        let extent = self.high - self.low;
        let size: [usize; 3] =
            std::array::from_fn(|a| (extent[a] / spacing_m + 2.0 * RIM_CELLS).ceil() as usize + 1);
        let band = 3.0 * spacing_m;
        let values = (0..size.iter().product::<usize>())
            .into_par_iter()
            .map(|index| {
                let node = [
                    index / (size[1] * size[2]),
                    index / size[2] % size[1],
                    index % size[2],
                ];
                let place = origin + Vector3::from(node.map(|n| n as f64)) * spacing_m;
                // The border is free, so that the surface closes.
                let border = (0..3).any(|a| node[a] == 0 || node[a] + 1 == size[a]);
                let free = if border { band } else { self.free(&place) };
                free.clamp(-band, band) as f32
            })
            .collect();
        VoxelGrid {
            origin_m: origin.into(),
            spacing_m,
            size,
            values,
        }
    }
}

/// The smaller of the widths across the view, m.
fn narrowest(points: &[Vector3<f64>], forward: &Vector3<f64>) -> f64 {
    let right = forward
        .cross(&Vector3::ith(forward.iamin(), 1.0))
        .normalize();
    let up = right.cross(forward);
    (0..18)
        .map(|i| {
            let (sine, cosine) = (std::f64::consts::PI * f64::from(i) / 18.0).sin_cos();
            let direction = right * cosine + up * sine;
            let along = points.iter().map(|p| direction.dot(p));
            let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
                (l.min(x), h.max(x))
            });
            high - low
        })
        .fold(f64::INFINITY, f64::min)
}
