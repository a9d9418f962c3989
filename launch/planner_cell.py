"""What the launch files share: their arguments, the files of the robot, and the planner."""

import json
import tempfile
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "diffusion_field_planner"
SHARE = Path(get_package_share_directory(PACKAGE))
# Of both arms: upright, hand downwards.
START_RAD = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]


def argument(name, default, description, choices=None):
    default = str(default) if isinstance(default, Path) else default
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)


def arguments(robot="panda", scene=SHARE / "config/demo_scene.yaml"):
    """Of every launch file."""
    return [
        argument("robot", robot, "The arm.", choices=["panda", "fr3"]),
        argument("namespace", "", "Namespace of all nodes, topics and the action."),
        argument("planner_config", SHARE / "config/planner.yaml", "Parameters of planner_node; those set by this launch file win."),
        argument("scene", scene, "Fixed obstacles, poses in the arm's base frame: scene.file."),
        argument("log_level", "info", "Log level of this package's nodes."),
    ]


def object_arguments(height_m=None):
    """Of launch files that know one object. `height_m`: at which it stands over the arm's base; None: it is found elsewhere."""
    found = [
        argument("object", SHARE / "meshes/mug.obj", "Mesh of the object to pick (STL, OBJ or PLY)."),
        argument("scale", "1.0", "Factor from the mesh file's unit to metres."),
    ]
    if height_m is not None:
        pose = f"0.55 0.02 {height_m} 0.0 0.0 0.6"
        found.append(argument("object_pose", pose, "Pose of the object in the arm's base frame: x y z [m] roll pitch yaw [rad]."))
    return found


def share(package, wanted_by):
    """The share folder of another package."""
    try:
        return Path(get_package_share_directory(package))
    except PackageNotFoundError:
        raise RuntimeError(f"{wanted_by} needs the package '{package}', which is not installed or not sourced") from None


def temporary_file(name, text):
    folder = Path(tempfile.mkdtemp(prefix="diffusion_field_planner_"))
    (folder / name).write_text(text)
    return str(folder / name)


class Cell:
    """The arguments as they were given, and what follows from them."""

    def __init__(self, context):
        self._context = context
        self.robot = {
            "robot.urdf_file": str(SHARE / f"urdf/{self['robot']}.urdf"),
            "robot.settings_file": str(SHARE / f"config/{self['robot']}.yaml"),
        }

    def __getitem__(self, argument):
        return LaunchConfiguration(argument).perform(self._context)

    def node(self, executable, name, *parameters, **more):
        """A node of this package."""
        return Node(
            package=PACKAGE,
            executable=executable,
            name=name,
            namespace=self["namespace"],
            parameters=list(parameters),
            arguments=["--ros-args", "--log-level", self["log_level"]],
            output="screen",
            **more,
        )

    def planner(self, parameters, remappings=()):
        own = {"scene.file": self["scene"], "planning.model_file": str(SHARE / "models/grasp_field.safetensors"), **parameters}
        return self.node(
            "planner_node", "diffusion_field_planner", self["planner_config"], self.robot, own, remappings=list(remappings)
        )


class ObjectCell(Cell):
    """A cell whose planner knows one object, named `object`."""

    def __init__(self, context):
        super().__init__(context)
        self.object = {"object.mesh_file": str(Path(self["object"]).resolve()), "object.mesh_scale": float(self["scale"])}

    @property
    def object_pose(self):
        return [float(number) for number in self["object_pose"].split()]

    def planner(self, parameters=None, remappings=()):
        known = {"mesh": self.object["object.mesh_file"], "scale": self.object["object.mesh_scale"]}
        # JSON is YAML, with strings quoted whatever they hold.
        objects = temporary_file("objects.yaml", json.dumps({"objects": {"object": known}}))
        return super().planner({"objects.file": objects, **(parameters or {})}, remappings)
