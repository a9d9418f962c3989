//! Path constraints of a problem file.

use serde::Deserialize;

use super::entries::value;
use super::ProblemError;
use crate::planner::constraints::{Applies, ConstraintKind, Guarded, PathConstraint};

/// Exactly one of upright, above_plane, tool_speed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConstraintEntry {
    pub upright: Option<UprightEntry>,
    pub above_plane: Option<AbovePlaneEntry>,
    pub tool_speed: Option<ToolSpeedEntry>,
    pub applies: AppliesEntry,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppliesEntry {
    #[default]
    Always,
    WhileHolding,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UprightEntry {
    pub link: String,
    /// Of the link, in its frame.
    pub axis: [f64; 3],
    /// In the world.
    #[serde(default = "up")]
    pub direction: [f64; 3],
    pub max_tilt_rad: f64,
}

/// Links, or a point in the tool link's frame.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbovePlaneEntry {
    #[serde(default)]
    pub links: Vec<String>,
    #[serde(default)]
    pub tool_point_m: Option<[f64; 3]>,
    pub point_m: [f64; 3],
    #[serde(default = "up")]
    pub normal: [f64; 3],
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolSpeedEntry {
    #[serde(default)]
    pub linear_m_s: Option<f64>,
    #[serde(default)]
    pub angular_rad_s: Option<f64>,
}

fn up() -> [f64; 3] {
    [0.0, 0.0, 1.0]
}

impl ConstraintEntry {
    /// The constraint that stands at `index` of the list.
    pub(super) fn constraint(&self, index: usize) -> Result<PathConstraint, ProblemError> {
        let what = format!("constraint {}", index + 1);
        let mut kinds = Vec::new();
        if let Some(e) = &self.upright {
            kinds.push(ConstraintKind::Upright {
                link: e.link.clone(),
                link_axis: e.axis,
                world_direction: e.direction,
                max_tilt_rad: e.max_tilt_rad,
            });
        }
        if let Some(e) = &self.above_plane {
            let guarded = match (e.tool_point_m, e.links.is_empty()) {
                (Some(point), true) => Guarded::ToolPoint(point),
                (None, false) => Guarded::Links(e.links.clone()),
                _ => return Err(value(&what, "give links or tool_point_m, one of them")),
            };
            kinds.push(ConstraintKind::AbovePlane {
                guarded,
                point_m: e.point_m,
                normal: e.normal,
            });
        }
        if let Some(e) = &self.tool_speed {
            kinds.push(ConstraintKind::ToolSpeed {
                linear_m_s: e.linear_m_s,
                angular_rad_s: e.angular_rad_s,
            });
        }
        let applies = match self.applies {
            AppliesEntry::Always => Applies::Always,
            AppliesEntry::WhileHolding => Applies::WhileHolding,
        };
        match (kinds.pop(), kinds.is_empty()) {
            (Some(kind), true) => Ok(PathConstraint { kind, applies }),
            _ => Err(value(
                &what,
                "give exactly one of upright, above_plane, tool_speed",
            )),
        }
    }
}
