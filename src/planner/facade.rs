//! `Planner::plan`: the stages in their order.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::checker::DenseCheck;
use super::error::PlanError;
use super::finish::{Finished, Finisher};
use super::goals::{self, FoundGoal};
use super::grasps::open_hand_seems_clear;
use super::replan::Running;
use super::request::PlanRequest;
use super::result::{Plan, Progress, Stage, StageTiming};
use super::seeds::{self, Seeds};
use super::session::{Session, Stop};
use super::settings::PlannerSettings;
use super::validate::validate;
use super::verify::{Verifier, Violation};
use super::world::World;
use crate::optimizer::{
    annealed_langevin, refine, Candidate, GoalPoint, Interrupted, Origin, Report, Run, Workspace,
};
use crate::robot::RobotModel;
use crate::trajectory::{JointRow, Spline};

/// Plans for one robot. Holds nothing of a request once it is answered.
pub struct Planner {
    pub(super) robot: Arc<RobotModel>,
    pub(super) settings: PlannerSettings,
    workspace: Workspace,
    /// Built once: it lays out the robot's true shapes. A failure is reported by every request.
    pub(super) verifier: Result<Verifier, Violation>,
}

impl Planner {
    pub fn new(robot: Arc<RobotModel>, settings: PlannerSettings) -> Self {
        let workspace = Workspace::new(&robot);
        let verifier = Verifier::new(&robot);
        Self {
            robot,
            settings,
            workspace,
            verifier,
        }
    }

    pub fn robot(&self) -> &Arc<RobotModel> {
        &self.robot
    }

    pub fn settings(&self) -> &PlannerSettings {
        &self.settings
    }

