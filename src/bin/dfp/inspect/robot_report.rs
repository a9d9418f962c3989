//! What was understood of a robot.

use std::fmt;

use diffusion_field_planner::robot::{RobotModel, SphereCover};
use serde::Serialize;

#[derive(Serialize)]
struct JointReport {
    name: String,
    unit: &'static str,
    lower: f64,
    upper: f64,
    velocity: f64,
    acceleration: f64,
    jerk: f64,
}

#[derive(Serialize)]
struct LinkReport {
    link: String,
    /// Whether these spheres are tested against the robot itself alone.
    own: bool,
    body: usize,
    shapes: Vec<&'static str>,
    spheres: usize,
    /// How far the spheres stick out of the shapes, and the shapes out of the spheres, at most.
    over_cover_m: f64,
    under_cover_m: f64,
}

#[derive(Serialize)]
struct AllowedReport {
    links: (String, String),
    reason: String,
}

#[derive(Serialize)]
struct GripperReport {
    hand_link: String,
    finger_joints: Vec<String>,
    max_opening_m: f64,
    tip_m: f64,
}

#[derive(Serialize)]
pub struct RobotReport {
    name: String,
    base_link: String,
    tool_link: String,
    bodies: usize,
    joints: Vec<JointReport>,
    links: Vec<LinkReport>,
    spheres: usize,
    /// What is tested among the links themselves.
    own_spheres: usize,
    own_pairs: usize,
    tables: usize,
    tested_link_pairs: usize,
    allowed: Vec<AllowedReport>,
    gripper: Option<GripperReport>,
}

impl RobotReport {
    pub fn new(robot: &RobotModel) -> Self {
        let (limits, collision) = (&robot.limits, &robot.collision);
        let joint_type = |name: &str| {
            robot
                .description
                .joints
                .iter()
                .find(|j| j.name == name)
                .map(|j| j.joint_type.clone())
        };
        let joints = (0..limits.dof())
            .map(|j| JointReport {
                name: limits.names[j].clone(),
                unit: match joint_type(&limits.names[j]) {
                    Some(urdf_rs::JointType::Prismatic) => "m",
                    _ => "rad",
                },
                lower: limits.lower[j],
                upper: limits.upper[j],
                velocity: limits.velocity[j],
                acceleration: limits.acceleration[j],
                jerk: limits.jerk[j],
            })
            .collect();
        let links = collision
            .cover
            .iter()
            .map(|cover| LinkReport::new(robot, cover))
            .collect();
        let names = |a: usize, b: usize| (collision.links[a].clone(), collision.links[b].clone());
        let count = collision.links.len();
        Self {
            name: robot.name.clone(),
            base_link: robot.kinematics.base_link().to_owned(),
            tool_link: robot.kinematics.tool_link().to_owned(),
            bodies: robot.kinematics.body_count(),
            joints,
            links,
            spheres: collision.scene.spheres.len(),
            own_spheres: collision.own.spheres.len(),
            own_pairs: collision.self_pairs.len(),
            tables: collision.tables.len(),
            tested_link_pairs: count * count.saturating_sub(1) / 2 - collision.allowed.len(),
            allowed: collision
                .allowed
                .iter()
                .map(|&(a, b, reason)| AllowedReport {
                    links: names(a, b),
                    reason: format!("{reason:?}"),
                })
                .collect(),
            gripper: robot.gripper.as_ref().map(|g| GripperReport {
                hand_link: g.hand_link.clone(),
                finger_joints: g.finger_joints.clone(),
                max_opening_m: g.geometry.max_opening_m,
                tip_m: g.geometry.tip_m,
            }),
        }
    }
}

impl fmt::Display for RobotReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "robot {}: {} -> {}, {} joints, {} bodies",
            self.name,
            self.base_link,
            self.tool_link,
            self.joints.len(),
            self.bodies
        )?;
        writeln!(
            f,
            "\n{:<24} {:>4} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "joint", "unit", "lower", "upper", "unit/s", "unit/s^2", "unit/s^3"
        )?;
        for j in &self.joints {
            writeln!(
                f,
                "{:<24} {:>4} {:>9.4} {:>9.4} {:>9.3} {:>9.2} {:>9.1}",
                j.name, j.unit, j.lower, j.upper, j.velocity, j.acceleration, j.jerk
            )?;
        }
        writeln!(
            f,
            "\n{:<24} {:>4} {:>7} {:>9} {:>9}  shapes",
            "link", "body", "spheres", "over mm", "under mm"
        )?;
        for l in &self.links {
            writeln!(
                f,
                "{:<24} {:>4} {:>7} {:>9.1} {:>9.1}  {}",
                if l.own { "  among links" } else { &l.link },
                l.body,
                l.spheres,
                1e3 * l.over_cover_m,
                1e3 * l.under_cover_m,
                l.shapes.join(" ")
            )?;
        }
        writeln!(
            f,
            "\n{} spheres are tested against the scene, {} among links: {} link pairs, {} by tables and the others by {} pairs of groups. Not tested:",
            self.spheres, self.own_spheres, self.tested_link_pairs, self.tables, self.own_pairs
        )?;
        for pair in &self.allowed {
            writeln!(f, "  {} - {}: {}", pair.links.0, pair.links.1, pair.reason)?;
        }
        match &self.gripper {
            Some(g) => writeln!(
                f,
                "\ngripper on {}: fingers [{}], opens to {:.0} mm, tips {:.0} mm in front",
                g.hand_link,
                g.finger_joints.join(", "),
                1e3 * g.max_opening_m,
                1e3 * g.tip_m
            ),
            None => writeln!(f, "\nno gripper (the settings name none)"),
        }
    }
}

impl LinkReport {
    fn new(robot: &RobotModel, cover: &SphereCover) -> Self {
        let collision = &robot.collision;
        let link = cover.link.as_str();
        Self {
            link: link.to_owned(),
            own: cover.own,
            body: robot
                .kinematics
                .body_of_link(link)
                .map_or(0, |(body, _)| body),
            shapes: collision
                .shapes
                .iter()
                .filter(|s| s.link == link)
                .map(|s| s.shape.kind())
                .collect(),
            spheres: cover.spheres,
            over_cover_m: cover.over_cover_m,
            under_cover_m: cover.under_cover_m,
        }
    }
}
