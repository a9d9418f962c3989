//! From candidates to a plan: time, verify, lift, carry; the next candidate if one fails.

use std::time::Instant;

use super::constraints::{applying, tool_speed};
use super::error::PlanError;
use super::goals::FoundGoal;
use super::grasps::{closed_width_m, GraspOffer};
use super::held::HeldObject;
use super::place::PlaceSite;
use super::request::PlanRequest;
use super::result::{GripperAction, Phase, PhaseKind, PlannedGrasp};
use super::solver::{milliseconds, Finish, Solver};
use super::straight;
use super::tool_speed::slowdown;
use super::transfer::Transfer;
use super::verify::{Verification, Verifier, VerifySettings, Violation};
use super::world::{joint_values, World};
use crate::geometry::Pose;
use crate::optimizer::Candidate;
use crate::scene::Scene;
use crate::trajectory::{JointRow, Spline, TimedTrajectory};

/// Share by which the bound on the tool's speed may be above the speed itself.
const SPEED_ROUNDING: f64 = 2e-3;

/// A candidate that passed everything.
pub struct Finished {
    pub phases: Vec<Phase>,
    pub grasp: Option<PlannedGrasp>,
    pub placed_world_from_object: Option<Pose>,
    pub verification: Verification,
    pub candidate: Candidate,
}

/// The nearest miss among candidates that failed.
pub struct Rejected {
    pub tried: usize,
    pub violation: Violation,
    pub trajectory: Option<TimedTrajectory>,
}

/// Why candidates of one request failed.
#[derive(Default)]
pub struct Rejections {
    pub nearest: Option<Rejected>,
    /// Why the object could not be carried, from the last candidate that got so far.
    pub no_carry: Option<String>,
}

/// A timed motion that is still to be verified.
pub struct Unverified<'a> {
    pub phase: Phase,
    pub scene: &'a Scene,
    pub settings: VerifySettings,
}

/// Verifies motions: the first, which is the longest, beside all others.
pub fn verify_side_by_side(
    solver: &mut Solver<'_, '_>,
    motions: &[Unverified],
) -> Vec<Result<Verification, Violation>> {
    let start = Instant::now();
    let [one, other] = &mut *solver.verifiers;
    let verify = |verifier: &mut Verifier, motions: &[Unverified]| {
        let checks = motions
            .iter()
            .map(|m| verifier.verify(m.scene, &m.phase.trajectory, &m.settings));
        checks.collect::<Vec<_>>()
    };
    let (first, rest) = motions.split_at(motions.len().min(1));
    let (mut checks, others) = rayon::join(|| verify(one, first), || verify(other, rest));
    checks.extend(others);
    solver.timing.verify_ms += milliseconds(start);
    checks
}

impl Rejections {
    /// Verifies the motions of one candidate; remembers the first violation.
    pub fn verify(
        &mut self,
        solver: &mut Solver<'_, '_>,
        motions: Vec<Unverified>,
    ) -> Option<Vec<(Phase, Verification)>> {
        let checks = verify_side_by_side(solver, &motions);
        let checked = motions.into_iter().zip(checks);
        checked
            .map(|(motion, check)| self.passed(motion, check))
            .collect()
    }

    /// A motion that passed, with its figures; remembers the first violation.
    pub fn passed(
        &mut self,
        motion: Unverified,
        check: Result<Verification, Violation>,
    ) -> Option<(Phase, Verification)> {
        match (check, &mut self.nearest) {
            (Ok(verification), _) => return Some((motion.phase, verification)),
            (Err(_), Some(known)) => known.tried += 1,
            (Err(violation), nearest) => {
                *nearest = Some(Rejected {
                    tried: 1,
                    violation,
                    trajectory: Some(motion.phase.trajectory),
                });
            }
        }
        None
    }
}

/// A straight motion along corners, timed.
pub fn straight_phase<'a>(
    world: &World,
    scene: &'a Scene,
    kind: PhaseKind,
    corners: &[JointRow],
    settings: VerifySettings,
) -> Option<Unverified<'a>> {
    let spline = straight::spline_through(corners);
    let dof = world.robot.kinematics.dof();
    let (start, end) = (spline.start(), spline.end());
    let (start, end) = (joint_values(start, dof), joint_values(end, dof));
    let holding = matches!(kind, PhaseKind::Lift | PhaseKind::Lower);
    let trajectory = timed(world, &spline, &start, &end, holding)?;
    Some(Unverified {
        phase: Phase::new(kind, trajectory),
        scene,
        settings: VerifySettings {
            start: Some(start),
            ..settings
        },
    })
}

