//! Few balls about inner points of a body that hold samples of its surface.

use nalgebra::Point3;

use super::balls::Ball;

/// Surface samples, inner points with their depth, and how much deeper than its edge a ball must hold a sample.
pub(super) struct Cover<'a> {
    pub samples: &'a [Point3<f64>],
    /// (point, depth m).
    pub candidates: &'a [(Point3<f64>, f64)],
    /// m.
    pub slack: f64,
}

impl Cover<'_> {
    /// Few balls that hold all samples and stick out by at most `over` m: greedy choice, then each as small as the
    /// samples that only it holds allow.
    pub fn few(&self, over: f64) -> Vec<Ball> {
        let ball = |index: usize| {
            let (center, depth) = self.candidates[index];
            Ball {
                center,
                radius_m: depth + over,
            }
        };
        let mut balls = self.greedy(over).into_iter().map(ball).collect();
        self.shrink(&mut balls);
        balls
    }

    /// Greedy set cover: indices of candidates whose balls of radius depth + `over` hold all samples.
    fn greedy(&self, over: f64) -> Vec<usize> {
        let words = self.samples.len().div_ceil(64);
        let held_by = |&(center, depth): &(Point3<f64>, f64)| {
            let mut mask = vec![0u64; words];
            let radius = depth + over - self.slack;
            for (i, p) in self.samples.iter().enumerate() {
                if (p - center).norm_squared() <= radius * radius {
                    mask[i / 64] |= 1 << (i % 64);
                }
            }
            mask
        };
        let masks: Vec<Vec<u64>> = self.candidates.iter().map(held_by).collect();
        let mut open = vec![0u64; words];
        for i in 0..self.samples.len() {
            open[i / 64] |= 1 << (i % 64);
        }
        let mut chosen = Vec::new();
        loop {
            let gain = |mask: &Vec<u64>| {
                mask.iter()
                    .zip(&open)
                    .map(|(m, o)| (m & o).count_ones())
                    .sum::<u32>()
            };
            let best = masks
                .iter()
                .enumerate()
                .map(|(i, mask)| (gain(mask), std::cmp::Reverse(i)))
                .max();
            match best {
                Some((gain, std::cmp::Reverse(index))) if gain > 0 => {
                    chosen.push(index);
                    for (o, m) in open.iter_mut().zip(&masks[index]) {
                        *o &= !m;
                    }
                }
                _ => return chosen,
            }
        }
    }

    /// Makes every ball as small as the samples that only it holds allow; drops those with none.
    fn shrink(&self, balls: &mut Vec<Ball>) {
        for index in (0..balls.len()).rev() {
            let holds =
                |b: &Ball, p: &Point3<f64>| (p - b.center).norm() <= b.radius_m - self.slack;
            let ball = balls[index];
            let elsewhere = |p: &Point3<f64>| {
                balls
                    .iter()
                    .enumerate()
                    .any(|(i, b)| i != index && holds(b, p))
            };
            let needed = self
                .samples
                .iter()
                .filter(|p| holds(&ball, p) && !elsewhere(p))
                .map(|p| (p - ball.center).norm() + self.slack)
                .fold(0.0, f64::max);
            if needed > 0.0 {
                balls[index].radius_m = needed;
            } else {
                balls.remove(index);
            }
        }
    }
}
