"""The planner with a physics simulation: arm, gripper and objects in MuJoCo, everything by the clock of the simulation.

    ros2 launch diffusion_field_planner mujoco.launch.py
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{use_gripper: true}"

MuJoCo comes from PyPI on first use where Python has none.
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import OpaqueFunction

sys.path.append(str(Path(__file__).parent))
from planner_cell import ObjectCell, argument, arguments, object_arguments  # noqa: E402

ARGUMENTS = [
    *arguments(),
    # The object hovers a little: contact is for the physics to find.
    *object_arguments(height_m=0.001),
    argument("mass", "0.0", "Mass of the object [kg]; 0: by its volume."),
    argument("real_time_factor", "1.0", "Simulated seconds per second; 0: all it can."),
    argument("pose_noise_position_m", "0.0", "Noise of seen positions, each axis [m]."),
    argument("pose_noise_rotation_rad", "0.0", "Noise of seen orientations, each axis [rad]."),
]


def nodes(context):
    cell = ObjectCell(context)
    simulation = {"scene.file": cell["scene"], "object.mass": float(cell["mass"]), "object.pose": cell.object_pose, **cell.object}
    for name in ("real_time_factor", "pose_noise_position_m", "pose_noise_rotation_rad"):
        simulation[name] = float(cell[name])
    return [
        cell.node("mujoco_sim.py", "mujoco_sim", cell.robot, simulation),
        cell.planner({"use_sim_time": True}),
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
