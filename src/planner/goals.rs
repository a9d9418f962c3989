//! From the goal of a request to joint configurations worth optimising towards.

use rand::Rng;

use super::branches::{Branch, BranchSearch};
use super::checker::Clearance;
use super::constraints;
use super::error::{GraspCounts, PlanError};
use super::grasps::{self, GraspOffer};
use super::hand;
use super::held::HeldObject;
use super::place::{FoundPlace, NoPlace, PlaceSite};
use super::request::{Goal, PlanRequest};
use super::result::Stage;
use super::sampled_ends;
use super::session::Session;
use super::settings::{GraspEnds, PlannerSettings};
use super::straight;
use super::world::{joint_row, joint_values, World};
use crate::geometry::Pose;
use crate::optimizer::GoalPoint;
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

/// Extra lower-bound time that the worst offered grasp is worth against the best one [s].
const RANK_TIME_S: f32 = 0.3;
/// Grasps are tried in slices of this many, until enough goals are found.
const GRASP_SLICE: usize = 16;

/// Goals worth optimising towards, the most promising first; an error says why there is none.
pub fn find(
    world: &mut World,
    request: &PlanRequest,
    settings: &PlannerSettings,
    site: &mut Option<PlaceSite>,
    rng: &mut impl Rng,
    session: &mut Session<'_>,
) -> Result<Vec<FoundGoal>, PlanError> {
    session.checkpoint(Stage::Sample, 0.0)?;
    let mut counts = GraspCounts::default();
    match &request.goal {
        Goal::Joints(q) => return joints(world, q).map(|g| vec![g]),
        Goal::Pose { world_from_tool } => {
            return pose(world, world_from_tool, settings, rng, session);
        }
        Goal::Grasp {
            object,
            world_from_object: pose,
        } => {
            if settings.grasp_ends == GraspEnds::AsSampled {
                let (count, movable) = (request.num_particles, settings.joint_grasp);
                return sampled_ends::draw(world, object, pose, count, movable, request.seed, rng);
            }
            // Where none of those that every request gets can be used, others may.
            let fresh = || grasps::sample(object, settings.grasp_samples, request.seed);
            let draws: [&dyn Fn() -> Vec<GraspOffer>; 2] = [&|| grasps::kept(object), &fresh];
            for draw in draws {
                let offers = draw();
                counts.offered += offers.len();
                let counts = &mut counts;
                let goals = reachable(
                    world, request, pose, offers, counts, settings, site, rng, session,
                )?;
                if !goals.is_empty() {
                    return Ok(goals);
                }
            }
        }
        Goal::Grasps {
            object,
            world_from_object: pose,
            object_from_gripper,
        } => {
            let mut offers = grasps::given(object_from_gripper);
            counts.offered = offers.len();
            if let Some(object) = object {
                offers = grasps::keep_clear_of_object(world, object, offers, &mut counts);
            }
            let counts = &mut counts;
            let goals = reachable(
                world, request, pose, offers, counts, settings, site, rng, session,
            )?;
            if !goals.is_empty() {
                return Ok(goals);
            }
        }
    }
    Err(why_none(request, counts))
}

