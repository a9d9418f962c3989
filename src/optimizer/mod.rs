//! Annealed Langevin over batches of trajectories.
