//! Keeps the threads of a crew on different processors.
//!
//! A thread that sleeps is woken where the system thinks best. On a virtual machine that can be the processor of the thread that
//! wakes it: a guest may take halted processors for busy ones, or pack what runs on few of them. Two threads that work together
//! then take turns in slices of milliseconds, and a plan that came after a pause took longer than on one thread.

pub(super) use system::Processors;

#[cfg(target_os = "linux")]
mod system {
    use rayon::ThreadPool;
    use rustix::thread::{gettid, sched_getaffinity, sched_getcpu, sched_setaffinity, CpuSet, Pid};

    /// The threads of a pool, and the processors that they may use: those of the thread that made it.
    pub struct Processors {
        allowed: CpuSet,
        threads: Vec<Pid>,
    }

    impl Processors {
        /// None: the system does not tell.
        pub fn of(pool: &ThreadPool) -> Option<Self> {
            Some(Self {
                allowed: sched_getaffinity(None).ok()?,
                threads: pool.broadcast(|_| gettid()),
            })
        }

        /// Called on one thread of the pool when work begins: the others keep off the processor that it runs on, wherever the
        /// system then puts them. If nothing else is allowed, all stays as it is.
        pub fn leave_this_one(&self) {
            let mut elsewhere = self.allowed;
            elsewhere.unset(sched_getcpu());
            if elsewhere.count() == 0 {
                return;
            }
            let here = gettid();
            for &thread in &self.threads {
                let mask = if thread == here {
                    &self.allowed
                } else {
                    &elsewhere
                };
                // What the system refuses (a smaller set since then) costs time, no result.
                let _ = sched_setaffinity(Some(thread), mask);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use rayon::ThreadPoolBuilder;

        use super::*;

        #[test]
        fn others_leave_the_processor_of_the_thread_that_begins() {
            let pool = ThreadPoolBuilder::new().num_threads(3).build();
            let pool = pool.expect("three threads");
            let processors = Processors::of(&pool).expect("Linux tells");
            let allowed = processors.allowed;
            if allowed.count() < 2 {
                return;
            }
            // Another thread may begin the next time.
            for _ in 0..20 {
                let (here, before, after) = pool.install(|| {
                    let before = sched_getcpu();
                    processors.leave_this_one();
                    (gettid(), before, sched_getcpu())
                });
                for &thread in &processors.threads {
                    let mask = sched_getaffinity(Some(thread)).expect("a thread of this process");
                    if thread == here {
                        assert!(mask == allowed, "the first may go anywhere");
                    } else {
                        assert_eq!(mask.count(), allowed.count() - 1);
                        assert!(before != after || !mask.is_set(before), "{before}");
                    }
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub struct Processors;

    impl Processors {
        pub fn of(_: &rayon::ThreadPool) -> Option<Self> {
            None
        }

        pub fn leave_this_one(&self) {}
    }
}
