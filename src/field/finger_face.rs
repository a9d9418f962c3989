//! Whether a grasp holds: the fingers' whole faces are closed on the object.
//!
//! [`super::contact`] closes nine points of each pad, which is quick. Here the whole inner face of the finger advances, so a
//! fork's edge between two points, or a handle that meets the finger above its pad, is not missed.

use std::collections::BTreeMap;

use nalgebra::{Point3, Vector3};
use serde::{Deserialize, Serialize};

use super::contact::{box_collides, gripper_collides, Met, CONTACT_BAND_M, LEAST_STEP_M, STOP_M};
use super::face_contacts::{Contacts, FaceContact};
use crate::geometry::Pose;
use crate::robot::{GripperBox, GripperGeometry};
use crate::scene::SignedDistance;

/// Spacing of the points that stand for a finger's face, m; below the thinnest wall of any procedural object.
const FACE_SPACING_M: f64 = 0.002;
/// Points within a square of this side are neighbours, whose middle says something of the others, m.
const TILE_M: f64 = 0.010;
/// Normals read of one contact; larger patches are thinned out.
const MOST_NORMALS: usize = 24;
/// What lies between the pads of a closed gripper is at least this thick, m.
const LEAST_WIDTH_M: f64 = 0.0005;
/// Overlap with the open gripper above which a grasp surely fails, m.
const SURE_OVERLAP_M: f64 = 0.003;

/// Limits between grasps that hold with a margin, that surely fail, and those in between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelLimits {
    /// Half angle inside which both contacts' normals, and a line from contact to contact, lie, rad.
    pub hold_cone_rad: f64,
    /// Half angle outside which a grasp surely slips, rad.
    pub slip_cone_rad: f64,
    /// Air around the open gripper of a grasp that holds, m.
    pub clearance_m: f64,
}

/// Why a grasp fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The open gripper overlaps the object.
    Collides,
    /// A finger closes on nothing.
    Misses,
    /// The contacts lie outside every usual friction cone.
    Slips,
    /// Lost in a data set's own test, which does not say why.
    Drops,
}

impl Failure {
    const ALL: [Self; 4] = [Self::Collides, Self::Misses, Self::Slips, Self::Drops];

    /// The reason that a file keeps as this number, its place among the reasons.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// What is known of a grasp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Label {
    /// Force closure with margin, and neither the open nor the closing gripper touches anything but the pads' contacts.
    Holds,
    Fails(Failure),
    /// Neither is sure: taken for nothing.
    Unclear,
}

/// The inner face of a finger: its pad, and the slope behind it.
#[derive(Debug, Clone)]
pub struct FingerFace {
    /// (y, z) in the gripper frame, m, from the tip upwards.
    points_m: Vec<[f64; 2]>,
    /// How far each point lies back from the pad along the closing axis, m.
    recess_m: Vec<f64>,
    /// Which points are neighbours.
    tiles: Vec<Tile>,
    pad_from_m: f64,
    /// Balls inside the open gripper: centres and radii, m. They settle most collisions at once.
    balls_m: Vec<(Point3<f64>, f64)>,
    gripper: GripperGeometry,
}

/// Neighbouring points of a face, and how far they lie from the middle one.
#[derive(Debug, Clone)]
struct Tile {
    middle: usize,
    /// (point, m)
    others: Vec<(usize, f64)>,
}

impl FingerFace {
    /// The face of the gripper's fingers, from where they leave the palm to the tip.
    pub fn new(gripper: &GripperGeometry) -> Self {
        let steps = |length: f64| (length / FACE_SPACING_M).ceil() as usize;
        let (tip, base) = (gripper.tip_m, gripper.finger_base_m);
        let pad_from_m = f64::max(tip - gripper.pad_length_m, base);
        let rows = steps(tip - base);
        let (mut points_m, mut recess_m) = (Vec::new(), Vec::new());
        for row in 0..=rows {
            let z = tip - (tip - base) * row as f64 / rows as f64;
            let behind = f64::max(pad_from_m - z, 0.0) / f64::max(pad_from_m - base, 1e-6);
            let width = match behind {
                0.0 => gripper.finger_width_m.min(gripper.pad_width_m),
                _ => gripper.finger_width_m,
            };
            let columns = steps(width);
            points_m.extend((0..=columns).map(|c| [width * (c as f64 / columns as f64 - 0.5), z]));
            recess_m.resize(points_m.len(), gripper.recess_m * behind);
        }
        Self {
            tiles: tiles(&points_m, &recess_m),
            points_m,
            recess_m,
            pad_from_m,
            balls_m: gripper
                .boxes(gripper.max_opening_m)
                .flat_map(|part| inner_balls(&part))
                .collect(),
            gripper: gripper.clone(),
        }
    }

