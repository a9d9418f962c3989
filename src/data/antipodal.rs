//! Candidates for grasps on a solid, sorted into those that hold and those that fail.

use nalgebra::{Translation3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::field::{CandidateSettings, FacingPoints, Failure, FingerFace, Label, LabelLimits};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;
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
        let drawing = CandidateSettings::default();
        Self {
            cone_deg: drawing.cone_deg,
            contact_cone_deg: 18.0,
            slip_cone_deg: 75.0,
            jaw_margin_m: drawing.jaw_margin_m,
            depth_m: drawing.depth_m,
            shift_m: drawing.shift_m,
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
    let drawing = settings.candidates();
    let facing = FacingPoints::new(solid, surface, gripper, drawing);
    let face = FingerFace::new(gripper);
    let limits = settings.label_limits();
    let mut grasps = LabelledGrasps::default();
    let mut tried = 0;
    while tried < settings.max_candidates {
        tried += 1;
        if grasps.holding.len() == counts.holding && grasps.failing.len() == counts.failing {
            break;
        }
        let Some(contacts) = facing.pair(&mut rng) else {
            continue;
        };
        for _ in 0..ROLLS_PER_PAIR {
            tried += 1;
            let mut pose = drawing.grasp(gripper, contacts, &mut rng);
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
    /// How candidates are drawn.
    fn candidates(&self) -> CandidateSettings {
        CandidateSettings {
            cone_deg: self.cone_deg,
            jaw_margin_m: self.jaw_margin_m,
            depth_m: self.depth_m,
            shift_m: self.shift_m,
        }
    }

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
