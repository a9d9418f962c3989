//! Candidates for grasps from the shape alone: the pads on two surfaces that face each other, at any roll about their axis.

use nalgebra::{
    center, Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3,
};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, UnitSphere};
use rayon::prelude::*;

use super::contact::exits_along;
use super::sampler::numbered_rng;
use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::mesh::SurfaceSampler;
use crate::scene::{SignedDistance, TriangleMesh};

/// How candidates are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CandidateSettings {
    /// Half angle of the cone about the surface normal in which the other contact is searched [deg].
    pub cone_deg: f64,
    /// Free width left of the opening [m].
    pub jaw_margin_m: f64,
    /// Least and most depth of the contact behind the finger tip [m].
    pub depth_m: [f64; 2],
    /// Largest shift of the fingers' middle off the object's middle along the closing axis [m].
    pub shift_m: f64,
}

impl Default for CandidateSettings {
    fn default() -> Self {
        Self {
            cone_deg: 15.0,
            jaw_margin_m: 0.006,
            depth_m: [0.003, 0.020],
            shift_m: 0.004,
        }
    }
}

impl CandidateSettings {
    /// A grasp on two contacts, as object_from_gripper: random roll about the closing axis, depth, shift and side of the fingers.
    pub fn grasp(
        &self,
        gripper: &GripperGeometry,
        [first, second]: [Point3<f64>; 2],
        rng: &mut impl Rng,
    ) -> Pose {
        let width_m = (second - first).norm();
        let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let x = (second - first) * (sign / width_m.max(1e-9));
        let z = loop {
            let guess: Vector3<f64> = UnitSphere.sample(rng).into();
            if let Some(z) = x.cross(&guess).try_normalize(1e-3) {
                break z;
            }
        };
        let axes = Matrix3::from_columns(&[x, z.cross(&x), z]);
        let rotation = Rotation3::from_matrix_unchecked(axes);
        let depth_m = rng.random_range(self.depth_m[0]..self.depth_m[1]);
        let slack_m = (0.5 * (gripper.max_opening_m - 0.004 - width_m)).clamp(0.0, self.shift_m);
        let shift_m = rng.random_range(-1.0..1.0) * slack_m;
        let origin = center(&first, &second) - z * (gripper.tip_m - depth_m) + x * shift_m;
        Isometry3::from_parts(
            Translation3::from(origin),
            UnitQuaternion::from_rotation_matrix(&rotation),
        )
    }
}

/// Draws pairs of contacts on one solid.
pub struct FacingPoints<'a> {
    solid: &'a dyn SignedDistance,
    surface: SurfaceSampler<'a>,
    gripper: &'a GripperGeometry,
    settings: CandidateSettings,
}

impl<'a> FacingPoints<'a> {
    /// `surface` is a mesh of the solid, from which first contacts are drawn by area.
    pub fn new(
        solid: &'a dyn SignedDistance,
        surface: &'a TriangleMesh,
        gripper: &'a GripperGeometry,
        settings: CandidateSettings,
    ) -> Self {
        Self {
            solid,
            surface: SurfaceSampler::new(surface),
            gripper,
            settings,
        }
    }

    /// Up to `count` pairs of contacts; fewer where the object has hardly any. Equal seeds give equal pairs.
    pub fn pairs(&self, count: usize, seed: u64) -> Vec<[Point3<f64>; 2]> {
        const ROUNDS: u64 = 8;
        let mut pairs = Vec::with_capacity(count);
        for round in 0..ROUNDS {
            let numbers = round * count as u64..(round + 1) * count as u64;
            let numbers = numbers.into_par_iter();
            pairs.par_extend(numbers.filter_map(|n| self.pair(&mut numbered_rng(seed, n))));
            if pairs.len() >= count {
                break;
            }
        }
        pairs.truncate(count);
        pairs
    }

    /// Two facing surface points whose normals lie in the cone about their connection; `None` where a drawn one has no other.
    pub fn pair(&self, rng: &mut impl Rng) -> Option<[Point3<f64>; 2]> {
        let Self {
            solid,
            settings,
            gripper,
            ..
        } = self;
        let start = self.surface.sample(rng);
        let (distance, gradient) = solid.distance_and_gradient(&start);
        let normal = gradient.try_normalize(1e-6)?;
        let first = start - normal * distance;
        let tangent = normal
            .cross(&Vector3::from(UnitSphere.sample(rng)))
            .try_normalize(1e-6)?;
        let cone_rad = settings.cone_deg.to_radians();
        let tilt = cone_rad * rng.random_range(0.0f64..1.0).sqrt();
        let direction = -normal * tilt.cos() + tangent * tilt.sin();
        let longest_m = gripper.max_opening_m - settings.jaw_margin_m;
        let exits = exits_along(*solid, &first, &direction, longest_m);
        if exits.is_empty() {
            return None;
        }
        let second = first + direction * exits[rng.random_range(0..exits.len())];
        let other_normal = solid.distance_and_gradient(&second).1.try_normalize(1e-6)?;
        (other_normal.dot(&direction) > cone_rad.cos()).then_some([first, second])
    }
}
