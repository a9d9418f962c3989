//! From a moving state to rest as fast as the limits allow: along a running motion, or every joint by itself.

use super::moving::{MovingStart, StartJoint};
use super::timed::TimedTrajectory;

/// Spans of a stop.
const SPANS_ALONG: usize = 16;
/// More, and so shorter, spans where a joint must stop accelerating right next to its velocity limit.
const SPANS_STRAIGHT: [usize; 4] = [8, 16, 32, 64];
/// Shortest stop that is tried [s], and the steps in which longer ones follow.
const SHORTEST_S: f64 = 0.02;
const LONGEST_S: f64 = 20.0;
const STEP_ALONG: f64 = 1.1;
const STEP_STRAIGHT: f64 = 1.02;
/// Rounding in a limit.
const ROUNDING: f64 = 1e-9;

/// Stops along what is left of `running` from `from_s` on; `start` is its state there. `None` if the limits do not let it
/// stop before the end.
///
/// With s the time on the running motion, s' falls from 1 to 0 as a smooth step over T: `s = T (u - u^3 + u^4 / 2)`, u = t / T.
/// The control points `q - h^2/6 q''` of that motion give it to fourth order in h; the shortest T is taken whose spline keeps all
/// limits exactly.
pub fn stop_along(
    running: &TimedTrajectory,
    from_s: f64,
    start: &MovingStart,
) -> Option<TimedTrajectory> {
    let remaining_s = running.duration_s() - from_s;
    // A joint that slows down at its limit all the way needs 3/2 v/a; where the path itself slows it, less.
    let needed = |j: &StartJoint| 0.75 * j.velocity.abs() / j.acceleration_limit;
    let shortest_s = start.joints().iter().map(needed).fold(SHORTEST_S, f64::max);
    stops(shortest_s, STEP_ALONG)
        .take_while(|stop_s| 0.5 * stop_s < remaining_s)
        .find_map(|stop_s| {
            let spacing_s = stop_s / SPANS_ALONG as f64;
            let points = points_along(running, from_s, start, stop_s);
            finished(running.joint_names(), points, spacing_s, start)
        })
}

fn points_along(
    running: &TimedTrajectory,
    from_s: f64,
    start: &MovingStart,
    stop_s: f64,
) -> Vec<Vec<f64>> {
    let h = stop_s / SPANS_ALONG as f64;
    let mut points: Vec<Vec<f64>> = (0..SPANS_ALONG + 3)
        .map(|i| {
            // Point i lies at knot i - 1; the last three are where the motion rests.
            let u = match i {
                i if i >= SPANS_ALONG => 1.0,
                i => i.saturating_sub(1) as f64 / SPANS_ALONG as f64,
            };
            let on_path = running.sample(from_s + stop_s * (u - u.powi(3) + 0.5 * u.powi(4)));
            let (rate, change) = (
                1.0 - 3.0 * u * u + 2.0 * u.powi(3),
                6.0 * u * (u - 1.0) / stop_s,
            );
            let moves = on_path.velocity.iter().zip(&on_path.acceleration);
            let bends = moves.map(|(v, a)| a * rate * rate + v * change);
            on_path
                .position
                .iter()
                .zip(bends)
                .map(|(q, bend)| q - h * h / 6.0 * bend)
                .collect()
        })
        .collect();
    lead(&mut points, start, h);
    points
}

/// Every joint slows down by itself, all within the time that the slowest of them needs; `None` only for a state from which
/// the limits cannot be kept.
///
/// A joint's acceleration goes from a to one value b, stays there, and returns to zero: over M spans of h,
/// `b = -(v / h + a / 2) / (M - 1)`.
pub fn stop_each_joint(joint_names: &[String], start: &MovingStart) -> Option<TimedTrajectory> {
    let stop = |spans| straight_stop(joint_names, start, spans);
    SPANS_STRAIGHT.into_iter().find_map(stop)
}

