//! A motion over time, in f64, as it is verified and sent to a controller.

use super::joint_row::MAX_JOINTS;
use super::moving::MovingStart;
use super::spline::{Spline, ORDER};

/// State of all joints at one time; each vector has length `D`, rad or m and seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct JointState {
    pub position: Vec<f64>,
    pub velocity: Vec<f64>,
    pub acceleration: Vec<f64>,
    pub jerk: Vec<f64>,
}

/// A sample of a [`TimedTrajectory`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrajectoryPoint {
    pub time_s: f64,
    pub state: JointState,
}

/// A uniform clamped cubic B-spline with its knot spacing: twice continuously differentiable, jerk piecewise constant,
/// at rest (velocity and acceleration zero) at the end, and at the start unless it was made from a moving state.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedTrajectory {
    joint_names: Vec<String>,
    /// `[M + 3][D]`.
    control_points: Vec<Vec<f64>>,
    spacing_s: f64,
}

impl TimedTrajectory {
    /// `control_points` is `[M + 3][D]` with at least four rows, `spacing_s` positive; `None` for other shapes.
    pub fn new(
        joint_names: Vec<String>,
        control_points: Vec<Vec<f64>>,
        spacing_s: f64,
    ) -> Option<Self> {
        let dof = joint_names.len();
        let sound = control_points.len() >= ORDER
            && dof <= MAX_JOINTS
            && control_points
                .iter()
                .all(|p| p.len() == dof && p.iter().all(|v| v.is_finite()))
            && spacing_s.is_finite()
            && spacing_s > 0.0;
        sound.then_some(Self {
            joint_names,
            control_points,
            spacing_s,
        })
    }

    /// The fastest timing of a planned spline. Start and goal replace its rounded ends, so that the first sample is the
    /// measured state exactly. Limits `[D]` in SI units; `None` for wrong shapes or values that are not finite.
    pub fn fastest(
        joint_names: Vec<String>,
        spline: &Spline,
        start: &[f64],
        end: &[f64],
        velocity: &[f64],
        acceleration: &[f64],
        jerk: &[f64],
    ) -> Option<Self> {
        let dof = joint_names.len();
        if [
            start.len(),
            end.len(),
            velocity.len(),
            acceleration.len(),
            jerk.len(),
        ]
        .iter()
        .any(|&n| n != dof)
        {
            return None;
        }
        let n = spline.points.len();
        let control_points: Vec<Vec<f64>> = (0..n)
            .map(|i| match i {
                i if i < ORDER - 1 => start.to_vec(),
                i if i + ORDER > n => end.to_vec(),
                i => spline.points[i].as_array()[..dof]
                    .iter()
                    .map(|&v| f64::from(v))
                    .collect(),
            })
            .collect();
        let spacing_s = smallest_spacing_s(&control_points, 0, velocity, acceleration, jerk);
        Self::new(joint_names, control_points, spacing_s)
    }

    /// The fastest timing near `near_s` of a spline planned from a moving start: its first sample has that position,
    /// velocity and acceleration. `None` where the limits cannot be kept near that spacing, and for wrong shapes.
    pub fn from_moving_start(
        joint_names: Vec<String>,
        spline: &Spline,
        start: &MovingStart,
        end: &[f64],
        near_s: f64,
    ) -> Option<Self> {
        let dof = joint_names.len();
        let n = spline.points.len();
        if start.joints().len() != dof || end.len() != dof || n < 2 * ORDER - 1 {
            return None;
        }
        let mut control_points: Vec<Vec<f64>> = (0..n)
            .map(|i| match i {
                i if i + ORDER > n => end.to_vec(),
                i => spline.points[i].as_array()[..dof]
                    .iter()
                    .map(|&v| f64::from(v))
                    .collect(),
            })
            .collect();
        let limit = |of: fn(&super::StartJoint) -> f64| -> Vec<f64> {
            start.joints().iter().map(of).collect()
        };
        let (velocity, acceleration, jerk) = (
            limit(|j| j.velocity_limit),
            limit(|j| j.acceleration_limit),
            limit(|j| j.jerk_limit),
        );
        let spacing_s = start.fit_exactly(&mut control_points, near_s, |points| {
            smallest_spacing_s(&points[1..], 1, &velocity, &acceleration, &jerk)
        })?;
        Self::new(joint_names, control_points, spacing_s)
    }

