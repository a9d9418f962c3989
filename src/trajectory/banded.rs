//! Gradient and Gauss-Newton metric over the control points of one spline: seven diagonals, all joints at once.
//!
//! The metric couples control points, never joints, so that one Cholesky factorisation in sixteen lanes serves every
//! joint. Differences of order up to three and samples of a cubic span reach at most three neighbours.

use super::joint_row::JointRow;
use super::spline::{Spline, ORDER};

/// Control points that a free end moves together, so that the motion stays at rest there.
const END_POINTS: usize = ORDER - 1;

/// `H x = g` by joint; row `i` of `metric` holds `H[i][i - k]`, `k` = 0..4.
#[derive(Debug, Clone, Default)]
pub struct BandedSystem {
    /// `[n]`, 1/rad or 1/m.
    pub gradient: Vec<JointRow>,
    /// `[n][4]` lower band; after [`Self::factor`] the Cholesky factor with inverted diagonal.
    pub metric: Vec<[JointRow; ORDER]>,
}

impl BandedSystem {
    /// Zero gradient and `damping` times the identity, over `n` control points. Allocates only when `n` grows.
    pub fn reset(&mut self, n: usize, damping: f32) {
        self.gradient.clear();
        self.gradient.resize(n, JointRow::ZERO);
        let mut row = [JointRow::ZERO; ORDER];
        row[0] = JointRow::splat(damping);
        self.metric.clear();
        self.metric.resize(n, row);
    }

    /// Adds the terms f(r_i) of the differences `r_i = scale * sum_k c_k x_{i+k}` over the whole spline. `term` gives
    /// (f', f'') by lane and is called once for each difference; f'' enters the metric and must not be negative.
    #[inline]
    pub fn add_differences<const K: usize>(
        &mut self,
        spline: &Spline,
        coefficients: [f32; K],
        scale: JointRow,
        mut term: impl FnMut(JointRow) -> (JointRow, JointRow),
    ) {
        let x = &spline.points;
        let c = coefficients.map(JointRow::splat);
        for i in 0..x.len() + 1 - K {
            let mut difference = JointRow::ZERO;
            for k in 0..K {
                difference = c[k].mul_add(x[i + k], difference);
            }
            let (first, second) = term(difference * scale);
            let (first, second) = (first * scale, second * scale * scale);
            for k in 0..K {
                self.gradient[i + k] = c[k].mul_add(first, self.gradient[i + k]);
                for m in 0..=k {
                    let entry = &mut self.metric[i + k][k - m];
                    *entry = (c[k] * c[m]).mul_add(second, *entry);
                }
            }
        }
    }

    /// Adds a term of one configuration on span `span` with basis weights `weights`: its gradient by joint and the
    /// diagonal of its curvature.
    #[inline]
    pub fn add_sample(
        &mut self,
        span: usize,
        weights: [f32; ORDER],
        gradient: JointRow,
        curvature: JointRow,
    ) {
        for k in 0..ORDER {
            let wk = JointRow::splat(weights[k]);
            self.gradient[span + k] = wk.mul_add(gradient, self.gradient[span + k]);
            for m in 0..=k {
                let entry = &mut self.metric[span + k][k - m];
                *entry = JointRow::splat(weights[k] * weights[m]).mul_add(curvature, *entry);
            }
        }
    }

    /// Makes the last three control points one variable (index `n - 3`), which moves the resting end.
    pub fn fold_end(&mut self) {
        let n = self.gradient.len();
        let end = n - END_POINTS;
        let mut column = [JointRow::ZERO; ORDER];
        column[0] = self.metric[end][0];
        for (k, entry) in column.iter_mut().enumerate().skip(1) {
            *entry = self.metric[end][k];
        }
        for i in end + 1..n {
            self.gradient[end] = self.gradient[end] + self.gradient[i];
            for k in 0..ORDER.min(i + 1) {
                let j = i - k;
                if j >= end {
                    // Both ends of the product move together; off the diagonal it counts twice.
                    let twice = if k == 0 { 1.0 } else { 2.0 };
                    column[0] = JointRow::splat(twice).mul_add(self.metric[i][k], column[0]);
                } else {
                    column[end - j] += self.metric[i][k];
                }
            }
        }
        self.metric[end] = column;
    }

