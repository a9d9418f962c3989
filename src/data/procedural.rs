//! Household objects by seed: random sizes, analytic signed distance, mesh on demand.

use nalgebra::{Isometry3, Point3, Translation3};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use super::family;
use super::implicit::Solid;
use super::surface_nets::surface_net;
use crate::scene::{SignedDistance, TriangleMesh};

/// A family of objects. New ones go to the end: a family's place is part of its objects' seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A cup with a handle.
    Mug,
    Bottle,
    Bowl,
    /// A solid cylinder or cone frustum.
    Cylinder,
    Box,
    /// A shallow pan with a straight handle.
    Pan,
    /// A hammer, screwdriver or spatula.
    Tool,
    /// Two to four primitives stuck together at random.
    Composite,
    /// A tumbler or beaker without handle.
    Cup,
    /// A drink can or flat tin.
    Can,
    /// A jar, closed by its lid or open.
    Jar,
    /// A plate on edge.
    Plate,
    /// A fork, spoon, knife or pen.
    Fork,
}

impl Category {
    pub const ALL: [Category; 13] = [
        Category::Mug,
        Category::Bottle,
        Category::Bowl,
        Category::Cylinder,
        Category::Box,
        Category::Pan,
        Category::Tool,
        Category::Composite,
        Category::Cup,
        Category::Can,
        Category::Jar,
        Category::Plate,
        Category::Fork,
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
            Category::Cup => "cup",
            Category::Can => "can",
            Category::Jar => "jar",
            Category::Plate => "plate",
            Category::Fork => "fork",
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
        // Drawn anew rather than shrunk, because a small hammer with a thread for a handle is no hammer.
        let drawn = (0..MOST_DRAWS)
            .map(|_| centred(draw(category, &mut rng)))
            .find(|solid| solid.farthest_from(&Point3::origin()) <= MAX_RADIUS_M);
        let solid = drawn.unwrap_or_else(|| {
            let last = centred(draw(category, &mut rng));
            let radius = last.farthest_from(&Point3::origin());
            last.scaled(f64::min(1.0, MAX_RADIUS_M / radius))
        });
        Self {
            category,
            seed,
            solid,
        }
    }

    /// `mug_0007`.
    pub fn name(&self) -> String {
        format!("{}_{:04}", self.category.name(), self.seed)
    }

    /// Closed mesh of the surface with quads of about `spacing_m`, finer where a wall would get lost.
    pub fn mesh(&self, spacing_m: f64) -> TriangleMesh {
        surface_net(&self.solid, spacing_m.min(0.55 * self.solid.thinnest_m()))
    }
}

/// Draws after which an object that is still too large is shrunk.
const MOST_DRAWS: usize = 32;

fn draw(category: Category, rng: &mut impl Rng) -> Solid {
    match category {
        Category::Mug => family::mug(rng),
        Category::Bottle => family::bottle(rng),
        Category::Bowl => family::bowl(rng),
        Category::Cylinder => family::cylinder(rng),
        Category::Box => family::cuboid(rng),
        Category::Pan => family::pan(rng),
        Category::Tool => family::tool(rng),
        Category::Composite => family::composite(rng),
        Category::Cup => family::cup(rng),
        Category::Can => family::can(rng),
        Category::Jar => family::jar(rng),
        Category::Plate => family::plate(rng),
        Category::Fork => family::fork(rng),
    }
}

/// The solid with its bounding box's middle at the origin.
fn centred(solid: Solid) -> Solid {
    let (low, high) = solid.bounds();
    let middle = nalgebra::center(&low, &high);
    solid.placed(Isometry3::from(Translation3::from(-middle.coords)))
}
