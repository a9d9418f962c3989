//! From a parsed URDF to bodies and joints.

use std::collections::HashMap;

use nalgebra::{Translation3, Unit, UnitQuaternion, Vector3};
use urdf_rs::JointType;

use super::joints::LinkMotion;
use super::kinematics::MAX_JOINTS;
use super::{RobotError, RobotSettings};
use crate::geometry::Pose;

/// Reads URDF text.
pub(super) fn parse(urdf: &str) -> Result<urdf_rs::Robot, RobotError> {
    urdf_rs::read_from_string(urdf).map_err(|e| RobotError::Urdf {
        reason: e.to_string(),
    })
}

/// A URDF pose.
pub(super) fn pose(origin: &urdf_rs::Pose) -> Pose {
    let [x, y, z] = origin.xyz.0;
    let [roll, pitch, yaw] = origin.rpy.0;
    Pose::from_parts(
        Translation3::new(x, y, z),
        UnitQuaternion::from_euler_angles(roll, pitch, yaw),
    )
}

/// The URDF as a tree, with the chain that is planned.
pub(super) struct Tree<'a> {
    pub(super) robot: &'a urdf_rs::Robot,
    pub(super) settings: &'a RobotSettings,
    link_index: HashMap<&'a str, usize>,
    joint_index: HashMap<&'a str, usize>,
    /// Joint above each link.
    pub(super) joint_above: Vec<Option<usize>>,
    /// Joints from base to tool.
    chain: Vec<usize>,
    /// Planned joints, in order.
    pub(super) planned: Vec<usize>,
}

/// Where a joint gets its position from.
#[derive(Clone, Copy)]
enum Drive {
    Constant(f64),
    Variable {
        variable: usize,
        multiplier: f64,
        offset: f64,
    },
}

impl<'a> Tree<'a> {
    /// Checks the tree, the chain and the names in the settings.
    pub fn new(robot: &'a urdf_rs::Robot, settings: &'a RobotSettings) -> Result<Self, RobotError> {
        let link_index = unique("link", robot.links.iter().map(|l| l.name.as_str()))?;
        let joint_index = unique("joint", robot.joints.iter().map(|j| j.name.as_str()))?;
        let mut tree = Tree {
            robot,
            settings,
            joint_above: vec![None; robot.links.len()],
            link_index,
            joint_index,
            chain: Vec::new(),
            planned: Vec::new(),
        };
        tree.connect()?;
        tree.find_chain()?;
        tree.choose_planned()?;
        for (joint, &position) in &settings.fixed_joint_positions {
            tree.joint(joint)?;
            finite(|| format!("position of joint '{joint}'"), &[position])?;
        }
        Ok(tree)
    }

