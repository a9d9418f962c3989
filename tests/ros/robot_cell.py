"""A simulated cell: sim_arm, planner_node, and what a test needs to talk to them."""

import math
import time
import uuid
from contextlib import contextmanager

import pytest
from conftest import PATIENCE_S, PROJECT, Program, wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.msg import GraspCandidate
from diffusion_field_planner.srv import ListObjects
from geometry_msgs.msg import Pose, PoseStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt32
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from unique_identifier_msgs.msg import UUID

BASE = "panda_link0"
JOINTS = [f"panda_joint{i}" for i in range(1, 8)]
READY = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]
# A can that stands on the table, and the height of the hand above it when it grasps from above.
CAN_RADIUS_M, CAN_HEIGHT_M = 0.03, 0.12
CAN_POSITION = (0.5, 0.0, 0.0)
HAND_ABOVE_CAN_M = CAN_HEIGHT_M - 0.03 + 0.112
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def write_can(folder):
    """A closed cylinder that stands on the origin, as an OBJ file in millimetres."""
    n = 32
    lines = []
    for z in (0.0, 1000 * CAN_HEIGHT_M):
        for i in range(n):
            angle = 2 * math.pi * i / n
            lines.append(f"v {1000 * CAN_RADIUS_M * math.cos(angle)} {1000 * CAN_RADIUS_M * math.sin(angle)} {z}")
    lines += ["v 0 0 0", f"v 0 0 {1000 * CAN_HEIGHT_M}"]
    for i in range(n):
        a, b = i + 1, (i + 1) % n + 1
        lines += [f"f {a} {b} {n + b}", f"f {a} {n + b} {n + a}", f"f {b} {a} {2 * n + 1}", f"f {n + a} {n + b} {2 * n + 2}"]
    path = folder / "can.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_scene(folder, extra=""):
    path = folder / "scene.yaml"
    path.write_text(
        "obstacles:\n"
        "  - {name: table, box: [0.6, 1.2, 0.04], pose: {position_m: [0.6, 0, -0.03]}}\n" + extra
    )
    return path


def from_above(yaw=0.0, x=CAN_POSITION[0], y=CAN_POSITION[1], z=HAND_ABOVE_CAN_M, frame=BASE):
    """A grasp candidate: the hand above (x, y), approaching downwards, fingers closing along the direction of yaw."""
    grasp = GraspCandidate(id=f"yaw {yaw:.2f}")
    grasp.grasp_pose.header.frame_id = frame
    pose = grasp.grasp_pose.pose
    pose.position.x, pose.position.y, pose.position.z = float(x), float(y), float(z)
    # Half a turn about x, then yaw about z.
    pose.orientation.x, pose.orientation.y = math.cos(yaw / 2), math.sin(yaw / 2)
    pose.orientation.w = 0.0
    return grasp


def grasps_from_above(**where):
    return [from_above(k * math.pi / 4, **where) for k in range(8)]


def pose_at(x, y, z):
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = float(x), float(y), float(z)
    pose.orientation.w = 1.0
    return pose


def stamped(frame=BASE, **pose):
    message = PoseStamped()
    message.header.frame_id = frame
    message.pose = pose_at(0.5, 0.0, 0.0)
    for name, value in pose.items():
        part = message.pose.orientation if name in ("qx", "qy", "qz", "qw") else message.pose.position
        setattr(part, name[-1], value)
    return message


class SimArm(Program):
    def __init__(self, can=None, *extra, position=CAN_POSITION):
        arguments = [
            f"robot.urdf_file:={PROJECT}/urdf/panda.urdf",
            f"robot.settings_file:={PROJECT}/config/panda.yaml",
            f"start.position:={READY}",
            "object.id:=can",
        ]
        if can:
            x, y, z = position
            arguments += [f"object.mesh_file:={can}", "object.mesh_scale:=0.001", f"object.pose:=[{x}, {y}, {z}, 0.0, 0.0, 0.0]"]
        super().__init__("sim_arm", "--ros-args", *with_flags([*arguments, *extra]))


class PlannerNode(Program):
    def __init__(self, *parameters):
        defaults = [
            f"robot.settings_file:={PROJECT}/config/panda.yaml",
            "objects.default_id:=can",
            "planning.time_limit:=10.0",
            "state.timeout:=5.0",
            # A loaded machine may hold a message back for longer than a robot's would.
            "state.max_age:=1.0",
            "objects.max_age:=2.0",
            "gripper.type:=gripper_command",
            # Not the objects of whoever runs the tests.
            "objects.folder:=no_such_folder",
        ]
        super().__init__("planner_node", "--ros-args", *with_flags([*defaults, *parameters]))


def with_flags(parameters):
    return [word for parameter in parameters for word in ("-p", parameter)]


@contextmanager
def started(folder, *parameters):
    """sim_arm and planner_node of a cell whose files go to a folder; both must end well."""
    arm = SimArm(write_can(folder))
    node = PlannerNode(f"scene.file:={write_scene(folder)}", *parameters)
    yield arm, node
    assert node.stop() == 0
    assert arm.stop() == 0


