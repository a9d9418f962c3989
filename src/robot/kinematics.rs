//! Forward kinematics of sixteen configurations at once, and its pull-back.
//!
//! A *body* is all links that are rigidly joined. Body 0 is the base (the world), every later body hangs on an
//! earlier one by one moving joint. Body frames are not the URDF's link frames: they are turned at load time so
//! that every revolute joint turns about its body's z axis and every prismatic one slides along it.

use nalgebra::DMatrix;

use super::RobotError;
use crate::geometry::{Pose, Twist};
use crate::lanes::{self, cross, dot, splat, sub, Lanes, Lanes3, ZERO, ZERO3};

/// Most planned joints.
pub const MAX_JOINTS: usize = 12;

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
        axis: nalgebra::Unit<nalgebra::Vector3<f64>>,
        variable: usize,
        multiplier: f64,
        offset: f64,
    },
    Slide {
        axis: nalgebra::Unit<nalgebra::Vector3<f64>>,
        variable: usize,
        multiplier: f64,
        offset: f64,
    },
}

/// Kinematics of the planned joints; immutable. The world is the base link's frame.
#[derive(Clone, Debug)]
pub struct KinematicModel {
    pub(super) joint_names: Vec<String>,
    /// Joint of body i + 1.
    pub(super) body_joints: Vec<BodyJoint>,
    /// All links, parents first.
    pub(super) links: Vec<LinkJoint>,
    /// Body and pose in it, by link.
    pub(super) link_bodies: Vec<(usize, Pose)>,
    pub(super) base: usize,
    pub(super) tool: usize,
}

impl KinematicModel {
    /// Number of planned joints D.
    pub fn dof(&self) -> usize {
        self.joint_names.len()
    }

    /// Planned joints in order.
    pub fn joint_names(&self) -> &[String] {
        &self.joint_names
    }

    /// Number of bodies, the base counted.
    pub fn body_count(&self) -> usize {
        self.body_joints.len() + 1
    }

    /// Names of all links.
    pub fn link_names(&self) -> impl Iterator<Item = &str> {
        self.links.iter().map(|l| l.name.as_str())
    }

    /// Body that carries a link, and the link's pose in it.
    pub fn body_of_link(&self, link: &str) -> Result<(usize, Pose), RobotError> {
        self.link_index(link).map(|i| self.link_bodies[i])
    }

    /// Body on which a body hangs; `None` for the base.
    pub fn parent_body(&self, body: usize) -> Option<usize> {
        body.checked_sub(1).map(|i| self.body_joints[i].parent)
    }

    /// Whether a body turns about an axis that stands still in the world.
    pub(super) fn turns_on_the_base(&self, body: usize) -> bool {
        body.checked_sub(1).is_some_and(|i| {
            let joint = &self.body_joints[i];
            joint.parent == 0 && joint.kind == MotionKind::Turn
        })
    }

    /// Body that carries the tool.
    pub fn tool_body(&self) -> usize {
        self.link_bodies[self.tool].0
    }

    /// The tool's frame in its body.
    pub fn body_from_tool(&self) -> &Pose {
        &self.link_bodies[self.tool].1
    }

    /// Name of the tool link.
    pub fn tool_link(&self) -> &str {
        &self.links[self.tool].name
    }

    /// Name of the base link, whose frame is the world.
    pub fn base_link(&self) -> &str {
        &self.links[self.base].name
    }

    /// Scratch for [`Self::forward`].
    pub fn new_state(&self) -> KinematicState {
        KinematicState {
            bodies: vec![LaneFrame::identity(); self.body_count()],
        }
    }

    fn link_index(&self, link: &str) -> Result<usize, RobotError> {
        self.links
            .iter()
            .position(|l| l.name == link)
            .ok_or_else(|| RobotError::UnknownLink {
                link: link.into(),
                existing: self.link_names().collect::<Vec<_>>().join(", "),
            })
    }

    /// Frames of all bodies for sixteen configurations. `q` has length D (rad or m).
    pub fn forward(&self, q: &[Lanes], state: &mut KinematicState) {
        debug_assert_eq!(q.len(), self.dof());
        debug_assert_eq!(state.bodies.len(), self.body_count());
        for (i, joint) in self.body_joints.iter().enumerate() {
            let position = if joint.multiplier == 1.0 && joint.position_offset == 0.0 {
                q[joint.variable]
            } else {
                q[joint.variable].mul_add(splat(joint.multiplier), splat(joint.position_offset))
            };
            let frame = joint.place(&state.bodies[joint.parent], position);
            state.bodies[i + 1] = frame;
        }
    }

    /// The tool's frame of a state.
    pub fn tool_frame(&self, state: &KinematicState) -> LaneFrame {
        state.bodies[self.tool_body()].child(self.body_from_tool())
    }

