//! Ends of motions as the field gives them, one for each particle: the paper's own experiment (arXiv 2209.03855, Fig. 5).
//!
//! Nothing is chosen by reach, approach or lift here. Jointly, random configurations descend grasp energy, collision and limits
//! together, and the energy stays a term of the motions that end there. Decoupled, grasps are sampled, then inverse kinematics
//! finds the arm, and what collides is dropped, since the ends stay where they are.

use rand::Rng;

use super::configurations::{arm_clear_in, from_anywhere};
use super::error::{GraspCounts, PlanError};
use super::goals::FoundGoal;
use super::grasps::{self, GraspOffer};
use super::world::{joint_row, World};
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::lanes::{splat, Lanes, LANES};
use crate::optimizer::{ConfigurationProblem, ConfigurationSettings};
use crate::robot::{IkSettings, InverseKinematics, LaneFrame};
use crate::scene::LaneGridCache;
use crate::trajectory::{rows_from_lanes, JointRow};

/// A configuration has reached its grasp within these.
const POSITION_TOLERANCE_M: f32 = 1e-4;
const ANGLE_TOLERANCE_RAD: f32 = 1e-3;
/// Clearance to the scene with which an end counts as free, and to which a movable one is pushed [m].
const FREE_M: f32 = 0.003;

/// The free ones of `count` configurations that descend everything together, the best grasps first; an error if none is left.
pub fn joint(
    world: &mut World,
    object: &ObjectModel,
    world_from_object: &Pose,
    count: usize,
    grids: &mut LaneGridCache,
    rng: &mut impl Rng,
) -> Result<Vec<FoundGoal>, PlanError> {
    let robot = world.robot.clone();
    let none = |counts| PlanError::NoGrasp {
        object: object.name.clone(),
        counts,
    };
    let collision = arm_clear_in(world, object, world_from_object, grids);
    let problem = ConfigurationProblem::new(&robot, collision);
    let (Some(problem), Some(gripper)) = (problem, robot.gripper.as_ref()) else {
        return Err(none(GraspCounts::default()));
    };
    let problem = problem.draw_to(from_anywhere(object, world_from_object));
    let mut counts = GraspCounts {
        offered: count,
        ..GraspCounts::default()
    };
    let mut ends = Vec::new();
    for configuration in problem.solve(&ConfigurationSettings::default(), count, rng) {
        let tool = robot.kinematics.tool_pose(&configuration.q);
        let world_from_gripper = tool * gripper.tool_from_gripper;
        let pose = world_from_object.inverse() * world_from_gripper;
        let q = joint_row(&configuration.q);
        let checker = &mut world.checker;
        if checker.blocked_rows(&[q; LANES], splat(FREE_M), splat(f32::NEG_INFINITY)) != 0 {
            counts.in_collision += 1;
        } else if let Some(offer) = grasps::judged(object, &pose, configuration.end_value) {
            ends.push(goal(world, offer, &world_from_gripper, q, true));
        }
    }
    match ends.is_empty() {
        true => Err(none(counts)),
        false => Ok(ends),
    }
}

/// Free ends at up to `count` grasps drawn from the field with `seed`; an error if none is left.
pub fn decoupled(
    world: &mut World,
    object: &ObjectModel,
    world_from_object: &Pose,
    count: usize,
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
        if let Some(q) = free_arm(world, &world_from_gripper, &mut counts, rng) {
            ends.push(goal(world, offer, &world_from_gripper, q, false));
        }
    }
    match ends.is_empty() {
        true => Err(PlanError::NoGrasp {
            object: object.name.clone(),
            counts,
        }),
        false => Ok(ends),
    }
}

/// A free configuration at the gripper pose from sixteen random seeds.
fn free_arm(
    world: &mut World,
    world_from_gripper: &Pose,
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
    let free = reached & !blocked;
    match (0..LANES).find(|lane| free >> lane & 1 == 1) {
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
