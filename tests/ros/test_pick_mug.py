"""The whole chain: the shipped weights choose grasps on a mug that no training saw, the arm closes on it and lifts it.

bench_node.py executes all twenty problems."""

import math
from collections import defaultdict

import pytest
from conftest import wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.srv import ScoreGrasps
from pick_problems import OBJECT_ID, MugCell, write_problems
from robot_cell import BASE, LATCHED, goal
from visualization_msgs.msg import Marker, MarkerArray

Result = PlanGraspMotion.Result


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Four of the benchmark's problems, all with its first mug."""
    by_mesh = write_problems(tmp_path_factory.mktemp("problems"), 20)
    return next(iter(by_mesh.values()))


@pytest.fixture(scope="module")
def mug_cell(problems, tmp_path_factory):
    cell = MugCell(problems[0].mesh, tmp_path_factory.mktemp("mug"))
    yield cell
    cell.stop()


@pytest.fixture
def cell(mug_cell, peer):
    mug_cell.connect(peer)
    return mug_cell


@pytest.mark.parametrize("index", range(4))
def test_a_mug_between_boxes_is_lifted_by_a_learned_grasp(cell, problems, index):
    outcome = cell.pick(problems[index])
    assert outcome.error_code == Result.NONE, outcome.message
    assert outcome.rejected == 0
    assert outcome.lifted_m == pytest.approx(0.1, abs=0.02)


def test_grasps_are_sampled_and_scored(cell):
    name, peer = cell.cell.NODE + "/score_grasps", cell.cell.peer
    sampled = peer.call(ScoreGrasps, name, ScoreGrasps.Request(object_id=OBJECT_ID, num_samples=10, seed=3))
    assert sampled.error_code == 0, sampled.error_msg
    energies = [grasp.energy for grasp in sampled.grasps]
    assert 0 < len(energies) <= 10 and energies == sorted(energies)
    again = peer.call(ScoreGrasps, name, ScoreGrasps.Request(object_id=OBJECT_ID, grasps=sampled.grasps[::-1]))
    assert [grasp.energy for grasp in again.grasps] == pytest.approx(energies[::-1], rel=1e-5)
    unknown = peer.call(ScoreGrasps, name, ScoreGrasps.Request(object_id="teapot", num_samples=1))
    assert unknown.error_code == Result.UNKNOWN_OBJECT and "'teapot'" in unknown.error_msg


def test_markers_show_what_was_chosen_from_and_how_near_the_motion_comes(cell, problems):
    cell.arrange(problems[0])
    shown = []
    cell.cell.peer.create_subscription(MarkerArray, cell.cell.NODE + "/grasp_markers", shown.append, LATCHED)
    _, result = cell.cell.run(goal(object_id=OBJECT_ID, grasps=[], plan_only=True))
    assert result.error_code == Result.NONE, result.error_msg
    stamp = result.grasp.grasp_pose.header.stamp
    seconds = lambda t: t.sec + 1e-9 * t.nanosec
    of_this_plan = lambda: [m.markers for m in shown if seconds(m.markers[0].header.stamp) >= seconds(stamp)]
    (first, *markers) = wait_for(of_this_plan, "the markers")[-1]
    assert first.action == Marker.DELETEALL
    assert {m.header.frame_id for m in markers} == {BASE}
    by_namespace = defaultdict(list)
    for marker in markers:
        by_namespace[marker.ns].append(marker)
    assert set(by_namespace) == {"path", "grasp", "grasps", "ghost", "spheres", "clearance", "obstacles", "object"}
    for drawn in by_namespace.values():
        assert [m.id for m in drawn] == list(range(len(drawn)))

    # The chosen hand is where the result says, its palm between the grasp's origin and the fingers.
    hand = result.grasp.grasp_pose.pose.position
    assert min(math.dist(xyz(hand), xyz(m.pose.position)) for m in by_namespace["grasp"]) < 0.06
    # Eight ends of lines a grasp, each grasp of one color, the best the greenest.
    (grasps,) = by_namespace["grasps"]
    colors = grasps.colors[::8]
    assert 50 <= len(colors) <= 100 and len(grasps.points) == len(grasps.colors) == 8 * len(colors)
    assert all(grasps.colors[8 * i + k] == color for i, color in enumerate(colors) for k in range(8))
    redness = [color.r - color.g for color in colors]
    assert redness == sorted(redness) and redness[0] == pytest.approx(-1.0) and redness[-1] > 0.5
    # The line is as long as the clearance, and begins at the robot that is named beside it.
    line, text = by_namespace["clearance"]
    assert math.dist(*map(xyz, line.points)) == pytest.approx(result.min_clearance, abs=1e-6)
    assert text.text == (
        f"{result.min_clearance_link} to {result.min_clearance_object}: {1e3 * result.min_clearance:.1f} mm"
    )
    # Every obstacle of the problem, and four ghosts.
    assert len(by_namespace["obstacles"]) == len(problems[0].obstacles)
    assert len(by_namespace["ghost"]) % 4 == 0 and len(by_namespace["spheres"]) > 50
    (mug,) = by_namespace["object"]
    at = problems[0].world_from_object.position
    assert xyz(mug.pose.position) == pytest.approx(xyz(at), abs=1e-6) and len(mug.points) % 3 == 0 and mug.points


def xyz(point):
    return (point.x, point.y, point.z)
