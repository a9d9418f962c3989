//! Goals at grasps: those that the arm can reach, approach, lift from and put down, and why the others are none.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::branches::{Branch, BranchSearch};
use super::error::{GraspCounts, PlanError};
use super::goals::{with_fixed_twins, FoundGoal};
use super::grasps::{self, GraspOffer};
use super::hand;
use super::held::HeldObject;
use super::joint_ends::{JointEnd, JointSearch};
use super::place::{NoPlace, PlaceSite};
use super::request::{Goal, PlanRequest};
use super::result::Stage;
use super::session::Session;
use super::settings::PlannerSettings;
use super::straight;
use super::world::World;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::optimizer::GoalPoint;
use crate::scene::LaneGridCache;
use crate::trajectory::JointRow;

/// Extra lower-bound time that the worst offered grasp is worth against the best one [s].
const RANK_TIME_S: f32 = 0.3;
/// Grasps are tried in slices of this many, until enough goals are found.
const SLICE: usize = 16;
/// Batches of sixteen seeds for each half-turn of a grasp.
const BATCHES: usize = 2;
/// Shares of the approach that are tried in turn: between shelves a short one must do.
const APPROACH_SHARES: [f64; 3] = [1.0, 0.5, 0.25];

/// Where grasps of an object come from. Each is asked only where none of those before it can be used.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// Drawn once from the field and kept with the object: every request gets them.
    Kept,
    /// Those that the shape allows, rated by the field, for which the hand has room: of those kept with the object, and new ones.
    KeptByShape,
    ByShape,
    /// The kept ones moved by the field until the whole arm is free.
    WithArm,
    /// New draws of the field for which the hand has room.
    Drawn,
}

impl Source {
    const ALL: [Self; 5] = [
        Self::Kept,
        Self::KeptByShape,
        Self::ByShape,
        Self::WithArm,
        Self::Drawn,
    ];
}

/// A grasp to be tried.
enum Candidate {
    /// The arm is to be brought to one of these: a grasp and its half-turn.
    Hand(Vec<GraspOffer>),
    /// Found together with the configuration of the arm at the object.
    Arm(JointEnd),
    /// The same at the place.
    ArmAtPlace(JointEnd),
}

/// One search for goals at grasps.
pub struct GraspSearch<'a, 's> {
    pub world: &'a mut World,
    pub request: &'a PlanRequest,
    pub settings: &'a PlannerSettings,
    pub site: &'a mut Option<PlaceSite>,
    pub grids: &'a mut LaneGridCache,
    /// Of the try: each begins with the next source, for what the last one gave was of no use.
    pub number: usize,
    pub rng: &'a mut Pcg64Mcg,
    pub session: &'a mut Session<'s>,
    pub counts: GraspCounts,
    /// Whether the arm reached any grasp, colliding or not.
    pub reached: bool,
}

impl GraspSearch<'_, '_> {
    /// Goals worth optimising towards, the most promising first; an error says why there is none.
    pub fn find(mut self) -> Result<Vec<FoundGoal>, PlanError> {
        self.search().map_err(|error| match error {
            PlanError::Timeout { limit_s, reached } => PlanError::Timeout {
                limit_s,
                reached: format!("{reached}; {}", self.tried()),
            },
            other => other,
        })
    }

    fn search(&mut self) -> Result<Vec<FoundGoal>, PlanError> {
        let request = self.request;
        match &request.goal {
            Goal::Grasp { object, .. } => {
                for source in Source::ALL.into_iter().skip(self.number) {
                    let goals = self.at_grasps_of(source, object)?;
                    if !goals.is_empty() {
                        return Ok(goals);
                    }
                    // Others stand as far away.
                    if self.out_of_reach() {
                        break;
                    }
                }
            }
            Goal::Grasps {
                object,
                object_from_gripper,
                ..
            } => {
                let mut offers = grasps::given(object_from_gripper);
                self.counts.offered = offers.len();
                if let Some(object) = object {
                    offers =
                        grasps::keep_clear_of_object(self.world, object, offers, &mut self.counts);
                }
                let goals = self.at_offers(offers)?;
                if !goals.is_empty() {
                    return Ok(goals);
                }
            }
            Goal::Joints(_) | Goal::Pose { .. } => {}
        }
        Err(self.why_none())
    }

