//! The robot's volume: spheres for the kernels, true shapes for the verifier.

use std::ops::Range;
use std::sync::Arc;

use super::PairTable;
use crate::geometry::Pose;
use crate::scene::Shape;

/// A collision sphere, fixed in a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sphere {
    /// In the body's frame, m.
    pub center_m: [f32; 3],
    pub radius_m: f32,
}

/// Neighbouring spheres of one link with a sphere around them all: what is tested first.
#[derive(Clone, Debug, PartialEq)]
pub struct SphereGroup {
    pub body: usize,
    /// Index into [`CollisionModel::links`].
    pub link: usize,
    /// Indices into [`SphereSet::spheres`].
    pub spheres: Range<usize>,
    /// In the body's frame, m.
    pub center_m: [f32; 3],
    pub radius_m: f32,
    /// No joint moves these spheres through the world (all on the first joint's axis, or on the base).
    pub static_in_world: bool,
}

/// Spheres that hold the robot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SphereSet {
    /// Sorted by body, then group.
    pub spheres: Vec<Sphere>,
    /// Sorted by body.
    pub groups: Vec<SphereGroup>,
}

/// A collision shape as the URDF gives it.
#[derive(Clone, Debug)]
pub struct LinkShape {
    pub link: String,
    pub link_from_shape: Pose,
    pub shape: Shape,
}

/// How well spheres cover the collision shapes of one link, m.
#[derive(Clone, Debug, PartialEq)]
pub struct SphereCover {
    pub link: String,
    /// Whether these spheres are tested against the robot itself alone, and others against the scene.
    pub own: bool,
    pub spheres: usize,
    /// How far the spheres stick out of the shapes.
    pub over_cover_m: f64,
    /// How far the shapes stick out of the spheres (0: conservative).
    pub under_cover_m: f64,
}

/// Why two links are not tested against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedReason {
    SameBody,
    Adjacent,
    AlwaysTouching,
    NeverTouching,
    Settings,
    Srdf,
}

/// Collision spheres and shapes of all links.
#[derive(Clone, Debug, Default)]
pub struct CollisionModel {
    /// Names of the links that have collision geometry.
    pub links: Vec<String>,
    /// What is tested against the scene.
    pub scene: SphereSet,
    /// What is tested against the robot itself: finer where links pass each other closely.
    pub own: SphereSet,
    /// Pairs of [`Self::own`]'s groups that are tested against each other, first < second.
    pub self_pairs: Vec<(usize, usize)>,
    /// Pairs of links that are tested by a table instead.
    pub tables: Vec<Arc<PairTable>>,
    /// Link pairs (indices into `links`, first < second) that are not tested, and why.
    pub allowed: Vec<(usize, usize, AllowedReason)>,
    /// The URDF's collision shapes.
    pub shapes: Vec<LinkShape>,
    pub cover: Vec<SphereCover>,
}

impl CollisionModel {
    /// The spheres of one body alone, against nothing of the robot itself.
    pub fn of_body(&self, body: usize) -> Self {
        Self {
            links: self.links.clone(),
            scene: SphereSet {
                spheres: self.scene.spheres.clone(),
                groups: self
                    .scene
                    .groups
                    .iter()
                    .filter(|g| g.body == body)
                    .cloned()
                    .collect(),
            },
            ..Self::default()
        }
    }

    /// Link of one of [`Self::own`]'s groups, by name.
    pub fn link_of_own_group(&self, group: usize) -> &str {
        &self.links[self.own.groups[group].link]
    }

    /// Whether two links may touch: same link, or in the allowed set.
    pub fn is_allowed(&self, link_a: &str, link_b: &str) -> bool {
        let index = |name: &str| self.links.iter().position(|l| l == name);
        match (index(link_a), index(link_b)) {
            (Some(a), Some(b)) => {
                let pair = (a.min(b), a.max(b));
                a == b || self.allowed.iter().any(|&(x, y, _)| (x, y) == pair)
            }
            // a link without geometry touches nothing
            _ => true,
        }
    }
}
