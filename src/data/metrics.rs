//! How alike two sets of grasps are: earth mover's distance under three costs, and coverage.

use serde::Serialize;

use crate::geometry::Pose;

/// What it costs to turn one grasp into another. Metres and radians are added as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoseCost {
    /// `|dt| + |Log(R1^T R2)|` (arXiv 2209.03855, eq. 19).
    Paper,
    /// `|dt| + (1 - cos angle)`: the evaluation in the paper's released code.
    ReleasedCode,
    /// `sqrt(|dt|^2 + angle^2)`: the geodesic distance of EquiGraspFlow (CoRL 2024).
    Geodesic,
}

impl PoseCost {
    pub const ALL: [PoseCost; 3] = [PoseCost::Paper, PoseCost::ReleasedCode, PoseCost::Geodesic];

    pub fn between(self, a: &Pose, b: &Pose) -> f64 {
        let shift_m = (a.translation.vector - b.translation.vector).norm();
        let angle_rad = a.rotation.angle_to(&b.rotation);
        match self {
            PoseCost::Paper => shift_m + angle_rad,
            PoseCost::ReleasedCode => shift_m + 1.0 - angle_rad.cos(),
            PoseCost::Geodesic => shift_m.hypot(angle_rad),
        }
    }
}

/// Mean cost of the best one-to-one assignment between the first `n` grasps of both sets, n the size of the smaller.
/// Depends strongly on n: compare at equal n only. `None` if a set is empty.
pub fn earth_movers_distance(a: &[Pose], b: &[Pose], cost: PoseCost) -> Option<f64> {
    let n = a.len().min(b.len());
    if n == 0 {
        return None;
    }
    let costs: Vec<f64> = a[..n]
        .iter()
        .flat_map(|a| b[..n].iter().map(move |b| cost.between(a, b)))
        .collect();
    let columns = assignment(&costs, n);
    let total: f64 = columns
        .iter()
        .enumerate()
        .map(|(row, column)| costs[row * n + column])
        .sum();
    Some(total / n as f64)
}

/// Share of the reference grasps with a generated one within `within_m` and `within_rad`, both.
pub fn coverage(reference: &[Pose], generated: &[Pose], within_m: f64, within_rad: f64) -> f64 {
    let covered = |a: &Pose| {
        generated.iter().any(|b| {
            (a.translation.vector - b.translation.vector).norm() < within_m
                && a.rotation.angle_to(&b.rotation) < within_rad
        })
    };
    let count = reference.iter().filter(|a| covered(a)).count();
    count as f64 / reference.len().max(1) as f64
}

/// Column of each row in the cheapest assignment of an n x n matrix, row by row.
///
/// Shortest augmenting paths with potentials (Jonker and Volgenant 1987); n^3 steps at most.
pub fn assignment(costs: &[f64], n: usize) -> Vec<usize> {
    // Row and column 0 are a virtual pair that every search starts from.
    let mut row_potential = vec![0.0; n + 1];
    let mut column_potential = vec![0.0; n + 1];
    let mut row_of = vec![0usize; n + 1];
    let mut came_from = vec![0usize; n + 1];
    for row in 1..=n {
        row_of[0] = row;
        let mut least = vec![f64::INFINITY; n + 1];
        let mut used = vec![false; n + 1];
        let mut column = 0;
        while row_of[column] != 0 {
            used[column] = true;
            let current = row_of[column];
            let (mut step, mut next) = (f64::INFINITY, 0);
            for other in 1..=n {
                if used[other] {
                    continue;
                }
                let reduced = costs[(current - 1) * n + other - 1]
                    - row_potential[current]
                    - column_potential[other];
                if reduced < least[other] {
                    least[other] = reduced;
                    came_from[other] = column;
                }
                if least[other] < step || next == 0 {
                    (step, next) = (least[other], other);
                }
            }
            for other in 0..=n {
                if used[other] {
                    row_potential[row_of[other]] += step;
                    column_potential[other] -= step;
                } else {
                    least[other] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            let previous = came_from[column];
            row_of[column] = row_of[previous];
            column = previous;
        }
    }
    let mut column_of = vec![0; n];
    for column in 1..=n {
        column_of[row_of[column] - 1] = column - 1;
    }
    column_of
}

#[cfg(test)]
mod tests {
    use nalgebra::{Isometry3, UnitQuaternion, Vector3};
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn poses(count: usize, seed: u64) -> Vec<Pose> {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        (0..count)
            .map(|_| {
                let shift = Vector3::from_fn(|_, _| rng.random_range(-0.1..0.1));
                let turn = Vector3::from_fn(|_, _| rng.random_range(-1.5..1.5));
                Isometry3::from_parts(shift.into(), UnitQuaternion::from_scaled_axis(turn))
            })
            .collect()
    }

    #[test]
    fn the_assignment_is_the_best_of_all_permutations() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(3);
        let permutations: Vec<[usize; 4]> = (0..256)
            .map(|k| [k & 3, k >> 2 & 3, k >> 4 & 3, k >> 6 & 3])
            .filter(|p| (0..4).all(|i| p.contains(&i)))
            .collect();
        assert_eq!(permutations.len(), 24);
        for _ in 0..200 {
            let costs: Vec<f64> = (0..16).map(|_| rng.random_range(0.0..1.0)).collect();
            let total = |columns: &[usize]| -> f64 {
                (0..4).map(|row| costs[row * 4 + columns[row]]).sum()
            };
            let best = permutations
                .iter()
                .map(|p| total(p))
                .fold(f64::INFINITY, f64::min);
            assert!((total(&assignment(&costs, 4)) - best).abs() < 1e-12);
        }
    }

    #[test]
    fn a_shuffled_set_is_no_distance_away_and_a_shifted_one_its_shift() {
        let a = poses(40, 1);
        let shuffled: Vec<Pose> = (0..40).map(|i| a[(i * 7 + 3) % 40]).collect();
        for cost in PoseCost::ALL {
            assert!(earth_movers_distance(&a, &shuffled, cost).unwrap() < 1e-6);
        }
        let shifted: Vec<Pose> = a
            .iter()
            .map(|p| nalgebra::Translation3::new(0.003, 0.0, 0.004) * p)
            .collect();
        let distance = earth_movers_distance(&a, &shifted, PoseCost::Paper).unwrap();
        assert!((distance - 0.005).abs() < 1e-6, "{distance}");
        assert!(earth_movers_distance(&a, &[], PoseCost::Paper).is_none());
        assert_eq!(coverage(&a, &shifted, 0.006, 0.1), 1.0);
        assert_eq!(coverage(&a, &shifted, 0.004, 0.1), 0.0);
        assert_eq!(coverage(&a, &shifted[..10], 0.006, 0.1), 0.25);
    }

    #[test]
    fn the_three_costs_of_a_quarter_turn() {
        let a = Pose::identity();
        let b = Isometry3::new(Vector3::new(0.3, 0.0, 0.0), Vector3::z() * 1.2);
        assert!((PoseCost::Paper.between(&a, &b) - 1.5).abs() < 1e-9);
        assert!((PoseCost::ReleasedCode.between(&a, &b) - 1.3 + 1.2f64.cos()).abs() < 1e-9);
        assert!((PoseCost::Geodesic.between(&a, &b) - (0.09f64 + 1.44).sqrt()).abs() < 1e-9);
    }
}
