//! Grasp data: procedural objects, antipodal grasps on them, and the check that scores sampled grasps.

pub mod antipodal;
pub mod evaluate;
pub mod implicit;
pub mod procedural;
pub mod surface_nets;

pub use antipodal::{antipodal_grasps, AntipodalSettings};
pub use evaluate::{evaluate_grasps, GraspScores};
pub use implicit::Solid;
pub use procedural::{Category, ProceduralObject};
