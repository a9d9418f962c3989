//! Antipodal grasps on a solid, checked by closing the gripper.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, UnitSphere};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::field::contact::{close_gripper, exits_along, gripper_collides};
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
            jaw_margin_m: 0.006,
            depth_m: [0.003, 0.020],
            shift_m: 0.004,
            clearance_m: 0.0015,
            max_candidates: 30_000,
        }
    }
}

/// Up to `count` grasps on the solid, as object_from_gripper; fewer where the object allows no more.
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
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let sampler = SurfaceSampler::new(surface);
    let contact_cone = settings.contact_cone_deg.to_radians();
    let mut grasps = Vec::with_capacity(count);
    for _ in 0..settings.max_candidates {
        if grasps.len() == count {
            break;
        }
        let Some(pair) =
            antipodal_pair(solid, sampler.sample(&mut rng), gripper, settings, &mut rng)
        else {
            continue;
        };
        let pose = random_grasp(pair, gripper, settings, &mut rng);
        // Closing is cheaper than the collision search, so it goes first.
        if close_gripper(solid, &pose, gripper).is_inside_cone(contact_cone)
            && !gripper_collides(
                solid,
                &pose,
                gripper,
                gripper.max_opening_m,
                settings.clearance_m,
            )
        {
            grasps.push(pose);
        }
    }
    grasps
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
