//! Link poses by the `k` chain, and how far a joint can move a link.

use std::collections::HashMap;

use parry3d_f64::math::{Pose3, Rot3, Vec3};

use super::Violation;
use crate::robot::RobotModel;

/// Where a joint of the chain gets its position from.
enum Drive {
    Planned {
        joint: usize,
        multiplier: f64,
        offset: f64,
    },
    Standing {
        name: String,
        multiplier: f64,
        offset: f64,
    },
}

/// One movable joint of the URDF, mimics resolved.
struct Joint {
    node: k::Node<f64>,
    drive: Drive,
}

/// How a link depends on the planned joints.
struct Ancestor {
    /// Planned joint and the factor by which it drives this one.
    planned: Option<(usize, f64)>,
    prismatic: bool,
    /// From this joint's frame to its parent's, m.
    offset_m: f64,
    /// Furthest way of a prismatic joint, m.
    travel_m: f64,
}

struct Link {
    name: String,
    node: k::Node<f64>,
    /// Joints from the link down to the root.
    ancestors: Vec<Ancestor>,
}

/// All links of the robot, moved by the planned joints and a set of standing ones.
pub(super) struct LinkChain {
    chain: k::Chain<f64>,
    joints: Vec<Joint>,
    links: Vec<Link>,
    base: usize,
    dof: usize,
    /// As the robot's settings say.
    standing: HashMap<String, f64>,
    /// Names of all movable joints that follow no other and are not planned.
    standing_names: Vec<String>,
}

fn setup(reason: String) -> Violation {
    Violation::Setup { reason }
}

impl LinkChain {
    pub fn new(robot: &RobotModel) -> Result<Self, Violation> {
        let urdf = &robot.description;
        let chain = k::Chain::<f64>::from(urdf);
        let planned = &robot.limits.names;
        let mut joints = Vec::new();
        let mut standing_names = Vec::new();
        for joint in &urdf.joints {
            if !is_movable(joint) {
                continue;
            }
            let (source, multiplier, offset) = follow(urdf, joint);
            let drive = match planned.iter().position(|name| *name == source) {
                Some(index) => Drive::Planned {
                    joint: index,
                    multiplier,
                    offset,
                },
                None => {
                    if source == joint.name {
                        standing_names.push(source.clone());
                    }
                    Drive::Standing {
                        name: source,
                        multiplier,
                        offset,
                    }
                }
            };
            let node = chain
                .find(&joint.name)
                .ok_or_else(|| setup(format!("joint '{}' is not in the chain", joint.name)))?
                .clone();
            joints.push(Joint { node, drive });
        }
        let mut links = Vec::new();
        for link in &urdf.links {
            let node = chain
                .find_link(&link.name)
                .ok_or_else(|| setup(format!("link '{}' is not in the chain", link.name)))?
                .clone();
            let ancestors = ancestors(urdf, &link.name, planned);
            links.push(Link {
                name: link.name.clone(),
                node,
                ancestors,
            });
        }
        let base = links
            .iter()
            .position(|l| l.name == robot.settings.base_link)
            .ok_or_else(|| {
                setup(format!(
                    "there is no base link '{}'",
                    robot.settings.base_link
                ))
            })?;
        let standing = robot
            .settings
            .fixed_joint_positions
            .clone()
            .into_iter()
            .collect();
        let dof = planned.len();
        Ok(Self {
            chain,
            joints,
            links,
            base,
            dof,
            standing,
            standing_names,
        })
    }

    pub fn dof(&self) -> usize {
        self.dof
    }

    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Index of a link by name.
    pub fn link(&self, name: &str) -> Result<usize, Violation> {
        self.links
            .iter()
            .position(|l| l.name == name)
            .ok_or_else(|| {
                let existing: Vec<_> = self.links.iter().map(|l| l.name.as_str()).collect();
                setup(format!(
                    "link '{name}' is not in the robot; it has: {}",
                    existing.join(", ")
                ))
            })
    }

    /// Puts the joints that are not planned where the robot's settings say, `others` replacing single ones.
    pub fn set_other_joints(&mut self, others: &[(String, f64)]) -> Result<(), Violation> {
        for (name, value) in others {
            if !self.standing_names.contains(name) {
                let existing = self.standing_names.join(", ");
                return Err(setup(format!(
                    "'{name}' is no joint outside the planned ones; there are: {existing}"
                )));
            }
            if !value.is_finite() {
                return Err(setup(format!("position of joint '{name}' is {value}")));
            }
        }
        for joint in &self.joints {
            if let Drive::Standing {
                name,
                multiplier,
                offset,
            } = &joint.drive
            {
                let given = others.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
                let value = given
                    .or_else(|| self.standing.get(name).copied())
                    .unwrap_or(0.0);
                joint
                    .node
                    .set_joint_position_unchecked(multiplier * value + offset);
            }
        }
        Ok(())
    }

