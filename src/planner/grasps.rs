//! Grasps offered to the planner: sampled from the field or given, and filtered against the object itself.

use std::ops::Range;

use nalgebra::{Translation3, UnitQuaternion, Vector3};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::error::GraspCounts;
use super::world::World;
use crate::field::contact::{close_gripper, gripper_collides};
use crate::field::{
    final_energies, holds_around, judge_grasp, measure_steadiness, sample_grasps, sample_poses,
    select_grasps, CandidateSettings, Grasp, KeptGrasps, ObjectModel, SamplerSettings,
};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;

/// A grasp before its reachability is known. Gripper frame: +z approach, x closing.
#[derive(Clone, Copy, Debug)]
pub struct GraspOffer {
    pub object_from_gripper: Pose,
    /// Energy of the clean field, if a field offered it.
    pub energy: Option<f64>,
    /// Distance of the pads when closed [m], if known.
    pub width_m: Option<f64>,
    /// Whether it holds a little off too, if that was measured.
    pub steady: Option<bool>,
}

/// Distance that the open hand keeps from the object [m].
const HAND_CLEARANCE_M: f64 = 0.002;

/// Distance that a hand keeps which the energy has moved on its way [m].
const MOVED_CLEARANCE_M: f64 = 0.001;
/// Half angle inside which pads, and the fingers' whole faces, must meet the object [deg]: what rubber holds in physics
/// (docs/DATA.md) with some margin.
const HOLD_CONE_DEG: f64 = 30.0;
/// A grasp that holds this far off too [m] is preferred: others meet a thin wall, or its rim, by chance.
const STEADY_M: f64 = 0.001;

/// Grasps that are drawn once for an object and offered to every request: the likeliest, and as many that show how it can be
/// held otherwise.
const KEPT: usize = 128;
/// The same of those that the shape allows.
const KEPT_BY_SHAPE: usize = 256;

/// The grasps that are kept for an object and offered to every request, the best first. The first call draws and measures what is
/// kept with the object: call it when the object becomes known, else its first request takes longer.
pub fn prepare(object: &ObjectModel) -> &[Grasp] {
    object.held_balls();
    // A mesh that the verifier cannot have is refused with the request.
    let _ = object.surface.parry();
    &kept_with(object).drawn
}

fn kept_with(object: &ObjectModel) -> &KeptGrasps {
    // Many objects need few draws; of a cup one in two hundred holds.
    const DRAWS: Draws = Draws { each: 8, rounds: 8 };
    object.kept_grasps(|object| {
        let mut drawn = sample_grasps(object, &filter(), KEPT, 0);
        drawn.extend(sample_grasps(object, &diverse(), KEPT, 1));
        drawn.sort_by(|a, b| a.energy.total_cmp(&b.energy));
        let mut by_shape = between_surfaces(object, &[], KEPT_BY_SHAPE, DRAWS, 0, everywhere);
        measure_steadiness(object, STEADY_M, &mut drawn);
        measure_steadiness(object, STEADY_M, &mut by_shape);
        KeptGrasps { drawn, by_shape }
    })
}

fn everywhere(poses: &[Pose]) -> Vec<bool> {
    vec![true; poses.len()]
}

/// Those that the object's shape allows and that are kept with it, among those that `has_room` lets pass.
pub fn kept_by_shape(
    object: &ObjectModel,
    has_room: impl Fn(&[Pose]) -> Vec<bool>,
) -> Vec<GraspOffer> {
    let kept = kept_offers(&kept_with(object).by_shape);
    let poses: Vec<Pose> = kept.iter().map(|o| o.object_from_gripper).collect();
    let room = has_room(&poses);
    let with_room = kept.into_iter().zip(room).filter(|(_, room)| *room);
    with_room.map(|(offer, _)| offer).collect()
}

/// The grasps kept for an object, the best first.
pub fn kept(object: &ObjectModel) -> Vec<GraspOffer> {
    kept_offers(prepare(object))
}

