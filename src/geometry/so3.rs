//! The rotation group: rotation vectors (rad) and unit quaternions.
//!
//! Formulas: J. Sola et al., "A micro Lie theory for state estimation in robotics" (2018), section on SO(3).

use nalgebra::{Matrix3, Quaternion, UnitQuaternion, Vector3};

/// Below this angle (rad) series replace the quotients: their first left-out term is then under one ulp.
const SMALL_ANGLE_RAD: f64 = 1e-2;

/// Rotation of a rotation vector (rad).
pub fn exp(rotation_vector: &Vector3<f64>) -> UnitQuaternion<f64> {
    let angle2 = rotation_vector.norm_squared();
    let half = 0.5 * angle2.sqrt();
    // sin(a/2)/a, finite at 0
    let k = if half < 0.5 * SMALL_ANGLE_RAD {
        0.5 - angle2 / 48.0 + angle2 * angle2 / 3840.0
    } else {
        half.sin() / (2.0 * half)
    };
    UnitQuaternion::new_normalize(Quaternion::from_parts(half.cos(), rotation_vector * k))
}

/// Rotation vector (rad), of length at most pi, of a rotation. At exactly pi one of the two axes is returned.
pub fn log(rotation: &UnitQuaternion<f64>) -> Vector3<f64> {
    let (vector, scalar) = (rotation.imag(), rotation.w);
    // q and -q are one rotation: take the one with the short angle.
    let (vector, scalar) = if scalar < 0.0 {
        (-vector, -scalar)
    } else {
        (vector, scalar)
    };
    let sine = vector.norm();
    if sine < 0.5 * SMALL_ANGLE_RAD {
        // 2 asin(s)/s: well conditioned here, and equal to 2 atan2(s, c)/s
        let s2 = sine * sine;
        return vector * (2.0 * (1.0 + s2 / 6.0 + 3.0 * s2 * s2 / 40.0));
    }
    // atan2 keeps full accuracy up to pi, where acos loses half the digits.
    vector * (2.0 * sine.atan2(scalar) / sine)
}

/// Cross-product matrix.
pub fn hat(v: &Vector3<f64>) -> Matrix3<f64> {
    Matrix3::new(0.0, -v.z, v.y, v.z, 0.0, -v.x, -v.y, v.x, 0.0)
}

/// `(1 - cos a) / a^2` and `(a - sin a) / a^3`.
pub(crate) fn jacobian_coefficients(angle2: f64) -> (f64, f64) {
    if angle2 < SMALL_ANGLE_RAD * SMALL_ANGLE_RAD {
        (
            0.5 - angle2 / 24.0 + angle2 * angle2 / 720.0,
            1.0 / 6.0 - angle2 / 120.0 + angle2 * angle2 / 5040.0,
        )
    } else {
        let angle = angle2.sqrt();
        // 1 - cos a = 2 sin^2(a/2): no cancellation
        let half_sine = (0.5 * angle).sin();
        (
            2.0 * half_sine * half_sine / angle2,
            (angle - angle.sin()) / (angle2 * angle),
        )
    }
}

/// J_l(w): Exp(w + d) = Exp(J_l(w) d) Exp(w) to first order in d.
pub fn left_jacobian(rotation_vector: &Vector3<f64>) -> Matrix3<f64> {
    let (b, c) = jacobian_coefficients(rotation_vector.norm_squared());
    let w = hat(rotation_vector);
    Matrix3::identity() + w * b + w * w * c
}

/// Inverse of [`left_jacobian`]; it has none at angles 2 pi k, k > 0.
pub fn left_jacobian_inverse(rotation_vector: &Vector3<f64>) -> Matrix3<f64> {
    let angle2 = rotation_vector.norm_squared();
    let w = hat(rotation_vector);
    let c = if angle2 < SMALL_ANGLE_RAD * SMALL_ANGLE_RAD {
        1.0 / 12.0 + angle2 / 720.0 + angle2 * angle2 / 30240.0
    } else {
        let half = 0.5 * angle2.sqrt();
        // (1 - (a/2) cot(a/2)) / a^2: cot is finite at pi, where the textbook's (1 + cos)/sin is 0/0
        (1.0 - half * half.cos() / half.sin()) / angle2
    };
    Matrix3::identity() - w * 0.5 + w * w * c
}

/// J_r(w) = J_l(-w): Exp(w + d) = Exp(w) Exp(J_r(w) d) to first order in d.
pub fn right_jacobian(rotation_vector: &Vector3<f64>) -> Matrix3<f64> {
    left_jacobian(&-rotation_vector)
}

