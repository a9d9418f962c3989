//! Batches made ahead of the steps that use them.

use std::num::NonZeroUsize;
use std::sync::mpsc::{sync_channel, Receiver};
use std::thread::Scope;

use super::TrainingError;

/// Batches that lie ready on each thread.
const READY: usize = 3;

/// Batches in the order of their steps. A step's batch follows from its number alone, so that a resumed run sees the same
/// ones, however many threads make them.
pub(super) struct BatchesAhead<B> {
    /// One of each thread; the threads take steps by turns.
    threads: Vec<Receiver<B>>,
    taken: usize,
}

impl<B: Send> BatchesAhead<B> {
    /// Makes the batches from step `first` on, on `threads` threads.
    pub(super) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        first: u64,
        threads: NonZeroUsize,
        make: impl Fn(u64) -> B + Copy + Send + 'scope,
    ) -> Self
    where
        B: 'scope,
    {
        let threads = threads.get();
        let thread = |number: usize| {
            let (sender, receiver) = sync_channel(READY);
            scope.spawn(move || {
                let steps = (first + number as u64..).step_by(threads);
                for step in steps {
                    if sender.send(make(step)).is_err() {
                        return; // The trainer has ended.
                    }
                }
            });
            receiver
        };
        Self {
            threads: (0..threads).map(thread).collect(),
            taken: 0,
        }
    }

    /// The next step's batch.
    ///
    /// # Errors
    /// [`TrainingError::Thread`] if its thread panicked.
    pub(super) fn next(&mut self) -> Result<B, TrainingError> {
        let thread = &self.threads[self.taken % self.threads.len()];
        self.taken += 1;
        thread.recv().map_err(|_| TrainingError::Thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_order_from_any_number_of_threads() {
        for threads in (1..4).filter_map(NonZeroUsize::new) {
            std::thread::scope(|scope| {
                let mut batches = BatchesAhead::new(scope, 5, threads, |step| 10 * step);
                for step in 5..25 {
                    assert_eq!(batches.next().unwrap(), 10 * step);
                }
            });
        }
    }

    #[test]
    fn a_thread_that_panics_ends_the_run_with_an_error() {
        let last = std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<u8>(1);
            scope.spawn(move || drop(sender));
            let mut batches = BatchesAhead {
                threads: vec![receiver],
                taken: 0,
            };
            batches.next()
        });
        assert!(matches!(last, Err(TrainingError::Thread)));
    }
}
