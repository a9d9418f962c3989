//! Grasp data: procedural objects, labelled grasps, their files, and the check that scores sampled grasps.

pub mod acronym;
pub mod antipodal;
pub mod depth_view;
pub mod evaluate;
mod family;
pub mod generate;
pub mod grasp_file;
pub mod grasp_source;
pub mod implicit;
pub mod metrics;
pub mod procedural;
pub mod smoothness;
pub mod subject;
pub mod summary;
pub mod surface_nets;

pub use acronym::{read_acronym, read_acronym_folder, AcronymError};
pub use antipodal::{
    antipodal_grasps, labelled_grasps, AntipodalSettings, GraspCounts, LabelledGrasps,
};
pub use depth_view::{DepthCamera, DepthView};
pub use evaluate::{
    evaluate_category, evaluate_object, evaluate_row, EvaluationSettings, GraspScores, Judge,
    Likeness, ObjectEvaluation, Outcome, Tally,
};
pub use generate::{generate_folder, generate_object, GenerateSettings, Made, Shard};
pub use grasp_file::{load_folder, GraspFile, GraspFileError, ObjectSource};
pub use grasp_source::{GraspSource, PreparedObject};
pub use implicit::Solid;
pub use procedural::{Category, ProceduralObject};
pub use smoothness::{Descent, Ends, Slope, Testbed};
pub use subject::Subject;
pub use summary::{summarize, CategorySummary};
