//! What the closed-form checks say about a grasp: does the open gripper touch, and how do the pads meet the object.
//!
//! The same two checks label the training data, filter what the sampler draws and score it.

use nalgebra::{Isometry3, Point3, Vector3};

use crate::geometry::Pose;
use crate::robot::{GripperBox, GripperGeometry};
use crate::scene::SignedDistance;

/// Boxes are searched down to pieces of this half diagonal, m.
const FINEST_PIECE_M: f64 = 0.0012;
/// A pad point this near to the surface bears load, m.
pub(super) const CONTACT_BAND_M: f64 = 0.0006;
/// The closing motion stops this near to the surface, m.
pub(super) const STOP_M: f64 = 0.0001;
/// Least step of the closing motion, m: at most [`STOP_M`] more than any distance at which it goes on.
pub(super) const LEAST_STEP_M: f64 = 0.0002;

/// Whether any part of the gripper, opened by `opening_m`, reaches into the solid.
///
/// `clearance_m` > 0 keeps that much air around the gripper; < 0 shaves that much off its surface.
/// The boxes are halved until a piece is clear of the solid by its distance, or has its centre inside,
/// so walls thinner than any lattice spacing are found.
pub fn gripper_collides(
    solid: &dyn SignedDistance,
    object_from_gripper: &Pose,
    gripper: &GripperGeometry,
    opening_m: f64,
    clearance_m: f64,
) -> bool {
    gripper
        .boxes(opening_m)
        .any(|part| box_collides(solid, object_from_gripper, &part, clearance_m))
}

/// Whether a box fixed to the gripper reaches into the solid; `clearance_m` as for [`gripper_collides`].
pub fn box_collides(
    solid: &dyn SignedDistance,
    object_from_gripper: &Pose,
    part: &GripperBox,
    clearance_m: f64,
) -> bool {
    let half = Vector3::from(part.half_extents_m).add_scalar(clearance_m.min(0.0));
    half.min() > 0.0
        && piece_touches(
            solid,
            object_from_gripper,
            Vector3::from(part.center_m),
            half,
            clearance_m.max(0.0),
        )
}

fn piece_touches(
    solid: &dyn SignedDistance,
    object_from_gripper: &Pose,
    centre: Vector3<f64>,
    half: Vector3<f64>,
    inflation_m: f64,
) -> bool {
    let distance = solid.distance(&(object_from_gripper * Point3::from(centre))) - inflation_m;
    let radius = half.norm();
    if distance <= 0.0 {
        return true;
    }
    if distance > radius || radius < FINEST_PIECE_M {
        return false;
    }
    let axis = half.imax();
    let mut part = half;
    part[axis] *= 0.5;
    let mut offset = Vector3::zeros();
    offset[axis] = part[axis];
    piece_touches(
        solid,
        object_from_gripper,
        centre + offset,
        part,
        inflation_m,
    ) || piece_touches(
        solid,
        object_from_gripper,
        centre - offset,
        part,
        inflation_m,
    )
}

/// Where a finger pad meets the object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PadContact {
    /// Place of the pad's face along the closing axis x, gripper frame, m.
    pub x_m: f64,
    /// Angle between the surface normal and the closing axis, rad.
    pub angle_rad: f64,
}

/// Both pads moved inwards until they touch: `[finger at +x, finger at -x]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Closing {
    pub contacts: [Option<PadContact>; 2],
}

impl Closing {
    /// Distance between the pads when both touch, m.
    pub fn width_m(&self) -> Option<f64> {
        Some(self.contacts[0]?.x_m - self.contacts[1]?.x_m)
    }

    /// Both pads touch, with something between them, and both normals lie in the cone.
    pub fn is_inside_cone(&self, half_angle_rad: f64) -> bool {
        self.width_m().is_some_and(|width| width > 5e-4)
            && self
                .contacts
                .iter()
                .flatten()
                .all(|contact| contact.angle_rad < half_angle_rad)
    }
}

/// Closes the fingers on the solid.
///
/// Each pad is a lattice of points on the finger's inner face, three across and at most 9 mm apart along it. It advances by
/// its own distance to the solid, so it cannot jump over a thin wall.
pub fn close_gripper(
    solid: &dyn SignedDistance,
    object_from_gripper: &Pose,
    gripper: &GripperGeometry,
) -> Closing {
    let pad = Pad::new(gripper);
    Closing {
        contacts: [1.0, -1.0].map(|side| pad.close(solid, object_from_gripper, gripper, side)),
    }
}

/// Largest distance of the points along the pad, m, and the most rows of three.
const ROW_SPACING_M: f64 = 0.009;
const MOST_ROWS: usize = 8;
/// The first row lies this far behind the tip, the last before the pad's end, m.
const ROW_INSET_M: [f64; 2] = [0.0012, 0.0007];
/// The outer points lie this share of the pad's width off its middle.
const COLUMN_SHARE: f64 = 0.456;

