//! Settings of the annealing and of the refinement.

use serde::{Deserialize, Serialize};

/// Whether the steps carry noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Noise-free steps; diversity comes from the population of seeds.
    #[default]
    Deterministic,
    /// Annealed Langevin: noise with covariance `2 T H^-1`.
    Langevin,
}

/// Weights of the terms; annealing uses them as they are, refinement multiplies some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    pub grasp: f32,
    pub smoothness: f32,
    pub motion_limits: f32,
    pub joint_limits: f32,
    pub start: f32,
    pub approach: f32,
    /// Scene, robot against itself, and object to be grasped.
    pub collision: f32,
    /// Path constraints of the request.
    pub constraints: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            grasp: 5.0,
            smoothness: 0.2,
            motion_limits: 20.0,
            joint_limits: 50.0,
            start: 10.0,
            approach: 1.0,
            collision: 3.0,
            constraints: 5.0,
        }
    }
}

/// Settings of the optimiser. Lengths in m, angles in rad, times in iterations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerSettings {
    pub weights: Weights,
    pub sampling: Sampling,
    /// Langevin temperature at the start; falls to zero with the square of the remaining share of iterations.
    pub temperature: f32,
    /// Annealing stops when iteration >= max_iterations.
    pub max_iterations: usize,
    /// ... or when iteration >= min_iterations and the best duration has not fallen by 0.3 % for `patience` iterations.
    pub min_iterations: usize,
    pub patience: usize,
    /// Every so many iterations the worse half of the particles is dropped, down to two.
    pub halving_period: usize,
    /// Share of the Gauss-Newton step that is taken, and the largest change of a control point in one step.
    pub step: f32,
    pub step_limit_rad: f32,
    /// Multiple of the identity in the metric.
    pub damping: f32,
    /// Spacing factor while a particle is free, and while it is stuck.
    pub shrink: f32,
    pub grow: f32,
    /// Iterations between refreshes of the active collision pairs.
    pub refresh_period: usize,
    /// Iterations between evaluations of the grasp energy at the ends of the motions.
    pub end_period: usize,
    /// Candidates that are refined, and steps for each.
    pub refine_particles: usize,
    pub refine_iterations: usize,
    pub refine_patience: usize,
    /// Factors of the weights of smoothness, limits and collision while refining.
    pub refine_smoothness: f32,
    pub refine_limits: f32,
    pub refine_collision: f32,
    pub refine_step: f32,
    /// The refinement aims at this share of the best duration so far.
    pub refine_target: f32,
    /// Distance from obstacles, and between links, at which the collision terms set in away from the ends.
    pub onset_m: f32,
    pub self_onset_m: f32,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            weights: Weights::default(),
            sampling: Sampling::default(),
            temperature: 0.003,
            max_iterations: 80,
            min_iterations: 20,
            patience: 15,
            halving_period: 15,
            step: 0.7,
            step_limit_rad: 0.3,
            damping: 0.5,
            shrink: 0.97,
            grow: 1.03,
            refresh_period: 4,
            end_period: 4,
            refine_particles: 3,
            refine_iterations: 80,
            refine_patience: 12,
            refine_smoothness: 0.25,
            refine_limits: 10.0,
            refine_collision: 0.3,
            refine_step: 0.5,
            refine_target: 0.98,
            onset_m: 0.03,
            self_onset_m: 0.01,
        }
    }
}

/// The annealing schedule over the share of iterations done, `s` in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Of the Langevin noise.
    pub temperature: f32,
    /// Of the grasp field's noise, 1 to 0.
    pub annealing: f32,
}

impl Level {
    /// Cold, and the exact landscape.
    pub const END: Self = Self {
        temperature: 0.0,
        annealing: 0.0,
    };
}

impl OptimizerSettings {
    /// Temperature falls with (1 - s/0.6)^2 and is zero in the last 40 %; the field's noise falls over
    /// the same 60 %, so that the exact landscape decides the end.
    pub fn level(&self, s: f32) -> Level {
        let left = (1.0 - s / 0.6).max(0.0);
        let temperature = match self.sampling {
            Sampling::Deterministic => 0.0,
            Sampling::Langevin => self.temperature * left * left,
        };
        Level {
            temperature,
            annealing: left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_ends_cold_and_clean() {
        let settings = OptimizerSettings {
            sampling: Sampling::Langevin,
            ..Default::default()
        };
        assert_eq!(settings.level(0.0).temperature, settings.temperature);
        assert_eq!(
            settings.level(1.0),
            Level {
                temperature: 0.0,
                annealing: 0.0
            }
        );
        let quiet = OptimizerSettings::default();
        assert_eq!(quiet.level(0.0).temperature, 0.0);
    }
}
