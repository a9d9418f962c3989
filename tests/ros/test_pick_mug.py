"""The whole chain: the shipped weights choose grasps on a mug's handle or wall, the arm closes on it and lifts it."""

import json
import math

import pytest
from action_msgs.msg import GoalStatus
from conftest import PROJECT, wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.srv import ScoreGrasps
from geometry_msgs.msg import PoseStamped
from robot_cell import BASE, READY, Cell, PlannerNode, SimArm, goal, write_scene
from std_srvs.srv import Trigger

Result = PlanGraspMotion.Result
MUG = PROJECT / "meshes/mug.obj"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mug")
    objects = folder / "objects.yaml"
    objects.write_text(json.dumps({"objects": {"can": {"mesh": str(MUG)}}}))
    arm = SimArm(None, f"object.mesh_file:={MUG}")
    node = PlannerNode(f"scene.file:={write_scene(folder)}", f"objects.file:={objects}", "planning.time_limit:=60.0")
    yield arm, node
    assert node.stop() == 0
    assert arm.stop() == 0


@pytest.fixture
def cell(programs, peer):
    cell = Cell(peer)
    cell.wait_ready()
    cell.place = peer.create_publisher(PoseStamped, "/sim_arm/place_object", 10)
    wait_for(lambda: cell.place.get_subscription_count() > 0, "the subscription of place_object")
    return cell


def lowest_z():
    heights = [float(line.split()[3]) for line in MUG.read_text().splitlines() if line.startswith("v ")]
    return min(heights)


@pytest.mark.parametrize("x, y, yaw", [(0.5, 0.05, 0.4), (0.45, -0.2, 2.5), (0.55, 0.2, -1.2)])
def test_a_mug_is_lifted_by_a_learned_grasp(cell, x, y, yaw):
    assert cell.peer.call(Trigger, "/sim_arm/reset", Trigger.Request()).success
    wait_for(lambda: cell.arm() == READY, "the start position")
    message = PoseStamped()
    message.header.frame_id = BASE
    # On the table, whose top is 10 mm below the base.
    z = -0.01 - lowest_z()
    pose = message.pose
    pose.position.x, pose.position.y, pose.position.z = x, y, z
    pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    cell.place.publish(message)
    wait_for(lambda: cell.can_z == pytest.approx(z), "the mug at its place")
    rejected = cell.counts["rejected"]
    status, result = cell.run(goal(grasps=[], plan_only=False, use_gripper=True, lift_distance=0.1))
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, Result.NONE), result.error_msg
    assert math.isfinite(result.grasp.energy)
    assert result.grasp_position_error < 0.005
    wait_for(lambda: cell.can_z > z + 0.08, f"the lifted mug, {cell.can_z - z:.3f} m up")
    assert cell.counts["rejected"] == rejected


def test_grasps_are_sampled_and_scored(cell):
    name = cell.NODE + "/score_grasps"
    sampled = cell.peer.call(ScoreGrasps, name, ScoreGrasps.Request(object_id="can", num_samples=10, seed=3))
    assert sampled.error_code == 0, sampled.error_msg
    energies = [grasp.energy for grasp in sampled.grasps]
    assert 0 < len(energies) <= 10 and energies == sorted(energies)
    again = cell.peer.call(ScoreGrasps, name, ScoreGrasps.Request(object_id="can", grasps=sampled.grasps[::-1]))
    assert [grasp.energy for grasp in again.grasps] == pytest.approx(energies[::-1], rel=1e-5)
    unknown = cell.peer.call(ScoreGrasps, name, ScoreGrasps.Request(object_id="teapot", num_samples=1))
    assert unknown.error_code == Result.UNKNOWN_OBJECT and "'teapot'" in unknown.error_msg
