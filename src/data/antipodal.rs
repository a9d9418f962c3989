//! Candidates for grasps on a solid, sorted by [`super::label`] into those that hold and those that fail.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, UnitSphere};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::field::contact::exits_along;
use crate::field::{Failure, FingerFace, Label, LabelLimits};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::mesh::SurfaceSampler;
use crate::scene::{SignedDistance, TriangleMesh};

/// How candidates are drawn and which are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AntipodalSettings {
    /// Half angle of the cone about the surface normal in which the other contact is searched, deg.
    pub cone_deg: f64,
    /// Half angle inside which both pads' normals lie after closing, deg.
    pub contact_cone_deg: f64,
    /// Half angle outside which a closed grasp counts as one that fails, deg.
    pub slip_cone_deg: f64,
    /// Free width left of the opening, m.
    pub jaw_margin_m: f64,
    /// Least and most depth of the contact behind the finger tip, m.
    pub depth_m: [f64; 2],
    /// Largest shift of the fingers' middle off the object's middle along the closing axis, m.
    pub shift_m: f64,
    /// Air that the open gripper keeps from the object, m.
    pub clearance_m: f64,
    /// Candidates after which the search ends, whatever was found.
    pub max_candidates: usize,
}

impl Default for AntipodalSettings {
    fn default() -> Self {
        Self {
            cone_deg: 15.0,
            contact_cone_deg: 18.0,
            slip_cone_deg: 75.0,
            jaw_margin_m: 0.006,
            depth_m: [0.003, 0.020],
            shift_m: 0.004,
            clearance_m: 0.0015,
            max_candidates: 120_000,
        }
    }
}

/// Grasps on one object, as object_from_gripper. What is neither sure to hold nor sure to fail is in no list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelledGrasps {
    pub holding: Vec<Pose>,
    pub failing: Vec<(Pose, Failure)>,
    /// Candidates looked at.
    pub candidates: usize,
    /// Candidates that hold among them; the share says how graspable the object is.
    pub candidates_holding: usize,
}

/// How many grasps of each kind are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraspCounts {
    pub holding: usize,
    pub failing: usize,
}

/// Rolls about the closing axis, depths and shifts tried on a pair of contacts.
const ROLLS_PER_PAIR: usize = 6;
/// Share of candidates that are antipodal grasps knocked out of place, where failures are wanted.
const KNOCKED_SHARE: f64 = 0.25;
/// How far those are knocked out of place: standard deviation, m and rad.
const KNOCK_M: f64 = 0.012;
const KNOCK_RAD: f64 = 0.25;

/// Up to `count` grasps that hold, as object_from_gripper; fewer where the object allows no more.
///
/// `surface` is a mesh of the solid, from which first contacts are drawn by area.
pub fn antipodal_grasps(
    solid: &dyn SignedDistance,
    surface: &TriangleMesh,
    gripper: &GripperGeometry,
    settings: &AntipodalSettings,
    count: usize,
    seed: u64,
) -> Vec<Pose> {
    let counts = GraspCounts {
        holding: count,
        failing: 0,
    };
    labelled_grasps(solid, surface, gripper, settings, counts, seed).holding
}

