"""The planner for a real Franka arm that franka_ros2 drives. Read docs/ROBOT.md before the first motion.

    ros2 launch diffusion_field_planner franka.launch.py                                    # the driver runs already
    ros2 launch diffusion_field_planner franka.launch.py start_driver:=true robot_ip:=172.16.0.2
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{object_id: mug, plan_only: true}"
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

sys.path.append(str(Path(__file__).parent))
from planner_cell import SHARE, Cell, argument, arguments, share, temporary_file  # noqa: E402

GRIPPERS = ["franka", "gripper_command", "none"]
# What is subscribed, and where it comes from; the controller's own joint states are the default, for joint_state_publisher
# gives old positions new stamps when the robot has gone silent.
TOPICS = {
    "joint_states": "franka/joint_states",
    "object_pose": "object_pose",
    "object_poses": "object_poses",
    "obstacle_cloud": "obstacle_cloud",
}

ARGUMENTS = [
    *arguments(robot="fr3", scene=SHARE / "config/table_scene.yaml"),
    argument("arm_id", LaunchConfiguration("robot"), "What joints and links are named after: left_fr3 of left_fr3_joint1."),
    argument("controller", [LaunchConfiguration("robot"), "_arm_controller"], "Name of the joint_trajectory_controller."),
    argument("controller_mode", "action", "How it is commanded.", choices=["action", "topic", "none"]),
    argument("gripper", "franka", "Interface of the gripper: franka_msgs' actions or GripperCommand.", choices=GRIPPERS),
    argument("gripper_name", "franka_gripper", "Name of the franka_gripper node."),
    argument("velocity_scaling", "0.1", "Part of the arm's velocity limits that is used."),
    argument("acceleration_scaling", "0.1", "Part of its acceleration and jerk limits that is used."),
    argument("objects_file", "", "Known objects: objects.file. Those of `dfp object` are known anyway."),
    argument("object_frames", "", "Objects whose pose is a tf frame: mug=tag_3,box=tag_4."),
    *(argument(name, topic, f"Topic to take for {name}.") for name, topic in TOPICS.items()),
    argument("start_driver", "false", "Start franka_ros2 too, for an FR3 with joints named fr3_*.", choices=["true", "false"]),
    argument("robot_ip", "", "Address of the robot, for start_driver."),
    argument("use_fake_hardware", "false", "With start_driver: no robot, states follow commands.", choices=["true", "false"]),
]


class Franka(Cell):
    def __init__(self, context):
        super().__init__(context)
        if self["arm_id"] != self["robot"]:
            self.robot = {name: self._renamed(path) for name, path in self.robot.items()}

    def _renamed(self, path):
        """A copy of a file of the robot with the names of this arm."""
        path = Path(path)
        text = path.read_text().replace(f"{self['robot']}_", f"{self['arm_id']}_")
        # Files beside it are named relative to it.
        return temporary_file(path.name, text.replace(" grippers/", f" {SHARE}/config/grippers/"))

    def planner(self):
        frames = [pair for pair in self["object_frames"].split(",") if pair]
        parameters = {
            "controller.mode": self["controller_mode"],
            "controller.topic": f"{self['controller']}/joint_trajectory",
            "controller.action": f"{self['controller']}/follow_joint_trajectory",
            "gripper.type": self["gripper"],
            "gripper.franka_name": self["gripper_name"],
            "gripper.action": f"{self['gripper_name']}/gripper_action",
            "planning.velocity_scaling": float(self["velocity_scaling"]),
            "planning.acceleration_scaling": float(self["acceleration_scaling"]),
            "objects.file": self["objects_file"],
            # An empty list has no type.
            **({"objects.tf_frames": frames} if frames else {}),
        }
        return super().planner(parameters, [(name, self[name]) for name in TOPICS if self[name] != name])

    def driver(self):
        """franka_ros2's launch file, with the trajectory controller that its MoveIt configuration describes."""
        if self["arm_id"] != "fr3":
            raise RuntimeError(f"start_driver is for joints named fr3_*, not {self['arm_id']}_*: start the driver yourself")
        if not self["robot_ip"]:
            raise RuntimeError("start_driver needs robot_ip")
        bringup, moveit = (share(name, "start_driver") for name in ("franka_bringup", "franka_fr3_moveit_config"))
        given = {
            "robot_type": "fr3",
            "robot_ip": self["robot_ip"],
            "namespace": self["namespace"],
            "load_gripper": "false" if self["gripper"] == "none" else "true",
            "use_fake_hardware": self["use_fake_hardware"],
            "controllers_yaml": str(moveit / "config/fr3_ros_controllers.yaml"),
        }
        spawner = Node(
            package="controller_manager",
            executable="spawner",
            namespace=self["namespace"],
            arguments=[self["controller"], "--controller-manager-timeout", "60"],
            output="screen",
        )
        return [IncludeLaunchDescription(str(bringup / "launch/franka.launch.py"), launch_arguments=given.items()), spawner]


def nodes(context):
    franka = Franka(context)
    driver = franka.driver() if franka["start_driver"] == "true" else []
    return [*driver, franka.planner()]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
