//! Noise-free refinement of the best particles towards a slightly shorter time, with stiff limits.

use rand::Rng;

use super::langevin::{Interrupted, Run};
use super::objective::Pass;
use super::particle::Particle;
use super::settings::Level;

/// A refined motion must be this much shorter to be worth a fine check.
const WORTH_CHECKING: f32 = 0.999;
/// Any gain below the first share is a failure, one below the second does not reset the patience.
const GAIN: f32 = 0.9999;
const CLEAR_GAIN: f32 = 0.998;

/// A particle, and how far its refinement has come.
#[derive(Clone, Copy)]
struct Refined {
    /// Of the particles.
    index: usize,
    /// Shortest duration so far [s].
    duration_s: f32,
    failures: usize,
}

/// Refines the particles with the shortest feasible motions, side by side.
pub fn refine<R: Rng>(run: &mut Run<'_, R>, particles: &mut [Particle]) -> Result<(), Interrupted> {
    let settings = run.settings;
    let mut refined: Vec<Refined> = (0..particles.len())
        .map(|index| Refined {
            index,
            duration_s: particles[index].best_duration_s,
            failures: 0,
        })
        .filter(|progress| progress.duration_s.is_finite())
        .collect();
    refined.sort_by(|a, b| {
        let by_duration = a.duration_s.total_cmp(&b.duration_s);
        by_duration.then(a.index.cmp(&b.index))
    });
    refined.truncate(settings.refine_particles);
    particles.iter_mut().for_each(|p| p.alive = false);
    for progress in &refined {
        let particle = &mut particles[progress.index];
        particle.spline.clone_from(&particle.best);
        particle.alive = true;
        particle.steps = 0;
    }
    for iteration in 0..settings.refine_iterations {
        if refined.is_empty() {
            break;
        }
        let share = iteration as f32 / settings.refine_iterations as f32;
        run.report(iteration, share)?;
        for progress in &refined {
            let particle = &mut particles[progress.index];
            let spacing_s = progress.duration_s / particle.spline.spans() as f32;
            particle.spacing_s = (spacing_s * settings.refine_target).max(particle.spacing_floor_s);
            if let Some(start) = &run.objective.moving_start {
                start.lead_in(&mut particle.spline, f64::from(particle.spacing_s));
            }
        }
        run.advance(particles, Pass::Refine, Level::END, false);
        refined.retain_mut(|progress| {
            let particle = &mut particles[progress.index];
            if particle.feasible && particle.duration_s < GAIN * progress.duration_s {
                if particle.duration_s < CLEAR_GAIN * progress.duration_s {
                    progress.failures = 0;
                }
                progress.duration_s = particle.duration_s;
                if particle.duration_s < WORTH_CHECKING * run.best_duration_s() {
                    run.offer(particle);
                }
            } else {
                progress.failures += 1;
            }
            particle.alive = progress.failures <= settings.refine_patience;
            particle.alive
        });
    }
    Ok(())
}