/// New grasps of an object from its field, as different as the field has them, the best first.
pub fn sample(object: &ObjectModel, count: usize, seed: u64) -> Vec<GraspOffer> {
    offers(&sample_grasps(object, &diverse(), count, seed))
}

/// The same among those that `has_room` lets pass. In clutter few have room, so more are drawn for each that is wanted.
pub fn sample_with_room(
    object: &ObjectModel,
    count: usize,
    seed: u64,
    has_room: impl Fn(&[Pose]) -> Vec<bool>,
) -> Vec<GraspOffer> {
    const DRAWS: Draws = Draws { each: 8, rounds: 2 };
    let settings = diverse();
    let draw = |numbers| {
        let drawn = sample_poses(&object.field, &settings, numbers, seed);
        drawn.into_iter().map(|(pose, _)| pose).collect()
    };
    let grasps = select_with_room(object, &settings, count, DRAWS, draw, has_room);
    offers(&grasps)
}

/// New grasps that the object's shape allows and the field rates, among those that `has_room` lets pass. Tilts of which the field
/// draws few, as a board overhead may leave them, are as likely here as any. `each`: poses drawn for each that is wanted, once and,
/// where some are missing, once more.
pub fn between_surfaces_with_room(
    object: &ObjectModel,
    count: usize,
    each: u64,
    seed: u64,
    has_room: impl Fn(&[Pose]) -> Vec<bool>,
) -> Vec<GraspOffer> {
    let draws = Draws { each, rounds: 2 };
    let known = &kept_with(object).by_shape;
    offers(&between_surfaces(
        object, known, count, draws, seed, has_room,
    ))
}

/// Where some grasps are `known`, half of the draws are neighbours of these.
fn between_surfaces(
    object: &ObjectModel,
    known: &[Grasp],
    count: usize,
    draws: Draws,
    seed: u64,
    has_room: impl Fn(&[Pose]) -> Vec<bool>,
) -> Vec<Grasp> {
    // Of a cup under a board hardly any other draw has room and holds.
    const NEIGHBOURS: f64 = 0.5;
    // Nothing learnt drew them, so the contact must be the better.
    const CONE_DEG: f64 = 25.0;
    let settings = SamplerSettings {
        contact_cone_deg: CONE_DEG,
        face_cone_deg: CONE_DEG,
        ..filter()
    };
    let pairs = object.contact_pairs();
    if pairs.is_empty() {
        return Vec::new();
    }
    let (drawing, gripper) = (
        CandidateSettings::default(),
        &object.field.settings().gripper,
    );
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let draw = |numbers: Range<u64>| {
        let pairs = numbers.map(|number| pairs[number as usize % pairs.len()]);
        pairs
            .map(|pair| match known.choose(&mut rng) {
                Some(grasp) if rng.random_bool(NEIGHBOURS) => {
                    neighbour(&grasp.object_from_gripper, gripper, &mut rng)
                }
                _ => drawing.grasp(gripper, pair, &mut rng),
            })
            .collect()
    };
    select_with_room(object, &settings, count, draws, draw, has_room)
}

/// A grasp rolled about its closing axis and shifted along its approach: mostly one that holds as well, and comes another way.
fn neighbour(object_from_gripper: &Pose, gripper: &GripperGeometry, rng: &mut impl Rng) -> Pose {
    const ROLL_RAD: f64 = 1.0;
    const SHIFT_M: f64 = 0.006;
    /// Of the contact behind the tips.
    const DEPTH_M: f64 = 0.01;
    let contact = Vector3::z() * (gripper.tip_m - DEPTH_M);
    let axis = Vector3::x() * rng.random_range(-ROLL_RAD..ROLL_RAD);
    let roll = UnitQuaternion::from_scaled_axis(axis);
    let back = Vector3::z() * rng.random_range(-SHIFT_M..SHIFT_M);
    object_from_gripper * Translation3::from(contact) * roll * Translation3::from(back - contact)
}

