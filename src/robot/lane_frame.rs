//! Frames of bodies and forces on them, for sixteen configurations at once.

use crate::geometry::Pose;
use crate::lanes::{self, cross, splat, Lanes, Lanes3, ZERO, ZERO3};

/// A frame per configuration: axes and origin in the world.
#[derive(Clone, Copy, Debug)]
pub struct LaneFrame {
    pub x: Lanes3,
    pub y: Lanes3,
    pub z: Lanes3,
    pub origin: Lanes3,
}

impl LaneFrame {
    /// The world itself.
    pub fn identity() -> Self {
        let one = splat(1.0);
        Self {
            x: [one, ZERO, ZERO],
            y: [ZERO, one, ZERO],
            z: [ZERO, ZERO, one],
            origin: ZERO3,
        }
    }

    /// World coordinates of a point fixed in the frame, m.
    #[inline(always)]
    pub fn point(&self, p: [f32; 3]) -> Lanes3 {
        let (px, py, pz) = (splat(p[0]), splat(p[1]), splat(p[2]));
        std::array::from_fn(|k| {
            self.x[k].mul_add(
                px,
                self.y[k].mul_add(py, self.z[k].mul_add(pz, self.origin[k])),
            )
        })
    }

    /// World axes of a direction fixed in the frame.
    #[inline(always)]
    pub fn direction(&self, d: [f32; 3]) -> Lanes3 {
        let (dx, dy, dz) = (splat(d[0]), splat(d[1]), splat(d[2]));
        std::array::from_fn(|k| self.x[k].mul_add(dx, self.y[k].mul_add(dy, self.z[k] * dz)))
    }

    /// The frame `world_from_body * body_from_child` for a child fixed in this body.
    pub fn child(&self, body_from_child: &Pose) -> LaneFrame {
        let r = body_from_child.rotation.to_rotation_matrix();
        let column = |c: usize| self.direction(std::array::from_fn(|k| r[(k, c)] as f32));
        LaneFrame {
            x: column(0),
            y: column(1),
            z: column(2),
            origin: self.point(std::array::from_fn(|k| {
                body_from_child.translation.vector[k] as f32
            })),
        }
    }

    /// The pose in one lane.
    pub fn pose(&self, lane: usize) -> nalgebra::Isometry3<f32> {
        let at = |v: &Lanes3| nalgebra::Vector3::from_fn(|k, _| v[k].as_array()[lane]);
        let rotation = nalgebra::Matrix3::from_columns(&[at(&self.x), at(&self.y), at(&self.z)]);
        let rotation = nalgebra::Rotation3::from_matrix_unchecked(rotation);
        nalgebra::Isometry3::from_parts(
            nalgebra::Translation3::from(at(&self.origin)),
            nalgebra::UnitQuaternion::from_rotation_matrix(&rotation),
        )
    }
}

/// Body frames of sixteen configurations: scratch, made once by [`KinematicModel::new_state`].
#[derive(Clone, Debug)]
pub struct KinematicState {
    /// The configurations, by joint, rad or m.
    pub q: Vec<Lanes>,
    /// `world_from_body`, by body.
    pub bodies: Vec<LaneFrame>,
}

/// Forces and moments that costs add up, by body; gradients of a cost by the bodies' motion.
#[derive(Clone, Debug)]
pub struct BodyWrenches {
    /// Sum of forces in world axes, 1/m.
    pub force: Vec<Lanes3>,
    /// Sum of moments about the WORLD origin in world axes, 1/rad.
    pub moment: Vec<Lanes3>,
}

impl BodyWrenches {
    /// No wrench on any of `body_count` bodies.
    pub fn new(body_count: usize) -> Self {
        Self {
            force: vec![ZERO3; body_count],
            moment: vec![ZERO3; body_count],
        }
    }

    /// Back to zero, without allocation.
    pub fn reset(&mut self) {
        self.force.fill(ZERO3);
        self.moment.fill(ZERO3);
    }

    /// Adds a force that acts at a world point.
    #[inline(always)]
    pub fn add_force(&mut self, body: usize, world_point: &Lanes3, force: &Lanes3) {
        self.add(body, force, &cross(world_point, force));
    }

    /// Adds a force and its moment about the world origin.
    #[inline(always)]
    pub fn add(&mut self, body: usize, force: &Lanes3, moment: &Lanes3) {
        self.force[body] = lanes::add(&self.force[body], force);
        self.moment[body] = lanes::add(&self.moment[body], moment);
    }
}
