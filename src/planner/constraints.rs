//! What a whole motion must keep to besides its goal: an axis upright, a plane not crossed, the tool not too fast.

use std::fmt;
use std::sync::Arc;

use nalgebra::{Point3, Vector3};

use super::error::PlanError;
use crate::cost::{AbovePlane, Cost, GuardedBall, Upright};
use crate::optimizer::PathRules;
use crate::robot::RobotModel;

/// When a constraint counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Applies {
    /// In every part of the motion.
    #[default]
    Always,
    /// From the grasp on, the grasp itself included, while the object is in the hand.
    WhileHolding,
}

/// One constraint of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct PathConstraint {
    pub kind: ConstraintKind,
    pub applies: Applies,
}

/// What must stay above a plane.
#[derive(Clone, Debug, PartialEq)]
pub enum Guarded {
    /// All of these links.
    Links(Vec<String>),
    /// A point in the tool link's frame, m.
    ToolPoint([f64; 3]),
}

/// What must hold. World frame: the robot's base link. Axes and directions need no unit length.
#[derive(Clone, Debug, PartialEq)]
pub enum ConstraintKind {
    /// An axis of a link, in the link's frame, stays within an angle of a direction in the world.
    Upright {
        link: String,
        link_axis: [f64; 3],
        world_direction: [f64; 3],
        max_tilt_rad: f64,
    },
    /// Links or a point of the tool stay on the side of a plane to which its normal points.
    AbovePlane {
        guarded: Guarded,
        point_m: [f64; 3],
        normal: [f64; 3],
    },
    /// Largest speed of the tool link's origin [m/s], and of its rotation [rad/s].
    ToolSpeed {
        linear_m_s: Option<f64>,
        angular_rad_s: Option<f64>,
    },
}

impl ConstraintKind {
    /// The word for it in messages.
    pub fn name(&self) -> &'static str {
        match self {
            ConstraintKind::Upright { .. } => "upright",
            ConstraintKind::AbovePlane { .. } => "above_plane",
            ConstraintKind::ToolSpeed { .. } => "tool_speed",
        }
    }
}

/// The smallest speed limit of the tool in force, infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolSpeedLimit {
    pub linear_m_s: f64,
    pub angular_rad_s: f64,
}

/// How a configuration breaks a constraint.
#[derive(Clone, Debug, PartialEq)]
pub enum Breach {
    Tilt {
        link: String,
        tilt_rad: f64,
        limit_rad: f64,
    },
    /// The height is that of the lowest point; of a link, that of the spheres around it.
    BelowPlane { what: String, height_m: f64 },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Tilt {
                link,
                tilt_rad,
                limit_rad,
            } => write!(
                f,
                "'{link}' is tilted by {:.2} deg, at most {:.2} deg are allowed",
                tilt_rad.to_degrees(),
                limit_rad.to_degrees()
            ),
            Breach::BelowPlane { what, height_m } => write!(
                f,
                "'{what}' reaches {:.1} mm below the plane it must stay above",
                -1e3 * height_m
            ),
        }
    }
}

/// Angles and lengths by which a configuration may break a limit through rounding.
const ROUNDING: f64 = 1e-6;

/// The terms of the constraints, for motions without an object in the hand and for those with one.
pub fn rules(
    robot: &RobotModel,
    constraints: &[PathConstraint],
) -> Result<(PathRules, PathRules), PlanError> {
    let (mut always, mut holding) = (Vec::new(), Vec::new());
    for (index, constraint) in constraints.iter().enumerate() {
        let Some(term) = term(robot, index, constraint)? else {
            continue;
        };
        if constraint.applies == Applies::Always {
            always.push(term.clone());
        }
        holding.push(term);
    }
    Ok((PathRules::new(always), PathRules::new(holding)))
}

/// The same constraints for a motion with the object in the hand all the way.
pub fn always(constraints: &[PathConstraint]) -> Vec<PathConstraint> {
    let bound = |c: &PathConstraint| PathConstraint {
        kind: c.kind.clone(),
        applies: Applies::Always,
    };
    constraints.iter().map(bound).collect()
}

/// Constraints that count for a part of the motion.
pub fn applying(
    constraints: &[PathConstraint],
    holding: bool,
) -> impl Iterator<Item = &ConstraintKind> {
    constraints
        .iter()
        .filter(move |c| holding || c.applies == Applies::Always)
        .map(|c| &c.kind)
}

