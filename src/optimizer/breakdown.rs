//! Each term by itself, for reports and tuning.

use super::collision::Included;
use super::objective::{Objective, Pass, Selection, Term, Terms, Workspace};
use super::particle::{GoalPoint, Origin, Particle};
use super::settings::OptimizerSettings;
use crate::cost::{EndTerm, Ends, Motion};
use crate::lanes::{splat, LANES};
use crate::trajectory::{rows_from_lanes, rows_to_lanes, BandedSystem, JointRow, Spline};

/// Value and gradient norm of one term.
#[derive(Clone, Debug, PartialEq)]
pub struct TermValue {
    pub name: &'static str,
    /// Weighted value.
    pub value: f32,
    /// 2-norm of the weighted gradient by all control points.
    pub gradient_norm: f32,
}

/// Each term by itself at one motion.
pub type CostBreakdown = Vec<TermValue>;

impl Objective {
    /// Value and gradient of each term by itself; takes one evaluation a term and is meant for reports.
    pub fn breakdown(
        &self,
        spline: &Spline,
        spacing_s: f32,
        goal: &GoalPoint,
        settings: &OptimizerSettings,
        ws: &mut Workspace,
    ) -> CostBreakdown {
        let mut result: CostBreakdown = Vec::new();
        for (index, term) in self.terms.iter().enumerate() {
            let selection = Selection {
                terms: Terms::Only(index),
                collision: Included::NONE,
            };
            result.push(self.one_term(
                term.cost.name(),
                selection,
                spline,
                spacing_s,
                goal,
                settings,
                ws,
            ));
        }
        for (name, collision) in [
            (
                "scene_collision",
                Included {
                    scene: true,
                    ..Included::NONE
                },
            ),
            (
                "self_collision",
                Included {
                    own: true,
                    ..Included::NONE
                },
            ),
            (
                "target_collision",
                Included {
                    target: true,
                    ..Included::NONE
                },
            ),
        ] {
            let selection = Selection {
                terms: Terms::CollisionOnly,
                collision,
            };
            result.push(self.one_term(name, selection, spline, spacing_s, goal, settings, ws));
        }
        result
    }

    #[allow(clippy::too_many_arguments)]
    fn one_term(
        &self,
        name: &'static str,
        selection: Selection,
        spline: &Spline,
        spacing_s: f32,
        goal: &GoalPoint,
        settings: &OptimizerSettings,
        ws: &mut Workspace,
    ) -> TermValue {
        let mut particle = Particle::new(spline.clone(), spacing_s, 0.0, 0, Origin::Line);
        particle.spacing_s = spacing_s;
        ws.system.reset(spline.points.len(), 0.0);
        let mut value = 0.0;
        let only = match selection.terms {
            Terms::Only(i) => Some(&self.terms[i]),
            Terms::All | Terms::CollisionOnly => None,
        };
        if let Some(term) = only {
            let motion = Motion { spline, spacing_s };
            value += term
                .cost
                .on_control_points(&motion, term.weight, &mut ws.system);
        }
        // The first pass finds where the approach begins, the second evaluates.
        let mut silent = BandedSystem::default();
        silent.reset(spline.points.len(), 0.0);
        std::mem::swap(&mut silent, &mut ws.system);
        self.evaluate_samples(&mut particle, goal, Pass::Anneal, settings, ws, selection);
        std::mem::swap(&mut silent, &mut ws.system);
        particle.steps = 0;
        value += self.evaluate_samples(&mut particle, goal, Pass::Anneal, settings, ws, selection);
        let mut squared: f32 = ws
            .system
            .gradient
            .iter()
            .map(|g| (*g * *g).reduce_add())
            .sum();
        if let Some(term) = only {
            let (end_value, gradient) = self.end_of(term, spline, ws);
            value += end_value;
            squared += (gradient * gradient).reduce_add();
        }
        TermValue {
            name,
            value,
            gradient_norm: squared.sqrt(),
        }
    }

    /// Value and gradient by the final configuration of one term of the clean field.
    fn end_of(&self, term: &Term, spline: &Spline, ws: &mut Workspace) -> (f32, JointRow) {
        let Some((body, body_from_gripper)) = self.gripper.as_ref() else {
            return (0.0, JointRow::ZERO);
        };
        rows_to_lanes(&[spline.end(); LANES], &mut ws.q);
        self.robot.kinematics.forward(&ws.q, &mut ws.state);
        let frame = ws.state.bodies[*body].child(body_from_gripper);
        let poses = [frame.pose(0)];
        let mut terms = [EndTerm::default()];
        term.cost.on_ends(
            &Ends {
                world_from_gripper: &poses,
                annealing: 0.0,
            },
            term.weight,
            &mut terms,
        );
        let wrench = terms[0].wrench.map(splat);
        self.pull_back_at(*body, &frame.origin, &wrench, ws);
        (terms[0].value, rows_from_lanes(&ws.gradient_q)[0])
    }
}
