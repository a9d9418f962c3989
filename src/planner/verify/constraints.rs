//! Path constraints over the whole motion, apart from the collision check.
//!
//! Tilt and height change by at most a known factor times the joints' ways. With values `a`, `b` inside the limit at both ends
//! of an interval, the value in between is at least `(a + b - change) / 2`; an interval for which that does not suffice is
//! halved. The tool's speed is the mean over every sampled period, as for the joints' limits: it cannot exceed a limit that
//! is kept, and between two samples the speed is above it by at most half a period times the tool's acceleration.

use nalgebra::{Point3, Vector3};
use parry3d_f64::math::{Pose3, Vec3};

use super::links::LinkChain;
use super::{Motion, VerifySettings, Violation};
use crate::planner::constraints::{ConstraintKind, Guarded};
use crate::robot::{JointLimits, LinkShape, RobotModel};
use crate::scene::{Shape, SignedDistance};

/// Change of a tilt below which an interval is not halved any further [rad].
const TILT_RESOLUTION_RAD: f64 = 1e-4;
/// Rounding of tilts, heights, and (as a share) of speeds.
const ROUNDING: f64 = 1e-6;
/// Intervals at first.
const INTERVALS: usize = 32;

/// What the check needs of the robot: its tree, true shapes and limits.
pub(super) struct ConstraintCheck {
    description: urdf_rs::Robot,
    shapes: Vec<LinkShape>,
    limits: JointLimits,
    tool_link: String,
}

/// How far something fixed in a link moves, and turns, at most per unit of each planned joint; `[D]` each.
struct Levers {
    linear_m: Vec<f64>,
    angular: Vec<f64>,
}

impl ConstraintCheck {
    pub fn new(robot: &RobotModel) -> Self {
        Self {
            description: robot.description.clone(),
            shapes: robot.collision.shapes.clone(),
            limits: robot.limits.clone(),
            tool_link: robot.settings.tool_link.clone(),
        }
    }

    /// Checks all constraints of the settings; joint limits have been checked before.
    pub fn check(
        &self,
        chain: &mut LinkChain,
        motion: &dyn Motion,
        settings: &VerifySettings,
    ) -> Result<(), Violation> {
        for constraint in &settings.constraints {
            match constraint {
                ConstraintKind::Upright {
                    link,
                    link_axis,
                    world_direction,
                    max_tilt_rad,
                } => {
                    let tilt = Tilt {
                        link: chain.link(link)?,
                        name: link,
                        axis: Vec3::from_array(*link_axis).normalize(),
                        direction: Vec3::from_array(*world_direction).normalize(),
                        limit_rad: *max_tilt_rad,
                        weights: self.levers(link, 0.0).angular,
                    };
                    self.scan(chain, motion, settings, &tilt, TILT_RESOLUTION_RAD)?;
                }
                ConstraintKind::AbovePlane {
                    guarded,
                    point_m,
                    normal,
                } => {
                    for height in self.heights(chain, guarded, point_m, normal)? {
                        self.scan(chain, motion, settings, &height, settings.resolution_m)?;
                    }
                }
                ConstraintKind::ToolSpeed {
                    linear_m_s,
                    angular_rad_s,
                } => {
                    let tool = chain.link(&self.tool_link)?;
                    let limits = [*linear_m_s, *angular_rad_s];
                    check_speed(chain, motion, settings.period_s, tool, limits)?;
                }
            }
        }
        Ok(())
    }