/// Times and verifies the candidates of a reach, and completes them: the lift, and the way to the place if there is one.
pub struct FinishReach<'a> {
    pub request: &'a PlanRequest,
    pub goals: &'a [FoundGoal],
    pub site: Option<PlaceSite>,
    pub rejections: Rejections,
}

impl Finish for FinishReach<'_> {
    type Output = Finished;

    fn finish(
        &mut self,
        solver: &mut Solver<'_, '_>,
        world: &mut World,
        candidate: &Candidate,
    ) -> Option<Finished> {
        let goal = &self.goals[candidate.goal];
        let dof = world.robot.kinematics.dof();
        let end = goal
            .exact
            .clone()
            .unwrap_or_else(|| joint_values(candidate.spline.end(), dof));
        let trajectory = timed_candidate(solver, world, candidate, goal, self.request, &end)?;
        let mut reach = Phase::new(PhaseKind::Reach, trajectory);
        let grasp = goal
            .grasp
            .map(|offer| planned_grasp(world, self.request, offer, &end));
        if let (Some(grasp), Some(gripper)) = (&grasp, &world.robot.gripper) {
            reach.gripper_before = GripperAction::Open {
                width_m: gripper.geometry.max_opening_m,
            };
            reach.gripper_after = GripperAction::Close {
                width_m: grasp.width_m.unwrap_or(0.0),
            };
        }
        // A moved grasp must still hold something.
        if world.target.is_some() && grasp.as_ref().is_some_and(|g| g.width_m.is_none()) {
            return None;
        }
        let grasped = candidate.spline.end();
        let lift = match &grasp {
            Some(grasp) if self.request.lift_distance_m > 0.0 => {
                Some(self.lift(world, grasped, grasp)?)
            }
            _ => None,
        };
        let lifted = lift
            .as_ref()
            .and_then(|(corners, _)| corners.last().copied())
            .unwrap_or(grasped);
        let mut motions = vec![Unverified {
            phase: reach,
            scene: &world.scene_with_target,
            settings: reach_settings(self.request),
        }];
        if let Some((corners, settings)) = lift {
            let kind = PhaseKind::Lift;
            motions.push(straight_phase(
                world,
                &world.scene,
                kind,
                &corners,
                settings,
            )?);
        }
        let mut checked = self.rejections.verify(solver, motions)?;
        let mut placed_world_from_object = None;
        if let (Some(grasp), Some(site)) = (&grasp, &mut self.site) {
            let transfer = Transfer {
                request: self.request,
                goal,
                grasp,
                grasped,
                lifted,
            };
            let placed = transfer.plan(solver, world, site, &mut self.rejections)?;
            placed_world_from_object = Some(placed.world_from_object);
            checked.extend(placed.phases);
        }
        let (phases, checks): (Vec<_>, Vec<_>) = checked.into_iter().unzip();
        let verification = checks.into_iter().reduce(worst)?;
        Some(Finished {
            phases,
            grasp,
            placed_world_from_object,
            verification,
            candidate: candidate.clone(),
        })
    }
}

impl FinishReach<'_> {
    /// The lift: the object hangs on the hand, may touch the fingers, and leaves the surface that carries it. Its corners, and what it
    /// has to keep to.
    fn lift(
        &self,
        world: &mut World,
        from: JointRow,
        grasp: &PlannedGrasp,
    ) -> Option<(Vec<JointRow>, VerifySettings)> {
        let mut settings = verify_settings(self.request, &[], true);
        let mut in_scene = None;
        if let Some((object, _)) = &world.target {
            if let Some(held) = HeldObject::new(&world.robot, object, &grasp.object_from_gripper) {
                if self.site.is_some() {
                    in_scene = Some(held.in_scene(world));
                }
                settings
                    .allowed
                    .extend(may_touch(&object.name, &world.supports));
                settings.attached.push(held.attached());
            }
        }
        let corners = straight::up(world, from, self.request, in_scene.as_ref())?;
        Some((corners, settings))
    }
}

