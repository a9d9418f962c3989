//! The hand alone against the scene: drops grasps before any inverse kinematics is solved for them.

use super::error::GraspCounts;
use super::grasps::{half_turn, GraspOffer};
use super::place::PlaceSite;
use super::world::{allow, World};
use crate::cost::SceneCollision;
use crate::field::contact::gripper_collides;
use crate::geometry::Pose;
use crate::lanes::{Lanes, LANES};
use crate::robot::{GripperGeometry, KinematicState, LaneFrame};
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

/// Rank and variants (the grasp and its half-turn) of the offers whose hand is free of the scene, at the object and, with
/// the same variant, at its place; the best offers first. Counts those that are not.
pub fn free_variants(
    world: &World,
    world_from_object: &Pose,
    site: Option<&PlaceSite>,
    offers: Vec<GraspOffer>,
    counts: &mut GraspCounts,
) -> Vec<(usize, Vec<GraspOffer>)> {
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
    let free_at = |world: &World, world_from_object: &Pose| {
        let poses: Vec<Pose> = variants
            .iter()
            .map(|v| world_from_object * v.object_from_gripper)
            .collect();
        match HandCheck::new(world) {
            Some(mut check) => check.free(&poses),
            None => vec![true; poses.len()],
        }
    };
    let at_object = free_at(world, world_from_object);
    let at_place = match site {
        Some(site) => free_at(&site.world, &site.world_from_object),
        None => vec![true; variants.len()],
    };
    let mut out = Vec::new();
    for (rank, pair) in variants.chunks(2).enumerate() {
        let both: Vec<GraspOffer> = (0..2)
            .filter(|k| at_object[2 * rank + k] && at_place[2 * rank + k])
            .map(|k| pair[k])
            .collect();
        if !both.is_empty() {
            out.push((rank, both));
        } else if at_object[2 * rank] || at_object[2 * rank + 1] {
            counts.place_blocked += 1;
        } else {
            counts.in_collision += 1;
        }
    }
    out
}
