//! Terms of the trajectory energy, one file each.

mod active_set;
#[cfg(test)]
pub(crate) mod kernel_checks;
pub mod scene_collision;
pub mod self_collision;

pub use active_set::ActiveSet;