/// How many poses are drawn for each grasp that is wanted in a round, and how often as long as some are missing.
#[derive(Clone, Copy)]
struct Draws {
    each: u64,
    rounds: usize,
}

/// Those of many drawn poses that have room and pass the filter, by the field's energy.
fn select_with_room(
    object: &ObjectModel,
    settings: &SamplerSettings,
    count: usize,
    draws: Draws,
    mut draw: impl FnMut(Range<u64>) -> Vec<Pose>,
    has_room: impl Fn(&[Pose]) -> Vec<bool>,
) -> Vec<Grasp> {
    let settings = SamplerSettings {
        max_rounds: draws.rounds,
        ..settings.clone()
    };
    let geometry = &object.field.settings().gripper;
    let with_room = |numbers: Range<u64>| {
        let drawn = draw(draws.each * numbers.start..draws.each * numbers.end);
        let room = has_room(&drawn);
        let with_room = drawn.into_par_iter().zip(room).filter(|(_, room)| *room);
        let clear = with_room.filter(|(pose, _)| !surely_touches(object, geometry, pose));
        clear.map(|(pose, _)| (pose, 0.0)).collect()
    };
    let rate = |grasps: &mut [Grasp]| {
        let poses: Vec<Pose> = grasps.iter().map(|g| g.object_from_gripper).collect();
        let energies = final_energies(&object.field, &settings, &poses);
        for (grasp, energy) in grasps.iter_mut().zip(energies) {
            grasp.energy = energy;
        }
    };
    let surface = object.near_surface(0.0);
    let target = object.target(&surface);
    select_grasps(&target, &settings, count, with_room, rate)
}

/// A pose that the optimiser came to, if it passes the filter that samples of the field pass.
pub fn judged(object: &ObjectModel, pose: &Pose, energy: f32) -> Option<GraspOffer> {
    judge_grasp(object, &filter(), pose, energy).map(|grasp| offer(&grasp))
}

/// Whether the planner would offer a grasp to the arm, as far as the object alone decides.
pub fn keeps(object: &ObjectModel, object_from_gripper: &Pose) -> bool {
    judged(object, object_from_gripper, 0.0).is_some()
}

/// Draws that follow the field's density: hardly any descent, which would gather along slow slopes (a cup's side) what the noise
/// has spread.
fn diverse() -> SamplerSettings {
    SamplerSettings {
        descent_steps: 3,
        ..filter()
    }
}

/// What a grasp must pass before the arm is sent to it.
fn filter() -> SamplerSettings {
    SamplerSettings {
        tolerance_m: -HAND_CLEARANCE_M,
        contact_cone_deg: HOLD_CONE_DEG,
        face_cone_deg: HOLD_CONE_DEG,
        ..SamplerSettings::default()
    }
}

fn offers(grasps: &[Grasp]) -> Vec<GraspOffer> {
    grasps.iter().map(offer).collect()
}

fn offer(grasp: &Grasp) -> GraspOffer {
    GraspOffer {
        object_from_gripper: grasp.object_from_gripper,
        energy: Some(f64::from(grasp.energy)),
        width_m: Some(grasp.width_m),
        steady: None,
    }
}

/// The same of grasps that are kept, and so were measured.
fn kept_offers(grasps: &[Grasp]) -> Vec<GraspOffer> {
    let measured = |grasp: &Grasp| GraspOffer {
        steady: Some(grasp.steady),
        ..offer(grasp)
    };
    grasps.iter().map(measured).collect()
}

/// Grasps given with the request, in their order.
pub fn given(object_from_gripper: &[Pose]) -> Vec<GraspOffer> {
    object_from_gripper
        .iter()
        .map(|pose| GraspOffer {
            object_from_gripper: *pose,
            energy: None,
            width_m: None,
            steady: None,
        })
        .collect()
}

