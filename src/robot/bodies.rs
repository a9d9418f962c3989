//! The kinematic model from the URDF's tree.

use super::joints::{BodyJoint, LinkJoint, LinkMotion};
use super::urdf::Tree;
use super::{KinematicModel, RobotError};
use crate::geometry::Pose;

impl Tree<'_> {
    /// Links, parents first and those on the way to the tool before all others, so that body i + 1 is the one
    /// that planned joint i moves wherever the chain has no mimic joint.
    fn link_order(&self) -> Result<Vec<usize>, RobotError> {
        let tool = self.link(&self.settings.tool_link)?;
        let mut order: Vec<usize> = self.ancestry(tool);
        order.reverse();
        let mut rest: Vec<usize> = (0..self.robot.links.len())
            .filter(|l| !order.contains(l))
            .collect();
        rest.sort_by_key(|&l| self.ancestry(l).len());
        order.extend(rest);
        Ok(order)
    }

    /// The kinematic model.
    pub fn kinematics(&self) -> Result<KinematicModel, RobotError> {
        let order = self.link_order()?;
        let mut place = vec![0; order.len()];
        for (position, &link) in order.iter().enumerate() {
            place[link] = position;
        }
        let mut links: Vec<LinkJoint> = Vec::with_capacity(order.len());
        let mut bodies: Vec<BodyJoint> = Vec::new();
        let mut link_bodies: Vec<(usize, Pose)> = Vec::with_capacity(order.len());
        for &link in &order {
            let name = self.robot.links[link].name.clone();
            let Some(joint) = self.joint_above[link] else {
                links.push(LinkJoint {
                    name,
                    parent: None,
                    parent_from_joint: Pose::identity(),
                    motion: LinkMotion::Fixed,
                });
                link_bodies.push((0, Pose::identity()));
                continue;
            };
            let (motion, parent_from_joint) = self.motion(joint)?;
            let parent = place[self.parent(joint)];
            let (parent_body, body_from_parent) = link_bodies[parent];
            let body_from_joint = body_from_parent * parent_from_joint;
            link_bodies.push(
                match BodyJoint::new(&motion, parent_body, &body_from_joint) {
                    None => (parent_body, body_from_joint),
                    Some((body, body_from_link)) => {
                        bodies.push(body);
                        (bodies.len(), body_from_link)
                    }
                },
            );
            links.push(LinkJoint {
                name,
                parent: Some(parent),
                parent_from_joint,
                motion,
            });
        }
        let base = place[self.link(&self.settings.base_link)?];
        let tool = place[self.link(&self.settings.tool_link)?];
        express_in_base(&mut bodies, &mut link_bodies, base)?;
        Ok(KinematicModel {
            joint_names: self
                .planned
                .iter()
                .map(|&j| self.robot.joints[j].name.clone())
                .collect(),
            body_joints: bodies,
            links,
            link_bodies,
            base,
            tool,
        })
    }
}

/// Makes the base link's frame the world: all that hangs on body 0 is expressed in it.
fn express_in_base(
    bodies: &mut [BodyJoint],
    link_bodies: &mut [(usize, Pose)],
    base: usize,
) -> Result<(), RobotError> {
    let (base_body, root_from_base) = link_bodies[base];
    if base_body != 0 {
        return Err(RobotError::NoTree {
            reason: "a planned joint moves the base link".into(),
        });
    }
    let base_from_root = root_from_base.inverse();
    for (body, pose) in link_bodies.iter_mut().filter(|(body, _)| *body == 0) {
        debug_assert_eq!(*body, 0);
        *pose = base_from_root * *pose;
    }
    for body in bodies.iter_mut().filter(|b| b.parent == 0) {
        body.set_placement(base_from_root * body.parent_from_body);
    }
    Ok(())
}
