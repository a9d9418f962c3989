"""The example's behaviour tree over DDS: picks and places, chooses another object, recovers, and cancels when it is halted."""

import math
import random
import sys

import pytest
import rclpy
from conftest import PROJECT, wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.msg import PlannerStatus, SceneObject
from diffusion_field_planner.srv import ListObjects
from py_trees.blackboard import Blackboard
from py_trees.common import Status
from rclpy.action import ActionServer
from robot_cell import BASE, CAN_POSITION, JOINTS, LATCHED, READY, at_start, pose_at, started, wait_still
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

sys.path.append(str(PROJECT / "examples/behavior_tree"))
from pick_and_place_tree import OF_THE_OBJECT, codes, halt, make_tree, place_message, run

Result = PlanGraspMotion.Result
PLACE_M = (0.45, 0.35, 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of the running cell's files."""
    folder = tmp_path_factory.mktemp("cell")
    (folder / "objects.yaml").write_text("objects: {can: {mesh: can.obj, scale: 0.001}}")
    # The pose of the far can comes once.
    with started(folder, f"objects.file:={folder}/objects.yaml", "objects.max_age:=0.0", "state.timeout:=1.0"):
        yield folder


@pytest.fixture
def cell(folder, peer):
    cell = at_start(peer)
    wait_for(lambda: off_m(cell, CAN_POSITION) < 1e-6, "the can where it was")
    cell.statuses = []
    peer.create_subscription(PlannerStatus, cell.NODE + "/status", cell.statuses.append, LATCHED)
    wait_for(lambda: cell.statuses, "the planner's status")
    return cell


@pytest.fixture
def node(cell):
    node = rclpy.create_node(f"tree_{random.getrandbits(32):08x}")
    yield node
    node.destroy_node()


def off_m(cell, place_m):
    """How far the can is from a place."""
    p = cell.object_pose.position
    return math.dist((p.x, p.y, p.z), place_m)


def tree_for(node, *objects, **options):
    scaling = dict(velocity_scaling=0.5, acceleration_scaling=0.5, seed=1)
    tree = make_tree(objects, place_message(BASE, PLACE_M), **{**scaling, **options})
    tree.setup(node=node)
    return tree


def written(key):
    """What the tree has on its blackboard."""
    return Blackboard.storage["/" + key]


@pytest.fixture
def far_can(cell, folder):
    """One that is out of the arm's reach."""
    publisher = cell.peer.publisher(SceneObject, "scene_object")
    can = SceneObject(id="far_can", operation=SceneObject.ADD, graspable=True, pose=pose_at(2.0, 0.0, 0.0))
    can.header.frame_id = BASE
    can.mesh_file, can.mesh_scale = str(folder / "can.obj"), 0.001
    publisher.publish(can)
    request = ListObjects.Request(ids=[can.id])
    wait_for(lambda: cell.peer.call(ListObjects, cell.NODE + "/list_objects", request).objects, "the far can in the scene")
    return can.id


def test_an_object_is_carried_to_its_place(cell, node):
    tree = tree_for(node, "can")
    assert run(tree, node) == Status.SUCCESS, written("error_msg")
    assert written("error_code") == Result.NONE
    wait_for(lambda: off_m(cell, PLACE_M) < 0.01, "the can at its place")


@pytest.mark.parametrize("failure_status", ["abort", "succeed"])
def test_another_object_is_chosen_where_the_first_is_out_of_reach(cell, node, far_can, failure_status):
    assert cell.set_parameter("failure_status", failure_status)[0]
    tree = tree_for(node, far_can, "can")
    assert run(tree, node) == Status.SUCCESS, written("error_msg")
    assert written("error_code") in codes(OF_THE_OBJECT), written("error_msg")
    assert written("object") == "can"
    wait_for(lambda: off_m(cell, PLACE_M) < 0.01, "the can at its place")
    assert cell.set_parameter("failure_status", "abort")[0]


def test_the_tree_fails_when_no_object_is_left(cell, node, far_can):
    tree = tree_for(node, far_can, "unheard_of")
    assert run(tree, node) == Status.FAILURE
    assert written("error_code") == Result.UNKNOWN_OBJECT
    assert written("objects") == []


@pytest.mark.parametrize("state", [PlannerStatus.PLANNING, PlannerStatus.EXECUTING])
def test_halting_the_tree_cancels_the_goal_and_the_arm_stops(cell, node, state):
    tree = tree_for(node, "can", velocity_scaling=0.1, acceleration_scaling=0.1)
    cell.statuses.clear()
    assert run(tree, node, until=lambda: any(s.state == state for s in cell.statuses)) == Status.RUNNING
    halt(tree, node)
    wait_for(lambda: cell.statuses[-1].state == PlannerStatus.IDLE, "the end of the goal")
    assert cell.statuses[-1].last_error_code == Result.CANCELED
    wait_still(cell)
    assert off_m(cell, CAN_POSITION) < 1e-6


def test_a_goal_is_cancelled_that_was_not_yet_accepted(cell, node):
    tree = tree_for(node, "can")
    tree.tick()
    cell.statuses.clear()
    halt(tree, node)
    wait_for(lambda: cell.statuses and cell.statuses[-1].last_error_code == Result.CANCELED, "the cancelled goal")
    assert cell.arm() == READY


def test_a_moving_arm_is_stopped_and_the_object_carried_then(cell, node):
    publisher = cell.peer.publisher(JointTrajectory, "arm_controller/joint_trajectory")
    elsewhere = [READY[0] - 1.0, *READY[1:]]
    slow = JointTrajectory(joint_names=JOINTS)
    for second, position in ((0, READY), (10, elsewhere)):
        point = JointTrajectoryPoint(positions=position, velocities=[0.0] * len(JOINTS))
        point.time_from_start.sec = second
        slow.points.append(point)
    publisher.publish(slow)
    wait_for(lambda: cell.arm()[0] < READY[0] - 0.1, "the moving arm")
    tree = tree_for(node, "can")
    assert run(tree, node) == Status.SUCCESS, written("error_msg")
    assert written("error_code") == Result.START_STATE_MOVING, written("error_msg")
    wait_for(lambda: off_m(cell, PLACE_M) < 0.01, "the can at its place")


def test_a_rejected_goal_is_nobody_s_fault_and_ends_the_tree(cell, node, far_can):
    enable = lambda on: cell.peer.call(SetBool, cell.NODE + "/set_enabled", SetBool.Request(data=on)).success
    assert enable(False)
    tree = tree_for(node, "can", far_can)
    assert run(tree, node) == Status.FAILURE
    assert written("error_code") == Result.GOAL_REJECTED
    assert written("objects") == [far_can]
    assert enable(True)


@pytest.mark.parametrize(
    "code, grasp_position_error, goals",
    [("CONTROLLER_REJECTED", -1.0, 2), ("CONTROLLER_REJECTED", 0.001, 1), ("GRASP_EMPTY", 0.001, 2), ("EXECUTION_FAILED", -1.0, 1)],
)
def test_nothing_is_tried_again_with_something_in_the_hand(peer, code, grasp_position_error, goals):
    received = []

    def fail(handle):
        received.append(handle)
        handle.abort()
        return Result(error_code=getattr(Result, code), error_msg=code, grasp_position_error=grasp_position_error)

    server = ActionServer(peer, PlanGraspMotion, "/elsewhere/diffusion_field_planner/plan_grasp_motion", fail)
    peer.create_service(Trigger, "/elsewhere/diffusion_field_planner/stop", lambda _, response: Trigger.Response(success=True))
    node = rclpy.create_node(f"tree_{random.getrandbits(32):08x}", namespace="/elsewhere")
    assert run(tree_for(node, "can"), node) == Status.FAILURE
    assert written("error_msg") == code
    assert len(received) == goals
    node.destroy_node()
    server.destroy()
