"""The planner with an arm, obstacles and an object in Gazebo: ros_gz, gz_ros2_control and ros2_controllers, Jazzy or later.

    ros2 launch diffusion_field_planner gazebo.launch.py
    ros2 action send_goal --feedback /diffusion_field_planner/plan_grasp_motion \
        diffusion_field_planner/action/PlanGraspMotion "{use_gripper: true}"
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch_ros.actions import Node

sys.path.append(str(Path(__file__).parent))
from controlled_arm import ControlledArm  # noqa: E402
from gazebo_world import POSE_TOPIC, world  # noqa: E402
from planner_cell import ObjectCell, argument, arguments, object_arguments, share, temporary_file  # noqa: E402

GRIPPERS = ["parallel_gripper", "gripper_command", "none"]
ARGUMENTS = [
    *arguments(),
    # The object hovers a little: contact is for the physics to find.
    *object_arguments(height_m=0.001),
    argument("gui", "true", "Show Gazebo's window; false: only its server.", choices=["true", "false"]),
    argument("gripper_type", "parallel_gripper", "The gripper's controller, as in gripper.type.", choices=GRIPPERS),
]


def nodes(context):
    cell = ObjectCell(context)
    base_link = f"{cell['robot']}_link0"
    scenery = world(base_link, cell["scene"], *cell.object.values(), cell.object_pose)
    arm = ControlledArm(cell, "gz_ros2_control/GazeboSimSystem", gripper_type=cell["gripper_type"])
    # Bolted to the world; and the plugin that runs the controllers.
    arm.add(
        f"""
  <link name="world"/>
  <joint name="{base_link}_bolted" type="fixed"><parent link="world"/><child link="{base_link}"/></joint>
  <gazebo>
    <plugin filename="gz_ros2_control-system" name="gz_ros2_control::GazeboSimROS2ControlPlugin">
      <parameters>{arm.controllers}</parameters>
      <ros><namespace>{cell["namespace"]}</namespace></ros>
    </plugin>
  </gazebo>"""
    )
    server = "" if cell["gui"] == "true" else "-s "
    simulator = IncludeLaunchDescription(
        str(share("ros_gz_sim", "gazebo.launch.py") / "launch/gz_sim.launch.py"),
        launch_arguments={"gz_args": f"-r {server}{temporary_file('world.sdf', scenery)}", "on_exit_shutdown": "true"}.items(),
    )
    spawn = Node(
        package="ros_gz_sim",
        executable="create",
        namespace=cell["namespace"],
        arguments=["-world", base_link, "-topic", "robot_description", "-name", cell["robot"]],
        output="screen",
    )
    bridge = Node(
        package="ros_gz_bridge",
        executable="parameter_bridge",
        namespace=cell["namespace"],
        arguments=["/clock@rosgraph_msgs/msg/Clock[gz.msgs.Clock", f"{POSE_TOPIC}@geometry_msgs/msg/PoseStamped[gz.msgs.Pose"],
        remappings=[(POSE_TOPIC, "object_pose")],
        output="screen",
    )
    controllers = ["joint_state_broadcaster", "arm_controller"]
    if cell["gripper_type"] != "none":
        controllers.append("gripper_controller")
    return [
        simulator,
        arm.state_publisher(),
        spawn,
        bridge,
        # The plugin comes with the arm.
        RegisterEventHandler(OnProcessExit(target_action=spawn, on_exit=[arm.spawner(*controllers)])),
        cell.planner(
            {
                "use_sim_time": True,
                "gripper.type": cell["gripper_type"],
                "gripper.joint_name": f"{cell['robot']}_finger_joint1",
            }
        ),
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
