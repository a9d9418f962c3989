//! Grasp data: ACRONYM files, procedural objects, grasp labels.
