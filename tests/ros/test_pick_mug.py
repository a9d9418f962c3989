"""The whole chain: the shipped weights choose grasps on a mug that no training saw, the arm closes on it and lifts it.

bench_node.py executes all twenty problems."""

import pytest
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.srv import ScoreGrasps
from pick_problems import OBJECT_ID, MugCell, write_problems

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
