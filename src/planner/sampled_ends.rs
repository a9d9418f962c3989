//! Ends of motions as the field samples them, one for each particle: the paper's own experiment (arXiv 2209.03855, Fig. 5).
//!
//! Nothing is chosen by reach, approach or lift here. Where the grasp energy moves the ends together with the motions, even a
//! colliding one is a start; where they stay fixed, it is dropped, since no motion to it could be free.

use rand::Rng;

use super::error::{GraspCounts, PlanError};
use super::goals::FoundGoal;
use super::grasps::{self, GraspOffer};
use super::world::World;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::lanes::{splat, Lanes, LANES};
use crate::robot::{IkSettings, InverseKinematics, LaneFrame};
use crate::trajectory::{rows_from_lanes, JointRow};

/// A configuration has reached its grasp within these.
const POSITION_TOLERANCE_M: f32 = 1e-4;
const ANGLE_TOLERANCE_RAD: f32 = 1e-3;
/// Clearance to the scene with which an end counts as free, and to which a movable one is pushed [m].
const FREE_M: f32 = 0.003;

/// Up to `count` ends at grasps drawn from the field with `seed`; an error if none is left.
pub fn draw(
    world: &mut World,
    object: &ObjectModel,
    world_from_object: &Pose,
    count: usize,
    movable: bool,
    seed: u64,
    rng: &mut impl Rng,
) -> Result<Vec<FoundGoal>, PlanError> {
    let offers = grasps::sample(object, count, seed);
    let mut counts = GraspCounts {
        offered: offers.len(),
        ..GraspCounts::default()
    };
    let mut ends = Vec::with_capacity(offers.len());
    for offer in offers {
        let world_from_gripper = world_from_object * offer.object_from_gripper;
        match end(world, &world_from_gripper, movable, &mut counts, rng) {
            Some(q) => ends.push(goal(world, offer, &world_from_gripper, q, movable)),
            None => continue,
        }
    }
    if ends.is_empty() {
        return Err(PlanError::NoGrasp {
            object: object.name.clone(),
            counts,
        });
    }
    Ok(ends)
}

/// A configuration at the gripper pose from sixteen random seeds: a free one, or, where it may move, any.
fn end(
    world: &mut World,
    world_from_gripper: &Pose,
    movable: bool,
    counts: &mut GraspCounts,
    rng: &mut impl Rng,
) -> Option<JointRow> {
    let robot = world.robot.clone();
    let gripper = robot.gripper.as_ref()?;
    let world_from_tool = world_from_gripper * gripper.tool_from_gripper.inverse();
    let target = LaneFrame::from_poses(&[world_from_tool])?;
    let mut q = vec![Lanes::ZERO; robot.kinematics.dof()];
    robot.limits.draw_lanes(rng, &mut q);
    let residual =
        InverseKinematics::new(&robot, IkSettings::default()).solve(&target, None, &mut q);
    let reached = residual.converged(POSITION_TOLERANCE_M, ANGLE_TOLERANCE_RAD);
    let rows = rows_from_lanes(&q);
    let blocked = world
        .checker
        .blocked_rows(&rows, splat(FREE_M), splat(f32::NEG_INFINITY));
    let of_mask = |mask: u32| (0..LANES).find(|lane| mask >> lane & 1 == 1);
    let lane = of_mask(reached & !blocked).or_else(|| of_mask(reached).filter(|_| movable));
    match lane {
        Some(lane) => return Some(rows[lane]),
        None if reached != 0 => counts.in_collision += 1,
        None => counts.unreachable += 1,
    }
    None
}

fn goal(
    world: &mut World,
    offer: GraspOffer,
    world_from_gripper: &Pose,
    q: JointRow,
    movable: bool,
) -> FoundGoal {
    let clearance = world.checker.clearance(q);
    let mut goal = FoundGoal::at(q, clearance);
    goal.point.clearance_m = clearance.scene_m.max(FREE_M);
    goal.entry_clearance_m = goal.point.clearance_m;
    goal.point.movable = movable;
    goal.point.world_from_gripper = Some(world_from_gripper.cast());
    goal.grasp = Some(offer);
    goal
}
