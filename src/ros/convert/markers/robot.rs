//! The robot along a motion, and what the planner takes it for.

use super::{kind, Brush, Canvas};
use crate::geometry::Pose;
use crate::planner::Plan;
use crate::robot::RobotModel;
use nalgebra::{Point3, UnitQuaternion};
use urdf_rs::Geometry;

/// Times at which the ghost is drawn, as shares of the whole motion.
const GHOST_SHARES: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
const GHOST_COLOR: [f32; 4] = [0.6, 0.7, 1.0, 0.15];

/// The robot at a few times of the motion, as its URDF shows it.
pub(super) fn ghost(canvas: &mut Canvas, robot: &RobotModel, plan: &Plan) {
    for share in GHOST_SHARES {
        let q = position_at(plan, share * plan.duration_s());
        for link in &robot.description.links {
            let Ok(world_from_link) = robot.kinematics.forward_kinematics(&q, &link.name) else {
                continue;
            };
            for visual in &link.visual {
                let world_from_visual = world_from_link * pose(&visual.origin);
                geometry(canvas, &visual.geometry, &world_from_visual);
            }
        }
    }
}

/// Joint positions at a time of all phases together.
fn position_at(plan: &Plan, time_s: f64) -> Vec<f64> {
    let mut left_s = time_s;
    for (i, phase) in plan.phases.iter().enumerate() {
        let duration_s = phase.trajectory.duration_s();
        if left_s <= duration_s || i + 1 == plan.phases.len() {
            return phase.trajectory.sample(left_s.min(duration_s)).position;
        }
        left_s -= duration_s;
    }
    Vec::new()
}

fn geometry(canvas: &mut Canvas, geometry: &Geometry, pose: &Pose) {
    let brush = |kind| Brush {
        namespace: "ghost",
        kind,
        color: GHOST_COLOR,
    };
    match geometry {
        Geometry::Box { size } => {
            canvas.add(brush(kind::CUBE), pose, size.0);
        }
        Geometry::Sphere { radius } => {
            canvas.add(brush(kind::SPHERE), pose, [2.0 * radius; 3]);
        }
        // A capsule's round ends are left out.
        Geometry::Cylinder { radius, length } | Geometry::Capsule { radius, length } => {
            let scale = [2.0 * radius, 2.0 * radius, *length];
            canvas.add(brush(kind::CYLINDER), pose, scale);
        }
        Geometry::Mesh { filename, scale } => {
            let scale = scale.map_or([1.0; 3], |scale| scale.0);
            canvas
                .add(brush(kind::MESH_RESOURCE), pose, scale)
                .mesh_resource
                .clone_from(filename);
        }
    }
}

/// The spheres that the costs keep out of the obstacles, at the end of the first phase: the grasp, or the goal.
pub(super) fn spheres(canvas: &mut Canvas, robot: &RobotModel, plan: &Plan) {
    let Some(reach) = plan.phases.first() else {
        return;
    };
    let brush = Brush {
        namespace: "spheres",
        kind: kind::SPHERE,
        color: [1.0, 0.6, 0.1, 0.25],
    };
    let q = reach
        .trajectory
        .sample(reach.trajectory.duration_s())
        .position;
    let (kinematics, set) = (&robot.kinematics, &robot.collision.scene);
    for group in &set.groups {
        let link = &robot.collision.links[group.link];
        let (Ok(world_from_link), Ok((_, body_from_link))) = (
            kinematics.forward_kinematics(&q, link),
            kinematics.body_of_link(link),
        ) else {
            continue;
        };
        let world_from_body = world_from_link * body_from_link.inverse();
        for sphere in &set.spheres[group.spheres.clone()] {
            let center = world_from_body * Point3::from(sphere.center_m.map(f64::from));
            let pose = Pose::translation(center.x, center.y, center.z);
            canvas.add(brush, &pose, [2.0 * f64::from(sphere.radius_m); 3]);
        }
    }
}

fn pose(origin: &urdf_rs::Pose) -> Pose {
    let ([x, y, z], [roll, pitch, yaw]) = (origin.xyz.0, origin.rpy.0);
    Pose::from_parts(
        nalgebra::Translation3::new(x, y, z),
        UnitQuaternion::from_euler_angles(roll, pitch, yaw),
    )
}
