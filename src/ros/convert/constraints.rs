//! Path constraints from messages.

use super::goal::invalid;
use crate::planner::{Applies, ConstraintKind, Guarded, PathConstraint};
use crate::ros::failure::Failure;
use r2r::diffusion_field_planner::msg::PathConstraint as Message;
use r2r::geometry_msgs::msg::{Point, Vector3};
use std::f64::consts::PI;

/// Checks and converts the constraints of a goal. Where no link is named it is empty: the tool link, see [`with_tool_link`].
///
/// # Errors
/// [`Failure::InvalidRequest`], naming the constraint, the field and the value.
pub fn path_constraints(messages: &[Message]) -> Result<Vec<PathConstraint>, Failure> {
    messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            let kind = kind(message)
                .map_err(|reason| invalid(format!("path_constraints[{index}]: {reason}")))?;
            let applies = match message.while_holding {
                true => Applies::WhileHolding,
                false => Applies::Always,
            };
            Ok(PathConstraint { kind, applies })
        })
        .collect()
}

/// Enters the tool link where none was named.
pub fn with_tool_link(constraints: &[PathConstraint], tool_link: &str) -> Vec<PathConstraint> {
    let mut constraints = constraints.to_vec();
    for constraint in &mut constraints {
        if let ConstraintKind::Upright { link, .. } = &mut constraint.kind {
            if link.is_empty() {
                tool_link.clone_into(link);
            }
        }
    }
    constraints
}

fn kind(m: &Message) -> Result<ConstraintKind, String> {
    let is = |constant: i64| i64::from(m.kind) == constant;
    if is(Message::UPRIGHT as i64) {
        upright(m)
    } else if is(Message::ABOVE_PLANE as i64) {
        let point_m = point("plane_point", &m.plane_point)?;
        Ok(ConstraintKind::AbovePlane {
            guarded: match m.links.is_empty() {
                true => Guarded::ToolPoint(point("tool_point", &m.tool_point)?),
                false => Guarded::Links(m.links.clone()),
            },
            point_m,
            normal: direction(m)?,
        })
    } else if is(Message::TOOL_SPEED as i64) {
        let limits = (
            speed("max_linear_speed", m.max_linear_speed)?,
            speed("max_angular_speed", m.max_angular_speed)?,
        );
        match limits {
            (None, None) => Err("max_linear_speed and max_angular_speed are both 0".into()),
            (linear_m_s, angular_rad_s) => Ok(ConstraintKind::ToolSpeed {
                linear_m_s,
                angular_rad_s,
            }),
        }
    } else {
        Err(format!(
            "kind {} is not UPRIGHT, ABOVE_PLANE or TOOL_SPEED",
            m.kind
        ))
    }
}

fn upright(m: &Message) -> Result<ConstraintKind, String> {
    if m.links.len() > 1 {
        return Err(format!(
            "UPRIGHT is of one link, links has {}",
            m.links.len()
        ));
    }
    let link_axis = vector("link_axis", &m.link_axis)?;
    if link_axis == [0.0; 3] {
        return Err("link_axis has length 0".into());
    }
    // Written so that NaN fails.
    if !(m.max_tilt > 0.0 && m.max_tilt <= PI) {
        return Err(format!(
            "max_tilt is {} rad, it must be in (0, pi]",
            m.max_tilt
        ));
    }
    Ok(ConstraintKind::Upright {
        link: m.links.first().cloned().unwrap_or_default(),
        link_axis,
        world_direction: direction(m)?,
        max_tilt_rad: m.max_tilt,
    })
}

/// Of length zero: upwards.
fn direction(m: &Message) -> Result<[f64; 3], String> {
    match vector("direction", &m.direction)? {
        [0.0, 0.0, 0.0] => Ok([0.0, 0.0, 1.0]),
        direction => Ok(direction),
    }
}

fn vector(field: &str, v: &Vector3) -> Result<[f64; 3], String> {
    finite(field, [v.x, v.y, v.z])
}

fn point(field: &str, p: &Point) -> Result<[f64; 3], String> {
    finite(field, [p.x, p.y, p.z])
}

fn finite(field: &str, values: [f64; 3]) -> Result<[f64; 3], String> {
    match values.iter().all(|v| v.is_finite()) {
        true => Ok(values),
        false => Err(format!("{field} {values:?} is not finite")),
    }
}

/// 0: no limit.
fn speed(field: &str, value: f64) -> Result<Option<f64>, String> {
    match value {
        0.0 => Ok(None),
        v if v > 0.0 && v.is_finite() => Ok(Some(v)),
        v => Err(format!(
            "{field} is {v}, it must be positive, or 0 for no limit"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upright_message() -> Message {
        let mut message = Message {
            max_tilt: 0.2,
            ..Default::default()
        };
        message.link_axis.z = -1.0;
        message
    }

    #[test]
    fn defaults_are_upwards_and_the_tool_link() {
        let constraints = path_constraints(&[upright_message()]).unwrap();
        let [constraint] = &with_tool_link(&constraints, "hand")[..] else {
            panic!("one constraint");
        };
        assert_eq!(constraint.applies, Applies::Always);
        assert_eq!(
            constraint.kind,
            ConstraintKind::Upright {
                link: "hand".into(),
                link_axis: [0.0, 0.0, -1.0],
                world_direction: [0.0, 0.0, 1.0],
                max_tilt_rad: 0.2
            }
        );
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        type Change = fn(&mut Message);
        let cases: [(Change, &str); 7] = [
            (|m| m.kind = 9, "kind 9"),
            (|m| m.max_tilt = f64::NAN, "max_tilt is NaN"),
            (|m| m.link_axis.z = 0.0, "link_axis has length 0"),
            (|m| m.links = vec!["a".into(), "b".into()], "links has 2"),
            (|m| m.direction.x = f64::INFINITY, "direction [inf"),
            (|m| m.kind = 2, "are both 0"),
            (
                |m| (m.kind, m.max_linear_speed) = (2, -1.0),
                "max_linear_speed is -1",
            ),
        ];
        for (change, words) in cases {
            let mut bad = upright_message();
            change(&mut bad);
            let failure = path_constraints(&[upright_message(), bad]).unwrap_err();
            assert_eq!(failure.codes(), (901, -13));
            let text = failure.to_string();
            assert!(
                text.starts_with("path_constraints[1]: ") && text.contains(words),
                "{text}"
            );
        }
    }
}
