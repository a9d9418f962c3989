//! Annealing: steps of all particles, spacing control, halving, and the candidates found on the way.

use std::ops::ControlFlow;

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::crew::each_part;
use super::objective::{Objective, Pass, Workspace};
use super::particle::{Candidate, GoalPoint, Particle};
use super::settings::{Level, OptimizerSettings, Sampling};
use super::step::Stepper;
use crate::trajectory::{MovingStart, Spline};

/// What the observer learns after every iteration; breaking out stops the optimiser.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub iteration: usize,
    /// Share of the iterations of this pass, 0 to 1.
    pub share: f32,
    /// Duration of the best candidate [s], infinite before there is one.
    pub best_duration_s: f32,
}

/// The observer asked to stop. What was found so far stays in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// A finer test of motions that are feasible at their samples.
pub trait CandidateCheck: Send {
    fn accepts(&mut self, spline: &Spline, goal: usize) -> bool;
}

/// What annealing and refinement share: the problem, and what was found.
pub struct Run<'a, R: Rng> {
    pub objective: &'a Objective,
    pub goals: &'a [GoalPoint],
    pub settings: &'a OptimizerSettings,
    pub rng: &'a mut R,
    pub workspaces: &'a mut [Workspace],
    pub check: &'a mut dyn CandidateCheck,
    pub observe: &'a mut dyn FnMut(&Report) -> ControlFlow<()>,
    /// Accepted motions, each shorter than the one before.
    pub candidates: Vec<Candidate>,
    /// Shorter ones that the fine check has not seen, each shorter than the one before.
    pub unchecked: Vec<Candidate>,
    /// Steps of all particles.
    pub steps: u32,
}

/// A candidate must be this much shorter than the best to be worth a fine check.
const WORTH_CHECKING: f32 = 0.995;
/// At least after so many iterations those on offer are checked: what the check refuses must not keep longer ones from being found.
const CHECK_PERIOD: usize = 8;
/// The best duration must fall by this share to count as progress.
const PROGRESS: f32 = 0.997;
/// Spacing shrinks above, grows below these excess clearances [m].
const FREE_M: f32 = -0.002;
const STUCK_M: f32 = -0.01;
/// From a moving start the limits must hold at the spacing itself: it shrinks while they ask for no more than the first of
/// these shares of it, and grows while they ask for more than the second.
const NEARLY_INSIDE: f32 = 1.01;
const FAR_OUTSIDE: f32 = 1.05;

impl<R: Rng> Run<'_, R> {
    /// Duration of the shortest candidate, checked or not [s].
    pub fn best_duration_s(&self) -> f32 {
        let best = self.unchecked.last().or(self.candidates.last());
        best.map_or(f32::INFINITY, Candidate::duration_s)
    }

    /// One step of every living particle; beside it the fine check of what is on offer, if that is due.
    pub(super) fn advance(
        &mut self,
        particles: &mut [Particle],
        pass: Pass,
        level: Level,
        check_is_due: bool,
    ) {
        let stepper = Stepper {
            objective: self.objective,
            goals: self.goals,
            settings: self.settings,
            pass,
            level,
        };
        self.steps += particles.iter().filter(|p| p.alive).count() as u32;
        let workspaces = &mut *self.workspaces;
        let mut step = || {
            stepper.evaluate_movable_ends(particles, &mut workspaces[0]);
            each_part(workspaces, particles, &|part, ws| stepper.advance(part, ws));
        };
        let (check, unchecked) = (&mut *self.check, &mut self.unchecked);
        if check_is_due && !unchecked.is_empty() {
            let candidates = &mut self.candidates;
            rayon::join(step, || check_offers(check, unchecked, candidates));
        } else {
            step();
        }
    }

    /// Keeps the motion before the last step for the fine check.
    pub(super) fn offer(&mut self, particle: &Particle) {
        self.unchecked.push(Candidate {
            spacing_s: particle.duration_s / particle.spline.spans() as f32,
            spline: particle.before.clone(),
            goal: particle.goal,
            origin: particle.origin,
        });
    }

    /// Puts the shortest motion that passes the fine check among the candidates, and drops the other unchecked ones. One check takes as
    /// long as a step, and while the time shrinks nearly every step finds a shorter motion, so not each of them is checked.
    pub fn check_offers(&mut self) {
        check_offers(self.check, &mut self.unchecked, &mut self.candidates);
    }

    pub(super) fn report(&mut self, iteration: usize, share: f32) -> Result<(), Interrupted> {
        let report = Report {
            iteration,
            share,
            best_duration_s: self.best_duration_s(),
        };
        match (self.observe)(&report) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Interrupted),
        }
    }
}

