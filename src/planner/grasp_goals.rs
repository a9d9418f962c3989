//! Goals at grasps: those that the arm can reach, approach, lift from and put down, and why the others are none.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::error::{GraspCounts, PlanError};
use super::goals::{with_fixed_twins, FoundGoal};
use super::grasp_try::{Candidate, GraspTries, NoGoal};
use super::grasps::{self, is_steady, GraspOffer};
use super::hand;
use super::held::HeldObject;
use super::joint_ends::{JointEnd, JointSearch};
use super::place::PlaceSite;
use super::request::{Goal, PlanRequest};
use super::result::Stage;
use super::session::Session;
use super::settings::PlannerSettings;
use super::straight;
use super::world::World;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::scene::LaneGridCache;

/// Extra lower-bound time that the worst offered grasp is worth against the best one [s].
const RANK_TIME_S: f32 = 0.3;
/// The same for a grasp that is steady against one that is not [s].
const STEADY_TIME_S: f32 = 1.0;
/// Grasps are tried in slices of this many, until enough goals are found.
const SLICE: usize = 16;

/// Where grasps of an object come from. Each is asked only where none of those before it can be used.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// Drawn once from the field and kept with the object: every request gets them.
    Kept,
    /// Those that the shape allows, rated by the field, for which the hand has room: of those kept with the object.
    KeptByShape,
    /// New ones, and how many poses are drawn for each that is wanted.
    ByShape { each: u64 },
    /// The kept ones moved by the field until the whole arm is free.
    WithArm,
    /// New draws of the field for which the hand has room.
    Drawn,
}

impl Source {
    /// Of new draws by shape mostly a few find some, and many take eight times as long.
    const FEW: Self = Self::ByShape { each: 32 };
    const MANY: Self = Self::ByShape { each: 256 };
    const ALL: [Self; 6] = [
        Self::Kept,
        Self::KeptByShape,
        Self::FEW,
        Self::MANY,
        Self::WithArm,
        Self::Drawn,
    ];

    /// Those of a try, the first being 0. Each begins later, for what those left out gave was of no use; few draws more would find no
    /// others than those of the try before.
    fn of_try(number: usize) -> &'static [Self] {
        match number {
            0 | 1 => &Self::ALL[number..],
            _ => &Self::ALL[3..],
        }
    }

    /// Whether it is worth asking for steady grasps where those before it gave only others.
    fn is_quick(self) -> bool {
        matches!(self, Self::Kept | Self::KeptByShape | Self::FEW)
    }
}

/// One search for goals at grasps.
pub struct GraspSearch<'a, 's> {
    pub world: &'a mut World,
    pub request: &'a PlanRequest,
    pub settings: &'a PlannerSettings,
    pub site: &'a mut Option<PlaceSite>,
    pub grids: &'a mut LaneGridCache,
    /// Of the try, see [`Source::of_try`].
    pub number: usize,
    pub rng: &'a mut Pcg64Mcg,
    pub session: &'a mut Session<'s>,
    pub counts: GraspCounts,
    /// Whether the arm reached any grasp, colliding or not.
    pub reached: bool,
}

fn may_be_steady(goal: &FoundGoal) -> bool {
    let measured = goal.grasp.and_then(|grasp| grasp.steady);
    measured.unwrap_or(true)
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
                let mut shaky = Vec::new();
                for &source in Source::of_try(self.number) {
                    if !shaky.is_empty() && !source.is_quick() {
                        break;
                    }
                    let goals = self.at_grasps_of(source, object)?;
                    if goals.iter().any(may_be_steady) {
                        return Ok(goals);
                    }
                    if shaky.is_empty() {
                        shaky = goals;
                    }
                    // Others stand as far away.
                    if self.out_of_reach() {
                        break;
                    }
                }
                if !shaky.is_empty() {
                    return Ok(shaky);
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
        let has_room = |poses: &[Pose]| self.has_room(poses);
        let offers = match source {
            Source::Kept => grasps::kept(object),
            Source::KeptByShape | Source::ByShape { .. } if !self.settings.shape_grasps => {
                return Ok(Vec::new())
            }
            Source::KeptByShape => grasps::kept_by_shape(object, has_room),
            Source::ByShape { each } => {
                grasps::between_surfaces_with_room(object, count, each, seed, has_room)
            }
            Source::WithArm => return self.with_arm(object, &grasps::kept(object)),
            Source::Drawn => grasps::sample_with_room(object, count, seed, has_room),
        };
        self.counts.offered += offers.len();
        self.at_offers(offers)
    }

    /// Whether the hand is free at each of some grasps, or at their half-turns: at the object and at its place.
    fn has_room(&self, object_from_gripper: &[Pose]) -> Vec<bool> {
        let at_object = self.request.goal.world_from_object();
        hand::has_room(
            self.world,
            &at_object,
            self.site.as_ref(),
            object_from_gripper,
        )
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
        ranked: impl Iterator<Item = (f32, Candidate)>,
    ) -> Result<Vec<FoundGoal>, PlanError> {
        let (ranks, candidates): (Vec<f32>, Vec<Candidate>) = ranked.unzip();
        let mut found: Vec<(f32, FoundGoal)> = Vec::new();
        let at_once = candidates.len().min(SLICE);
        let mut tries =
            GraspTries::new(self.request, self.settings, self.world, self.site, at_once);
        for (ranks, slice) in ranks.chunks(SLICE).zip(candidates.chunks(SLICE)) {
            self.session.checkpoint(Stage::Sample, 0.05)?;
            if found.len() >= 2 * self.settings.goal_branches {
                break;
            }
            for (rank, tried) in ranks.iter().zip(tries.all(slice, self.rng)) {
                self.reached |= !matches!(tried, Err(NoGoal::Unreachable));
                match tried {
                    Ok((time_s, goal)) => found.push((time_s + RANK_TIME_S * rank, goal)),
                    Err(reason) => reason.count(&mut self.counts),
                }
            }
        }
        if let Goal::Grasp { object, .. } = &self.request.goal {
            found.par_iter_mut().for_each(|(time_s, goal)| {
                if let Some(grasp) = &mut goal.grasp {
                    let pose = &grasp.object_from_gripper;
                    let steady = grasp.steady.unwrap_or_else(|| is_steady(object, pose));
                    grasp.steady = Some(steady);
                    *time_s += if steady { 0.0 } else { STEADY_TIME_S };
                }
            });
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