/// Drops the grasps at which the open hand touches the object.
pub fn keep_clear_of_object(
    world: &World,
    object: &ObjectModel,
    offers: Vec<GraspOffer>,
    counts: &mut GraspCounts,
) -> Vec<GraspOffer> {
    let Some(gripper) = &world.robot.gripper else {
        return offers;
    };
    let before = offers.len();
    let kept: Vec<GraspOffer> = offers
        .into_iter()
        .filter(|offer| open_hand_is_clear(object, &gripper.geometry, &offer.object_from_gripper))
        .collect();
    counts.hand_touches_object = before - kept.len();
    kept
}

/// Whether the open hand keeps away from the object.
pub fn open_hand_is_clear(
    object: &ObjectModel,
    geometry: &GripperGeometry,
    object_from_gripper: &Pose,
) -> bool {
    let opening_m = geometry.max_opening_m;
    !gripper_collides(
        &*object.surface,
        object_from_gripper,
        geometry,
        opening_m,
        HAND_CLEARANCE_M,
    )
}

/// Whether the open hand overlaps the object by its sampled distance, which settles most collisions quickly, but feels walls thinner
/// than its grid only nearby.
fn surely_touches(
    object: &ObjectModel,
    geometry: &GripperGeometry,
    object_from_gripper: &Pose,
) -> bool {
    let opening_m = geometry.max_opening_m;
    gripper_collides(
        &*object.distance,
        object_from_gripper,
        geometry,
        opening_m,
        0.0,
    )
}

/// Whether a moved grasp would still hold.
pub fn seems_to_hold(
    object: &ObjectModel,
    geometry: &GripperGeometry,
    object_from_gripper: &Pose,
) -> bool {
    let settings = SamplerSettings {
        tolerance_m: -MOVED_CLEARANCE_M,
        ..filter()
    };
    !surely_touches(object, geometry, object_from_gripper)
        && judge_grasp(object, &settings, object_from_gripper, 0.0).is_some()
}

/// Whether a grasp holds a little off too.
pub fn is_steady(object: &ObjectModel, object_from_gripper: &Pose) -> bool {
    holds_around(object, object_from_gripper, STEADY_M)
}

/// Distance of the pads when the hand closes on the object there [m]; `None` if they meet nothing.
pub fn closed_width_m(
    object: &ObjectModel,
    geometry: &GripperGeometry,
    object_from_gripper: &Pose,
) -> Option<f64> {
    close_gripper(&*object.surface, object_from_gripper, geometry).width_m()
}

#[cfg(test)]
mod tests {
    use nalgebra::Point3;

    use super::*;
    use crate::field::FieldSettings;

    #[test]
    fn a_neighbour_closes_along_the_same_axis_on_the_same_contact() {
        let gripper = FieldSettings::default().gripper;
        let contact = Point3::new(0.0, 0.0, gripper.tip_m - 0.01);
        let turn = UnitQuaternion::from_scaled_axis(Vector3::new(0.4, -1.1, 0.7));
        let pose = Translation3::new(0.1, -0.2, 0.3) * turn;
        let mut rng = Pcg64Mcg::seed_from_u64(0);
        let mut largest_roll_rad = 0.0f64;
        for _ in 0..200 {
            let moved = neighbour(&pose, &gripper, &mut rng);
            assert!((moved * Vector3::x() - pose * Vector3::x()).norm() < 1e-12);
            let way = moved * contact - pose * contact;
            let along = way.dot(&(moved * Vector3::z()));
            assert!((way.norm() - along.abs()).abs() < 1e-12 && along.abs() <= 0.006);
            largest_roll_rad = largest_roll_rad.max(moved.rotation.angle_to(&pose.rotation));
        }
        assert!(
            (0.9..=1.0 + 1e-9).contains(&largest_roll_rad),
            "{largest_roll_rad}"
        );
    }
}
