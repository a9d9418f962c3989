//! How long the node waits for something that takes its time: by the machine's clock, in a simulation by the simulation's, which
//! may be slow.

use super::shared::Shared;
use super::state::{seconds_between, TimeNs};
use std::time::{Duration, Instant};

/// A simulation may also be paused: nothing moves and nothing is published until it goes on. So much of the machine's time
/// passes before it counts as dead.
pub const PAUSED: Duration = Duration::from_secs(60);

/// A wait that has begun.
pub struct Patience<'a> {
    shared: &'a Shared,
    simulated: bool,
    limit_s: f64,
    begun: Instant,
    begun_at: TimeNs,
}

impl<'a> Patience<'a> {
    /// Begins now. `simulated`: use_sim_time.
    pub fn start(shared: &'a Shared, simulated: bool, limit_s: f64) -> Self {
        Self {
            shared,
            simulated,
            limit_s,
            begun: Instant::now(),
            begun_at: shared.now(),
        }
    }

    pub fn is_over(&self) -> bool {
        let simulated_s = seconds_between(self.begun_at, self.shared.now());
        let simulated_s = self.simulated.then_some(simulated_s);
        is_over(
            self.limit_s,
            self.begun.elapsed().as_secs_f64(),
            simulated_s,
        )
    }
}

/// A clock that is set back or stands still does not end a wait; what is left then is the machine's.
fn is_over(limit_s: f64, machine_s: f64, simulated_s: Option<f64>) -> bool {
    match simulated_s {
        None => machine_s > limit_s,
        Some(s) => s > limit_s || machine_s > limit_s + PAUSED.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_simulation_has_its_own_time_and_a_dead_one_a_minute() {
        assert!(!is_over(5.0, 4.9, None) && is_over(5.0, 5.1, None));
        assert!(!is_over(5.0, 40.0, Some(4.9)) && is_over(5.0, 40.0, Some(5.1)));
        assert!(is_over(5.0, 1.0, Some(5.1)), "faster than the machine");
        assert!(!is_over(5.0, 64.0, Some(-100.0)) && is_over(5.0, 65.1, Some(0.0)));
    }
}
