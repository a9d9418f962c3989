//! Random scenes for an arm at the origin, by seed: a table or a shelf, an object, where it stands and where it shall stand.
//!
//! What a scene asks for makes sense: the object stands by itself at both places, on a table or a board, with air to everything else,
//! the arm's ready pose is free, and some grasps that the planner does not know leave room for hand and arm. Whether there is a way is
//! for the planner to find out.

use std::f64::consts::PI;

use anyhow::bail;
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};
use nalgebra::{Point3, Translation3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::arm_room::{holds_with_room, ArmRoom};
use super::cabinet::Cabinet;
use super::items::Item;

/// Ready pose of the Panda [rad].
pub const START_RAD: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
/// Where the hand is then, with the room it takes [m].
const READY_HAND_M: [f64; 3] = [0.31, 0.0, 0.55];
const READY_ROOM_M: f64 = 0.2;
/// Room of the arm's column and base [m].
const BASE_ROOM_M: f64 = 0.22;
/// Air between an object and everything but what it stands on [m].
const AIR_M: f64 = 0.012;
/// An object hovers this far over its support [m]: contact would count as collision.
pub(super) const HOVER_M: f64 = 0.001;
pub(super) const BOARD_M: f64 = 0.015;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Task {
    /// Pick from a table, with boxes and a board in the way.
    Pick,
    /// Pick from a table and put down turned or upside down.
    Reorient,
    /// From a table or a board of a shelf to another board.
    Shelf,
    /// Pick from a narrow niche, open on one side, with a box half before it: few grasps of all can be reached.
    #[value(skip)]
    Niche,
}

impl Task {
    pub const ALL: [Self; 3] = [Self::Pick, Self::Reorient, Self::Shelf];

    pub fn name(self) -> &'static str {
        match self {
            Task::Pick => "pick",
            Task::Reorient => "reorient",
            Task::Shelf => "shelf",
            Task::Niche => "niche",
        }
    }
}

/// How a mug stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayUp {
    Upright,
    Flipped,
}

impl WayUp {
    pub fn name(self) -> &'static str {
        match self {
            WayUp::Upright => "upright",
            WayUp::Flipped => "flipped",
        }
    }
}

/// A pose on an otherwise empty table, and the table.
pub fn mug_on_table(mug: &Item, way_up: WayUp, seed: u64) -> (Pose, Scene) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let [x, y] = on_table(&mut rng);
    let turned = yaw(&mut rng);
    let rotation = match way_up {
        WayUp::Upright => upright(turned),
        WayUp::Flipped => upside_down(turned),
    };
    let objects = vec![table()];
    (standing(mug, x, y, 0.0, rotation), Scene { objects })
}

/// One problem.
pub struct TaskScene {
    pub name: String,
    /// Index into the items.
    pub item: usize,
    /// Without the object.
    pub scene: Scene,
    pub world_from_object: Pose,
    pub place_world_from_object: Option<Pose>,
    /// How far there is room to lift and lower [m].
    pub lift_m: f64,
}

/// The scene of this number; equal arguments give equal scenes. An object that nowhere leaves the hand room gives way to the next.
pub fn draw(
    task: Task,
    items: &[Item],
    arm: &mut ArmRoom,
    seed: u64,
    index: usize,
) -> anyhow::Result<TaskScene> {
    const TRIES: usize = 100;
    const ROUNDS: usize = 5;
    let stream = seed.wrapping_mul(1_000_003).wrapping_add(index as u64);
    let mut rng = Pcg64Mcg::seed_from_u64(stream.wrapping_mul(8).wrapping_add(task as u64));
    for turn in 0..ROUNDS * items.len() {
        let item = (index + turn) % items.len();
        for _ in 0..TRIES {
            let drawn = match task {
                Task::Pick => pick(&items[item], &mut rng),
                Task::Reorient => reorient(&items[item], &mut rng),
                Task::Shelf => shelf(&items[item], &mut rng),
                Task::Niche => niche(&items[item], &mut rng),
            };
            let Some(mut scene) = drawn else { continue };
            if makes_sense(&items[item], arm, &scene) {
                scene.item = item;
                scene.name = format!("{}_{index:03}", task.name());
                return Ok(scene);
            }
        }
    }
    bail!(
        "no {} scene number {index} in {} draws of each object",
        task.name(),
        ROUNDS * TRIES
    )
}

