//! The grasped object while it hangs in the hand: spheres for the kernels, its true shape for the verifier.

use std::sync::Arc;

use nalgebra::Point3;

use super::verify::AttachedObject;
use super::world::{allow, World};
use crate::cost::SceneCollision;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::robot::{Ball, CollisionModel, RobotModel};
use crate::scene::{Scene, SceneObject, Shape, SignedDistance};

/// The pose of an object that stands on something is known to about this accuracy [m].
const RESTING_M: f64 = 0.01;
/// An object may stand this deep in an obstacle, for poses that are measured [m].
const DEEPEST_M: f64 = 0.005;
/// Vertices of an object that are looked at.
const MOST_VERTICES: usize = 2000;
/// A surface carries what is above it: the least upward part of its normal.
const CARRIES: f64 = 0.5;

/// An object in the hand.
pub struct HeldObject {
    object: Arc<ObjectModel>,
    /// Body of the hand, and the object in it.
    body: usize,
    body_from_object: Pose,
    hand_link: String,
    hand_from_object: Pose,
    /// Links of the hand's body: they may touch it.
    touching: Vec<String>,
}

impl HeldObject {
    /// `None` if the robot has no gripper.
    pub fn new(
        robot: &RobotModel,
        object: &Arc<ObjectModel>,
        object_from_gripper: &Pose,
    ) -> Option<Self> {
        let gripper = robot.gripper.as_ref()?;
        let kinematics = &robot.kinematics;
        let (body, body_from_hand) = kinematics.body_of_link(&gripper.hand_link).ok()?;
        let body_from_gripper = kinematics.body_from_tool() * gripper.tool_from_gripper;
        let body_from_object = body_from_gripper * object_from_gripper.inverse();
        let in_hand = |link: &&str| {
            kinematics
                .body_of_link(link)
                .is_ok_and(|(other, _)| other == body)
        };
        Some(Self {
            object: object.clone(),
            body,
            body_from_object,
            hand_link: gripper.hand_link.clone(),
            hand_from_object: body_from_hand.inverse() * body_from_object,
            touching: kinematics
                .link_names()
                .filter(in_hand)
                .map(String::from)
                .collect(),
        })
    }

    /// The robot with the object as a part of it.
    pub fn robot_with(&self, robot: &RobotModel) -> RobotModel {
        RobotModel {
            collision: self.added_to(&robot.collision, robot),
            ..robot.clone()
        }
    }

    fn added_to(&self, model: &CollisionModel, robot: &RobotModel) -> CollisionModel {
        model.with_held(
            &robot.kinematics,
            &self.object.name,
            self.body,
            &self.body_from_object,
            self.object.held_balls(),
            &self.touching,
        )
    }

    /// The object alone against a scene, what carries it excepted.
    pub fn in_scene(&self, world: &World) -> SceneCollision {
        let alone = self.added_to(&CollisionModel::default(), &world.robot);
        let mut collision = SceneCollision::new(&alone, world.lane_scene.clone());
        allow(&mut collision, &world.allowed_collisions);
        collision
    }

    /// The object for the verifier.
    pub fn attached(&self) -> AttachedObject {
        AttachedObject {
            name: self.object.name.clone(),
            link: self.hand_link.clone(),
            link_from_object: self.hand_from_object,
            shape: Shape::Mesh(self.object.surface.clone()),
            touching_links: self.touching.clone(),
        }
    }
}

/// Names of the obstacles that an object rests on: below some of it, and none of it deep in them.
pub fn supports(scene: &Scene, object: &ObjectModel, world_from_object: &Pose) -> Vec<String> {
    let carries = |obstacle: &SceneObject| {
        let mut touches = false;
        is_near(obstacle, object, world_from_object)
            && vertices(object, world_from_object).all(|v| {
                let (distance_m, gradient) = obstacle.distance_and_gradient(&v);
                touches |= distance_m < RESTING_M && gradient.z > CARRIES;
                distance_m > -RESTING_M
            })
            && touches
    };
    scene
        .objects
        .iter()
        .filter(|o| carries(o))
        .map(|o| o.name.clone())
        .collect()
}

