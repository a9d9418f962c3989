"""controller.mode action, control_msgs/FollowJointTrajectory: the test plays the controller and its arm."""

import random
import time

import pytest
from action_msgs.msg import GoalStatus
from action_peers import Controller
from conftest import Peer, wait_for
from diffusion_field_planner.action import PlanGraspMotion
from lone_node import URDF, LoneNode
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from robot_cell import JOINTS, READY, Cell, goal, seconds, stamped
from std_srvs.srv import Trigger

Result = PlanGraspMotion.Result
CANCELED = GoalStatus.STATUS_CANCELED
FAST = dict(plan_only=False, velocity_scaling=1.0, acceleration_scaling=1.0)
SLOW = dict(plan_only=False, velocity_scaling=0.1, acceleration_scaling=0.1)


class Robot:
    """A planner in action mode and the controller that the test plays."""

    def __init__(self):
        self.peer = Peer(f"robot_{random.getrandbits(32):08x}")
        self.controller = Controller()
        self.planner = LoneNode(self.peer, URDF, "controller.mode:=action", "controller.goal_time_tolerance:=0.5")
        self.timer = self.planner.keep_publishing(positions=lambda: self.controller.positions)

    def prepare(self, behaviour="follow", **parameters):
        """A controller that stands at the start and behaves as told."""
        if self.controller.server is None:
            self.controller.start()
        self.controller.behaviour = behaviour
        self.controller.positions = list(READY)
        self.controller.goals.clear()
        self.controller.ends.clear()
        self.timer.reset()
        self.set_tolerance(parameters.get("path_tolerance", 0.1))
        time.sleep(0.1)

    def set_tolerance(self, value):
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
        request = SetParameters.Request(parameters=[Parameter(name="controller.path_tolerance", value=value)])
        assert self.peer.call(SetParameters, Cell.NODE + "/set_parameters", request).results[0].successful

    def begin(self, **fields):
        """A slow goal that moves already."""
        handle = self.planner.send(**{**SLOW, **fields})
        wait_for(lambda: self.controller.positions != READY, "motion")
        return handle

    def close(self):
        self.planner.close()
        self.controller.close()
        self.peer.close()


@pytest.fixture(scope="module")
def robot():
    robot = Robot()
    yield robot
    robot.close()


def test_no_controller_and_a_start_that_moved_away_before_sending(robot):
    result = robot.planner.run(**FAST)
    assert result.error_code == Result.CONTROLLER_UNAVAILABLE, result.error_msg
    assert Controller.NAME in result.error_msg and "not there" in result.error_msg
    assert result.moveit_error_code == -25 and result.trajectory.points

    # It comes while the planner looks for it, and the arm is no longer where the plan begins.
    feedback = []
    message = goal(**FAST, object_pose=stamped())
    on_feedback = lambda m: feedback.append(m.feedback.stage)
    handle = robot.peer.ask(lambda: robot.planner.client.send_goal_async(message, on_feedback), "the answer to a goal")
    wait_for(lambda: feedback and feedback[-1] >= PlanGraspMotion.Feedback.OPTIMISE, "planning")
    time.sleep(0.5)
    robot.controller.positions = [READY[0] + 0.1] + READY[1:]
    time.sleep(0.3)
    robot.controller.start()
    result = robot.planner.result(handle)
    assert result.error_code == Result.SCENE_CHANGED and "'panda_joint1'" in result.error_msg, result.error_msg
    assert not robot.controller.goals


def test_the_controller_gets_tolerances_and_the_goal_ends_at_the_grasp(robot):
    robot.prepare()
    result = robot.planner.run(**FAST)
    assert result.error_code == Result.NONE, result.error_msg
    (sent,) = robot.controller.goals
    assert list(sent.trajectory.joint_names) == JOINTS and sent.trajectory.header.stamp.sec == 0
    assert [(t.name, t.position) for t in sent.path_tolerance] == [(name, 0.1) for name in JOINTS]
    assert [(t.name, t.position) for t in sent.goal_tolerance] == [(name, 0.02) for name in JOINTS]
    assert seconds(sent.goal_time_tolerance) == 0.5
    assert result.grasp_position_error >= 0


def test_a_rejecting_controller_is_named(robot):
    robot.prepare("reject")
    result = robot.planner.run(**FAST)
    assert result.error_code == Result.CONTROLLER_REJECTED and "rejected" in result.error_msg
    assert result.moveit_error_code == -4


def test_the_controllers_code_and_words_come_through(robot):
    robot.prepare("abort")
    result = robot.planner.run(**FAST)
    assert result.error_code == Result.EXECUTION_FAILED
    assert "-4 (PATH_TOLERANCE_VIOLATED): elbow is stuck" in result.error_msg


def test_success_without_arrival_is_not_believed(robot):
    robot.prepare("lie", path_tolerance=0.0)
    result = robot.planner.run(**FAST)
    assert result.error_code == Result.EXECUTION_FAILED and "reports success, but joint" in result.error_msg
    assert not robot.controller.goals[0].path_tolerance, "the controller's own holds"


def test_a_controller_that_never_ends_is_given_up_and_cancelled(robot):
    robot.prepare("hang")
    result = robot.planner.run(**FAST)
    assert result.error_code == Result.EXECUTION_FAILED and "has not ended its goal" in result.error_msg
    wait_for(lambda: robot.controller.ends == ["canceled"], "the end of the controller's goal")


def test_cancelling_our_goal_cancels_the_controllers(robot):
    robot.prepare()
    handle = robot.begin()
    start = time.monotonic()
    robot.peer.ask(handle.cancel_goal_async, "the answer to the cancel request")
    answer = robot.peer.ask(handle.get_result_async, "a result")
    finished = time.monotonic() - start
    assert (answer.status, answer.result.error_code) == (CANCELED, Result.CANCELED)
    wait_for(lambda: robot.controller.ends == ["canceled"], "the end of the controller's goal")
    # Half a second is promised; the rest is what a loaded machine may add.
    assert finished < 1.5, f"{finished:.2f} s"


def test_stop_cancels_the_controllers_goals(robot):
    robot.prepare()
    handle = robot.begin()
    assert robot.peer.call(Trigger, Cell.NODE + "/stop", Trigger.Request()).success
    assert "~/stop" in robot.planner.result(handle).error_msg
    wait_for(lambda: robot.controller.ends == ["canceled"], "the end of the controller's goal")


def fails_in_motion(robot, end, words):
    """Begins a motion, ends something that it needs, and expects to be told in time."""
    robot.prepare()
    handle = robot.begin()
    end()
    start = time.monotonic()
    result = robot.planner.result(handle)
    assert result.error_code == Result.EXECUTION_FAILED and words in result.error_msg, result.error_msg
    assert time.monotonic() - start < 5


def test_joint_states_that_stop_end_the_motion(robot):
    fails_in_motion(robot, lambda: robot.timer.cancel(), "during execution")
    wait_for(lambda: robot.controller.ends == ["canceled"], "the end of the controller's goal")


def test_a_controller_that_vanishes_in_the_middle_is_noticed(robot):
    fails_in_motion(robot, robot.controller.die, "has gone")
