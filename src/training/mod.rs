//! Training of the grasp field.
