//! Positions on a fine grid of times, and what their differences say of the limits.

use super::{Motion, VerifySettings, Violation};
use crate::robot::JointLimits;

/// Share by which rounding may exceed a limit.
const LIMIT_TOLERANCE: f64 = 1e-6;
/// Rounding of positions (a few ulps of 1 rad) seen through the third difference, in units of 1 / period^3.
const POSITION_ROUNDING: f64 = 4e-15;
/// Velocity and acceleration at the ends, as a share of the limit.
const END_TOLERANCE: f64 = 1e-3;
/// Steps for the derivatives at the ends: no longer than this share of the motion, or they would reach over several spans.
const END_STEP: f64 = 1.0 / 400.0;

/// Positions at `time(i)`, i = 0..=steps, and the joints' ways up to there.
#[derive(Default)]
pub(super) struct Samples {
    pub dof: usize,
    pub steps: usize,
    pub period_s: f64,
    /// `[steps + 1][D]`.
    positions: Vec<f64>,
    /// Positions at four times from each end inwards, `[2][4][D]`, and the time between them.
    end_positions: Vec<f64>,
    end_period_s: f64,
    /// `[steps + 1][D]`: bound on each joint's way since the start.
    ways: Vec<f64>,
    /// Acceleration limits in force, `[D]`.
    acceleration: Vec<f64>,
}

impl Samples {
    /// Samples a motion.
    pub fn take(
        &mut self,
        motion: &dyn Motion,
        limits: &JointLimits,
        settings: &VerifySettings,
    ) -> Result<(), Violation> {
        let duration_s = motion.duration_s();
        if !(duration_s.is_finite() && duration_s > 0.0 && settings.period_s > 0.0) {
            let reason = format!(
                "the motion takes {duration_s} s, sampled every {} s",
                settings.period_s
            );
            return Err(Violation::Setup { reason });
        }
        self.dof = limits.dof();
        // At least three steps, so that third differences exist.
        self.steps = ((duration_s / settings.period_s).ceil() as usize).max(3);
        self.period_s = duration_s / self.steps as f64;
        self.positions.clear();
        self.positions.resize((self.steps + 1) * self.dof, 0.0);
        for i in 0..=self.steps {
            let row = i * self.dof..(i + 1) * self.dof;
            motion.position(self.time_s(i), &mut self.positions[row.clone()]);
            if let Some(j) = self.positions[row].iter().position(|v| !v.is_finite()) {
                return Err(Violation::NotFinite {
                    joint: limits.names[j].clone(),
                    time_s: self.time_s(i),
                    value: self.positions[i * self.dof + j],
                });
            }
        }
        self.take_ends(motion, duration_s);
        self.acceleration.clear();
        self.acceleration.extend(
            limits
                .acceleration
                .iter()
                .map(|a| a * settings.acceleration_scaling),
        );
        self.add_up_ways();
        Ok(())
    }

    fn take_ends(&mut self, motion: &dyn Motion, duration_s: f64) {
        self.end_period_s = self.period_s.min(END_STEP * duration_s);
        self.end_positions.resize(8 * self.dof, 0.0);
        for (k, row) in self.end_positions.chunks_mut(self.dof).enumerate() {
            let inwards_s = (k % 4) as f64 * self.end_period_s;
            let time_s = if k < 4 {
                inwards_s
            } else {
                duration_s - inwards_s
            };
            motion.position(time_s, row);
        }
    }

    fn add_up_ways(&mut self) {
        self.ways.clear();
        self.ways.resize(self.positions.len(), 0.0);
        for i in 1..=self.steps {
            for j in 0..self.dof {
                let (now, before) = (i * self.dof + j, (i - 1) * self.dof + j);
                let way = self.way(
                    j,
                    self.positions[now] - self.positions[before],
                    self.period_s,
                );
                self.ways[now] = self.ways[before] + way;
            }
        }
    }

