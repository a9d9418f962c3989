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

/// Refines the particles with the shortest feasible motions, one after the other.
pub fn refine<R: Rng>(run: &mut Run<'_, R>, particles: &mut [Particle]) -> Result<(), Interrupted> {
    let mut order: Vec<usize> = (0..particles.len())
        .filter(|&i| particles[i].best_duration_s.is_finite())
        .collect();
    order.sort_by(|&a, &b| {
        particles[a]
            .best_duration_s
            .total_cmp(&particles[b].best_duration_s)
            .then(a.cmp(&b))
    });
    order.truncate(run.settings.refine_particles);
    let count = order.len() as f32;
    for (done, &index) in order.iter().enumerate() {
        refine_one(run, &mut particles[index], done as f32 / count, 1.0 / count)?;
        run.check_offers();
    }
    Ok(())
}

fn refine_one<R: Rng>(
    run: &mut Run<'_, R>,
    particle: &mut Particle,
    share: f32,
    width: f32,
) -> Result<(), Interrupted> {
    let settings = run.settings;
    particle.spline.clone_from(&particle.best);
    particle.alive = true;
    particle.steps = 0;
    let spans = particle.spline.spans() as f32;
    let mut current = particle.best_duration_s;
    let mut failures = 0;
    for iteration in 0..settings.refine_iterations {
        run.report(
            iteration,
            share + width * iteration as f32 / settings.refine_iterations as f32,
        )?;
        particle.spacing_s =
            (current / spans * settings.refine_target).max(particle.spacing_floor_s);
        if let Some(start) = &run.objective.moving_start {
            start.lead_in(&mut particle.spline, f64::from(particle.spacing_s));
        }
        run.advance(std::slice::from_mut(particle), Pass::Refine, Level::END);
        if particle.feasible && particle.duration_s < GAIN * current {
            if particle.duration_s < CLEAR_GAIN * current {
                failures = 0;
            }
            current = particle.duration_s;
            if current < WORTH_CHECKING * run.best_duration_s() {
                run.offer(particle);
            }
        } else {
            failures += 1;
            if failures > settings.refine_patience {
                break;
            }
        }
    }
    Ok(())
}
