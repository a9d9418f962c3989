//! Joint grasp and motion planning through a learned SE(3) diffusion field.

pub mod cost;
pub mod data;
pub mod field;
pub mod geometry;
pub mod lanes;
pub mod optimizer;
pub mod picture;
pub mod planner;
pub mod robot;
pub mod scene;
pub mod trajectory;

#[cfg(feature = "ros")]
pub mod ros;
#[cfg(feature = "torch")]
pub mod training;
