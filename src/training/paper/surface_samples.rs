//! Points about an object with their signed distances: what its code is learned from.

use nalgebra::{Point3, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::LENGTHS_PER_M;
use crate::scene::SignedDistance;

/// Of the object's radius: how far points lie off the surface, in two halves (Park et al. 2019, appendix B: variances
/// 0.0025 and 0.00025 in the unit sphere).
const DEVIATIONS: [f64; 2] = [0.05, 0.0158];
/// Share of points anywhere in the sphere about the object (the released code's sampler: 3 of 50).
const ANYWHERE: f64 = 0.06;
/// Sphere over half the diagonal of the bounding box.
const SPHERE: f64 = 1.1;
/// Points this near count as on the surface, m.
const ON_SURFACE_M: f64 = 5e-4;
/// Steps along the distance's gradient that bring a point onto the surface, and tries until that succeeds.
const PROJECTIONS: usize = 8;
const TRIES: usize = 16;
/// Points that one task makes.
const CHUNK: usize = 512;

/// Points and distances, eighths of a metre.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SurfaceSamples {
    /// x, y, z, distance, of one point after the other.
    pub(super) values: Vec<f32>,
}

impl SurfaceSamples {
    /// `count` points about a body, whose frame and middle `middle_m` becomes the origin. Equal seeds give equal points.
    pub fn new(
        body: &dyn SignedDistance,
        middle_m: &Vector3<f64>,
        count: usize,
        seed: u64,
    ) -> Self {
        let chunks: Vec<usize> = (0..count.div_ceil(CHUNK)).collect();
        let values = chunks
            .par_iter()
            .flat_map_iter(|&chunk| {
                let mut rng = Pcg64Mcg::seed_from_u64(
                    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                        .wrapping_add(chunk as u64),
                );
                let points = CHUNK.min(count - chunk * CHUNK);
                (0..points)
                    .flat_map(|_| {
                        let (point, distance_m) = sample(body, &mut rng);
                        let local = point.coords - middle_m;
                        [local.x, local.y, local.z, distance_m].map(|x| (LENGTHS_PER_M * x) as f32)
                    })
                    .collect::<Vec<f32>>()
            })
            .collect();
        Self { values }
    }

    pub fn len(&self) -> usize {
        self.values.len() / 4
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Appends a random point and its distance.
    pub(super) fn pick(&self, rng: &mut impl Rng, points: &mut Vec<f32>, distances: &mut Vec<f32>) {
        let row = &self.values[4 * rng.random_range(0..self.len())..][..4];
        points.extend(&row[..3]);
        distances.push(row[3]);
    }

    /// Points `[3 * len]` and distances `[len]`.
    pub fn split(&self) -> (Vec<f32>, Vec<f32>) {
        let rows = self.values.chunks_exact(4);
        (
            rows.clone().flat_map(|row| &row[..3]).copied().collect(),
            rows.map(|row| row[3]).collect(),
        )
    }
}

fn sample(body: &dyn SignedDistance, rng: &mut impl Rng) -> (Point3<f64>, f64) {
    let (low, high) = body.bounds();
    let radius_m = 0.5 * (high - low).norm();
    let mut point = in_sphere(&nalgebra::center(&low, &high), SPHERE * radius_m, rng);
    if !rng.random_bool(ANYWHERE) {
        for _ in 0..TRIES {
            if let Some(found) = projected(body, point) {
                let deviation_m = radius_m * DEVIATIONS[rng.random_range(0..DEVIATIONS.len())];
                let noise = Vector3::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal));
                point = found + noise * deviation_m;
                break;
            }
            point = in_sphere(&nalgebra::center(&low, &high), SPHERE * radius_m, rng);
        }
    }
    (point, body.distance(&point))
}

/// The surface's point near to this one, if following the distance leads there.
fn projected(body: &dyn SignedDistance, mut point: Point3<f64>) -> Option<Point3<f64>> {
    for _ in 0..PROJECTIONS {
        let (distance_m, gradient) = body.distance_and_gradient(&point);
        if distance_m.abs() < ON_SURFACE_M {
            return Some(point);
        }
        point -= gradient * distance_m;
    }
    None
}

fn in_sphere(middle: &Point3<f64>, radius_m: f64, rng: &mut impl Rng) -> Point3<f64> {
    let direction = Vector3::from_fn(|_, _| rng.sample::<f64, _>(StandardNormal));
    let share = rng.random_range(0.0..1.0f64).cbrt();
    middle + direction.normalize() * (radius_m * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Category, ProceduralObject};

    #[test]
    fn samples_lie_about_the_surface_with_the_bodys_own_distances() {
        let object = ProceduralObject::new(Category::Mug, 1);
        let middle = Vector3::new(0.01, -0.02, 0.03);
        let samples = SurfaceSamples::new(&object.solid, &middle, 1300, 7);
        assert_eq!(samples.len(), 1300);
        let (points, distances) = samples.split();
        let (low, high) = object.solid.bounds();
        let radius_m = 0.5 * (high - low).norm();
        let mut near = 0;
        for (point, distance) in points.chunks_exact(3).zip(&distances) {
            let local = Vector3::new(point[0], point[1], point[2]).cast::<f64>() / LENGTHS_PER_M;
            let expected = object.solid.distance(&Point3::from(local + middle));
            assert!((expected - f64::from(*distance) / LENGTHS_PER_M).abs() < 1e-6);
            near += usize::from(expected.abs() < 3.0 * DEVIATIONS[0] * radius_m);
        }
        assert!(near > 1150, "{near}");
        let inside = distances.iter().filter(|&&d| d < 0.0).count();
        assert!((200..1000).contains(&inside), "{inside}");
        assert_eq!(
            samples,
            SurfaceSamples::new(&object.solid, &middle, 1300, 7)
        );
        assert_ne!(
            samples,
            SurfaceSamples::new(&object.solid, &middle, 1300, 8)
        );
    }
}
