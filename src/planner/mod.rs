//! From a request to a verified trajectory.
