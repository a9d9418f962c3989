"""What the physics simulation publishes."""

import json

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String, UInt32
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

from . import model

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Steps of the physics between two messages on /clock.
STEPS_PER_TICK = 2
TICK_S = STEPS_PER_TICK * model.TIMESTEP_S


class Outputs:
    """The publishers; `values` are the node's parameters, some of which change."""

    def __init__(self, node, world, values):
        self._world, self._values = world, values
        robot = world.robot
        self._frame = robot.settings.get("base_link") or world.model.body(1).name
        self._random = np.random.default_rng(0)
        self._counts = {"accepted": 0, "rejected": 0}
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._joint_states = node.create_publisher(JointState, "joint_states", 10)
        self._description = node.create_publisher(String, "robot_description", LATCHED)
        self._description.publish(String(data=robot.urdf.read_text()))
        self._object_pose = node.create_publisher(PoseStamped, "object_pose", 10)
        self._object_poses = node.create_publisher(Detection3DArray, "object_poses", 10)
        self._true_poses = node.create_publisher(Detection3DArray, "~/true_object_poses", 10)
        self._inspection = node.create_publisher(String, "~/inspection", 10)
        self._answers = {kind: node.create_publisher(UInt32, f"~/{kind}_trajectories", LATCHED) for kind in self._counts}
        self._last_rejection = node.create_publisher(String, "~/last_rejection", LATCHED)
        for kind, publisher in self._answers.items():
            publisher.publish(UInt32(data=self._counts[kind]))

    def publish(self, tick, now_s):
        """All that is due at a tick of the clock; `now_s`: the published time."""
        now_ns = round(1e9 * now_s)
        stamp = Time(sec=now_ns // 10**9, nanosec=now_ns % 10**9)
        self._clock.publish(Clock(clock=stamp))
        if self._is_due(tick, "joint_states.rate"):
            self._publish_joints(stamp)
        if self._world.objects and self._is_due(tick, "object.rate"):
            self._publish_objects(stamp, now_s)

    def publish_answer(self, rejection):
        """Counts a trajectory; `rejection`: why it was refused, or ""."""
        kind = "rejected" if rejection else "accepted"
        self._counts[kind] += 1
        self._answers[kind].publish(UInt32(data=self._counts[kind]))
        if rejection:
            self._last_rejection.publish(String(data=rejection))

    def _is_due(self, tick, rate):
        return tick % max(1, round(1.0 / (self._values[rate] * TICK_S))) == 0

    def _publish_joints(self, stamp):
        world = self._world
        message = JointState(name=list(world.robot.joints))
        message.header.stamp = stamp
        position, velocity = world.position.tolist(), world.velocity.tolist()
        if world.gripper:
            message.name += world.gripper.joints
            position += world.gripper.positions.tolist()
            velocity += world.gripper.velocities.tolist()
        message.position, message.velocity = position, velocity
        self._joint_states.publish(message)

    def _publish_objects(self, stamp, now_s):
        seen, true = Detection3DArray(), Detection3DArray()
        touching = {}
        for name in self._world.objects:
            pose = self._world.object_pose(name)
            true.detections.append(self._detection(name, pose, stamp))
            seen.detections.append(self._detection(name, self._noisy(pose), stamp))
            touching[name] = {other: round(depth_m, 6) for other, depth_m in self._world.contacts(name).items()}
        for message in (seen, true):
            message.header = message.detections[0].header
        self._object_poses.publish(seen)
        self._true_poses.publish(true)
        single = next((d for d in seen.detections if d.id == self._values["object.id"]), seen.detections[0])
        self._object_pose.publish(PoseStamped(header=single.header, pose=single.results[0].pose.pose))
        inspected = {"time_s": round(now_s, 4), "contacts": touching, **self._world.hand_state()}
        self._inspection.publish(String(data=json.dumps(inspected)))

    def _detection(self, name, pose, stamp):
        detection = Detection3D(id=name)
        detection.header.stamp, detection.header.frame_id = stamp, self._frame
        found = ObjectHypothesisWithPose()
        found.hypothesis.class_id, found.hypothesis.score = name, 1.0
        p, q = found.pose.pose.position, found.pose.pose.orientation
        p.x, p.y, p.z = map(float, pose.position_m)
        q.w, q.x, q.y, q.z = map(float, pose.quaternion_wxyz)
        detection.results = [found]
        return detection

    def _noisy(self, pose):
        position_m, rotation_rad = self._values["pose_noise_position_m"], self._values["pose_noise_rotation_rad"]
        if position_m <= 0.0 and rotation_rad <= 0.0:
            return pose
        moved = np.array(pose.position_m) + self._random.normal(0.0, position_m, 3)
        turned = model.turned(pose.quaternion_wxyz, self._random.normal(0.0, rotation_rad, 3))
        return model.Pose(tuple(moved), tuple(turned))
