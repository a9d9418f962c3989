//! Inverse kinematics of sixteen seeds at once: damped least squares with a pull towards a posture in the null space.
//!
//! Step (S. Buss, "Introduction to inverse kinematics", 2004, section 6; null space after A. Liegeois, 1977):
//! `dq = p + J^T (J J^T + l I)^-1 (e - J p)`, with e the error of the tool, p the pull and l the damping, which
//! falls with the error. Arms with fewer than six joints use `(J^T J + l I)^-1 J^T e` instead.

use super::joints::MotionKind;
use super::{JointLimits, KinematicModel, KinematicState, LaneFrame, RobotModel};
use crate::geometry::Pose;
use crate::lanes::{cross, dot, splat, sub, Lanes, Lanes3, LANES, ZERO};

/// When and how the search goes.
#[derive(Clone, Debug, PartialEq)]
pub struct IkSettings {
    pub iterations: usize,
    /// Part of the way to the rest posture that a step may use where the tool allows it; 0: no pull.
    pub null_space_gain: f64,
    /// The last iterations go without pull, so that the error can vanish.
    pub iterations_without_pull: usize,
    /// Largest change of any joint in a step, rad or m.
    pub max_step: f64,
    /// Damping by squared error, and its floor.
    pub damping: f64,
    pub min_damping: f64,
}

impl Default for IkSettings {
    fn default() -> Self {
        Self {
            iterations: 40,
            null_space_gain: 0.05,
            iterations_without_pull: 12,
            max_step: 0.6,
            damping: 0.02,
            min_damping: 1e-6,
        }
    }
}

/// How far the tool is from the target at the end, by lane.
#[derive(Clone, Copy, Debug)]
pub struct IkResidual {
    pub position_m: Lanes,
    pub angle_rad: Lanes,
}

impl IkResidual {
    /// Bits of the lanes within both tolerances.
    pub fn converged(&self, position_m: f32, angle_rad: f32) -> u32 {
        (self.position_m.simd_lt(splat(position_m)) & self.angle_rad.simd_lt(splat(angle_rad)))
            .to_bitmask()
    }
}

/// Scratch and tables for one arm; makes no allocation after it was made.
#[derive(Clone, Debug)]
pub struct InverseKinematics<'a> {
    kinematics: &'a KinematicModel,
    limits: &'a JointLimits,
    settings: IkSettings,
    /// Moving bodies from the base to the tool.
    chain: Vec<usize>,
    state: KinematicState,
    /// Columns, one per joint.
    jacobian: Vec<[Lanes; 6]>,
    pull: Vec<Lanes>,
    step: Vec<Lanes>,
}

impl LaneFrame {
    /// One pose per lane; the last is repeated if there are fewer than sixteen, more are left out. `None` without any.
    pub fn from_poses(poses: &[Pose]) -> Option<Self> {
        let last = poses.last()?;
        let lane = |l: usize| poses.get(l).unwrap_or(last);
        let column = |c: usize| -> Lanes3 {
            std::array::from_fn(|r| {
                Lanes::from(std::array::from_fn::<f32, LANES, _>(|l| {
                    lane(l).rotation.to_rotation_matrix()[(r, c)] as f32
                }))
            })
        };
        let origin = std::array::from_fn(|r| {
            Lanes::from(std::array::from_fn::<f32, LANES, _>(|l| {
                lane(l).translation.vector[r] as f32
            }))
        });
        Some(Self {
            x: column(0),
            y: column(1),
            z: column(2),
            origin,
        })
    }
}

impl<'a> InverseKinematics<'a> {
    /// Scratch for a robot.
    pub fn new(robot: &'a RobotModel, settings: IkSettings) -> Self {
        let kinematics = &robot.kinematics;
        let mut chain = Vec::new();
        let mut body = kinematics.tool_body();
        while let Some(parent) = kinematics.parent_body(body) {
            chain.push(body);
            body = parent;
        }
        Self {
            kinematics,
            limits: &robot.limits,
            settings,
            chain,
            state: kinematics.new_state(),
            jacobian: vec![[ZERO; 6]; kinematics.dof()],
            pull: vec![ZERO; kinematics.dof()],
            step: vec![ZERO; kinematics.dof()],
        }
    }

