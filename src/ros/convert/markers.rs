//! What RViz shows of a plan.

use super::{pose_to_message, time_to_message};
use crate::geometry::Pose;
use crate::planner::Plan;
use crate::robot::RobotModel;
use crate::ros::state::TimeNs;
use nalgebra::Translation3;
use r2r::geometry_msgs::msg::{Point, Vector3};
use r2r::std_msgs::msg::ColorRGBA;
use r2r::visualization_msgs::msg::{Marker, MarkerArray};

/// Points of the drawn path.
const PATH_POINTS: usize = 100;
const PATH_WIDTH_M: f32 = 0.004;

/// The tool's path and the open hand at the grasp, in the planning frame.
pub fn of_plan(robot: &RobotModel, plan: &Plan, frame: &str, stamp: TimeNs) -> MarkerArray {
    let mut markers = vec![marker(frame, stamp, "", 0, Marker::DELETEALL as i32, 0)];
    for (i, phase) in plan.phases.iter().enumerate() {
        let mut path = marker(
            frame,
            stamp,
            "path",
            i as i32,
            Marker::ADD as i32,
            Marker::LINE_STRIP as i32,
        );
        path.scale.x = f64::from(PATH_WIDTH_M);
        path.color = color(0.1, 0.6, 1.0, 0.9);
        path.points = (0..=PATH_POINTS)
            .map(|k| {
                let t_s = phase.trajectory.duration_s() * k as f64 / PATH_POINTS as f64;
                let tool = robot
                    .kinematics
                    .tool_pose(&phase.trajectory.sample(t_s).position);
                Point {
                    x: tool.translation.x,
                    y: tool.translation.y,
                    z: tool.translation.z,
                }
            })
            .collect();
        markers.push(path);
    }
    if let (Some(grasp), Some(gripper)) = (&plan.grasp, &robot.gripper) {
        let geometry = &gripper.geometry;
        for (i, body) in geometry.boxes(geometry.max_opening_m).enumerate() {
            let [x, y, z] = body.center_m;
            let center = Pose::from_parts(
                Translation3::new(x, y, z),
                nalgebra::UnitQuaternion::identity(),
            );
            let mut part = marker(
                frame,
                stamp,
                "grasp",
                i as i32,
                Marker::ADD as i32,
                Marker::CUBE as i32,
            );
            part.pose = pose_to_message(&(grasp.world_from_gripper * center));
            let [x, y, z] = body.half_extents_m.map(|half| 2.0 * half);
            part.scale = Vector3 { x, y, z };
            part.color = color(0.1, 0.9, 0.3, 0.6);
            markers.push(part);
        }
    }
    MarkerArray { markers }
}

fn marker(frame: &str, stamp: TimeNs, namespace: &str, id: i32, action: i32, kind: i32) -> Marker {
    let mut marker = Marker {
        ns: namespace.to_owned(),
        id,
        action,
        type_: kind,
        ..Default::default()
    };
    marker.header.frame_id = frame.to_owned();
    marker.header.stamp = time_to_message(stamp);
    marker.pose.orientation.w = 1.0;
    marker
}

fn color(r: f32, g: f32, b: f32, a: f32) -> ColorRGBA {
    ColorRGBA { r, g, b, a }
}
