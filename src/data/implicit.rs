//! Solids written down as signed distances, from which the procedural objects are put together.

use nalgebra::{Isometry3, Point3, Vector2, Vector3};

use crate::scene::SignedDistance;

/// A solid given by a formula; metres, negative inside.
///
/// Distances are exact outside. Inside a union they are a lower bound of the depth, as for every minimum.
#[derive(Debug, Clone)]
pub enum Solid {
    /// A polyline in (radius, height), turned about z, with a wall around it.
    Shell {
        profile: Vec<Vector2<f64>>,
        thickness_m: f64,
    },
    /// A closed polygon in (radius, height), turned about z.
    Lathe {
        profile: Vec<Vector2<f64>>,
    },
    /// A box with rounded edges; the half extents include the rounding.
    RoundedBox {
        half_extents_m: Vector3<f64>,
        radius_m: f64,
    },
    /// A round bar along a polyline.
    Bar {
        path: Vec<Vector3<f64>>,
        radius_m: f64,
    },
    Union(Vec<Solid>),
    /// A solid moved, then enlarged.
    Placed {
        solid: Box<Solid>,
        outer_from_solid: Isometry3<f64>,
        scale: f64,
    },
}

impl Solid {
    /// The solid moved by a pose.
    pub fn placed(self, outer_from_solid: Isometry3<f64>) -> Self {
        Self::Placed {
            solid: Box::new(self),
            outer_from_solid,
            scale: 1.0,
        }
    }

    /// The solid enlarged about the origin.
    pub fn scaled(self, scale: f64) -> Self {
        Self::Placed {
            solid: Box::new(self),
            outer_from_solid: Isometry3::identity(),
            scale,
        }
    }

    /// Distance from a point to the farthest point of the solid, m; never too small.
    pub fn farthest_from(&self, point: &Point3<f64>) -> f64 {
        let ring = |profile: &[Vector2<f64>]| {
            let from = radial(point);
            let across = |p: &Vector2<f64>| (p.x + from.x).hypot(p.y - from.y);
            profile.iter().map(across).fold(0.0, f64::max)
        };
        match self {
            Self::Shell {
                profile,
                thickness_m,
            } => ring(profile) + 0.5 * thickness_m,
            Self::Lathe { profile } => ring(profile),
            Self::RoundedBox { half_extents_m, .. } => (point.coords.abs() + half_extents_m).norm(),
            Self::Bar { path, radius_m } => {
                let ends = path.iter().map(|p| (p - point.coords).norm());
                ends.fold(0.0, f64::max) + radius_m
            }
            Self::Union(parts) => {
                let each = parts.iter().map(|part| part.farthest_from(point));
                each.fold(0.0, f64::max)
            }
            Self::Placed {
                solid,
                outer_from_solid,
                scale,
            } => {
                let local = outer_from_solid.inverse_transform_point(&(point / *scale));
                solid.farthest_from(&local) * scale
            }
        }
    }

    /// Thickness of the thinnest wall, bar or plate, m; infinite where only turned profiles take part, whose
    /// walls are as thick as they are drawn.
    pub fn thinnest_m(&self) -> f64 {
        match self {
            Self::Shell { thickness_m, .. } => *thickness_m,
            Self::Lathe { .. } => f64::INFINITY,
            Self::RoundedBox { half_extents_m, .. } => 2.0 * half_extents_m.min(),
            Self::Bar { radius_m, .. } => 2.0 * radius_m,
            Self::Union(parts) => {
                let each = parts.iter().map(Self::thinnest_m);
                each.fold(f64::INFINITY, f64::min)
            }
            Self::Placed { solid, scale, .. } => solid.thinnest_m() * scale,
        }
    }
}

/// Step of the central differences that give the gradient, m; far below any wall, far above rounding.
const GRADIENT_STEP_M: f64 = 1e-5;