    /// Moves the seeds `q` (length D) towards `world_from_tool` of their lane, inside the joint limits, pulled towards
    /// `rest` (length D, rad or m) where the arm is redundant. Returns what is left of the error.
    pub fn solve(
        &mut self,
        world_from_tool: &LaneFrame,
        rest: Option<&[f64]>,
        q: &mut [Lanes],
    ) -> IkResidual {
        for iteration in 0..self.settings.iterations {
            let (error, tool) = self.error(world_from_tool, q);
            self.fill_jacobian(&tool.origin);
            let squared = error.iter().fold(ZERO, |sum, e| e.mul_add(*e, sum));
            let damping = squared.fast_min(splat(0.1)).mul_add(
                splat(self.settings.damping as f32),
                splat(self.settings.min_damping as f32),
            );
            let pulled =
                iteration + self.settings.iterations_without_pull < self.settings.iterations;
            match rest {
                Some(rest) if pulled && q.len() > 6 => self.fill_pull(rest, q),
                _ => self.pull.fill(ZERO),
            }
            if q.len() >= 6 {
                self.step_in_task_space(error, damping);
            } else {
                self.step_in_joint_space(&error, damping);
            }
            self.apply(q);
        }
        let (error, tool) = self.error(world_from_tool, q);
        let position_m = dot(
            &[error[0], error[1], error[2]],
            &[error[0], error[1], error[2]],
        )
        .sqrt();
        IkResidual {
            position_m,
            angle_rad: angle_between(&tool, world_from_tool),
        }
    }

    /// Error of the tool: way to go (m) and turn to make (rad), and the tool's frame.
    fn error(&mut self, target: &LaneFrame, q: &[Lanes]) -> ([Lanes; 6], LaneFrame) {
        self.kinematics.forward(q, &mut self.state);
        let tool = self.kinematics.tool_frame(&self.state);
        let way = sub(&target.origin, &tool.origin);
        let (sine_axis, cosine) = turn(&tool, target);
        // beyond a quarter turn the sine falls again: keep the step long
        let sine = dot(&sine_axis, &sine_axis).sqrt().fast_max(splat(1e-6));
        let gain = cosine.simd_lt(ZERO).select(splat(1.0) / sine, splat(1.0));
        (
            [
                way[0],
                way[1],
                way[2],
                sine_axis[0] * gain,
                sine_axis[1] * gain,
                sine_axis[2] * gain,
            ],
            tool,
        )
    }

    fn fill_jacobian(&mut self, tool_origin: &Lanes3) {
        self.jacobian.fill([ZERO; 6]);
        for &body in &self.chain {
            let joint = &self.kinematics.body_joints[body - 1];
            let frame = &self.state.bodies[body];
            let scale = splat(joint.multiplier);
            let (linear, angular) = match joint.kind {
                MotionKind::Turn => (cross(&frame.z, &sub(tool_origin, &frame.origin)), frame.z),
                MotionKind::Slide => (frame.z, [ZERO; 3]),
            };
            let column = &mut self.jacobian[joint.variable];
            for k in 0..3 {
                column[k] = linear[k].mul_add(scale, column[k]);
                column[k + 3] = angular[k].mul_add(scale, column[k + 3]);
            }
        }
    }

    /// The pull, weaker for slow joints.
    fn fill_pull(&mut self, rest: &[f64], q: &[Lanes]) {
        let fastest = self
            .limits
            .velocity
            .iter()
            .copied()
            .fold(f64::MIN_POSITIVE, f64::max);
        for (j, pull) in self.pull.iter_mut().enumerate() {
            let gain = self.settings.null_space_gain * self.limits.velocity[j] / fastest;
            *pull = (splat(rest[j] as f32) - q[j]) * splat(gain as f32);
        }
    }

    fn step_in_task_space(&mut self, mut error: [Lanes; 6], damping: Lanes) {
        let mut matrix = [[ZERO; 6]; 6];
        for r in 0..6 {
            for c in 0..=r {
                let start = if r == c { damping } else { ZERO };
                matrix[r][c] = self
                    .jacobian
                    .iter()
                    .fold(start, |sum, column| column[r].mul_add(column[c], sum));
            }
            error[r] = self
                .jacobian
                .iter()
                .zip(&self.pull)
                .fold(error[r], |sum, (column, pull)| {
                    column[r].mul_neg_add(*pull, sum)
                });
        }
        solve_positive(&mut matrix, 6, &mut error);
        for (j, column) in self.jacobian.iter().enumerate() {
            self.step[j] = (0..6).fold(self.pull[j], |sum, k| column[k].mul_add(error[k], sum));
        }
    }

