//! The learned grasp field: energy of a gripper pose at a noise level.
