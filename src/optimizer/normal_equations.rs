//! Dense Gauss-Newton systems of sixteen configurations at once.

use crate::lanes::{splat, Lanes, ZERO};

/// `H x = g` by lane: H symmetric and positive, of the number of joints D.
pub(super) struct NormalEquations {
    dof: usize,
    /// `[D]`; after [`Self::solve_upper`] the solution.
    pub gradient: Vec<Lanes>,
    /// `[D][D]`, the lower triangle.
    matrix: Vec<Lanes>,
}

/// A joint that is pushed beyond its bound is made this stiff, so that the others do its share.
const HELD: f32 = 1e6;
/// Bounds count as reached within this [rad or m].
const AT_BOUND: f32 = 1e-5;
/// Values below this have no curvature worth counting.
const TINY: f32 = 1e-12;

impl NormalEquations {
    pub fn new(dof: usize) -> Self {
        Self {
            dof,
            gradient: vec![ZERO; dof],
            matrix: vec![ZERO; dof * dof],
        }
    }

    /// No gradient, and `damping` times the identity.
    pub fn reset(&mut self, damping: f32) {
        self.gradient.fill(ZERO);
        self.matrix.fill(ZERO);
        for j in 0..self.dof {
            self.matrix[j * self.dof + j] = splat(damping);
        }
    }

    /// Adds `weight derivative` to the gradient.
    pub fn add_gradient(&mut self, derivative: &[Lanes], weight: Lanes) {
        for (g, d) in self.gradient.iter_mut().zip(derivative) {
            *g = weight.mul_add(*d, *g);
        }
    }

    /// Adds `curvature d d^T` to the matrix.
    pub fn add_curvature(&mut self, d: &[Lanes], curvature: Lanes) {
        for i in 0..self.dof {
            let scaled = curvature * d[i];
            let row = &mut self.matrix[i * self.dof..=i * self.dof + i];
            for (entry, d) in row.iter_mut().zip(d) {
                *entry = scaled.mul_add(*d, *entry);
            }
        }
    }

    /// Adds a cost `value = r^2 / 2` times `weight`: `derivative d` is r dr, so the Gauss-Newton matrix is d d^T / (2 value).
    pub fn add_square(&mut self, derivative: &[Lanes], value: Lanes, weight: Lanes) {
        self.add_gradient(derivative, weight);
        let active = value.simd_gt(splat(TINY));
        let curvature = active & (weight * splat(0.5) / value.fast_max(splat(TINY)));
        self.add_curvature(derivative, curvature);
    }

    /// Joint `j` stays where the step down the gradient would push it beyond a bound.
    pub fn hold_at_bounds(&mut self, j: usize, q: Lanes, lower: f32, upper: f32) {
        let g = self.gradient[j];
        let below = q.simd_lt(splat(lower + AT_BOUND)) & g.simd_gt(ZERO);
        let above = q.simd_gt(splat(upper - AT_BOUND)) & g.simd_lt(ZERO);
        let entry = &mut self.matrix[j * self.dof + j];
        *entry += (below | above) & splat(HELD);
    }

    /// Replaces the matrix by its Cholesky factor L.
    pub fn factor(&mut self) {
        let n = self.dof;
        for i in 0..n {
            for j in 0..=i {
                let mut sum = self.matrix[i * n + j];
                for k in 0..j {
                    sum = self.matrix[i * n + k].mul_neg_add(self.matrix[j * n + k], sum);
                }
                self.matrix[i * n + j] = if i == j {
                    sum.fast_max(splat(TINY)).sqrt()
                } else {
                    sum / self.matrix[j * n + j]
                };
            }
        }
    }

    /// `gradient <- L^-1 gradient`
    pub fn solve_lower(&mut self) {
        let n = self.dof;
        for i in 0..n {
            let mut sum = self.gradient[i];
            for k in 0..i {
                sum = self.matrix[i * n + k].mul_neg_add(self.gradient[k], sum);
            }
            self.gradient[i] = sum / self.matrix[i * n + i];
        }
    }

    /// `gradient <- L^-T gradient`
    pub fn solve_upper(&mut self) {
        let n = self.dof;
        for i in (0..n).rev() {
            let mut sum = self.gradient[i];
            for k in i + 1..n {
                sum = self.matrix[k * n + i].mul_neg_add(self.gradient[k], sum);
            }
            self.gradient[i] = sum / self.matrix[i * n + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_satisfy_the_equations() {
        const N: usize = 5;
        let row = |k: usize| -> Vec<Lanes> {
            (0..N)
                .map(|j| {
                    Lanes::new(std::array::from_fn(|lane| {
                        ((3 * k + 7 * j + lane) as f32).sin()
                    }))
                })
                .collect()
        };
        let mut system = NormalEquations::new(N);
        system.reset(0.3);
        for k in 0..8 {
            system.add_curvature(&row(k), splat(1.0 + k as f32));
        }
        system.add_square(&row(9), splat(0.4), splat(2.0));
        let (matrix, right) = (system.matrix.clone(), system.gradient.clone());
        system.factor();
        system.solve_lower();
        system.solve_upper();
        for (i, wanted) in right.iter().enumerate() {
            let mut product = ZERO;
            for (j, solution) in system.gradient.iter().enumerate() {
                let (a, b) = (i.max(j), i.min(j));
                product = matrix[a * N + b].mul_add(*solution, product);
            }
            for (found, wanted) in product.to_array().into_iter().zip(wanted.to_array()) {
                assert!((found - wanted).abs() < 1e-3, "{found} against {wanted}");
            }
        }
    }

    #[test]
    fn a_joint_at_its_bound_stays_and_the_others_move() {
        let mut system = NormalEquations::new(2);
        system.reset(1.0);
        system.add_gradient(&[splat(1.0), splat(1.0)], splat(1.0));
        system.hold_at_bounds(0, splat(-1.0), -1.0, 1.0);
        system.hold_at_bounds(1, splat(0.0), -1.0, 1.0);
        system.factor();
        system.solve_lower();
        system.solve_upper();
        assert!(system.gradient[0].to_array()[3].abs() < 1e-5);
        assert!((system.gradient[1].to_array()[3] - 1.0).abs() < 1e-5);
    }
}