def programs_with(*parameters, knows_can=False):
    """A module's fixture: both programs of a cell, the node with these parameters and, on request, with the can's mesh."""

    @pytest.fixture(scope="module", name="programs")
    def programs(tmp_path_factory):
        folder = tmp_path_factory.mktemp("cell")
        (folder / "objects.yaml").write_text("objects: {can: {mesh: can.obj, scale: 0.001}}")
        objects = [f"objects.file:={folder}/objects.yaml"] if knows_can else []
        with started(folder, *objects, *parameters) as both:
            yield both

    return programs


class Cell:
    """What a test sees of the running cell."""

    NODE = "/diffusion_field_planner"

    def __init__(self, peer, arm="sim_arm"):
        """`arm`: name of the simulation's node."""
        self.peer = peer
        self.joints = {}
        self.can_z = None
        self.object_pose = None
        self.trajectories = []
        self.counts = {"accepted": None, "rejected": None}
        self.feedback = {}
        peer.create_subscription(JointState, "joint_states", self._on_joints, 10)
        peer.create_subscription(PoseStamped, "object_pose", self._on_can, 10)
        peer.create_subscription(JointTrajectory, "arm_controller/joint_trajectory", self.trajectories.append, 10)
        for kind in self.counts:
            peer.create_subscription(
                UInt32, f"/{arm}/{kind}_trajectories", lambda m, kind=kind: self.counts.update({kind: m.data}), LATCHED
            )
        self.client = ActionClient(peer, PlanGraspMotion, self.NODE + "/plan_grasp_motion")

    def _on_joints(self, message):
        self.joints.update(zip(message.name, message.position))

    def _on_can(self, message):
        self.object_pose = message.pose
        self.can_z = message.pose.position.z

    def arm(self):
        return [self.joints.get(name) for name in JOINTS]

    def wait_ready(self):
        assert self.client.wait_for_server(PATIENCE_S)
        # Both programs read the robot first, which takes an unoptimised build seconds.
        wait_for(lambda: None not in self.arm(), "joint states", 3 * PATIENCE_S)
        wait_for(lambda: None not in self.counts.values(), "the counts of the simulated arm")
        # Discovery goes both ways and in order: a server that answers this client has also found the older one's.
        self.peer.call(ListObjects, self.NODE + "/list_objects", ListObjects.Request())

    def send(self, goal):
        goal_id = UUID(uuid=list(uuid.uuid4().bytes))
        received = self.feedback.setdefault(bytes(goal_id.uuid), [])

        def on_feedback(message):
            received.append((time.monotonic(), message.feedback))

        send = lambda: self.client.send_goal_async(goal, feedback_callback=on_feedback, goal_uuid=goal_id)
        return self.peer.ask(send, "the answer to a goal")

    def result(self, handle, timeout=3 * PATIENCE_S):
        """Status and result of a goal."""
        answer = self.peer.ask(handle.get_result_async, "a result", timeout)
        return answer.status, answer.result

    def run(self, goal):
        handle = self.send(goal)
        assert handle.accepted
        return self.result(handle)

    def seen(self, handle):
        return self.feedback[bytes(handle.goal_id.uuid)]

    def set_parameter(self, name, value):
        """Sets a parameter of the planner and returns (successful, reason)."""
        kinds = {
            bool: ("bool_value", ParameterType.PARAMETER_BOOL),
            int: ("integer_value", ParameterType.PARAMETER_INTEGER),
            float: ("double_value", ParameterType.PARAMETER_DOUBLE),
            str: ("string_value", ParameterType.PARAMETER_STRING),
        }
        field, kind = kinds[type(value)]
        parameter = Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))
        request = SetParameters.Request(parameters=[parameter])
        result = self.peer.call(SetParameters, self.NODE + "/set_parameters", request).results[0]
        return result.successful, result.reason


def at_start(peer):
    """The running cell, with arm and can where they were at its start."""
    cell = Cell(peer)
    cell.wait_ready()
    jumps = cell.arm() != READY
    assert peer.call(Trigger, "/sim_arm/reset", Trigger.Request()).success
    wait_for(lambda: cell.arm() == READY and cell.can_z == 0.0, "the start position")
    if jumps:
        # Until the node has seen it too, it would plan from where the arm was.
        time.sleep(0.5)
    return cell


def goal(**fields):
    """A goal with grasps from above, planned only."""
    defaults = dict(
        object_id="can",
        grasps=grasps_from_above(),
        approach_distance=-1.0,
        lift_distance=-1.0,
        seed=1,
        plan_only=True,
        velocity_scaling=0.5,
        acceleration_scaling=0.5,
    )
    return PlanGraspMotion.Goal(**{**defaults, **fields})


def seconds(duration):
    return duration.sec + 1e-9 * duration.nanosec


def running(cell, stage=PlanGraspMotion.Feedback.EXECUTE, **fields):
    """A goal that is being executed, slowly."""
    handle = cell.send(goal(plan_only=False, velocity_scaling=0.1, acceleration_scaling=0.1, **fields))
    assert handle.accepted
    wait_for(lambda: any(f.stage == stage for _, f in cell.seen(handle)), f"stage {stage}")
    return handle


def wait_still(cell):
    def still():
        before = cell.arm()
        time.sleep(0.2)
        return cell.arm() == before

    wait_for(still, "the arm to stop")
