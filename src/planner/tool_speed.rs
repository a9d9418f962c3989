//! How much slower a timed motion must be for the tool to keep a speed limit.

use nalgebra::{DVector, Vector3};

use super::constraints::ToolSpeedLimit;
use crate::robot::RobotModel;
use crate::trajectory::TimedTrajectory;

/// The largest speed is known to this share.
const ACCURACY: f64 = 1e-3;
/// Pieces of a span at first; halved where the largest speed may hide.
const PIECES: usize = 4;

/// Factor, at least 1, by which the motion must take longer so that the tool keeps the limit at every time. The largest
/// speed is bounded from above, by branch and bound, so the limit holds between samples too.
pub fn slowdown(robot: &RobotModel, trajectory: &TimedTrajectory, limit: &ToolSpeedLimit) -> f64 {
    let peak = Peak::new(robot, trajectory);
    let mut factor = 1.0f64;
    if limit.linear_m_s.is_finite() {
        factor = factor.max(peak.bound(Part::Linear) / limit.linear_m_s);
    }
    if limit.angular_rad_s.is_finite() {
        factor = factor.max(peak.bound(Part::Angular) / limit.angular_rad_s);
    }
    factor
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Linear,
    Angular,
}

/// Search for the largest speed of the tool.
struct Peak<'a> {
    robot: &'a RobotModel,
    trajectory: &'a TimedTrajectory,
    linear_arms_m: Vec<f64>,
    angular_arms: Vec<f64>,
}

/// A time with the speed there.
#[derive(Clone, Copy)]
struct Sample {
    t_s: f64,
    speed: f64,
}

impl<'a> Peak<'a> {
    fn new(robot: &'a RobotModel, trajectory: &'a TimedTrajectory) -> Self {
        let (linear_arms_m, angular_arms) = robot.tool_lever_arms();
        Self {
            robot,
            trajectory,
            linear_arms_m,
            angular_arms,
        }
    }

    /// A speed that the tool nowhere exceeds, and that it reaches up to [`ACCURACY`].
    fn bound(&self, part: Part) -> f64 {
        let steps = PIECES * (self.trajectory.control_points().len() - 3);
        let piece_s = self.trajectory.duration_s() / steps as f64;
        let samples: Vec<Sample> = (0..=steps)
            .map(|i| self.sample(part, i as f64 * piece_s))
            .collect();
        let mut best = samples.iter().fold(0.0f64, |m, s| m.max(s.speed));
        for pair in samples.windows(2) {
            self.raise(part, pair[0], pair[1], &mut best);
        }
        best * (1.0 + ACCURACY)
    }

    /// Raises `best` until the interval cannot exceed it by more than [`ACCURACY`].
    fn raise(&self, part: Part, from: Sample, to: Sample, best: &mut f64) {
        const LEAST_S: f64 = 1e-7;
        let width_s = to.t_s - from.t_s;
        let change = self.largest_change(part, from.t_s, to.t_s);
        let bound = 0.5 * (from.speed + to.speed + change * width_s);
        if bound <= *best * (1.0 + ACCURACY) || width_s < LEAST_S {
            return;
        }
        let middle = self.sample(part, 0.5 * (from.t_s + to.t_s));
        *best = best.max(middle.speed);
        self.raise(part, from, middle, best);
        self.raise(part, middle, to, best);
    }

    fn sample(&self, part: Part, t_s: f64) -> Sample {
        let state = self.trajectory.sample(t_s);
        let twist =
            self.robot.kinematics.jacobian(&state.position) * DVector::from_vec(state.velocity);
        let first = if part == Part::Linear { 0 } else { 3 };
        let speed = Vector3::new(twist[first], twist[first + 1], twist[first + 2]).norm();
        Sample { t_s, speed }
    }

    /// Bound on the change of the speed per second in an interval inside a span. With lever arms r the acceleration of a point
    /// is at most `sum_j r_j |q''_j| + 2 (sum_i w_i |q'_i|) (sum_j r_j |q'_j|)`, where w counts the joints that turn; half of
    /// the second part for rotations. Accelerations of a cubic are largest at the interval's ends, and velocities there or
    /// larger by at most the acceleration times its width.
    fn largest_change(&self, part: Part, from_s: f64, to_s: f64) -> f64 {
        let (a, b) = (self.trajectory.sample(from_s), self.trajectory.sample(to_s));
        let arms = match part {
            Part::Linear => &self.linear_arms_m,
            Part::Angular => &self.angular_arms,
        };
        let (mut direct, mut moved, mut turned) = (0.0, 0.0, 0.0);
        for (j, arm) in arms.iter().enumerate() {
            let acceleration = a.acceleration[j].abs().max(b.acceleration[j].abs());
            let velocity =
                a.velocity[j].abs().max(b.velocity[j].abs()) + 0.5 * acceleration * (to_s - from_s);
            direct += arm * acceleration;
            moved += arm * velocity;
            turned += self.angular_arms[j] * velocity;
        }
        let coupling = if part == Part::Linear { 2.0 } else { 1.0 };
        direct + coupling * turned * moved
    }
}
