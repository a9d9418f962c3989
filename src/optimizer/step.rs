//! One preconditioned step of particles.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::objective::{Objective, Pass, Workspace};
use super::particle::{GoalPoint, Particle};
use super::settings::{Level, OptimizerSettings};
use crate::trajectory::{JointRow, ORDER};

/// What moves particles, on any thread.
#[derive(Clone, Copy)]
pub(super) struct Stepper<'a> {
    pub objective: &'a Objective,
    pub goals: &'a [GoalPoint],
    pub settings: &'a OptimizerSettings,
    pub pass: Pass,
    pub level: Level,
}

impl Stepper<'_> {
    /// Updates the end terms of the particles whose goal the grasp energy may move: of all at once, since sixteen ends cost what
    /// one does.
    pub fn evaluate_movable_ends(&self, particles: &mut [Particle], ws: &mut Workspace) {
        let mut movable: Vec<&mut Particle> = particles
            .iter_mut()
            .filter(|p| p.alive && self.goals[p.goal].movable)
            .collect();
        if !movable.is_empty() {
            let period = self.settings.end_period;
            let annealing = self.level.annealing;
            self.objective
                .evaluate_ends(&mut movable, annealing, self.pass, period, ws);
        }
    }

    /// One step of the living ones among some particles.
    pub fn advance(&self, particles: &mut [Particle], ws: &mut Workspace) {
        for particle in particles.iter_mut().filter(|p| p.alive) {
            self.advance_one(particle, ws);
        }
    }

    fn advance_one(&self, particle: &mut Particle, ws: &mut Workspace) {
        particle.before.clone_from(&particle.spline);
        step(
            self.objective,
            particle,
            &self.goals[particle.goal],
            self.pass,
            self.level.temperature,
            self.settings,
            ws,
        );
        particle.feasible = particle.excess_m > 0.0;
        if let Some(start) = &self.objective.moving_start {
            let spacing_s = f64::from(particle.spacing_s);
            let fit = start.fit(&mut particle.before, spacing_s, &self.objective.limits);
            particle.duration_s = fit.spacing_s as f32 * particle.spline.spans() as f32;
            particle.feasible &= fit.inside;
        }
    }
}

/// Evaluates the objective at the particle and moves it: `x <- x - step H^-1 g + sqrt(2 T step) L^-T xi` with `H = L L^T`.
/// Joints stay inside their limits and no control point moves further than the step limit. The particle's clearance and
/// duration afterwards describe the spline before the step.
fn step(
    objective: &Objective,
    particle: &mut Particle,
    goal: &GoalPoint,
    pass: Pass,
    temperature: f32,
    settings: &OptimizerSettings,
    ws: &mut Workspace,
) {
    objective.evaluate(particle, goal, pass, settings, ws);
    let n = particle.spline.points.len();
    let first = ORDER - 1;
    let mut last = n - (ORDER - 1);
    if goal.movable {
        ws.system.fold_end();
        ws.system.gradient[last] += particle.end_gradient;
        ws.system.metric[last][0] += particle.end_curvature;
        last += 1;
    }
    ws.system.factor(first, last);
    ws.system.solve_lower(first, last);
    let share = match pass {
        Pass::Anneal => settings.step,
        Pass::Refine => settings.refine_step,
    };
    if temperature > 0.0 {
        add_noise(
            &mut ws.system.gradient[first..last],
            (2.0 * temperature / share).sqrt(),
            objective,
            &mut particle.noise,
        );
    }
    ws.system.solve_upper(first, last);
    let largest = ws.system.gradient[first..last]
        .iter()
        .fold(JointRow::ZERO, |m, g| m.fast_max(g.abs()))
        .as_array()
        .iter()
        .fold(1e-9f32, |m, &v| m.max(v));
    let scale = JointRow::splat(share.min(settings.step_limit_rad / largest));
    for i in first..last {
        let moved = ws.system.gradient[i].mul_neg_add(scale, particle.spline.points[i]);
        particle.spline.points[i] = moved.fast_max(objective.lower).fast_min(objective.upper);
    }
    if let Some(start) = &objective.moving_start {
        start.hold_first_span(&mut particle.spline, f64::from(particle.spacing_s));
    }
    if goal.movable {
        let end = particle.spline.points[n - (ORDER - 1)];
        particle.spline.set_end(end);
    }
}

/// Standard normal noise on every joint of every row, times `-amplitude` (the caller subtracts the solution).
fn add_noise(rows: &mut [JointRow], amplitude: f32, objective: &Objective, rng: &mut impl Rng) {
    let dof = objective.robot.kinematics.dof();
    for row in rows {
        let mut noise = [0.0f32; 16];
        for value in &mut noise[..dof] {
            *value = StandardNormal.sample(rng);
        }
        *row = JointRow::new(noise).mul_neg_add(JointRow::splat(amplitude), *row);
    }
}
