//! The isotropic Gaussian on SO(3): heat kernel of the rotation group (Leach et al. 2022; Nikolayev and Savyolov 1970).
//!
//! Density by angle w: f(w) = sum_l (2l+1) exp(-l(l+1) s^2 / 2) sin((l+1/2) w) / sin(w/2), against the
//! uniform measure (1 - cos w) / pi.

use std::f64::consts::PI;

use nalgebra::Vector3;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, UnitSphere};

/// Samples of the angle's density per table.
const DENSITY_SAMPLES: usize = 600;
/// Entries of the inverse cumulative table.
const TABLE_SIZE: usize = 1025;
/// Below this the series converges slowly and the small-noise form is exact to rounding, rad.
const SMALL_SIGMA: f64 = 0.3;

/// Sampling table and score of one noise parameter.
#[derive(Debug, Clone)]
pub struct IsotropicGaussian {
    sigma_rad: f64,
    /// Angle at cumulative probability i / (TABLE_SIZE - 1), rad.
    angle_of_probability: Vec<f64>,
}

impl IsotropicGaussian {
    /// The table for a noise parameter of about 0.005 to 3 rad.
    pub fn new(sigma_rad: f64) -> Self {
        let top = PI.min(6.5 * sigma_rad);
        let angle = |i: usize| top * i as f64 / (DENSITY_SAMPLES - 1) as f64;
        let mut cumulative = vec![0.0; DENSITY_SAMPLES];
        let mut last = 0.0;
        for i in 1..DENSITY_SAMPLES {
            let weight = density(sigma_rad, angle(i)) * (1.0 - angle(i).cos());
            cumulative[i] = cumulative[i - 1] + 0.5 * (last + weight);
            last = weight;
        }
        let total = cumulative[DENSITY_SAMPLES - 1];
        let mut at = 0;
        let angle_of_probability = (0..TABLE_SIZE)
            .map(|k| {
                let wanted = total * k as f64 / (TABLE_SIZE - 1) as f64;
                while at + 2 < DENSITY_SAMPLES && cumulative[at + 1] < wanted {
                    at += 1;
                }
                let step = cumulative[at + 1] - cumulative[at];
                let fraction = if step > 0.0 {
                    ((wanted - cumulative[at]) / step).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                angle(at) + fraction * (angle(at + 1) - angle(at))
            })
            .collect();
        Self {
            sigma_rad,
            angle_of_probability,
        }
    }

    /// A rotation vector, rad.
    pub fn sample(&self, rng: &mut impl Rng) -> Vector3<f64> {
        let place = rng.random_range(0.0..1.0) * (TABLE_SIZE - 1) as f64;
        let cell = (place as usize).min(TABLE_SIZE - 2);
        let (low, high) = (
            self.angle_of_probability[cell],
            self.angle_of_probability[cell + 1],
        );
        let angle = low + (place - cell as f64) * (high - low);
        Vector3::from(UnitSphere.sample(rng)) * angle
    }

    /// Log of the density against the uniform measure, up to a constant. Far out, where the series has lost all digits, a value too small to matter.
    pub fn log_density(&self, angle_rad: f64) -> f64 {
        let angle = angle_rad.max(1e-6);
        if self.sigma_rad < SMALL_SIGMA {
            let half = 0.5 * angle;
            return -0.5 * (angle / self.sigma_rad).powi(2) + (half / half.sin()).ln();
        }
        density(self.sigma_rad, angle).max(1e-12).ln()
    }

    /// Derivative of the log density by the angle, 1/rad: the score, along the axis, of a rotation from
    /// either side (the density depends on the angle alone, so both sides agree).
    pub fn score(&self, angle_rad: f64) -> f64 {
        let s = self.sigma_rad;
        let angle = angle_rad.clamp(1e-4, PI - 1e-4);
        if s < SMALL_SIGMA {
            return -angle / (s * s) + 1.0 / angle - 0.5 / (0.5 * angle).tan();
        }
        let (sine, cosine) = (0.5 * angle).sin_cos();
        let (mut value, mut slope) = (0.0, 0.0);
        for (l, weight) in series_weights(s) {
            let (sl, cl) = ((l + 0.5) * angle).sin_cos();
            value += weight * sl / sine;
            slope += weight * ((l + 0.5) * cl * sine - 0.5 * cosine * sl) / (sine * sine);
        }
        slope / value.max(1e-12)
    }
}

/// (l, (2l+1) exp(-l(l+1) s^2/2)) until the terms vanish.
fn series_weights(sigma: f64) -> impl Iterator<Item = (f64, f64)> {
    (0..80).map(move |l| {
        let l = l as f64;
        (
            l,
            (2.0 * l + 1.0) * (-0.5 * l * (l + 1.0) * sigma * sigma).exp(),
        )
    })
}

/// Density against the uniform measure, up to a constant.
fn density(sigma: f64, angle: f64) -> f64 {
    let angle = angle.max(1e-6);
    if sigma < SMALL_SIGMA {
        return (-0.5 * (angle / sigma).powi(2)).exp() * 0.5 * angle / (0.5 * angle).sin();
    }
    let series: f64 = series_weights(sigma)
        .map(|(l, weight)| weight * ((l + 0.5) * angle).sin())
        .sum();
    (series / (0.5 * angle).sin()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn score_is_the_derivative_of_the_log_density() {
        for sigma in [0.05, 0.2, 0.299, 0.301, 0.6, 1.2] {
            let gaussian = IsotropicGaussian::new(sigma);
            for k in 1..10 {
                let angle = (0.3 * k as f64 * sigma).min(2.9);
                let h = 1e-5;
                let slope =
                    (gaussian.log_density(angle + h) - gaussian.log_density(angle - h)) / (2.0 * h);
                assert!(
                    (slope - gaussian.score(angle)).abs() < 1e-4 * slope.abs().max(1.0),
                    "{sigma} {angle}"
                );
            }
        }
    }

    #[test]
    fn small_noise_is_gaussian_and_large_noise_uniform() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(5);
        let mean_square = |sigma: f64, rng: &mut rand_pcg::Pcg64Mcg| {
            let gaussian = IsotropicGaussian::new(sigma);
            (0..20_000)
                .map(|_| gaussian.sample(rng).norm_squared())
                .sum::<f64>()
                / 20_000.0
        };
        let small = mean_square(0.05, &mut rng);
        assert!(
            (small / (3.0 * 0.05f64.powi(2)) - 1.0).abs() < 0.03,
            "{small}"
        );
        // Uniform on SO(3): E[w^2] = pi^2/3 + 2.
        let large = mean_square(3.0, &mut rng);
        assert!(
            (large / (PI * PI / 3.0 + 2.0) - 1.0).abs() < 0.02,
            "{large}"
        );
    }
}
