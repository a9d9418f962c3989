//! Joint motions as uniform clamped cubic B-splines with one knot spacing, and their timing.
//!
//! A motion is `M + 3` control points of `D` joints. The first three and the last three coincide, so the motion starts
//! and ends at rest (from a moving start the first three follow from the state and the spacing, see `moving`). Velocity, acceleration and jerk of the control polygon bound those of the curve, and scale with
//! 1/dt, 1/dt^2, 1/dt^3: the smallest admissible spacing follows in closed form and never changes the path.

mod banded;
mod braking;
mod joint_row;
mod limits;
mod moving;
mod spline;
mod timed;

pub use banded::BandedSystem;
pub use braking::{stop_along, stop_each_joint};
pub use joint_row::{rows_from_lanes, rows_to_lanes, JointRow, MAX_JOINTS};
pub use limits::{rest_to_rest_duration_s, MotionLimits, SpacingBound};
pub use moving::{Fit, MovingStart, StartJoint};
pub use spline::{basis, Spline, ORDER};
pub use timed::{JointState, TimedTrajectory, TrajectoryPoint};
