"""Programs that stand in for what launch files start and a test machine lacks; tests/ros/test_launch.py installs them.

    stand_ins.py ros2_control_node ...     a joint_trajectory_controller on joint_state_topic_hardware_interface
    stand_ins.py robot_state_publisher ... its description, and no frames
    stand_ins.py isaac [NAMES]             an arm in Isaac Sim: joint commands in; joint states, clock and an object's frame out
"""

import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import rclpy
import yaml
from geometry_msgs.msg import TransformStamped
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))
from physics_sim.controller import TrajectoryController  # noqa: E402
from physics_sim.parameters import PARAMETERS  # noqa: E402

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
START_RAD = next(default for name, default, _ in PARAMETERS if name == "start.position")


class StatePublisher(Node):
    def __init__(self):
        super().__init__("robot_state_publisher")
        publisher = self.create_publisher(String, "robot_description", LATCHED)
        publisher.publish(String(data=self.declare_parameter("robot_description", "").value))


class ControlNode(Node):
    """What ros2_control_node is with our controllers.yaml: it learns joints and topics from the robot's description."""

    def __init__(self, controllers):
        super().__init__("controller_manager")
        self._own = yaml.safe_load(Path(controllers).read_text())["/**"]
        self._lock = threading.Lock()
        self._controller = None
        self._arm = None
        self.create_subscription(String, "robot_description", self._on_description, LATCHED)

    def _on_description(self, message):
        hardware = ElementTree.fromstring(message.data).find("ros2_control")
        topics = {p.get("name"): p.text for p in hardware.findall("hardware/param") or hardware.findall("param")}
        joints = self._own["arm_controller"]["ros__parameters"]["joints"]
        assert joints == [joint.get("name") for joint in hardware.findall("joint")]
        self._arm = SimpleNamespace(robot=SimpleNamespace(joints=joints), time_s=0.0, position=None)
        self._commands = self.create_publisher(JointState, topics["joint_commands_topic"], 1)
        self.create_subscription(JointState, topics["joint_states_topic"], self._on_joints, qos_profile_sensor_data)
        self.create_timer(0.01, self._step)

    def _on_joints(self, message):
        seen = dict(zip(message.name, message.position))
        speeds = dict(zip(message.name, message.velocity))
        with self._lock:
            self._arm.position = np.array([seen[name] for name in self._arm.robot.joints])
            self._arm.velocity = np.array([speeds[name] for name in self._arm.robot.joints])

    def _now_s(self):
        return 1e-9 * self.get_clock().now().nanoseconds

    def _step(self):
        with self._lock:
            if self._arm.position is None:
                return
            self._arm.time_s = self._now_s()
            if not self._controller:
                self._arm.start_position = self._arm.position
                names = [f"arm_controller/{name}" for name in ("joint_trajectory", "follow_joint_trajectory")]
                self._controller = TrajectoryController(self, self._arm, self._lock, self._now_s, *names)
            position, _, _ = self._controller.step()
            self._commands.publish(JointState(name=self._arm.robot.joints, position=position.tolist()))


class Isaac(Node):
    """Joints go where they are told, the fingers until they meet an object of a width; 60 frames a second."""

    FRAME_S = 1.0 / 60.0
    FINGER_M_S, OBJECT_HALF_WIDTH_M = 0.05, 0.03
    OBJECT_M = (0.55, 0.02, 0.0)

    def __init__(self, robot="panda", joint_states="joint_states", joint_command="joint_command"):
        super().__init__("isaac")
        self._base = f"{robot}_link0"
        self._fingers = [f"{robot}_finger_joint{i}" for i in (1, 2)]
        self._joints = {f"{robot}_joint{i}": position for i, position in enumerate(START_RAD, 1)}
        self._joints |= dict.fromkeys(self._fingers, 0.04)
        self._targets = dict(self._joints)
        self._time_s = 0.0
        self._time = self.create_publisher(Clock, "/clock", 10)
        self._states = self.create_publisher(JointState, joint_states, 10)
        self._tf = self.create_publisher(TFMessage, "/tf", 10)
        self.create_subscription(JointState, joint_command, lambda m: self._targets.update(zip(m.name, m.position)), 10)
        self.create_timer(self.FRAME_S, self._frame)

    def _frame(self):
        self._time_s += self.FRAME_S
        before = dict(self._joints)
        for name, target in self._targets.items():
            if name in self._fingers:
                target = max(target, self.OBJECT_HALF_WIDTH_M)
                step = self.FINGER_M_S * self.FRAME_S
                target = before[name] + float(np.clip(target - before[name], -step, step))
            self._joints[name] = target
        stamp = rclpy.time.Time(seconds=self._time_s).to_msg()
        self._time.publish(Clock(clock=stamp))
        states = JointState(name=list(self._joints), position=list(self._joints.values()))
        states.velocity = [(now - before[name]) / self.FRAME_S for name, now in self._joints.items()]
        states.header.stamp = stamp
        self._states.publish(states)
        transform = TransformStamped(child_frame_id="object")
        transform.header.frame_id, transform.header.stamp = self._base, stamp
        place = transform.transform.translation
        place.x, place.y, place.z = self.OBJECT_M
        self._tf.publish(TFMessage(transforms=[transform]))


def spin(node, threads):
    executor = MultiThreadedExecutor(threads)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


def main():
    program, *words = sys.argv[1:]
    rclpy.init(args=sys.argv)
    if program == "isaac":
        spin(Isaac(*words), 2)
    elif program == "robot_state_publisher":
        spin(StatePublisher(), 2)
    else:
        node = ControlNode(words[words.index("--params-file") + 1])
        node.set_parameters([Parameter("use_sim_time", value=True)])
        spin(node, 4)


if __name__ == "__main__":
    main()
