//! What RViz shows of a plan. Each kind of thing is a namespace, which RViz can hide.
//!
//! | namespace | what |
//! |---|---|
//! | `path` | the tool's path, a line a phase |
//! | `grasp` | the open hand at the chosen grasp |
//! | `grasps` | grasps that were offered, from green (low energy) to red; grey without a field |
//! | `ghost` | the robot along the motion |
//! | `spheres` | what the planner takes the robot for, at the grasp or the goal |
//! | `clearance` | where the motion comes nearest to an obstacle, and how near |
//! | `obstacles`, `object` | what was planned around, and what is grasped |

mod bodies;
mod grasps;
mod robot;

use super::{pose_to_message, time_to_message};
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::planner::Plan;
use crate::robot::RobotModel;
use crate::ros::state::TimeNs;
use crate::scene::Scene;
use r2r::geometry_msgs::msg::{Point, Vector3};
use r2r::std_msgs::msg::ColorRGBA;
use r2r::visualization_msgs::msg::{Marker, MarkerArray};

/// Points of the drawn path.
const PATH_POINTS: usize = 100;
const PATH_WIDTH_M: f64 = 0.004;
const CLEARANCE_WIDTH_M: f64 = 0.003;
const TEXT_HEIGHT_M: f64 = 0.03;
/// A clearance up to this is red, m.
const NARROW_M: f64 = 0.005;

/// What there is to be shown.
pub struct Shown<'a> {
    pub robot: &'a RobotModel,
    pub plan: &'a Plan,
    /// Without the object to be grasped.
    pub scene: &'a Scene,
    /// The object to be grasped, where its shape is known, and where it stood.
    pub object: Option<&'a ObjectModel>,
    pub world_from_object: Pose,
    /// Grasps that came with the goal, in the object's frame; empty: the field offered its own.
    pub given_grasps: &'a [Pose],
}

/// All of it in the planning frame.
pub fn of_plan(shown: &Shown<'_>, frame: &str, stamp: TimeNs) -> MarkerArray {
    let mut canvas = Canvas::new(frame, stamp);
    path(&mut canvas, shown.robot, shown.plan);
    grasps::chosen(&mut canvas, shown.robot, shown.plan);
    grasps::offered(&mut canvas, shown);
    robot::ghost(&mut canvas, shown.robot, shown.plan);
    robot::spheres(&mut canvas, shown.robot, shown.plan);
    clearance(&mut canvas, shown.plan);
    bodies::obstacles(&mut canvas, shown.scene);
    if let Some(object) = shown.object {
        bodies::object(&mut canvas, object, &shown.world_from_object);
    }
    canvas.markers
}

/// Collects markers; all are in one frame, and each namespace counts its own.
struct Canvas {
    blank: Marker,
    markers: MarkerArray,
}

/// The message's constants, of which each has a type of its own.
mod kind {
    use r2r::visualization_msgs::msg::Marker;

    pub const LINE_STRIP: i32 = Marker::LINE_STRIP as i32;
    pub const LINE_LIST: i32 = Marker::LINE_LIST as i32;
    pub const CUBE: i32 = Marker::CUBE as i32;
    pub const SPHERE: i32 = Marker::SPHERE as i32;
    pub const SPHERE_LIST: i32 = Marker::SPHERE_LIST as i32;
    pub const CYLINDER: i32 = Marker::CYLINDER as i32;
    pub const TRIANGLE_LIST: i32 = Marker::TRIANGLE_LIST as i32;
    pub const MESH_RESOURCE: i32 = Marker::MESH_RESOURCE as i32;
    pub const TEXT_VIEW_FACING: i32 = Marker::TEXT_VIEW_FACING as i32;
}

/// What a marker is drawn with: its namespace, one of [`kind`], its color.
#[derive(Clone, Copy)]
struct Brush {
    namespace: &'static str,
    kind: i32,
    color: [f32; 4],
}

impl Canvas {
    /// Its first marker takes those of the plan before away.
    fn new(frame: &str, stamp: TimeNs) -> Self {
        let mut blank = Marker {
            action: Marker::ADD as i32,
            ..Default::default()
        };
        blank.header.frame_id = frame.to_owned();
        blank.header.stamp = time_to_message(stamp);
        blank.pose.orientation.w = 1.0;
        let clear = Marker {
            action: Marker::DELETEALL as i32,
            ..blank.clone()
        };
        Self {
            blank,
            markers: MarkerArray {
                markers: vec![clear],
            },
        }
    }

    /// Adds a marker at a pose, to be completed by the caller. Those of a namespace come one after the other.
    fn add(&mut self, brush: Brush, pose: &Pose, scale: [f64; 3]) -> &mut Marker {
        let last = self.markers.markers.last();
        let last = last.filter(|m| m.ns == brush.namespace);
        let [x, y, z] = scale;
        self.markers.markers.push(Marker {
            ns: brush.namespace.to_owned(),
            id: last.map_or(0, |m| m.id + 1),
            type_: brush.kind,
            pose: pose_to_message(pose),
            scale: Vector3 { x, y, z },
            color: color(brush.color),
            ..self.blank.clone()
        });
        let last = self.markers.markers.len() - 1;
        &mut self.markers.markers[last]
    }
}

fn path(canvas: &mut Canvas, robot: &RobotModel, plan: &Plan) {
    let brush = Brush {
        namespace: "path",
        kind: kind::LINE_STRIP,
        color: [0.1, 0.6, 1.0, 0.9],
    };
    for phase in &plan.phases {
        let line = canvas.add(brush, &Pose::identity(), [PATH_WIDTH_M, 0.0, 0.0]);
        line.points = (0..=PATH_POINTS)
            .map(|k| {
                let t_s = phase.trajectory.duration_s() * k as f64 / PATH_POINTS as f64;
                let q = phase.trajectory.sample(t_s).position;
                point(&robot.kinematics.tool_pose(&q).translation.vector.into())
            })
            .collect();
    }
}

fn clearance(canvas: &mut Canvas, plan: &Plan) {
    let Some(nearest) = &plan.verification.nearest else {
        return;
    };
    let Some(ends) = nearest.points_m else {
        return;
    };
    let clearance_m = plan.verification.min_clearance_m;
    let line = Brush {
        namespace: "clearance",
        kind: kind::LINE_LIST,
        color: match clearance_m <= NARROW_M {
            true => [1.0, 0.1, 0.1, 1.0],
            false => [1.0, 0.8, 0.1, 1.0],
        },
    };
    let text = Brush {
        kind: kind::TEXT_VIEW_FACING,
        ..line
    };
    canvas
        .add(line, &Pose::identity(), [CLEARANCE_WIDTH_M, 0.0, 0.0])
        .points = ends.iter().map(point).collect();
    let [[x, y, z], _] = ends;
    let beside = Pose::translation(x, y, z + TEXT_HEIGHT_M);
    canvas.add(text, &beside, [0.0, 0.0, TEXT_HEIGHT_M]).text = format!(
        "{} to {}: {:.1} mm",
        nearest.link,
        nearest.object,
        1e3 * clearance_m
    );
}

fn point(&[x, y, z]: &[f64; 3]) -> Point {
    Point { x, y, z }
}

fn color([r, g, b, a]: [f32; 4]) -> ColorRGBA {
    ColorRGBA { r, g, b, a }
}
