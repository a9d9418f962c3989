//! The terms of the final gripper pose, mapped to the final configuration.

use super::objective::{Objective, Pass, Workspace};
use super::particle::Particle;
use crate::cost::{EndTerm, Ends};
use crate::lanes::{Lanes, LANES};
use crate::trajectory::{rows_from_lanes, rows_to_lanes, JointRow};

impl Objective {
    /// Gripper poses at the ends of the particles, and gradient and curvature of the end terms by the final configuration. The
    /// terms are asked every `period` steps; between them the gradient changes as their curvature says.
    pub fn evaluate_ends(
        &self,
        particles: &mut [&mut Particle],
        annealing: f32,
        pass: Pass,
        period: usize,
        ws: &mut Workspace,
    ) {
        let Some((body, body_from_gripper)) = self.gripper.as_ref() else {
            return;
        };
        for chunk in particles.chunks_mut(LANES) {
            let rows: [JointRow; LANES] =
                std::array::from_fn(|lane| chunk[lane.min(chunk.len() - 1)].spline.end());
            rows_to_lanes(&rows, &mut ws.q);
            self.robot.kinematics.forward(&ws.q, &mut ws.state);
            let frame = ws.state.bodies[*body].child(body_from_gripper);
            ws.ends.clear();
            ws.ends
                .extend((0..chunk.len()).map(|lane| frame.pose(lane)));
            for (particle, (end, row)) in chunk.iter_mut().zip(ws.ends.iter().zip(rows)) {
                particle.world_from_end_gripper = Some(*end);
                let moved = row - particle.end_q;
                particle.end_gradient =
                    particle.end_curvature.mul_add(moved, particle.end_gradient);
                particle.end_q = row;
            }
            if chunk.iter().all(|p| !p.steps.is_multiple_of(period)) {
                continue;
            }
            ws.end_terms.clear();
            ws.end_terms.resize(chunk.len(), EndTerm::default());
            let ends = Ends {
                world_from_gripper: &ws.ends,
                annealing,
            };
            for term in &self.terms {
                term.cost
                    .on_ends(&ends, term.weight_in(pass), &mut ws.end_terms);
            }
            let column = |of: fn(&EndTerm) -> &[f32; 6], k: usize, terms: &[EndTerm]| {
                Lanes::new(std::array::from_fn(|lane| {
                    terms.get(lane).map_or(0.0, |t| of(t)[k])
                }))
            };
            let wrench: [Lanes; 6] =
                std::array::from_fn(|k| column(|t| &t.wrench, k, &ws.end_terms));
            self.pull_back_at(*body, &frame.origin, &wrench, ws);
            let gradients = rows_from_lanes(&ws.gradient_q);
            let mut curvatures = [JointRow::ZERO; LANES];
            for k in 0..6 {
                let mut unit = [Lanes::ZERO; 6];
                unit[k] = Lanes::ONE;
                self.pull_back_at(*body, &frame.origin, &unit, ws);
                let bound = column(|t| &t.curvature, k, &ws.end_terms).to_array();
                for (lane, jacobian) in rows_from_lanes(&ws.gradient_q).into_iter().enumerate() {
                    curvatures[lane] = (jacobian * jacobian)
                        .mul_add(JointRow::splat(bound[lane]), curvatures[lane]);
                }
            }
            for (lane, particle) in chunk.iter_mut().enumerate() {
                particle.end_gradient = gradients[lane];
                particle.end_curvature = curvatures[lane];
            }
        }
    }

    /// Gradient by the joints of a (force, torque) at a world point of a body, into `ws.gradient_q`.
    pub(super) fn pull_back_at(
        &self,
        body: usize,
        origin: &[Lanes; 3],
        wrench: &[Lanes; 6],
        ws: &mut Workspace,
    ) {
        let (force, torque) = (
            [wrench[0], wrench[1], wrench[2]],
            [wrench[3], wrench[4], wrench[5]],
        );
        let moment = crate::lanes::add(&crate::lanes::cross(origin, &force), &torque);
        ws.wrenches.reset();
        ws.wrenches.add(body, &force, &moment);
        ws.gradient_q.fill(Lanes::ZERO);
        self.robot
            .kinematics
            .pull_back(&ws.state, &mut ws.wrenches, &mut ws.gradient_q);
    }
}
