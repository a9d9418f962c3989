//! Rotations and rigid motions: exponential, logarithm, Jacobians, Gaussians.