/// Inverse of [`right_jacobian`].
pub fn right_jacobian_inverse(rotation_vector: &Vector3<f64>) -> Matrix3<f64> {
    left_jacobian_inverse(&-rotation_vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::PI;

    /// Angles over all scales, with many near 0 (1e-9..1e-3) and near pi.
    pub(crate) fn rotation_vectors() -> impl Strategy<Value = Vector3<f64>> {
        let direction = (-1.0..1.0f64, -1.0..1.0f64, -1.0..1.0f64)
            .prop_filter("a direction", |(x, y, z)| x * x + y * y + z * z > 1e-3)
            .prop_map(|(x, y, z)| Vector3::new(x, y, z).normalize());
        let angle = prop_oneof![
            0.0..PI - 1e-6,
            (-9.0..-3.0f64).prop_map(|e| 10f64.powf(e)),
            (-9.0..-3.0f64).prop_map(|e| PI - 10f64.powf(e)),
            Just(0.0),
        ];
        (direction, angle).prop_map(|(d, a)| d * a)
    }

    /// Derivative of a function into R3 by central differences.
    fn differences(f: impl Fn(&Vector3<f64>) -> Vector3<f64>) -> Matrix3<f64> {
        let h = 1e-6;
        Matrix3::from_columns(&std::array::from_fn::<_, 3, _>(|k| {
            let d = Vector3::ith(k, h);
            (f(&d) - f(&-d)) / (2.0 * h)
        }))
    }

    proptest! {
        #[test]
        fn log_inverts_exp(w in rotation_vectors()) {
            prop_assert!((log(&exp(&w)) - w).norm() < 1e-9, "{w:?}");
        }

        #[test]
        fn exp_inverts_log(w in rotation_vectors(), v in rotation_vectors()) {
            let r = exp(&w) * exp(&v);
            prop_assert!(exp(&log(&r)).angle_to(&r) < 1e-7);
            prop_assert!((exp(&log(&r)).to_rotation_matrix().matrix() - r.to_rotation_matrix().matrix()).norm() < 1e-12);
        }

        #[test]
        fn exp_of_the_negative_is_the_inverse(w in rotation_vectors()) {
            let identity = (exp(&w) * exp(&-w)).to_rotation_matrix();
            prop_assert!((identity.matrix() - Matrix3::identity()).norm() < 1e-12);
        }

        #[test]
        fn left_jacobian_is_the_derivative(w in rotation_vectors()) {
            let numeric = differences(|d| log(&(exp(&(w + d)) * exp(&w).inverse())));
            prop_assert!((numeric - left_jacobian(&w)).norm() < 1e-8);
        }

        #[test]
        fn right_jacobian_is_the_derivative(w in rotation_vectors()) {
            let numeric = differences(|d| log(&(exp(&w).inverse() * exp(&(w + d)))));
            prop_assert!((numeric - right_jacobian(&w)).norm() < 1e-8);
        }

        #[test]
        fn inverse_jacobians_invert(w in rotation_vectors()) {
            prop_assert!((left_jacobian(&w) * left_jacobian_inverse(&w) - Matrix3::identity()).norm() < 1e-11);
            prop_assert!((right_jacobian(&w) * right_jacobian_inverse(&w) - Matrix3::identity()).norm() < 1e-11);
        }
    }

    #[test]
    fn series_meet_the_closed_forms() {
        let axis = Vector3::new(0.6, 0.0, 0.8);
        let below = axis * (SMALL_ANGLE_RAD * (1.0 - 1e-9));
        let above = axis * (SMALL_ANGLE_RAD * (1.0 + 1e-9));
        assert!((left_jacobian(&below) - left_jacobian(&above)).norm() < 1e-10);
        assert!((left_jacobian_inverse(&below) - left_jacobian_inverse(&above)).norm() < 1e-10);
        assert!((log(&exp(&below)) - below).norm() < 1e-15);
        assert!((log(&exp(&above)) - above).norm() < 1e-15);
    }

    #[test]
    fn half_turn_has_a_finite_inverse_jacobian() {
        let w = Vector3::new(0.0, PI, 0.0);
        assert!(
            (left_jacobian(&w) * left_jacobian_inverse(&w) - Matrix3::identity()).norm() < 1e-12
        );
        assert!((log(&exp(&w)).norm() - PI).abs() < 1e-12);
    }
}