    pub fn gripper(&self) -> &GripperGeometry {
        &self.gripper
    }

    /// The label of a grasp on a solid.
    pub fn label(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
        limits: &LabelLimits,
    ) -> Label {
        let gripper = &self.gripper;
        let room = self
            .balls_m
            .iter()
            .map(|(centre, radius)| solid.distance(&(object_from_gripper * centre)) - radius);
        let room = room.fold(f64::INFINITY, f64::min);
        if room < -SURE_OVERLAP_M {
            return Label::Fails(Failure::Collides);
        }
        let collides = |clearance_m: f64| {
            let opening = gripper.max_opening_m;
            gripper_collides(solid, object_from_gripper, gripper, opening, clearance_m)
        };
        let Some(contacts) = self.contacts(solid, object_from_gripper) else {
            return Label::Fails(Failure::Misses);
        };
        let angle = contacts.angle_rad();
        let holds = self.hold(solid, object_from_gripper, &contacts, limits.hold_cone_rad);
        if holds && room > limits.clearance_m && !collides(limits.clearance_m) {
            Label::Holds
        } else if collides(-SURE_OVERLAP_M) {
            Label::Fails(Failure::Collides)
        } else if angle > limits.slip_cone_rad {
            Label::Fails(Failure::Slips)
        } else {
            Label::Unclear
        }
    }

    /// The contacts of the closing fingers if they alone make a grasp that holds inside a cone; whether the open gripper fits is not
    /// asked, so distances may be lower bounds where they are large.
    pub fn holding_contacts(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
        cone_rad: f64,
    ) -> Option<Contacts> {
        // One finger that does not meet it is enough.
        let meets = |contact: &FaceContact| self.meets(contact, cone_rad);
        self.contacts_if(solid, object_from_gripper, meets)
            .filter(|contacts| self.hold(solid, object_from_gripper, contacts, cone_rad))
    }

    /// The contacts of the closing fingers, whether they hold or not; `None` where a finger closes on nothing.
    pub fn contacts(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
    ) -> Option<Contacts> {
        self.contacts_if(solid, object_from_gripper, |_| true)
    }

    /// Both fingers' contacts if both count, with something between them.
    fn contacts_if(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
        counts: impl Fn(&FaceContact) -> bool,
    ) -> Option<Contacts> {
        let close = |side: f64| self.close(solid, object_from_gripper, side).filter(&counts);
        let (first, second) = (close(1.0)?, close(-1.0)?);
        (first.x_m - second.x_m >= LEAST_WIDTH_M).then_some(Contacts([first, second]))
    }

    fn hold(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
        Contacts([first, second]): &Contacts,
        cone_rad: f64,
    ) -> bool {
        let (width, middle) = (first.x_m - second.x_m, 0.5 * (first.x_m + second.x_m));
        self.meets(first, cone_rad)
            && self.meets(second, cone_rad)
            && first.meets(second, width * cone_rad.tan())
            && !self.palm_collides(solid, object_from_gripper, middle)
    }

    /// Whether the normal lies in the cone and the pad touches.
    fn meets(&self, contact: &FaceContact, cone_rad: f64) -> bool {
        contact.angle_rad < cone_rad && contact.patch_m.iter().any(|p| p[1] >= self.pad_from_m)
    }

    /// Whether the palm touches while the fingers pull the object to their middle, `shift_m` along x.
    fn palm_collides(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
        shift_m: f64,
    ) -> bool {
        self.gripper.palm.iter().any(|palm| {
            let mut swept = *palm;
            swept.center_m[0] += 0.5 * shift_m;
            swept.half_extents_m[0] += 0.5 * shift_m.abs();
            box_collides(solid, object_from_gripper, &swept, 0.0)
        })
    }

