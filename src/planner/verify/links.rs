//! Link poses by the `k` chain, and the joints between two links.

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

/// A movable joint that a planned joint drives, on the way from one link to another.
#[derive(Clone)]
pub(super) struct Hinge {
    /// The planned joint and how far this one moves per unit of it (not negative).
    pub joint: usize,
    pub factor: f64,
    pub prismatic: bool,
    /// The joint's child link, whose origin lies on the axis.
    pub link: usize,
    /// Unit vector in that link's frame.
    pub axis: Vec3,
}

/// A joint between a link and the root.
struct Ancestor {
    /// The joint's child link.
    link: usize,
    hinge: Option<Hinge>,
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
            let ancestors = ancestors(urdf, &link.name, planned)?;
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
        Ok(Self {
            chain,
            joints,
            links,
            base,
            standing,
            standing_names,
        })
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

    /// Poses of all links in the base link's frame at `q` `[D]`. `k` keeps them in nodes behind locks that all owners of a node share,
    /// so threads need a chain each, which the exclusive borrow enforces.
    pub fn poses(&mut self, q: &[f64], world_from_link: &mut [Pose3]) {
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

    /// The link whose frame is the world.
    pub fn base(&self) -> usize {
        self.base
    }

    /// Planned joints that move link `to` as seen from link `from`, in the order in which they are met on the way.
    pub fn between(&self, from: usize, to: usize) -> Vec<Hinge> {
        let (up, down) = (&self.links[from].ancestors, &self.links[to].ancestors);
        let not_in =
            |others: &[Ancestor], a: &Ancestor| others.iter().all(|other| other.link != a.link);
        let up = up.iter().filter(|a| not_in(down, a));
        let down = down
            .iter()
            .rev()
            .filter(|a| not_in(&self.links[from].ancestors, a));
        up.chain(down).filter_map(|a| a.hinge.clone()).collect()
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
fn ancestors(
    urdf: &urdf_rs::Robot,
    link: &str,
    planned: &[String],
) -> Result<Vec<Ancestor>, Violation> {
    let mut result = Vec::new();
    let mut link = link;
    while let Some(joint) = urdf.joints.iter().find(|j| j.child.link == link) {
        let index = urdf
            .links
            .iter()
            .position(|l| l.name == link)
            .ok_or_else(|| setup(format!("joint '{}' has no child link '{link}'", joint.name)))?;
        let [x, y, z] = joint.axis.xyz.0;
        let (source, factor, _) = follow(urdf, joint);
        let driver = planned.iter().position(|name| *name == source);
        let hinge = driver.filter(|_| is_movable(joint)).map(|driver| Hinge {
            joint: driver,
            factor: factor.abs(),
            prismatic: joint.joint_type == urdf_rs::JointType::Prismatic,
            link: index,
            axis: Vec3::new(x, y, z).normalize_or_zero(),
        });
        result.push(Ancestor { link: index, hinge });
        link = &joint.parent.link;
    }
    Ok(result)
}
