//! Ends of motions as the field gives them, one for each particle: the paper's own experiment (arXiv 2209.03855, Fig. 5).
//!
//! Nothing is chosen by reach or lift here. Jointly, random configurations descend grasp energy, collision and limits
//! together, and the energy stays a term of the motions that end there. Decoupled, grasps are sampled, then inverse kinematics
//! finds the arm, and what collides is dropped, since the ends stay where they are.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::{current_num_threads, prelude::*};

use super::branches::Branch;
use super::error::{GraspCounts, PlanError};
use super::goals::FoundGoal;
use super::grasp_try::{Candidate, GraspTries, NoGoal};
use super::grasps::{self, GraspOffer};
use super::joint_ends::{JointEnd, JointSearch};
use super::request::PlanRequest;
use super::result::Stage;
use super::settings::PlannerSettings;
use super::world::World;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::lanes::{splat, Lanes, LANES};
use crate::robot::{IkSettings, InverseKinematics, LaneFrame};
use crate::scene::LaneGridCache;
use crate::trajectory::rows_from_lanes;

/// A configuration has reached its grasp within these.
const POSITION_TOLERANCE_M: f32 = 1e-4;
const ANGLE_TOLERANCE_RAD: f32 = 1e-3;
/// Clearance to the scene with which an end counts as free, and to which a movable one is pushed [m].
const FREE_M: f32 = 0.003;
/// Grasps of which each thread looks for an arm between two looks at deadline and cancellation.
const GRASPS_AT_ONCE: usize = 16;

/// The free ones of `count` configurations that descend everything together, the best grasps first.
///
/// # Errors
/// [`PlanError::NoGrasp`] if none is left, [`PlanError::Cancelled`], [`PlanError::Timeout`].
pub fn joint(
    mut search: JointSearch<'_, '_>,
    count: usize,
    grids: &mut LaneGridCache,
) -> Result<Vec<JointEnd>, PlanError> {
    let mut counts = GraspCounts::default();
    let ends = search.ends_from_anywhere(count, FREE_M, &mut counts, grids)?;
    any_of(ends, search.object, counts)
}

/// Free ends at up to `count` grasps drawn from the field with `seed`.
///
/// # Errors
/// [`PlanError::NoGrasp`] if none is left, [`PlanError::Cancelled`], [`PlanError::Timeout`].
pub fn decoupled(
    search: JointSearch<'_, '_>,
    count: usize,
    seed: u64,
) -> Result<Vec<JointEnd>, PlanError> {
    let offers = grasps::sample(search.object, count, seed);
    let mut counts = GraspCounts {
        offered: offers.len(),
        ..GraspCounts::default()
    };
    let mut ends = Vec::with_capacity(offers.len());
    for share in offers.chunks(GRASPS_AT_ONCE * current_num_threads()) {
        search.session.checkpoint(Stage::Sample, 0.1)?;
        let seeds: Vec<u64> = share.iter().map(|_| search.rng.random()).collect();
        let (world, at) = (&*search.world, &search.world_from_object);
        let found: Vec<_> = share
            .par_iter()
            .zip(seeds)
            .map_init(
                || world.clone(),
                |world, (offer, seed)| free_arm(world, at, offer, seed),
            )
            .collect();
        for end in found {
            match end {
                Ok(end) => ends.push(end),
                Err(reason) => reason.count(&mut counts),
            }
        }
    }
    any_of(ends, search.object, counts)
}

/// Motions to these ends: where the hand can approach along its axis, they come in so.
pub fn goals(
    ends: Vec<JointEnd>,
    request: &PlanRequest,
    settings: &PlannerSettings,
    world: &mut World,
    rng: &mut Pcg64Mcg,
) -> Vec<FoundGoal> {
    let candidates: Vec<Candidate> = ends.iter().copied().map(Candidate::Arm).collect();
    let tried =
        GraspTries::new(request, settings, world, &mut None, ends.len()).all(&candidates, rng);
    let at_object = request.goal.world_from_object();
    let goals = tried.into_iter().zip(&ends).map(|(tried, end)| {
        let mut goal = match tried {
            Ok((_, goal)) => goal,
            Err(_) => FoundGoal::at(end.branch.q, end.branch.clearance()),
        };
        let pose = at_object * end.offer.object_from_gripper;
        goal.point.clearance_m = goal.point.clearance_m.max(FREE_M);
        goal.point.movable = settings.joint_grasp;
        goal.point.world_from_gripper = Some(pose.cast());
        goal.grasp = Some(end.offer);
        goal
    });
    goals.collect()
}

fn any_of(
    ends: Vec<JointEnd>,
    object: &ObjectModel,
    counts: GraspCounts,
) -> Result<Vec<JointEnd>, PlanError> {
    match ends.is_empty() {
        true => Err(PlanError::NoGrasp {
            object: object.name.clone(),
            counts,
        }),
        false => Ok(ends),
    }
}

/// A free configuration at the grasp from sixteen random seeds.
fn free_arm(
    world: &mut World,
    world_from_object: &Pose,
    offer: &GraspOffer,
    seed: u64,
) -> Result<JointEnd, NoGoal> {
    let robot = world.robot.clone();
    let gripper = robot.gripper.as_ref().ok_or(NoGoal::Unreachable)?;
    let world_from_gripper = world_from_object * offer.object_from_gripper;
    let world_from_tool = world_from_gripper * gripper.tool_from_gripper.inverse();
    let target = LaneFrame::from_poses(&[world_from_tool]).ok_or(NoGoal::Unreachable)?;
    let mut q = vec![Lanes::ZERO; robot.kinematics.dof()];
    robot
        .limits
        .draw_lanes(&mut Pcg64Mcg::seed_from_u64(seed), &mut q);
    let residual =
        InverseKinematics::new(&robot, IkSettings::default()).solve(&target, None, &mut q);
    let reached = residual.converged(POSITION_TOLERANCE_M, ANGLE_TOLERANCE_RAD);
    let rows = rows_from_lanes(&q);
    let blocked = world
        .checker
        .blocked_rows(&rows, splat(FREE_M), splat(f32::NEG_INFINITY));
    let free = reached & !blocked;
    match (0..LANES).find(|lane| free >> lane & 1 == 1) {
        Some(lane) => Ok(JointEnd {
            offer: *offer,
            branch: Branch::of(world, rows[lane]),
        }),
        None if reached != 0 => Err(NoGoal::InCollision),
        None => Err(NoGoal::Unreachable),
    }
}
