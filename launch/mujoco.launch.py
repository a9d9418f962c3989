"""The planner with a physics simulation: arm, gripper and objects in MuJoCo, everything by the clock of the simulation.

    ros2 launch diffusion_field_planner mujoco.launch.py
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{use_gripper: true}"

MuJoCo comes from PyPI on first use where Python has none.
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction

sys.path.append(str(Path(__file__).parent))
from simulated_cell import SimulatedCell, arguments  # noqa: E402

ARGUMENTS = [
    # The object hovers a little: contact is for the physics to find.
    *arguments(object_height_m=0.001),
    DeclareLaunchArgument("mass", default_value="0.0", description="Mass of the object [kg]; 0: by its volume."),
    DeclareLaunchArgument("real_time_factor", default_value="1.0", description="Simulated seconds per second; 0: all it can."),
    DeclareLaunchArgument("pose_noise_position_m", default_value="0.0", description="Noise of seen positions, each axis [m]."),
    DeclareLaunchArgument("pose_noise_rotation_rad", default_value="0.0", description="Noise of seen orientations, each axis [rad]."),
]


def nodes(context):
    cell = SimulatedCell(context)
    simulation = {"scene.file": cell["scene"], "object.mass": float(cell["mass"]), **cell.object}
    for name in ("real_time_factor", "pose_noise_position_m", "pose_noise_rotation_rad"):
        simulation[name] = float(cell[name])
    return [
        cell.node("mujoco_sim.py", "mujoco_sim", cell.robot, simulation),
        cell.planner(use_sim_time=True),
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