fn check_offers(
    check: &mut dyn CandidateCheck,
    unchecked: &mut Vec<Candidate>,
    candidates: &mut Vec<Candidate>,
) {
    while let Some(offer) = unchecked.pop() {
        if check.accepts(&offer.spline, offer.goal) {
            candidates.push(offer);
            unchecked.clear();
        }
    }
}

/// Anneals all particles together (arXiv 2209.03855, Alg. 4, with a curvature-aware metric and splines for waypoints).
pub fn annealed_langevin<R: Rng>(
    run: &mut Run<'_, R>,
    particles: &mut [Particle],
) -> Result<(), Interrupted> {
    let settings = run.settings;
    if settings.sampling == Sampling::Langevin {
        // Each particle has noise of its own, whichever thread moves it.
        for particle in particles.iter_mut() {
            particle.noise = Pcg64Mcg::seed_from_u64(run.rng.random());
        }
    }
    let (mut stalled, mut last_best) = (0, run.best_duration_s());
    let mut check_is_due = false;
    for iteration in 0..settings.max_iterations {
        let share = iteration as f32 / settings.max_iterations as f32;
        run.report(iteration, share)?;
        run.advance(particles, Pass::Anneal, settings.level(share), check_is_due);
        // What the check has refused is no progress.
        last_best = last_best.max(run.best_duration_s());
        for particle in particles.iter_mut().filter(|p| p.alive) {
            if particle.feasible {
                if particle.duration_s < particle.best_duration_s {
                    particle.best_duration_s = particle.duration_s;
                    particle.best.clone_from(&particle.before);
                }
                if particle.duration_s < WORTH_CHECKING * run.best_duration_s() {
                    run.offer(particle);
                }
            }
            control_spacing(particle, run.objective.moving_start.as_ref(), settings);
        }
        if run.best_duration_s() < PROGRESS * last_best {
            last_best = run.best_duration_s();
            stalled = 0;
        } else if last_best.is_finite() {
            stalled += 1;
        }
        check_is_due = stalled > 0 || (iteration + 1) % CHECK_PERIOD == 0;
        if iteration >= settings.min_iterations && stalled >= settings.patience {
            break;
        }
        if (iteration + 1) % settings.halving_period == 0 {
            halve(particles);
        }
    }
    Ok(())
}

/// Time pressure: a free particle must get faster, one in collision gets time to find its way out.
fn control_spacing(
    particle: &mut Particle,
    moving_start: Option<&MovingStart>,
    settings: &OptimizerSettings,
) {
    let needed = match moving_start {
        Some(_) => particle.duration_s / (particle.spacing_s * particle.spline.spans() as f32),
        None => 0.0,
    };
    if particle.excess_m > FREE_M && needed < NEARLY_INSIDE {
        particle.spacing_s = (particle.spacing_s * settings.shrink).max(particle.spacing_floor_s);
    } else if particle.excess_m < STUCK_M || needed > FAR_OUTSIDE {
        particle.spacing_s *= settings.grow;
    }
    if let Some(start) = moving_start {
        start.lead_in(&mut particle.spline, f64::from(particle.spacing_s));
    }
}

/// Drops the worse half of the living particles, but keeps two.
fn halve(particles: &mut [Particle]) {
    let mut order = Vec::with_capacity(particles.len());
    order.extend((0..particles.len()).filter(|&i| particles[i].alive));
    if order.len() <= 2 {
        return;
    }
    order.sort_unstable_by(|&a, &b| {
        particles[a]
            .rank()
            .total_cmp(&particles[b].rank())
            .then(a.cmp(&b))
    });
    let keep = order.len().div_ceil(2).max(2);
    for &i in &order[keep..] {
        particles[i].alive = false;
    }
}
