//! From the lifted object to its place: carry, set down, draw back.

use std::sync::Arc;
use std::time::Instant;

use super::constraints::always;
use super::finish::{may_touch, timed_candidate, verify_settings, Rejections};
use super::goals::FoundGoal;
use super::held::HeldObject;
use super::place::{FoundPlace, PlaceSite};
use super::request::{Goal, PlanRequest};
use super::result::{GripperAction, Phase, PhaseKind, PlannedGrasp};
use super::solver::{milliseconds, Finish, Search, Solver};
use super::verify::{Verification, VerifySettings};
use super::world::{joint_values, World};
use crate::geometry::Pose;
use crate::optimizer::Candidate;
use crate::trajectory::JointRow;

/// A grasp whose object is to be brought to its place.
pub struct Transfer<'a> {
    pub request: &'a PlanRequest,
    pub goal: &'a FoundGoal,
    pub grasp: &'a PlannedGrasp,
    pub grasped: JointRow,
    pub lifted: JointRow,
}

/// Verified motions that put the object down.
pub struct Placed {
    /// Carry, lower, and retreat if one is asked for.
    pub phases: Vec<(Phase, Verification)>,
    /// Where the object's frame then is.
    pub world_from_object: Pose,
}

/// Set-down and retreat of one place.
type Ending = Vec<(Phase, Verification)>;

