//! One grasp after the other: can the arm reach it, approach it, and put the object down with it?

use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::branches::{Branch, BranchSearch};
use super::error::GraspCounts;
use super::goals::FoundGoal;
use super::grasps::GraspOffer;
use super::joint_ends::JointEnd;
use super::place::{NoPlace, PlaceSite};
use super::request::{Goal, PlanRequest};
use super::settings::PlannerSettings;
use super::straight;
use super::world::World;
use crate::geometry::Pose;
use crate::optimizer::GoalPoint;
use crate::trajectory::JointRow;

/// Batches of sixteen seeds for each half-turn of a grasp.
const BATCHES: usize = 2;
/// Shares of the approach that are tried in turn: between shelves a short one must do.
const APPROACH_SHARES: [f64; 3] = [1.0, 0.5, 0.25];

/// A grasp to be tried.
pub enum Candidate {
    /// The arm is to be brought to one of these: a grasp and its half-turn.
    Hand(Vec<GraspOffer>),
    /// Found together with the configuration of the arm at the object.
    Arm(JointEnd),
    /// The same at the place.
    ArmAtPlace(JointEnd),
}

/// Why a grasp is no goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoGoal {
    Unreachable,
    InCollision,
    AgainstConstraint,
    AtPlace(NoPlace),
}

impl NoGoal {
    pub fn count(self, counts: &mut GraspCounts) {
        *match self {
            Self::Unreachable => &mut counts.unreachable,
            Self::InCollision => &mut counts.in_collision,
            Self::AgainstConstraint => &mut counts.against_constraint,
            Self::AtPlace(NoPlace::Unreachable) => &mut counts.place_unreachable,
            Self::AtPlace(NoPlace::Blocked) => &mut counts.place_blocked,
        } += 1;
    }
}

/// A goal, with a lower bound of the time that it takes [s].
pub type Tried = Result<(f32, FoundGoal), NoGoal>;

/// Tries grasps, one at a time: checks have scratch.
struct GraspTry<'a> {
    request: &'a PlanRequest,
    settings: &'a PlannerSettings,
    world: &'a mut World,
    site: Option<&'a mut PlaceSite>,
    rng: Pcg64Mcg,
}

/// Tries grasps side by side. What becomes of each does not depend on the number of threads.
pub struct GraspTries<'a> {
    request: &'a PlanRequest,
    settings: &'a PlannerSettings,
    world: &'a mut World,
    site: &'a mut Option<PlaceSite>,
    /// Copies of both, one for each further thread that there is work for.
    copies: Vec<(World, Option<PlaceSite>)>,
}

impl<'a> GraspTries<'a> {
    /// `at_once`: as many candidates will be tried at most.
    pub fn new(
        request: &'a PlanRequest,
        settings: &'a PlannerSettings,
        world: &'a mut World,
        site: &'a mut Option<PlaceSite>,
        at_once: usize,
    ) -> Self {
        let further = 1..rayon::current_num_threads().min(at_once);
        Self {
            request,
            settings,
            copies: further.map(|_| (world.clone(), site.clone())).collect(),
            world,
            site,
        }
    }

    /// What becomes of each candidate, in their order.
    pub fn all(&mut self, candidates: &[Candidate], rng: &mut impl Rng) -> Vec<Tried> {
        let seeds: Vec<u64> = candidates.iter().map(|_| rng.random()).collect();
        let next = AtomicUsize::new(0);
        let own = (&mut *self.world, self.site.as_mut());
        let copies = self.copies.iter_mut();
        let each = iter::once(own).chain(copies.map(|(world, site)| (world, site.as_mut())));
        let each: Vec<_> = each.collect();
        let tried = each.into_par_iter().map(|(world, site)| {
            let mut one = GraspTry {
                request: self.request,
                settings: self.settings,
                world,
                site,
                rng: Pcg64Mcg::new(0),
            };
            let mut tried = Vec::new();
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                let Some(candidate) = candidates.get(k) else {
                    return tried;
                };
                one.rng = Pcg64Mcg::seed_from_u64(seeds[k]);
                tried.push((k, one.goal_at(candidate)));
            }
        });
        let mut tried: Vec<(usize, Tried)> = tried.flatten_iter().collect();
        tried.sort_unstable_by_key(|(k, _)| *k);
        tried.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

impl GraspTry<'_> {
    fn goal_at(&mut self, candidate: &Candidate) -> Tried {
        let ((time_s, mut goal), near) = match candidate {
            Candidate::Hand(variants) => (self.reach_grasp(variants)?, None),
            Candidate::Arm(end) => (self.reach_end(end)?, None),
            Candidate::ArmAtPlace(end) => (self.reach_grasp(&[end.offer])?, Some(end.branch.q)),
        };
        let carry_s = self.find_places(&mut goal, near.as_slice())?;
        Ok((time_s + carry_s, goal))
    }

    /// Finds where the object can be put down with a grasp (`near` configurations, if some are known); the least time to there [s],
    /// 0 where it has no place.
    fn find_places(&mut self, goal: &mut FoundGoal, near: &[JointRow]) -> Result<f32, NoGoal> {
        let (Some(site), Some((object, _)), Some(grasp)) =
            (&mut self.site, self.request.goal.target(), &goal.grasp)
        else {
            return Ok(0.0);
        };
        let pose = &grasp.object_from_gripper;
        let found = site.find(
            self.request,
            object,
            pose,
            goal.point.q,
            near,
            &mut self.rng,
        );
        goal.places = found.map_err(NoGoal::AtPlace)?;
        // There is one at least.
        Ok(goal.places.first().map_or(0.0, |place| place.time_s))
    }