/// So many of the data generator's grasps must leave room for hand and arm, the same at both places.
const LEAST_HOLDS: usize = 4;

/// Free at both places, standing at both, and out of the way of the ready arm.
fn makes_sense(item: &Item, arm: &mut ArmRoom, scene: &TaskScene) -> bool {
    let ends = [Some(scene.world_from_object), scene.place_world_from_object];
    let stands = |pose: &Pose| item.stands(&pose.rotation) && has_support(item, &scene.scene, pose);
    let hand = Point3::from(READY_HAND_M);
    let column = |z: f64| Point3::new(0.0, 0.0, z);
    let room = |o: &SceneObject| {
        o.distance(&hand) > READY_ROOM_M
            && (o.name == "table"
                || (1..8).all(|k| o.distance(&column(0.1 * f64::from(k))) > BASE_ROOM_M))
    };
    if !ends.iter().flatten().all(stands) || !scene.scene.objects.iter().all(room) {
        return false;
    }
    holds_with_room(item, arm, scene).take(LEAST_HOLDS).count() == LEAST_HOLDS
}

/// Touches nothing, and stands just over one thing.
fn has_support(item: &Item, scene: &Scene, pose: &Pose) -> bool {
    let mut supports = 0;
    for object in &scene.objects {
        let nearest = item
            .mesh
            .vertices
            .iter()
            .map(|v| object.distance(&(pose * Point3::from(*v))))
            .fold(f64::INFINITY, f64::min);
        if nearest <= 0.0 {
            return false;
        }
        if nearest < AIR_M {
            supports += 1;
        }
    }
    supports == 1
}

pub(super) fn solid(name: &str, size_m: [f64; 3], world_from_object: Pose) -> SceneObject {
    let half_extents_m = size_m.map(|s| 0.5 * s);
    SceneObject::new(name, Shape::Box { half_extents_m }, world_from_object)
}

fn table() -> SceneObject {
    solid(
        "table",
        [0.7, 1.3, 0.04],
        Pose::translation(0.6, 0.0, -0.02),
    )
}

pub(super) fn upright(yaw_rad: f64) -> UnitQuaternion<f64> {
    UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad)
}

fn upside_down(yaw_rad: f64) -> UnitQuaternion<f64> {
    upright(yaw_rad) * UnitQuaternion::from_axis_angle(&Vector3::x_axis(), PI)
}

/// Standing on a surface of this height at (x, y).
pub(super) fn standing(
    item: &Item,
    x: f64,
    y: f64,
    surface_m: f64,
    rotation: UnitQuaternion<f64>,
) -> Pose {
    let z = surface_m + HOVER_M - item.lowest_m(&rotation);
    Pose::from_parts(Translation3::new(x, y, z), rotation)
}

fn yaw(rng: &mut impl Rng) -> f64 {
    rng.random_range(-PI..PI)
}

/// A point of the table within easy reach [m].
fn on_table(rng: &mut impl Rng) -> [f64; 2] {
    [rng.random_range(0.38..0.65), rng.random_range(-0.35..0.35)]
}

/// Either way up, where the object stands so.
fn either_way_up(item: &Item, rng: &mut impl Rng) -> UnitQuaternion<f64> {
    let turned = yaw(rng);
    if item.stands_on_its_head() && rng.random::<bool>() {
        upside_down(turned)
    } else {
        upright(turned)
    }
}

