//! Household objects by seed: random sizes, analytic signed distance, mesh on demand.

use std::f64::consts::{FRAC_PI_2, PI};

use nalgebra::{Isometry3, Translation3, Unit, UnitQuaternion, Vector2, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, UnitSphere};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use super::implicit::Solid;
use super::surface_nets::surface_net;
use crate::scene::{SignedDistance, TriangleMesh};

/// A family of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A cup with a handle.
    Mug,
    Bottle,
    Bowl,
    /// A can, jar or cone frustum.
    Cylinder,
    Box,
    /// A shallow pan with a straight handle.
    Pan,
    /// A hammer, screwdriver or spatula.
    Tool,
    /// Two to four primitives stuck together at random.
    Composite,
}

impl Category {
    pub const ALL: [Category; 8] = [
        Category::Mug,
        Category::Bottle,
        Category::Bowl,
        Category::Cylinder,
        Category::Box,
        Category::Pan,
        Category::Tool,
        Category::Composite,
    ];

    /// Plain name, as in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Category::Mug => "mug",
            Category::Bottle => "bottle",
            Category::Bowl => "bowl",
            Category::Cylinder => "cylinder",
            Category::Box => "box",
            Category::Pan => "pan",
            Category::Tool => "tool",
            Category::Composite => "composite",
        }
    }
}

impl std::str::FromStr for Category {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let names = || Category::ALL.map(Category::name).join(", ");
        let found = Category::ALL
            .into_iter()
            .find(|category| category.name() == name);
        found.ok_or_else(|| format!("no category '{name}', there are {}", names()))
    }
}

/// Every procedural object fits a ball of this radius about its origin, m, so that the training cube holds
/// it in any orientation.
pub const MAX_RADIUS_M: f64 = 0.125;

/// An object drawn from a family. Frame: origin in the middle of the bounding box, z up.
#[derive(Debug, Clone)]
pub struct ProceduralObject {
    pub category: Category,
    pub seed: u64,
    pub solid: Solid,
}

impl ProceduralObject {
    /// The object of this category and seed; equal arguments give equal objects.
    pub fn new(category: Category, seed: u64) -> Self {
        // The category goes into the seed so that mug 7 and bowl 7 share no random numbers.
        let mut rng = Pcg64Mcg::seed_from_u64(seed.wrapping_mul(16).wrapping_add(category as u64));
        let raw = match category {
            Category::Mug => mug(&mut rng),
            Category::Bottle => bottle(&mut rng),
            Category::Bowl => bowl(&mut rng),
            Category::Cylinder => cylinder(&mut rng),
            Category::Box => cuboid(&mut rng),
            Category::Pan => pan(&mut rng),
            Category::Tool => tool(&mut rng),
            Category::Composite => composite(&mut rng),
        };
        Self {
            category,
            seed,
            solid: centred(raw),
        }
    }

    /// `mug_0007`.
    pub fn name(&self) -> String {
        format!("{}_{:04}", self.category.name(), self.seed)
    }

    /// Closed mesh of the surface with quads of about `spacing_m`.
    pub fn mesh(&self, spacing_m: f64) -> TriangleMesh {
        surface_net(&self.solid, spacing_m)
    }
}

/// Moves the bounding box's middle to the origin and shrinks what is too large.
fn centred(solid: Solid) -> Solid {
    let (low, high) = solid.bounds();
    let middle = nalgebra::center(&low, &high);
    let radius = 0.5 * (high - low).norm();
    let moved = solid.placed(Isometry3::from(Translation3::from(-middle.coords)));
    if radius > MAX_RADIUS_M {
        moved.scaled(MAX_RADIUS_M / radius)
    } else {
        moved
    }
}

fn points(list: &[[f64; 2]]) -> Vec<Vector2<f64>> {
    list.iter().map(|p| Vector2::from(*p)).collect()
}

fn mug(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.03..0.05);
    let height = rng.random_range(0.06..0.12);
    let thickness = rng.random_range(0.0035..0.0065);
    let foot = radius * rng.random_range(0.75..1.0);
    let cup = Solid::Shell {
        profile: points(&[[0.0, 0.0], [foot, 0.0], [radius, height]]),
        thickness_m: thickness,
    };
    let bar = rng.random_range(0.0035..0.0065);
    let reach = rng.random_range(0.022..0.036);
    let (low, high) = (
        height * rng.random_range(0.1..0.25),
        height * rng.random_range(0.7..0.9),
    );
    let bulge = rng.random_range(0.6..1.0);
    let path = (0..9)
        .map(|i| {
            let angle = PI * i as f64 / 8.0;
            let z = 0.5 * (low + high) - 0.5 * (high - low) * angle.cos();
            // The ends sit in the wall, deep enough to join it, not so deep as to come out inside.
            let wall = foot + (radius - foot) * z / height + (bar - 0.5 * thickness).max(0.0);
            Vector3::new(wall + reach * angle.sin().max(0.0).powf(bulge), 0.0, z)
        })
        .collect();
    Solid::Union(vec![
        cup,
        Solid::Bar {
            path,
            radius_m: bar,
        },
    ])
}

fn bottle(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.02..0.042);
    let height = rng.random_range(0.1..0.21);
    let neck = rng.random_range(0.009..f64::min(0.018, radius * 0.8));
    let shoulder = height * rng.random_range(0.5..0.75);
    let neck_start = f64::min(height * 0.95, shoulder + rng.random_range(0.015..0.04));
    Solid::Lathe {
        profile: points(&[
            [0.0, 0.0],
            [radius, 0.0],
            [radius, shoulder],
            [neck, neck_start],
            [neck, height],
            [0.0, height],
        ]),
    }
}

