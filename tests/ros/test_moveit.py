"""MoveIt's messages: its collision objects and planning scenes are obstacles, its display gets the plans."""

import pytest
from action_msgs.msg import GoalStatus
from conftest import wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.srv import ListObjects, ScoreGrasps
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, DisplayTrajectory, PlanningScene
from octomap_msgs.msg import Octomap
from robot_cell import BASE, CAN_POSITION, JOINTS, LATCHED, READY, Cell, goal, pose_at, programs_with
from shape_msgs.msg import SolidPrimitive

Result = PlanGraspMotion.Result


programs = programs_with(knows_can=True)


@pytest.fixture
def cell(programs, peer):
    cell = Cell(peer)
    cell.wait_ready()
    cell.objects = peer.publisher(CollisionObject, "collision_object")
    cell.scenes = peer.publisher(PlanningScene, "planning_scene")
    yield cell
    cell.scenes.publish(PlanningScene())
    wait_for(lambda: listed(cell).keys() == {"can", "table"}, "the scene without what the test added")


def box(name, x=CAN_POSITION[0], z=0.2, operation=CollisionObject.ADD, size=0.3):
    message = CollisionObject(id=name, pose=pose_at(x, 0.0, z), operation=operation)
    message.header.frame_id = BASE
    if operation in (CollisionObject.ADD, CollisionObject.APPEND):
        message.primitives = [SolidPrimitive(type=SolidPrimitive.BOX, dimensions=[size, size, 0.2])]
        message.primitive_poses = [pose_at(0, 0, 0)]
    return message


def listed(cell):
    request = ListObjects.Request(include_geometry=True)
    objects = cell.peer.call(ListObjects, cell.NODE + "/list_objects", request).objects
    return {o.id: o for o in objects}


def scene(*objects, is_diff=True, attached=()):
    message = PlanningScene(is_diff=is_diff)
    message.world.collision_objects = list(objects)
    message.robot_state.is_diff = True
    message.robot_state.attached_collision_objects = list(attached)
    return message


def test_a_collision_object_is_an_obstacle_that_moves_grows_and_goes(cell):
    cell.objects.publish(box("lid"))
    wait_for(lambda: "lid" in listed(cell), "the box in the scene")
    _, result = cell.run(goal())
    assert result.error_code == Result.GOAL_IN_COLLISION, result.error_msg

    cell.objects.publish(box("lid", x=-0.6, operation=CollisionObject.MOVE))
    wait_for(lambda: listed(cell)["lid"].pose.position.x == -0.6, "the box behind the robot")
    assert cell.run(goal())[1].error_code == Result.NONE

    # A part of the same object whose pose stays, where the can is again.
    grown = box("lid", x=0.0, z=0.0, operation=CollisionObject.APPEND)
    grown.primitive_poses = [pose_at(CAN_POSITION[0] + 0.6, 0.0, 0.0)]
    cell.objects.publish(grown)
    wait_for(lambda: len(listed(cell)["lid"].primitives) == 2, "the second part")
    assert listed(cell)["lid"].pose.position.x == -0.6
    assert cell.run(goal())[1].error_code == Result.GOAL_IN_COLLISION

    cell.objects.publish(box("lid", operation=CollisionObject.REMOVE))
    wait_for(lambda: "lid" not in listed(cell), "the scene without the box")
    assert cell.run(goal())[1].error_code == Result.NONE


def test_a_diff_adds_to_the_scene_and_a_whole_scene_replaces_it(cell):
    cell.scenes.publish(scene(box("first", x=-0.6)))
    cell.scenes.publish(scene(box("second", x=-0.9)))
    wait_for(lambda: listed(cell).keys() == {"can", "table", "first", "second"}, "both boxes")
    cell.scenes.publish(scene(box("second", x=-0.9), box("third", x=-1.2), is_diff=False))
    # The table comes from scene.file and the can from its topic: neither is MoveIt's.
    wait_for(lambda: listed(cell).keys() == {"can", "table", "second", "third"}, "the new scene")
    everything = CollisionObject(operation=CollisionObject.REMOVE)
    cell.objects.publish(everything)
    wait_for(lambda: listed(cell).keys() == {"can", "table"}, "the scene without boxes")


