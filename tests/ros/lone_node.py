"""A planner without a simulated arm; the test plays the robot."""

import time

import pytest
from conftest import PROJECT
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.srv import ListObjects
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from robot_cell import JOINTS, LATCHED, READY, Cell, PlannerNode, goal, stamped
from sensor_msgs.msg import JointState
from std_msgs.msg import String

URDF = f"robot.urdf_file:={PROJECT}/urdf/panda.urdf"


class LoneNode:
    def __init__(self, peer, *parameters):
        self.node = PlannerNode("state.timeout:=1.0", *parameters)
        self.peer = peer
        self.client = ActionClient(peer, PlanGraspMotion, Cell.NODE + "/plan_grasp_motion")
        assert self.client.wait_for_server(30)
        # Discovery goes both ways and in order: a server that answers this client hears its goals, too.
        peer.call(ListObjects, Cell.NODE + "/list_objects", ListObjects.Request())
        self.joint_states = peer.publisher(JointState, "joint_states")
        self.poses = peer.create_publisher(PoseStamped, "object_pose", 10)
        self.description = peer.create_publisher(String, "robot_description", LATCHED)

    def publish_state(self, positions=READY, names=JOINTS, age_s=0.0, velocity=0.0):
        if callable(positions):
            positions = positions()
        message = JointState(name=names, position=positions, velocity=[velocity] * len(names))
        stamp = time.time() - age_s
        message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), int(1e9 * (stamp % 1))
        self.joint_states.publish(message)

    def keep_publishing(self, **state):
        timer = self.peer.create_timer(0.02, lambda: self.publish_state(**state))
        # Until what was published before is forgotten.
        time.sleep(0.5)
        return timer

    def send(self, **fields):
        fields.setdefault("object_pose", stamped())
        handle = self.peer.ask(lambda: self.client.send_goal_async(goal(**fields)), "the answer to a goal")
        assert handle.accepted
        return handle

    def result(self, handle):
        answer = self.peer.ask(handle.get_result_async, "a result", 60)
        assert self.node.alive()
        return answer.result

    def run(self, **fields):
        return self.result(self.send(**fields))

    def close(self):
        assert self.node.stop() == 0


@pytest.fixture
def alone(peer):
    started = []

    def start(*parameters):
        started.append(LoneNode(peer, *parameters))
        return started[-1]

    yield start
    for node in started:
        node.close()
