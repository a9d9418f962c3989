//! Balls, and groups of neighbours with one ball around them: what the kernels' spheres are made from.

use nalgebra::{Point3, Vector3};

use crate::geometry::Pose;

/// A ball in double precision, in the frame of a link, a body or an object; m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ball {
    pub center: Point3<f64>,
    pub radius_m: f64,
}

impl Ball {
    fn moved(&self, pose: &Pose) -> Self {
        Self {
            center: pose * self.center,
            ..*self
        }
    }
}

/// Neighbouring balls, and one that holds them all, in one frame.
#[derive(Clone, Debug)]
pub struct BallGroup {
    pub balls: Vec<Ball>,
    pub around: Ball,
}

impl BallGroup {
    /// Groups of at most `most` balls.
    pub(super) fn of(balls: Vec<Ball>, most: usize) -> Vec<Self> {
        let groups = cluster(balls, most).into_iter();
        let group = |balls: Vec<Ball>| Self {
            around: enclosing_ball(&balls),
            balls,
        };
        groups.map(group).collect()
    }

    /// The same elsewhere.
    pub(super) fn moved(&self, pose: &Pose) -> Self {
        Self {
            balls: self.balls.iter().map(|ball| ball.moved(pose)).collect(),
            around: self.around.moved(pose),
        }
    }
}

/// Smallest ball about some centre that holds all balls: a few steps towards the farthest one.
fn enclosing_ball(balls: &[Ball]) -> Ball {
    let mut center = Point3::from(
        balls.iter().map(|b| b.center.coords).sum::<Vector3<f64>>() / balls.len() as f64,
    );
    let reach = |center: &Point3<f64>, b: &Ball| (b.center - center).norm() + b.radius_m;
    for step in 1..100 {
        if let Some(far) = balls
            .iter()
            .max_by(|a, b| reach(&center, a).total_cmp(&reach(&center, b)))
        {
            center += (far.center - center) / (step + 1) as f64;
        }
    }
    let radius_m = balls.iter().map(|b| reach(&center, b)).fold(0.0, f64::max);
    Ball { center, radius_m }
}

/// Splits balls into groups of neighbours of at most `most`, by halving along the widest axis.
fn cluster(mut balls: Vec<Ball>, most: usize) -> Vec<Vec<Ball>> {
    if balls.len() <= most.max(1) {
        return if balls.is_empty() {
            Vec::new()
        } else {
            vec![balls]
        };
    }
    let far = f64::INFINITY;
    let (mut low, mut high) = (Point3::new(far, far, far), Point3::new(-far, -far, -far));
    for ball in &balls {
        low = low.inf(&ball.center);
        high = high.sup(&ball.center);
    }
    let axis = (high - low).imax();
    balls.sort_by(|a, b| a.center[axis].total_cmp(&b.center[axis]));
    let upper = balls.split_off(balls.len() / 2);
    let mut out = cluster(balls, most);
    out.extend(cluster(upper, most));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_their_spheres() {
        let balls: Vec<Ball> = (0..11)
            .map(|i| Ball {
                center: Point3::new(0.05 * i as f64, 0.01 * (i % 3) as f64, 0.0),
                radius_m: 0.03,
            })
            .collect();
        let turn = nalgebra::UnitQuaternion::from_scaled_axis(Vector3::new(0.3, -0.9, 2.0));
        let pose = Pose::from_parts(Vector3::new(0.1, -0.4, 0.2).into(), turn);
        let groups = BallGroup::of(balls, 4);
        assert_eq!(groups.iter().map(|g| g.balls.len()).sum::<usize>(), 11);
        for group in groups {
            assert!(group.balls.len() <= 4);
            for group in [group.moved(&pose), group] {
                let BallGroup { balls, around } = group;
                let reach = |b: &Ball| (b.center - around.center).norm() + b.radius_m;
                assert!(balls.iter().all(|b| reach(b) <= around.radius_m + 1e-12));
            }
        }
    }
}
