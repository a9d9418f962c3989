"""The planner for an arm in Isaac Sim, whose ROS 2 bridge publishes joint states and takes joint commands. docs/LAUNCH.md says
what the stage needs; press Play there first.

    ros2 launch diffusion_field_planner isaac.launch.py
    ros2 launch diffusion_field_planner isaac.launch.py joint_states:=isaac_joint_states joint_command:=isaac_joint_commands
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{use_gripper: true}"
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import OpaqueFunction

sys.path.append(str(Path(__file__).parent))
from controlled_arm import ControlledArm  # noqa: E402
from planner_cell import SHARE, ObjectCell, argument, arguments, object_arguments, share  # noqa: E402

PLUGINS = ["joint_state_topic_hardware_interface/JointStateTopicSystem", "topic_based_ros2_control/TopicBasedSystem"]
ARGUMENTS = [
    *arguments(scene=SHARE / "config/table_scene.yaml"),
    *object_arguments(),
    argument("object_frame", "object", "tf frame of the object; empty: its pose comes on object_pose or object_poses."),
    argument("joint_states", "joint_states", "Topic of Isaac Sim's ROS2 Publish Joint State."),
    argument("joint_command", "joint_command", "Topic of Isaac Sim's ROS2 Subscribe Joint State."),
    argument("hardware", PLUGINS[0], "ros2_control plugin between controller and these topics.", choices=PLUGINS),
]


def nodes(context):
    cell = ObjectCell(context)
    topics = {"joint_commands_topic": cell["joint_command"], "joint_states_topic": cell["joint_states"]}
    share(cell["hardware"].split("/")[0], "isaac.launch.py")
    # Not the fingers: with one that mimics, the plugin sends more names than positions.
    arm = ControlledArm(cell, cell["hardware"], topics, fingers=False)
    fingers = {"joints": [f"{cell['robot']}_finger_joint{i}" for i in (1, 2)], "use_sim_time": True}
    frames = {"objects.tf_frames": [f"object={cell['object_frame']}"]} if cell["object_frame"] else {}
    topic_names = [(name, cell[name]) for name in ("joint_states", "joint_command") if cell[name] != name]
    return [
        arm.state_publisher(cell["joint_states"]),
        arm.manager(),
        # No joint_state_broadcaster: Isaac Sim publishes the joint states itself.
        arm.spawner("arm_controller"),
        cell.node("isaac_fingers.py", "isaac_fingers", fingers, remappings=topic_names),
        cell.planner({"use_sim_time": True, **frames}, topic_names),
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
