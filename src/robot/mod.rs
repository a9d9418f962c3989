//! A robot from its URDF: kinematics, limits, collision spheres, gripper.
