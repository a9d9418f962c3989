"""The loop with physics: planner and MuJoCo under the clock of the simulation, which is slow, stops, and is set back.

scripts/physics_loop.py does the same in many scenes; this is one mug and a shelf."""

import json
import math
import sys
import time

import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from conftest import PATIENCE_S, PROJECT, Program, wait_for
from control_msgs.action import FollowJointTrajectory, GripperCommand
from control_msgs.msg import JointTolerance
from diffusion_field_planner.action import PlanGraspMotion
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from robot_cell import BASE, JOINTS, READY, Cell, PlannerNode, goal, with_flags
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from vision_msgs.msg import Detection3DArray

sys.path.append(str(PROJECT / "scripts"))
from physics_environment import make_importable

Result, Feedback = PlanGraspMotion.Result, PlanGraspMotion.Feedback
Followed = FollowJointTrajectory.Result
MUG = PROJECT / "meshes/mug.obj"
SCENE = PROJECT / "config/demo_shelf_scene.yaml"
SIM = "/mujoco_sim"
# What counts as held and as placed, and how closely the servos follow.
HELD_S, PLACED_M, PLACED_DEG = 2.0, 0.02, 10.0
FOLLOWED_RAD = 0.004
GRIPPER_TIMEOUT_S = 2.0
SHELF_M = (0.6, 0.25, 0.25)


class MujocoSim(Program):
    def __init__(self, *extra):
        arguments = [
            f"robot.urdf_file:={PROJECT}/urdf/panda.urdf",
            f"robot.settings_file:={PROJECT}/config/panda.yaml",
            f"start.position:={READY}",
            f"scene.file:={SCENE}",
            f"object.mesh_file:={MUG}",
            "object.id:=mug",
            "object.pose:=[0.45, -0.25, 0.001, 0.0, 0.0, -0.8]",
            *extra,
        ]
        super().__init__("mujoco_sim", "--ros-args", *with_flags(arguments))

    def command(self, name):
        # The first time MuJoCo is downloaded, which no test waits for.
        make_importable()
        return [sys.executable, PROJECT / f"scripts/{name}.py"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    objects = tmp_path_factory.mktemp("mug") / "objects.yaml"
    objects.write_text(json.dumps({"objects": {"mug": {"mesh": str(MUG)}}}))
    sim = MujocoSim()
    node = PlannerNode(
        "objects.default_id:=mug",
        f"objects.file:={objects}",
        f"scene.file:={SCENE}",
        f"robot.urdf_file:={PROJECT}/urdf/panda.urdf",
        f"planning.model_file:={PROJECT}/models/grasp_field.safetensors",
        "use_sim_time:=true",
        # Seconds that a slow or stopped simulation makes a motion late.
        "controller.goal_time_tolerance:=20.0",
        f"gripper.timeout:={GRIPPER_TIMEOUT_S}",
    )
    yield sim, node
    assert node.stop() == 0
    assert sim.stop() == 0


class PhysicsCell(Cell):
    """The cell with physics: time, the truth, and what changes time."""

    def __init__(self, peer):
        super().__init__(peer, "mujoco_sim")
        self.now_s = 0.0
        # Stamp and pose of the mug as it really is.
        self.true = []
        self.states = []
        peer.create_subscription(Clock, "/clock", self._on_clock, 10)
        peer.create_subscription(Detection3DArray, SIM + "/true_object_poses", self._on_true, 10)
        peer.create_subscription(JointState, "joint_states", self.states.append, 100)
        self.commands = peer.create_publisher(JointTrajectory, "arm_controller/joint_trajectory", 10)
        self.arm_action = ActionClient(peer, FollowJointTrajectory, "arm_controller/follow_joint_trajectory")
        self.gripper_action = ActionClient(peer, GripperCommand, "gripper_controller/gripper_cmd")

    def _on_clock(self, message):
        self.now_s = message.clock.sec + 1e-9 * message.clock.nanosec

    def _on_true(self, message):
        stamp = message.header.stamp
        self.true.append((stamp.sec + 1e-9 * stamp.nanosec, message.detections[0].results[0].pose.pose))

    def trigger(self, name):
        assert self.peer.call(Trigger, f"{SIM}/{name}", Trigger.Request()).success

    def pause(self, paused):
        assert self.peer.call(SetBool, f"{SIM}/pause", SetBool.Request(data=paused)).success

    def set_speed(self, factor):
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=factor)
        request = SetParameters.Request(parameters=[Parameter(name="real_time_factor", value=value)])
        assert self.peer.call(SetParameters, SIM + "/set_parameters", request).results[0].successful

    def follow(self, trajectory, path=0.0, at_goal=0.0, late_s=0.0):
        """The handle of a goal of the controller's action; one tolerance for all joints."""
        request = FollowJointTrajectory.Goal(trajectory=trajectory)
        request.path_tolerance = [JointTolerance(name=name, position=path) for name in JOINTS]
        request.goal_tolerance = [JointTolerance(name=name, position=at_goal) for name in JOINTS]
        request.goal_time_tolerance = duration(late_s)
        self.errors = []
        keep = lambda m: self.errors.append(max(map(abs, m.feedback.error.positions)))
        return self.peer.ask(lambda: self.arm_action.send_goal_async(request, feedback_callback=keep), "the controller's answer")

    def stage(self, handle):
        """The stage that the planner last told of a goal."""
        told = self.seen(handle)
        return told[-1][1].stage if told else None

    def squeeze(self, position, effort):
        """Status and result of a gripper command."""
        command = GripperCommand.Goal()
        command.command.position, command.command.max_effort = position, effort
        return self.result(self.peer.ask(lambda: self.gripper_action.send_goal_async(command), "the gripper's answer"))

    def watch(self, duration_s):
        """True poses of the mug over a time of the simulation."""
        start_s = self.now_s
        wait_for(lambda: self.now_s > start_s + duration_s, "simulated time to pass")
        return [pose for stamp_s, pose in self.true if stamp_s >= start_s]


