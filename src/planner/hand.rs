//! The hand, and the link before it, against the scene: drops grasps before any inverse kinematics is solved for them.

use std::ops::Range;

use rayon::prelude::*;

use super::error::GraspCounts;
use super::grasps::GraspOffer;
use super::joint_ends::JointEnd;
use super::place::PlaceSite;
use super::world::{allow, World};
use crate::cost::SceneCollision;
use crate::field::contact::gripper_collides;
use crate::geometry::Pose;
use crate::lanes::{Lanes, LANES};
use crate::robot::{half_turn, GripperGeometry, KinematicModel, KinematicState, LaneFrame};
use crate::scene::SceneObject;

/// The open hand keeps this far from what carries the object [m].
const SUPPORT_CLEARANCE_M: f64 = 0.001;
/// Places of the wrist that are looked at for a grasp.
const WRIST_PLACES: usize = 2 * LANES;
/// Bits of all lanes.
const ALL: u32 = (1 << LANES) - 1;

/// The hand's spheres in a scene, and its boxes against what carries the object: spheres around fingers are too thick to
/// reach for something flat.
struct HandCheck<'a> {
    supports: Vec<&'a SceneObject>,
    geometry: &'a GripperGeometry,
    spheres: SceneCollision,
    kinematics: &'a KinematicModel,
    body: usize,
    gripper_from_body: Pose,
    wrist: Option<Wrist>,
}

/// The link before the hand. For a pose of the hand only one joint moves it, so that all its places can be looked at.
struct Wrist {
    spheres: SceneCollision,
    body: usize,
    hand_from_wrist: Vec<Pose>,
}

impl Wrist {
    fn new(world: &World) -> Option<Self> {
        let robot = &world.robot;
        let (body, hand_from_wrist) = robot.kinematics.before_tool(&robot.limits, WRIST_PLACES)?;
        let spheres = world.checker.collision.scene().of_body(body);
        Some(Self {
            spheres,
            body,
            hand_from_wrist,
        })
    }

    /// Whether it is free somewhere.
    fn is_free(&self, world_from_hand: &Pose, state: &mut KinematicState) -> bool {
        self.hand_from_wrist.chunks(LANES).any(|places| {
            let places: Vec<Pose> = places.iter().map(|p| world_from_hand * p).collect();
            LaneFrame::from_poses(&places).is_some_and(|frame| {
                state.bodies[self.body] = frame;
                self.spheres.in_collision(state, Lanes::ZERO) != ALL
            })
        })
    }
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
            kinematics,
            body,
            wrist: Wrist::new(world),
            gripper_from_body: (kinematics.body_from_tool() * gripper.tool_from_gripper).inverse(),
        })
    }

    /// Whether hand and wrist are free at each of the gripper's poses.
    fn free(&self, world_from_gripper: &[Pose]) -> Vec<bool> {
        let chunks = world_from_gripper.par_chunks(LANES);
        let free = chunks.map_init(
            || self.kinematics.new_state(),
            |state, chunk| {
                let hands: Vec<Pose> = chunk.iter().map(|p| p * self.gripper_from_body).collect();
                let blocked = LaneFrame::from_poses(&hands).map_or(ALL, |frame| {
                    state.bodies[self.body] = frame;
                    self.spheres.in_collision(state, Lanes::ZERO)
                });
                let mut is_free = |(lane, (pose, hand)): (usize, (&Pose, &Pose))| {
                    blocked >> lane & 1 == 0
                        && self.clears_supports(pose)
                        && (self.wrist.as_ref()).is_none_or(|wrist| wrist.is_free(hand, state))
                };
                let lanes = chunk.iter().zip(&hands).enumerate();
                lanes.map(&mut is_free).collect::<Vec<bool>>()
            },
        );
        free.flatten_iter().collect()
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

/// Whether the hand is free at each of some grasps of an object.
fn free_at(world: &World, world_from_object: &Pose, object_from_gripper: &[Pose]) -> Vec<bool> {
    let Some(check) = HandCheck::new(world) else {
        return vec![true; object_from_gripper.len()];
    };
    let poses = object_from_gripper.iter();
    let poses: Vec<Pose> = poses.map(|pose| world_from_object * pose).collect();
    check.free(&poses)
}

/// Whether the hand is free at each of some grasps: at the object, and at its place too.
struct Room {
    at_object: Vec<bool>,
    everywhere: Vec<bool>,
}

impl Room {
    fn of(
        world: &World,
        world_from_object: &Pose,
        site: Option<&PlaceSite>,
        object_from_gripper: &[Pose],
    ) -> Self {
        let at_object = free_at(world, world_from_object, object_from_gripper);
        let everywhere = match site {
            None => at_object.clone(),
            Some(site) => {
                let free = object_from_gripper.iter().zip(&at_object);
                let free: Vec<Pose> = free.filter(|(_, free)| **free).map(|(p, _)| *p).collect();
                let mut there = free_at(&site.world, &site.world_from_object, &free).into_iter();
                let both = |&free: &bool| free && there.next() == Some(true);
                at_object.iter().map(both).collect()
            }
        };
        Self {
            at_object,
            everywhere,
        }
    }

    fn everywhere(&self, grasp: usize) -> bool {
        self.everywhere[grasp]
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
