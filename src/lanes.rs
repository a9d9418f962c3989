//! Sixteen f32 lanes: the unit in which configurations are evaluated.
//!
//! A lane is one configuration (one sample of one trajectory). Every kernel of the step loop works on
//! sixteen of them at once, structure of arrays, which fills one AVX-512 register or two AVX2 ones.

use wide::bytemuck::cast;
use wide::i32x16;

/// Configurations evaluated together.
pub const LANES: usize = 16;

/// Bit mask of all lanes.
pub const ALL_LANES: u32 = 0xffff;

/// One f32 per configuration.
pub type Lanes = wide::f32x16;

/// A vector or point per configuration, `[x, y, z]`.
pub type Lanes3 = [Lanes; 3];

/// Zero in every lane.
pub const ZERO: Lanes = Lanes::ZERO;

/// The zero vector in every lane.
pub const ZERO3: Lanes3 = [ZERO; 3];

/// The same value in every lane.
#[inline(always)]
pub fn splat(value: f32) -> Lanes {
    Lanes::splat(value)
}

/// The same vector in every lane.
#[inline(always)]
pub fn splat3(v: [f32; 3]) -> Lanes3 {
    [splat(v[0]), splat(v[1]), splat(v[2])]
}

#[inline(always)]
pub fn add(a: &Lanes3, b: &Lanes3) -> Lanes3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

#[inline(always)]
pub fn sub(a: &Lanes3, b: &Lanes3) -> Lanes3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[inline(always)]
pub fn scale(a: &Lanes3, k: Lanes) -> Lanes3 {
    [a[0] * k, a[1] * k, a[2] * k]
}

/// `a k + b`
#[inline(always)]
pub fn mul_add(a: &Lanes3, k: Lanes, b: &Lanes3) -> Lanes3 {
    [
        a[0].mul_add(k, b[0]),
        a[1].mul_add(k, b[1]),
        a[2].mul_add(k, b[2]),
    ]
}

#[inline(always)]
pub fn dot(a: &Lanes3, b: &Lanes3) -> Lanes {
    a[0].mul_add(b[0], a[1].mul_add(b[1], a[2] * b[2]))
}

#[inline(always)]
pub fn cross(a: &Lanes3, b: &Lanes3) -> Lanes3 {
    [
        a[1].mul_sub(b[2], a[2] * b[1]),
        a[2].mul_sub(b[0], a[0] * b[2]),
        a[0].mul_sub(b[1], a[1] * b[0]),
    ]
}

/// Smallest lane.
#[inline(always)]
pub fn horizontal_min(a: Lanes) -> f32 {
    a.to_array().into_iter().fold(f32::INFINITY, f32::min)
}

