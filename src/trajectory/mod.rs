//! Splines over joint space, batches of them, and their timing.
