"""Both ways to the simulated arm, controller.mode topic and action: picks, an arm that is held back, cancel, preemption."""

import time

import pytest
from action_msgs.msg import GoalStatus
from conftest import wait_for
from diffusion_field_planner.action import PlanGraspMotion
from robot_cell import READY, at_start, goal, programs_with, running, wait_still
from std_srvs.srv import SetBool, Trigger

Result = PlanGraspMotion.Result
CANCELED, ABORTED, SUCCEEDED = GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED, GoalStatus.STATUS_SUCCEEDED
FAST = dict(plan_only=False, velocity_scaling=1.0, acceleration_scaling=1.0)


programs = programs_with("controller.mode:=action")


@pytest.fixture(params=["action", "topic"])
def cell(programs, peer, request):
    cell = at_start(peer)
    assert cell.set_parameter("controller.mode", request.param) == (True, "")
    cell.mode = request.param
    return cell


def test_a_pick_in_either_mode(cell):
    before = cell.can_z
    status, result = cell.run(goal(use_gripper=True, **FAST))
    assert (status, result.error_code) == (SUCCEEDED, Result.NONE), result.error_msg
    wait_for(lambda: cell.can_z > before + 0.08, f"the lifted can, at {cell.can_z}")
    assert (len(cell.trajectories) == 0) == (cell.mode == "action"), "one way at a time"


def test_an_arm_that_is_held_back_stops_the_motion(cell):
    block = lambda held: cell.peer.call(SetBool, "/sim_arm/block", SetBool.Request(data=held))
    handle = running(cell)
    wait_for(lambda: cell.arm() != READY, "motion")
    assert block(True).success
    start = time.monotonic()
    status, result = cell.result(handle)
    assert (status, result.error_code) == (ABORTED, Result.EXECUTION_FAILED), result.error_msg
    words = {"action": "PATH_TOLERANCE_VIOLATED", "topic": "controller.path_tolerance"}[cell.mode]
    assert words in result.error_msg or "controller.path_tolerance" in result.error_msg
    assert "panda_joint" in result.error_msg and time.monotonic() - start < 20
    stuck = cell.arm()
    assert block(False).success
    wait_still(cell)
    assert cell.arm() == pytest.approx(stuck, abs=1e-6), "the arm stays where it was let go"


def test_mode_none_plans_only(cell):
    assert cell.set_parameter("controller.mode", "none")[0]
    accepted = cell.counts["accepted"]
    status, result = cell.run(goal(**FAST))
    assert (status, result.error_code) == (SUCCEEDED, Result.NONE) and result.trajectory.points
    assert cell.peer.call(Trigger, cell.NODE + "/stop", Trigger.Request()).success
    time.sleep(0.3)
    assert cell.arm() == READY and cell.counts["accepted"] == accepted


def test_cancel_and_preemption_hold_the_arm(cell):
    first = running(cell)
    wait_for(lambda: cell.arm() != READY, "motion")
    second = running(cell)
    assert cell.result(first)[1].error_code == Result.PREEMPTED
    cell.peer.ask(second.cancel_goal_async, "the answer to the cancel request")
    assert cell.result(second)[0] == CANCELED
    wait_still(cell)
