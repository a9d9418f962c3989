"""Goals that cannot work: a typed error with code and message that names the thing, the value and the limit; nothing
moves, and the node lives on."""

import pytest
from action_msgs.msg import GoalStatus
from conftest import wait_for
from diffusion_field_planner.action import PlanGraspMotion
from robot_cell import (
    JOINTS,
    READY,
    Cell,
    from_above,
    goal,
    grasps_from_above,
    programs_with,
    stamped,
)
from sensor_msgs.msg import JointState

ABORTED = GoalStatus.STATUS_ABORTED
Result = PlanGraspMotion.Result
NAN = float("nan")


programs = programs_with()


@pytest.fixture
def cell(programs, peer):
    cell = Cell(peer)
    cell.wait_ready()
    wait_for(lambda: cell.can_z is not None, "the can")
    return cell


def start_at(positions):
    return JointState(name=JOINTS, position=positions)


BAD_GOALS = {
    "unknown object": (dict(object_id="teapot", grasps=[]), Result.UNKNOWN_OBJECT, "'teapot'"),
    "object without a pose": (dict(object_id="teapot", grasps=[from_above(frame="")]), Result.UNKNOWN_OBJECT, "'teapot'"),
    "NaN position": (dict(object_pose=stamped(x=NAN)), Result.INVALID_REQUEST, "object_pose: position (nan, 0, 0)"),
    "non-unit quaternion": (dict(object_pose=stamped(qw=0.5)), Result.INVALID_REQUEST, "length 0.500000"),
    "zero quaternion": (dict(object_pose=stamped(qw=0.0)), Result.INVALID_REQUEST, "length 0.000000"),
    "bad grasp": (dict(grasps=[from_above(x=NAN)]), Result.INVALID_REQUEST, "grasps[0].grasp_pose"),
    "NaN scaling": (dict(velocity_scaling=NAN), Result.INVALID_REQUEST, "velocity_scaling is nan"),
    "scaling above one": (dict(acceleration_scaling=1.5), Result.INVALID_REQUEST, "acceleration_scaling is 1.5"),
    "negative time": (dict(allowed_planning_time=-1.0), Result.INVALID_REQUEST, "allowed_planning_time is -1"),
    "too many candidates": (dict(num_candidates=5000), Result.INVALID_REQUEST, "num_candidates is 5000"),
    "unknown link": (dict(goal_link="panda_tail"), Result.INVALID_LINK, "'panda_tail'"),
    "unknown frame": (dict(object_pose=stamped("moon")), Result.TF_ERROR, "'moon'"),
    "start lacks a joint": (
        dict(start_state=JointState(name=JOINTS[:6], position=READY[:6])),
        Result.INVALID_REQUEST,
        "'panda_joint7'",
    ),
    "start is NaN": (dict(start_state=start_at([NAN] + READY[1:])), Result.INVALID_REQUEST, "'panda_joint1'"),
    "start outside the limits": (
        dict(start_state=start_at([0.0, 3.0] + READY[2:])),
        Result.START_STATE_INVALID,
        "'panda_joint2'",
    ),
    "start in collision": (
        # The hand points down through the table.
        dict(start_state=start_at([0.0, 1.2, 0.0, -1.5, 0.0, 2.7, 0.785])),
        Result.START_IN_COLLISION,
        "table",
    ),
    "start given but to be executed": (
        dict(start_state=start_at(READY), plan_only=False),
        Result.INVALID_REQUEST,
        "plan_only",
    ),
    "out of reach": (dict(grasps=grasps_from_above(x=2.0)), Result.NO_IK_SOLUTION, "reach"),
    "below the table": (dict(grasps=grasps_from_above(z=0.09)), Result.GOAL_IN_COLLISION, "collision"),
    "place for something without a shape": (dict(place_pose=stamped()), Result.UNKNOWN_OBJECT, "'can'"),
    "place turned by nothing": (
        dict(place_pose=stamped(qw=0.0)),
        Result.INVALID_REQUEST,
        "place_pose: quaternion",
    ),
}


@pytest.mark.parametrize("fields, code, words", BAD_GOALS.values(), ids=BAD_GOALS.keys())
def test_a_bad_goal_is_named_and_moves_nothing(cell, programs, fields, code, words):
    published = len(cell.trajectories)
    status, result = cell.run(goal(**fields))
    assert (status, result.error_code) == (ABORTED, code), result.error_msg
    assert words.lower() in result.error_msg.lower()
    assert result.moveit_error_code < 0
    assert len(cell.trajectories) == published and cell.arm() == READY
    assert programs[1].alive()


def test_the_node_still_plans_after_all_that(cell):
    status, result = cell.run(goal())
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, Result.NONE), result.error_msg