    /// Poses of all links in the base link's frame at `q` `[D]`.
    pub fn poses(&self, q: &[f64], world_from_link: &mut [Pose3]) {
        for joint in &self.joints {
            if let Drive::Planned {
                joint: index,
                multiplier,
                offset,
            } = joint.drive
            {
                joint
                    .node
                    .set_joint_position_unchecked(multiplier * q[index] + offset);
            }
        }
        self.chain.update_transforms();
        let pose = |link: &Link| {
            link.node.world_transform().map_or(Pose3::identity(), |t| {
                let (v, r) = (t.translation.vector, t.rotation.coords);
                Pose3::from_parts(
                    Vec3::new(v.x, v.y, v.z),
                    Rot3::from_xyzw(r.x, r.y, r.z, r.w),
                )
            })
        };
        let root_from_base = pose(&self.links[self.base]);
        for (target, link) in world_from_link.iter_mut().zip(&self.links) {
            *target = root_from_base.inv_mul(&pose(link));
        }
    }

    /// For each planned joint, how far any point within `radius_m` of the link's origin moves at most per unit of the
    /// joint (m/rad or 1): the longest lever arm there can be, the links between stretched out.
    pub fn reach(&self, link: usize, radius_m: f64, reach: &mut [f64]) {
        reach.fill(0.0);
        let mut arm_m = radius_m;
        for ancestor in &self.links[link].ancestors {
            if let Some((joint, factor)) = ancestor.planned {
                reach[joint] += factor * if ancestor.prismatic { 1.0 } else { arm_m };
            }
            arm_m += ancestor.offset_m + ancestor.travel_m;
        }
    }

    /// Whether a planned joint moves a link.
    pub fn moves(&self, joint: usize, link: usize) -> bool {
        let by = |a: &Ancestor| a.planned.is_some_and(|(j, _)| j == joint);
        self.links[link].ancestors.iter().any(by)
    }
}

fn is_movable(joint: &urdf_rs::Joint) -> bool {
    use urdf_rs::JointType::{Continuous, Prismatic, Revolute};
    matches!(joint.joint_type, Revolute | Continuous | Prismatic)
}

/// The joint that drives another through mimics, with factor and offset.
fn follow(urdf: &urdf_rs::Robot, joint: &urdf_rs::Joint) -> (String, f64, f64) {
    let (mut name, mut multiplier, mut offset) = (joint.name.clone(), 1.0, 0.0);
    let mut mimic = joint.mimic.as_ref();
    // A ring of mimics is refused when the robot is read; the count only keeps this loop finite by itself.
    for _ in 0..urdf.joints.len() {
        let Some(m) = mimic else { break };
        offset += multiplier * m.offset.unwrap_or(0.0);
        multiplier *= m.multiplier.unwrap_or(1.0);
        name.clone_from(&m.joint);
        mimic = urdf
            .joints
            .iter()
            .find(|j| j.name == name)
            .and_then(|j| j.mimic.as_ref());
    }
    (name, multiplier, offset)
}

/// Joints from a link down to the root.
fn ancestors(urdf: &urdf_rs::Robot, link: &str, planned: &[String]) -> Vec<Ancestor> {
    let mut result = Vec::new();
    let mut link = link;
    while let Some(joint) = urdf.joints.iter().find(|j| j.child.link == link) {
        let [x, y, z] = joint.origin.xyz.0;
        let prismatic = joint.joint_type == urdf_rs::JointType::Prismatic;
        let (source, factor, _) = follow(urdf, joint);
        let index = planned.iter().position(|name| *name == source);
        result.push(Ancestor {
            planned: index
                .filter(|_| is_movable(joint))
                .map(|j| (j, factor.abs())),
            prismatic,
            offset_m: (x * x + y * y + z * z).sqrt(),
            travel_m: if prismatic {
                joint.limit.lower.abs().max(joint.limit.upper.abs())
            } else {
                0.0
            },
        });
        link = &joint.parent.link;
    }
    result
}
