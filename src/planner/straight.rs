//! Straight motions of the tool: lift, set-down, retreat, and the free way of the approach.

use nalgebra::{Matrix6, Vector3, Vector6};

use super::branches::Branch;
use super::request::PlanRequest;
use super::world::{joint_row, joint_values, World};
use crate::cost::SceneCollision;
use crate::geometry::{difference, Pose};
use crate::lanes::{splat, Lanes, LANES};
use crate::trajectory::{JointRow, Spline};

/// Mean distance of neighbouring corners of a straight motion [m].
const CORNER_STEP_M: f64 = 0.01;
/// Newton steps for each corner, and the error at which it counts as reached (m, rad).
const NEWTON_STEPS: usize = 8;
const REACHED: f64 = 1e-5;
const DAMPING: f64 = 1e-6;
/// A joint that moves further than this between two corners jumps to another branch [rad or m].
const LARGEST_STEP: f64 = 0.2;
/// Share of the clearance at the grasp that must be kept towards it.
const KEPT: f32 = 0.5;
/// An object that is carried must leave what it stood on by this much [m].
const LEAST_LIFT_M: f64 = 0.02;
/// How much nearer to the object a retreating hand may come than it is at first [m].
const TARGET_SLACK_M: f32 = 0.002;

/// What a straight motion has to keep clear of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// The scene; the object in the hand is no obstacle.
    Scene,
    /// The scene, and the object that the open hand draws back from.
    SceneAndTarget,
}

/// Configurations that move the tool from `from` straight by `displacement_m` (world axes), both ends included; `None` if
/// joint limits, a singularity or an obstacle are in the way. Half of the clearance that the robot has at `from` is kept.
pub fn path(
    world: &mut World,
    from: JointRow,
    displacement_m: &Vector3<f64>,
    keep: Keep,
) -> Option<Vec<JointRow>> {
    let dof = world.robot.kinematics.dof();
    let mut q = joint_values(from, dof);
    let start = world.robot.kinematics.tool_pose(&q);
    let steps = (displacement_m.norm() / CORNER_STEP_M).ceil().max(1.0) as usize;
    let clearance = world.checker.obstacle_clearance(from);
    let scene_m = clearance.scene_m.min(world.checker.collision.margin_m) * KEPT;
    // Fingers around an object are deep inside its conservative layer, and leave it as they draw back.
    let target_m = match keep {
        Keep::Scene => f32::NEG_INFINITY,
        Keep::SceneAndTarget => clearance.target_m.min(0.0) - TARGET_SLACK_M,
    };
    let mut corners = vec![from];
    for step in 1..=steps {
        let mut wanted = start;
        wanted.translation.vector += displacement_m * covered(step as f64 / steps as f64);
        q = follow(world, q, &wanted)?;
        if world.robot.limits.violation(&q, 0.0).is_some() {
            return None;
        }
        corners.push(joint_row(&q));
    }
    if !world
        .checker
        .rows_keep(&corners[1..], splat(scene_m), splat(target_m))
    {
        return None;
    }
    let holds = keep == Keep::SceneAndTarget
        || corners
            .iter()
            .all(|&q| world.checker.slack_m(&world.holding_rules, q) >= 0.0);
    if !holds {
        return None;
    }
    Some(corners)
}

/// Covered share of the way at time `u` in [0, 1]: even acceleration, then even deceleration. The corners become control
/// points, so their distances are the speeds.
fn covered(u: f64) -> f64 {
    if u < 0.5 {
        2.0 * u * u
    } else {
        1.0 - 2.0 * (1.0 - u) * (1.0 - u)
    }
}

/// Configurations straight up from `from`, where the arm and the object in its hand (`held`) stay clear. As high as the
/// request lifts; under a low shelf a part of that must do where the object will be carried elsewhere anyway.
pub fn up(
    world: &mut World,
    from: JointRow,
    request: &PlanRequest,
    held: Option<&SceneCollision>,
) -> Option<Vec<JointRow>> {
    let shares: &[f64] = match request.place_world_from_object {
        Some(_) => &[1.0, 0.5, 0.25],
        None => &[1.0],
    };
    shares
        .iter()
        .map(|share| share * request.lift_distance_m)
        .filter(|&height_m| height_m >= LEAST_LIFT_M || shares.len() == 1)
        .find_map(|height_m| {
            let corners = path(world, from, &(Vector3::z() * height_m), Keep::Scene)?;
            held.is_none_or(|held| world.checker.body_is_free(held, &corners[1..]))
                .then_some(corners)
        })
}

/// Damped Newton steps from `q` to a nearby tool pose.
fn follow(world: &World, mut q: Vec<f64>, wanted: &Pose) -> Option<Vec<f64>> {
    let kinematics = &world.robot.kinematics;
    let before = q.clone();
    for _ in 0..NEWTON_STEPS {
        let (tool, jacobian) = kinematics.tool_pose_and_jacobian(&q);
        let error: Vector6<f64> = difference(&tool, wanted);
        if error.amax() < REACHED {
            let jumps = q
                .iter()
                .zip(&before)
                .any(|(a, b)| (a - b).abs() > LARGEST_STEP);
            return (!jumps).then_some(q);
        }
        let normal: Matrix6<f64> = &jacobian * jacobian.transpose() + Matrix6::identity() * DAMPING;
        let step = jacobian.transpose() * normal.cholesky()?.solve(&error);
        for (value, change) in q.iter_mut().zip(step.iter()) {
            *value += change;
        }
    }
    None
}

/// A spline with rest at both ends along corners that lie on a smooth curve: the corners become control points.
pub fn spline_through(corners: &[JointRow]) -> Spline {
    let (first, last) = (corners[0], corners[corners.len() - 1]);
    let mut points = vec![first; 2];
    points.extend_from_slice(corners);
    points.extend([last; 2]);
    Spline { points }
}

/// Whether the straight joint motion from the start of the approach to the grasp is free: the scene at half the goal's
/// clearance, the object to be grasped with a margin that falls to what the grasp itself has.
pub fn is_free_towards(world: &mut World, from: JointRow, grasp: &Branch) -> bool {
    const TARGET_MARGIN_M: f32 = 0.003;
    let way = grasp.q - from;
    let share = |lane: usize| lane as f32 / (LANES - 1) as f32;
    let rows: [JointRow; LANES] =
        std::array::from_fn(|lane| way.mul_add(JointRow::splat(share(lane)), from));
    let margin = splat(KEPT * grasp.clearance_m.max(0.0));
    let end = (grasp.target_clearance_m - TARGET_SLACK_M).min(TARGET_MARGIN_M);
    let start = match world.checker.obstacle_clearance(from).target_m {
        clear if clear > 0.0 => clear * KEPT,
        touching => touching - TARGET_SLACK_M,
    };
    let target = Lanes::new(std::array::from_fn(|lane| {
        end + (start.min(TARGET_MARGIN_M) - end) * (1.0 - share(lane)).powi(2)
    }));
    world.checker.blocked_rows(&rows, margin, target) == 0
}
