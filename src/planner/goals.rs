//! From the goal of a request to joint configurations worth optimising towards.

use rand::Rng;

use super::branches::BranchSearch;
use super::checker::Clearance;
use super::constraints;
use super::error::{GraspCounts, PlanError};
use super::facade::Tries;
use super::grasp_goals::GraspSearch;
use super::grasps::GraspOffer;
use super::joint_ends::JointSearch;
use super::place::{FoundPlace, PlaceSite};
use super::request::{Goal, PlanRequest};
use super::result::Stage;
use super::sampled_ends;
use super::session::Session;
use super::settings::{GraspEnds, PlannerSettings};
use super::world::{joint_row, joint_values, World};
use crate::geometry::Pose;
use crate::optimizer::GoalPoint;
use crate::scene::LaneGridCache;
use crate::trajectory::JointRow;

/// A configuration to end at, and how to get there.
#[derive(Clone, Debug)]
pub struct FoundGoal {
    pub point: GoalPoint,
    /// Configuration at the beginning of the straight approach.
    pub pregrasp: Option<JointRow>,
    /// Smallest clearance where sampling-based seeds end [m].
    pub entry_clearance_m: f32,
    /// The goal in double precision, where the request gives it exactly.
    pub exact: Option<Vec<f64>>,
    pub grasp: Option<GraspOffer>,
    /// Ways to put the object down with this grasp, the fastest first; empty if it is not placed.
    pub places: Vec<FoundPlace>,
}

impl FoundGoal {
    /// A configuration to come to rest at, as free as `clearance`.
    pub fn at(q: JointRow, clearance: Clearance) -> Self {
        Self {
            point: GoalPoint {
                q,
                clearance_m: clearance.scene_m,
                target_clearance_m: clearance.target_m,
                movable: false,
                world_from_gripper: None,
            },
            pregrasp: None,
            entry_clearance_m: clearance.scene_m,
            exact: None,
            grasp: None,
            places: Vec::new(),
        }
    }

    /// Where sampling-based seeds end: before the straight approach, if there is one.
    pub fn entry(&self) -> JointRow {
        self.pregrasp.unwrap_or(self.point.q)
    }

    /// Corners of a path: those given, then the approach.
    pub fn corners(&self, before: &[JointRow]) -> Vec<JointRow> {
        before
            .iter()
            .copied()
            .chain(self.pregrasp)
            .chain([self.point.q])
            .collect()
    }
}

/// Goals worth optimising towards, the most promising first; an error says why there is none.
pub fn find(
    world: &mut World,
    request: &PlanRequest,
    settings: &PlannerSettings,
    site: &mut Option<PlaceSite>,
    grids: &mut LaneGridCache,
    tries: &mut Tries,
    session: &mut Session<'_>,
) -> Result<Vec<FoundGoal>, PlanError> {
    session.checkpoint(Stage::Sample, 0.0)?;
    let rng = &mut tries.rng;
    match &request.goal {
        Goal::Joints(q) => joints(world, q).map(|g| vec![g]),
        Goal::Pose { world_from_tool } => pose(world, world_from_tool, settings, rng, session),
        Goal::Grasp {
            object,
            world_from_object: pose,
        } if settings.grasp_ends == GraspEnds::AsSampled => {
            let search = JointSearch {
                world,
                object,
                world_from_object: *pose,
                rng,
                session,
            };
            let count = request.num_particles;
            let ends = match settings.joint_grasp {
                true => sampled_ends::joint(search, count, grids)?,
                false => sampled_ends::decoupled(search, count, request.seed)?,
            };
            Ok(sampled_ends::goals(ends, request, settings, world, rng))
        }
        Goal::Grasp { .. } | Goal::Grasps { .. } => GraspSearch {
            world,
            request,
            settings,
            site,
            grids,
            number: tries.number,
            rng,
            session,
            counts: GraspCounts::default(),
            reached: false,
        }
        .find(),
    }
}

fn joints(world: &mut World, q: &[f64]) -> Result<FoundGoal, PlanError> {
    let row = joint_row(q);
    let clearance = world.checker.clearance(row);
    if clearance.scene_m.min(clearance.own_m) <= 0.0 {
        let contact = world.checker.nearest_contact(row, false);
        let reason =
            contact.map_or_else(|| "the robot touches itself".to_string(), |c| c.to_string());
        return Err(PlanError::GoalInCollision { reason });
    }
    world.limit_self_margin(clearance.own_m);
    Ok(FoundGoal {
        exact: Some(q.to_vec()),
        ..FoundGoal::at(row, clearance)
    })
}

fn pose(
    world: &mut World,
    world_from_tool: &Pose,
    settings: &PlannerSettings,
    rng: &mut impl Rng,
    session: &mut Session<'_>,
) -> Result<Vec<FoundGoal>, PlanError> {
    let mut search = BranchSearch::new(world, *world_from_tool);
    if let Some(end) = world.running_end_at(world_from_tool) {
        search.offer(world, end);
    }
    let mut wanted = settings.ik_batches;
    loop {
        while search.batches < wanted {
            search.batch(world, rng);
        }
        let enough = search.distinct() >= settings.ik_branches
            || (search.distinct() >= 2 && search.batches >= 64);
        if enough || search.batches >= settings.ik_batches_limit {
            break;
        }
        session.checkpoint(Stage::Sample, 0.05)?;
        wanted = (search.batches + 16).min(settings.ik_batches_limit);
    }
    if search.branches.is_empty() {
        let p = world_from_tool.translation.vector;
        let tool = world.robot.kinematics.tool_link();
        if search.converged == 0 {
            let reason = format!(
                "'{tool}' cannot be brought to ({:.3}, {:.3}, {:.3}) m in the asked orientation: {} attempts, nearest {:.1} mm and {:.1} deg away",
                p.x, p.y, p.z, 16 * search.batches, 1e3 * search.nearest_m, search.nearest_rad.to_degrees()
            );
            return Err(PlanError::NoIkSolution { reason });
        }
        let breaking = search
            .breaking
            .map(|q| joint_values(q, world.robot.kinematics.dof()));
        let breach =
            breaking.and_then(|q| constraints::breach(&world.robot, &world.constraints, false, &q));
        if let (Some(breach), None) = (breach, search.colliding) {
            return Err(PlanError::GoalBreaksConstraint(breach));
        }
        let contact = search
            .colliding
            .and_then(|q| world.checker.nearest_contact(q, false));
        let reason = format!(
            "all {} configurations that reach the pose collide{}",
            search.converged,
            contact.map_or_else(String::new, |c| format!("; the last one: {c}"))
        );
        return Err(PlanError::GoalInCollision { reason });
    }
    let mut goals = Vec::new();
    for reached in search.best(settings.goal_branches) {
        let clearance = world.checker.clearance(reached.q);
        world.limit_self_margin(clearance.own_m);
        let scene_m = clearance.scene_m.max(0.0);
        goals.push(FoundGoal::at(
            reached.q,
            Clearance {
                scene_m,
                ..clearance
            },
        ));
    }
    Ok(goals)
}

/// Each movable goal a second time as it was sampled: where the field pulls the hand into the object, or away from a narrow
/// way in, the sampled grasp itself still stands.
pub(super) fn with_fixed_twins(goals: Vec<FoundGoal>) -> Vec<FoundGoal> {
    let fixed: Vec<FoundGoal> = goals
        .iter()
        .filter(|g| g.point.movable)
        .map(|g| FoundGoal {
            point: GoalPoint {
                movable: false,
                ..g.point.clone()
            },
            ..g.clone()
        })
        .collect();
    goals.into_iter().chain(fixed).collect()
}
