//! Where the faces of both fingers meet an object, and what that says of a grasp.

use std::f64::consts::TAU;

/// Directions in which hulls of contacts are compared.
const HULL_DIRECTIONS: usize = 24;
/// Mean radius of the contact that a single touching point stands for, m: half the spacing, mean over a disc.
const ALONE_M: f64 = 0.0007;

/// Where both fingers' faces meet the solid: the finger at +x, the finger at -x.
#[derive(Debug, Clone)]
pub struct Contacts(pub(super) [FaceContact; 2]);

/// Where a finger's face meets the solid.
#[derive(Debug, Clone)]
pub(super) struct FaceContact {
    /// Place of the face along the closing axis, gripper frame, m.
    pub x_m: f64,
    /// Between the surface's normal and the closing axis, rad.
    pub angle_rad: f64,
    /// Touching points (y, z), gripper frame, m.
    pub patch_m: Vec<[f64; 2]>,
}

impl Contacts {
    /// The larger angle between a surface's normal and the closing axis, rad.
    pub(super) fn angle_rad(&self) -> f64 {
        self.0.iter().map(|c| c.angle_rad).fold(0.0, f64::max)
    }

    /// Where the axis through both crosses the faces: (y, z) in the gripper frame, m.
    pub fn middle_m(&self) -> [f64; 2] {
        let [first, second] = self.0.each_ref().map(FaceContact::middle_m);
        [0, 1].map(|k| 0.5 * (first[k] + second[k]))
    }

    /// Sum over both of the mean distance from a contact's own middle, m.
    pub fn radii_m(&self) -> f64 {
        self.0.iter().map(FaceContact::radius_m).sum()
    }
}

impl FaceContact {
    /// Whether the hulls of two contacts, seen along the closing axis, come within `slack_m` of each other.
    ///
    /// The hull and not the points: a pad inside a bowl rests on its two edges, the other pad meets the wall between them.
    /// Convex sets are apart by the largest gap over all directions.
    pub fn meets(&self, other: &Self, slack_m: f64) -> bool {
        (0..HULL_DIRECTIONS).all(|i| {
            let (sine, cosine) = (TAU * i as f64 / HULL_DIRECTIONS as f64).sin_cos();
            let along = |p: &[f64; 2]| p[0] * cosine + p[1] * sine;
            let far_end = self.patch_m.iter().map(along).fold(f64::MIN, f64::max);
            let near_end = other.patch_m.iter().map(along).fold(f64::MAX, f64::min);
            near_end - far_end <= slack_m
        })
    }

    fn middle_m(&self) -> [f64; 2] {
        let count = self.patch_m.len() as f64;
        [0, 1].map(|k| self.patch_m.iter().map(|p| p[k]).sum::<f64>() / count)
    }

    /// Mean distance of what touches from its middle, m.
    fn radius_m(&self) -> f64 {
        let [y, z] = self.middle_m();
        let distances = self.patch_m.iter().map(|p| (p[0] - y).hypot(p[1] - z));
        f64::max(ALONE_M, distances.sum::<f64>() / self.patch_m.len() as f64)
    }
}