    /// The fastest way to reach one of the variants of a grasp, and the lower bound of its time [s].
    fn reach_grasp(&mut self, variants: &[GraspOffer]) -> Tried {
        let robot = self.world.robot.clone();
        let gripper = robot.gripper.as_ref().ok_or(NoGoal::Unreachable)?;
        let world_from_object = self.request.goal.world_from_object();
        let (mut reached, mut breaks) = (false, false);
        let mut best: Option<(f32, FoundGoal)> = None;
        for offer in variants {
            let world_from_gripper = world_from_object * offer.object_from_gripper;
            let world_from_tool = world_from_gripper * gripper.tool_from_gripper.inverse();
            let mut search = BranchSearch::new(self.world, world_from_tool);
            search.target_may_touch = true;
            for _ in 0..BATCHES {
                search.batch(self.world, &mut self.rng);
            }
            reached |= search.converged > 0;
            breaks |= search.breaking.is_some();
            for reached in search.best(2) {
                if self.breaks_when_holding(reached.q) {
                    breaks = true;
                    continue;
                }
                if best.as_ref().is_some_and(|(t, _)| *t <= reached.time_s) {
                    continue;
                }
                let branch = Branch::at(self.world, reached);
                if let Some(pregrasp) = self.approach_start(&world_from_gripper, &branch) {
                    best = Some((branch.time_s, self.found(offer, &branch, pregrasp)));
                }
            }
        }
        best.ok_or(match (breaks, reached) {
            (true, _) => NoGoal::AgainstConstraint,
            (false, true) => NoGoal::InCollision,
            (false, false) => NoGoal::Unreachable,
        })
    }

    /// The same for a configuration that is known.
    fn reach_end(&mut self, end: &JointEnd) -> Tried {
        if self.breaks_when_holding(end.branch.q) {
            return Err(NoGoal::AgainstConstraint);
        }
        let world_from_gripper =
            self.request.goal.world_from_object() * end.offer.object_from_gripper;
        let pregrasp = self.approach_start(&world_from_gripper, &end.branch);
        let pregrasp = pregrasp.ok_or(NoGoal::InCollision)?;
        let goal = self.found(&end.offer, &end.branch, pregrasp);
        Ok((end.branch.time_s, goal))
    }

    /// The object is in the hand from the grasp on.
    fn breaks_when_holding(&mut self, q: JointRow) -> bool {
        let world = &mut *self.world;
        world.checker.slack_m(&world.holding_rules, q) < 0.0
    }

    fn found(
        &mut self,
        offer: &GraspOffer,
        branch: &Branch,
        pregrasp: Option<JointRow>,
    ) -> FoundGoal {
        let goal = &self.request.goal;
        let world_from_gripper = goal.world_from_object() * offer.object_from_gripper;
        let entry = self
            .world
            .checker
            .obstacle_clearance(pregrasp.unwrap_or(branch.q));
        let at_rest = FoundGoal::at(branch.q, branch.clearance());
        FoundGoal {
            point: GoalPoint {
                movable: self.settings.joint_grasp && matches!(goal, Goal::Grasp { .. }),
                world_from_gripper: Some(world_from_gripper.cast()),
                ..at_rest.point
            },
            pregrasp,
            entry_clearance_m: entry.scene_m.min(entry.target_m),
            grasp: Some(*offer),
            ..at_rest
        }
    }

    /// Configuration at the start of the straight approach (`Some(None)` if none is asked for), or `None` if there is none
    /// free of collision with a free way to the grasp.
    fn approach_start(
        &mut self,
        world_from_gripper: &Pose,
        branch: &Branch,
    ) -> Option<Option<JointRow>> {
        if self.request.approach_distance_m == 0.0 {
            return Some(None);
        }
        APPROACH_SHARES
            .iter()
            .map(|share| share * self.request.approach_distance_m)
            .find_map(|distance_m| self.approach_from(world_from_gripper, branch, distance_m))
            .map(Some)
    }

    fn approach_from(
        &mut self,
        world_from_gripper: &Pose,
        branch: &Branch,
        distance_m: f64,
    ) -> Option<JointRow> {
        // The whole approach is one branch of the inverse kinematics; a larger change of joints is a swing.
        const LARGEST_CHANGE_RAD: f32 = 1.0;
        let robot = self.world.robot.clone();
        let gripper = robot.gripper.as_ref()?;
        let back = Pose::translation(0.0, 0.0, -distance_m);
        let world_from_tool = world_from_gripper * back * gripper.tool_from_gripper.inverse();
        let mut search = BranchSearch::near(self.world, world_from_tool, branch.q);
        search.batch(self.world, &mut self.rng);
        let pregrasp = search.best(1).first()?.q;
        let way = branch.q - pregrasp;
        if (way * way).reduce_add().sqrt() > LARGEST_CHANGE_RAD * (1.0 + distance_m as f32 * 5.0) {
            return None;
        }
        straight::is_free_towards(self.world, pregrasp, branch).then_some(pregrasp)
    }
}
