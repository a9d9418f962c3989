//! How bodies and links hang on each other.

use nalgebra::{Matrix3, Rotation3, Translation3, Unit, UnitQuaternion, Vector3};

use super::LaneFrame;
use crate::geometry::Pose;
use crate::lanes::{self, splat, Lanes};

/// Offsets below this are rounding of the URDF's rpy angles, m.
const ZERO_OFFSET_M: f64 = 1e-9;

/// Joint of a body in its z-aligned frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MotionKind {
    /// Turns about z.
    Turn,
    /// Slides along z.
    Slide,
}

/// The fixed rotation from the parent body to a body at q = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FixedRotation {
    Identity,
    /// Column c is `sign[c]` times the parent's axis `axis[c]`.
    AxisPermutation {
        axis: [u8; 3],
        sign: [f32; 3],
    },
    /// Columns.
    General([[f32; 3]; 3]),
}

/// How a body hangs on its parent.
#[derive(Clone, Debug)]
pub(super) struct BodyJoint {
    pub parent: usize,
    pub parent_from_body: Pose,
    pub rotation: FixedRotation,
    pub offset_m: [f32; 3],
    pub kind: MotionKind,
    /// Index of the planned joint that moves it.
    pub variable: usize,
    /// Position = multiplier * q[variable] + offset; (1, 0) unless it mimics.
    pub multiplier: f32,
    pub position_offset: f32,
}

/// Joint of a link in the URDF's own frames, for the double precision chain.
#[derive(Clone, Debug)]
pub(super) struct LinkJoint {
    pub name: String,
    pub parent: Option<usize>,
    pub parent_from_joint: Pose,
    pub motion: LinkMotion,
}

/// What moves a link against its parent.
#[derive(Clone, Debug)]
pub(super) enum LinkMotion {
    Fixed,
    Turn {
        axis: Unit<Vector3<f64>>,
        variable: usize,
        multiplier: f64,
        offset: f64,
    },
    Slide {
        axis: Unit<Vector3<f64>>,
        variable: usize,
        multiplier: f64,
        offset: f64,
    },
}

impl LinkMotion {
    pub fn pose(&self, q: &[f64]) -> Pose {
        let position = |variable: &usize, multiplier: &f64, offset: &f64| {
            multiplier * q.get(*variable).copied().unwrap_or(0.0) + offset
        };
        match self {
            LinkMotion::Fixed => Pose::identity(),
            LinkMotion::Turn {
                axis,
                variable,
                multiplier,
                offset,
            } => Pose::from_parts(
                Translation3::identity(),
                UnitQuaternion::from_axis_angle(axis, position(variable, multiplier, offset)),
            ),
            LinkMotion::Slide {
                axis,
                variable,
                multiplier,
                offset,
            } => Pose::from_parts(
                Translation3::from(axis.into_inner() * position(variable, multiplier, offset)),
                UnitQuaternion::identity(),
            ),
        }
    }
}

impl FixedRotation {
    /// Sorts a rotation into the cheapest class that reproduces it within f32.
    pub(super) fn classify(rotation: &UnitQuaternion<f64>) -> Self {
        let matrix = rotation.to_rotation_matrix();
        let mut axis = [0u8; 3];
        let mut sign = [1f32; 3];
        for column in 0..3 {
            match (0..3).find(|&row| matrix[(row, column)].abs() > 1.0 - 1e-9) {
                Some(row) => {
                    axis[column] = row as u8;
                    sign[column] = matrix[(row, column)].signum() as f32;
                }
                None => {
                    let at = |r, c| matrix[(r, c)] as f32;
                    return Self::General(std::array::from_fn(|c| {
                        std::array::from_fn(|r| at(r, c))
                    }));
                }
            }
        }
        if axis == [0, 1, 2] && sign == [1.0; 3] {
            return Self::Identity;
        }
        Self::AxisPermutation { axis, sign }
    }
}