    pub fn joint_names(&self) -> &[String] {
        &self.joint_names
    }

    /// `[M + 3][D]`, rad or m.
    pub fn control_points(&self) -> &[Vec<f64>] {
        &self.control_points
    }

    /// Time between knots [s].
    pub fn spacing_s(&self) -> f64 {
        self.spacing_s
    }

    pub fn duration_s(&self) -> f64 {
        self.spacing_s * (self.control_points.len() - (ORDER - 1)) as f64
    }

    /// Configuration at the end `[D]`.
    pub fn end(&self) -> &[f64] {
        &self.control_points[self.control_points.len() - 1]
    }

    /// State at `t_s`, clamped to the motion.
    pub fn sample(&self, t_s: f64) -> JointState {
        let spans = self.control_points.len() - (ORDER - 1);
        // At the end exactly: rounding of the quotient would leave a trace of velocity there.
        let s = match t_s >= self.duration_s() {
            true => spans as f64,
            false => (t_s / self.spacing_s).clamp(0.0, spans as f64),
        };
        let span = (s as usize).min(spans - 1);
        let u = s - span as f64;
        let v = 1.0 - u;
        let p = &self.control_points[span..span + ORDER];
        // Written around p[1], so that a resting start reproduces the measured state to the last bit.
        let b = [
            v * v * v / 6.0,
            (-3.0 * u * u * u + 3.0 * u * u + 3.0 * u + 1.0) / 6.0,
            u * u * u / 6.0,
        ];
        let b1 = [
            -0.5 * v * v,
            0.5 * (-3.0 * u * u + 2.0 * u + 1.0),
            0.5 * u * u,
        ];
        let b2 = [v, 1.0 - 3.0 * u, u];
        let b3 = [-1.0, -3.0, 1.0];
        let about_second = |w: [f64; 3], scale: f64| -> Vec<f64> {
            (0..self.joint_names.len())
                .map(|j| {
                    let c = p[1][j];
                    scale * (w[0] * (p[0][j] - c) + w[1] * (p[2][j] - c) + w[2] * (p[3][j] - c))
                })
                .collect()
        };
        let h = 1.0 / self.spacing_s;
        let mut position = about_second(b, 1.0);
        for (q, c) in position.iter_mut().zip(&p[1]) {
            *q += c;
        }
        JointState {
            position,
            velocity: about_second(b1, h),
            acceleration: about_second(b2, h * h),
            jerk: about_second(b3, h * h * h),
        }
    }

    /// States every `period_s` from 0, ending exactly at the end of the motion; times strictly increase.
    pub fn points(&self, period_s: f64) -> Vec<TrajectoryPoint> {
        let duration = self.duration_s();
        let steps = if period_s > 0.0 {
            (duration / period_s).ceil().max(1.0) as usize
        } else {
            1
        };
        let mut points: Vec<TrajectoryPoint> = (0..steps)
            .map(|i| i as f64 * period_s)
            .filter(|&t| duration - t > 1e-6)
            .map(|time_s| TrajectoryPoint {
                time_s,
                state: self.sample(time_s),
            })
            .collect();
        points.push(TrajectoryPoint {
            time_s: duration,
            state: self.sample(duration),
        });
        points
    }

