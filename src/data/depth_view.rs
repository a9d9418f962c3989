//! What a depth camera sees of a body: one side of it, with noise.

use nalgebra::{Point3, Vector3};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, UnitSphere};
use rand_pcg::Pcg64Mcg;

use crate::scene::SignedDistance;

/// A camera that looks at the middle of a body from any direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthCamera {
    /// From the middle of the body, m.
    pub distance_m: f64,
    /// Angle between pixels, rad.
    pub pixel_rad: f64,
    /// Standard deviation of a depth at 1 m; it grows with the square of the distance, as a stereo camera's does, m.
    pub noise_at_1m_m: f64,
    /// Surfaces seen flatter than this are lost, deg.
    pub grazing_deg: f64,
}

impl Default for DepthCamera {
    /// About a RealSense D435 at arm's length: 1.1 mm between points, noise of 1 mm.
    fn default() -> Self {
        Self {
            distance_m: 0.6,
            pixel_rad: 0.0018,
            noise_at_1m_m: 0.0028,
            grazing_deg: 6.0,
        }
    }
}

/// Points of one view, m, in the frame of the body.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthView {
    pub points_m: Vec<[f64; 3]>,
    pub viewpoint_m: [f64; 3],
}

/// A ray ends this near to the surface, m.
const HIT_M: f64 = 1e-4;
/// Steps of a ray that grazes along a surface.
const MOST_STEPS: usize = 400;

impl DepthCamera {
    /// The view from a random direction; equal seeds see the same.
    pub fn look_at(&self, solid: &dyn SignedDistance, seed: u64) -> DepthView {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let (low, high) = solid.bounds();
        let middle = nalgebra::center(&low, &high);
        let radius = 0.5 * (high - low).norm();
        let direction: Vector3<f64> = Vector3::from(UnitSphere.sample(&mut rng));
        let viewpoint = middle + direction * (self.distance_m + radius);
        let forward = -direction;
        let right = forward
            .cross(&Vector3::ith(forward.iamin(), 1.0))
            .normalize();
        let up = right.cross(&forward);
        let reach = (self.distance_m + radius) * radius.atan2(self.distance_m);
        let count = (1.2 * reach / (self.distance_m + radius) / self.pixel_rad).ceil() as i64;
        let mut points_m = Vec::new();
        for i in -count..=count {
            for j in -count..=count {
                let slope = [i, j].map(|n| n as f64 * self.pixel_rad);
                let ray = (forward + right * slope[0] + up * slope[1]).normalize();
                let Some(length) = self.cast(solid, &viewpoint, &ray, 2.0 * radius) else {
                    continue;
                };
                let noise: f64 = rng.sample(StandardNormal);
                let length = length + self.noise_at_1m_m * length * length * noise;
                points_m.push((viewpoint + ray * length).coords.into());
            }
        }
        DepthView {
            points_m,
            viewpoint_m: viewpoint.coords.into(),
        }
    }

    /// Length of a ray to the surface, m: it advances by the distance, so it meets the thinnest wall.
    fn cast(
        &self,
        solid: &dyn SignedDistance,
        from: &Point3<f64>,
        ray: &Vector3<f64>,
        beyond_m: f64,
    ) -> Option<f64> {
        let mut length = 0.0;
        let limit = self.distance_m + 2.0 * beyond_m;
        for _ in 0..MOST_STEPS {
            let place = from + ray * length;
            let distance = solid.distance(&place);
            if distance < HIT_M {
                let normal = solid.distance_and_gradient(&(place - ray * HIT_M)).1;
                let facing = -normal.try_normalize(1e-9)?.dot(ray);
                return (facing > self.grazing_deg.to_radians().sin()).then_some(length);
            }
            length += distance.max(HIT_M);
            if length > limit {
                return None;
            }
        }
        None
    }
}