    pub(super) fn link(&self, name: &str) -> Result<usize, RobotError> {
        self.link_index
            .get(name)
            .copied()
            .ok_or_else(|| RobotError::UnknownLink {
                link: name.into(),
                existing: self
                    .robot
                    .links
                    .iter()
                    .map(|l| l.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    pub(super) fn joint(&self, name: &str) -> Result<usize, RobotError> {
        self.joint_index
            .get(name)
            .copied()
            .ok_or_else(|| RobotError::UnknownJoint {
                joint: name.into(),
                existing: self.names(0..self.robot.joints.len()),
            })
    }

    fn names(&self, joints: impl IntoIterator<Item = usize>) -> String {
        let names: Vec<_> = joints
            .into_iter()
            .map(|j| self.robot.joints[j].name.as_str())
            .collect();
        names.join(", ")
    }

    /// Finds the joint above every link; refuses two parents, loops and loose parts.
    fn connect(&mut self) -> Result<(), RobotError> {
        for (index, joint) in self.robot.joints.iter().enumerate() {
            self.link(&joint.parent.link)?;
            let child = self.link(&joint.child.link)?;
            finite(
                || format!("origin of joint '{}'", joint.name),
                &joint.origin.xyz.0,
            )?;
            finite(
                || format!("rpy of joint '{}'", joint.name),
                &joint.origin.rpy.0,
            )?;
            if let Some(other) = self.joint_above[child].replace(index) {
                let reason = format!(
                    "link '{}' hangs on two joints, '{}' and '{}'",
                    joint.child.link, self.robot.joints[other].name, joint.name
                );
                return Err(RobotError::NoTree { reason });
            }
        }
        let mut roots = (0..self.robot.links.len()).filter(|&l| self.joint_above[l].is_none());
        let name = |l: usize| self.robot.links[l].name.as_str();
        match (roots.next(), roots.next()) {
            (None, _) => Err(RobotError::NoTree {
                reason: "there is no root link".into(),
            }),
            (Some(a), Some(b)) => Err(RobotError::NoTree {
                reason: format!("'{}' and '{}' are both roots", name(a), name(b)),
            }),
            (Some(_), None) => Ok(()),
        }?;
        for link in 0..self.robot.links.len() {
            if self.ancestry(link).len() > self.robot.links.len() {
                return Err(RobotError::NoTree {
                    reason: format!("link '{}' is part of a loop", name(link)),
                });
            }
        }
        Ok(())
    }

    pub(super) fn parent(&self, joint: usize) -> usize {
        // both ends were checked in connect()
        self.link_index[self.robot.joints[joint].parent.link.as_str()]
    }

    /// The link and those above it, upwards; one too many if there is a loop.
    pub(super) fn ancestry(&self, link: usize) -> Vec<usize> {
        let mut out = vec![link];
        let mut at = link;
        while let Some(joint) = self.joint_above[at] {
            at = self.parent(joint);
            out.push(at);
            if out.len() > self.robot.links.len() {
                break;
            }
        }
        out
    }

    fn find_chain(&mut self) -> Result<(), RobotError> {
        let base = self.link(&self.settings.base_link)?;
        let tool = self.link(&self.settings.tool_link)?;
        let above = self.ancestry(tool);
        let Some(end) = above.iter().position(|&l| l == base) else {
            return Err(RobotError::NoChain {
                base: self.settings.base_link.clone(),
                tool: self.settings.tool_link.clone(),
            });
        };
        self.chain = above[..end]
            .iter()
            .rev()
            .filter_map(|&l| self.joint_above[l])
            .collect();
        for &joint in &self.chain {
            let joint = &self.robot.joints[joint];
            if matches!(
                joint.joint_type,
                JointType::Floating | JointType::Planar | JointType::Spherical
            ) {
                let kind = format!("{:?}", joint.joint_type).to_lowercase();
                return Err(RobotError::UnsupportedJoint {
                    joint: joint.name.clone(),
                    kind,
                });
            }
        }
        Ok(())
    }

    fn choose_planned(&mut self) -> Result<(), RobotError> {
        let free = |&j: &usize| {
            let joint = &self.robot.joints[j];
            joint.joint_type != JointType::Fixed && joint.mimic.is_none()
        };
        let candidates: Vec<usize> = self.chain.iter().copied().filter(free).collect();
        let planned = if self.settings.joint_names.is_empty() {
            candidates
        } else {
            unique(
                "planned joint",
                self.settings.joint_names.iter().map(String::as_str),
            )?;
            let mut planned = Vec::new();
            for name in &self.settings.joint_names {
                let joint = self.joint(name)?;
                if !candidates.contains(&joint) {
                    return Err(RobotError::JointNotInChain {
                        joint: name.clone(),
                        base: self.settings.base_link.clone(),
                        tool: self.settings.tool_link.clone(),
                        chain: self.names(candidates.iter().copied()),
                    });
                }
                planned.push(joint);
            }
            planned
        };
        if planned.is_empty() || planned.len() > MAX_JOINTS {
            return Err(RobotError::JointCount {
                found: planned.len(),
                max: MAX_JOINTS,
            });
        }
        self.planned = planned;
        Ok(())
    }

    /// Follows mimic joints to what drives them.
    fn drive(&self, joint: usize, depth: usize) -> Result<Drive, RobotError> {
        let description = &self.robot.joints[joint];
        if let Some(variable) = self.planned.iter().position(|&j| j == joint) {
            return Ok(Drive::Variable {
                variable,
                multiplier: 1.0,
                offset: 0.0,
            });
        }
        if let Some(&position) = self.settings.fixed_joint_positions.get(&description.name) {
            return Ok(Drive::Constant(position));
        }
        let Some(mimic) = &description.mimic else {
            let limit = &description.limit;
            let resting = if limit.lower < limit.upper {
                0f64.clamp(limit.lower, limit.upper)
            } else {
                0.0
            };
            return Ok(Drive::Constant(resting));
        };
        let refuse = |reason: &str| RobotError::Mimic {
            joint: description.name.clone(),
            source_joint: mimic.joint.clone(),
            reason: reason.into(),
        };
        if depth > self.robot.joints.len() {
            return Err(refuse("which in the end mimics it"));
        }
        let source = self
            .joint(&mimic.joint)
            .map_err(|_| refuse("which is not in the URDF"))?;
        let (scale, shift) = (mimic.multiplier.unwrap_or(1.0), mimic.offset.unwrap_or(0.0));
        finite(
            || format!("mimic of joint '{}'", description.name),
            &[scale, shift],
        )?;
        Ok(match self.drive(source, depth + 1)? {
            Drive::Constant(position) => Drive::Constant(scale * position + shift),
            Drive::Variable {
                variable,
                multiplier,
                offset,
            } => Drive::Variable {
                variable,
                multiplier: scale * multiplier,
                offset: scale * offset + shift,
            },
        })
    }

    /// What moves a link against its parent, and the constant part of it.
    pub(super) fn motion(&self, joint: usize) -> Result<(LinkMotion, Pose), RobotError> {
        let description = &self.robot.joints[joint];
        let origin = pose(&description.origin);
        let turn = match description.joint_type {
            JointType::Revolute | JointType::Continuous => true,
            JointType::Prismatic => false,
            _ => return Ok((LinkMotion::Fixed, origin)),
        };
        let [x, y, z] = description.axis.xyz.0;
        finite(
            || format!("axis of joint '{}'", description.name),
            &[x, y, z],
        )?;
        let axis = Unit::try_new(Vector3::new(x, y, z), 1e-6).ok_or_else(|| RobotError::Axis {
            joint: description.name.clone(),
            x,
            y,
            z,
        })?;
        Ok(match self.drive(joint, 0)? {
            Drive::Constant(position) if turn => (
                LinkMotion::Fixed,
                origin * UnitQuaternion::from_axis_angle(&axis, position),
            ),
            Drive::Constant(position) => (
                LinkMotion::Fixed,
                origin * Translation3::from(axis.into_inner() * position),
            ),
            Drive::Variable {
                variable,
                multiplier,
                offset,
            } if turn => (
                LinkMotion::Turn {
                    axis,
                    variable,
                    multiplier,
                    offset,
                },
                origin,
            ),
            Drive::Variable {
                variable,
                multiplier,
                offset,
            } => (
                LinkMotion::Slide {
                    axis,
                    variable,
                    multiplier,
                    offset,
                },
                origin,
            ),
        })
    }
}

/// Index by name; refuses a name that stands twice.
fn unique<'a>(
    what: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<HashMap<&'a str, usize>, RobotError> {
    let mut out = HashMap::new();
    for (index, name) in names.enumerate() {
        if out.insert(name, index).is_some() {
            return Err(RobotError::NoTree {
                reason: format!("{what} '{name}' stands there twice"),
            });
        }
    }
    Ok(out)
}

pub(super) fn finite(what: impl Fn() -> String, values: &[f64]) -> Result<(), RobotError> {
    match values.iter().find(|v| !v.is_finite()) {
        Some(&value) => Err(RobotError::NotFinite {
            what: what(),
            value,
        }),
        None => Ok(()),
    }
}
