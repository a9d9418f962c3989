"""The planner with a simulated arm and an object on a table: all that `make demo` runs, but for the goal.

    ros2 launch diffusion_field_planner demo.launch.py
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{use_gripper: true}"
"""

import json
import os
import tempfile
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "diffusion_field_planner"
SHARE = Path(get_package_share_directory(PACKAGE))
# Of both arms: upright, hand downwards.
START_RAD = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]

ARGUMENTS = [
    DeclareLaunchArgument("robot", default_value="panda", choices=["panda", "fr3"], description="Arm to simulate."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes, topics and the action."),
    DeclareLaunchArgument(
        "planner_config", default_value=str(SHARE / "config/planner.yaml"), description="Parameters of planner_node."
    ),
    DeclareLaunchArgument(
        "scene", default_value=str(SHARE / "config/demo_scene.yaml"), description="Fixed obstacles: scene.file of planner_node."
    ),
    DeclareLaunchArgument(
        "object", default_value=str(SHARE / "meshes/mug.obj"), description="Mesh of the object to pick (STL, OBJ or PLY)."
    ),
    DeclareLaunchArgument("scale", default_value="1.0", description="Factor from the mesh file's unit to metres."),
    DeclareLaunchArgument(
        "object_pose",
        default_value="0.55 0.02 0.0 0.0 0.0 0.6",
        description="Pose of the object in the arm's base frame: x y z [m] roll pitch yaw [rad].",
    ),
    DeclareLaunchArgument("rviz", default_value="false", choices=["true", "false"], description="Start rviz2 too."),
    DeclareLaunchArgument("log_level", default_value="info", description="Log level of the nodes."),
]


def objects_file(mesh, scale):
    """A file for the planner's parameter objects.file that knows one object."""
    handle, path = tempfile.mkstemp(prefix="objects_", suffix=".yaml")
    with os.fdopen(handle, "w") as file:
        # JSON is YAML, with strings quoted whatever they hold.
        json.dump({"objects": {"object": {"mesh": str(Path(mesh).resolve()), "scale": float(scale)}}}, file)
    return path


def nodes(context):
    def argument(name):
        return LaunchConfiguration(name).perform(context)

    robot = argument("robot")
    model = {
        "robot.urdf_file": str(SHARE / f"urdf/{robot}.urdf"),
        "robot.settings_file": str(SHARE / f"config/{robot}.yaml"),
    }
    shared = {
        "package": PACKAGE,
        "namespace": argument("namespace"),
        "arguments": ["--ros-args", "--log-level", argument("log_level")],
        "output": "screen",
    }
    planner = {
        "scene.file": argument("scene"),
        "objects.file": objects_file(argument("object"), argument("scale")),
        "planning.model_file": str(SHARE / "models/grasp_field.safetensors"),
    }
    simulation = {
        "start.position": START_RAD,
        "object.mesh_file": str(Path(argument("object")).resolve()),
        "object.mesh_scale": float(argument("scale")),
        "object.pose": [float(number) for number in argument("object_pose").split()],
    }
    started = [
        Node(executable="sim_arm", name="sim_arm", parameters=[model, simulation], **shared),
        Node(
            executable="planner_node",
            name="diffusion_field_planner",
            parameters=[argument("planner_config"), model, planner],
            **shared,
        ),
    ]
    if argument("rviz") == "true":
        # The frames of the links, for rviz; the planner needs none of it.
        urdf = Path(model["robot.urdf_file"]).read_text()
        started.append(
            Node(
                package="robot_state_publisher",
                executable="robot_state_publisher",
                namespace=argument("namespace"),
                parameters=[{"robot_description": urdf}],
            )
        )
        fixed_frame = f"{robot}_link0"
        rviz_arguments = ["-d", str(SHARE / "rviz/demo.rviz"), "-f", fixed_frame]
        started.append(
            Node(package="rviz2", executable="rviz2", namespace=argument("namespace"), arguments=rviz_arguments)
        )
    return started


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