/// Largest lane.
#[inline(always)]
pub fn horizontal_max(a: Lanes) -> f32 {
    a.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Sine and cosine, absolute error below 2e-7 for arguments up to 1e3 rad.
///
/// Reduction to a quarter turn in two steps, then polynomials of least maximal error. The library's own
/// routine also serves huge and non-finite arguments, which cost it twice the time.
#[inline(always)]
pub fn sin_cos(angle_rad: Lanes) -> (Lanes, Lanes) {
    let quarter = (angle_rad * splat(std::f32::consts::FRAC_2_PI)).round_ties_even();
    let k: i32x16 = quarter.fast_round_int();
    let r = quarter.mul_neg_add(splat(1.570_796_4), angle_rad);
    let r = quarter.mul_neg_add(splat(-4.371_139e-8), r);
    let r2 = r * r;
    let sine = splat(2.718_311_4e-6)
        .mul_add(r2, splat(-1.983_933_5e-4))
        .mul_add(r2, splat(8.333_329e-3))
        .mul_add(r2, splat(-0.166_666_67));
    let sine = (sine * r2).mul_add(r, r);
    let cosine = splat(2.439_045e-5)
        .mul_add(r2, splat(-1.388_676e-3))
        .mul_add(r2, splat(4.166_664_6e-2))
        .mul_add(r2, splat(-0.5))
        .mul_add(r2, splat(1.0));
    let even: Lanes = cast((k & i32x16::splat(1)).simd_eq(i32x16::splat(0)));
    let sine_sign: Lanes = cast((k & i32x16::splat(2)) << 30);
    let cosine_sign: Lanes = cast(((k + i32x16::splat(1)) & i32x16::splat(2)) << 30);
    (
        even.select(sine, cosine) ^ sine_sign,
        even.select(cosine, sine) ^ cosine_sign,
    )
}

/// Exponential, relative error below 3e-7; arguments beyond +-87 count as +-87.
///
/// The library's own routine also serves overflow, subnormal and non-finite results, which cost it twice the time.
#[inline(always)]
pub fn exp(x: Lanes) -> Lanes {
    // The constant comes first: the instruction hands on its second operand if one is not a number.
    let x = splat(87.0).fast_min(splat(-87.0).fast_max(x));
    let power = (x * splat(std::f32::consts::LOG2_E)).round_ties_even();
    let r = power.mul_neg_add(splat(0.693_359_4), x);
    let r = power.mul_neg_add(splat(-2.121_944_4e-4), r);
    let series = splat(1.0 / 720.0)
        .mul_add(r, splat(1.0 / 120.0))
        .mul_add(r, splat(1.0 / 24.0))
        .mul_add(r, splat(1.0 / 6.0))
        .mul_add(r, splat(0.5))
        .mul_add(r, splat(1.0))
        .mul_add(r, splat(1.0));
    let exponent: i32x16 = (power.fast_round_int() + i32x16::splat(127)) << 23;
    let scale: Lanes = cast(exponent);
    series * scale
}

/// Sixteen values from the start of a slice; zeros if it is shorter.
///
/// Written so that it compiles to one vector load, which `copy_from_slice` does not always do.
#[inline(always)]
pub fn load(values: &[f32]) -> Lanes {
    values
        .first_chunk::<LANES>()
        .map_or(Lanes::ZERO, |chunk| Lanes::new(*chunk))
}

/// Writes sixteen values to the start of a slice; does nothing if it is shorter.
#[inline(always)]
pub fn store(lanes: Lanes, values: &mut [f32]) {
    if let Some(chunk) = values.first_chunk_mut::<LANES>() {
        *chunk = lanes.to_array();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sin_cos_matches_double_precision() {
        for step in -2000..2000 {
            let angles: [f32; 16] =
                std::array::from_fn(|lane| step as f32 * 0.0137 + lane as f32 * 0.31);
            let (sine, cosine) = sin_cos(Lanes::from(angles));
            for (lane, angle) in angles.into_iter().enumerate() {
                let exact = f64::from(angle);
                assert!(
                    (f64::from(sine.to_array()[lane]) - exact.sin()).abs() < 2e-7,
                    "{exact}"
                );
                assert!(
                    (f64::from(cosine.to_array()[lane]) - exact.cos()).abs() < 2e-7,
                    "{exact}"
                );
            }
        }
    }

    #[test]
    fn exp_matches_double_precision() {
        for step in -8_600..8_600 {
            let x = step as f32 * 0.01 + 0.003;
            let found = f64::from(exp(splat(x)).to_array()[7]);
            assert!((found / f64::from(x).exp() - 1.0).abs() < 3e-7, "{x}");
        }
        assert!(exp(splat(1e30)).to_array()[0].is_finite());
        assert!(exp(splat(-1e30)).to_array()[0] < 1e-37);
    }

    #[test]
    fn cross_is_normal_to_both() {
        let (a, b) = (splat3([1.0, 2.0, 3.0]), splat3([-2.0, 0.5, 4.0]));
        let c = cross(&a, &b);
        assert_eq!(c.map(|v| v.to_array()[3]), [6.5, -10.0, 4.5]);
        assert_eq!(dot(&a, &c).to_array()[0], 0.0);
    }
}
