//! A start that moves: what it makes of the first control points, and of the knot spacing.
//!
//! From the state (q, v, a) and the spacing h follow the first three control points of a uniform cubic spline,
//!
//! ```text
//! x1 = q - a h^2/6,    x0 = x1 - v h + a h^2/2,    x2 = x1 + v h + a h^2/2
//! ```
//!
//! so scaling time is no longer free: another spacing is another path near the start, and the limits must be asked for at each.
//! The control polygon's own velocities there may exceed a limit that the curve keeps (a joint that is still
//! accelerating next to its velocity limit), so the first span gets its exact maximum instead of the hull's. Its jerk is
//! constant, hence everything it must keep is one interval of its final acceleration: of the fourth control point.

use super::joint_row::{JointRow, MAX_JOINTS};
use super::limits::MotionLimits;
use super::spline::{Spline, ORDER};

/// Control points that the start state fixes.
const LEAD: usize = ORDER - 1;
/// Share by which a velocity may exceed its limit by rounding.
const VELOCITY_ROUNDING: f64 = 1e-7;

/// State and limits of one joint at the start; rad or m, and seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartJoint {
    pub position: f64,
    pub velocity: f64,
    pub acceleration: f64,
    pub velocity_limit: f64,
    pub acceleration_limit: f64,
    pub jerk_limit: f64,
}

impl StartJoint {
    /// The first three control points at a spacing.
    pub fn lead(&self, spacing_s: f64) -> [f64; LEAD] {
        let (step, bend) = (
            self.velocity * spacing_s,
            self.acceleration * spacing_s * spacing_s,
        );
        let second = self.position - bend / 6.0;
        [
            second - step + 0.5 * bend,
            second,
            second + step + 0.5 * bend,
        ]
    }

    /// Lower and upper bound of the fourth control point that keep the first span, and the velocity hull of the second,
    /// inside the limits. Lower above upper: there is none at this spacing.
    pub fn fourth(&self, spacing_s: f64) -> (f64, f64) {
        let (a, h) = (self.acceleration, spacing_s);
        let change = self.jerk_limit * h;
        let low = (a - change)
            .max(-self.acceleration_limit)
            .max(-self.fastest_rise(-self.velocity, -a, h));
        let high = (a + change)
            .min(self.acceleration_limit)
            .min(self.fastest_rise(self.velocity, a, h));
        let unbent = self.position + 2.0 * self.velocity * h + 5.0 / 6.0 * a * h * h;
        (unbent + low * h * h, unbent + high * h * h)
    }

    /// Largest acceleration at the end of a first span of `h` s that keeps velocity below its limit: by the span's peak
    /// `v - a^2 / (2 jerk)` where it lies inside, else by the hull of the next span.
    fn fastest_rise(&self, v: f64, a: f64, h: f64) -> f64 {
        let room = (self.velocity_limit * (1.0 + VELOCITY_ROUNDING) - v).max(0.0);
        if a > 0.0 && room < 0.5 * a * h {
            a - a * a * h / (2.0 * room.max(f64::MIN_POSITIVE))
        } else {
            room / h - 0.5 * a
        }
    }

    /// Least time [s] from here to rest at `to` under the velocity and acceleration limits alone.
    fn least_duration_s(&self, to: f64) -> f64 {
        let (limit, a) = (self.velocity_limit, self.acceleration_limit);
        let stopping = self.velocity * self.velocity.abs() / (2.0 * a);
        let forward = (to - self.position - stopping).signum();
        // Seen in the direction in which the joint must go after a stop.
        let (distance, v) = (forward * (to - self.position), forward * self.velocity);
        let peak = (a * distance + 0.5 * v * v).max(0.0).sqrt();
        if peak <= limit {
            return (2.0 * peak - v) / a;
        }
        let ramps = (2.0 * limit * limit - v * v) / (2.0 * a);
        (2.0 * limit - v) / a + (distance - ramps) / limit
    }
}

/// A spacing near the one asked for, and whether the limits hold there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The smallest spacing found that keeps the limits; else about what the limits ask for [s].
    pub spacing_s: f64,
    pub inside: bool,
}

/// A state other than rest that motions begin at, with the limits in force.
#[derive(Clone, Debug, PartialEq)]
pub struct MovingStart {
    joints: Vec<StartJoint>,
}

impl MovingStart {
    /// `joints` is `[D]`, at most [`MAX_JOINTS`].
    pub fn new(mut joints: Vec<StartJoint>) -> Self {
        joints.truncate(MAX_JOINTS);
        Self { joints }
    }

