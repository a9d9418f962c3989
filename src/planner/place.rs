//! Where the grasped object is put down: configurations at the place, the way down to it, and the way back out.

use std::sync::Arc;

use nalgebra::Vector3;
use rand::Rng;

use super::branches::BranchSearch;
use super::error::PlanError;
use super::held::{crowding, stands_in, HeldObject};
use super::request::{Goal, PlanRequest};
use super::settings::PlannerSettings;
use super::straight::{self, Keep};
use super::world::World;
use crate::cost::SceneCollision;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::robot::RobotModel;
use crate::scene::LaneGridCache;
use crate::trajectory::{rest_to_rest_duration_s, JointRow};

/// Batches of sixteen seeds of the inverse kinematics at the place.
const BATCHES: usize = 3;
/// Ways to reach the place that are looked at for a grasp, and how many are enough.
const TRIED: usize = 6;
const ENOUGH: usize = 2;
/// Shares of the retreat that are tried in turn: out of a shelf a short one must do.
const RETREAT_SHARES: [f64; 3] = [1.0, 0.5, 0.25];

/// The place of one request.
#[derive(Clone)]
pub struct PlaceSite {
    /// The scene with the object at its place.
    pub world: World,
    pub world_from_object: Pose,
}

/// One way to put the object down.
#[derive(Clone, Debug)]
pub struct FoundPlace {
    /// From above the place straight down to it.
    pub lower: Vec<JointRow>,
    /// From the place back along the gripper's axis; only the place itself if the hand stays.
    pub retreat: Vec<JointRow>,
    /// Lower bound of the time from the grasp to above the place [s].
    pub time_s: f32,
}

impl FoundPlace {
    /// Configuration where the object stands at its place.
    pub fn q(&self) -> JointRow {
        self.retreat[0]
    }

    pub fn above(&self) -> JointRow {
        self.lower[0]
    }
}

/// Why a grasp cannot be put down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    Unreachable,
    Blocked,
}

impl PlaceSite {
    /// Lays the place out; `None` if the request has none.
    ///
    /// # Errors
    /// [`PlanError::GoalInCollision`] if the object would stand in an obstacle.
    pub fn prepare(
        robot: &Arc<RobotModel>,
        request: &PlanRequest,
        settings: &PlannerSettings,
        grids: &mut LaneGridCache,
    ) -> Result<Option<Self>, PlanError> {
        let (Some(world_from_object), Some((object, _))) =
            (request.place_world_from_object, request.goal.target())
        else {
            return Ok(None);
        };
        let found = stands_in(&request.scene, object, &world_from_object, |_| true);
        if let Some((obstacle, depth_m)) = found {
            let reason = format!(
                "at its place '{}' would stand {:.1} mm deep in '{obstacle}'",
                object.name,
                1e3 * depth_m
            );
            return Err(PlanError::GoalInCollision { reason });
        }
        let there = PlanRequest {
            start_velocity: Vec::new(),
            start_acceleration: Vec::new(),
            goal: Goal::Grasps {
                object: Some(object.clone()),
                world_from_object,
                object_from_gripper: Vec::new(),
            },
            ..request.clone()
        };
        let mut world = World::lay_out(robot, &there, settings, grids)?;
        if let Some((obstacle, missing_m)) = crowding(&world, &world_from_object) {
            let reason = format!(
                "at its place '{}' would stand too near '{obstacle}' to be let down: {:.1} mm more are needed",
                object.name,
                1e3 * missing_m
            );
            return Err(PlanError::GoalInCollision { reason });
        }
        world.set_margin(request.collision_margin_m);
        let own_clearance_m = world.checker.clearance(world.start).own_m;
        world.limit_self_margin(own_clearance_m);
        Ok(Some(Self {
            world,
            world_from_object,
        }))
    }

    /// Ways to put down an object that hangs in the hand as `object_from_gripper`, the fastest from `from` first.
    /// `near`: only configurations close to these are looked for.
    pub fn find(
        &mut self,
        request: &PlanRequest,
        object: &Arc<ObjectModel>,
        object_from_gripper: &Pose,
        from: JointRow,
        near: &[JointRow],
        rng: &mut impl Rng,
    ) -> Result<Vec<FoundPlace>, NoPlace> {
        let robot = self.world.robot.clone();
        let (Some(gripper), Some(held)) = (
            &robot.gripper,
            HeldObject::new(&robot, object, object_from_gripper),
        ) else {
            return Err(NoPlace::Unreachable);
        };
        self.world.start = from;
        let world_from_gripper = self.world_from_object * object_from_gripper;
        let world_from_tool = world_from_gripper * gripper.tool_from_gripper.inverse();
        let mut branches = Vec::new();
        let mut reached = false;
        let mut searches: Vec<BranchSearch> = near
            .iter()
            .map(|q| BranchSearch::near(&self.world, world_from_tool, *q))
            .collect();
        if near.is_empty() {
            searches.push(BranchSearch::new(&self.world, world_from_tool));
        }
        for search in &mut searches {
            search.target_may_touch = true;
            for _ in 0..if near.is_empty() { BATCHES } else { 1 } {
                search.batch(&mut self.world, rng);
            }
            reached |= search.converged > 0;
            branches.extend(search.best(if near.is_empty() { TRIED } else { 1 }));
        }
        let back = world_from_gripper.rotation * Vector3::z() * -request.retreat_distance_m;
        let held = held.in_scene(&self.world);
        let mut found: Vec<FoundPlace> = Vec::new();
        for branch in branches {
            found.extend(self.around(request, &held, branch.q, &back));
            if found.len() == ENOUGH {
                break;
            }
        }
        found.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        match (found.is_empty(), reached) {
            (false, _) => Ok(found),
            (true, true) => Err(NoPlace::Blocked),
            (true, false) => Err(NoPlace::Unreachable),
        }
    }

    /// The way down to a configuration at the place, and back out.
    fn around(
        &mut self,
        request: &PlanRequest,
        held: &SceneCollision,
        q: JointRow,
        back: &Vector3<f64>,
    ) -> Option<FoundPlace> {
        let mut lower = straight::up(&mut self.world, q, request, Some(held))?;
        lower.reverse();
        let retreat = if request.retreat_distance_m > 0.0 {
            RETREAT_SHARES.iter().find_map(|share| {
                straight::path(&mut self.world, q, &(back * *share), Keep::SceneAndTarget)
            })?
        } else {
            vec![q]
        };
        let limits = &self.world.objective.limits;
        Some(FoundPlace {
            time_s: rest_to_rest_duration_s(self.world.start, lower[0], limits),
            lower,
            retreat,
        })
    }
}
