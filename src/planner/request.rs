//! What is asked of the planner.

use std::sync::Arc;
use std::time::Duration;

use super::constraints::PathConstraint;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::scene::Scene;

/// Where the motion shall end.
#[derive(Clone)]
pub enum Goal {
    /// Any good grasp of an object: the learned field chooses it together with the motion.
    Grasp {
        object: Arc<ObjectModel>,
        world_from_object: Pose,
    },
    /// One of the given grasps, in the object's frame (gripper frame: +z approach, x closing). With `object` given it is
    /// an obstacle for the approach and is carried during the lift.
    Grasps {
        object: Option<Arc<ObjectModel>>,
        world_from_object: Pose,
        object_from_gripper: Vec<Pose>,
    },
    /// A pose of the tool link; the planner chooses among the joint configurations that reach it.
    Pose { world_from_tool: Pose },
    /// A joint configuration, rad or m, in the robot's joint order.
    Joints(Vec<f64>),
}

impl Goal {
    /// The object to be grasped and its pose, if there is one.
    pub fn target(&self) -> Option<(&Arc<ObjectModel>, &Pose)> {
        match self {
            Goal::Grasp {
                object,
                world_from_object,
            } => Some((object, world_from_object)),
            Goal::Grasps {
                object,
                world_from_object,
                ..
            } => object.as_ref().map(|o| (o, world_from_object)),
            Goal::Pose { .. } | Goal::Joints(_) => None,
        }
    }

    /// Pose of the object that the grasps belong to; the world's own where there is none.
    pub fn world_from_object(&self) -> Pose {
        match self {
            Goal::Grasp {
                world_from_object, ..
            }
            | Goal::Grasps {
                world_from_object, ..
            } => *world_from_object,
            Goal::Pose { .. } | Goal::Joints(_) => Pose::identity(),
        }
    }

    /// Whether the gripper shall close at the end.
    pub fn is_grasp(&self) -> bool {
        matches!(self, Goal::Grasp { .. } | Goal::Grasps { .. })
    }
}

/// One planning problem. World frame: the robot's base link.
#[derive(Clone)]
pub struct PlanRequest {
    /// Joint positions, `[D]`, rad or m.
    pub start: Vec<f64>,
    /// How the arm moves there, `[D]` rad/s and rad/s^2 (or m); empty: at rest. The motion begins with exactly this state.
    pub start_velocity: Vec<f64>,
    pub start_acceleration: Vec<f64>,
    /// Obstacles, without the object to be grasped.
    pub scene: Scene,
    pub goal: Goal,
    /// Length of the straight approach along the gripper's axis [m], down to a quarter of it where there is no more room; 0: none.
    pub approach_distance_m: f64,
    /// How far the grasped object is lifted straight up [m]; 0: not at all. A placed object comes down as far.
    pub lift_distance_m: f64,
    /// Where the grasped object's frame is put; `None`: the object stays in the hand.
    pub place_world_from_object: Option<Pose>,
    /// How far the open hand draws back along its axis from the placed object [m], down to a quarter of it where there is no
    /// more room.
    pub retreat_distance_m: f64,
    /// Share of the velocity limits, (0, 1].
    pub velocity_scaling: f64,
    /// Share of the acceleration and jerk limits, (0, 1].
    pub acceleration_scaling: f64,
    /// What the whole motion must keep to.
    pub constraints: Vec<PathConstraint>,
    /// Pairs that may touch: names of links, objects of the scene, or the object to be grasped.
    pub allowed_collisions: Vec<(String, String)>,
    /// Distance kept from obstacles away from the ends of the motion [m].
    pub collision_margin_m: f64,
    /// Time after which the best verified plan so far is returned, or an error.
    pub time_limit: Duration,
    /// Straight seeds that are optimised side by side (at least 1); sampling-based seeds come on top.
    pub num_particles: usize,
    /// Equal requests with equal seeds give equal plans, as long as the time limit does not bind.
    pub seed: u64,
}

impl PlanRequest {
    /// A request with default settings.
    pub fn new(start: Vec<f64>, scene: Scene, goal: Goal) -> Self {
        Self {
            start,
            start_velocity: Vec::new(),
            start_acceleration: Vec::new(),
            scene,
            goal,
            approach_distance_m: 0.1,
            lift_distance_m: 0.1,
            place_world_from_object: None,
            retreat_distance_m: 0.1,
            velocity_scaling: 1.0,
            acceleration_scaling: 1.0,
            constraints: Vec::new(),
            allowed_collisions: Vec::new(),
            collision_margin_m: 0.01,
            time_limit: Duration::from_secs(5),
            num_particles: 12,
            seed: 0,
        }
    }

    /// Whether the motion begins at rest.
    pub fn starts_at_rest(&self) -> bool {
        let still = |values: &[f64]| values.iter().all(|v| *v == 0.0);
        still(&self.start_velocity) && still(&self.start_acceleration)
    }
}