    /// Adds `J^T wrench` to `gradient_q` (length D): the gradient by the joints of a cost whose gradient by the
    /// bodies' motion is `wrenches`. Leaves in `wrenches` the sums that act through each joint.
    pub fn pull_back(
        &self,
        state: &KinematicState,
        wrenches: &mut BodyWrenches,
        gradient_q: &mut [Lanes],
    ) {
        for (i, joint) in self.body_joints.iter().enumerate().rev() {
            let body = i + 1;
            let frame = &state.bodies[body];
            let (force, moment) = (wrenches.force[body], wrenches.moment[body]);
            let along = match joint.kind {
                MotionKind::Turn => dot(&frame.z, &sub(&moment, &cross(&frame.origin, &force))),
                MotionKind::Slide => dot(&frame.z, &force),
            };
            let gradient = &mut gradient_q[joint.variable];
            *gradient = along.mul_add(splat(joint.multiplier), *gradient);
            wrenches.add(joint.parent, &force, &moment);
        }
    }

    /// Pose of a link in the world, double precision, through the URDF's own frames. `q` has length D.
    pub fn forward_kinematics(&self, q: &[f64], link: &str) -> Result<Pose, RobotError> {
        self.check_count(q)?;
        Ok(self.world_from_base_root(q) * self.root_from_link(q, self.link_index(link)?))
    }

    /// `world_from_tool`. `q` has length D; a shorter one leaves the missing joints at 0.
    pub fn tool_pose(&self, q: &[f64]) -> Pose {
        self.world_from_base_root(q) * self.root_from_link(q, self.tool)
    }

    /// 6 x D Jacobian of the tool: twist (linear m, angular rad) of the tool's origin in world axes by joint.
    pub fn jacobian(&self, q: &[f64]) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(6, self.dof());
        let world_from_root = self.world_from_base_root(q);
        let tool = (world_from_root * self.root_from_link(q, self.tool))
            .translation
            .vector;
        let mut link = Some(self.tool);
        while let Some(index) = link {
            let joint = &self.links[index];
            // no joint between root and base moves
            let frame = world_from_root * self.root_from_link(q, index);
            let column = match &joint.motion {
                LinkMotion::Fixed => None,
                LinkMotion::Turn {
                    axis,
                    variable,
                    multiplier,
                    ..
                } => {
                    let axis = frame.rotation * axis.into_inner() * *multiplier;
                    Some((
                        *variable,
                        crate::geometry::join(
                            &axis.cross(&(tool - frame.translation.vector)),
                            &axis,
                        ),
                    ))
                }
                LinkMotion::Slide {
                    axis,
                    variable,
                    multiplier,
                    ..
                } => {
                    let axis = frame.rotation * axis.into_inner() * *multiplier;
                    Some((
                        *variable,
                        crate::geometry::join(&axis, &nalgebra::Vector3::zeros()),
                    ))
                }
            };
            if let Some((variable, twist)) = column {
                let sum: Twist = out.fixed_view::<6, 1>(0, variable) + twist;
                out.fixed_view_mut::<6, 1>(0, variable).copy_from(&sum);
            }
            link = joint.parent;
        }
        out
    }

    fn check_count(&self, q: &[f64]) -> Result<(), RobotError> {
        if q.len() == self.dof() {
            return Ok(());
        }
        Err(RobotError::PositionCount {
            found: q.len(),
            expected: self.dof(),
            names: self.joint_names.join(", "),
        })
    }

    fn world_from_base_root(&self, q: &[f64]) -> Pose {
        self.root_from_link(q, self.base).inverse()
    }

    fn root_from_link(&self, q: &[f64], link: usize) -> Pose {
        let mut pose = Pose::identity();
        let mut next = Some(link);
        while let Some(index) = next {
            let joint = &self.links[index];
            pose = joint.parent_from_joint * joint.motion.pose(q) * pose;
            next = joint.parent;
        }
        pose
    }
}

impl LinkMotion {
    fn pose(&self, q: &[f64]) -> Pose {
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
                nalgebra::Translation3::identity(),
                nalgebra::UnitQuaternion::from_axis_angle(
                    axis,
                    position(variable, multiplier, offset),
                ),
            ),
            LinkMotion::Slide {
                axis,
                variable,
                multiplier,
                offset,
            } => Pose::from_parts(
                nalgebra::Translation3::from(
                    axis.into_inner() * position(variable, multiplier, offset),
                ),
                nalgebra::UnitQuaternion::identity(),
            ),
        }
    }
}

impl FixedRotation {
    /// Sorts a rotation into the cheapest class that reproduces it within f32.
    pub(super) fn classify(rotation: &nalgebra::UnitQuaternion<f64>) -> Self {
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
    fn place(&self, parent: &LaneFrame, position: Lanes) -> LaneFrame {
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
