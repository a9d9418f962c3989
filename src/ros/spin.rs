//! The loop every program of the package runs in.

use futures::executor::LocalPool;
use r2r::{Context, Node};
use rustix::time::{clock_gettime, ClockId};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Longest sleep of the loop. Messages, requests and timers end it at once; other threads send by themselves and need
/// no turn of the loop. So this is only how long a signal may go unnoticed.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Share of a core that the turns of a node without a goal take: soon after a goal, when another one is likely, and later. Joint
/// states may come a thousand times a second, and waking up for each of them costs more than everything else an idle node does;
/// topics keep the newest. So the node rests after each turn, longer on a slow machine, and a request that comes meanwhile waits.
const ALERT_SHARE: f64 = 0.03;
const IDLE_SHARE: f64 = 0.004;
const ALERT: Duration = Duration::from_secs(10);
/// Of the mean rest. Where turns are so dear that the longest is not enough they take more than their share: a request comes first.
const SHORTEST_REST: Duration = Duration::from_millis(2);
const LONGEST_REST: Duration = Duration::from_millis(20);
/// Rests are longer and shorter by this share in turn, so that the loop does not fall into step with one of several publishers
/// and never see the other.
const ALTERNATION: f64 = 0.2;
/// How fast the mean of the turns' times follows.
const SMOOTHING: f64 = 0.1;

/// A flag that SIGINT and SIGTERM raise. Register it before the ROS context is made.
///
/// # Errors
/// An operating system error.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second signal ends a program that hangs in its clean-up.
        signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// How long a node without a goal rests after its turns.
#[derive(Default)]
struct Rests {
    /// Processor time of a turn.
    mean_turn_s: f64,
    longer: bool,
}

impl Rests {
    fn after(&mut self, turn: Duration, is_alert: bool) -> Duration {
        self.mean_turn_s += SMOOTHING * (turn.as_secs_f64() - self.mean_turn_s);
        self.longer = !self.longer;
        let alternation = if self.longer {
            ALTERNATION
        } else {
            -ALTERNATION
        };
        let share = if is_alert { ALERT_SHARE } else { IDLE_SHARE };
        let (shortest, longest) = (SHORTEST_REST.as_secs_f64(), LONGEST_REST.as_secs_f64());
        let rest_s = (self.mean_turn_s / share).clamp(shortest, longest);
        Duration::from_secs_f64(rest_s * (1.0 + alternation))
    }
}

/// Processor time that this thread has used.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Serves the node until the flag is raised; while it is not `busy` it takes its time.
pub fn spin(
    context: &Context,
    node: &mut Node,
    pool: &mut LocalPool,
    stop: &AtomicBool,
    busy: impl Fn() -> bool,
) {
    // Tasks that publish at start need no message to be woken by.
    pool.run_until_stalled();
    let (mut rests, mut last_busy) = (Rests::default(), None);
    while !stop.load(Ordering::Relaxed) && context.is_valid() {
        let before = thread_time();
        node.spin_once(LONGEST_WAIT);
        pool.run_until_stalled();
        if busy() {
            last_busy = Some(Instant::now());
        } else {
            let turn = thread_time().saturating_sub(before);
            let is_alert = last_busy.is_some_and(|at| at.elapsed() < ALERT);
            thread::sleep(rests.after(turn, is_alert));
        }
    }
}

/// Goes on serving until `done` or the time is over, so that last answers still leave.
pub fn spin_until(
    node: &mut Node,
    pool: &mut LocalPool,
    timeout: Duration,
    mut done: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + timeout;
    while !done() && Instant::now() < deadline {
        node.spin_once(Duration::from_millis(5));
        pool.run_until_stalled();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_take_their_share_of_a_core() {
        for (turn_us, is_alert, share) in [
            (20, false, IDLE_SHARE),
            (70, false, IDLE_SHARE),
            (70, true, ALERT_SHARE),
            (200, true, ALERT_SHARE),
        ] {
            let (mut rests, turn) = (Rests::default(), Duration::from_micros(turn_us));
            let settled = (0..200).map(|_| rests.after(turn, is_alert)).skip(100);
            let rest: Duration = settled.sum();
            let taken = 100.0 * turn.as_secs_f64() / rest.as_secs_f64();
            assert!((taken / share - 1.0).abs() < 0.01, "{turn:?}: {taken}");
        }
    }

    #[test]
    fn a_request_never_waits_long() {
        let mut rests = Rests::default();
        for turn in [0, 1, 1_000_000] {
            for k in 0..100 {
                let rest = rests.after(Duration::from_micros(turn), k % 2 == 0);
                assert!(rest >= Duration::from_micros(1600) && rest <= Duration::from_millis(24));
            }
        }
    }

    #[test]
    fn only_work_counts_as_processor_time() {
        let before = thread_time();
        thread::sleep(Duration::from_millis(50));
        assert!(thread_time() - before < Duration::from_millis(25));
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(200) {
            std::hint::black_box(0);
        }
        assert!(thread_time() - before > Duration::from_millis(25));
    }
}
