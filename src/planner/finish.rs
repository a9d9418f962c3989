//! From candidates to a plan: time, verify, lift; the next candidate if one fails.

use nalgebra::Point3;

use super::error::PlanError;
use super::goals::FoundGoal;
use super::grasps::{closed_width_m, GraspOffer};
use super::lift;
use super::request::{Goal, PlanRequest};
use super::result::{GripperAction, Phase, PhaseKind, PlannedGrasp};
use super::settings::PlannerSettings;
use super::verify::{AttachedObject, Verification, Verifier, VerifySettings, Violation};
use super::world::{joint_values, World};
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::optimizer::Candidate;
use crate::scene::{Scene, SceneObject, Shape};
use crate::trajectory::{JointRow, Spline, TimedTrajectory};

/// A candidate that passed everything.
pub struct Finished {
    pub phases: Vec<Phase>,
    pub grasp: Option<PlannedGrasp>,
    pub verification: Verification,
    pub candidate: Candidate,
}

/// The nearest miss among candidates that failed.
pub struct Rejected {
    pub tried: usize,
    pub violation: Violation,
    pub trajectory: Option<TimedTrajectory>,
}

/// Times and verifies candidates of one request.
pub struct Finisher<'a> {
    pub request: &'a PlanRequest,
    pub goals: &'a [FoundGoal],
    pub settings: &'a PlannerSettings,
    pub verifier: &'a mut Verifier,
    /// The first candidate that failed verification, and how many did.
    pub rejected: Option<Rejected>,
}

impl Finisher<'_> {
    /// The best candidate (they come in falling order of duration) that passes everything; those before it are dropped.
    pub fn first_that_passes(
        &mut self,
        world: &mut World,
        candidates: &mut Vec<Candidate>,
    ) -> Option<Finished> {
        while let Some(candidate) = candidates.pop() {
            let finished = self.finish(world, &candidate);
            if finished.is_some() {
                return finished;
            }
        }
        None
    }

    /// Times and verifies one candidate: the reach, and the lift if one is asked for.
    pub fn finish(&mut self, world: &mut World, candidate: &Candidate) -> Option<Finished> {
        let goal = &self.goals[candidate.goal];
        let collision = &world.checker.collision;
        let (scene_ramp, target_ramp) = (
            collision.scene_ramp(&goal.point),
            collision.target_ramp(&goal.point),
        );
        let step = self.settings.fine_check_step;
        if !world
            .checker
            .spline_is_free(&candidate.spline, step, &scene_ramp, &target_ramp)
        {
            return None;
        }
        let dof = world.robot.kinematics.dof();
        let end = goal
            .exact
            .clone()
            .unwrap_or_else(|| joint_values(candidate.spline.end(), dof));
        let trajectory = timed_reach(world, self.request, candidate, &end)?;
        let settings = reach_settings(self.request);
        let mut verification = self.verify(&world.scene_with_target, &trajectory, &settings)?;
        let mut reach = Phase {
            kind: PhaseKind::Reach,
            trajectory,
            gripper_before: GripperAction::Keep,
            gripper_after: GripperAction::Keep,
        };
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
        if goal.grasp.is_some()
            && world.target.is_some()
            && grasp.as_ref().is_some_and(|g| g.width_m.is_none())
        {
            return None;
        }
        let mut phases = vec![reach];
        if let (Some(grasp), true) = (&grasp, self.request.lift_distance_m > 0.0) {
            let (lift, check) = self.lift(world, candidate.spline.end(), &end, grasp)?;
            verification = worst(verification, check);
            phases.push(lift);
        }
        Some(Finished {
            phases,
            grasp,
            verification,
            candidate: candidate.clone(),
        })
    }

    /// The lift: the object hangs on the hand, may touch the fingers, and leaves the surface that carries it.
    fn lift(
        &mut self,
        world: &mut World,
        from: JointRow,
        start: &[f64],
        grasp: &PlannedGrasp,
    ) -> Option<(Phase, Verification)> {
        let corners = lift::path(world, from, self.request.lift_distance_m)?;
        let spline = lift::spline_through(&corners);
        let end = joint_values(spline.end(), start.len());
        let trajectory = timed(world, &spline, start, &end)?;
        let mut settings = verify_settings(self.request, start);
        if let Some((object, world_from_object)) = &world.target {
            if let Some(attached) = attached(world, object, grasp) {
                settings.allowed = supports(&world.scene, object, world_from_object);
                settings.attached.push(attached);
            }
        }
        let check = self.verify(&world.scene, &trajectory, &settings)?;
        let phase = Phase {
            kind: PhaseKind::Lift,
            trajectory,
            gripper_before: GripperAction::Keep,
            gripper_after: GripperAction::Keep,
        };
        Some((phase, check))
    }

    /// Verifies a motion; remembers the first violation.
    fn verify(
        &mut self,
        scene: &Scene,
        trajectory: &TimedTrajectory,
        settings: &VerifySettings,
    ) -> Option<Verification> {
        match (
            self.verifier.verify(scene, trajectory, settings),
            &mut self.rejected,
        ) {
            (Ok(verification), _) => return Some(verification),
            (Err(_), Some(known)) => known.tried += 1,
            (Err(violation), rejected) => {
                *rejected = Some(Rejected {
                    tried: 1,
                    violation,
                    trajectory: Some(trajectory.clone()),
                });
            }
        }
        None
    }
}

