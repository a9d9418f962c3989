"""The simulated arm by itself: its clock, the rules of its controller, its gripper."""

import time

import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from conftest import PATIENCE_S, wait_for
from control_msgs.action import FollowJointTrajectory, GripperCommand
from rclpy.action import ActionClient
from robot_cell import JOINTS, LATCHED, READY, Cell, SimArm, wait_still, write_can
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    program = SimArm(write_can(tmp_path_factory.mktemp("can")))
    yield program
    assert program.stop() == 0


@pytest.fixture
def cell(arm, peer):
    cell = Cell(peer)
    cell.rejections = []
    peer.create_subscription(String, "/sim_arm/last_rejection", lambda m: cell.rejections.append(m.data), LATCHED)
    cell.commands = peer.publisher(JointTrajectory, "arm_controller/joint_trajectory")
    peer.call(Trigger, "/sim_arm/reset", Trigger.Request())
    wait_for(lambda: None not in cell.arm() and None not in cell.counts.values(), "the simulated arm")
    wait_for(lambda: cell.arm() == READY, "the start position")
    return cell


def trajectory(*points):
    """Points are (time, offset of every joint from READY, velocity or None)."""
    message = JointTrajectory(joint_names=list(JOINTS))
    for at, offset, velocity in points:
        point = JointTrajectoryPoint(positions=[p + offset for p in READY])
        if velocity is not None:
            point.velocities = [velocity] * 7
        point.time_from_start = Duration(sec=int(at), nanosec=int(round(1e9 * (at % 1))))
        message.points.append(point)
    return message


def test_joint_states_come_at_200_hz_with_the_fingers(cell):
    messages = []
    cell.peer.create_subscription(JointState, "joint_states", messages.append, 100)
    time.sleep(1.0)
    start, n = time.monotonic(), len(messages)
    time.sleep(2.0)
    rate = (len(messages) - n) / (time.monotonic() - start)
    # 200 Hz on an idle machine; timers of a loaded one skip beats.
    assert 100 < rate < 210, rate
    assert messages[-1].name == JOINTS + ["panda_finger_joint1", "panda_finger_joint2"]
    stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in messages]
    assert stamps == sorted(stamps) and abs(stamps[-1] - time.time()) < 5


def test_it_follows_a_trajectory_and_stops(cell):
    accepted = cell.counts["accepted"]
    cell.commands.publish(trajectory((0.0, 0.0, 0.0), (0.5, 0.05, 0.1), (1.0, 0.1, 0.0)))
    wait_for(lambda: cell.counts["accepted"] == accepted + 1, "acceptance")
    goal = [p + 0.1 for p in READY]
    wait_for(lambda: max(abs(a - b) for a, b in zip(cell.arm(), goal)) < 1e-6, "arrival")


def test_joints_in_another_order_and_replacement(cell):
    message = trajectory((2.0, 0.2, 0.0))
    message.joint_names = JOINTS[::-1]
    for point in message.points:
        point.positions = point.positions[::-1]
    cell.commands.publish(message)
    wait_for(lambda: cell.arm()[0] > 0.02, "motion")
    cell.commands.publish(trajectory((0.7, 0.0, 0.0)))
    wait_for(lambda: max(abs(a - b) for a, b in zip(cell.arm(), READY)) < 1e-6, "the way back")


def wrong_name(message):
    message.joint_names[3] = "elbow"


def missing_name(message):
    message.joint_names = message.joint_names[:6]


def no_points(message):
    message.points = []


def equal_times(message):
    message.points[1].time_from_start = message.points[0].time_from_start


def end_velocity(message):
    message.points[-1].velocities = [0.0] * 6 + [0.1]


def short_positions(message):
    message.points[0].positions = message.points[0].positions[:5]


def short_velocities(message):
    message.points[0].velocities = [0.0] * 3


def not_a_number(message):
    message.points[1].positions[2] = float("nan")


def in_the_past(message):
    message.header.stamp.sec = int(time.time()) - 100


