//! Grasp data: procedural objects, antipodal grasps on them, and the check that scores sampled grasps.

pub mod antipodal;
pub mod evaluate;
mod family;
pub mod implicit;
pub mod label;
pub mod procedural;
pub mod surface_nets;

pub use antipodal::{
    antipodal_grasps, labelled_grasps, AntipodalSettings, GraspCounts, LabelledGrasps,
};
pub use evaluate::{evaluate_grasps, GraspScores};
pub use implicit::Solid;
pub use label::{Failure, FingerFace, Label, LabelLimits};
pub use procedural::{Category, ProceduralObject};