/// The motion from the start of the request, which may move.
fn timed_reach(
    world: &World,
    request: &PlanRequest,
    candidate: &Candidate,
    end: &[f64],
) -> Option<TimedTrajectory> {
    match &world.objective.moving_start {
        None => timed(world, &candidate.spline, &request.start, end),
        Some(start) => TimedTrajectory::from_moving_start(
            world.robot.kinematics.joint_names().to_vec(),
            &candidate.spline,
            start,
            end,
            f64::from(candidate.spacing_s),
        ),
    }
}

/// What a motion from the start of the request has to keep to.
pub fn reach_settings(request: &PlanRequest) -> VerifySettings {
    VerifySettings {
        start_velocity: request.start_velocity.clone(),
        start_acceleration: request.start_acceleration.clone(),
        ..verify_settings(request, &request.start)
    }
}

fn timed(world: &World, spline: &Spline, start: &[f64], end: &[f64]) -> Option<TimedTrajectory> {
    TimedTrajectory::fastest(
        world.robot.kinematics.joint_names().to_vec(),
        spline,
        start,
        end,
        &world.velocity,
        &world.acceleration,
        &world.jerk,
    )
}

fn verify_settings(request: &PlanRequest, start: &[f64]) -> VerifySettings {
    VerifySettings {
        start: Some(start.to_vec()),
        velocity_scaling: request.velocity_scaling,
        acceleration_scaling: request.acceleration_scaling,
        ..VerifySettings::default()
    }
}

fn attached(world: &World, object: &ObjectModel, grasp: &PlannedGrasp) -> Option<AttachedObject> {
    let gripper = world.robot.gripper.as_ref()?;
    let kinematics = &world.robot.kinematics;
    let (hand_body, body_from_hand) = kinematics.body_of_link(&gripper.hand_link).ok()?;
    let body_from_gripper = kinematics.body_from_tool() * gripper.tool_from_gripper;
    let hand_from_object =
        body_from_hand.inverse() * body_from_gripper * grasp.object_from_gripper.inverse();
    let in_hand = |link: &&str| {
        kinematics
            .body_of_link(link)
            .is_ok_and(|(body, _)| body == hand_body)
    };
    Some(AttachedObject {
        name: object.name.clone(),
        link: gripper.hand_link.clone(),
        link_from_object: hand_from_object,
        shape: Shape::Mesh(object.surface.clone()),
        touching_links: kinematics
            .link_names()
            .filter(in_hand)
            .map(String::from)
            .collect(),
    })
}

/// Obstacles that the object rests on, or touches, before it is lifted.
fn supports(
    scene: &Scene,
    object: &ObjectModel,
    world_from_object: &Pose,
) -> Vec<(String, String)> {
    /// The pose of an object that stands on something is known to about this accuracy [m].
    const RESTING_M: f64 = 0.01;
    let touches = |obstacle: &SceneObject| {
        object
            .mesh
            .vertices
            .iter()
            .any(|v| obstacle.distance(&(world_from_object * Point3::from(*v))) < RESTING_M)
    };
    scene
        .objects
        .iter()
        .filter(|o| touches(o))
        .map(|o| (object.name.clone(), o.name.clone()))
        .collect()
}

fn planned_grasp(
    world: &World,
    request: &PlanRequest,
    offer: GraspOffer,
    end: &[f64],
) -> PlannedGrasp {
    let world_from_object = match &request.goal {
        Goal::Grasp {
            world_from_object, ..
        }
        | Goal::Grasps {
            world_from_object, ..
        } => *world_from_object,
        Goal::Pose { .. } | Goal::Joints(_) => Pose::identity(),
    };
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
