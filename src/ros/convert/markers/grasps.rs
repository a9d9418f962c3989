//! Grasps as hands.

use super::{color, kind, point, Brush, Canvas, Shown};
use crate::geometry::Pose;
use crate::planner::{prepare_grasps, Plan};
use crate::robot::{GripperGeometry, RobotModel};
use nalgebra::Point3;

/// Most offered grasps that are drawn; of more every second, third, ... one, from the best to the worst.
const MOST: usize = 100;
const LINE_WIDTH_M: f64 = 0.0015;
/// Of a grasp without energy.
const GREY: [f32; 4] = [0.6, 0.6, 0.6, 0.7];

/// The open hand where it will close, box by box.
pub(super) fn chosen(canvas: &mut Canvas, robot: &RobotModel, plan: &Plan) {
    let (Some(grasp), Some(gripper)) = (&plan.grasp, &robot.gripper) else {
        return;
    };
    let brush = Brush {
        namespace: "grasp",
        kind: kind::CUBE,
        color: [0.1, 0.9, 0.3, 0.6],
    };
    let geometry = &gripper.geometry;
    for body in geometry.boxes(geometry.max_opening_m) {
        let [x, y, z] = body.center_m;
        let pose = grasp.world_from_gripper * Pose::translation(x, y, z);
        canvas.add(brush, &pose, body.half_extents_m.map(|half| 2.0 * half));
    }
}

/// The grasps that were to be chosen from, as forks.
pub(super) fn offered(canvas: &mut Canvas, shown: &Shown<'_>) {
    let (Some(gripper), Some(_)) = (&shown.robot.gripper, &shown.plan.grasp) else {
        return;
    };
    let grasps = match (&shown.object, shown.given_grasps) {
        (Some(object), []) => {
            let kept = prepare_grasps(object).iter();
            kept.map(|g| (g.object_from_gripper, Some(g.energy)))
                .collect()
        }
        (_, given) => given.iter().map(|g| (*g, None)).collect::<Vec<_>>(),
    };
    let energies = || grasps.iter().filter_map(|(_, energy)| *energy);
    let (low, high) = (
        energies().fold(f32::INFINITY, f32::min),
        energies().fold(f32::NEG_INFINITY, f32::max),
    );
    let brush = Brush {
        namespace: "grasps",
        kind: kind::LINE_LIST,
        color: GREY,
    };
    let lines = canvas.add(brush, &Pose::identity(), [LINE_WIDTH_M, 0.0, 0.0]);
    for (object_from_gripper, energy) in grasps.iter().step_by(grasps.len().div_ceil(MOST).max(1)) {
        let world_from_gripper = shown.world_from_object * object_from_gripper;
        let shade = energy.map_or(GREY, |e| shade((e - low) / (high - low).max(f32::EPSILON)));
        for corner in fork(&gripper.geometry).into_iter().flatten() {
            lines
                .points
                .push(point(&(world_from_gripper * corner).into()));
            lines.colors.push(color(shade));
        }
    }
}

/// Ends of the lines of an open hand seen from the side: handle, bar and two fingers.
fn fork(hand: &GripperGeometry) -> [[Point3<f64>; 2]; 4] {
    let half = 0.5 * hand.max_opening_m;
    let at = |x: f64, z: f64| Point3::new(x, 0.0, z);
    let (bar, tip) = (hand.finger_base_m, hand.tip_m);
    let handle = [at(0.0, 0.0), at(0.0, bar)];
    let [left, right] = [-half, half].map(|x| [at(x, bar), at(x, tip)]);
    [handle, [left[0], right[0]], left, right]
}

/// From green (0) over yellow to red (1).
fn shade(share: f32) -> [f32; 4] {
    let share = share.clamp(0.0, 1.0);
    [
        (2.0 * share).min(1.0),
        (2.0 - 2.0 * share).min(1.0),
        0.1,
        0.7,
    ]
}