@pytest.fixture
def cell(programs, peer):
    cell = PhysicsCell(peer)
    # The test before may have left it stopped: there are no joint states then.
    cell.pause(False)
    cell.set_speed(1.0)
    cell.wait_ready()
    for client in (cell.arm_action, cell.gripper_action):
        assert client.wait_for_server(PATIENCE_S)
    cell.trigger("reset")
    cell.true.clear()
    # Longer than a joint state counts as new: the node must not plan from where the arm was.
    cell.watch(0.5)
    wait_for(lambda: math.dist(cell.arm(), READY) < 1e-3 and cell.true, "the start")
    return cell


def duration(seconds):
    return Duration(sec=int(seconds), nanosec=round(1e9 * (seconds % 1)))


def trajectory(*points):
    """Points are (time, offset of every joint from READY), at rest at the end."""
    message = JointTrajectory(joint_names=list(JOINTS))
    for at, offset in points:
        message.points.append(JointTrajectoryPoint(positions=[p + offset for p in READY], time_from_start=duration(at)))
        message.points[-1].velocities = [0.0] * 7
    return message


def test_time_runs_as_told_and_stops(cell):
    def passed(wall_s):
        start_s = cell.now_s
        time.sleep(wall_s)
        return cell.now_s - start_s

    # A loaded machine is slower than told, never faster.
    assert 0.5 < passed(1.0) < 1.2
    cell.set_speed(0.25)
    assert 0.1 < passed(1.0) < 0.4
    cell.pause(True)
    passed(0.1)
    assert passed(0.3) == 0.0
    stamp = cell.states[-1].header.stamp
    assert abs(stamp.sec + 1e-9 * stamp.nanosec - cell.now_s) < 0.05


def test_the_servos_follow_a_trajectory_within_a_few_milliradians(cell):
    handle = cell.follow(trajectory((0.0, 0.0), (1.0, 0.3)), path=FOLLOWED_RAD, at_goal=FOLLOWED_RAD, late_s=0.5)
    status, result = cell.result(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, Followed.SUCCESSFUL), result.error_string
    assert cell.errors and max(cell.errors) < FOLLOWED_RAD
    wait_for(lambda: max(abs(a - p - 0.3) for a, p in zip(cell.arm(), READY)) < FOLLOWED_RAD, "arrival")


@pytest.mark.parametrize(
    "tolerances, code, words",
    [
        (dict(path=1e-6), Followed.PATH_TOLERANCE_VIOLATED, "Aborted due to path tolerance violation"),
        (dict(at_goal=1e-9, late_s=0.3), Followed.GOAL_TOLERANCE_VIOLATED, "Aborted due to goal_time_tolerance exceeding by"),
    ],
)
def test_a_goal_beyond_its_tolerances_aborts_and_the_arm_holds(cell, tolerances, code, words):
    status, result = cell.result(cell.follow(trajectory((0.6, 0.2)), **tolerances))
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, code)
    assert words in result.error_string
    cell.watch(0.4)
    assert max(map(abs, cell.states[-1].velocity[:7])) < 1e-3


def test_a_cancelled_goal_holds_and_a_new_one_takes_over(cell):
    handle = cell.follow(trajectory((3.0, 0.5)))
    wait_for(lambda: cell.arm()[0] > 0.1, "motion")
    newer = cell.follow(trajectory((3.0, 0.5)))
    status, result = cell.result(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Followed.INVALID_GOAL)
    cell.watch(0.2)
    cell.peer.ask(newer.cancel_goal_async, "the answer to a cancel request")
    status, _ = cell.result(newer)
    assert status == GoalStatus.STATUS_CANCELED
    cell.watch(0.3)
    assert max(map(abs, cell.states[-1].velocity[:7])) < 1e-3 and cell.arm()[0] < 0.45


