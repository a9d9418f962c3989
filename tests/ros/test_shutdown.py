"""How planner_node ends: with a goal in work, by a signal."""

import signal

import pytest
from action_msgs.msg import GoalStatus
from conftest import wait_for
from robot_cell import READY, Cell, PlannerNode, SimArm, running, wait_still, write_can, write_scene


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_execution_stops_the_arm_and_ends_cleanly(peer, tmp_path, sig):
    arm = SimArm(write_can(tmp_path))
    node = PlannerNode(f"scene.file:={write_scene(tmp_path)}")
    try:
        cell = Cell(peer)
        cell.wait_ready()
        handle = running(cell)
        future = peer.start(handle.get_result_async)
        wait_for(lambda: cell.arm() != READY, "motion")
        assert node.stop(sig) == 0
        answer = peer.done(future, "the result of the goal that was interrupted")
        assert answer.status == GoalStatus.STATUS_ABORTED and "shutting down" in answer.result.error_msg
        wait_still(cell)
    finally:
        node.stop()
        arm.stop()