/// The speed limit for a part of the motion, if there is one.
pub fn tool_speed(constraints: &[PathConstraint], holding: bool) -> Option<ToolSpeedLimit> {
    let mut limit = ToolSpeedLimit {
        linear_m_s: f64::INFINITY,
        angular_rad_s: f64::INFINITY,
    };
    for kind in applying(constraints, holding) {
        if let ConstraintKind::ToolSpeed {
            linear_m_s,
            angular_rad_s,
        } = kind
        {
            limit.linear_m_s = limit.linear_m_s.min(linear_m_s.unwrap_or(f64::INFINITY));
            limit.angular_rad_s = limit
                .angular_rad_s
                .min(angular_rad_s.unwrap_or(f64::INFINITY));
        }
    }
    (limit.linear_m_s.is_finite() || limit.angular_rad_s.is_finite()).then_some(limit)
}

/// The first constraint that a configuration `[D]` breaks.
pub fn breach(
    robot: &RobotModel,
    constraints: &[PathConstraint],
    holding: bool,
    q: &[f64],
) -> Option<Breach> {
    applying(constraints, holding).find_map(|kind| match kind {
        ConstraintKind::Upright {
            link,
            link_axis,
            world_direction,
            max_tilt_rad,
        } => {
            let world_from_link = robot.kinematics.forward_kinematics(q, link).ok()?;
            let axis = world_from_link.rotation * Vector3::from(*link_axis);
            let tilt_rad = axis.angle(&Vector3::from(*world_direction));
            (tilt_rad > max_tilt_rad + ROUNDING).then(|| Breach::Tilt {
                link: link.clone(),
                tilt_rad,
                limit_rad: *max_tilt_rad,
            })
        }
        ConstraintKind::AbovePlane {
            guarded,
            point_m,
            normal,
        } => lowest(robot, guarded, point_m, normal, q)
            .filter(|(_, height_m)| *height_m < -ROUNDING)
            .map(|(what, height_m)| Breach::BelowPlane { what, height_m }),
        ConstraintKind::ToolSpeed { .. } => None,
    })
}

/// What of the guarded things is lowest, and its height above the plane [m].
fn lowest(
    robot: &RobotModel,
    guarded: &Guarded,
    point_m: &[f64; 3],
    normal: &[f64; 3],
    q: &[f64],
) -> Option<(String, f64)> {
    let normal = Vector3::from(*normal).normalize();
    let height = |p: &Point3<f64>| normal.dot(&(p.coords - Vector3::from(*point_m)));
    match guarded {
        Guarded::ToolPoint(p) => {
            let at = robot.kinematics.tool_pose(q) * Point3::from(*p);
            Some(("tool point".to_string(), height(&at)))
        }
        Guarded::Links(links) => {
            let of_link = |link: &String| -> Option<(String, f64)> {
                let (_, body_from_link) = robot.kinematics.body_of_link(link).ok()?;
                let world_from_link = robot.kinematics.forward_kinematics(q, link).ok()?;
                let world_from_body = world_from_link * body_from_link.inverse();
                let spheres = spheres_of(robot, link);
                let heights = spheres.map(|(_, center_m, radius_m)| {
                    let center = Point3::from(center_m.map(f64::from));
                    height(&(world_from_body * center)) - f64::from(radius_m)
                });
                heights.reduce(f64::min).map(|h| (link.clone(), h))
            };
            links
                .iter()
                .filter_map(of_link)
                .min_by(|a, b| a.1.total_cmp(&b.1))
        }
    }
}

/// (body, centre, radius) of the collision spheres of a link.
fn spheres_of<'a>(
    robot: &'a RobotModel,
    link: &'a str,
) -> impl Iterator<Item = (usize, [f32; 3], f32)> + 'a {
    let model = &robot.collision;
    let groups = model
        .scene
        .groups
        .iter()
        .filter(move |g| model.links[g.link] == link);
    groups.flat_map(move |g| {
        let spheres = model.scene.spheres[g.spheres.clone()].iter();
        spheres.map(move |s| (g.body, s.center_m, s.radius_m))
    })
}