    /// The longest lever arms there can be for a point within `extent_m` of a link's origin: the chain between stretched out.
    fn levers(&self, link: &str, extent_m: f64) -> Levers {
        let dof = self.limits.dof();
        let mut levers = Levers {
            linear_m: vec![0.0; dof],
            angular: vec![0.0; dof],
        };
        let (mut link, mut arm_m) = (link, extent_m);
        let joints = &self.description.joints;
        while let Some(joint) = joints.iter().find(|j| j.child.link == link) {
            let slides = joint.joint_type == urdf_rs::JointType::Prismatic;
            let fixed = joint.joint_type == urdf_rs::JointType::Fixed;
            if let (Some((planned, factor)), false) = (self.driver(joint), fixed) {
                levers.linear_m[planned] += factor * if slides { 1.0 } else { arm_m };
                levers.angular[planned] += if slides { 0.0 } else { factor };
            }
            arm_m += Vector3::from(joint.origin.xyz.0).norm();
            if slides {
                arm_m += joint.limit.lower.abs().max(joint.limit.upper.abs());
            }
            link = &joint.parent.link;
        }
        levers
    }

    /// The planned joint that moves this one, through mimics, and by which factor.
    fn driver(&self, joint: &urdf_rs::Joint) -> Option<(usize, f64)> {
        let (mut joint, mut factor) = (joint, 1.0f64);
        // As many steps as there are joints: a ring of mimics is refused when the robot is read.
        for _ in 0..self.description.joints.len() {
            let Some(mimic) = &joint.mimic else { break };
            factor *= mimic.multiplier.unwrap_or(1.0);
            let joints = &self.description.joints;
            joint = joints.iter().find(|j| j.name == mimic.joint)?;
        }
        let planned = self.limits.names.iter().position(|n| *n == joint.name)?;
        Some((planned, factor.abs()))
    }

    fn heights<'a>(
        &'a self,
        chain: &LinkChain,
        guarded: &'a Guarded,
        point_m: &[f64; 3],
        normal: &[f64; 3],
    ) -> Result<Vec<Height<'a>>, Violation> {
        let (names, point) = match guarded {
            Guarded::Links(names) => (names.as_slice(), None),
            Guarded::ToolPoint(point) => (std::slice::from_ref(&self.tool_link), Some(*point)),
        };
        let of_link = |name: &'a String| {
            let shapes: Vec<&LinkShape> = self.shapes.iter().filter(|s| s.link == *name).collect();
            if shapes.is_empty() && point.is_none() {
                return Err(Violation::Setup {
                    reason: format!("link '{name}' has no shape that could be kept above a plane"),
                });
            }
            let extent_m = match point {
                Some(point) => Vector3::from(point).norm(),
                None => shapes.iter().map(|s| extent_m(s)).fold(0.0, f64::max),
            };
            Ok(Height {
                link: chain.link(name)?,
                name: if point.is_some() { "tool point" } else { name },
                point: point.map(Vec3::from_array),
                shapes,
                plane_point: Vec3::from_array(*point_m),
                normal: Vec3::from_array(*normal).normalize(),
                weights: self.levers(name, extent_m).linear_m,
            })
        };
        names.iter().map(of_link).collect()
    }

    fn scan(
        &self,
        chain: &mut LinkChain,
        motion: &dyn Motion,
        settings: &VerifySettings,
        bounded: &dyn Bounded,
        resolution: f64,
    ) -> Result<(), Violation> {
        let scaled = |a: &f64| a * settings.acceleration_scaling;
        let poses = vec![Pose3::identity(); chain.link_count()];
        let mut scan = Scan {
            chain,
            motion,
            bounded,
            resolution,
            acceleration: self.limits.acceleration.iter().map(scaled).collect(),
            poses,
        };
        scan.whole()
    }
}

/// Largest distance of any point of a shape from its link's origin, at most.
fn extent_m(part: &LinkShape) -> f64 {
    let (low, high) = part.shape.bounds();
    let corner = |c: usize| Point3::from(std::array::from_fn(|k| [low, high][c >> k & 1][k]));
    let reach = |c: usize| (part.link_from_shape * corner(c)).coords.norm();
    (0..8).map(reach).fold(0.0, f64::max)
}

