//! How the simulated arm follows a trajectory: as joint_trajectory_controller does, without tracking error.

use crate::ros::controller_rules::{CommandedPoint, CommandedTrajectory};

/// A joint that would have to jump further than this at the start would trip a real arm's safety stop.
const LARGEST_JUMP: f64 = 0.05;

/// Position, velocity and acceleration of every joint at one time.
#[derive(Clone, Debug, PartialEq)]
struct Knot {
    time_s: f64,
    position: Vec<f64>,
    velocity: Vec<f64>,
    acceleration: Vec<f64>,
    order: Order,
}

/// How the piece that ends in a knot is interpolated: by what the trajectory gives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Linear,
    Cubic,
    Quintic,
}

/// A trajectory would need a jump.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("joint '{joint}' is at {position} but the trajectory starts at {start}")]
pub struct Jump {
    pub joint: String,
    pub position: f64,
    pub start: f64,
}

/// The joints and the trajectory they follow.
pub struct TrajectoryFollower {
    joints: Vec<String>,
    /// rad or m
    pub position: Vec<f64>,
    /// rad/s or m/s
    pub velocity: Vec<f64>,
    acceleration: Vec<f64>,
    /// From the state at the command to the end; empty while the arm holds its position.
    knots: Vec<Knot>,
}

impl TrajectoryFollower {
    pub fn new(joints: Vec<String>, position: Vec<f64>) -> Self {
        let zeros = vec![0.0; joints.len()];
        Self {
            joints,
            position,
            velocity: zeros.clone(),
            acceleration: zeros,
            knots: Vec::new(),
        }
    }

    pub fn joints(&self) -> &[String] {
        &self.joints
    }

    pub fn is_moving(&self) -> bool {
        !self.knots.is_empty()
    }

    /// Replaces the running trajectory. The trajectory has passed [`crate::ros::controller_rules::check`];
    /// the way to its first point starts at the present state.
    ///
    /// # Errors
    /// [`Jump`] if there is no time to reach the first point.
    pub fn command(&mut self, trajectory: &CommandedTrajectory, now_s: f64) -> Result<(), Jump> {
        let start_s = now_s + trajectory.start_in_s.unwrap_or(0.0);
        let order: Vec<usize> = self
            .joints
            .iter()
            .filter_map(|joint| trajectory.joint_names.iter().position(|name| name == joint))
            .collect();
        let mut knots = vec![Knot {
            time_s: now_s,
            position: self.position.clone(),
            velocity: self.velocity.clone(),
            acceleration: self.acceleration.clone(),
            order: Order::Quintic,
        }];
        for point in &trajectory.points {
            let knot = Knot::from_point(point, &order, start_s);
            if knot.time_s > now_s {
                knots.push(knot);
            } else if point.time_s == 0.0 && trajectory.points.len() > 1 {
                self.check_jump(&knot)?;
                knots[0] = Knot {
                    time_s: now_s,
                    ..knot
                };
            }
        }
        // Every point lies in the past or is due now: hold the last one if it is the present position.
        if knots.len() == 1 {
            if let Some(last) = trajectory.points.last() {
                self.check_jump(&Knot::from_point(last, &order, start_s))?;
            }
            self.stop();
            return Ok(());
        }
        self.knots = knots;
        Ok(())
    }

    /// Moves to where the joints are at `now_s`.
    pub fn step(&mut self, now_s: f64) {
        let Some(last) = self.knots.last() else {
            return;
        };
        if now_s >= last.time_s {
            self.position.clone_from(&last.position);
            self.stop();
            return;
        }
        let next = self
            .knots
            .partition_point(|knot| knot.time_s <= now_s)
            .max(1);
        let (from, to) = (&self.knots[next - 1], &self.knots[next]);
        let duration = to.time_s - from.time_s;
        let t = (now_s - from.time_s).max(0.0);
        for j in 0..self.joints.len() {
            let start = [from.position[j], from.velocity[j], from.acceleration[j]];
            let end = [to.position[j], to.velocity[j], to.acceleration[j]];
            let [p, v, a] = evaluate(&coefficients(to.order, start, end, duration), t);
            self.position[j] = p;
            self.velocity[j] = v;
            self.acceleration[j] = a;
        }
    }

    fn stop(&mut self) {
        self.knots.clear();
        self.velocity.fill(0.0);
        self.acceleration.fill(0.0);
    }

    fn check_jump(&self, first: &Knot) -> Result<(), Jump> {
        for (j, joint) in self.joints.iter().enumerate() {
            if (first.position[j] - self.position[j]).abs() > LARGEST_JUMP {
                return Err(Jump {
                    joint: joint.clone(),
                    position: self.position[j],
                    start: first.position[j],
                });
            }
        }
        Ok(())
    }
}

impl Knot {
    fn from_point(point: &CommandedPoint, order: &[usize], start_s: f64) -> Self {
        let pick = |values: &[f64]| match values.is_empty() {
            true => vec![0.0; order.len()],
            false => order.iter().map(|&i| values[i]).collect(),
        };
        Self {
            time_s: start_s + point.time_s,
            position: pick(&point.positions),
            velocity: pick(&point.velocities),
            acceleration: pick(&point.accelerations),
            order: match (point.velocities.is_empty(), point.accelerations.is_empty()) {
                (true, _) => Order::Linear,
                (false, true) => Order::Cubic,
                (false, false) => Order::Quintic,
            },
        }
    }
}