/// Grasps that hold and grasps that fail, up to `counts` of each. Equal arguments give equal grasps.
///
/// Failures are near misses: antipodal candidates in collision, and candidates knocked out of place.
pub fn labelled_grasps(
    solid: &dyn SignedDistance,
    surface: &TriangleMesh,
    gripper: &GripperGeometry,
    settings: &AntipodalSettings,
    counts: GraspCounts,
    seed: u64,
) -> LabelledGrasps {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let sampler = SurfaceSampler::new(surface);
    let face = FingerFace::new(gripper);
    let limits = settings.label_limits();
    let mut grasps = LabelledGrasps::default();
    let mut tried = 0;
    while tried < settings.max_candidates {
        tried += 1;
        if grasps.holding.len() == counts.holding && grasps.failing.len() == counts.failing {
            break;
        }
        let start = sampler.sample(&mut rng);
        let Some(pair) = antipodal_pair(solid, start, gripper, settings, &mut rng) else {
            continue;
        };
        for _ in 0..ROLLS_PER_PAIR {
            tried += 1;
            let mut pose = random_grasp(pair, gripper, settings, &mut rng);
            let knocked = grasps.failing.len() < counts.failing && rng.random_bool(KNOCKED_SHARE);
            if knocked {
                pose = knock(&pose, gripper, &mut rng);
            }
            let label = face.label(solid, &pose, &limits);
            if !knocked {
                grasps.candidates += 1;
                grasps.candidates_holding += usize::from(label == Label::Holds);
            }
            match label {
                Label::Fails(why) if grasps.failing.len() < counts.failing => {
                    grasps.failing.push((pose, why));
                }
                // One of a pair, so that a contact that allows many rolls is not there many times.
                Label::Holds if !knocked => {
                    if grasps.holding.len() < counts.holding {
                        grasps.holding.push(pose);
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    grasps
}

impl AntipodalSettings {
    /// The limits by which candidates are sorted.
    pub fn label_limits(&self) -> LabelLimits {
        LabelLimits {
            hold_cone_rad: self.contact_cone_deg.to_radians(),
            slip_cone_rad: self.slip_cone_deg.to_radians(),
            clearance_m: self.clearance_m,
        }
    }
}

/// The grasp turned about its finger tips and shifted, both by Gaussian noise.
fn knock(object_from_gripper: &Pose, gripper: &GripperGeometry, rng: &mut impl Rng) -> Pose {
    let mut noise = |scale| Vector3::from_fn(|_, _| scale * rng.sample::<f64, _>(StandardNormal));
    let tips = Vector3::new(0.0, 0.0, gripper.tip_m);
    let turn = UnitQuaternion::from_scaled_axis(noise(KNOCK_RAD));
    let moved = object_from_gripper * Translation3::from(tips + noise(KNOCK_M));
    moved * turn * Translation3::from(-tips)
}

/// Two facing surface points whose normals lie in the cone about their connection.
fn antipodal_pair(
    solid: &dyn SignedDistance,
    start: Point3<f64>,
    gripper: &GripperGeometry,
    settings: &AntipodalSettings,
    rng: &mut impl Rng,
) -> Option<[Point3<f64>; 2]> {
    let cone = settings.cone_deg.to_radians();
    let (distance, gradient) = solid.distance_and_gradient(&start);
    let normal = gradient.try_normalize(1e-6)?;
    let first = start - normal * distance;
    let tangent = normal
        .cross(&Vector3::from(UnitSphere.sample(rng)))
        .try_normalize(1e-6)?;
    let tilt = cone * rng.random_range(0.0f64..1.0).sqrt();
    let direction = -normal * tilt.cos() + tangent * tilt.sin();
    let exits = exits_along(
        solid,
        &first,
        &direction,
        gripper.max_opening_m - settings.jaw_margin_m,
    );
    if exits.is_empty() {
        return None;
    }
    let second = first + direction * exits[rng.random_range(0..exits.len())];
    let other_normal = solid.distance_and_gradient(&second).1.try_normalize(1e-6)?;
    (other_normal.dot(&direction) > cone.cos()).then_some([first, second])
}

/// A grasp on the pair: random roll about the closing axis, depth, shift and side of the fingers.
fn random_grasp(
    [first, second]: [Point3<f64>; 2],
    gripper: &GripperGeometry,
    settings: &AntipodalSettings,
    rng: &mut impl Rng,
) -> Pose {
    let width = (second - first).norm();
    let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let x = (second - first) * (sign / width.max(1e-9));
    let z = loop {
        let guess: Vector3<f64> = UnitSphere.sample(rng).into();
        if let Some(z) = x.cross(&guess).try_normalize(1e-3) {
            break z;
        }
    };
    let rotation = Rotation3::from_matrix_unchecked(Matrix3::from_columns(&[x, z.cross(&x), z]));
    let depth = rng.random_range(settings.depth_m[0]..settings.depth_m[1]);
    let slack = (0.5 * (gripper.max_opening_m - 0.004 - width)).clamp(0.0, settings.shift_m);
    let shift = rng.random_range(-1.0..1.0) * slack;
    let origin = nalgebra::center(&first, &second) - z * (gripper.tip_m - depth) + x * shift;
    Isometry3::from_parts(
        Translation3::from(origin),
        UnitQuaternion::from_rotation_matrix(&rotation),
    )
}
