//! What adjoins a link wherever the joint between them stands.
//!
//! Two links of an arm meet with flat faces at their joint. Spheres that cover such a face stick out of their own
//! link, but into the other one, where nothing can be anyway. So what a neighbour fills at every position of the joint
//! counts as solid when the spheres of a link are fitted: the parts of it that stay in place as it turns.

use std::collections::BTreeMap;

use nalgebra::{Point3, Translation3, Unit, UnitQuaternion, Vector3};
use urdf_rs::JointType;

use super::urdf::pose;
use crate::geometry::Pose;
use crate::scene::{Shape, SignedDistance};

/// Positions of a joint that stand for all.
const TURNS: usize = 16;

/// Collision shapes by link, in the link's frame.
pub(super) type ShapesByLink = BTreeMap<String, Vec<(Pose, Shape)>>;

/// A rigid piece of the robot beside a link, in the link's frame.
pub(super) struct Neighbour {
    /// Poses of the piece as its joint turns; one if nothing moves between them.
    turns: Vec<Pose>,
    shapes: Vec<(Pose, Shape)>,
    /// Sphere around the piece at any turn.
    center: Point3<f64>,
    radius_m: f64,
}

impl Neighbour {
    fn new(shapes: Vec<(Pose, Shape)>, turns: Vec<Pose>, on_axis: Point3<f64>) -> Self {
        let corners = shapes.iter().flat_map(|(place, shape)| {
            let (low, high) = shape.bounds();
            (0..8).map(move |corner| {
                let pick = |k: usize| if corner >> k & 1 == 0 { low[k] } else { high[k] };
                place * Point3::new(pick(0), pick(1), pick(2))
            })
        });
        let radius_m = corners.map(|p| (p - on_axis).norm()).fold(0.0, f64::max);
        Self {
            turns,
            shapes,
            center: on_axis,
            radius_m,
        }
    }

    /// Signed distance to what the piece fills at every turn, m; a bound from below outside. Not computed further
    /// once it is known to be `enough_m`.
    pub fn distance(&self, point: &Point3<f64>, enough_m: f64) -> f64 {
        let around = (point - self.center).norm() - self.radius_m;
        if around > 0.0 {
            return around;
        }
        let mut largest = f64::NEG_INFINITY;
        for turn in &self.turns {
            let turned = turn * point;
            let to_shape = |(place, shape): &(Pose, Shape)| {
                shape.distance(&place.inverse_transform_point(&turned))
            };
            let nearest = self.shapes.iter().map(to_shape).fold(f64::INFINITY, f64::min);
            largest = f64::max(largest, nearest);
            if largest >= enough_m {
                break;
            }
        }
        largest
    }

    /// Corners of a box around all turns.
    pub fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        let reach = Vector3::repeat(self.radius_m);
        (self.center - reach, self.center + reach)
    }
}

/// Pieces beside a link: what is fixed to it, and what turns against it.
pub(super) fn neighbours(
    robot: &urdf_rs::Robot,
    link: &str,
    shapes: &ShapesByLink,
) -> Vec<Neighbour> {
    let own = rigid_piece(robot, link);
    let mut out = Vec::new();
    let fixed: Vec<_> = own.iter().filter(|(name, _)| name != link).cloned().collect();
    add(&mut out, &fixed, &Pose::identity(), shapes, None);
    let place = |name: &str| own.iter().find(|(n, _)| n == name).map(|(_, pose)| *pose);
    for joint in &robot.joints {
        if !matches!(joint.joint_type, JointType::Revolute | JointType::Continuous) {
            continue;
        }
        let parent_from_child = pose(&joint.origin);
        // Poses of the joint and of the other piece's first link; the joint's position does not matter.
        let (link_from_joint, far, link_from_far) =
            match (place(&joint.parent.link), place(&joint.child.link)) {
                (Some(parent), None) => {
                    let child = parent * parent_from_child;
                    (child, &joint.child.link, child)
                }
                (None, Some(child)) => (
                    child,
                    &joint.parent.link,
                    child * parent_from_child.inverse(),
                ),
                _ => continue,
            };
        let [x, y, z] = joint.axis.xyz.0;
        let axis = link_from_joint.rotation * Vector3::new(x, y, z);
        let Some(axis) = Unit::try_new(axis, 1e-9) else {
            continue;
        };
        let origin = Point3::from(link_from_joint.translation.vector);
        let piece = rigid_piece(robot, far);
        add(&mut out, &piece, &link_from_far, shapes, Some((origin, axis)));
    }
    out
}

/// Adds a piece if it has shapes. `members`: links and their poses in the piece's first link.
fn add(
    out: &mut Vec<Neighbour>,
    members: &[(String, Pose)],
    link_from_piece: &Pose,
    shapes: &ShapesByLink,
    axis: Option<(Point3<f64>, Unit<Vector3<f64>>)>,
) {
    let shapes: Vec<(Pose, Shape)> = members
        .iter()
        .flat_map(|(name, piece_from_member)| {
            let of_member = shapes.get(name).into_iter().flatten();
            of_member.map(move |(member_from_shape, shape)| {
                let place = link_from_piece * piece_from_member * member_from_shape;
                (place, shape.clone())
            })
        })
        .collect();
    let Some((first, _)) = shapes.first() else {
        return;
    };
    let (turns, center) = match axis {
        None => (vec![Pose::identity()], Point3::from(first.translation.vector)),
        Some((origin, axis)) => {
            let about = |turn: usize| {
                let angle = std::f64::consts::TAU * turn as f64 / TURNS as f64;
                let rotation = UnitQuaternion::from_axis_angle(&axis, angle);
                let back = Translation3::from(origin.coords);
                back * rotation * back.inverse()
            };
            ((0..TURNS).map(about).collect(), origin)
        }
    };
    out.push(Neighbour::new(shapes, turns, center));
}

/// Links that are fixed to one, itself included, with their poses in it.
fn rigid_piece(robot: &urdf_rs::Robot, link: &str) -> Vec<(String, Pose)> {
    let mut piece = vec![(link.to_owned(), Pose::identity())];
    let mut next = 0;
    while next < piece.len() {
        let (name, place) = piece[next].clone();
        for joint in &robot.joints {
            if joint.joint_type != JointType::Fixed {
                continue;
            }
            let parent_from_child = pose(&joint.origin);
            let (other, other_place) = if joint.parent.link == name {
                (&joint.child.link, place * parent_from_child)
            } else if joint.child.link == name {
                (&joint.parent.link, place * parent_from_child.inverse())
            } else {
                continue;
            };
            if piece.iter().all(|(known, _)| known != other) {
                piece.push((other.clone(), other_place));
            }
        }
        next += 1;
    }
    piece
}