def test_with_an_object_in_the_hand_nothing_is_planned(cell):
    cell.objects.publish(box("tool", x=-0.6))
    wait_for(lambda: "tool" in listed(cell), "the tool in the scene")
    held = AttachedCollisionObject(link_name="panda_hand", object=box("tool"))
    cell.scenes.publish(scene(attached=[held]))
    wait_for(lambda: "tool" not in listed(cell), "the tool in the hand")
    status, result = cell.run(goal())
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Result.INVALID_REQUEST)
    assert "'tool' is attached to 'panda_hand'" in result.error_msg
    held.object.operation = CollisionObject.REMOVE
    cell.scenes.publish(scene(box("tool", x=-0.6), attached=[held]))
    wait_for(lambda: "tool" in listed(cell), "the tool in the scene again")
    assert cell.run(goal())[1].error_code == Result.NONE
    # Clearing the scene empties the hand too.
    held.object.operation = CollisionObject.ADD
    cell.scenes.publish(scene(attached=[held]))
    wait_for(lambda: "tool" not in listed(cell), "the tool in the hand")
    cell.scenes.publish(PlanningScene())
    wait_for(lambda: cell.run(goal())[1].error_code == Result.NONE, "a plan with an empty hand")


def test_what_makes_no_sense_is_named_and_the_rest_is_taken(cell, programs):
    _, node = programs
    no_pose = box("no pose")
    no_pose.primitive_poses = []
    held = AttachedCollisionObject(link_name="panda_hand", object=box("tool"))
    everything = scene(no_pose, box("unknown operation", operation=b"\x09"), box("good", x=-0.6), attached=[held])
    everything.world.octomap.octomap = Octomap(data=[1])
    cell.scenes.publish(everything)
    wait_for(lambda: "good" in listed(cell), "the good box")
    wait_for(lambda: "'tool' is attached" in cell.run(goal())[1].error_msg, "the tool in the hand")
    said = lambda: "".join(node.output)
    for reason in (
        "scene object 'no pose': primitives[0] has no pose",
        "collision object 'unknown operation': operation 9 is not ADD, REMOVE, APPEND or MOVE",
        "its octomap is left out",
    ):
        wait_for(lambda: reason in said(), reason)
    assert "no pose" not in listed(cell)


def test_an_obstacle_of_its_name_takes_nothing_from_what_can_be_grasped(cell):
    cell.objects.publish(box("can", x=-0.6))
    wait_for(lambda: listed(cell)["can"].primitives, "a box of the can's name")
    cell.objects.publish(box("can", operation=CollisionObject.REMOVE))
    wait_for(lambda: not listed(cell)["can"].primitives, "the scene without the box")
    scored = cell.peer.call(ScoreGrasps, cell.NODE + "/score_grasps", ScoreGrasps.Request(object_id="can", num_samples=4))
    assert scored.error_code == Result.NONE and scored.grasps, scored.error_msg


def test_the_display_gets_the_plan(cell):
    shown = []
    cell.peer.create_subscription(DisplayTrajectory, cell.NODE + "/display_trajectory", shown.append, LATCHED)
    _, result = cell.run(goal())
    assert result.error_code == Result.NONE, result.error_msg
    same = lambda: shown and shown[-1].trajectory[0].joint_trajectory.points == result.trajectory.points
    wait_for(same, "the trajectory on ~/display_trajectory")
    start = shown[-1].trajectory_start.joint_state
    assert shown[-1].model_id == "panda"
    assert list(start.name) == JOINTS and list(start.position) == pytest.approx(READY, abs=1e-6)