impl Transfer<'_> {
    /// The whole way, verified; `None` with `why` filled if there is none.
    pub fn plan(
        &self,
        solver: &mut Solver<'_, '_>,
        world: &World,
        site: &mut PlaceSite,
        rejections: &mut Rejections,
        why: &mut Option<String>,
    ) -> Option<Placed> {
        let (start, before) = (Instant::now(), solver.timing);
        let placed = self.search(solver, world, site, rejections, why);
        solver.timing = before;
        solver.timing.transfer_ms += milliseconds(start);
        placed
    }

    fn search(
        &self,
        solver: &mut Solver<'_, '_>,
        world: &World,
        site: &mut PlaceSite,
        rejections: &mut Rejections,
        why: &mut Option<String>,
    ) -> Option<Placed> {
        let (object, _) = world.target.as_ref()?;
        let pose = &self.grasp.object_from_gripper;
        let held = HeldObject::new(&world.robot, object, pose)?;
        let places = self.places(solver, world, site);
        let mut endings: Vec<(FoundPlace, Ending)> = Vec::new();
        for place in places {
            if let Some(ending) = self.ending(solver, site, &held, &place, &object.name, rejections)
            {
                endings.push((place, ending));
            }
        }
        if endings.is_empty() {
            *why = Some(format!("no way to set '{}' down was verified", object.name));
            return None;
        }
        let (carry, index) = self.carry(solver, world, &held, &endings, rejections, why)?;
        let (place, ending) = endings.swap_remove(index);
        let mut phases = vec![carry];
        phases.extend(ending);
        let kinematics = &world.robot.kinematics;
        let tool = kinematics.tool_pose(&joint_values(place.q(), kinematics.dof()));
        let tool_from_gripper = world.robot.gripper.as_ref()?.tool_from_gripper;
        Some(Placed {
            phases,
            world_from_object: tool * tool_from_gripper * pose.inverse(),
        })
    }

    /// The places of the goal; found anew where the grasp energy has moved the grasp.
    fn places(
        &self,
        solver: &mut Solver<'_, '_>,
        world: &World,
        site: &mut PlaceSite,
    ) -> Vec<FoundPlace> {
        let known = &self.goal.places;
        let Some((object, _)) = world.target.as_ref().filter(|_| self.goal.point.movable) else {
            return known.clone();
        };
        let near: Vec<JointRow> = known.iter().map(FoundPlace::q).collect();
        let pose = &self.grasp.object_from_gripper;
        site.find(self.request, object, pose, self.grasped, &near, solver.rng)
            .unwrap_or_default()
    }

    /// Down to a place and back out again.
    fn ending(
        &self,
        solver: &mut Solver<'_, '_>,
        site: &PlaceSite,
        held: &HeldObject,
        place: &FoundPlace,
        object: &str,
        rejections: &mut Rejections,
    ) -> Option<Ending> {
        let mut settings = VerifySettings {
            attached: vec![held.attached()],
            ..verify_settings(self.request, &[], true)
        };
        let carriers = may_touch(object, &site.world.supports);
        settings.allowed.extend(carriers);
        let world = &site.world;
        let (mut lower, check) = rejections.straight_phase(
            solver,
            world,
            &world.scene,
            PhaseKind::Lower,
            &place.lower,
            &settings,
        )?;
        let opening_m = world.robot.gripper.as_ref()?.max_opening_m();
        lower.gripper_after = GripperAction::Open { width_m: opening_m };
        let mut ending = vec![(lower, check)];
        if place.retreat.len() > 1 {
            ending.push(rejections.straight_phase(
                solver,
                world,
                &world.scene_with_target,
                PhaseKind::Retreat,
                &place.retreat,
                &verify_settings(self.request, &[], false),
            )?);
        }
        Some(ending)
    }

    /// The way between, with the object as a part of the robot; also the index of the place it goes to.
    fn carry(
        &self,
        solver: &mut Solver<'_, '_>,
        world: &World,
        held: &HeldObject,
        endings: &[(FoundPlace, Ending)],
        rejections: &mut Rejections,
        why: &mut Option<String>,
    ) -> Option<((Phase, Verification), usize)> {
        let robot = Arc::new(held.robot_with(&world.robot));
        let dof = robot.kinematics.dof();
        let start = joint_values(self.lifted, dof);
        let request = PlanRequest {
            start: start.clone(),
            start_velocity: Vec::new(),
            start_acceleration: Vec::new(),
            goal: Goal::Joints(start),
            place_world_from_object: None,
            // The object is in the hand all the way.
            constraints: always(&self.request.constraints),
            ..self.request.clone()
        };
        let prepared = World::prepare(&robot, &request, solver.settings, solver.grids);
        let mut world = match prepared {
            Ok(world) => world,
            Err(error) => {
                *why = Some(format!("where the object is lifted: {error}"));
                return None;
            }
        };
        let mut goals = Vec::new();
        let mut indices = Vec::new();
        for (index, (place, _)) in endings.iter().enumerate() {
            let clearance = world.checker.clearance(place.above());
            if clearance.scene_m.min(clearance.own_m) > 0.0 {
                world.limit_self_margin(clearance.own_m);
                world.limit_rule_margin(place.above());
                goals.push(FoundGoal::at(place.above(), clearance));
                indices.push(index);
            } else if let Some(contact) = world.checker.nearest_contact(place.above(), false) {
                *why = Some(format!("above the place: {contact}"));
            }
        }
        if goals.is_empty() {
            return None;
        }
        let search = Search {
            goals: &goals,
            lines: request.num_particles,
            margin_m: request.collision_margin_m,
        };
        let mut finish = FinishCarry {
            request: &request,
            goals: &goals,
            settings: VerifySettings {
                attached: vec![held.attached()],
                ..verify_settings(&request, &request.start, true)
            },
            rejections,
        };
        let found = solver.solve(&mut world, search, &mut finish).ok()?;
        if found.is_none() {
            *why = Some("no way between was found for the arm with the object".into());
        }
        found.map(|(carry, goal)| (carry, indices[goal]))
    }
}

/// Times and verifies the candidates of a carry.
struct FinishCarry<'a> {
    request: &'a PlanRequest,
    goals: &'a [FoundGoal],
    settings: VerifySettings,
    rejections: &'a mut Rejections,
}

impl Finish for FinishCarry<'_> {
    /// With the index of the goal.
    type Output = ((Phase, Verification), usize);

    fn finish(
        &mut self,
        solver: &mut Solver<'_, '_>,
        world: &mut World,
        candidate: &Candidate,
    ) -> Option<Self::Output> {
        let end = joint_values(candidate.spline.end(), self.request.start.len());
        let goal = &self.goals[candidate.goal];
        let trajectory = timed_candidate(solver, world, candidate, goal, self.request, &end)?;
        let check = self
            .rejections
            .verify(solver, &world.scene, &trajectory, &self.settings)?;
        Some((
            (Phase::new(PhaseKind::Carry, trajectory), check),
            candidate.goal,
        ))
    }
}