/// Polynomial through position (velocity (acceleration)) at both ends of `[0, duration]`.
fn coefficients(order: Order, start: [f64; 3], end: [f64; 3], duration: f64) -> [f64; 6] {
    let ([p0, v0, a0], [p1, v1, a1], t) = (start, end, duration);
    let d = p1 - p0;
    match order {
        Order::Linear => [p0, d / t, 0.0, 0.0, 0.0, 0.0],
        Order::Cubic => [
            p0,
            v0,
            (3.0 * d - (2.0 * v0 + v1) * t) / t.powi(2),
            (-2.0 * d + (v0 + v1) * t) / t.powi(3),
            0.0,
            0.0,
        ],
        Order::Quintic => [
            p0,
            v0,
            a0 / 2.0,
            (20.0 * d - (8.0 * v1 + 12.0 * v0) * t - (3.0 * a0 - a1) * t.powi(2))
                / (2.0 * t.powi(3)),
            (-30.0 * d + (14.0 * v1 + 16.0 * v0) * t + (3.0 * a0 - 2.0 * a1) * t.powi(2))
                / (2.0 * t.powi(4)),
            (12.0 * d - 6.0 * (v1 + v0) * t + (a1 - a0) * t.powi(2)) / (2.0 * t.powi(5)),
        ],
    }
}

/// Value and first two derivatives.
fn evaluate(c: &[f64; 6], t: f64) -> [f64; 3] {
    let position = c.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let velocity = (1..6).rev().fold(0.0, |sum, i| sum * t + i as f64 * c[i]);
    let acceleration = (2..6)
        .rev()
        .fold(0.0, |sum, i| sum * t + (i * (i - 1)) as f64 * c[i]);
    [position, velocity, acceleration]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower() -> TrajectoryFollower {
        TrajectoryFollower::new(vec!["a".into(), "b".into()], vec![0.0, 1.0])
    }

    fn point(time_s: f64, b: f64, a: f64, v: f64) -> CommandedPoint {
        CommandedPoint {
            time_s,
            positions: vec![b, a],
            velocities: vec![v, v],
            accelerations: vec![0.0, 0.0],
        }
    }

    fn trajectory(points: Vec<CommandedPoint>) -> CommandedTrajectory {
        CommandedTrajectory {
            joint_names: vec!["b".into(), "a".into()],
            points,
            start_in_s: None,
        }
    }

    #[test]
    fn every_order_meets_both_ends() {
        let (start, end, duration) = ([1.0, -0.5, 2.0], [3.0, 0.7, -1.0], 1.7);
        for (order, derivatives) in [(Order::Linear, 1), (Order::Cubic, 2), (Order::Quintic, 3)] {
            let c = coefficients(order, start, end, duration);
            let (at_start, at_end) = (evaluate(&c, 0.0), evaluate(&c, duration));
            for i in 0..derivatives {
                assert!((at_start[i] - start[i]).abs() < 1e-12, "{order:?} {i}");
                assert!((at_end[i] - end[i]).abs() < 1e-12, "{order:?} {i}");
            }
        }
    }

    #[test]
    fn it_passes_the_points_in_its_own_joint_order_and_stops() {
        let mut arm = follower();
        let points = vec![
            point(0.0, 1.0, 0.0, 0.0),
            point(1.0, 1.5, 0.2, 0.3),
            point(2.0, 2.0, 0.5, 0.0),
        ];
        arm.command(&trajectory(points), 10.0).unwrap();
        arm.step(11.0);
        assert!((arm.position[0] - 0.2).abs() < 1e-12 && (arm.position[1] - 1.5).abs() < 1e-12);
        assert!((arm.velocity[0] - 0.3).abs() < 1e-12);
        arm.step(12.5);
        assert_eq!(arm.position, [0.5, 2.0]);
        assert_eq!(arm.velocity, [0.0, 0.0]);
        assert!(!arm.is_moving());
    }

    #[test]
    fn a_new_trajectory_starts_from_the_motion() {
        let mut arm = follower();
        arm.command(&trajectory(vec![point(2.0, 2.0, 1.0, 0.0)]), 0.0)
            .unwrap();
        arm.step(1.0);
        let (position, velocity) = (arm.position.clone(), arm.velocity.clone());
        assert!(velocity[0] > 0.1);
        let hold = CommandedPoint {
            time_s: 0.5,
            positions: vec![position[1], position[0]],
            ..Default::default()
        };
        arm.command(&trajectory(vec![hold]), 1.0).unwrap();
        arm.step(1.001);
        assert!((arm.position[0] - position[0]).abs() < 2e-3);
        arm.step(2.0);
        assert_eq!(arm.position, position, "a one-point trajectory is held");
    }

    #[test]
    fn a_jump_is_refused_and_changes_nothing() {
        let mut arm = follower();
        let points = vec![point(0.0, 1.0, 0.3, 0.0), point(1.0, 1.0, 0.5, 0.0)];
        let jump = arm.command(&trajectory(points), 0.0).unwrap_err();
        assert_eq!(
            jump.to_string(),
            "joint 'a' is at 0 but the trajectory starts at 0.3"
        );
        arm.step(1.0);
        assert_eq!(arm.position, [0.0, 1.0]);
    }
}