/// The fine check of a candidate on the kernels' own spheres, and its timing from the start of the request, which may move.
pub fn timed_candidate(
    solver: &mut Solver<'_, '_>,
    world: &mut World,
    candidate: &Candidate,
    goal: &FoundGoal,
    request: &PlanRequest,
    end: &[f64],
) -> Option<TimedTrajectory> {
    let begin = Instant::now();
    let collision = &world.checker.collision;
    let (scene_ramp, target_ramp) = (
        collision.scene_ramp(&goal.point),
        collision.target_ramp(&goal.point),
    );
    let step = solver.settings.fine_check_step;
    let free = world
        .checker
        .spline_is_free(&candidate.spline, step, &scene_ramp, &target_ramp);
    solver.timing.verify_ms += milliseconds(begin);
    if !free {
        return None;
    }
    match &world.objective.moving_start {
        None => timed(world, &candidate.spline, &request.start, end, false),
        Some(start) => TimedTrajectory::from_moving_start(
            world.robot.kinematics.joint_names().to_vec(),
            &candidate.spline,
            start,
            end,
            f64::from(candidate.spacing_s),
        )
        // It cannot be slowed: that would change how it begins.
        .filter(|motion| {
            let limit = tool_speed(&world.constraints, false);
            limit.is_none_or(|limit| slowdown(&world.robot, motion, &limit) <= 1.0 + SPEED_ROUNDING)
        }),
    }
}

/// Pairs of an object and what it stands on.
pub fn may_touch(object: &str, carriers: &[String]) -> Vec<(String, String)> {
    carriers
        .iter()
        .map(|carrier| (object.to_string(), carrier.clone()))
        .collect()
}

/// What a motion from the start of the request has to keep to.
pub fn reach_settings(request: &PlanRequest) -> VerifySettings {
    VerifySettings {
        start_velocity: request.start_velocity.clone(),
        start_acceleration: request.start_acceleration.clone(),
        ..verify_settings(request, &request.start, false)
    }
}

/// The fastest timing inside the joints' limits and the tool's.
fn timed(
    world: &World,
    spline: &Spline,
    start: &[f64],
    end: &[f64],
    holding: bool,
) -> Option<TimedTrajectory> {
    let fastest = TimedTrajectory::fastest(
        world.robot.kinematics.joint_names().to_vec(),
        spline,
        start,
        end,
        &world.velocity,
        &world.acceleration,
        &world.jerk,
    )?;
    Some(match tool_speed(&world.constraints, holding) {
        None => fastest,
        Some(limit) => fastest.slowed(slowdown(&world.robot, &fastest, &limit)),
    })
}

/// What every motion of a request has to keep to; `start` empty: it begins anywhere.
pub fn verify_settings(request: &PlanRequest, start: &[f64], holding: bool) -> VerifySettings {
    VerifySettings {
        start: (!start.is_empty()).then(|| start.to_vec()),
        velocity_scaling: request.velocity_scaling,
        acceleration_scaling: request.acceleration_scaling,
        allowed: request.allowed_collisions.clone(),
        constraints: applying(&request.constraints, holding).cloned().collect(),
        ..VerifySettings::default()
    }
}

fn planned_grasp(
    world: &World,
    request: &PlanRequest,
    offer: GraspOffer,
    end: &[f64],
) -> PlannedGrasp {
    let world_from_object = request.goal.world_from_object();
    let tool_from_gripper = world
        .robot
        .gripper
        .as_ref()
        .map_or_else(Pose::identity, |g| g.tool_from_gripper);
    let world_from_gripper = world.robot.kinematics.tool_pose(end) * tool_from_gripper;
    let object_from_gripper = world_from_object.inverse() * world_from_gripper;
    let width_m = match (&world.target, &world.robot.gripper) {
        (Some((object, _)), Some(gripper)) => {
            closed_width_m(object, &gripper.geometry, &object_from_gripper)
        }
        _ => offer.width_m,
    };
    let energy = world.grasp_energy(&world_from_gripper).or(offer.energy);
    PlannedGrasp {
        object_from_gripper,
        world_from_gripper,
        energy,
        width_m,
    }
}

/// Figures of two phases together.
fn worst(a: Verification, b: Verification) -> Verification {
    let (near, far) = if a.min_clearance_m <= b.min_clearance_m {
        (a, b)
    } else {
        (b, a)
    };
    Verification {
        max_velocity_ratio: near.max_velocity_ratio.max(far.max_velocity_ratio),
        max_acceleration_ratio: near.max_acceleration_ratio.max(far.max_acceleration_ratio),
        max_jerk_ratio: near.max_jerk_ratio.max(far.max_jerk_ratio),
        checked_states: near.checked_states + far.checked_states,
        ..near
    }
}

impl From<Rejected> for PlanError {
    fn from(rejected: Rejected) -> Self {
        PlanError::NotConverged {
            tried: rejected.tried,
            violation: rejected.violation,
            best: rejected.trajectory.map(Box::new),
        }
    }
}