    pub fn joints(&self) -> &[StartJoint] {
        &self.joints
    }

    /// Gives a spline the control points that follow from the start at a spacing.
    pub fn lead_in(&self, spline: &mut Spline, spacing_s: f64) {
        let mut rows = [[0.0f32; 16]; LEAD];
        for (j, joint) in self.joints.iter().enumerate() {
            for (row, value) in rows.iter_mut().zip(joint.lead(spacing_s)) {
                row[j] = value as f32;
            }
        }
        for (point, row) in spline.points.iter_mut().zip(rows) {
            *point = JointRow::new(row);
        }
    }

    /// Brings the fourth control point where the first span keeps the limits, as far as that can be.
    pub fn hold_first_span(&self, spline: &mut Spline, spacing_s: f64) {
        let mut row = spline.points[LEAD].to_array();
        self.clamp_fourth(&mut row, spacing_s);
        spline.points[LEAD] = JointRow::new(row);
    }

    /// Whether every joint has a fourth control point at this spacing.
    fn clamp_fourth(&self, row: &mut [f32], spacing_s: f64) -> bool {
        let mut open = true;
        for (value, joint) in row.iter_mut().zip(&self.joints) {
            let (low, high) = joint.fourth(spacing_s);
            open &= low <= high;
            *value = value.max(low as f32).min(high as f32);
        }
        open
    }

    /// Finds the smallest spacing near `near_s` at which a spline that begins here keeps the limits, and gives it its first
    /// control points there. Where there is none they are left as they are at `near_s`.
    pub fn fit(&self, spline: &mut Spline, near_s: f64, limits: &MotionLimits) -> Fit {
        let fourth = spline.points[LEAD].to_array();
        let mut need = |spacing_s: f64| {
            self.lead_in(spline, spacing_s);
            let mut row = fourth;
            let open = self.clamp_fourth(&mut row, spacing_s);
            spline.points[LEAD] = JointRow::new(row);
            open.then(|| f64::from(limits.spacing_after_lead(spline).spacing_s()))
        };
        let fit = search(near_s, SINGLE_ROUNDING, &mut need);
        need(if fit.inside { fit.spacing_s } else { near_s });
        fit
    }

    /// The same in double precision over control points `[M + 3][D]`; `None` where no spacing near `near_s` will do.
    pub(super) fn fit_exactly(
        &self,
        points: &mut [Vec<f64>],
        near_s: f64,
        spacing_after_lead_s: impl Fn(&[Vec<f64>]) -> f64,
    ) -> Option<f64> {
        let fourth = points[LEAD].clone();
        let mut need = |spacing_s: f64| {
            let mut open = true;
            for (j, joint) in self.joints.iter().enumerate() {
                for (point, value) in points.iter_mut().zip(joint.lead(spacing_s)) {
                    point[j] = value;
                }
                let (low, high) = joint.fourth(spacing_s);
                open &= low <= high;
                points[LEAD][j] = fourth[j].max(low).min(high);
            }
            open.then(|| spacing_after_lead_s(points))
        };
        let fit = search(near_s, DOUBLE_ROUNDING, &mut need);
        fit.inside.then(|| need(fit.spacing_s))?;
        Some(fit.spacing_s)
    }

    /// The largest spacing up to `wanted_s` at which the first span can keep its limits: a joint that still accelerates
    /// next to its velocity limit must be given the time to stop doing so.
    pub fn largest_spacing_s(&self, wanted_s: f64) -> f64 {
        const SHARE: f64 = 0.9;
        const TRIES: usize = 24;
        let open = |h: f64| {
            self.joints.iter().all(|joint| {
                let (low, high) = joint.fourth(h);
                low <= high
            })
        };
        let spacings = std::iter::successors(Some(wanted_s), |h| Some(SHARE * h));
        spacings.take(TRIES).find(|&h| open(h)).unwrap_or(wanted_s)
    }

    /// Least time [s] to rest at `to` under the velocity and acceleration limits alone, each joint by itself.
    pub fn least_duration_s(&self, to: JointRow) -> f32 {
        let to = to.to_array();
        self.joints
            .iter()
            .zip(to)
            .fold(0.0f64, |longest, (joint, to)| {
                longest.max(joint.least_duration_s(f64::from(to)))
            }) as f32
    }
}

/// Share by which rounding of the control points may exceed a spacing.
const SINGLE_ROUNDING: f64 = 1e-5;
const DOUBLE_ROUNDING: f64 = 1e-10;
/// Spacings that are tried, and how far above the one asked for [share].
const TRIES: usize = 6;
const FARTHEST: f64 = 1.1;
/// A spacing this near to what it needs is not shortened further.
const TIGHT: f64 = 0.998;

