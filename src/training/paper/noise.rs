//! How much noise a level stands for.

/// sigma_0 of [`sigma`].
const BASE: f64 = 0.5;
/// Smallest level that training draws.
pub const LEAST_LEVEL: f64 = 1e-5;

/// Noise of level `t` in 0..1: sqrt((0.5^(2t) - 1) / (2 ln 0.5)), in rad and in the model's lengths alike.
///
/// That of a variance-exploding diffusion (Song et al. 2021) with sigma(t) = 0.5^t, as in the released code.
pub fn sigma(t: f64) -> f64 {
    ((BASE.powf(2.0 * t) - 1.0) / (2.0 * BASE.ln())).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_released_code() {
        for (t, expected) in [
            (1e-5, 0.00316),
            (1e-3, 0.03161),
            (0.01, 0.0997),
            (0.1, 0.3056),
            (0.25, 0.4597),
            (0.5, 0.6006),
            (1.0, 0.7355),
        ] {
            let unit = 10f64.powi(if t < 0.005 { -5 } else { -4 });
            assert!(
                (sigma(t) - expected).abs() <= 0.6 * unit,
                "{t}: {}",
                sigma(t)
            );
        }
        // 9.2 cm at the coarsest level.
        assert!((sigma(1.0) / super::super::LENGTHS_PER_M - 0.092).abs() < 1e-3);
    }
}