/// The least `direction . p` over the points p of a shape, in its own frame [m].
fn lowest_m(shape: &Shape, direction: &Vector3<f64>) -> f64 {
    let across = direction.x.hypot(direction.y);
    match shape {
        Shape::Box { half_extents_m } => -direction.abs().dot(&Vector3::from(*half_extents_m)),
        Shape::Sphere { radius_m } => -radius_m,
        Shape::Capsule { radius_m, length_m } => -radius_m - 0.5 * length_m * direction.z.abs(),
        Shape::Cylinder { radius_m, length_m } => {
            -radius_m * across - 0.5 * length_m * direction.z.abs()
        }
        Shape::Plane => f64::NEG_INFINITY,
        Shape::Mesh(mesh) => {
            let vertices = mesh.triangles().iter().flatten();
            vertices
                .map(|v| direction.dot(v))
                .fold(f64::INFINITY, f64::min)
        }
        Shape::Voxels(_) | Shape::Cloud(_) => {
            let (low, high) = shape.bounds();
            (0..3)
                .map(|k| (direction[k] * low[k]).min(direction[k] * high[k]))
                .sum()
        }
    }
}

/// A value that must not be negative, and how fast it can change.
trait Bounded {
    /// How far the links' poses are inside the limit.
    fn value(&self, links: &[Pose3]) -> f64;
    /// Largest change of the value per unit of each planned joint, `[D]`.
    fn weights(&self) -> &[f64];
    fn violation(&self, value: f64, time_s: f64) -> Violation;
}

/// Tilt of a link's axis.
struct Tilt<'a> {
    link: usize,
    name: &'a str,
    axis: Vec3,
    direction: Vec3,
    limit_rad: f64,
    weights: Vec<f64>,
}

impl Bounded for Tilt<'_> {
    fn value(&self, links: &[Pose3]) -> f64 {
        let axis = links[self.link].rotation * self.axis;
        let sine = axis.cross(self.direction).length();
        self.limit_rad - sine.atan2(axis.dot(self.direction))
    }

    fn weights(&self) -> &[f64] {
        &self.weights
    }

    fn violation(&self, value: f64, time_s: f64) -> Violation {
        Violation::Tilt {
            link: self.name.to_owned(),
            time_s,
            tilt_rad: self.limit_rad - value,
            limit_rad: self.limit_rad,
        }
    }
}

/// Height of a link's true shapes, or of a point fixed in it, above a plane.
struct Height<'a> {
    link: usize,
    name: &'a str,
    point: Option<Vec3>,
    shapes: Vec<&'a LinkShape>,
    plane_point: Vec3,
    normal: Vec3,
    weights: Vec<f64>,
}

impl Bounded for Height<'_> {
    fn value(&self, links: &[Pose3]) -> f64 {
        let pose = &links[self.link];
        let height = |p: Vec3| self.normal.dot(pose.transform_point(p) - self.plane_point);
        if let Some(point) = self.point {
            return height(point);
        }
        let n = pose.rotation.inverse() * self.normal;
        let in_link = Vector3::new(n.x, n.y, n.z);
        let of_shape = |part: &&LinkShape| {
            let t = part.link_from_shape.translation.vector;
            let direction = part.link_from_shape.rotation.inverse() * in_link;
            height(Vec3::new(t.x, t.y, t.z)) + lowest_m(&part.shape, &direction)
        };
        self.shapes
            .iter()
            .map(of_shape)
            .fold(f64::INFINITY, f64::min)
    }

    fn weights(&self) -> &[f64] {
        &self.weights
    }

    fn violation(&self, value: f64, time_s: f64) -> Violation {
        Violation::BelowPlane {
            what: self.name.to_owned(),
            time_s,
            height_m: value,
        }
    }
}

/// One run over a motion.
struct Scan<'a> {
    chain: &'a mut LinkChain,
    motion: &'a dyn Motion,
    bounded: &'a dyn Bounded,
    resolution: f64,
    /// Limits in force, `[D]`.
    acceleration: Vec<f64>,
    poses: Vec<Pose3>,
}

