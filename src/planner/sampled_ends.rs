//! Ends of motions as the field gives them, one for each particle: the paper's own experiment (arXiv 2209.03855, Fig. 5).
//!
//! Nothing is chosen by reach, approach or lift here. Jointly, random configurations descend grasp energy, collision and limits
//! together, and the energy stays a term of the motions that end there. Decoupled, grasps are sampled, then inverse kinematics
//! finds the arm, and what collides is dropped, since the ends stay where they are.

use super::error::{GraspCounts, PlanError};
use super::goals::FoundGoal;
use super::grasps::{self, GraspOffer};
use super::joint_ends::JointSearch;
use super::result::Stage;
use crate::field::ObjectModel;
use crate::lanes::{splat, Lanes, LANES};
use crate::robot::{IkSettings, InverseKinematics, LaneFrame};
use crate::scene::LaneGridCache;
use crate::trajectory::{rows_from_lanes, JointRow};

/// A configuration has reached its grasp within these.
const POSITION_TOLERANCE_M: f32 = 1e-4;
const ANGLE_TOLERANCE_RAD: f32 = 1e-3;
/// Clearance to the scene with which an end counts as free, and to which a movable one is pushed [m].
const FREE_M: f32 = 0.003;

/// The free ones of `count` configurations that descend everything together, the best grasps first.
///
/// # Errors
/// [`PlanError::NoGrasp`] if none is left, [`PlanError::Cancelled`], [`PlanError::Timeout`].
pub fn joint(
    mut search: JointSearch<'_, '_>,
    count: usize,
    grids: &mut LaneGridCache,
) -> Result<Vec<FoundGoal>, PlanError> {
    let mut counts = GraspCounts::default();
    let ends = search.ends_from_anywhere(count, FREE_M, &mut counts, grids)?;
    let goals = ends
        .into_iter()
        .map(|end| goal(&mut search, end.offer, end.branch.q, true));
    any_of(goals.collect(), search.object, counts)
}

/// Free ends at up to `count` grasps drawn from the field with `seed`.
///
/// # Errors
/// [`PlanError::NoGrasp`] if none is left, [`PlanError::Cancelled`], [`PlanError::Timeout`].
pub fn decoupled(
    mut search: JointSearch<'_, '_>,
    count: usize,
    seed: u64,
) -> Result<Vec<FoundGoal>, PlanError> {
    let offers = grasps::sample(search.object, count, seed);
    let mut counts = GraspCounts {
        offered: offers.len(),
        ..GraspCounts::default()
    };
    let mut goals = Vec::with_capacity(offers.len());
    for offer in offers {
        search.session.checkpoint(Stage::Sample, 0.1)?;
        if let Some(q) = free_arm(&mut search, &offer, &mut counts) {
            goals.push(goal(&mut search, offer, q, false));
        }
    }
    any_of(goals, search.object, counts)
}

fn any_of(
    goals: Vec<FoundGoal>,
    object: &ObjectModel,
    counts: GraspCounts,
) -> Result<Vec<FoundGoal>, PlanError> {
    match goals.is_empty() {
        true => Err(PlanError::NoGrasp {
            object: object.name.clone(),
            counts,
        }),
        false => Ok(goals),
    }
}

/// A free configuration at the grasp from sixteen random seeds.
fn free_arm(
    search: &mut JointSearch<'_, '_>,
    offer: &GraspOffer,
    counts: &mut GraspCounts,
) -> Option<JointRow> {
    let world = &mut *search.world;
    let robot = world.robot.clone();
    let gripper = robot.gripper.as_ref()?;
    let world_from_gripper = search.world_from_object * offer.object_from_gripper;
    let world_from_tool = world_from_gripper * gripper.tool_from_gripper.inverse();
    let target = LaneFrame::from_poses(&[world_from_tool])?;
    let mut q = vec![Lanes::ZERO; robot.kinematics.dof()];
    robot.limits.draw_lanes(search.rng, &mut q);
    let residual =
        InverseKinematics::new(&robot, IkSettings::default()).solve(&target, None, &mut q);
    let reached = residual.converged(POSITION_TOLERANCE_M, ANGLE_TOLERANCE_RAD);
    let rows = rows_from_lanes(&q);
    let blocked = world
        .checker
        .blocked_rows(&rows, splat(FREE_M), splat(f32::NEG_INFINITY));
    let free = reached & !blocked;
    match (0..LANES).find(|lane| free >> lane & 1 == 1) {
        Some(lane) => return Some(rows[lane]),
        None if reached != 0 => counts.in_collision += 1,
        None => counts.unreachable += 1,
    }
    None
}

fn goal(
    search: &mut JointSearch<'_, '_>,
    offer: GraspOffer,
    q: JointRow,
    movable: bool,
) -> FoundGoal {
    let world_from_gripper = search.world_from_object * offer.object_from_gripper;
    let clearance = search.world.checker.clearance(q);
    let mut goal = FoundGoal::at(q, clearance);
    goal.point.clearance_m = clearance.scene_m.max(FREE_M);
    goal.entry_clearance_m = goal.point.clearance_m;
    goal.point.movable = movable;
    goal.point.world_from_gripper = Some(world_from_gripper.cast());
    goal.grasp = Some(offer);
    goal
}