fn bowl(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.04..0.085);
    let depth = rng.random_range(0.025..0.07);
    let opening = FRAC_PI_2 * rng.random_range(0.8..1.0);
    let profile = (0..9)
        .map(|i| {
            let angle = opening * i as f64 / 8.0;
            Vector2::new(radius * angle.sin(), depth * (1.0 - angle.cos()))
        })
        .collect();
    Solid::Shell {
        profile,
        thickness_m: rng.random_range(0.0035..0.007),
    }
}

fn cylinder(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.012..0.042);
    let height = rng.random_range(0.03..0.17);
    let top = radius * rng.random_range(0.85..1.0);
    Solid::Lathe {
        profile: points(&[[0.0, 0.0], [radius, 0.0], [top, height], [0.0, height]]),
    }
}

fn cuboid(rng: &mut impl Rng) -> Solid {
    let mut half = Vector3::from_fn(|_, _| rng.random_range(0.008..0.05));
    // One side fits the opening, another may be long: boxes as they stand on shelves.
    half[rng.random_range(0..3)] = rng.random_range(0.015..0.095);
    half[rng.random_range(0..3)] = rng.random_range(0.008..0.034);
    Solid::RoundedBox {
        half_extents_m: half,
        radius_m: rng.random_range(0.001..0.006),
    }
}

fn pan(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.04..0.07);
    let height = rng.random_range(0.02..0.05);
    let foot = radius * rng.random_range(0.8..1.0);
    let thickness_m = rng.random_range(0.0035..0.006);
    let body = Solid::Shell {
        profile: points(&[[0.0, 0.0], [foot, 0.0], [radius, height]]),
        thickness_m,
    };
    let length = rng.random_range(0.06..0.1);
    let grip = rng.random_range(0.005..0.011);
    let z = height * rng.random_range(0.5..0.9);
    let handle = if rng.random_bool(0.5) {
        let half = Vector3::new(0.5 * length, grip * rng.random_range(1.0..1.8), grip);
        let place = Translation3::new(radius + 0.5 * length - 0.003, 0.0, z);
        Solid::RoundedBox {
            half_extents_m: half,
            radius_m: 0.002,
        }
        .placed(Isometry3::from(place))
    } else {
        let end = Vector3::new(radius + length, 0.0, z + rng.random_range(-0.01..0.02));
        Solid::Bar {
            path: vec![Vector3::new(radius + grip - 0.002, 0.0, z), end],
            radius_m: grip,
        }
    };
    Solid::Union(vec![body, handle])
}

fn tool(rng: &mut impl Rng) -> Solid {
    let half = rng.random_range(0.05..0.1);
    let radius = rng.random_range(0.005..0.014);
    let along = |from: f64, to: f64| vec![Vector3::new(from, 0.0, 0.0), Vector3::new(to, 0.0, 0.0)];
    let block = |half: [f64; 3], radius_m: f64, x: f64| {
        let place = Isometry3::from(Translation3::new(x, 0.0, 0.0));
        Solid::RoundedBox {
            half_extents_m: Vector3::from(half),
            radius_m,
        }
        .placed(place)
    };
    let mut parts = vec![Solid::Bar {
        path: along(-half, half),
        radius_m: radius,
    }];
    match rng.random_range(0..3) {
        0 => {
            let head = [
                rng.random_range(0.01..0.02),
                rng.random_range(0.02..0.045),
                rng.random_range(0.01..0.02),
            ];
            parts.push(block(head, 0.002, half));
        }
        1 => {
            let blade = rng.random_range(0.02..0.05);
            parts.push(Solid::Bar {
                path: along(half, half + blade),
                radius_m: radius * rng.random_range(0.4..0.7),
            });
            parts.push(block(
                [half * 0.3, radius * 1.5, radius * 1.5],
                0.003,
                -half * 0.6,
            ));
        }
        _ => {
            let plate = [
                rng.random_range(0.015..0.03),
                rng.random_range(0.015..0.035),
                rng.random_range(0.002..0.006),
            ];
            parts.push(block(plate, 0.0015, half));
        }
    }
    Solid::Union(parts)
}

fn composite(rng: &mut impl Rng) -> Solid {
    let parts = (0..rng.random_range(2..5))
        .map(|_| {
            let axis = Unit::new_normalize(Vector3::from(UnitSphere.sample(rng)));
            let rotation = UnitQuaternion::from_axis_angle(&axis, rng.random_range(0.0..PI));
            let direction = Vector3::from(UnitSphere.sample(rng));
            let place = Translation3::from(direction * rng.random_range(0.0..0.045));
            let part = match rng.random_range(0..3) {
                0 => Solid::RoundedBox {
                    half_extents_m: Vector3::from_fn(|_, _| rng.random_range(0.008..0.04)),
                    radius_m: 0.002,
                },
                1 => {
                    let (radius, half) =
                        (rng.random_range(0.01..0.035), rng.random_range(0.015..0.06));
                    Solid::Lathe {
                        profile: points(&[
                            [0.0, -half],
                            [radius, -half],
                            [radius, half],
                            [0.0, half],
                        ]),
                    }
                }
                _ => {
                    let end = Vector3::new(rng.random_range(0.01..0.05), 0.0, 0.0);
                    Solid::Bar {
                        path: vec![-end, end],
                        radius_m: rng.random_range(0.006..0.02),
                    }
                }
            };
            part.placed(Isometry3::from_parts(place, rotation))
        })
        .collect();
    Solid::Union(parts)
}
