"""The planner with a simulated arm and an object on a table: all that `make demo` runs, but for the goal.

    ros2 launch diffusion_field_planner demo.launch.py
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{use_gripper: true}"
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

sys.path.append(str(Path(__file__).parent))
from planner_cell import SHARE, START_RAD, ObjectCell, argument, arguments, object_arguments  # noqa: E402

ARGUMENTS = [
    *arguments(),
    *object_arguments(height_m=0.0),
    argument("rviz", "false", "Start rviz2 too.", choices=["true", "false"]),
]


def nodes(context):
    cell = ObjectCell(context)
    started = [
        cell.node("sim_arm", "sim_arm", cell.robot, {"start.position": START_RAD, "object.pose": cell.object_pose, **cell.object}),
        cell.planner(),
    ]
    if cell["rviz"] == "true":
        # The frames of the links, for rviz; the planner needs none of it.
        urdf = Path(cell.robot["robot.urdf_file"]).read_text()
        started.append(
            Node(
                package="robot_state_publisher",
                executable="robot_state_publisher",
                namespace=cell["namespace"],
                parameters=[{"robot_description": urdf}],
            )
        )
        fixed_frame = f"{cell['robot']}_link0"
        rviz_arguments = ["-d", str(SHARE / "rviz/demo.rviz"), "-f", fixed_frame]
        started.append(Node(package="rviz2", executable="rviz2", namespace=cell["namespace"], arguments=rviz_arguments))
    return started


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