    /// Bound on a joint's way during `time_s` in which it advances by `change`. If its velocity keeps its sign the way
    /// is `|change|`; if not, there is a moment of rest, and from it |v| <= a |t|, so the way is at most a time^2 / 2.
    pub fn way(&self, joint: usize, change: f64, time_s: f64) -> f64 {
        let turning = 0.5 * self.acceleration[joint] * time_s * time_s;
        change.abs().max(turning)
    }

    pub fn time_s(&self, step: usize) -> f64 {
        step as f64 * self.period_s
    }

    pub fn position(&self, step: usize) -> &[f64] {
        &self.positions[step * self.dof..(step + 1) * self.dof]
    }

    /// Bounds on the joints' ways between two steps.
    pub fn ways(&self, from: usize, to: usize) -> impl Iterator<Item = f64> + '_ {
        let (a, b) = (&self.ways[from * self.dof..], &self.ways[to * self.dof..]);
        (0..self.dof).map(|j| b[j] - a[j])
    }

    /// Bound on how far a joint is from the straight line over `time_s` between the positions at both ends: a curve
    /// with |acceleration| <= a keeps within a time^2 / 8 of its chord.
    pub fn bow(&self, joint: usize, time_s: f64) -> f64 {
        0.125 * self.acceleration[joint] * time_s * time_s
    }

    /// The same between two steps, from the positions in between.
    pub fn bow_between(&self, joint: usize, from: usize, to: usize) -> f64 {
        let q = |i: usize| self.positions[i * self.dof + joint];
        let slope = (q(to) - q(from)) / (to - from) as f64;
        let off = |i: usize| (q(i) - q(from) - slope * (i - from) as f64).abs();
        (from + 1..to).map(off).fold(0.0, f64::max) + self.bow(joint, self.period_s)
    }

    /// Compares the first position with where the robot stands.
    pub fn check_start(
        &self,
        limits: &JointLimits,
        settings: &VerifySettings,
    ) -> Result<(), Violation> {
        let Some(start) = &settings.start else {
            return Ok(());
        };
        let lengths = [&settings.start_velocity, &settings.start_acceleration].map(Vec::len);
        if lengths.iter().any(|&n| n != 0 && n != self.dof) {
            let reason = format!(
                "the start has {lengths:?} velocities and accelerations, the robot {} joints",
                self.dof
            );
            return Err(Violation::Setup { reason });
        }
        if start.len() != self.dof {
            let reason = format!(
                "the start has {} positions, the robot {} joints",
                start.len(),
                self.dof
            );
            return Err(Violation::Setup { reason });
        }
        for (j, (&value, &expected)) in self.position(0).iter().zip(start).enumerate() {
            let near = (value - expected).abs() <= settings.start_tolerance;
            if !near {
                return Err(Violation::Start {
                    joint: limits.names[j].clone(),
                    value,
                    expected,
                    tolerance: settings.start_tolerance,
                });
            }
        }
        Ok(())
    }

    /// Checks position, motion at both ends, velocity, acceleration and jerk. Returns the largest ratio to the limit of the
    /// last three. A difference quotient is a mean of the derivative, so it cannot exceed a limit that is kept.
    pub fn check_limits(
        &self,
        limits: &JointLimits,
        settings: &VerifySettings,
    ) -> Result<[f64; 3], Violation> {
        self.check_positions(limits)?;
        let scales = [
            settings.velocity_scaling,
            settings.acceleration_scaling,
            settings.acceleration_scaling,
        ];
        self.check_ends(limits, scales, settings)?;
        let quantities = [
            ("velocity", &limits.velocity),
            ("acceleration", &limits.acceleration),
            ("jerk", &limits.jerk),
        ];
        let mut ratios = [0.0f64; 3];
        for (order, (quantity, limit)) in quantities.into_iter().enumerate() {
            for j in 0..self.dof {
                let limit = limit[j] * scales[order];
                let (step, value) = self.largest_difference(j, order + 1);
                let rounding =
                    POSITION_ROUNDING * self.magnitude(j) / self.period_s.powi(order as i32 + 1);
                if value.abs() > limit * (1.0 + LIMIT_TOLERANCE) + rounding {
                    return Err(Violation::Limit {
                        joint: limits.names[j].clone(),
                        quantity,
                        time_s: self.time_s(step) + 0.5 * (order + 1) as f64 * self.period_s,
                        value,
                        limit: limit.copysign(value),
                    });
                }
                ratios[order] = ratios[order].max(value.abs() / limit);
            }
        }
        Ok(ratios)
    }

    fn check_positions(&self, limits: &JointLimits) -> Result<(), Violation> {
        for i in 0..=self.steps {
            for (j, &value) in self.position(i).iter().enumerate() {
                let (lower, upper) = (limits.lower[j], limits.upper[j]);
                let tolerance = LIMIT_TOLERANCE;
                if value < lower - tolerance || value > upper + tolerance {
                    return Err(Violation::Limit {
                        joint: limits.names[j].clone(),
                        quantity: "position",
                        time_s: self.time_s(i),
                        value,
                        limit: if value < lower { lower } else { upper },
                    });
                }
            }
        }
        Ok(())
    }

    /// Velocity and acceleration at both ends by one-sided differences that are exact for cubics: those asked for at the
    /// start, none at the end.
    fn check_ends(
        &self,
        limits: &JointLimits,
        scales: [f64; 3],
        settings: &VerifySettings,
    ) -> Result<(), Violation> {
        let h = self.end_period_s;
        for (end, side) in [("start", 0), ("end", 1)] {
            // Seen from the end, time runs backwards.
            let forward = if side == 0 { 1.0 } else { -1.0 };
            for j in 0..self.dof {
                let [a, b, c, d] =
                    std::array::from_fn(|k| self.end_positions[(4 * side + k) * self.dof + j]);
                let velocity = forward * (-11.0 * a + 18.0 * b - 9.0 * c + 2.0 * d) / (6.0 * h);
                let acceleration = (2.0 * a - 5.0 * b + 4.0 * c - d) / (h * h);
                let asked = |values: &[f64]| match side {
                    0 => values.get(j).copied().unwrap_or(0.0),
                    _ => 0.0,
                };
                for (quantity, value, expected, limit) in [
                    (
                        "velocity",
                        velocity,
                        asked(&settings.start_velocity),
                        limits.velocity[j] * scales[0],
                    ),
                    (
                        "acceleration",
                        acceleration,
                        asked(&settings.start_acceleration),
                        limits.acceleration[j] * scales[1],
                    ),
                ] {
                    let rounding = 16.0 * POSITION_ROUNDING * self.magnitude(j) / (h * h);
                    let tolerance = END_TOLERANCE * limit + rounding;
                    if (value - expected).abs() <= tolerance {
                        continue;
                    }
                    let joint = limits.names[j].clone();
                    return Err(if expected == 0.0 {
                        Violation::NotAtRest {
                            joint,
                            end,
                            quantity,
                            value,
                            tolerance,
                        }
                    } else {
                        Violation::StartRate {
                            joint,
                            quantity,
                            value,
                            expected,
                            tolerance,
                        }
                    });
                }
            }
        }
        Ok(())
    }

    /// First step and value of the largest difference quotient of an order (1 to 3) of a joint.
    fn largest_difference(&self, joint: usize, order: usize) -> (usize, f64) {
        let q = |i: usize| self.positions[i * self.dof + joint];
        let scale = self.period_s.powi(order as i32).recip();
        let mut worst = (0, 0.0f64);
        for i in 0..=self.steps - order {
            let difference = match order {
                1 => q(i + 1) - q(i),
                2 => q(i + 2) - 2.0 * q(i + 1) + q(i),
                _ => q(i + 3) - 3.0 * q(i + 2) + 3.0 * q(i + 1) - q(i),
            };
            if difference.abs() > worst.1.abs() {
                worst = (i, difference);
            }
        }
        (worst.0, worst.1 * scale)
    }

    /// Size of a joint's positions, at least 1: what rounding scales with.
    fn magnitude(&self, joint: usize) -> f64 {
        self.position(0)[joint]
            .abs()
            .max(self.position(self.steps)[joint].abs())
            .max(1.0)
    }
}
