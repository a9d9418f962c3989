//! One motion from rest to rest: seeds, annealing, refinement, and the first candidate that passes everything.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Instant;

use rand_pcg::Pcg64Mcg;

use super::checker::DenseCheck;
use super::error::PlanError;
use super::goals::FoundGoal;
use super::grasps::{is_steady, seems_to_hold};
use super::result::{Stage, StageTiming};
use super::seeds::{self, Seeds};
use super::session::{Session, Stop};
use super::settings::PlannerSettings;
use super::verify::Verifier;
use super::world::{joint_values, World};
use crate::optimizer::{
    annealed_langevin, refine, Candidate, Crew, GoalPoint, Interrupted, Origin, Particle, Report,
    Run,
};
use crate::scene::LaneGridCache;
use crate::trajectory::{JointRow, Spline};

/// What all motions of one request share.
pub struct Solver<'a, 'b> {
    pub settings: &'a PlannerSettings,
    pub crew: &'a mut Crew,
    /// Tables of meshes and voxel grids.
    pub grids: &'a mut LaneGridCache,
    pub verifiers: &'a mut [Verifier; 2],
    pub rng: &'a mut Pcg64Mcg,
    pub session: &'a mut Session<'b>,
    pub timing: StageTiming,
    /// Steps of all particles so far.
    pub iterations: u32,
}

/// The ends of one motion, and how it is searched for.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    pub goals: &'a [FoundGoal],
    /// Straight seeds.
    pub lines: usize,
    /// Clearance away from the ends [m]; shares of it are tried in turn.
    pub margin_m: f64,
}

/// Turns a candidate into something verified.
pub trait Finish {
    type Output;

    /// `None`: the next candidate is tried.
    fn finish(
        &mut self,
        solver: &mut Solver<'_, '_>,
        world: &mut World,
        candidate: &Candidate,
    ) -> Option<Self::Output>;
}

impl Solver<'_, '_> {
    /// The first motion that passes, with rounds of falling margins; `Ok(None)` if there is none.
    ///
    /// # Errors
    /// [`PlanError::Cancelled`], [`PlanError::Timeout`].
    pub fn solve<F: Finish>(
        &mut self,
        world: &mut World,
        search: Search<'_>,
        finish: &mut F,
    ) -> Result<Option<F::Output>, PlanError> {
        let points: Vec<GoalPoint> = search.goals.iter().map(|g| g.point.clone()).collect();
        let mut polyline = None;
        for (round, share) in self.settings.margin_shares.iter().enumerate() {
            world.set_margin(search.margin_m * share);
            let start = Instant::now();
            let Seeds {
                mut particles,
                polyline: found,
            } = seeds::draw(
                world,
                search.goals,
                self.settings,
                search.lines,
                round,
                self.rng,
                self.session,
            );
            self.timing.seed_ms += milliseconds(start);
            polyline = polyline.or(found);
            // In the order in which they were found: the best is last.
            let candidates = self.optimise(world, search.goals, &points, &mut particles);
            if self.session.stop() != Some(Stop::Cancelled) {
                let _ = self.session.tell(Stage::Retime, self.iterations, 0.9);
            }
            let mut candidates: VecDeque<Candidate> = candidates.into_iter().rev().collect();
            let mut unsorted = candidates.len();
            while let Some(candidate) = candidates.pop_front() {
                if self.session.stop() == Some(Stop::Cancelled) {
                    return Err(PlanError::Cancelled);
                }
                // Grasps that are not steady wait until there is nothing else.
                let waits = unsorted > 0 && !ends_steadily(world, search.goals, &candidate);
                unsorted = unsorted.saturating_sub(1);
                if waits {
                    candidates.push_back(candidate);
                    continue;
                }
                if let Some(finished) = finish.finish(self, world, &candidate) {
                    return Ok(Some(finished));
                }
            }
            if self.session.stop().is_some() {
                return Err(self.session.stopped());
            }
        }
        // A moving arm cannot stop at corners.
        let stops = polyline.filter(|_| world.objective.moving_start.is_none());
        let finished = stops.and_then(|(corners, goal)| {
            let candidate = stop_at_corners(world, &corners, goal);
            finish.finish(self, world, &candidate)
        });
        match (finished, self.session.stop()) {
            (None, Some(_)) => Err(self.session.stopped()),
            (finished, _) => Ok(finished),
        }
    }