/// The points of a pad, (y, z) in the gripper frame, m.
struct Pad {
    points_m: [[f64; 2]; 3 * MOST_ROWS],
    count: usize,
}

impl Pad {
    fn new(gripper: &GripperGeometry) -> Self {
        let length = (gripper.pad_length_m - ROW_INSET_M[0] - ROW_INSET_M[1]).max(0.0);
        let rows = ((length / ROW_SPACING_M).ceil() as usize + 1).clamp(3, MOST_ROWS);
        let step = length / (rows - 1) as f64;
        Self {
            points_m: std::array::from_fn(|i| {
                let y = ((i % 3) as f64 - 1.0) * COLUMN_SHARE * gripper.pad_width_m;
                [y, gripper.tip_m - ROW_INSET_M[0] - step * (i / 3) as f64]
            }),
            count: 3 * rows,
        }
    }

    /// Moves the pad at `side` (+1, -1) inwards until it touches.
    fn close(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
        gripper: &GripperGeometry,
        side: f64,
    ) -> Option<PadContact> {
        let start = 0.5 * gripper.max_opening_m;
        let mut travel = 0.0;
        while travel < gripper.max_opening_m {
            let x_m = side * (start - travel);
            let places = self
                .points_m
                .map(|[y, z]| object_from_gripper * Point3::new(x_m, y, z));
            let places = &places[..self.count];
            let met = Met { solid, travel };
            let nearest = places.iter().fold(f64::INFINITY, |nearest, p| {
                nearest.min(met.distance(p, nearest))
            });
            if nearest <= STOP_M {
                return contact_at(&met, object_from_gripper, places, x_m, side);
            }
            travel += nearest.max(LEAST_STEP_M);
        }
        None
    }
}

/// A solid as points find it that advance on it by no more than its distance, or by [`LEAST_STEP_M`], which brings none deeper into it
/// than [`STOP_M`], where they stop.
pub(super) struct Met<'a> {
    pub solid: &'a dyn SignedDistance,
    /// How far they have come, m. Who starts inside does not advance: after the start no sign is asked for.
    pub travel: f64,
}

impl Met<'_> {
    /// Their distance; from `limit_m` on a lower bound.
    pub fn distance(&self, place: &Point3<f64>, limit_m: f64) -> f64 {
        match self.travel > 0.0 {
            true => self.solid.distance_outside(place, limit_m),
            false => self.solid.distance(place),
        }
    }

    /// The surface's normal next to a point in contact. It is read a little back along the way, where the distance is smooth even on
    /// thin walls.
    pub fn normal(&self, place: &Point3<f64>, back: &Vector3<f64>) -> Vector3<f64> {
        let place = place + back * CONTACT_BAND_M;
        match self.travel > CONTACT_BAND_M {
            true => self.solid.distance_and_gradient_outside(&place).1,
            false => self.solid.distance_and_gradient(&place).1,
        }
    }
}

fn contact_at(
    met: &Met<'_>,
    object_from_gripper: &Isometry3<f64>,
    pads: &[Point3<f64>],
    x_m: f64,
    side: f64,
) -> Option<PadContact> {
    let closing_axis = object_from_gripper.rotation * Vector3::new(side, 0.0, 0.0);
    let normal: Vector3<f64> = pads
        .iter()
        .filter(|p| met.distance(p, CONTACT_BAND_M) < CONTACT_BAND_M)
        .map(|p| met.normal(p, &closing_axis))
        .sum();
    let cosine = normal.try_normalize(1e-9)?.dot(&closing_axis);
    Some(PadContact {
        x_m,
        angle_rad: cosine.clamp(-1.0, 1.0).acos(),
    })
}

/// Lengths at which the ray leaves the solid, up to `limit_m`. Steps are the distance itself, so no wall is missed.
pub fn exits_along(
    solid: &dyn SignedDistance,
    from: &Point3<f64>,
    direction: &Vector3<f64>,
    limit_m: f64,
) -> Vec<f64> {
    const LEAST_MARCH_M: f64 = 0.0003;
    let mut exits = Vec::new();
    let mut length = LEAST_MARCH_M;
    let mut last = solid.distance(&(from + direction * length));
    while length < limit_m {
        let step = last.abs().max(LEAST_MARCH_M);
        let next = solid.distance(&(from + direction * (length + step)));
        if last < 0.0 && next >= 0.0 {
            exits.push(length + step * last / (last - next));
        }
        length += step;
        last = next;
    }
    exits.retain(|&exit| exit <= limit_m);
    exits
}
