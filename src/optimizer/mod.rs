//! Annealed, preconditioned Langevin over batches of trajectories, and their refinement.
//!
//! Every particle is a spline with its own knot spacing. A step evaluates all terms once, pulls the sum back once, and
//! moves along the inverse of the banded Gauss-Newton metric, with noise of that covariance if asked. The spacing shrinks
//! while a particle is free and relaxes while it is stuck; the worse half is dropped now and then; what was feasible on the
//! way is kept as candidates.

mod breakdown;
mod clearance;
mod collision;
mod configuration;
mod crew;
#[cfg(test)]
mod end_tests;
mod ends;
mod langevin;
mod normal_equations;
mod objective;
mod particle;
mod path_rules;
mod processors;
mod refine;
mod settings;
mod step;

pub use breakdown::{CostBreakdown, TermValue};
pub use clearance::ClearanceRamp;
pub use collision::{ActivePairs, CollisionTerms, Included, Nearest};
pub use configuration::{
    Configuration, ConfigurationProblem, ConfigurationSettings, ConfigurationWorkspace,
};
pub use crew::{with_all_awake, Crew};
pub use langevin::{annealed_langevin, CandidateCheck, Interrupted, Report, Run};
pub use objective::{Objective, Pass, Workspace};
pub use particle::{Candidate, GoalPoint, Origin, Particle};
pub use path_rules::PathRules;
pub use refine::refine;
pub use settings::{Level, OptimizerSettings, Sampling, Weights};