/// Why no grasp became a goal.
fn why_none(request: &PlanRequest, counts: GraspCounts) -> PlanError {
    let target = request.goal.target();
    let object = target.map_or_else(|| "given grasps".to_string(), |(o, _)| o.name.clone());
    let reason = format!("object '{object}': {counts}");
    let blocked = counts.in_collision + counts.lift_blocked + counts.place_blocked;
    if blocked + counts.against_constraint > 0 {
        PlanError::GoalInCollision { reason }
    } else if counts.unreachable + counts.place_unreachable > 0 {
        PlanError::NoIkSolution { reason }
    } else {
        PlanError::NoGrasp { object, counts }
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
    let best = search.best(settings.goal_branches);
    for branch in &best {
        let own_m = world.checker.clearance(branch.q).own_m;
        world.limit_self_margin(own_m);
    }
    Ok(best
        .into_iter()
        .map(|branch| FoundGoal::at(branch.q, branch.clearance()))
        .collect())
}

/// Goals at the grasps that the arm can reach, lift from and put down, the most promising first; `counts` says why others
/// fail.
#[allow(clippy::too_many_arguments)]
fn reachable(
    world: &mut World,
    request: &PlanRequest,
    world_from_object: &Pose,
    offers: Vec<GraspOffer>,
    counts: &mut GraspCounts,
    settings: &PlannerSettings,
    site: &mut Option<PlaceSite>,
    rng: &mut impl Rng,
    session: &mut Session<'_>,
) -> Result<Vec<FoundGoal>, PlanError> {
    let total = offers.len() as f32;
    let offers = hand::free_variants(world, world_from_object, site.as_ref(), offers, counts);
    let mut found: Vec<(f32, FoundGoal)> = Vec::new();
    for (tried, (rank, variants)) in offers.into_iter().enumerate() {
        if tried % GRASP_SLICE == 0 {
            session.checkpoint(Stage::Sample, 0.05)?;
            if found.len() >= 2 * settings.goal_branches {
                break;
            }
        }
        let best = reach_grasp(world, request, &variants, counts, settings, rng);
        let Some((time_s, mut goal)) = best else {
            continue;
        };
        let carry_s = match (&mut *site, request.goal.target(), &goal.grasp) {
            (Some(site), Some((object, _)), Some(grasp)) => {
                let pose = &grasp.object_from_gripper;
                match site.find(request, object, pose, goal.point.q, &[], rng) {
                    Ok(places) => goal.places = places,
                    Err(NoPlace::Unreachable) => counts.place_unreachable += 1,
                    Err(NoPlace::Blocked) => counts.place_blocked += 1,
                }
                let Some(place) = goal.places.first() else {
                    continue;
                };
                place.time_s
            }
            _ => 0.0,
        };
        found.push((time_s + carry_s + RANK_TIME_S * rank as f32 / total, goal));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut chosen: Vec<FoundGoal> = Vec::new();
    for (_, goal) in found {
        if chosen.len() >= settings.goal_branches {
            break;
        }
        // Only for the best: the straight way up takes longer to find than the grasp.
        if lifts(world, request, &goal, site.is_some()) {
            chosen.push(goal);
        } else {
            counts.lift_blocked += 1;
        }
    }
    Ok(with_fixed_twins(chosen))
}

/// Whether the object can be lifted from a grasp. Where it is only lifted, the verifier alone looks at the object itself.
fn lifts(world: &mut World, request: &PlanRequest, goal: &FoundGoal, placed: bool) -> bool {
    if request.lift_distance_m == 0.0 {
        return true;
    }
    let held = match (&world.target, &goal.grasp) {
        (Some((object, _)), Some(grasp)) if placed => {
            HeldObject::new(&world.robot, object, &grasp.object_from_gripper)
                .map(|held| held.in_scene(world))
        }
        _ => None,
    };
    straight::up(world, goal.point.q, request, held.as_ref()).is_some()
}

/// Each movable goal a second time as it was sampled: where the field pulls the hand into the object, or away from a narrow
/// way in, the sampled grasp itself still stands.
fn with_fixed_twins(goals: Vec<FoundGoal>) -> Vec<FoundGoal> {
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

/// Batches of sixteen seeds for each half-turn of a grasp.
const GRASP_BATCHES: usize = 2;

/// The fastest way to reach one of the variants of a grasp, and the lower bound of its time [s]; counts why there is none.
fn reach_grasp(
    world: &mut World,
    request: &PlanRequest,
    variants: &[GraspOffer],
    counts: &mut GraspCounts,
    settings: &PlannerSettings,
    rng: &mut impl Rng,
) -> Option<(f32, FoundGoal)> {
    let robot = world.robot.clone();
    let gripper = robot.gripper.as_ref()?;
    let world_from_object = request.goal.world_from_object();
    let (mut reached, mut breaks) = (false, false);
    let mut best: Option<(f32, FoundGoal)> = None;
    for offer in variants {
        let world_from_gripper = world_from_object * offer.object_from_gripper;
        let mut search = BranchSearch::new(
            world,
            world_from_gripper * gripper.tool_from_gripper.inverse(),
        );
        search.target_may_touch = true;
        for _ in 0..GRASP_BATCHES {
            search.batch(world, rng);
        }
        reached |= search.converged > 0;
        breaks |= search.breaking.is_some();
        for branch in search.best(2) {
            // The object is in the hand from here on.
            if world.checker.slack_m(&world.holding_rules, branch.q) < 0.0 {
                breaks = true;
                continue;
            }
            let time_s = world.least_duration_s(branch.q);
            if best.as_ref().is_some_and(|(t, _)| *t <= time_s) {
                continue;
            }
            let Some(pregrasp) = approach_start(world, request, &world_from_gripper, &branch, rng)
            else {
                continue;
            };
            let goal = found_grasp(world, request, settings, offer, &branch, pregrasp);
            best = Some((time_s, goal));
        }
    }
    if best.is_none() {
        if breaks {
            counts.against_constraint += 1;
        } else if reached {
            counts.in_collision += 1;
        } else {
            counts.unreachable += 1;
        }
    }
    best
}

fn found_grasp(
    world: &mut World,
    request: &PlanRequest,
    settings: &PlannerSettings,
    offer: &GraspOffer,
    branch: &Branch,
    pregrasp: Option<JointRow>,
) -> FoundGoal {
    let world_from_gripper = request.goal.world_from_object() * offer.object_from_gripper;
    let entry = world
        .checker
        .obstacle_clearance(pregrasp.unwrap_or(branch.q));
    let at_rest = FoundGoal::at(branch.q, branch.clearance());
    FoundGoal {
        point: GoalPoint {
            movable: settings.joint_grasp && matches!(request.goal, Goal::Grasp { .. }),
            world_from_gripper: Some(world_from_gripper.cast()),
            ..at_rest.point
        },
        pregrasp,
        entry_clearance_m: entry.scene_m.min(entry.target_m),
        grasp: Some(*offer),
        ..at_rest
    }
}

/// Configuration at the start of the straight approach (`Some(None)` if none is asked for), or `None` if there is none free
/// of collision with a free way to the grasp.
fn approach_start(
    world: &mut World,
    request: &PlanRequest,
    world_from_gripper: &Pose,
    branch: &Branch,
    rng: &mut impl Rng,
) -> Option<Option<JointRow>> {
    if request.approach_distance_m == 0.0 {
        return Some(None);
    }
    let robot = world.robot.clone();
    let gripper = robot.gripper.as_ref()?;
    let back = Pose::translation(0.0, 0.0, -request.approach_distance_m);
    let mut search = BranchSearch::near(
        world,
        world_from_gripper * back * gripper.tool_from_gripper.inverse(),
        branch.q,
    );
    search.batch(world, rng);
    let pregrasp = search.best(1).first()?.q;
    let way = branch.q - pregrasp;
    // The whole approach is one branch of the inverse kinematics; a larger change of joints is a swing.
    const LARGEST_CHANGE_RAD: f32 = 1.0;
    if (way * way).reduce_add().sqrt()
        > LARGEST_CHANGE_RAD * (1.0 + request.approach_distance_m as f32 * 5.0)
    {
        return None;
    }
    let free = straight::is_free_towards(world, pregrasp, branch);
    free.then_some(Some(pregrasp))
}
