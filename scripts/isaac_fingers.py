#!/usr/bin/env python3
"""The fingers of an arm in Isaac Sim as a GripperCommand action, for launch/isaac.launch.py.

Both fingers are commanded by `joint_command` and seen on `joint_states`; the action's position is one finger's travel."""

import threading

import rclpy
from physics_sim.gripper_server import GripperServer
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

# Isaac Sim takes one command a frame, so that one may be lost beside the arm's: they are repeated.
RATE_HZ = 20.0
# The fingers rest if they moved by less than this in that time.
STILL_M, STILL_S = 2e-4, 0.3
# As near to its target counts as there, m.
AT_GOAL_M = 1e-3
# Goals wait in a thread each, also those that are being replaced.
THREADS = 4


class Fingers:
    """What GripperServer asks of a gripper."""

    # Isaac Sim's drives know their force, their commands do not.
    force_n = 0.0

    def __init__(self, now_s):
        self._now_s = now_s
        self.position = None
        self.target = None
        self._seen, self._since_s = 0.0, 0.0

    def observe(self, position):
        self.position = position
        if abs(position - self._seen) > STILL_M:
            self._seen, self._since_s = position, self._now_s()

    def command(self, position, _force_n):
        self.target = position
        self._since_s = self._now_s()

    def has_arrived(self):
        return abs(self.position - self.target) < AT_GOAL_M

    def is_settled(self):
        return self._now_s() - self._since_s > STILL_S

    def has_stalled(self):
        return self.is_settled() and not self.has_arrived()


class IsaacFingers(Node):
    def __init__(self):
        super().__init__("isaac_fingers")
        self.declare_parameter("joints", ["panda_finger_joint1", "panda_finger_joint2"])
        self.declare_parameter("gripper.action", "gripper_controller/gripper_cmd")
        self._joints = self.get_parameter("joints").value
        self._lock = threading.RLock()
        self._fingers = Fingers(lambda: 1e-9 * self.get_clock().now().nanoseconds)
        self._server = None
        self._publisher = self.create_publisher(JointState, "joint_command", 10)
        self.create_subscription(JointState, "joint_states", self._on_joints, qos_profile_sensor_data)
        self.create_timer(1.0 / RATE_HZ, self._on_timer)

    def _on_joints(self, message):
        seen = dict(zip(message.name, message.position))
        if not all(name in seen for name in self._joints):
            return
        with self._lock:
            self._fingers.observe(sum(seen[name] for name in self._joints) / len(self._joints))
            # Served once the fingers are known.
            if not self._server:
                self._server = GripperServer(self, self._fingers, self._lock, self.get_parameter("gripper.action").value)

    def _on_timer(self):
        with self._lock:
            if self._server:
                self._server.step()
            # Nothing moves before the first command.
            if self._fingers.target is not None:
                command = JointState(name=self._joints, position=[self._fingers.target] * len(self._joints))
                command.header.stamp = self.get_clock().now().to_msg()
                self._publisher.publish(command)


def main():
    rclpy.init()
    node = IsaacFingers()
    executor = MultiThreadedExecutor(THREADS)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == "__main__":
    main()
