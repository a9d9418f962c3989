//! `Planner::plan`: the stages in their order.

use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::error::PlanError;
use super::finish::{FinishReach, Finished, Rejections};
use super::goals::{self, FoundGoal};
use super::place::PlaceSite;
use super::replan::Running;
use super::request::PlanRequest;
use super::result::{Plan, StageTiming};
use super::session::{Observe, Session};
use super::settings::PlannerSettings;
use super::solver::{milliseconds, Search, Solver};
use super::validate::validate;
use super::verify::{Verifier, Violation};
use super::world::World;
use crate::optimizer::{with_all_awake, Crew};
use crate::robot::RobotModel;
use crate::scene::LaneGridCache;

/// What the tries of one request share.
pub(super) struct Tries {
    /// Of the current one, from 0.
    pub number: usize,
    pub rng: Pcg64Mcg,
    timing: StageTiming,
    iterations: u32,
}

/// Plans for one robot. Of a request it keeps the meshes' and voxel grids' tables, for requests that name the same ones again.
pub struct Planner {
    pub(super) robot: Arc<RobotModel>,
    pub(super) settings: PlannerSettings,
    crew: Crew,
    /// Meshes and voxel grids of earlier requests, laid out for the kernels.
    grids: LaneGridCache,
    /// Built once: they lay out the robot's true shapes. Two, for motions that are verified side by side. A failure is reported by
    /// every request.
    pub(super) verifiers: Result<[Verifier; 2], Violation>,
}

impl Planner {
    pub fn new(robot: Arc<RobotModel>, settings: PlannerSettings) -> Self {
        let crew = Crew::new(&robot, settings.threads);
        let verifiers = Verifier::new(&robot).and_then(|first| Ok([first, Verifier::new(&robot)?]));
        Self {
            robot,
            settings,
            crew,
            grids: LaneGridCache::default(),
            verifiers,
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
    pub fn plan(&mut self, request: &PlanRequest, observe: Observe<'_>) -> Result<Plan, PlanError> {
        self.solve(request, None, observe)
    }

    /// The same with the motion that is being executed meanwhile, if one is. All of it runs on the crew's threads.
    pub(super) fn solve(
        &mut self,
        request: &PlanRequest,
        running: Option<&Running>,
        observe: Observe<'_>,
    ) -> Result<Plan, PlanError> {
        let threads = self.crew.threads();
        threads.run(|| self.solve_here(request, running, observe))
    }

    fn solve_here(
        &mut self,
        request: &PlanRequest,
        running: Option<&Running>,
        observe: Observe<'_>,
    ) -> Result<Plan, PlanError> {
        let mut session = Session::new(request.time_limit, observe);
        validate(&self.robot, request)?;
        let mut tries = Tries {
            number: 0,
            rng: Pcg64Mcg::seed_from_u64(request.seed),
            timing: StageTiming::default(),
            iterations: 0,
        };
        let mut failure = None;
        while tries.number < self.settings.tries.max(1) {
            match self.try_once(request, running, &mut tries, &mut session) {
                Err(error @ (PlanError::NoPath { .. } | PlanError::NotConverged { .. })) => {
                    failure = failure.or(Some(error));
                }
                // The first failure says more than that nothing else was found, or no time was left for it.
                Err(error) if !matches!(error, PlanError::Cancelled) => {
                    return Err(failure.unwrap_or(error));
                }
                ended => return ended,
            }
            tries.number += 1;
        }
        Err(failure.unwrap_or_else(|| session.stopped()))
    }

    /// One search for goals, and for a motion to them.
    fn try_once(
        &mut self,
        request: &PlanRequest,
        running: Option<&Running>,
        tries: &mut Tries,
        session: &mut Session<'_>,
    ) -> Result<Plan, PlanError> {
        let start = Instant::now();
        let mut world = World::prepare(&self.robot, request, &self.settings, &mut self.grids)?;
        world.running = running.cloned();
        let mut site = PlaceSite::prepare(&self.robot, request, &self.settings, &mut self.grids)?;
        tries.timing.prepare_ms += milliseconds(start);
        let start = Instant::now();
        let goals = goals::find(
            &mut world,
            request,
            &self.settings,
            &mut site,
            &mut self.grids,
            tries,
            session,
        )?;
        tries.timing.goals_ms += milliseconds(start);
        for goal in &goals {
            world.limit_rule_margin(goal.entry());
            world.limit_rule_margin(goal.point.q);
        }

        let verifiers = self
            .verifiers
            .as_mut()
            .map_err(|violation| PlanError::Internal {
                reason: violation.to_string(),
            })?;
        let mut solver = Solver {
            settings: &self.settings,
            crew: &mut self.crew,
            grids: &mut self.grids,
            verifiers,
            rng: &mut tries.rng,
            session,
            timing: tries.timing,
            iterations: tries.iterations,
        };
        let search = Search {
            goals: &goals,
            lines: request.num_particles,
            margin_m: request.collision_margin_m,
        };
        let mut finish = FinishReach {
            request,
            goals: &goals,
            site,
            rejections: Rejections::default(),
        };
        let finished = with_all_awake(|| solver.solve(&mut world, search, &mut finish))?;
        (tries.timing, tries.iterations) = (solver.timing, solver.iterations);
        match (
            finished,
            finish.rejections.nearest,
            finish.rejections.no_carry,
        ) {
            (Some(finished), ..) => Ok(self.report(&world, &goals, finished, tries, session)),
            (None, _, Some(reason)) => Err(PlanError::NoPath { reason }),
            (None, Some(rejected), None) => Err(rejected.into()),
            (None, None, None) => Err(no_path(&mut world, &goals, tries.iterations)),
        }
    }

    fn report(
        &mut self,
        world: &World,
        goals: &[FoundGoal],
        finished: Finished,
        tries: &Tries,
        session: &Session<'_>,
    ) -> Plan {
        let candidate = &finished.candidate;
        let breakdown = world.objective.breakdown(
            &candidate.spline,
            candidate.spacing_s,
            &goals[candidate.goal].point,
            &self.settings.optimizer,
            &mut self.crew.workspaces()[0],
        );
        let timing = StageTiming {
            total_ms: 1e3 * session.elapsed_s(),
            ..tries.timing
        };
        Plan {
            phases: finished.phases,
            grasp: finished.grasp,
            placed_world_from_object: finished.placed_world_from_object,
            costs: breakdown
                .into_iter()
                .map(|term| (term.name.to_string(), f64::from(term.value)))
                .collect(),
            verification: finished.verification,
            timing,
            iterations: tries.iterations,
        }
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
