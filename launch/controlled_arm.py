"""An arm under ros2_control in a simulator: its URDF with the hardware described, the controllers, and the nodes for both."""

from pathlib import Path

from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from planner_cell import SHARE, START_RAD, temporary_file

# The library of gripper_controller, by the planner's gripper.type.
GRIPPER_LIBRARIES = {"parallel_gripper": "parallel_gripper_action_controller", "gripper_command": "position_controllers"}


def joint(name, start, commanded=True):
    command = '<command_interface name="position"/>' if commanded else ""
    return f"""
    <joint name="{name}">
      {command}
      <state_interface name="position"><param name="initial_value">{start}</param></state_interface>
      <state_interface name="velocity"/>
    </joint>"""


class ControlledArm:
    """`cell`: a Cell; the controllers `arm_controller` and `gripper_controller` have the names that the planner uses."""

    def __init__(self, cell, plugin, plugin_parameters=None, fingers=True, gripper_type="parallel_gripper"):
        self._cell, self._robot = cell, cell["robot"]
        controllers = (SHARE / "config/controllers.yaml").read_text().replace("panda_", f"{self._robot}_")
        if gripper_type in GRIPPER_LIBRARIES:
            controllers = controllers.replace("parallel_gripper_action_controller", GRIPPER_LIBRARIES[gripper_type])
        self.controllers = temporary_file("controllers.yaml", controllers)
        joints = [joint(f"{self._robot}_joint{i}", start) for i, start in enumerate(START_RAD, 1)]
        if fingers:
            # The second finger follows the first: <mimic> in the URDF.
            joints += [joint(f"{self._robot}_finger_joint{i}", 0.04, commanded=i == 1) for i in (1, 2)]
        settings = "".join(f'<param name="{name}">{value}</param>' for name, value in (plugin_parameters or {}).items())
        self._added = [
            f"""
  <ros2_control name="{self._robot}" type="system">
    <hardware><plugin>{plugin}</plugin>{settings}</hardware>{"".join(joints)}
  </ros2_control>"""
        ]

    def add(self, xml):
        """Puts more into the URDF."""
        self._added.append(xml)

    def urdf(self):
        text = Path(self._cell.robot["robot.urdf_file"]).read_text()
        return text.replace("</robot>", "".join(self._added) + "\n</robot>")

    def state_publisher(self, joint_states="joint_states"):
        """Publishes the URDF, for the controllers, and the frames of the links."""
        description = ParameterValue(self.urdf(), value_type=str)
        return self._node(
            "robot_state_publisher",
            "robot_state_publisher",
            parameters=[{"robot_description": description, "use_sim_time": True}],
            remappings=[("joint_states", joint_states)],
        )

    def manager(self):
        """The program that runs the controllers, where the simulator does not."""
        return self._node("controller_manager", "ros2_control_node", parameters=[self.controllers, {"use_sim_time": True}])

    def spawner(self, *controllers):
        arguments = [*controllers, "--param-file", self.controllers, "--controller-manager-timeout", "60"]
        return self._node("controller_manager", "spawner", arguments=arguments)

    def _node(self, package, executable, **more):
        return Node(package=package, executable=executable, namespace=self._cell["namespace"], output="screen", **more)
