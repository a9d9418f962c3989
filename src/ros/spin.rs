//! The loop every program of the package runs in.

use futures::executor::LocalPool;
use r2r::{Context, Node};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Longest sleep of the loop. Messages, requests and timers end it at once; other threads send by themselves and need
/// no turn of the loop. So this is only how long a signal may go unnoticed.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// An idle node rests this long after each turn, in alternation. Joint states may come a thousand times a second, and
/// waking up for each of them costs more than everything else an idle node does; topics keep the newest. A request that
/// comes meanwhile waits, 8 ms on average. Two lengths, so that the loop does not fall into step with one of several
/// publishers and never see the other.
const IDLE_RESTS: [Duration; 2] = [Duration::from_millis(12), Duration::from_millis(18)];

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
    let mut rests = IDLE_RESTS.iter().cycle();
    while !stop.load(Ordering::Relaxed) && context.is_valid() {
        node.spin_once(LONGEST_WAIT);
        pool.run_until_stalled();
        if let (false, Some(rest)) = (busy(), rests.next()) {
            thread::sleep(*rest);
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
