//! The hand alone against the scene: drops grasps before any inverse kinematics is solved for them.

use std::ops::Range;

use super::error::GraspCounts;
use super::grasps::GraspOffer;
use super::joint_ends::JointEnd;
use super::place::PlaceSite;
use super::world::{allow, World};
use crate::cost::SceneCollision;
use crate::field::contact::gripper_collides;
use crate::geometry::Pose;
use crate::lanes::{Lanes, LANES};
use crate::robot::{half_turn, GripperGeometry, KinematicState, LaneFrame};
use crate::scene::SceneObject;

/// The open hand keeps this far from what carries the object [m].
const SUPPORT_CLEARANCE_M: f64 = 0.001;

/// The hand's spheres in a scene, and its boxes against what carries the object: spheres around fingers are too thick to
/// reach for something flat.
struct HandCheck<'a> {
    supports: Vec<&'a SceneObject>,
    geometry: &'a GripperGeometry,
    spheres: SceneCollision,
    state: KinematicState,
    body: usize,
    gripper_from_body: Pose,
}

impl<'a> HandCheck<'a> {
    fn new(world: &'a World) -> Option<Self> {
        let gripper = world.robot.gripper.as_ref()?;
        let kinematics = &world.robot.kinematics;
        let body = kinematics.tool_body();
        let hand = world.robot.collision.of_body(body);
        let supports = world.scene.objects.iter();
        let mut spheres = SceneCollision::new(&hand, world.lane_scene.clone());
        allow(&mut spheres, &world.allowed_collisions);
        Some(Self {
            supports: supports
                .filter(|o| world.supports.contains(&o.name))
                .collect(),
            geometry: &gripper.geometry,
            spheres,
            state: kinematics.new_state(),
            body,
            gripper_from_body: (kinematics.body_from_tool() * gripper.tool_from_gripper).inverse(),
        })
    }

    /// Whether the hand is free at each of the gripper's poses.
    fn free(&mut self, world_from_gripper: &[Pose]) -> Vec<bool> {
        let mut free = Vec::with_capacity(world_from_gripper.len());
        for chunk in world_from_gripper.chunks(LANES) {
            let bodies: Vec<Pose> = chunk.iter().map(|p| p * self.gripper_from_body).collect();
            let Some(frame) = LaneFrame::from_poses(&bodies) else {
                free.resize(free.len() + chunk.len(), false);
                continue;
            };
            self.state.bodies[self.body] = frame;
            let blocked = self.spheres.in_collision(&self.state, Lanes::ZERO);
            free.extend(
                (chunk.iter().enumerate())
                    .map(|(lane, pose)| blocked >> lane & 1 == 0 && self.clears_supports(pose)),
            );
        }
        free
    }

    fn clears_supports(&self, world_from_gripper: &Pose) -> bool {
        self.supports.iter().all(|support| {
            !gripper_collides(
                &support.shape,
                &(support.world_from_object.inverse() * world_from_gripper),
                self.geometry,
                self.geometry.max_opening_m,
                SUPPORT_CLEARANCE_M + support.margin_m,
            )
        })
    }
}

/// Variants (a grasp and its half-turn) of the offers whose hand is free of the scene, at the object and, with the same variant,
/// at its place; with their rank, 0 the best and 1 the worst. Counts those that are not free.
pub fn free_variants(
    world: &World,
    world_from_object: &Pose,
    site: Option<&PlaceSite>,
    offers: Vec<GraspOffer>,
    counts: &mut GraspCounts,
) -> Vec<(f32, Vec<GraspOffer>)> {
    let variants: Vec<GraspOffer> = offers
        .into_iter()
        .flat_map(|offer| {
            let turned = GraspOffer {
                object_from_gripper: half_turn(&offer.object_from_gripper),
                ..offer
            };
            [offer, turned]
        })
        .collect();
    let poses: Vec<Pose> = variants.iter().map(|v| v.object_from_gripper).collect();
    let room = Room::of(world, world_from_object, site, &poses);
    let mut out = Vec::new();
    let ranks = ranks(variants.len() / 2);
    for (k, (rank, pair)) in ranks.zip(variants.chunks(2)).enumerate() {
        let both: Vec<GraspOffer> = (0..2)
            .filter(|turned| room.everywhere(2 * k + turned))
            .map(|turned| pair[turned])
            .collect();
        if both.is_empty() {
            room.count(2 * k..2 * k + 2, counts);
        } else {
            out.push((rank, both));
        }
    }
    out
}

/// Whether the hand is free of the scene at grasps, or at their half-turns: at the object and, so turned, at its place.
pub fn has_room(
    world: &World,
    world_from_object: &Pose,
    site: Option<&PlaceSite>,
    object_from_gripper: &[Pose],
) -> Vec<bool> {
    let poses = object_from_gripper.iter().copied();
    let variants: Vec<Pose> = poses.flat_map(|pose| [pose, half_turn(&pose)]).collect();
    let room = Room::of(world, world_from_object, site, &variants);
    (0..object_from_gripper.len())
        .map(|k| room.everywhere(2 * k) || room.everywhere(2 * k + 1))
        .collect()
}

/// Grasps that were found with the arm in them and whose hand is free at both ends, with their rank; counts those that are not.
pub fn free_ends(
    world: &World,
    world_from_object: &Pose,
    site: Option<&PlaceSite>,
    ends: Vec<JointEnd>,
    counts: &mut GraspCounts,
) -> Vec<(f32, JointEnd)> {
    let poses: Vec<Pose> = ends
        .iter()
        .map(|end| end.offer.object_from_gripper)
        .collect();
    let room = Room::of(world, world_from_object, site, &poses);
    let ranked = ranks(ends.len()).zip(ends).enumerate();
    ranked
        .filter(|(k, _)| {
            let free = room.everywhere(*k);
            if !free {
                room.count(*k..k + 1, counts);
            }
            free
        })
        .map(|(_, end)| end)
        .collect()
}

fn ranks(count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(move |k| k as f32 / count as f32)
}

/// Whether the hand is free at each of some grasps: at the object, and at its place.
struct Room {
    at_object: Vec<bool>,
    at_place: Vec<bool>,
}

impl Room {
    fn of(
        world: &World,
        world_from_object: &Pose,
        site: Option<&PlaceSite>,
        object_from_gripper: &[Pose],
    ) -> Self {
        let free_at = |world: &World, world_from_object: &Pose| {
            let poses: Vec<Pose> = object_from_gripper
                .iter()
                .map(|pose| world_from_object * pose)
                .collect();
            match HandCheck::new(world) {
                Some(mut check) => check.free(&poses),
                None => vec![true; poses.len()],
            }
        };
        let everywhere = || vec![true; object_from_gripper.len()];
        Self {
            at_object: free_at(world, world_from_object),
            at_place: site.map_or_else(everywhere, |s| free_at(&s.world, &s.world_from_object)),
        }
    }

    fn everywhere(&self, grasp: usize) -> bool {
        self.at_object[grasp] && self.at_place[grasp]
    }

    /// Counts grasps that are all variants of one.
    fn count(&self, mut variants: Range<usize>, counts: &mut GraspCounts) {
        if variants.any(|k| self.at_object[k]) {
            counts.place_blocked += 1;
        } else {
            counts.in_collision += 1;
        }
    }
}
