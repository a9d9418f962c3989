//! Where the particles start: straight lines with smooth noise, and sampling-based paths.

use std::sync::Mutex;

use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::goals::FoundGoal;
use super::session::Session;
use super::settings::PlannerSettings;
use super::tree::{connect, path_length, shortcut, straight, TreeSettings};
use super::warm::{self, Warm};
use super::world::World;
use crate::optimizer::{Origin, Particle};
use crate::planner::result::Stage;
use crate::trajectory::{rest_to_rest_duration_s, JointRow, Spline};

/// Particles of one round, and the shortest collision-free polyline that was found.
pub struct Seeds {
    pub particles: Vec<Particle>,
    pub polyline: Option<(Vec<JointRow>, usize)>,
}

/// Smooth noise: this many sine modes, falling with the power of their number.
const MODES: usize = 4;
const MODE_DECAY: f32 = 1.5;
/// A seed's spacing relative to the fastest one at the limits: slightly too fast, so that the limits shape it.
const EAGERNESS: f32 = 0.9;

/// Trees that grow side by side, whatever the number of threads. If none of them finds a way, no more are tried.
const TREES_AT_ONCE: usize = 2;

/// Draws the seeds of one round; later rounds get more noise. Stops searching trees when the session is stopped.
pub fn draw(
    world: &mut World,
    goals: &[FoundGoal],
    settings: &PlannerSettings,
    lines: usize,
    round: usize,
    rng: &mut impl Rng,
    session: &mut Session<'_>,
) -> Seeds {
    let mut seeds = Seeds {
        particles: Vec::new(),
        polyline: None,
    };
    let usual = settings.spans.next_multiple_of(8);
    let spans = warm::spans(world, goals, usual);
    if let Some(running) = world.running.clone() {
        let remainder = Warm {
            running: &running,
            goals,
            spans,
            round,
        };
        let noise_rad = settings.seed_noise_rad;
        remainder.draw(world, lines, noise_rad, rng, &mut seeds.particles);
        if !remainder.is_free(world, &seeds.particles, settings.check_step) {
            draw_trees(world, goals, settings, spans, rng, session, &mut seeds);
        }
        return seeds;
    }
    draw_trees(world, goals, settings, spans, rng, session, &mut seeds);
    for k in 0..lines {
        let index = k % goals.len();
        let mut spline = Spline::follow_polyline(
            &goals[index].corners(&[world.start]),
            spans,
            world.objective.limits.inverse_velocity,
        );
        if k >= goals.len() || round > 0 {
            let spread = 0.4 + 1.6 * k as f32 / lines as f32;
            let amplitude = settings.seed_noise_rad * (1.0 + 0.5 * round as f32) * spread;
            add_smooth_noise(&mut spline, amplitude, world, rng);
        }
        seeds
            .particles
            .push(particle(world, spline, index, Origin::Line));
    }
    seeds
}

fn draw_trees(
    world: &mut World,
    goals: &[FoundGoal],
    settings: &PlannerSettings,
    spans: usize,
    rng: &mut impl Rng,
    session: &mut Session<'_>,
    seeds: &mut Seeds,
) {
    let roots: Vec<JointRow> = goals.iter().map(FoundGoal::entry).collect();
    let tightest = goals
        .iter()
        .fold(world.checker.collision.start_clearance_m, |m, g| {
            m.min(g.entry_clearance_m)
        });
    let tree = TreeSettings {
        margin_m: settings.edge_margin_m.min(0.5 * tightest).max(0.0),
        ..TreeSettings::default()
    };
    let start = world.start;
    // Where a straight way is free, trees would only find it again.
    let straight = straight(&mut world.checker, start, &roots, &tree);
    let grown = match straight {
        Some(_) => 0,
        None => settings.tree_seeds,
    };
    let mut paths: Vec<Vec<JointRow>> = straight.into_iter().collect();
    let (checker, session) = (&world.checker, Mutex::new(session));
    for first in (0..grown).step_by(TREES_AT_ONCE) {
        let known = paths.len();
        let share: Vec<(usize, Pcg64Mcg)> = (first..grown.min(first + TREES_AT_ONCE))
            .map(|k| (k, Pcg64Mcg::seed_from_u64(rng.random())))
            .collect();
        paths.par_extend(share.into_par_iter().filter_map(|(k, mut rng)| {
            let mut checker = checker.clone();
            // Where another one panicked, this one ends too.
            let mut stop = || match session.lock() {
                Ok(mut session) => session.tell(Stage::Sample, k as u32, 0.1).is_break(),
                Err(_) => true,
            };
            let mut path = connect(&mut checker, start, &roots, &tree, &mut rng, &mut stop)?;
            shortcut(&mut checker, &mut path, &tree, &mut rng);
            Some(path)
        }));
        if paths.len() == known {
            break;
        }
    }
    for (k, path) in paths.into_iter().enumerate() {
        let end = path[path.len() - 1];
        // Movable goals have fixed twins with the same entry: paths go to both in turn.
        let twins: Vec<usize> = (0..roots.len()).filter(|&i| roots[i] == end).collect();
        let goal = twins.get(k % twins.len().max(1)).copied().unwrap_or(0);
        let corners = goals[goal].corners(&path[..path.len() - 1]);
        if seeds
            .polyline
            .as_ref()
            .is_none_or(|(best, _)| path_length(&corners) < path_length(best))
        {
            seeds.polyline = Some((corners.clone(), goal));
        }
        let spline =
            Spline::follow_polyline(&corners, spans, world.objective.limits.inverse_velocity);
        seeds
            .particles
            .push(particle(world, spline, goal, Origin::Tree));
    }
}

fn particle(world: &World, spline: Spline, goal: usize, origin: Origin) -> Particle {
    let limits = &world.objective.limits;
    let spacing_s = EAGERNESS * limits.spacing(&spline).spacing_s();
    if world.objective.moving_start.is_some() {
        return warm::moving_particle(world, spline, spacing_s, goal, origin);
    }
    let floor_s = rest_to_rest_duration_s(spline.start(), spline.end(), limits).max(1e-2);
    Particle::new(spline, spacing_s, floor_s, goal, origin)
}

/// Adds a Gaussian process over the path, zero at both ends.
pub(super) fn add_smooth_noise(
    spline: &mut Spline,
    amplitude_rad: f32,
    world: &World,
    rng: &mut impl Rng,
) {
    let dof = world.robot.kinematics.dof();
    let interior = spline.interior();
    let count = interior.len() as f32 + 1.0;
    for mode in 1..=MODES {
        let mut row = [0.0f32; 16];
        for value in &mut row[..dof] {
            let normal: f32 = StandardNormal.sample(rng);
            *value = normal * amplitude_rad / (mode as f32).powf(MODE_DECAY);
        }
        let row = JointRow::new(row);
        for i in interior.clone() {
            let u = (i - interior.start + 1) as f32 / count;
            let wave = JointRow::splat((std::f32::consts::PI * mode as f32 * u).sin());
            spline.points[i] = row.mul_add(wave, spline.points[i]);
        }
    }
    for i in interior {
        spline.points[i] = spline.points[i]
            .fast_max(world.objective.lower)
            .fast_min(world.objective.upper);
    }
}
