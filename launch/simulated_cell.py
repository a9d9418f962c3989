"""What the launch files with a simulated arm share: their arguments, and the planner that knows one object."""

import json
import os
import tempfile
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "diffusion_field_planner"
SHARE = Path(get_package_share_directory(PACKAGE))


def arguments(object_height_m):
    """The object stands at this height over the arm's base."""
    return [
        DeclareLaunchArgument("robot", default_value="panda", choices=["panda", "fr3"], description="Arm to simulate."),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes, topics and the action."),
        DeclareLaunchArgument(
            "planner_config", default_value=str(SHARE / "config/planner.yaml"), description="Parameters of planner_node."
        ),
        DeclareLaunchArgument(
            "scene", default_value=str(SHARE / "config/demo_scene.yaml"), description="Fixed obstacles: scene.file of the nodes."
        ),
        DeclareLaunchArgument(
            "object", default_value=str(SHARE / "meshes/mug.obj"), description="Mesh of the object to pick (STL, OBJ or PLY)."
        ),
        DeclareLaunchArgument("scale", default_value="1.0", description="Factor from the mesh file's unit to metres."),
        DeclareLaunchArgument(
            "object_pose",
            default_value=f"0.55 0.02 {object_height_m} 0.0 0.0 0.6",
            description="Pose of the object in the arm's base frame: x y z [m] roll pitch yaw [rad].",
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="Log level of the nodes."),
    ]


class SimulatedCell:
    """The arguments as they were given, and what follows from them."""

    def __init__(self, context):
        self._context = context
        self.robot = {
            "robot.urdf_file": str(SHARE / f"urdf/{self['robot']}.urdf"),
            "robot.settings_file": str(SHARE / f"config/{self['robot']}.yaml"),
        }
        self.object = {
            "object.mesh_file": str(Path(self["object"]).resolve()),
            "object.mesh_scale": float(self["scale"]),
            "object.pose": [float(number) for number in self["object_pose"].split()],
        }

    def __getitem__(self, argument):
        return LaunchConfiguration(argument).perform(self._context)

    def node(self, executable, name, *parameters):
        """A node of this package."""
        return Node(
            package=PACKAGE,
            executable=executable,
            name=name,
            namespace=self["namespace"],
            parameters=list(parameters),
            arguments=["--ros-args", "--log-level", self["log_level"]],
            output="screen",
        )

    def planner(self, **more):
        parameters = {
            "scene.file": self["scene"],
            "objects.file": self._objects_file(),
            "planning.model_file": str(SHARE / "models/grasp_field.safetensors"),
            **more,
        }
        return self.node("planner_node", "diffusion_field_planner", self["planner_config"], self.robot, parameters)

    def _objects_file(self):
        """A file for the planner's parameter objects.file that knows one object."""
        handle, path = tempfile.mkstemp(prefix="objects_", suffix=".yaml")
        known = {"mesh": self.object["object.mesh_file"], "scale": self.object["object.mesh_scale"]}
        with os.fdopen(handle, "w") as file:
            # JSON is YAML, with strings quoted whatever they hold.
            json.dump({"objects": {"object": known}}, file)
        return path