    /// Length of the joint path [rad or m], 2-norm, by chords of a fixed fine subdivision.
    pub fn path_length(&self) -> f64 {
        let steps = 8 * self.control_points.len();
        let at = |i: usize| {
            self.sample(self.duration_s() * i as f64 / steps as f64)
                .position
        };
        let mut previous = at(0);
        let mut length = 0.0;
        for i in 1..=steps {
            let next = at(i);
            length += previous
                .iter()
                .zip(&next)
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f64>()
                .sqrt();
            previous = next;
        }
        length
    }

    /// The same path run in the opposite direction with the same spacing.
    pub fn reversed(&self) -> Self {
        let mut copy = self.clone();
        copy.control_points.reverse();
        copy
    }

    /// The same path slowed down by `factor` >= 1 (velocity by 1/factor, acceleration by 1/factor^2).
    pub fn slowed(&self, factor: f64) -> Self {
        Self {
            spacing_s: self.spacing_s * factor.max(1.0),
            ..self.clone()
        }
    }
}

/// Smallest spacing [s] that keeps the control polygon's differences inside the limits; never zero, so that a motion
/// without any way still has times that increase. Velocity counts from the difference `first_velocity` on.
fn smallest_spacing_s(
    points: &[Vec<f64>],
    first_velocity: usize,
    velocity: &[f64],
    acceleration: &[f64],
    jerk: &[f64],
) -> f64 {
    let mut spacing_s: f64 = 1e-3;
    for j in 0..velocity.len() {
        for i in 0..points.len() - 1 {
            let d1 = |i: usize| points[i + 1][j] - points[i][j];
            if i >= first_velocity {
                spacing_s = spacing_s.max(d1(i).abs() / velocity[j]);
            }
            if i + 2 < points.len() {
                let d2 = |i: usize| d1(i + 1) - d1(i);
                spacing_s = spacing_s.max((d2(i).abs() / acceleration[j]).sqrt());
                if i + 3 < points.len() {
                    spacing_s = spacing_s.max(((d2(i + 1) - d2(i)).abs() / jerk[j]).cbrt());
                }
            }
        }
    }
    // Rounding of the divisions above must not exceed a limit.
    spacing_s * (1.0 + 1e-9)
}

#[cfg(test)]
mod tests {
    use super::super::{JointRow, MotionLimits};
    use super::*;

    const V: [f64; 3] = [2.0, 1.5, 2.6];
    const A: [f64; 3] = [15.0, 7.5, 12.0];
    const J: [f64; 3] = [500.0, 400.0, 600.0];
    const START: [f64; 3] = [0.1, -0.3, 0.123456789012345];
    const END: [f64; 3] = [1.4, 0.9, -1.1];

    fn wavy() -> Spline {
        let row = |a: &[f64; 3]| {
            let mut v = [0.0f32; 16];
            for (x, y) in v.iter_mut().zip(a) {
                *x = *y as f32;
            }
            JointRow::new(v)
        };
        let mut spline = Spline::follow_polyline(
            &[row(&START), row(&[0.9, -0.6, 0.4]), row(&END)],
            24,
            JointRow::splat(0.5),
        );
        for i in spline.interior() {
            spline.points[i] += row(&[
                0.02 * (i as f64).sin(),
                0.03 * (1.7 * i as f64).cos(),
                0.01 * (i as f64 * 0.6).sin(),
            ]);
        }
        spline
    }

    fn timed(velocity_scaling: f64, acceleration_scaling: f64) -> TimedTrajectory {
        let scale = |l: &[f64], f: f64| l.iter().map(|v| v * f).collect::<Vec<_>>();
        TimedTrajectory::fastest(
            ["a", "b", "c"].map(String::from).to_vec(),
            &wavy(),
            &START,
            &END,
            &scale(&V, velocity_scaling),
            &scale(&A, acceleration_scaling),
            &scale(&J, acceleration_scaling),
        )
        .expect("sound input")
    }