    /// Cholesky factorisation of the block `first..last` (rows and columns); the metric must be positive there.
    pub fn factor(&mut self, first: usize, last: usize) {
        for i in first..last {
            for k in (1..ORDER).rev() {
                if i < first + k {
                    continue;
                }
                let j = i - k;
                let mut sum = self.metric[i][k];
                for m in k + 1..ORDER {
                    if i < first + m {
                        break;
                    }
                    sum = self.metric[i][m].mul_neg_add(self.metric[j][m - k], sum);
                }
                self.metric[i][k] = sum * self.metric[j][0];
            }
            let mut pivot = self.metric[i][0];
            for m in 1..ORDER {
                if i < first + m {
                    break;
                }
                pivot = self.metric[i][m].mul_neg_add(self.metric[i][m], pivot);
            }
            self.metric[i][0] = JointRow::ONE / pivot.fast_max(JointRow::splat(1e-9)).sqrt();
        }
    }

    /// `gradient <- L^-1 gradient` on the factored block.
    pub fn solve_lower(&mut self, first: usize, last: usize) {
        for i in first..last {
            let mut sum = self.gradient[i];
            for m in 1..ORDER {
                if i < first + m {
                    break;
                }
                sum = self.metric[i][m].mul_neg_add(self.gradient[i - m], sum);
            }
            self.gradient[i] = sum * self.metric[i][0];
        }
    }

    /// `gradient <- L^-T gradient` on the factored block.
    pub fn solve_upper(&mut self, first: usize, last: usize) {
        for i in (first..last).rev() {
            let mut sum = self.gradient[i];
            for m in 1..ORDER {
                if i + m >= last {
                    break;
                }
                sum = self.metric[i + m][m].mul_neg_add(self.gradient[i + m], sum);
            }
            self.gradient[i] = sum * self.metric[i][0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DVector};

    const N: usize = 12;

    fn wavy_spline() -> Spline {
        let mut spline = Spline::resting(JointRow::ZERO, N - 3);
        for (i, p) in spline.points.iter_mut().enumerate() {
            *p = JointRow::new(std::array::from_fn(|j| ((i * (j + 2)) as f32 * 0.7).sin()));
        }
        spline
    }

    fn filled() -> BandedSystem {
        let mut system = BandedSystem::default();
        system.reset(N, 0.3);
        let quadratic = |r: JointRow| (r, JointRow::ONE);
        let spline = wavy_spline();
        system.add_differences(&spline, [-1.0, 1.0], JointRow::splat(0.8), quadratic);
        system.add_differences(
            &spline,
            [-1.0, 3.0, -3.0, 1.0],
            JointRow::splat(0.5),
            quadratic,
        );
        system.add_sample(
            4,
            crate::trajectory::basis(0.3),
            JointRow::splat(0.7),
            JointRow::splat(2.0),
        );
        system
    }

    fn dense(system: &BandedSystem, lane: usize) -> (DMatrix<f64>, DVector<f64>) {
        let n = system.gradient.len();
        let mut h = DMatrix::zeros(n, n);
        for i in 0..n {
            for k in 0..ORDER.min(i + 1) {
                let v = f64::from(system.metric[i][k].to_array()[lane]);
                h[(i, i - k)] = v;
                h[(i - k, i)] = v;
            }
        }
        (
            h,
            DVector::from_fn(n, |i, _| f64::from(system.gradient[i].to_array()[lane])),
        )
    }

    #[test]
    fn solves_like_a_dense_solver() {
        for (first, last) in [(0, N), (3, N - 3), (3, N - 2)] {
            let mut system = filled();
            let (h, g) = dense(&system, 5);
            let m = last - first;
            let expected = h
                .view((first, first), (m, m))
                .into_owned()
                .cholesky()
                .expect("positive")
                .solve(&g.rows(first, m).into_owned());
            system.factor(first, last);
            system.solve_lower(first, last);
            system.solve_upper(first, last);
            for i in 0..m {
                assert!(
                    (f64::from(system.gradient[first + i].to_array()[5]) - expected[i]).abs()
                        < 1e-4
                );
            }
        }
    }

    #[test]
    fn folding_the_end_equals_the_projected_dense_system() {
        let mut system = filled();
        let (h, g) = dense(&system, 2);
        // Columns of P: the unfolded control points as functions of the folded variables.
        let p = DMatrix::from_fn(N, N - 2, |i, j| if i.min(N - 3) == j { 1.0 } else { 0.0 });
        let (projected, gradient) = (p.transpose() * h * &p, p.transpose() * g);
        system.fold_end();
        let (folded, folded_gradient) = dense(&system, 2);
        for i in 0..N - 2 {
            assert!((folded_gradient[i] - gradient[i]).abs() < 1e-5);
            for j in 0..N - 2 {
                assert!(
                    (folded[(i, j)] - projected[(i, j)]).abs() < 1e-5,
                    "entry {i} {j}"
                );
            }
        }
    }
}
