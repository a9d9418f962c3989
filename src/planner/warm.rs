//! Seeds for motions that begin while the arm moves: from a running motion, and with the start's own motion in them.

use rand::Rng;

use super::goals::FoundGoal;
use super::replan::Running;
use super::seeds::add_smooth_noise;
use super::world::{joint_row, World};
use crate::optimizer::{Origin, Particle};
use crate::trajectory::{JointRow, Spline};

/// Warm seeds take this much longer than the remainder, in turn.
const STRETCHES: [f64; 3] = [1.0, 1.15, 1.3];
/// Noise on warm seeds, as a share of that on straight ones: they are near a good motion already.
const NOISE_SHARE: f32 = 0.75;
/// A new motion may take this much longer than the least time to its goal before it needs more spans.
const LONGER: f64 = 1.5;
const MOST_SPANS: usize = 96;
/// The start's own motion fades from a straight seed over this many times v/a.
const FADING: f32 = 5.0;

/// Spans for motions from the start: `usual`, or more where a joint next to its velocity limit needs a short first span.
pub fn spans(world: &World, goals: &[FoundGoal], usual: usize) -> usize {
    let Some(start) = &world.objective.moving_start else {
        return usual;
    };
    let least_s = goals
        .iter()
        .map(|g| world.least_duration_s(g.point.q))
        .fold(f32::INFINITY, f32::min);
    let mut expected_s = LONGER * f64::from(least_s);
    if let Some(running) = &world.running {
        expected_s = expected_s.max(LONGER * running.remaining_s());
    }
    let wanted_s = expected_s / usual as f64;
    let needed = expected_s / start.largest_spacing_s(wanted_s);
    // Where the wanted spacing will do, the quotient is `usual` up to rounding.
    ((needed - 1e-6).ceil() as usize)
        .next_multiple_of(8)
        .clamp(usual, MOST_SPANS.max(usual))
}

/// A particle from a moving start: the first control points follow from the spacing.
pub fn moving_particle(
    world: &World,
    mut spline: Spline,
    spacing_s: f32,
    goal: usize,
    origin: Origin,
) -> Particle {
    let floor_s = world.least_duration_s(spline.end()).max(1e-2);
    if origin != Origin::Running {
        carry_on(world, &mut spline, spacing_s);
    }
    let mut particle = Particle::new(spline, spacing_s, floor_s, goal, origin);
    if let Some(start) = &world.objective.moving_start {
        // More time than `Particle::new` allows a motion from rest: a turn may take several times the least.
        let longest_s = start.largest_spacing_s(f64::from(spacing_s));
        particle.spacing_s = (longest_s as f32).max(particle.spacing_floor_s);
        start.lead_in(&mut particle.spline, f64::from(particle.spacing_s));
    }
    particle
}

/// Adds to a seed that was laid out from rest how the start's motion fades: `v t (1 - t/T)^3` by joint.
fn carry_on(world: &World, spline: &mut Spline, spacing_s: f32) {
    let Some(start) = &world.objective.moving_start else {
        return;
    };
    for i in spline.interior() {
        let t = (i - 1) as f32 * spacing_s;
        let mut row = spline.points[i].to_array();
        for (value, joint) in row.iter_mut().zip(start.joints()) {
            let (v, a) = (joint.velocity as f32, joint.acceleration_limit as f32);
            let fading_s = FADING * v.abs() / a;
            if t < fading_s {
                *value += v * t * (1.0 - t / fading_s).powi(3);
            }
        }
        spline.points[i] = JointRow::new(row)
            .fast_max(world.objective.lower)
            .fast_min(world.objective.upper);
    }
}

/// The remainder of a running motion as a source of seeds.
pub struct Warm<'a> {
    pub running: &'a Running,
    pub goals: &'a [FoundGoal],
    pub spans: usize,
    pub round: usize,
}

impl Warm<'_> {
    /// Adds `count` particles: the remainder itself, then slower ones with noise; they end at the goals in turn.
    pub fn draw(
        &self,
        world: &World,
        count: usize,
        noise_rad: f32,
        rng: &mut impl Rng,
        particles: &mut Vec<Particle>,
    ) {
        for k in 0..count {
            let goal = k % self.goals.len();
            let stretch = STRETCHES[k % STRETCHES.len()];
            let (mut spline, spacing_s) = self.remainder(self.goals[goal].point.q, stretch);
            if k > 0 || self.round > 0 {
                let spread = 0.3 + 1.2 * k as f32 / count as f32;
                let amplitude = NOISE_SHARE * noise_rad * (1.0 + 0.5 * self.round as f32) * spread;
                add_smooth_noise(&mut spline, amplitude, world, rng);
            }
            particles.push(moving_particle(
                world,
                spline,
                spacing_s as f32,
                goal,
                Origin::Running,
            ));
        }
    }

    /// Whether the first of these particles, the remainder as it is, keeps its clearances: then no other way is looked for.
    pub fn is_free(&self, world: &mut World, particles: &[Particle], step: f32) -> bool {
        let Some(first) = particles.first().filter(|_| self.round == 0) else {
            return false;
        };
        let goal = &self.goals[first.goal].point;
        let collision = &world.checker.collision;
        let (scene, target) = (collision.scene_ramp(goal), collision.target_ramp(goal));
        world
            .checker
            .spline_is_free(&first.spline, step, &scene, &target)
    }

    /// The remainder, slowed down by `stretch` and bent to end at `end`, and its spacing [s]. Control points `q - h^2/6 q''` follow a
    /// motion to fourth order in the spacing h.
    fn remainder(&self, end: JointRow, stretch: f64) -> (Spline, f64) {
        let spacing_s = self.running.remaining_s() * stretch / self.spans as f64;
        let old_step_s = spacing_s / stretch;
        let bend = old_step_s * old_step_s / 6.0;
        let last = joint_row(self.running.trajectory.end());
        let mut spline = Spline::resting(end, self.spans);
        for i in spline.interior() {
            let state = self.running.state_after(old_step_s * (i as f64 - 1.0));
            let row: Vec<f64> = state
                .position
                .iter()
                .zip(&state.acceleration)
                .map(|(q, a)| q - bend * a)
                .collect();
            let share = i as f32 / self.spans as f32;
            let smooth = JointRow::splat(share * share * (3.0 - 2.0 * share));
            spline.points[i] = (end - last).mul_add(smooth, joint_row(&row));
        }
        (spline, spacing_s)
    }
}