/// A time, the positions there, and the value.
struct Node {
    time_s: f64,
    q: Vec<f64>,
    value: f64,
}

impl Scan<'_> {
    /// Shows that the value is nowhere negative.
    fn whole(&mut self) -> Result<(), Violation> {
        let duration_s = self.motion.duration_s();
        let mut from = self.node(0.0)?;
        for i in 1..=INTERVALS {
            let to = self.node(duration_s * i as f64 / INTERVALS as f64)?;
            self.interval(&from, &to)?;
            from = to;
        }
        Ok(())
    }

    fn node(&mut self, time_s: f64) -> Result<Node, Violation> {
        let mut q = vec![0.0; self.acceleration.len()];
        self.motion.position(time_s, &mut q);
        self.chain.poses(&q, &mut self.poses);
        let value = self.bounded.value(&self.poses);
        if value < -ROUNDING || value.is_nan() {
            return Err(self.bounded.violation(value, time_s));
        }
        Ok(Node { time_s, q, value })
    }

    fn interval(&mut self, from: &Node, to: &Node) -> Result<(), Violation> {
        let time_s = to.time_s - from.time_s;
        // If a joint keeps its direction its way is the difference; if not, there is a moment of rest, and from it
        // |v| <= a |t|, so the way is at most a time^2 / 2.
        let way = |j: usize| {
            let turning = 0.5 * self.acceleration[j] * time_s * time_s;
            (to.q[j] - from.q[j]).abs().max(turning)
        };
        let weights = self.bounded.weights().iter().enumerate();
        let change: f64 = weights.map(|(j, w)| w * way(j)).sum();
        if from.value + to.value >= change || change < self.resolution {
            return Ok(());
        }
        let middle = self.node(0.5 * (from.time_s + to.time_s))?;
        self.interval(from, &middle)?;
        self.interval(&middle, to)
    }
}

/// Mean speed of the tool's origin [m/s] and of its rotation [rad/s] over every period.
fn check_speed(
    chain: &mut LinkChain,
    motion: &dyn Motion,
    period_s: f64,
    tool: usize,
    limits: [Option<f64>; 2],
) -> Result<(), Violation> {
    let steps = (motion.duration_s() / period_s).ceil().max(1.0) as usize;
    let period_s = motion.duration_s() / steps as f64;
    let mut poses = vec![Pose3::identity(); chain.link_count()];
    let mut q = vec![0.0; motion.joint_names().len()];
    let mut pose = |step: usize| {
        motion.position(step as f64 * period_s, &mut q);
        chain.poses(&q, &mut poses);
        poses[tool]
    };
    let mut before = pose(0);
    for step in 1..=steps {
        let now = pose(step);
        let ways = [
            (now.translation - before.translation).length(),
            turn_rad(&before, &now),
        ];
        for (k, (quantity, unit)) in [("linear", "m/s"), ("angular", "rad/s")].iter().enumerate() {
            let value = ways[k] / period_s;
            let Some(limit) = limits[k].filter(|limit| value > limit * (1.0 + ROUNDING)) else {
                continue;
            };
            return Err(Violation::ToolSpeed {
                quantity,
                unit,
                time_s: (step as f64 - 0.5) * period_s,
                value,
                limit,
            });
        }
        before = now;
    }
    Ok(())
}

/// Angle between two poses, exact for small ones too: `|R_a - R_b|` in the Frobenius norm is `2 sqrt(2) sin(angle / 2)`.
fn turn_rad(a: &Pose3, b: &Pose3) -> f64 {
    let squared: f64 = [Vec3::X, Vec3::Y, Vec3::Z]
        .into_iter()
        .map(|axis| (a.rotation * axis - b.rotation * axis).length_squared())
        .sum();
    2.0 * (0.125 * squared).sqrt().min(1.0).asin()
}