    fn step_in_joint_space(&mut self, error: &[Lanes; 6], damping: Lanes) {
        let count = self.jacobian.len();
        let mut matrix = [[ZERO; 6]; 6];
        let mut right = [ZERO; 6];
        let product =
            |a: &[Lanes; 6], b: &[Lanes; 6]| (0..6).fold(ZERO, |sum, k| a[k].mul_add(b[k], sum));
        for (r, column) in self.jacobian.iter().enumerate() {
            for (entry, other) in matrix[r].iter_mut().zip(&self.jacobian[..=r]) {
                *entry = product(column, other);
            }
            matrix[r][r] += damping;
            right[r] = product(column, error);
        }
        solve_positive(&mut matrix, count, &mut right);
        self.step.copy_from_slice(&right[..count]);
    }

    /// Takes the step, shortened to the longest allowed one, and stays inside the limits.
    fn apply(&self, q: &mut [Lanes]) {
        let longest = splat(self.settings.max_step as f32);
        let largest = self
            .step
            .iter()
            .fold(longest, |largest, s| largest.fast_max(s.abs()));
        let scale = longest / largest;
        for (j, value) in q.iter_mut().enumerate() {
            let (low, high) = (
                splat(self.limits.lower[j] as f32),
                splat(self.limits.upper[j] as f32),
            );
            *value = self.step[j]
                .mul_add(scale, *value)
                .fast_max(low)
                .fast_min(high);
        }
    }
}

/// Axis of the turn from one frame to another times its sine, and its cosine.
fn turn(from: &LaneFrame, to: &LaneFrame) -> (Lanes3, Lanes) {
    let (x, y, z) = (
        cross(&from.x, &to.x),
        cross(&from.y, &to.y),
        cross(&from.z, &to.z),
    );
    let half = splat(0.5);
    let trace = dot(&from.x, &to.x) + dot(&from.y, &to.y) + dot(&from.z, &to.z);
    (
        std::array::from_fn(|k| (x[k] + y[k] + z[k]) * half),
        (trace - splat(1.0)) * half,
    )
}

/// Angle between two frames, rad.
fn angle_between(a: &LaneFrame, b: &LaneFrame) -> Lanes {
    let (sine_axis, cosine) = turn(a, b);
    let angle = dot(&sine_axis, &sine_axis)
        .sqrt()
        .fast_min(splat(1.0))
        .asin();
    cosine
        .simd_lt(ZERO)
        .select(splat(std::f32::consts::PI) - angle, angle)
}

/// Solves a positive definite system (lower triangle given) of size `n` by Cholesky, in place.
fn solve_positive(matrix: &mut [[Lanes; 6]; 6], n: usize, right: &mut [Lanes; 6]) {
    let mut inverse = [ZERO; 6];
    for c in 0..n {
        let pivot = (0..c).fold(matrix[c][c], |sum, k| {
            matrix[c][k].mul_neg_add(matrix[c][k], sum)
        });
        inverse[c] = splat(1.0) / pivot.fast_max(splat(1e-12)).sqrt();
        for r in c + 1..n {
            let entry = (0..c).fold(matrix[r][c], |sum, k| {
                matrix[r][k].mul_neg_add(matrix[c][k], sum)
            });
            matrix[r][c] = entry * inverse[c];
        }
    }
    for r in 0..n {
        let sum = (0..r).fold(right[r], |sum, k| matrix[r][k].mul_neg_add(right[k], sum));
        right[r] = sum * inverse[r];
    }
    for r in (0..n).rev() {
        let sum = (r + 1..n).fold(right[r], |sum, k| matrix[k][r].mul_neg_add(right[k], sum));
        right[r] = sum * inverse[r];
    }
}

#[cfg(test)]
#[path = "inverse_kinematics_tests.rs"]
mod tests;