def test_what_the_controller_would_refuse_is_refused(cell):
    bad = trajectory((1.0, 0.2))
    bad.joint_names[3] = "elbow"
    assert not cell.follow(bad).accepted
    backwards = trajectory((1.0, 0.2), (0.5, 0.2))
    rejected = cell.counts["rejected"]
    cell.commands.publish(backwards)
    wait_for(lambda: cell.counts["rejected"] == rejected + 1, "rejection")
    jump = trajectory((0.0, 0.4), (1.0, 0.5))
    assert not cell.follow(jump).accepted
    assert math.dist(cell.arm(), READY) < 2e-3


def test_the_fingers_close_on_nothing(cell):
    status, result = cell.squeeze(0.0, 20.0)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.reached_goal and not result.stalled and result.position < 1e-3


def test_the_mug_is_lifted_and_held_under_a_slow_clock(cell):
    cell.set_speed(0.7)
    before = cell.watch(0.2)[-1]
    handle = cell.send(pick())
    wait_for(lambda: cell.stage(handle) == Feedback.EXECUTE, "motion", 2 * PATIENCE_S)
    wait_for(lambda: cell.stage(handle) == Feedback.GRIPPER, "the fingers to close", 2 * PATIENCE_S)
    # They need longer than gripper.timeout by the machine's clock, and less by the simulation's.
    cell.set_speed(0.1)
    closing_s = time.monotonic()
    wait_for(lambda: cell.stage(handle) != Feedback.GRIPPER, "the fingers to hold", 2 * PATIENCE_S)
    assert time.monotonic() - closing_s > GRIPPER_TIMEOUT_S
    cell.set_speed(0.7)
    _, result = cell.result(handle)
    assert result.error_code == Result.NONE, result.error_msg
    cell.set_speed(1.0)
    lifted_m = [pose.position.z - before.position.z for pose in cell.watch(HELD_S)]
    assert min(lifted_m) > 0.05, lifted_m
    # It holds by force, and says so.
    _, held = cell.squeeze(0.0, 15.0)
    assert held.stalled and not held.reached_goal and held.effort == pytest.approx(15.0, abs=1.0)
    assert 0.001 < held.position < 0.039


def test_cancel_in_motion_holds_the_arm(cell):
    handle = cell.send(pick(velocity_scaling=0.2, acceleration_scaling=0.2))
    wait_for(lambda: math.dist(cell.arm(), READY) > 0.1, "motion", 2 * PATIENCE_S)
    cell.peer.ask(handle.cancel_goal_async, "the answer to a cancel request")
    status, result = cell.result(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_CANCELED, Result.CANCELED)
    cell.watch(0.3)
    stopped = cell.arm()
    cell.watch(0.5)
    assert math.dist(cell.arm(), stopped) < 1e-3


def test_the_mug_is_put_into_a_shelf_while_the_clock_is_set_back_and_stops(cell):
    cell.watch(0.1)
    cell.trigger("reset_clock")
    wait_for(lambda: 0.2 < cell.now_s < 5.0, "the clock from 0")
    wanted = place_in_shelf()
    handle = cell.send(pick(place_pose=wanted, velocity_scaling=0.6, acceleration_scaling=0.6))
    wait_for(lambda: math.dist(cell.arm(), READY) > 0.1, "motion", 2 * PATIENCE_S)
    cell.pause(True)
    time.sleep(1.0)
    cell.pause(False)
    _, result = cell.result(handle)
    assert result.error_code == Result.NONE, result.error_msg
    pose = cell.watch(HELD_S)[-1]
    off_m, off_deg = off(pose, wanted.pose)
    assert off_m < PLACED_M and off_deg < PLACED_DEG, (off_m, off_deg)


def test_the_document_has_every_parameter():
    from physics_sim.parameters import PARAMETERS

    text = (PROJECT / "docs/INTERFACE.md").read_text()
    missing = [name for name, _, description in PARAMETERS if not (f"| `{name}` |" in text and description in text)]
    assert not missing


def pick(**fields):
    """The goal, with the field's own grasps."""
    whole = dict(object_id="mug", grasps=[], use_gripper=True, plan_only=False, velocity_scaling=0.6, acceleration_scaling=0.6)
    return goal(**{**whole, **fields})


def place_in_shelf():
    message = PoseStamped()
    message.header.frame_id = BASE
    p = message.pose.position
    p.x, p.y, p.z = SHELF_M[0], SHELF_M[1], SHELF_M[2] + 1e-3
    message.pose.orientation.w = 1.0
    return message


def off(pose, wanted):
    """Distance of two poses: m, deg."""
    p, w = pose.position, wanted.position
    q, v = pose.orientation, wanted.orientation
    cosine = min(1.0, abs(q.x * v.x + q.y * v.y + q.z * v.z + q.w * v.w))
    return math.dist((p.x, p.y, p.z), (w.x, w.y, w.z)), math.degrees(2.0 * math.acos(cosine))
