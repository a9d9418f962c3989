//! The threads that a request is planned on, and what they need to move particles: a step only reads what is not the particle's
//! own, so any thread may take it.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder, Yield};

use super::objective::Workspace;
use super::particle::Particle;
use super::processors::Processors;
use crate::robot::RobotModel;

/// More threads than this would mostly wait for one another.
const MOST_THREADS: usize = 4;
/// Parts for each thread: one that is early takes what another has not begun.
const PARTS: usize = 2;

/// Threads, and a workspace for each part that they may take. Motions do not depend on their number.
pub struct Crew {
    workspaces: Vec<Workspace>,
    threads: Threads,
}

/// The threads alone. What runs on them shares work out by `rayon` as usual.
#[derive(Clone)]
pub struct Threads {
    /// Of its own, since the common one may be busy with an object for a while. None: the system gives none.
    pool: Option<Arc<Pool>>,
}

struct Pool {
    threads: ThreadPool,
    processors: Option<Processors>,
}

impl Threads {
    /// Does something on one of them, and waits for it.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.threads.install(|| {
                if let Some(processors) = &pool.processors {
                    processors.leave_this_one();
                }
                work()
            }),
            None => work(),
        }
    }
}

impl Crew {
    /// `threads` 0: one for each core of the machine, four at most.
    pub fn new(robot: &RobotModel, threads: usize) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = match threads {
            0 => cores().min(MOST_THREADS),
            some => some,
        };
        let builder = ThreadPoolBuilder::new().num_threads(threads);
        let pool = builder.thread_name(|n| format!("plan {n}")).build();
        let pool = pool.ok().map(|threads| {
            let processors = Processors::of(&threads);
            Arc::new(Pool {
                threads,
                processors,
            })
        });
        let parts = match threads {
            1 => 1,
            _ => PARTS * threads,
        };
        Self {
            workspaces: (0..parts).map(|_| Workspace::new(robot)).collect(),
            threads: Threads { pool },
        }
    }

    pub fn threads(&self) -> Threads {
        self.threads.clone()
    }

    /// Scratch, one for each part.
    pub fn workspaces(&mut self) -> &mut [Workspace] {
        &mut self.workspaces
    }
}

/// Does something in which work is shared out in pieces so small that waking a thread takes as long as one: meanwhile the other
/// threads look for work all the time. To be called on the crew's threads.
pub fn with_all_awake<R>(work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    let here = rayon::current_thread_index();
    rayon::in_place_scope(|scope| {
        for _ in 1..rayon::current_num_threads() {
            scope.spawn(|_| {
                // Waiting here for itself to be done, this thread would wait forever.
                let elsewhere = rayon::current_thread_index() != here;
                while elsewhere && !done.load(Ordering::Relaxed) {
                    if rayon::yield_now() != Some(Yield::Executed) {
                        spin_loop();
                    }
                }
            });
        }
        let _done = SetWhenDropped(&done);
        work()
    })
}

/// Also if the work panics.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Hands particles out in parts with about as many living ones, and waits until all are done; called on the crew's threads.
/// Halved again and again by `join`, which allocates nothing.
pub(super) fn each_part(
    workspaces: &mut [Workspace],
    particles: &mut [Particle],
    work: &(impl Fn(&mut [Particle], &mut Workspace) + Sync),
) {
    let living = particles.iter().filter(|p| p.alive).count();
    if workspaces.len().min(living) < 2 {
        return work(particles, &mut workspaces[0]);
    }
    let (mine, others) = workspaces.split_at_mut(workspaces.len() / 2);
    let (first, second) = split_after(particles, living / 2);
    rayon::join(
        || each_part(mine, first, work),
        || each_part(others, second, work),
    );
}

/// The first particles with so many living ones among them, and the others.
fn split_after(particles: &mut [Particle], living: usize) -> (&mut [Particle], &mut [Particle]) {
    let mut left = living;
    let is_last = |particle: &Particle| {
        left -= usize::from(particle.alive);
        left == 0
    };
    let end = particles.iter().position(is_last);
    let end = end.map_or(particles.len(), |last| last + 1);
    particles.split_at_mut(end)
}