fn straight_stop(
    joint_names: &[String],
    start: &MovingStart,
    spans: usize,
) -> Option<TimedTrajectory> {
    stops(SHORTEST_S, STEP_STRAIGHT).find_map(|stop_s| {
        let h = stop_s / spans as f64;
        let mut points = vec![vec![0.0; start.joints().len()]; spans + 3];
        lead(&mut points, start, h);
        for (j, joint) in start.joints().iter().enumerate() {
            let braking = -(joint.velocity / h + 0.5 * joint.acceleration) / (spans - 1) as f64;
            for i in 3..spans + 2 {
                points[i][j] = 2.0 * points[i - 1][j] - points[i - 2][j] + braking * h * h;
            }
            points[spans][j] = points[spans + 1][j];
            points[spans + 2][j] = points[spans + 1][j];
        }
        finished(joint_names, points, h, start)
    })
}

fn stops(shortest_s: f64, step: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(shortest_s), move |stop_s| Some(stop_s * step))
        .take_while(|stop_s| *stop_s < LONGEST_S)
}

fn lead(points: &mut [Vec<f64>], start: &MovingStart, spacing_s: f64) {
    for (j, joint) in start.joints().iter().enumerate() {
        for (point, value) in points.iter_mut().zip(joint.lead(spacing_s)) {
            point[j] = value;
        }
    }
}

fn finished(
    joint_names: &[String],
    points: Vec<Vec<f64>>,
    spacing_s: f64,
    start: &MovingStart,
) -> Option<TimedTrajectory> {
    let inside = start.joints().iter().enumerate().all(|(j, joint)| {
        let column: Vec<f64> = points.iter().map(|p| p[j]).collect();
        keeps_limits(&column, spacing_s, joint)
    });
    let trajectory = TimedTrajectory::new(joint_names.to_vec(), points, spacing_s);
    trajectory.filter(|_| inside)
}