    fn at_grasps_of(
        &mut self,
        source: Source,
        object: &ObjectModel,
    ) -> Result<Vec<FoundGoal>, PlanError> {
        let (count, seed) = (self.settings.grasp_samples, self.rng.random());
        let (world, at_object) = (&*self.world, self.request.goal.world_from_object());
        let site = self.site.as_ref();
        let has_room = |poses: &[Pose]| hand::has_room(world, &at_object, site, poses);
        let offers = match source {
            Source::Kept => grasps::kept(object),
            Source::KeptByShape | Source::ByShape if !self.settings.shape_grasps => {
                return Ok(Vec::new())
            }
            Source::KeptByShape => grasps::kept_by_shape(object, has_room),
            Source::ByShape => grasps::between_surfaces_with_room(object, count, seed, has_room),
            Source::WithArm => return self.with_arm(object, &grasps::kept(object)),
            Source::Drawn => grasps::sample_with_room(object, count, seed, has_room),
        };
        self.counts.offered += offers.len();
        self.at_offers(offers)
    }

    /// Goals at grasps that are found together with the arm, around offers at all of which arm or hand collide.
    fn with_arm(
        &mut self,
        object: &ObjectModel,
        offers: &[GraspOffer],
    ) -> Result<Vec<FoundGoal>, PlanError> {
        if !self.settings.joint_grasp || offers.is_empty() {
            return Ok(Vec::new());
        }
        let at_object = JointSearch {
            world: self.world,
            object,
            world_from_object: self.request.goal.world_from_object(),
            rng: self.rng,
            session: self.session,
        };
        let ends = at_object.ends(offers, self.grids)?;
        let goals = self.at_ends(ends, Candidate::Arm)?;
        let Some(site) = self.site.as_mut().filter(|_| goals.is_empty()) else {
            return Ok(goals);
        };
        // The place may be the narrower of both ends.
        let at_place = JointSearch {
            world: &mut site.world,
            object,
            world_from_object: site.world_from_object,
            rng: self.rng,
            session: self.session,
        };
        let ends = at_place.ends(offers, self.grids)?;
        self.at_ends(ends, Candidate::ArmAtPlace)
    }

    /// Goals at grasps that were found with the arm in them, where the hand is free at the other end too.
    fn at_ends(
        &mut self,
        ends: Vec<JointEnd>,
        candidate: fn(JointEnd) -> Candidate,
    ) -> Result<Vec<FoundGoal>, PlanError> {
        self.counts.offered += ends.len();
        let at_object = self.request.goal.world_from_object();
        let (site, counts) = (self.site.as_ref(), &mut self.counts);
        let free = hand::free_ends(self.world, &at_object, site, ends, counts);
        self.among(free.into_iter().map(|(rank, end)| (rank, candidate(end))))
    }

    /// Goals at grasps of the hand, the best offers first.
    fn at_offers(&mut self, offers: Vec<GraspOffer>) -> Result<Vec<FoundGoal>, PlanError> {
        let at_object = self.request.goal.world_from_object();
        let (site, counts) = (self.site.as_ref(), &mut self.counts);
        let free = hand::free_variants(self.world, &at_object, site, offers, counts);
        self.among(free.into_iter().map(|(rank, v)| (rank, Candidate::Hand(v))))
    }