/// Of the obstacles that count the one that an object stands deepest in, and how deep, if it is deeper than poses are off [m].
pub fn stands_in(
    scene: &Scene,
    object: &ObjectModel,
    world_from_object: &Pose,
    counts: impl Fn(&str) -> bool,
) -> Option<(String, f64)> {
    scene
        .objects
        .iter()
        .filter(|obstacle| counts(&obstacle.name) && is_near(obstacle, object, world_from_object))
        .map(|obstacle| {
            let deepest = vertices(object, world_from_object)
                .map(|v| -obstacle.distance(&v))
                .fold(0.0, f64::max);
            // A thin obstacle may pass between the vertices.
            let through = corners(obstacle)
                .map(|c| {
                    -object
                        .distance
                        .distance(&world_from_object.inverse_transform_point(&c))
                })
                .fold(0.0, f64::max);
            (obstacle.name.clone(), deepest.max(through))
        })
        .filter(|(_, depth_m)| *depth_m > DEEPEST_M)
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The obstacle that leaves an object too little room beside it to be let down, whatever the grasp: it reaches into the balls
/// that stand for the object in the hand, by so much [m].
pub fn crowding(world: &World, world_from_object: &Pose) -> Option<(String, f64)> {
    /// On the way down [m].
    const ABOVE_M: f64 = 0.005;
    let (object, _) = world.target.as_ref()?;
    let above = Pose::translation(0.0, 0.0, ABOVE_M) * world_from_object;
    let others = world.scene.objects.iter().filter(|obstacle| {
        is_beside(world, &object.name, &obstacle.name)
            && is_near(obstacle, object, world_from_object)
    });
    let depths = others.map(|obstacle| {
        let depth = |ball: &Ball| ball.radius_m - obstacle.distance(&(above * ball.center));
        let balls = object.held_balls().iter().flat_map(|g| &g.balls).map(depth);
        (
            obstacle.name.clone(),
            balls.fold(f64::NEG_INFINITY, f64::max),
        )
    });
    depths
        .filter(|(_, depth_m)| *depth_m > 0.0)
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Why the object to be grasped cannot be lifted from where it is, if it is stuck in an obstacle.
pub fn stuck(world: &World) -> Option<String> {
    let (object, world_from_object) = world.target.as_ref()?;
    let counts = |obstacle: &str| is_beside(world, &object.name, obstacle);
    let (obstacle, depth_m) = stands_in(&world.scene, object, world_from_object, counts)?;
    Some(format!(
        "'{}' stands {:.1} mm deep in '{obstacle}' where it is, so it cannot be lifted",
        object.name,
        1e3 * depth_m
    ))
}

/// Whether an obstacle neither carries an object nor may touch it.
fn is_beside(world: &World, object: &str, obstacle: &str) -> bool {
    let pairs = world.allowed_collisions.iter();
    let mut either = pairs.flat_map(|(a, b)| [[a, b], [b, a]]);
    !world.supports.iter().any(|carrier| carrier == obstacle)
        && !either.any(|[a, b]| a == object && b == obstacle)
}

/// Whether an obstacle comes near the ball around the object.
fn is_near(obstacle: &SceneObject, object: &ObjectModel, world_from_object: &Pose) -> bool {
    let (low, high) = object.surface.bounds();
    let radius_m = 0.5 * (high - low).norm();
    obstacle.distance(&(world_from_object * nalgebra::center(&low, &high))) < radius_m + RESTING_M
}

fn vertices<'a>(
    object: &'a ObjectModel,
    world_from_object: &'a Pose,
) -> impl Iterator<Item = Point3<f64>> + 'a {
    let vertices = &object.mesh.vertices;
    vertices
        .iter()
        .step_by(vertices.len().div_ceil(MOST_VERTICES).max(1))
        .map(move |v| world_from_object * Point3::from(*v))
}

/// Corners of an obstacle's bounding box, where it is bounded.
fn corners(obstacle: &SceneObject) -> impl Iterator<Item = Point3<f64>> + '_ {
    let (low, high) = obstacle.shape.bounds();
    (0..8)
        .map(move |corner| {
            Point3::from(std::array::from_fn::<f64, 3, _>(|k| {
                if corner >> k & 1 == 0 {
                    low[k]
                } else {
                    high[k]
                }
            }))
        })
        .filter(|c| c.coords.iter().all(|v| v.is_finite()))
        .map(|c| obstacle.world_from_object * c)
}
