//! From a request to a verified trajectory.

pub mod verify;