    /// Anneals and refines; candidates come back in the order in which they were found.
    fn optimise(
        &mut self,
        world: &mut World,
        goals: &[FoundGoal],
        points: &[GoalPoint],
        particles: &mut [Particle],
    ) -> Vec<Candidate> {
        let World {
            objective,
            checker,
            grasp,
            robot,
            target,
            ..
        } = world;
        let worst_energy = goals
            .iter()
            .filter_map(|g| g.grasp.and_then(|offer| offer.energy))
            .fold(f64::NEG_INFINITY, f64::max)
            + self.settings.grasp_energy_slack;
        let dof = robot.kinematics.dof();
        let mut end_holds = |q: JointRow| match (&*grasp, &robot.gripper, &*target) {
            (Some(energy), Some(gripper), Some((object, world_from_object))) => {
                let tool = robot.kinematics.tool_pose(&joint_values(q, dof));
                let world_from_gripper = tool * gripper.tool_from_gripper;
                let object_from_gripper = world_from_object.inverse() * world_from_gripper;
                f64::from(energy.energy(&world_from_gripper.cast())) <= worst_energy
                    && seems_to_hold(object, &gripper.geometry, &object_from_gripper)
            }
            _ => true,
        };
        let mut check = DenseCheck {
            checker,
            goals: points,
            step: self.settings.check_step,
            end_holds: &mut end_holds,
        };
        let refining = Cell::new(false);
        let session = &mut *self.session;
        let mut observe = |report: &Report| {
            let (stage, from, width) = match refining.get() {
                false => (Stage::Optimise, 0.2, 0.5),
                true => (Stage::Refine, 0.7, 0.2),
            };
            session.set_best_cost(f64::from(report.best_duration_s));
            session.tell(
                stage,
                report.iteration as u32,
                from + width * f64::from(report.share),
            )
        };
        let mut run = Run {
            objective,
            goals: points,
            settings: &self.settings.optimizer,
            rng: &mut *self.rng,
            workspaces: self.crew.workspaces(),
            check: &mut check,
            observe: &mut observe,
            candidates: Vec::new(),
            unchecked: Vec::new(),
            steps: 0,
        };
        let start = Instant::now();
        let annealed = annealed_langevin(&mut run, particles);
        // Also of what was interrupted.
        run.check_offers();
        self.timing.anneal_ms += milliseconds(start);
        refining.set(true);
        let start = Instant::now();
        if annealed.is_ok() {
            // An interruption is recorded in the session, and what was found before it still counts.
            let _: Result<(), Interrupted> = refine(&mut run, particles);
            run.check_offers();
        }
        self.timing.refine_ms += milliseconds(start);
        self.iterations += run.steps;
        run.candidates
    }
}

/// Whether a motion ends at a grasp that holds a little off too, or at none.
fn ends_steadily(world: &World, goals: &[FoundGoal], candidate: &Candidate) -> bool {
    let goal = &goals[candidate.goal];
    let (Some(grasp), Some(gripper), Some((object, world_from_object))) =
        (&goal.grasp, &world.robot.gripper, &world.target)
    else {
        return true;
    };
    if !goal.point.movable {
        return grasp.steady.unwrap_or(true);
    }
    let kinematics = &world.robot.kinematics;
    let end = joint_values(candidate.spline.end(), kinematics.dof());
    let world_from_gripper = kinematics.tool_pose(&end) * gripper.tool_from_gripper;
    is_steady(object, &(world_from_object.inverse() * world_from_gripper))
}

/// The polyline itself, with a stop at every corner: slow, but its geometry is exactly the one that was checked.
fn stop_at_corners(world: &World, corners: &[JointRow], goal: usize) -> Candidate {
    const PIECE: f32 = 0.25;
    let mut points = vec![corners[0]; 3];
    for leg in corners.windows(2) {
        let way = leg[1] - leg[0];
        let pieces = (((way * way).reduce_add().sqrt() / PIECE).ceil() as usize).max(2);
        points.extend(
            (1..pieces).map(|k| way.mul_add(JointRow::splat(k as f32 / pieces as f32), leg[0])),
        );
        points.extend([leg[1]; 3]);
    }
    let spline = Spline { points };
    let spacing_s = world.objective.limits.spacing(&spline).spacing_s();
    Candidate {
        spline,
        spacing_s,
        goal,
        origin: Origin::Tree,
    }
}

/// Wall time since `start` [ms].
pub fn milliseconds(start: Instant) -> f64 {
    1e3 * start.elapsed().as_secs_f64()
}