impl SignedDistance for Solid {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        match self {
            Self::Shell {
                profile,
                thickness_m,
            } => polyline_distance(&radial(point), profile) - 0.5 * thickness_m,
            Self::Lathe { profile } => polygon_distance(&radial(point), profile),
            Self::RoundedBox {
                half_extents_m,
                radius_m,
            } => {
                let q = point.coords.abs() - half_extents_m.add_scalar(-radius_m);
                q.sup(&Vector3::zeros()).norm() + q.max().min(0.0) - radius_m
            }
            Self::Bar { path, radius_m } => {
                let squared = path
                    .windows(2)
                    .map(|ends| segment_distance_squared(&point.coords, &ends[0], &ends[1]))
                    .fold(f64::INFINITY, f64::min);
                squared.sqrt() - radius_m
            }
            Self::Union(parts) => parts
                .iter()
                .map(|part| part.distance(point))
                .fold(f64::INFINITY, f64::min),
            Self::Placed {
                solid,
                outer_from_solid,
                scale,
            } => {
                let local = outer_from_solid.inverse_transform_point(&(point / *scale));
                solid.distance(&local) * scale
            }
        }
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let gradient = Vector3::from_fn(|axis, _| {
            let mut step = Vector3::zeros();
            step[axis] = GRADIENT_STEP_M;
            (self.distance(&(point + step)) - self.distance(&(point - step)))
                / (2.0 * GRADIENT_STEP_M)
        });
        (self.distance(point), gradient)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        let symmetric = |half: Vector3<f64>| (Point3::from(-half), Point3::from(half));
        let around = |points: &mut dyn Iterator<Item = Vector3<f64>>, margin: f64| {
            let (low, high) = points.fold(
                (
                    Vector3::repeat(f64::INFINITY),
                    Vector3::repeat(f64::NEG_INFINITY),
                ),
                |(low, high), p| (low.inf(&p), high.sup(&p)),
            );
            (
                Point3::from(low.add_scalar(-margin)),
                Point3::from(high.add_scalar(margin)),
            )
        };
        match self {
            Self::Shell {
                profile,
                thickness_m,
            } => around(&mut ring_extremes(profile), 0.5 * thickness_m),
            Self::Lathe { profile } => around(&mut ring_extremes(profile), 0.0),
            Self::RoundedBox { half_extents_m, .. } => symmetric(*half_extents_m),
            Self::Bar { path, radius_m } => around(&mut path.iter().copied(), *radius_m),
            Self::Union(parts) => around(
                &mut parts.iter().flat_map(|part| {
                    let (low, high) = part.bounds();
                    [low.coords, high.coords]
                }),
                0.0,
            ),
            Self::Placed {
                solid,
                outer_from_solid,
                scale,
            } => {
                let (low, high) = solid.bounds();
                let corners = (0..8).map(|corner| {
                    let local = Point3::from([0, 1, 2].map(|a| {
                        if corner >> a & 1 == 1 {
                            high[a]
                        } else {
                            low[a]
                        }
                    }));
                    (outer_from_solid * local).coords * *scale
                });
                around(&mut corners.collect::<Vec<_>>().into_iter(), 0.0)
            }
        }
    }
}

/// (distance from the axis, height).
fn radial(point: &Point3<f64>) -> Vector2<f64> {
    Vector2::new(point.x.hypot(point.y), point.z)
}

/// Extreme points of a profile turned about z.
fn ring_extremes(profile: &[Vector2<f64>]) -> impl Iterator<Item = Vector3<f64>> + '_ {
    profile
        .iter()
        .flat_map(|p| [Vector3::new(-p.x, -p.x, p.y), Vector3::new(p.x, p.x, p.y)])
}

fn segment_distance_squared<const D: usize>(
    p: &nalgebra::SVector<f64, D>,
    a: &nalgebra::SVector<f64, D>,
    b: &nalgebra::SVector<f64, D>,
) -> f64 {
    let (along, offset) = (b - a, p - a);
    let length_squared = along.norm_squared();
    let place = if length_squared > 0.0 {
        (offset.dot(&along) / length_squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (offset - along * place).norm_squared()
}

fn polyline_distance(p: &Vector2<f64>, line: &[Vector2<f64>]) -> f64 {
    line.windows(2)
        .map(|ends| segment_distance_squared(p, &ends[0], &ends[1]))
        .fold(f64::INFINITY, f64::min)
        .sqrt()
}

/// Signed distance to a closed polygon. Edges on the axis are inside the turned solid, so they bound nothing.
fn polygon_distance(p: &Vector2<f64>, polygon: &[Vector2<f64>]) -> f64 {
    let mut squared = f64::INFINITY;
    let mut inside = false;
    for (i, a) in polygon.iter().enumerate() {
        let b = &polygon[(i + 1) % polygon.len()];
        if a.x > 0.0 || b.x > 0.0 {
            squared = squared.min(segment_distance_squared(p, a, b));
        }
        // A ray towards larger radii crosses the edge.
        if (a.y > p.y) != (b.y > p.y) && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y) {
            inside = !inside;
        }
    }
    if inside {
        -squared.sqrt()
    } else {
        squared.sqrt()
    }
}
