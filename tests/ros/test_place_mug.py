"""Pick and place over DDS: the mug is carried past the boxes, set down where it was asked for, and let go of."""

import math

import pytest
from conftest import wait_for
from diffusion_field_planner.action import PlanGraspMotion
from geometry_msgs.msg import PoseStamped
from pick_problems import MugCell, write_problems
from robot_cell import BASE

Result = PlanGraspMotion.Result
# The arm closes on the object and shifts it to the middle of the fingers, as on a table.
PLACED_M = 0.01


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    return next(iter(write_problems(tmp_path_factory.mktemp("problems"), 20).values()))


@pytest.fixture(scope="module")
def mug_cell(problems, tmp_path_factory):
    cell = MugCell(problems[0].mesh, tmp_path_factory.mktemp("place"))
    yield cell
    cell.stop()


@pytest.fixture
def cell(mug_cell, peer):
    mug_cell.connect(peer)
    return mug_cell


def place(problem, y_m):
    message = PoseStamped()
    message.header.frame_id = BASE
    p, start = message.pose.position, problem.world_from_object.position
    p.x, p.y, p.z = 0.5, y_m, start.z
    # A quarter turn about the vertical.
    message.pose.orientation.z = message.pose.orientation.w = math.sqrt(0.5)
    return message


@pytest.mark.parametrize("index", range(2))
def test_a_mug_is_carried_to_its_place(cell, problems, index):
    problem = problems[index]
    y_m = -math.copysign(0.4, problem.world_from_object.position.y)
    wanted = place(problem, y_m)
    result = cell.move(problem, wanted)
    assert result.error_code == Result.NONE, result.error_msg
    assert list(result.phase_names) == ["reach", "lift", "carry", "lower", "retreat"]
    assert cell.cell.counts["rejected"] == 0

    def off_m():
        p, w = cell.cell.object_pose.position, wanted.pose.position
        return math.dist((p.x, p.y, p.z), (w.x, w.y, w.z))

    wait_for(lambda: off_m() < PLACED_M, "the mug at its place")
    q, w = cell.cell.object_pose.orientation, wanted.pose.orientation
    cosine = abs(q.x * w.x + q.y * w.y + q.z * w.z + q.w * w.w)
    assert 2.0 * math.degrees(math.acos(min(1.0, cosine))) < 5.0


def test_a_place_inside_the_table_is_refused_by_name_and_nothing_moves(cell, problems):
    problem = problems[0]
    wanted = place(problem, 0.4)
    wanted.pose.position.z -= 0.03
    accepted = cell.cell.counts["accepted"]
    result = cell.move(problem, wanted)
    assert result.error_code == Result.GOAL_IN_COLLISION, result.error_msg
    assert "'table'" in result.error_msg
    assert cell.cell.counts["accepted"] == accepted