/// Whether one joint's curve keeps its limits, velocity by the exact maximum of each span.
fn keeps_limits(points: &[f64], h: f64, joint: &StartJoint) -> bool {
    // What the start has already is the caller's to judge.
    let allowed = |limit: f64, given: f64| limit.max(given.abs()) * (1.0 + ROUNDING);
    let fastest = allowed(joint.velocity_limit, joint.velocity);
    let bend = allowed(joint.acceleration_limit, joint.acceleration);
    points.windows(4).all(|p| {
        let velocity = |k: usize| (p[k + 2] - p[k]) / (2.0 * h);
        let acceleration = |k: usize| (p[k + 2] - 2.0 * p[k + 1] + p[k]) / (h * h);
        let (v0, v1, a0, a1) = (velocity(0), velocity(1), acceleration(0), acceleration(1));
        let peak = if a0 * a1 < 0.0 {
            v0 - 0.5 * a0 * a0 * h / (a1 - a0)
        } else {
            v0
        };
        let quick = v0.abs().max(v1.abs()).max(peak.abs());
        let jerk = (a1 - a0) / h;
        quick <= fastest
            && a0.abs().max(a1.abs()) <= bend
            && jerk.abs() <= joint.jerk_limit * (1.0 + ROUNDING)
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    const V: f64 = 2.0;
    const A: f64 = 8.0;
    const J: f64 = 900.0;

    /// A motion of two joints that uses its limits.
    fn running() -> TimedTrajectory {
        let row = |t: f64| {
            let s = t * t * t * (10.0 + t * (6.0 * t - 15.0));
            vec![
                0.2 + 1.6 * s,
                -0.4 + 0.5 * s + 0.2 * (std::f64::consts::PI * s).sin(),
            ]
        };
        let points = (0..27)
            .map(|i| row(((i as f64 - 2.0) / 22.0).clamp(0.0, 1.0)))
            .collect();
        TimedTrajectory::new(vec!["a".into(), "b".into()], points, 0.07).expect("sound")
    }

    fn start(motion: &TimedTrajectory, time_s: f64) -> MovingStart {
        let state = motion.sample(time_s);
        let joint = |j: usize| StartJoint {
            position: state.position[j],
            velocity: state.velocity[j],
            acceleration: state.acceleration[j],
            velocity_limit: V,
            acceleration_limit: A,
            jerk_limit: J,
        };
        MovingStart::new((0..2).map(joint).collect())
    }

    fn check(stop: &TimedTrajectory, motion: &TimedTrajectory, time_s: f64) {
        let (first, left) = (stop.sample(0.0), motion.sample(time_s));
        let last = stop.sample(stop.duration_s());
        for j in 0..2 {
            assert!((first.position[j] - left.position[j]).abs() < 1e-13);
            assert!((first.velocity[j] - left.velocity[j]).abs() < 1e-10);
            assert!((first.acceleration[j] - left.acceleration[j]).abs() < 1e-7);
            assert!(last.velocity[j].abs() < 1e-9 && last.acceleration[j].abs() < 1e-7);
        }
        for point in stop.points(1e-3) {
            for j in 0..2 {
                assert!(point.state.velocity[j].abs() <= V * (1.0 + 1e-6));
                assert!(point.state.acceleration[j].abs() <= A * (1.0 + 1e-6));
                assert!(point.state.jerk[j].abs() <= J * (1.0 + 1e-6));
            }
        }
    }

    #[test]
    fn a_stop_along_the_motion_stays_on_it() {
        let motion = running();
        for share in [0.1, 0.3, 0.5, 0.6] {
            let time_s = share * motion.duration_s();
            let stop = stop_along(&motion, time_s, &start(&motion, time_s)).expect("a stop");
            check(&stop, &motion, time_s);
            assert!(stop.duration_s() < 1.2, "{}", stop.duration_s());
            for point in stop.points(0.01) {
                let nearest = (0..4000)
                    .map(|i| {
                        motion
                            .sample(motion.duration_s() * f64::from(i) / 4000.0)
                            .position
                    })
                    .map(|q| {
                        let d = |j: usize| q[j] - point.state.position[j];
                        d(0).hypot(d(1))
                    })
                    .fold(f64::INFINITY, f64::min);
                assert!(nearest < 1e-3, "{nearest} from the motion at {share}");
            }
        }
    }

    #[test]
    fn joints_stop_by_themselves_in_about_the_least_time() {
        let motion = running();
        for share in [0.05, 0.2, 0.4, 0.7, 0.95] {
            let time_s = share * motion.duration_s();
            let start = start(&motion, time_s);
            let stop = stop_each_joint(motion.joint_names(), &start).expect("a stop");
            check(&stop, &motion, time_s);
            let least = start
                .joints()
                .iter()
                .fold(0.0f64, |m, j| m.max((j.velocity.abs() + 0.1) / A));
            let duration_s = stop.duration_s();
            assert!(duration_s < 1.5 * least + 0.05, "{duration_s} of {least} s");
        }
    }

    /// Seven joints in any state that splines with spans of 30 ms go through: next to its limit a joint has as much room as such a
    /// span needs to stop accelerating.
    #[test]
    fn there_is_a_stop_from_every_state_of_a_motion() {
        const SPAN_S: f64 = 0.03;
        let mut rng = Pcg64Mcg::seed_from_u64(9);
        for case in 0..400 {
            let braking = [0.3, 1.0][case % 2] * A;
            let joint = |rng: &mut Pcg64Mcg| {
                let acceleration = rng.random_range(-braking..braking);
                let room = acceleration * acceleration * SPAN_S / (4.0 * braking);
                StartJoint {
                    position: 0.0,
                    velocity: (V - room) * rng.random_range(0.7..1.0) * [-1.0, 1.0][case / 2 % 2],
                    acceleration,
                    velocity_limit: V,
                    acceleration_limit: braking,
                    jerk_limit: 500.0 * braking,
                }
            };
            let start = MovingStart::new((0..7).map(|_| joint(&mut rng)).collect());
            let names: Vec<String> = (0..7).map(|j| format!("j{j}")).collect();
            let stop = stop_each_joint(&names, &start);
            let stop = stop.unwrap_or_else(|| panic!("no stop in case {case}: {start:?}"));
            let last = stop.sample(stop.duration_s());
            assert!(last.velocity.iter().all(|v| v.abs() < 1e-8));
            for point in stop.points(1e-3) {
                for j in 0..7 {
                    assert!(point.state.velocity[j].abs() <= V * (1.0 + 1e-6));
                    assert!(point.state.acceleration[j].abs() <= braking * (1.0 + 1e-6));
                }
            }
        }
    }

    #[test]
    fn a_motion_about_to_end_is_not_left_for_a_longer_stop() {
        let motion = running();
        let time_s = motion.duration_s() - 0.005;
        assert!(stop_along(&motion, time_s, &start(&motion, time_s)).is_none());
    }
}