    /// Advances the face of the finger at `side` (+1, -1) until it touches.
    ///
    /// Each point keeps a lower bound of its distance, so that only the nearest few are asked again at each step.
    fn close(
        &self,
        solid: &dyn SignedDistance,
        object_from_gripper: &Pose,
        side: f64,
    ) -> Option<FaceContact> {
        let start = 0.5 * side * self.gripper.max_opening_m;
        let inwards = object_from_gripper.rotation * Vector3::new(-side, 0.0, 0.0);
        let places: Vec<Point3<f64>> = self
            .points_m
            .iter()
            .zip(&self.recess_m)
            .map(|([y, z], back)| object_from_gripper * Point3::new(start + side * back, *y, *z))
            .collect();
        let mut bounds = vec![f64::NEG_INFINITY; places.len()];
        let (mut travel, mut leader) = (0.0, 0);
        while travel < self.gripper.max_opening_m {
            let met = Met { solid, travel };
            let measure = |i: usize| met.distance(&(places[i] + inwards * travel), f64::INFINITY);
            // The last leader first: few others can be nearer.
            bounds[leader] = measure(leader);
            let mut nearest = bounds[leader];
            for tile in &self.tiles {
                let mut ask = |i: usize, bounds: &mut [f64]| {
                    if bounds[i] < nearest {
                        bounds[i] = measure(i);
                        if bounds[i] < nearest {
                            (nearest, leader) = (bounds[i], i);
                        }
                    }
                };
                ask(tile.middle, &mut bounds);
                for &(i, off_m) in &tile.others {
                    bounds[i] = bounds[i].max(bounds[tile.middle] - off_m);
                    ask(i, &mut bounds);
                }
            }
            if nearest <= STOP_M {
                return self.contact(&met, &places, &bounds, inwards, side);
            }
            let step = nearest.max(LEAST_STEP_M);
            travel += step;
            bounds.iter_mut().for_each(|bound| *bound -= step);
        }
        None
    }

    fn contact(
        &self,
        met: &Met<'_>,
        places: &[Point3<f64>],
        bounds: &[f64],
        inwards: Vector3<f64>,
        side: f64,
    ) -> Option<FaceContact> {
        let place = |i: usize| places[i] + inwards * met.travel;
        let touching: Vec<usize> = (0..places.len())
            .filter(|&i| {
                bounds[i] < CONTACT_BAND_M
                    && met.distance(&place(i), CONTACT_BAND_M) < CONTACT_BAND_M
            })
            .collect();
        let normal: Vector3<f64> = touching
            .iter()
            .step_by(touching.len().div_ceil(MOST_NORMALS).max(1))
            .map(|&i| met.normal(&place(i), &-inwards))
            .sum();
        let cosine = -normal.try_normalize(1e-9)?.dot(&inwards);
        Some(FaceContact {
            x_m: side * (0.5 * self.gripper.max_opening_m - met.travel),
            angle_rad: cosine.clamp(-1.0, 1.0).acos(),
            patch_m: touching.iter().map(|&i| self.points_m[i]).collect(),
        })
    }
}

/// Points by the squares in which they lie.
fn tiles(points_m: &[[f64; 2]], recess_m: &[f64]) -> Vec<Tile> {
    let square = |i: usize| points_m[i].map(|x| (x / TILE_M).floor() as i64);
    let mut by_square: BTreeMap<[i64; 2], Vec<usize>> = BTreeMap::new();
    for i in 0..points_m.len() {
        by_square.entry(square(i)).or_default().push(i);
    }
    let place = |i: usize| Point3::new(recess_m[i], points_m[i][0], points_m[i][1]);
    let tile = |points: Vec<usize>| {
        let sum: Vector3<f64> = points.iter().map(|&i| place(i).coords).sum();
        let center = Point3::from(sum / points.len() as f64);
        let off = |i: usize| (place(i) - center).norm();
        let middle = points.iter().copied();
        let middle = middle.min_by(|&a, &b| off(a).total_cmp(&off(b)))?;
        let others = points.iter().filter(|&&i| i != middle);
        let others = others.map(|&i| (i, (place(i) - place(middle)).norm()));
        Some(Tile {
            middle,
            others: others.collect(),
        })
    };
    by_square.into_values().filter_map(tile).collect()
}

/// Balls along the longest axis of a box, as thick as its thinnest side.
fn inner_balls(part: &GripperBox) -> Vec<(Point3<f64>, f64)> {
    let half = Vector3::from(part.half_extents_m);
    let (radius, axis) = (half.min(), half.imax());
    let reach = half[axis] - radius;
    let count = (reach / radius).ceil() as usize + 1;
    let place = |i: usize| {
        let mut centre = Point3::from(part.center_m);
        centre[axis] += reach * (2.0 * i as f64 / (count.max(2) - 1) as f64 - 1.0);
        centre
    };
    (0..count).map(|i| (place(i), radius)).collect()
}