/// Boxes around the object, the first between it and the robot, and over every second one a board.
fn pick(item: &Item, rng: &mut impl Rng) -> Option<TaskScene> {
    let [x, y] = on_table(rng);
    let world_from_object = standing(item, x, y, 0.0, either_way_up(item, rng));
    let towards_robot = (-y).atan2(-x);
    let mut objects = vec![table()];
    let count = rng.random_range(2..5);
    let mut angle = towards_robot + rng.random_range(-0.4..0.4);
    for k in 0..count {
        let size = [
            rng.random_range(0.04..0.10),
            rng.random_range(0.04..0.14),
            rng.random_range(0.08..0.26),
        ];
        let distance = item.radius_m() + 0.5 * size[0] + rng.random_range(0.04..0.10);
        let (along, across) = (distance * angle.cos(), distance * angle.sin());
        let place = Translation3::new(x + along, y + across, 0.5 * size[2] + HOVER_M);
        let pose = Pose::from_parts(place, upright(angle + rng.random_range(-0.3..0.3)));
        objects.push(solid(&format!("box_{k}"), size, pose));
        angle += rng.random_range(1.2..2.2);
    }
    if rng.random::<bool>() {
        let under_m = item.height_m() + rng.random_range(0.10..0.20);
        let size = [
            rng.random_range(0.15..0.25),
            rng.random_range(0.15..0.3),
            BOARD_M,
        ];
        let shift = rng.random_range(0.0..0.08);
        let away = [
            x - shift * towards_robot.cos(),
            y - shift * towards_robot.sin(),
        ];
        let place = Translation3::new(away[0], away[1], under_m + 0.5 * BOARD_M);
        let pose = Pose::from_parts(place, upright(towards_robot + PI));
        objects.push(solid("board", size, pose));
        // It hangs on a post behind.
        let behind = 0.5 * (size[0] + BOARD_M);
        let place = pose * Point3::new(behind, 0.0, 0.0);
        let height = under_m + BOARD_M - HOVER_M;
        let place = Translation3::new(place.x, place.y, 0.5 * height + HOVER_M);
        let post = Pose::from_parts(place, pose.rotation);
        objects.push(solid("post", [BOARD_M, size[1], height], post));
    }
    Some(task_scene(objects, world_from_object, None, 0.1))
}

/// Walls close on both sides and behind, a roof close above, a box before one half of the opening.
fn niche(item: &Item, rng: &mut impl Rng) -> Option<TaskScene> {
    const WALL_M: f64 = 0.02;
    let [x, y] = on_table(rng);
    let world_from_object = standing(item, x, y, 0.0, either_way_up(item, rng));
    // Its axis: x into the niche.
    let turn = upright(y.atan2(x) + rng.random_range(-0.6..0.6));
    let at = |along: f64, across: f64, height: f64| {
        let place = turn * Vector3::new(along, across, 0.0);
        let place = Translation3::new(x + place.x, y + place.y, height + HOVER_M);
        Pose::from_parts(place, turn)
    };
    let radius = item.radius_m();
    let side = radius + rng.random_range(0.03..0.10);
    let (front, back) = (radius + rng.random_range(0.0..0.05), radius + 0.03);
    let height = item.height_m() + rng.random_range(0.04..0.12);
    let (depth, middle) = (front + back, 0.5 * (back - front));
    let wall = [depth, WALL_M, height];
    let beside = side + 0.5 * WALL_M;
    let mut objects = vec![
        table(),
        solid("left", wall, at(middle, beside, 0.5 * height)),
        solid("right", wall, at(middle, -beside, 0.5 * height)),
        solid(
            "back",
            [WALL_M, 2.0 * side, height],
            at(back + 0.5 * WALL_M, 0.0, 0.5 * height),
        ),
        solid(
            "roof",
            [depth + WALL_M, 2.0 * (side + WALL_M), WALL_M],
            at(middle, 0.0, height + 0.5 * WALL_M),
        ),
    ];
    let size = [0.05, side, rng.random_range(0.4..1.0) * height];
    let before = front + 0.5 * size[0] + rng.random_range(0.08..0.16);
    let across = if rng.random::<bool>() { side } else { -side };
    objects.push(solid("box", size, at(-before, across, 0.5 * size[2])));
    Some(task_scene(objects, world_from_object, None, 0.0))
}

/// To another place of the table: on its head, or turned about the vertical by more than a quarter turn; a box beside.
fn reorient(item: &Item, rng: &mut impl Rng) -> Option<TaskScene> {
    const LEAST_WAY_M: f64 = 0.2;
    let ([x, y], [to_x, to_y]) = (on_table(rng), on_table(rng));
    if (to_x - x).hypot(to_y - y) < LEAST_WAY_M {
        return None;
    }
    let from = yaw(rng);
    let (before, after) = if item.stands_on_its_head() && rng.random_range(0..3) > 0 {
        // The long way round would be another task: the yaw stays within a quarter turn.
        let to = from + rng.random_range(-0.5 * PI..0.5 * PI);
        let (standing, on_head) = (upright(from), upside_down(to));
        match rng.random::<bool>() {
            true => (standing, on_head),
            false => (upside_down(from), upright(to)),
        }
    } else {
        let side = if rng.random::<bool>() { 1.0 } else { -1.0 };
        (
            upright(from),
            upright(from + side * rng.random_range(0.5 * PI..PI)),
        )
    };
    let size = [0.06, 0.06, rng.random_range(0.08..0.2)];
    let [box_x, box_y] = on_table(rng);
    let place = Translation3::new(box_x, box_y, 0.5 * size[2] + HOVER_M);
    let obstacle = solid("box", size, Pose::from_parts(place, upright(yaw(rng))));
    let (from, to) = (
        standing(item, x, y, 0.0, before),
        standing(item, to_x, to_y, 0.0, after),
    );
    Some(task_scene(vec![table(), obstacle], from, Some(to), 0.08))
}