def jump(message):
    for point in message.points:
        point.positions = [p + 0.5 for p in point.positions]


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (wrong_name, "panda_joint4"),
        (missing_name, "are not the controller's joints"),
        (no_points, "no points"),
        (equal_times, "not later than the one before"),
        (end_velocity, "joint 'panda_joint7' ends with velocity 0.1"),
        (short_positions, "positions has 5 values for 7 joints"),
        (short_velocities, "velocities has 3 values for 7 joints"),
        (not_a_number, "joint 'panda_joint3' is NaN"),
        (in_the_past, "in the past"),
        (jump, "the trajectory starts at"),
    ],
)
def test_the_controller_rejects(cell, spoil, reason):
    rejected, accepted = cell.counts["rejected"], cell.counts["accepted"]
    message = trajectory((0.0, 0.0, 0.0), (0.5, 0.05, 0.1), (1.0, 0.1, 0.0))
    spoil(message)
    cell.commands.publish(message)
    wait_for(lambda: cell.counts["rejected"] == rejected + 1, "rejection")
    wait_for(lambda: cell.rejections and reason in cell.rejections[-1], f"the reason, got {cell.rejections[-1:]}")
    assert cell.counts["accepted"] == accepted
    time.sleep(0.3)
    assert cell.arm() == READY, "a rejected trajectory moves nothing"


def known_client(cell, action_type, name):
    """A client that the arm has found too, or its answers would be lost: discovery goes both ways and in order."""
    client = ActionClient(cell.peer, action_type, name)
    assert client.wait_for_server(PATIENCE_S)
    assert cell.peer.call(Trigger, "/sim_arm/reset", Trigger.Request()).success
    return client


def test_the_controllers_action_succeeds_rejects_yields_and_holds(cell):
    client = known_client(cell, FollowJointTrajectory, "arm_controller/follow_joint_trajectory")
    feedback = []

    def send(*points, on_feedback=None):
        goal = FollowJointTrajectory.Goal(trajectory=trajectory(*points))
        return cell.peer.ask(lambda: client.send_goal_async(goal, on_feedback), "the controller's answer")

    def result(handle):
        answer = cell.peer.ask(handle.get_result_async, "the controller's result")
        return answer.status, answer.result.error_code

    done = send((0.0, 0.0, 0.0), (0.5, 0.05, 0.1), (1.0, 0.1, 0.0), on_feedback=feedback.append)
    assert result(done) == (GoalStatus.STATUS_SUCCEEDED, FollowJointTrajectory.Result.SUCCESSFUL)
    # The joint states are another topic: the last one may come after the result.
    wait_for(lambda: cell.arm() == pytest.approx([p + 0.1 for p in READY], abs=1e-6), "arrival")
    assert feedback[-1].feedback.joint_names == JOINTS and max(map(abs, feedback[-1].feedback.error.positions)) < 1e-9
    assert not send((1.0, 0.1, 0.1)).accepted, "it would not end at rest"
    jumped = send((0.0, 0.5, 0.0), (1.0, 0.6, 0.0))
    assert result(jumped) == (GoalStatus.STATUS_ABORTED, FollowJointTrajectory.Result.INVALID_GOAL)
    first = send((5.0, 0.0, 0.0))
    second = send((5.0, 0.0, 0.0))
    assert result(first) == (GoalStatus.STATUS_ABORTED, FollowJointTrajectory.Result.INVALID_GOAL)
    cell.commands.publish(trajectory((5.0, 0.0, 0.0)))
    assert result(second)[0] == GoalStatus.STATUS_ABORTED, "the topic takes over too"
    third = send((5.0, 0.0, 0.0))
    cell.peer.ask(third.cancel_goal_async, "the answer to the cancel request")
    assert result(third)[0] == GoalStatus.STATUS_CANCELED
    wait_still(cell)
    assert cell.arm()[0] > READY[0] + 0.01, "it holds on the way"


def test_the_gripper_closes_on_nothing_and_opens(cell):
    client = known_client(cell, GripperCommand, "gripper_controller/gripper_cmd")

    def move(position):
        goal = GripperCommand.Goal()
        goal.command.position = position
        handle = cell.peer.ask(lambda: client.send_goal_async(goal), "the gripper's answer")
        assert handle.accepted
        return cell.peer.ask(handle.get_result_async, "the gripper's result").result

    closed = move(0.0)
    assert closed.reached_goal and not closed.stalled and closed.position == 0.0
    wait_for(lambda: cell.joints["panda_finger_joint1"] < 1e-6, "closed fingers")
    opened = move(0.04)
    assert opened.reached_goal and abs(opened.position - 0.04) < 1e-6
    wait_for(lambda: abs(cell.joints["panda_finger_joint2"] - 0.04) < 1e-6, "open fingers")
    goal = GripperCommand.Goal()
    goal.command.position = float("nan")
    assert not cell.peer.ask(lambda: client.send_goal_async(goal), "the gripper's answer").accepted