    /// Plans one request. `observe` is told of every iteration; breaking out of it cancels ([`PlanError::Cancelled`]). When
    /// the time limit passes, the best plan that verifies is returned, else [`PlanError::Timeout`].
    pub fn plan(
        &mut self,
        request: &PlanRequest,
        observe: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Plan, PlanError> {
        self.solve(request, None, observe)
    }

    /// The same with the motion that is being executed meanwhile, if one is.
    pub(super) fn solve(
        &mut self,
        request: &PlanRequest,
        running: Option<&Running>,
        observe: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Plan, PlanError> {
        let mut session = Session::new(request.time_limit, observe);
        let mut timing = StageTiming::default();
        let mut rng = Pcg64Mcg::seed_from_u64(request.seed);

        validate(&self.robot, request)?;
        let mut world = measured(&mut timing.prepare_ms, || {
            World::prepare(&self.robot, request, &self.settings)
        })?;
        world.running = running.cloned();
        let goals = measured(&mut timing.goals_ms, || {
            goals::find(&mut world, request, &self.settings, &mut rng, &mut session)
        })?;
        let points: Vec<GoalPoint> = goals.iter().map(|g| g.point.clone()).collect();

        let verifier = self
            .verifier
            .as_mut()
            .map_err(|violation| PlanError::Internal {
                reason: violation.to_string(),
            })?;
        let mut finisher = Finisher {
            request,
            goals: &goals,
            settings: &self.settings,
            verifier,
            rejected: None,
        };
        let search = Search {
            goals: &goals,
            points: &points,
            settings: &self.settings,
        };
        let (mut iterations, mut polyline) = (0, None);
        let mut finished = None;
        for (round, share) in self.settings.margin_shares.iter().enumerate() {
            world.set_margin(request.collision_margin_m * share);
            let Seeds {
                mut particles,
                polyline: found,
            } = measured(&mut timing.seed_ms, || {
                let lines = request.num_particles;
                seeds::draw(
                    &mut world,
                    &goals,
                    &self.settings,
                    lines,
                    round,
                    &mut rng,
                    &mut session,
                )
            });
            polyline = polyline.or(found);
            let workspace = &mut self.workspace;
            let (mut candidates, steps) = search.run(
                &mut world,
                &mut particles,
                &mut rng,
                workspace,
                &mut session,
                &mut timing,
            );
            iterations += steps;
            if session.stop() != Some(Stop::Cancelled) {
                let _ = session.tell(Stage::Retime, iterations, 0.9);
            }
            if session.stop() == Some(Stop::Cancelled) {
                return Err(PlanError::Cancelled);
            }
            finished = measured(&mut timing.verify_ms, || {
                finisher.first_that_passes(&mut world, &mut candidates)
            });
            if finished.is_some() {
                break;
            }
            if session.stop().is_some() {
                return Err(session.stopped());
            }
        }
        if finished.is_none() {
            let stops = polyline.filter(|_| request.starts_at_rest());
            finished = stops.and_then(|(corners, goal)| {
                let candidate = stop_at_corners(&world, &corners, goal);
                finisher.finish(&mut world, &candidate)
            });
        }
        match (finished, finisher.rejected) {
            (Some(finished), _) => {
                Ok(self.report(&world, &goals, finished, timing, iterations, &session))
            }
            (None, Some(rejected)) => Err(rejected.into()),
            (None, None) => Err(no_path(&mut world, &goals, iterations)),
        }
    }

    fn report(
        &mut self,
        world: &World,
        goals: &[FoundGoal],
        finished: Finished,
        mut timing: StageTiming,
        iterations: u32,
        session: &Session<'_>,
    ) -> Plan {
        let candidate = &finished.candidate;
        let breakdown = world.objective.breakdown(
            &candidate.spline,
            candidate.spacing_s,
            &goals[candidate.goal].point,
            &self.settings.optimizer,
            &mut self.workspace,
        );
        timing.total_ms = 1e3 * session.elapsed_s();
        Plan {
            phases: finished.phases,
            grasp: finished.grasp,
            costs: breakdown
                .into_iter()
                .map(|term| (term.name.to_string(), f64::from(term.value)))
                .collect(),
            verification: finished.verification,
            timing,
            iterations,
        }
    }
}

/// The optimisation of one round.
struct Search<'a> {
    goals: &'a [FoundGoal],
    points: &'a [GoalPoint],
    settings: &'a PlannerSettings,
}

impl Search<'_> {
    /// Anneals and refines; candidates come back in the order in which they were found, so the best is last.
    fn run(
        &self,
        world: &mut World,
        particles: &mut [crate::optimizer::Particle],
        rng: &mut Pcg64Mcg,
        workspace: &mut Workspace,
        session: &mut Session<'_>,
        timing: &mut StageTiming,
    ) -> (Vec<Candidate>, u32) {
        let World {
            objective,
            checker,
            grasp,
            robot,
            target,
            ..
        } = world;
        let worst_energy = self
            .goals
            .iter()
            .filter_map(|g| g.grasp.and_then(|offer| offer.energy))
            .fold(f64::NEG_INFINITY, f64::max)
            + self.settings.grasp_energy_slack;
        let dof = robot.kinematics.dof();
        let mut end_holds = |q: JointRow| match (&*grasp, &robot.gripper, &*target) {
            (Some(energy), Some(gripper), Some((object, world_from_object))) => {
                let tool = robot
                    .kinematics
                    .tool_pose(&super::world::joint_values(q, dof));
                let world_from_gripper = tool * gripper.tool_from_gripper;
                let object_from_gripper = world_from_object.inverse() * world_from_gripper;
                f64::from(energy.energy(&world_from_gripper.cast())) <= worst_energy
                    && open_hand_seems_clear(object, &gripper.geometry, &object_from_gripper)
            }
            _ => true,
        };
        let mut check = DenseCheck {
            checker,
            goals: self.points,
            step: self.settings.check_step,
            end_holds: &mut end_holds,
        };
        let stage = std::cell::Cell::new((Stage::Optimise, 0.2, 0.5));
        let mut observe = |report: &Report| {
            let (stage, from, width) = stage.get();
            session.set_best_cost(f64::from(report.best_duration_s));
            session.tell(
                stage,
                report.iteration as u32,
                from + width * f64::from(report.share),
            )
        };
        let mut run = Run {
            objective,
            goals: self.points,
            settings: &self.settings.optimizer,
            rng,
            workspace,
            check: &mut check,
            observe: &mut observe,
            candidates: Vec::new(),
            steps: 0,
        };
        let annealed = measured(&mut timing.anneal_ms, || {
            annealed_langevin(&mut run, particles)
        });
        stage.set((Stage::Refine, 0.7, 0.2));
        if annealed.is_ok() {
            // An interruption is recorded in the session, and what was found before it still counts.
            let _: Result<(), Interrupted> =
                measured(&mut timing.refine_ms, || refine(&mut run, particles));
        }
        (run.candidates, run.steps)
    }
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

/// Nothing became feasible: says what the nearest goal stands next to.
fn no_path(world: &mut World, goals: &[FoundGoal], iterations: u32) -> PlanError {
    let tightest = goals
        .iter()
        .min_by(|a, b| a.point.clearance_m.total_cmp(&b.point.clearance_m));
    let near = tightest.and_then(|g| world.checker.nearest_contact(g.point.q, false));
    let reason = format!(
        "{} goal configuration(s), {iterations} steps, no motion between start and goal is free{}",
        goals.len(),
        near.map_or_else(String::new, |c| format!("; at the tightest goal {c}"))
    );
    PlanError::NoPath { reason }
}

/// Runs a stage and adds its wall time [ms].
fn measured<T>(total_ms: &mut f64, stage: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = stage();
    *total_ms += 1e3 * start.elapsed().as_secs_f64();
    result
}