/// The term of a constraint; `None` for those that are a matter of timing.
fn term(
    robot: &RobotModel,
    index: usize,
    constraint: &PathConstraint,
) -> Result<Option<Arc<dyn Cost>>, PlanError> {
    let what = |part: &str| {
        let name = constraint.kind.name();
        format!("constraint {} ({name}): {part}", index + 1)
    };
    match &constraint.kind {
        ConstraintKind::Upright {
            link,
            link_axis,
            world_direction,
            max_tilt_rad,
        } => {
            let axis = direction(&what("axis"), link_axis)?;
            let up = direction(&what("direction"), world_direction)?;
            let sensible = *max_tilt_rad > 0.0 && *max_tilt_rad <= std::f64::consts::PI;
            if !sensible {
                let value = format!("{max_tilt_rad} rad");
                return Err(invalid(what("tilt"), value, "it must be in (0, pi]"));
            }
            let (body, body_from_link) = robot
                .kinematics
                .body_of_link(link)
                .map_err(|e| invalid(what("link"), format!("'{link}'"), &e.to_string()))?;
            let axis = body_from_link.rotation * axis;
            let term = Upright::new(body, axis.into(), up.into(), *max_tilt_rad);
            Ok(Some(Arc::new(term)))
        }
        ConstraintKind::AbovePlane {
            guarded,
            point_m,
            normal,
        } => {
            let normal = direction(&what("normal"), normal)?;
            if point_m.iter().any(|v| !v.is_finite()) {
                return Err(invalid(
                    what("point"),
                    format!("{point_m:?}"),
                    "it must be finite",
                ));
            }
            let balls = balls(robot, guarded, &what)?;
            let term = AbovePlane::new(balls, *point_m, normal.into());
            Ok(Some(Arc::new(term)))
        }
        ConstraintKind::ToolSpeed {
            linear_m_s,
            angular_rad_s,
        } => {
            let given = [linear_m_s, angular_rad_s].into_iter().flatten();
            if let Some(bad) = given.clone().find(|v| !(v.is_finite() && **v > 0.0)) {
                return Err(invalid(
                    what("limit"),
                    bad.to_string(),
                    "it must be above 0 and finite",
                ));
            }
            match given.count() {
                0 => Err(invalid(
                    what("limit"),
                    "missing".into(),
                    "give a linear one, an angular one or both",
                )),
                _ => Ok(None),
            }
        }
    }
}

fn balls(
    robot: &RobotModel,
    guarded: &Guarded,
    what: &dyn Fn(&str) -> String,
) -> Result<Vec<GuardedBall>, PlanError> {
    match guarded {
        Guarded::ToolPoint(p) => {
            if p.iter().any(|v| !v.is_finite()) {
                let value = format!("{p:?}");
                return Err(invalid(what("tool point"), value, "it must be finite"));
            }
            let in_body = robot.kinematics.body_from_tool() * Point3::from(*p);
            Ok(vec![GuardedBall {
                body: robot.kinematics.tool_body(),
                center_m: std::array::from_fn(|k| in_body[k] as f32),
                radius_m: 0.0,
            }])
        }
        Guarded::Links(links) if links.is_empty() => Err(invalid(
            what("links"),
            "empty".into(),
            "name at least one link, or give a tool point",
        )),
        Guarded::Links(links) => {
            let mut balls = Vec::new();
            for link in links {
                let before = balls.len();
                let spheres = spheres_of(robot, link);
                balls.extend(spheres.map(|(body, center_m, radius_m)| GuardedBall {
                    body,
                    center_m,
                    radius_m,
                }));
                if balls.len() == before {
                    let known = robot.collision.links.join(", ");
                    let allowed = format!("links with a shape are: {known}");
                    return Err(invalid(what("link"), format!("'{link}'"), &allowed));
                }
            }
            Ok(balls)
        }
    }
}

fn direction(what: &str, v: &[f64; 3]) -> Result<Vector3<f64>, PlanError> {
    const SHORTEST: f64 = 1e-6;
    let vector = Vector3::from(*v);
    let norm = vector.norm();
    if norm.is_finite() && norm > SHORTEST {
        return Ok(vector / norm);
    }
    Err(invalid(
        what.into(),
        format!("{v:?}"),
        "it must be finite and not zero",
    ))
}

fn invalid(what: String, value: String, allowed: &str) -> PlanError {
    PlanError::InvalidRequest {
        what,
        value,
        allowed: allowed.into(),
    }
}