/// The smallest spacing h near `near_s` with `need(h) <= h`; `need` is `None` where the first span cannot keep its limits.
fn search(near_s: f64, rounding: f64, need: &mut impl FnMut(f64) -> Option<f64>) -> Fit {
    let mut best = Fit {
        spacing_s: near_s,
        inside: false,
    };
    let mut at = near_s;
    for attempt in 0..TRIES {
        let needed = need(at);
        match needed {
            Some(n) if n <= at * (1.0 + rounding) => {
                best = Fit {
                    spacing_s: at,
                    inside: true,
                };
                if n > TIGHT * at {
                    break;
                }
                at = 0.5 * (at + n);
            }
            Some(n) if !best.inside && n <= FARTHEST * near_s => at = n * (1.0 + 10.0 * rounding),
            _ => {
                if attempt == 0 {
                    best.spacing_s = needed.unwrap_or(0.9 * near_s);
                }
                break;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::{rest_to_rest_duration_s, TimedTrajectory};
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    fn random_joint(rng: &mut impl Rng) -> StartJoint {
        StartJoint {
            position: rng.random_range(-2.0..2.0),
            velocity: rng.random_range(-2.0..2.0),
            acceleration: rng.random_range(-8.0..8.0),
            velocity_limit: 2.0,
            acceleration_limit: 8.0,
            jerk_limit: 900.0,
        }
    }

    fn motion(points: Vec<f64>, spacing_s: f64) -> TimedTrajectory {
        let points = points.into_iter().map(|p| vec![p]).collect();
        TimedTrajectory::new(vec!["j".into()], points, spacing_s).expect("sound")
    }

    #[test]
    fn the_first_control_points_reproduce_the_state() {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        for _ in 0..200 {
            let (joint, h) = (random_joint(&mut rng), rng.random_range(0.004..0.08));
            let [a, b, c] = joint.lead(h);
            let state = motion(vec![a, b, c, 0.3, 0.2, 0.2, 0.2], h).sample(0.0);
            assert!((state.position[0] - joint.position).abs() < 1e-14);
            assert!((state.velocity[0] - joint.velocity).abs() < 1e-12);
            assert!((state.acceleration[0] - joint.acceleration).abs() < 1e-9);
        }
    }

    /// Largest ratio to a limit in the first span, by dense samples.
    fn first_span_ratio(joint: &StartJoint, fourth: f64, h: f64) -> f64 {
        let [a, b, c] = joint.lead(h);
        let span = motion(vec![a, b, c, fourth], h);
        (0..=400).fold(0.0f64, |worst, i| {
            let s = span.sample(h * f64::from(i) / 400.0);
            worst
                .max(s.velocity[0].abs() / joint.velocity_limit)
                .max(s.acceleration[0].abs() / joint.acceleration_limit)
                .max(s.jerk[0].abs() / joint.jerk_limit)
        })
    }

    #[test]
    fn the_fourth_point_keeps_the_first_span_inside_and_not_much_more() {
        let mut rng = Pcg64Mcg::seed_from_u64(4);
        let (mut open, mut closed) = (0, 0);
        for case in 0..2000 {
            let (mut joint, h) = (random_joint(&mut rng), rng.random_range(0.005..0.08));
            if case % 2 == 1 {
                // Still accelerating next to the limit.
                joint.velocity = 2.0 - rng.random_range(0.0..0.1);
                joint.acceleration = rng.random_range(0.0..8.0);
            }
            let (low, high) = joint.fourth(h);
            if low > high {
                // Then no final acceleration whatever keeps the limits.
                closed += 1;
                let unbent = joint.position
                    + 2.0 * joint.velocity * h
                    + 5.0 / 6.0 * joint.acceleration * h * h;
                let best = (-200..=200).fold(f64::INFINITY, |best, k| {
                    let bend = f64::from(k) / 200.0 * joint.acceleration_limit;
                    best.min(first_span_ratio(&joint, unbent + bend * h * h, h))
                });
                assert!(best > 1.0 - 1e-3, "{joint:?} at {h}: {best}");
                continue;
            }
            open += 1;
            for share in [0.0, 0.3, 1.0] {
                let ratio = first_span_ratio(&joint, low + share * (high - low), h);
                assert!(ratio <= 1.0 + 1e-6, "{joint:?} at {h}: {ratio}");
            }
        }
        assert!(open > 1000 && closed > 50, "{open} open, {closed} closed");
    }

    #[test]
    fn a_short_enough_first_span_is_always_open() {
        // At the limit but for what a jerk-limited slow-down needs.
        let joint = StartJoint {
            position: 0.0,
            velocity: 2.0 - 0.5 * 6.0 * 6.0 / 900.0,
            acceleration: 6.0,
            velocity_limit: 2.0,
            acceleration_limit: 8.0,
            jerk_limit: 900.0,
        };
        let start = MovingStart::new(vec![joint]);
        let h = start.largest_spacing_s(0.05);
        let (low, high) = joint.fourth(h);
        assert!(low <= high && (0.004..0.02).contains(&h), "{h}");
    }

    #[test]
    fn least_durations_are_those_of_a_double_integrator() {
        let joint = |velocity: f64| StartJoint {
            position: 0.0,
            velocity,
            acceleration: 0.0,
            velocity_limit: 2.0,
            acceleration_limit: 4.0,
            jerk_limit: 100.0,
        };
        let least = |velocity: f64, to: f64| {
            let mut row = [0.0f32; 16];
            row[0] = to as f32;
            MovingStart::new(vec![joint(velocity)]).least_duration_s(JointRow::new(row))
        };
        let limits = MotionLimits::new(&[2.0], &[4.0], &[100.0]);
        for to in [-2.0f32, -0.3, 0.25, 3.0] {
            let mut row = [0.0f32; 16];
            row[0] = to;
            let rest = rest_to_rest_duration_s(JointRow::ZERO, JointRow::new(row), &limits);
            assert!((least(0.0, f64::from(to)) - rest).abs() < 1e-5);
        }
        // 1 rad/s stops after 1/8 rad and 1/4 s.
        assert!((least(1.0, 0.125) - 0.25).abs() < 1e-6);
        // Away from the goal: stop (1/4 s), then back over 1/8 rad, which takes 2 sqrt(1/8 / 4) s.
        let back = 0.25 + 2.0 * (0.125f32 / 4.0).sqrt();
        assert!((least(-1.0, 0.0) - back).abs() < 1e-6);
    }

    #[test]
    fn a_fit_keeps_the_limits_and_begins_with_the_state() {
        let joint = StartJoint {
            position: 0.4,
            velocity: 0.9,
            acceleration: -2.0,
            velocity_limit: 2.0,
            acceleration_limit: 8.0,
            jerk_limit: 900.0,
        };
        let start = MovingStart::new(vec![joint]);
        let limits = MotionLimits::new(&[2.0], &[8.0], &[900.0]);
        // A quintic from the state to rest 1.5 rad further in 1.6 s.
        let (time_s, way) = (1.6f64, 1.5f64);
        let (v, a) = (0.9 * time_s, -2.0 * time_s * time_s);
        let c = [
            10.0 * way - 6.0 * v - 1.5 * a,
            -15.0 * way + 8.0 * v + 1.5 * a,
            6.0 * way - 3.0 * v - 0.5 * a,
        ];
        let at = |s: f64| {
            let s = s.clamp(0.0, 1.0);
            0.4 + s * (v + s * (0.5 * a + s * (c[0] + s * (c[1] + s * c[2]))))
        };
        let row = |x: f64| {
            let mut row = [0.0f32; 16];
            row[0] = x as f32;
            JointRow::new(row)
        };
        let mut spline = Spline::resting(row(at(1.0)), 24);
        for i in spline.interior() {
            spline.points[i] = row(at((i as f64 - 1.0) / 24.0));
        }
        let near_s = time_s / 24.0;
        // Too short a spacing is said to be outside, a long one is shortened.
        assert!(!start.fit(&mut spline.clone(), 0.3 * near_s, &limits).inside);
        let fit = start.fit(&mut spline, 1.2 * near_s, &limits);
        assert!(fit.inside && fit.spacing_s < 1.2 * near_s, "{fit:?}");
        let trajectory = TimedTrajectory::from_moving_start(
            vec!["j".into()],
            &spline,
            &start,
            &[1.9],
            fit.spacing_s,
        )
        .expect("inside");
        let first = trajectory.sample(0.0);
        assert!((first.position[0] - 0.4).abs() < 1e-14);
        assert!((first.velocity[0] - 0.9).abs() < 1e-12);
        assert!((first.acceleration[0] + 2.0).abs() < 1e-9);
        for point in trajectory.points(1e-3) {
            let s = &point.state;
            assert!(s.velocity[0].abs() <= 2.0 + 1e-9 && s.acceleration[0].abs() <= 8.0 + 1e-9);
            assert!(s.jerk[0].abs() <= 900.0 + 1e-6);
        }
    }
}
