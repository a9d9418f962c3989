//! Settings of the planner that do not change from request to request.

use serde::{Deserialize, Serialize};

use crate::optimizer::OptimizerSettings;

/// Where motions to a grasp end before the optimiser moves them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraspEnds {
    /// At the most promising of those grasps that can be reached, approached and lifted from.
    #[default]
    Chosen,
    /// At a new draw from the field for each straight seed, in any joint branch: the paper's experiment, for comparisons. With
    /// `joint_grasp` arm and grasp are drawn together, else the grasp comes first.
    AsSampled,
}

/// Settings of the planner. Lengths in m, joint steps in rad or m.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlannerSettings {
    pub optimizer: OptimizerSettings,
    /// Threads that a request is planned on. 0: one for each core, four at most. The plan does not depend on it.
    pub threads: usize,
    /// Spans of the spline; rounded up to a multiple of 8.
    pub spans: usize,
    /// Sampling-based seeds. 0: pure diffusion from straight lines.
    pub tree_seeds: usize,
    /// While an arm moves: sampling-based seeds, and iterations without progress after which the search ends.
    pub replan_tree_seeds: usize,
    pub replan_patience: usize,
    /// ... steps of the one motion that is refined then, and how many of them may fail.
    pub replan_refine_iterations: usize,
    pub replan_refine_patience: usize,
    /// Goal configurations that are optimised side by side.
    pub goal_branches: usize,
    /// Inverse kinematics: batches of sixteen seeds for a pose, at most, and branches wanted before it stops early.
    pub ik_batches: usize,
    pub ik_batches_limit: usize,
    pub ik_branches: usize,
    /// New grasps from the field, or from the shape, where none of those kept with the object can be used.
    pub grasp_samples: usize,
    /// Whether the shape may propose grasps too, which the field rates.
    pub shape_grasps: bool,
    pub grasp_ends: GraspEnds,
    /// Searches for goals and a motion, each with new draws and from the next source of grasps on, before a request without a motion is
    /// given up.
    pub tries: usize,
    /// Whether the grasp energy moves the final configuration together with the motion.
    pub joint_grasp: bool,
    /// A moved grasp may have at most this much more energy than the sampled one it came from.
    pub grasp_energy_slack: f64,
    /// Amplitude of the smooth noise on straight seeds.
    pub seed_noise_rad: f32,
    /// Steps of the fine checks: while optimising, and before verification.
    pub check_step: f32,
    pub fine_check_step: f32,
    /// Edges of the sampling-based seeds keep this margin.
    pub edge_margin_m: f32,
    /// Shares of the requested margin that are tried in turn.
    pub margin_shares: Vec<f64>,
}

impl PlannerSettings {
    /// The same for a motion that is being executed: what is left of it is a good seed, and time is short.
    pub fn for_replanning(&self) -> Self {
        let mut settings = self.clone();
        settings.tree_seeds = self.tree_seeds.min(self.replan_tree_seeds);
        settings.tries = 1;
        let optimizer = &mut settings.optimizer;
        optimizer.min_iterations = 0;
        optimizer.patience = optimizer.patience.min(self.replan_patience);
        optimizer.refine_particles = 1;
        optimizer.refine_iterations = optimizer
            .refine_iterations
            .min(self.replan_refine_iterations);
        optimizer.refine_patience = optimizer.refine_patience.min(self.replan_refine_patience);
        settings
    }
}

impl Default for PlannerSettings {
    fn default() -> Self {
        Self {
            optimizer: OptimizerSettings::default(),
            threads: 0,
            spans: 32,
            tree_seeds: 4,
            replan_tree_seeds: 2,
            replan_patience: 6,
            replan_refine_iterations: 20,
            replan_refine_patience: 4,
            goal_branches: 4,
            ik_batches: 32,
            ik_batches_limit: 160,
            ik_branches: 8,
            grasp_samples: 64,
            shape_grasps: true,
            grasp_ends: GraspEnds::default(),
            tries: 3,
            joint_grasp: true,
            grasp_energy_slack: 0.5,
            seed_noise_rad: 0.4,
            check_step: 0.015,
            fine_check_step: 0.004,
            edge_margin_m: 0.004,
            margin_shares: vec![1.0, 0.3, 0.1],
        }
    }
}