    #[test]
    fn starts_exactly_at_the_measured_state_and_ends_at_rest() {
        let t = timed(1.0, 1.0);
        assert_eq!(t.sample(0.0).position, START.to_vec());
        let end = t.sample(t.duration_s());
        for (j, goal) in END.iter().enumerate() {
            assert!((end.position[j] - goal).abs() < 1e-14);
            assert!(end.velocity[j].abs() < 1e-12 && end.acceleration[j].abs() < 1e-10);
            assert_eq!(t.sample(0.0).velocity[j], 0.0);
            assert_eq!(t.sample(0.0).acceleration[j], 0.0);
        }
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let t = timed(1.0, 1.0);
        let h = 1e-5;
        for i in 1..200 {
            // Off the knots, where jerk jumps.
            let time = t.duration_s() * (i as f64 + 0.37) / 201.0;
            if ((time / t.spacing_s()).fract() - 0.5).abs() > 0.49 {
                continue;
            }
            let (a, m, b) = (t.sample(time - h), t.sample(time), t.sample(time + h));
            for j in 0..3 {
                assert!(((b.position[j] - a.position[j]) / (2.0 * h) - m.velocity[j]).abs() < 1e-5);
                assert!(
                    ((b.velocity[j] - a.velocity[j]) / (2.0 * h) - m.acceleration[j]).abs() < 1e-4
                );
                assert!(
                    ((b.acceleration[j] - a.acceleration[j]) / (2.0 * h) - m.jerk[j]).abs() < 1e-2
                );
            }
        }
    }

    #[test]
    fn limits_hold_at_one_kilohertz_and_bind_for_every_scaling() {
        for (sv, sa) in [(1.0, 1.0), (0.3, 0.3), (1.0, 0.1), (0.05, 1.0)] {
            let t = timed(sv, sa);
            let mut worst: f64 = 0.0;
            for point in t.points(1e-3) {
                for j in 0..3 {
                    let ratios = [
                        point.state.velocity[j].abs() / (V[j] * sv),
                        point.state.acceleration[j].abs() / (A[j] * sa),
                        point.state.jerk[j].abs() / (J[j] * sa),
                    ];
                    for ratio in ratios {
                        assert!(
                            ratio <= 1.0 + 1e-9,
                            "ratio {ratio} at {} s, scaling {sv} {sa}",
                            point.time_s
                        );
                        worst = worst.max(ratio);
                    }
                }
            }
            assert!(
                worst > 0.9,
                "some limit must bind, else the motion is needlessly slow: {worst}"
            );
        }
    }

    #[test]
    fn f32_spacing_agrees_with_the_f64_timing() {
        let limits = MotionLimits::new(&V, &A, &J).scaled(0.5, 0.2);
        let planned = limits.spacing(&wavy()).spacing_s();
        assert!((f64::from(planned) / timed(0.5, 0.2).spacing_s() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn points_have_strictly_increasing_times_and_the_exact_end() {
        let t = timed(0.3, 0.3);
        for period in [1e-3, 0.02, 0.1, 100.0] {
            let points = t.points(period);
            assert!(points.windows(2).all(|w| w[1].time_s > w[0].time_s));
            assert_eq!(points[points.len() - 1].time_s, t.duration_s());
            assert_eq!(points[0].time_s, 0.0);
        }
    }

    #[test]
    fn a_motion_without_way_still_takes_time() {
        let names = vec!["a".to_string()];
        let spline = Spline::resting(JointRow::ZERO, 8);
        let t = TimedTrajectory::fastest(names, &spline, &[0.0], &[0.0], &[1.0], &[1.0], &[1.0])
            .expect("sound");
        assert!(t.duration_s() > 0.0 && t.points(0.02).len() >= 2);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        assert!(TimedTrajectory::new(vec!["a".into()], vec![vec![0.0]; 3], 0.1).is_none());
        assert!(TimedTrajectory::new(vec!["a".into()], vec![vec![f64::NAN]; 5], 0.1).is_none());
        assert!(TimedTrajectory::new(vec!["a".into()], vec![vec![0.0]; 5], 0.0).is_none());
    }
}
