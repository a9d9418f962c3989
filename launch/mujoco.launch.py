"""The planner with a physics simulation: arm, gripper and objects in MuJoCo, everything by the clock of the simulation.

    ros2 launch diffusion_field_planner mujoco.launch.py
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{use_gripper: true}"

MuJoCo comes from PyPI on first use where Python has none.
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

ARGUMENTS = [
    DeclareLaunchArgument("robot", default_value="panda", choices=["panda", "fr3"], description="Arm to simulate."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes, topics and the action."),
    DeclareLaunchArgument(
        "planner_config", default_value=str(SHARE / "config/planner.yaml"), description="Parameters of planner_node."
    ),
    DeclareLaunchArgument(
        "scene", default_value=str(SHARE / "config/demo_scene.yaml"), description="Fixed obstacles, for planner and physics."
    ),
    DeclareLaunchArgument(
        "object", default_value=str(SHARE / "meshes/mug.obj"), description="Mesh of the object to pick (STL, OBJ or PLY)."
    ),
    DeclareLaunchArgument("scale", default_value="1.0", description="Factor from the mesh file's unit to metres."),
    DeclareLaunchArgument("mass", default_value="0.0", description="Mass of the object [kg]; 0: by its volume."),
    DeclareLaunchArgument(
        "object_pose",
        default_value="0.55 0.02 0.001 0.0 0.0 0.6",
        description="Pose of the object in the arm's base frame: x y z [m] roll pitch yaw [rad].",
    ),
    DeclareLaunchArgument("real_time_factor", default_value="1.0", description="Simulated seconds per second; 0: all it can."),
    DeclareLaunchArgument("pose_noise_position_m", default_value="0.0", description="Noise of seen positions, each axis [m]."),
    DeclareLaunchArgument("pose_noise_rotation_rad", default_value="0.0", description="Noise of seen orientations, each axis [rad]."),
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
    shared_parameters = {
        "robot.urdf_file": str(SHARE / f"urdf/{robot}.urdf"),
        "robot.settings_file": str(SHARE / f"config/{robot}.yaml"),
        "scene.file": argument("scene"),
    }
    shared = {
        "package": PACKAGE,
        "namespace": argument("namespace"),
        "arguments": ["--ros-args", "--log-level", argument("log_level")],
        "output": "screen",
    }
    planner = {
        "objects.file": objects_file(argument("object"), argument("scale")),
        "planning.model_file": str(SHARE / "models/grasp_field.safetensors"),
        "use_sim_time": True,
    }
    simulation = {
        "object.mesh_file": str(Path(argument("object")).resolve()),
        "object.mesh_scale": float(argument("scale")),
        "object.mass": float(argument("mass")),
        "object.pose": [float(number) for number in argument("object_pose").split()],
    }
    for name in ("real_time_factor", "pose_noise_position_m", "pose_noise_rotation_rad"):
        simulation[name] = float(argument(name))
    return [
        Node(executable="mujoco_sim.py", name="mujoco_sim", parameters=[shared_parameters, simulation], **shared),
        Node(
            executable="planner_node",
            name="diffusion_field_planner",
            parameters=[argument("planner_config"), shared_parameters, planner],
            **shared,
        ),
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