/// From the table or a board to another board. The object's side that faced the robot does so still, within 35 degrees.
fn shelf(item: &Item, rng: &mut impl Rng) -> Option<TaskScene> {
    const TURN_RAD: f64 = 0.6;
    let cabinet = Cabinet::draw(rng);
    let facing = yaw(rng);
    let level = rng.random_range(0..2);
    let turned = facing + rng.random_range(-TURN_RAD..TURN_RAD);
    let place = cabinet.stand(item, level, turned, rng);
    let mut objects = cabinet.objects();
    objects.push(table());
    let from = if rng.random::<bool>() {
        // On the table beside the cabinet.
        let side = if cabinet.angle_rad > 0.0 { -1.0 } else { 1.0 };
        let angle = cabinet.angle_rad + side * rng.random_range(0.8..1.2);
        let distance = rng.random_range(0.42..0.55);
        let (x, y) = (distance * angle.cos(), distance * angle.sin());
        standing(item, x, y, 0.0, upright(angle + facing))
    } else {
        cabinet.stand(item, 1 - level, facing, rng)
    };
    Some(task_scene(objects, from, Some(place), 0.04))
}

fn task_scene(
    objects: Vec<SceneObject>,
    world_from_object: Pose,
    place_world_from_object: Option<Pose>,
    lift_m: f64,
) -> TaskScene {
    TaskScene {
        name: String::new(),
        item: 0,
        scene: Scene { objects },
        world_from_object,
        place_world_from_object,
        lift_m,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_field_planner::data::Category;
    use diffusion_field_planner::field::GraspNetwork;
    use diffusion_field_planner::robot::RobotModel;
    use std::sync::Arc;

    #[test]
    fn a_scene_is_the_same_by_seed_and_makes_sense() {
        let network = GraspNetwork::shipped().expect("weights come along");
        let items = [
            Category::Mug,
            Category::Bottle,
            Category::Cylinder,
            Category::Box,
        ]
        .map(|category| Item::new(category, 0, &network).expect("it can be held"));
        let robot = RobotModel::load("urdf/panda.urdf".as_ref(), "config/panda.yaml".as_ref());
        let arm =
            &mut ArmRoom::new(Arc::new(robot.expect("shipped"))).expect("its shapes are sound");
        for task in Task::ALL {
            let scene = draw(task, &items, arm, 3, 1).expect("a scene");
            let again = draw(task, &items, arm, 3, 1).expect("a scene");
            let other = draw(task, &items, arm, 3, 2).expect("a scene");
            assert_eq!(scene.world_from_object, again.world_from_object);
            assert_eq!(scene.scene.objects.len(), again.scene.objects.len());
            assert_ne!(scene.world_from_object, other.world_from_object);
            let places = matches!(task, Task::Reorient | Task::Shelf);
            assert_eq!(scene.place_world_from_object.is_some(), places);
            let item = &items[scene.item];
            assert!(makes_sense(item, arm, &scene));
            // Sunk into its support it would touch.
            let mut sunk = scene;
            sunk.world_from_object.translation.z -= 0.005;
            assert!(!makes_sense(item, arm, &sunk));
        }
    }

    #[test]
    fn what_lies_askew_does_not_stand() {
        let network = GraspNetwork::shipped().expect("weights come along");
        let can = Item::new(Category::Can, 0, &network).expect("a can can be held");
        assert!(can.stands(&upright(0.4)) && can.stands(&upside_down(1.0)));
        let leaning = upright(0.0) * UnitQuaternion::from_axis_angle(&Vector3::x_axis(), 0.3);
        assert!(!can.stands(&leaning));
    }
}
