//! From the lifted object to its place: carry, set down, draw back.

use std::sync::Arc;
use std::time::Instant;

use super::constraints::always;
use super::finish::{
    may_touch, straight_phase, timed_candidate, verify_settings, verify_side_by_side, Rejections,
    Unverified,
};
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

/// Set-down and retreat of one place, verified.
type Ending = Vec<(Phase, Verification)>;

impl Transfer<'_> {
    /// The whole way, verified; `None` with the reason in `rejections` if there is none.
    pub fn plan(
        &self,
        solver: &mut Solver<'_, '_>,
        world: &World,
        site: &mut PlaceSite,
        rejections: &mut Rejections,
    ) -> Option<Placed> {
        let (start, before) = (Instant::now(), solver.timing);
        let placed = self.search(solver, world, site, rejections);
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
    ) -> Option<Placed> {
        let (object, _) = world.target.as_ref()?;
        let pose = &self.grasp.object_from_gripper;
        let held = HeldObject::new(&world.robot, object, pose)?;
        let mut places = self.places(solver, world, site);
        while !places.is_empty() {
            match self.carry(solver, world, site, &held, &places, rejections) {
                Ok((phases, index)) => {
                    let kinematics = &world.robot.kinematics;
                    let q = joint_values(places[index].q(), kinematics.dof());
                    let tool_from_gripper = world.robot.gripper.as_ref()?.tool_from_gripper;
                    let world_from_gripper = kinematics.tool_pose(&q) * tool_from_gripper;
                    return Some(Placed {
                        phases,
                        world_from_object: world_from_gripper * pose.inverse(),
                    });
                }
                Err(bad) if bad.is_empty() => return None,
                // Without them, others get a chance.
                Err(bad) => {
                    let mut index = 0..;
                    places.retain(|_| index.next().is_none_or(|i| !bad.contains(&i)));
                }
            }
        }
        rejections.no_carry = Some(format!("no way to set '{}' down was verified", object.name));
        None
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
    fn ending<'s>(
        &self,
        site: &'s PlaceSite,
        held: &HeldObject,
        place: &FoundPlace,
    ) -> Option<Vec<Unverified<'s>>> {
        let mut settings = verify_settings(self.request, &[], true);
        let attached = held.attached();
        let carriers = may_touch(&attached.name, &site.world.supports);
        settings.allowed.extend(carriers);
        settings.attached.push(attached);
        let world = &site.world;
        let (scene, kind) = (&world.scene, PhaseKind::Lower);
        let mut lower = straight_phase(world, scene, kind, &place.lower, settings)?;
        let opening_m = world.robot.gripper.as_ref()?.max_opening_m();
        lower.phase.gripper_after = GripperAction::Open { width_m: opening_m };
        let mut ending = vec![lower];
        if place.retreat.len() > 1 {
            let (scene, kind) = (&world.scene_with_target, PhaseKind::Retreat);
            let settings = verify_settings(self.request, &[], false);
            ending.push(straight_phase(
                world,
                scene,
                kind,
                &place.retreat,
                settings,
            )?);
        }
        Some(ending)
    }

    /// The way between, with the object as a part of the robot, and the end at one of the places; with the place's index.
    ///
    /// # Errors
    /// The places whose end does not verify.
    fn carry(
        &self,
        solver: &mut Solver<'_, '_>,
        world: &World,
        site: &PlaceSite,
        held: &HeldObject,
        places: &[FoundPlace],
        rejections: &mut Rejections,
    ) -> Result<(Ending, usize), Vec<usize>> {
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
                rejections.no_carry = Some(format!("where the object is lifted: {error}"));
                return Err(Vec::new());
            }
        };
        let mut goals = Vec::new();
        let mut indices = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let clearance = world.checker.clearance(place.above());
            if clearance.scene_m.min(clearance.own_m) > 0.0 {
                world.limit_self_margin(clearance.own_m);
                world.limit_rule_margin(place.above());
                goals.push(FoundGoal::at(place.above(), clearance));
                indices.push(index);
            } else if let Some(contact) = world.checker.nearest_contact(place.above(), false) {
                rejections.no_carry = Some(format!("above the place: {contact}"));
            }
        }
        if goals.is_empty() {
            return Err(Vec::new());
        }
        let search = Search {
            goals: &goals,
            lines: request.num_particles,
            margin_m: request.collision_margin_m,
        };
        let ending = |index: usize| self.ending(site, held, &places[index]);
        let mut finish = FinishCarry {
            request: &request,
            goals: &goals,
            indices: &indices,
            ending: &ending,
            endings: vec![PlaceEnd::Untried; places.len()],
            settings: VerifySettings {
                attached: vec![held.attached()],
                ..verify_settings(&request, &request.start, true)
            },
            rejections,
        };
        let Ok(found) = solver.solve(&mut world, search, &mut finish) else {
            return Err(Vec::new()); // Cancelled or out of time, which the session knows.
        };
        found.ok_or_else(|| {
            let is_bad = |&i: &usize| matches!(finish.endings[i], PlaceEnd::Bad);
            let bad = (0..places.len()).filter(is_bad).collect();
            let reason = "no way between was found for the arm with the object";
            finish.rejections.no_carry = Some(reason.into());
            bad
        })
    }
}

/// What is known of the end at a place.
#[derive(Clone)]
enum PlaceEnd {
    Untried,
    Good(Ending),
    Bad,
}

/// Times the candidates of a carry, and verifies each with the end at its place.
struct FinishCarry<'a> {
    request: &'a PlanRequest,
    goals: &'a [FoundGoal],
    /// Place of each goal.
    indices: &'a [usize],
    ending: &'a dyn Fn(usize) -> Option<Vec<Unverified<'a>>>,
    endings: Vec<PlaceEnd>,
    settings: VerifySettings,
    rejections: &'a mut Rejections,
}

impl Finish for FinishCarry<'_> {
    /// With the index of the place.
    type Output = (Ending, usize);

    fn finish(
        &mut self,
        solver: &mut Solver<'_, '_>,
        world: &mut World,
        candidate: &Candidate,
    ) -> Option<Self::Output> {
        let place = self.indices[candidate.goal];
        if matches!(self.endings[place], PlaceEnd::Bad) {
            return None;
        }
        let end = joint_values(candidate.spline.end(), self.request.start.len());
        let goal = &self.goals[candidate.goal];
        let trajectory = timed_candidate(solver, world, candidate, goal, self.request, &end)?;
        let mut motions = vec![Unverified {
            phase: Phase::new(PhaseKind::Carry, trajectory),
            scene: &world.scene,
            settings: self.settings.clone(),
        }];
        let is_untried = matches!(self.endings[place], PlaceEnd::Untried);
        if is_untried {
            // Until it is verified.
            self.endings[place] = PlaceEnd::Bad;
            motions.extend((self.ending)(place)?);
        }
        let checks = verify_side_by_side(solver, &motions);
        let checked = motions.into_iter().zip(checks);
        let mut passed = checked.map(|(motion, check)| self.rejections.passed(motion, check));
        let carry = passed.next()?;
        let ending: Option<Ending> = passed.collect();
        if is_untried {
            self.endings[place] = ending.map_or(PlaceEnd::Bad, PlaceEnd::Good);
        }
        match &self.endings[place] {
            PlaceEnd::Good(ending) => {
                let mut phases = vec![carry?];
                phases.extend_from_slice(ending);
                Some((phases, place))
            }
            _ => None,
        }
    }
}
