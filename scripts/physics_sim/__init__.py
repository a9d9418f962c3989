"""The physics simulation: an arm, its gripper, obstacles and objects in MuJoCo behind ROS 2; see scripts/mujoco_sim.py."""