impl BodyJoint {
    /// The body's frame for a joint position.
    #[inline(always)]
    pub fn place(&self, parent: &LaneFrame, position: Lanes) -> LaneFrame {
        let mut origin = parent.origin;
        for (axis, t) in [&parent.x, &parent.y, &parent.z]
            .into_iter()
            .zip(self.offset_m)
        {
            if t != 0.0 {
                origin = lanes::mul_add(axis, splat(t), &origin);
            }
        }
        let (x, y, z) = match &self.rotation {
            FixedRotation::Identity => (parent.x, parent.y, parent.z),
            FixedRotation::AxisPermutation { axis, sign } => {
                let columns = [parent.x, parent.y, parent.z];
                let column = |c: usize| lanes::scale(&columns[axis[c] as usize], splat(sign[c]));
                (column(0), column(1), column(2))
            }
            FixedRotation::General(columns) => (
                parent.direction(columns[0]),
                parent.direction(columns[1]),
                parent.direction(columns[2]),
            ),
        };
        match self.kind {
            MotionKind::Turn => {
                let (sine, cosine) = lanes::sin_cos(position);
                LaneFrame {
                    x: std::array::from_fn(|k| x[k].mul_add(cosine, y[k] * sine)),
                    y: std::array::from_fn(|k| y[k].mul_sub(cosine, x[k] * sine)),
                    z,
                    origin,
                }
            }
            MotionKind::Slide => LaneFrame {
                x,
                y,
                z,
                origin: lanes::mul_add(&z, position, &origin),
            },
        }
    }
}

impl BodyJoint {
    /// The body that a joint begins, and the link's pose in it; `None` for a fixed joint.
    pub fn new(
        motion: &LinkMotion,
        parent: usize,
        parent_from_joint: &Pose,
    ) -> Option<(Self, Pose)> {
        let (kind, axis, variable, multiplier, offset) = match motion {
            LinkMotion::Fixed => return None,
            LinkMotion::Turn {
                axis,
                variable,
                multiplier,
                offset,
            } => (MotionKind::Turn, axis, variable, multiplier, offset),
            LinkMotion::Slide {
                axis,
                variable,
                multiplier,
                offset,
            } => (MotionKind::Slide, axis, variable, multiplier, offset),
        };
        let joint_from_body = Pose::from_parts(Translation3::identity(), z_to(axis));
        let mut body = BodyJoint {
            parent,
            parent_from_body: Pose::identity(),
            rotation: FixedRotation::Identity,
            offset_m: [0.0; 3],
            kind,
            variable: *variable,
            multiplier: *multiplier as f32,
            position_offset: *offset as f32,
        };
        body.set_placement(parent_from_joint * joint_from_body);
        Some((body, joint_from_body.inverse()))
    }

    pub fn set_placement(&mut self, parent_from_body: Pose) {
        self.parent_from_body = parent_from_body;
        self.rotation = FixedRotation::classify(&parent_from_body.rotation);
        self.offset_m = std::array::from_fn(|k| {
            let t = parent_from_body.translation.vector[k];
            if t.abs() < ZERO_OFFSET_M {
                0.0
            } else {
                t as f32
            }
        });
    }
}

/// A rotation that takes z to `axis`; for the six axis directions one that only permutes axes, which the
/// kernels apply without multiplications.
fn z_to(axis: &Unit<Vector3<f64>>) -> UnitQuaternion<f64> {
    let (x, y, z) = (Vector3::x(), Vector3::y(), Vector3::z());
    let permuted = |columns: [Vector3<f64>; 3]| {
        UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(
            Matrix3::from_columns(&columns),
        ))
    };
    let along = |direction: &Vector3<f64>| axis.dot(direction) > 1.0 - 1e-12;
    if along(&z) {
        UnitQuaternion::identity()
    } else if along(&-z) {
        permuted([x, -y, -z])
    } else if along(&x) {
        permuted([y, z, x])
    } else if along(&-x) {
        permuted([z, y, -x])
    } else if along(&y) {
        permuted([z, x, y])
    } else if along(&-y) {
        permuted([x, z, -y])
    } else {
        UnitQuaternion::rotation_between(&z, axis).unwrap_or_default()
    }
}