    /// Goals among ranked candidates (0: the best, 1: the worst).
    fn among(
        &mut self,
        candidates: impl Iterator<Item = (f32, Candidate)>,
    ) -> Result<Vec<FoundGoal>, PlanError> {
        let mut found: Vec<(f32, FoundGoal)> = Vec::new();
        for (tried, (rank, candidate)) in candidates.enumerate() {
            self.session.checkpoint(Stage::Sample, 0.05)?;
            if tried % SLICE == 0 && found.len() >= 2 * self.settings.goal_branches {
                break;
            }
            let (best, place) = match candidate {
                Candidate::Hand(variants) => (self.reach_grasp(&variants), None),
                Candidate::Arm(end) => (self.reach_end(&end), None),
                Candidate::ArmAtPlace(end) => (self.reach_grasp(&[end.offer]), Some(end.branch.q)),
            };
            let Some((time_s, mut goal)) = best else {
                continue;
            };
            if let Some(carry_s) = self.find_places(&mut goal, place.as_slice()) {
                found.push((time_s + carry_s + RANK_TIME_S * rank, goal));
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut chosen: Vec<FoundGoal> = Vec::new();
        for (_, goal) in found {
            if chosen.len() >= self.settings.goal_branches {
                break;
            }
            // Only for the best: the straight way up takes longer to find than the grasp.
            if self.lifts(&goal) {
                chosen.push(goal);
            } else {
                self.counts.lift_blocked += 1;
            }
        }
        Ok(with_fixed_twins(chosen))
    }

    /// Finds where the object can be put down with a grasp (`near` configurations, if some are known); the least time to there [s],
    /// 0 where it has no place.
    fn find_places(&mut self, goal: &mut FoundGoal, near: &[JointRow]) -> Option<f32> {
        let (Some(site), Some((object, _)), Some(grasp)) =
            (&mut *self.site, self.request.goal.target(), &goal.grasp)
        else {
            return Some(0.0);
        };
        let pose = &grasp.object_from_gripper;
        match site.find(self.request, object, pose, goal.point.q, near, self.rng) {
            Ok(places) => goal.places = places,
            Err(NoPlace::Unreachable) => self.counts.place_unreachable += 1,
            Err(NoPlace::Blocked) => self.counts.place_blocked += 1,
        }
        goal.places.first().map(|place| place.time_s)
    }

    /// Whether the object can be lifted from a grasp. Where it is only lifted, the verifier alone looks at the object itself.
    fn lifts(&mut self, goal: &FoundGoal) -> bool {
        if self.request.lift_distance_m == 0.0 {
            return true;
        }
        let held = match (&self.world.target, &goal.grasp) {
            (Some((object, _)), Some(grasp)) if self.site.is_some() => {
                HeldObject::new(&self.world.robot, object, &grasp.object_from_gripper)
                    .map(|held| held.in_scene(self.world))
            }
            _ => None,
        };
        straight::up(self.world, goal.point.q, self.request, held.as_ref()).is_some()
    }

    /// The fastest way to reach one of the variants of a grasp, and the lower bound of its time [s]; counts why there is none.
    fn reach_grasp(&mut self, variants: &[GraspOffer]) -> Option<(f32, FoundGoal)> {
        let robot = self.world.robot.clone();
        let gripper = robot.gripper.as_ref()?;
        let world_from_object = self.request.goal.world_from_object();
        let (mut reached, mut breaks) = (false, false);
        let mut best: Option<(f32, FoundGoal)> = None;
        for offer in variants {
            let world_from_gripper = world_from_object * offer.object_from_gripper;
            let world_from_tool = world_from_gripper * gripper.tool_from_gripper.inverse();
            let mut search = BranchSearch::new(self.world, world_from_tool);
            search.target_may_touch = true;
            for _ in 0..BATCHES {
                search.batch(self.world, self.rng);
            }
            reached |= search.converged > 0;
            self.reached |= reached;
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
        if best.is_none() {
            if breaks {
                self.counts.against_constraint += 1;
            } else if reached {
                self.counts.in_collision += 1;
            } else {
                self.counts.unreachable += 1;
            }
        }
        best
    }

    /// The same for a configuration that is known.
    fn reach_end(&mut self, end: &JointEnd) -> Option<(f32, FoundGoal)> {
        if self.breaks_when_holding(end.branch.q) {
            self.counts.against_constraint += 1;
            return None;
        }
        let world_from_gripper =
            self.request.goal.world_from_object() * end.offer.object_from_gripper;
        let pregrasp = self.approach_start(&world_from_gripper, &end.branch);
        if pregrasp.is_none() {
            self.counts.in_collision += 1;
        }
        let goal = self.found(&end.offer, &end.branch, pregrasp?);
        Some((end.branch.time_s, goal))
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
        search.batch(self.world, self.rng);
        let pregrasp = search.best(1).first()?.q;
        let way = branch.q - pregrasp;
        if (way * way).reduce_add().sqrt() > LARGEST_CHANGE_RAD * (1.0 + distance_m as f32 * 5.0) {
            return None;
        }
        straight::is_free_towards(self.world, pregrasp, branch).then_some(pregrasp)
    }

    /// Whether it is the distance that most grasps fail at.
    fn out_of_reach(&self) -> bool {
        !self.reached && 2 * self.counts.unreachable >= self.counts.offered.max(1)
    }

    fn object_name(&self) -> String {
        let target = self.request.goal.target();
        target.map_or_else(|| "given grasps".to_string(), |(o, _)| o.name.clone())
    }

    /// What became of the grasps so far.
    fn tried(&self) -> String {
        format!("object '{}': {}", self.object_name(), self.counts)
    }

    fn why_none(&self) -> PlanError {
        let (counts, reason) = (self.counts, self.tried());
        let blocked = counts.in_collision + counts.lift_blocked + counts.place_blocked;
        if !self.out_of_reach() && blocked + counts.against_constraint > 0 {
            PlanError::GoalInCollision { reason }
        } else if counts.unreachable + counts.place_unreachable > 0 {
            PlanError::NoIkSolution { reason }
        } else {
            let object = self.object_name();
            PlanError::NoGrasp { object, counts }
        }
    }
}
