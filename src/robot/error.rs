//! Why a robot description was refused.

/// Each names the thing, what was found and what exists or is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RobotError {
    #[error("cannot read '{path}': {reason}")]
    File { path: String, reason: String },
    #[error("the URDF cannot be parsed: {reason}")]
    Urdf { reason: String },
    #[error("the SRDF cannot be parsed: {reason}")]
    Srdf { reason: String },
    #[error("the robot settings cannot be parsed: {reason}")]
    Settings { reason: String },
    #[error("link '{link}' is not in the URDF; it has: {existing}")]
    UnknownLink { link: String, existing: String },
    #[error("joint '{joint}' is not in the URDF; it has: {existing}")]
    UnknownJoint { joint: String, existing: String },
    #[error("joint '{joint}' does not lie between '{base}' and '{tool}'; these do: {chain}")]
    JointNotInChain {
        joint: String,
        base: String,
        tool: String,
        chain: String,
    },
    #[error("link '{tool}' does not hang below '{base}'")]
    NoChain { base: String, tool: String },
    #[error("joint '{joint}' is {kind}; only revolute, continuous, prismatic and fixed joints can be planned with")]
    UnsupportedJoint { joint: String, kind: String },
    #[error("the chain has {found} joints; 1 to {max} are supported")]
    JointCount { found: usize, max: usize },
    #[error("the URDF's links and joints form no tree: {reason}")]
    NoTree { reason: String },
    #[error("joint '{joint}' mimics '{source_joint}', {reason}")]
    Mimic {
        joint: String,
        source_joint: String,
        reason: String,
    },
    #[error("joint '{joint}': {what} is {value}; {allowed}")]
    Limit {
        joint: String,
        what: &'static str,
        value: f64,
        allowed: String,
    },
    #[error("joint '{joint}': axis ({x}, {y}, {z}) has no direction")]
    Axis {
        joint: String,
        x: f64,
        y: f64,
        z: f64,
    },
    #[error("link '{link}': collision {shape} {what} is {value}, it must be greater than 0")]
    Geometry {
        link: String,
        shape: &'static str,
        what: &'static str,
        value: f64,
    },
    #[error("link '{link}': mesh '{file}': {reason}")]
    Mesh {
        link: String,
        file: String,
        reason: String,
    },
    #[error("gripper: {reason}")]
    Gripper { reason: String },
    #[error("{what} is {value}, it must be finite")]
    NotFinite { what: String, value: f64 },
    #[error("{found} joint positions given, the robot has {expected} joints: {names}")]
    PositionCount {
        found: usize,
        expected: usize,
        names: String,
    },
}
