//! Forward kinematics of sixteen configurations at once, and its pull-back.
//!
//! A *body* is all links that are rigidly joined. Body 0 is the base (the world), every later body hangs on an
//! earlier one by one moving joint. Body frames are not the URDF's link frames: they are turned at load time so
//! that every revolute joint turns about its body's z axis and every prismatic one slides along it.

use nalgebra::Matrix6xX;

use super::joints::{BodyJoint, LinkJoint, LinkMotion, MotionKind};
use super::{BodyWrenches, JointLimits, KinematicState, LaneFrame, RobotError};
use crate::geometry::Pose;
use crate::lanes::{cross, dot, splat, sub, Lanes};

/// Most planned joints.
pub const MAX_JOINTS: usize = 12;

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

    /// Names of a link and of all that hang on it; empty for an unknown link.
    pub fn links_from(&self, link: &str) -> Vec<&str> {
        let mut below = vec![false; self.links.len()];
        for (i, joint) in self.links.iter().enumerate() {
            below[i] = joint.name == link || joint.parent.is_some_and(|parent| below[parent]);
        }
        let names = self.link_names().zip(below);
        names
            .filter(|(_, below)| *below)
            .map(|(name, _)| name)
            .collect()
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

    /// Where the body before the tool's can be, as seen from the tool's: its poses with the joint between them at `count`
    /// positions, evenly over its limits. `None` where the tool hangs on the base.
    pub fn before_tool(&self, limits: &JointLimits, count: usize) -> Option<(usize, Vec<Pose>)> {
        let joint = &self.body_joints[self.tool_body().checked_sub(1)?];
        let (low, high) = limits.sampling_range(joint.variable);
        let pose = |k: usize| {
            let q = low + (high - low) * k as f64 / (count - 1) as f64;
            let position = q as f32 * joint.multiplier + joint.position_offset;
            let body = joint.place(&LaneFrame::identity(), splat(position));
            body.pose(0).inverse().cast()
        };
        (joint.parent > 0).then(|| (joint.parent, (0..count).map(pose).collect()))
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
            q: vec![Lanes::ZERO; self.dof()],
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
        state.q.copy_from_slice(q);
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
    pub fn jacobian(&self, q: &[f64]) -> Matrix6xX<f64> {
        self.tool_pose_and_jacobian(q).1
    }

    /// [`Self::tool_pose`] and [`Self::jacobian`] in one pass.
    pub fn tool_pose_and_jacobian(&self, q: &[f64]) -> (Pose, Matrix6xX<f64>) {
        let mut chain = Vec::with_capacity(self.links.len());
        let mut next = Some(self.tool);
        while let Some(index) = next {
            chain.push(index);
            next = self.links[index].parent;
        }
        // Axes and points of the joints on the way from the root to the tool; no joint between root and base moves.
        let mut frame = self.world_from_base_root(q);
        let mut axes = Vec::with_capacity(chain.len());
        for &index in chain.iter().rev() {
            let joint = &self.links[index];
            frame = frame * joint.parent_from_joint * joint.motion.pose(q);
            match &joint.motion {
                LinkMotion::Fixed => {}
                LinkMotion::Turn {
                    axis,
                    variable,
                    multiplier,
                    ..
                } => {
                    let axis = frame.rotation * axis.into_inner() * *multiplier;
                    axes.push((*variable, axis, Some(frame.translation.vector)));
                }
                LinkMotion::Slide {
                    axis,
                    variable,
                    multiplier,
                    ..
                } => axes.push((
                    *variable,
                    frame.rotation * axis.into_inner() * *multiplier,
                    None,
                )),
            }
        }
        let mut out = Matrix6xX::zeros(self.dof());
        for (variable, axis, center) in axes {
            let twist = match center {
                Some(center) => {
                    crate::geometry::join(&axis.cross(&(frame.translation.vector - center)), &axis)
                }
                None => crate::geometry::join(&axis, &nalgebra::Vector3::zeros()),
            };
            let mut column = out.column_mut(variable);
            column += twist;
        }
        (frame, out)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::difference;
    use crate::robot::toy_robots::{self, shipped};

    #[test]
    fn the_body_before_the_tool_is_where_their_joint_lets_it_be() {
        const PLACES: usize = 5;
        let robot = shipped("panda");
        let kinematics = &robot.kinematics;
        let (body, places) = kinematics.before_tool(&robot.limits, PLACES).unwrap();
        let (low, high) = robot.limits.sampling_range(6);
        let mut state = kinematics.new_state();
        for (k, place) in places.iter().enumerate() {
            let last = low + (high - low) * k as f64 / (PLACES - 1) as f64;
            let q = [0.3, -0.5, 0.2, -1.9, 0.4, 1.7, last].map(|q| Lanes::splat(q as f32));
            kinematics.forward(&q, &mut state);
            let [hand, before] = [kinematics.tool_body(), body].map(|b| state.bodies[b].pose(0));
            let error = difference(&(hand.inverse() * before).cast(), place).norm();
            assert!(error < 1e-5, "{error}");
        }
        let robot = toy_robots::one_joint();
        let before = robot.kinematics.before_tool(&robot.limits, PLACES);
        assert!(before.is_none(), "before it there is the base");
    }
}
