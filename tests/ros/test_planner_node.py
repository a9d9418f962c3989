"""planner_node and sim_arm over DDS, with given grasps: success, rejection, cancellation, preemption, services."""

import time

import pytest
from action_msgs.msg import GoalStatus
from conftest import wait_for
from diagnostic_msgs.msg import DiagnosticArray
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.msg import PlannerStatus, SceneObject
from diffusion_field_planner.srv import ListObjects, RemoveObject
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters
from robot_cell import (
    BASE,
    CAN_POSITION,
    JOINTS,
    LATCHED,
    READY,
    at_start,
    goal,
    pose_at,
    programs_with,
    running,
    seconds,
    wait_still,
)
from shape_msgs.msg import SolidPrimitive
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

SUCCEEDED, CANCELED, ABORTED = GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED
Result = PlanGraspMotion.Result
# Of a core, while joint states arrive at 200 Hz; receiving them is most of it. `make bench-node` measures it on a quiet machine.
MOST_IDLE_SHARE = 0.04


programs = programs_with()


@pytest.fixture
def cell(programs, peer):
    cell = at_start(peer)
    for name, value in [("planning.on_new_goal", "preempt"), ("failure_status", "abort")]:
        assert cell.set_parameter(name, value) == (True, "")
    return cell


def check_trajectory(message, start, tolerance=1e-9):
    """What a joint_trajectory_controller asks for, written a second time."""
    assert message.joint_names == JOINTS
    assert message.header.stamp.sec == 0 and message.header.stamp.nanosec == 0
    times = [seconds(p.time_from_start) for p in message.points]
    assert times[0] >= 0 and all(a < b for a, b in zip(times, times[1:]))
    assert list(message.points[0].positions) == pytest.approx(start, abs=tolerance)
    assert all(len(p.positions) == len(p.velocities) == len(p.accelerations) == 7 for p in message.points)
    assert max(map(abs, message.points[-1].velocities)) == 0.0


def test_the_node_is_idle_after_its_goals(cell, programs):
    """The first of all: what the clients of other tests leave behind in the middleware would count."""
    _, node = programs
    cell.run(goal())
    # It is alert for ten seconds.
    time.sleep(12.0)
    shares = []
    # Up to three windows: other work on the machine makes the same work dearer.
    while len(shares) < 3 and min(shares, default=1.0) >= MOST_IDLE_SHARE:
        start, wall = node.cpu_seconds(), time.monotonic()
        time.sleep(10.0)
        shares.append((node.cpu_seconds() - start) / (time.monotonic() - wall))
    assert min(shares) < MOST_IDLE_SHARE, f"{shares} of a core while idle"


def test_plan_only_moves_nothing(cell):
    shown = []
    cell.peer.create_subscription(JointTrajectory, cell.NODE + "/planned_trajectory", shown.append, LATCHED)
    accepted, published = cell.counts["accepted"], len(cell.trajectories)
    status, result = cell.run(goal())
    assert (status, result.error_code, result.error_msg) == (SUCCEEDED, Result.NONE, "")
    assert result.moveit_error_code == 1
    check_trajectory(result.trajectory, READY)
    assert result.phase_names[0] == "reach" and result.phase_first_points[0] == 0
    assert result.grasp.id.startswith("yaw") and result.grasp.grasp_pose.header.frame_id == BASE
    assert result.planning_time > 0 and sum(result.stage_times) <= result.planning_time + 1e-3
    assert len(result.cost_names) == len(result.cost_values) > 0
    assert result.cost == pytest.approx(sum(result.cost_values))
    assert 0 < result.max_velocity_ratio <= 1.0 + 1e-6
    assert result.min_clearance > 0
    assert result.grasp_position_error < 0, "nothing was executed"
    wait_for(lambda: shown and shown[-1].points == result.trajectory.points, "~/planned_trajectory")
    time.sleep(0.5)
    assert cell.counts["accepted"] == accepted and len(cell.trajectories) == published
    assert cell.arm() == READY


def test_equal_seeds_give_equal_plans(cell):
    first, second = cell.run(goal(seed=7))[1], cell.run(goal(seed=7))[1]
    assert first.error_code == second.error_code == Result.NONE
    assert first.trajectory.points == second.trajectory.points


def test_pick_executes_closes_and_lifts(cell):
    rejected, accepted = cell.counts["rejected"], cell.counts["accepted"]
    before = cell.can_z
    handle = cell.send(goal(plan_only=False, use_gripper=True, lift_distance=0.1))
    assert handle.accepted
    status, result = cell.result(handle)
    assert (status, result.error_code) == (SUCCEEDED, Result.NONE), result.error_msg
    assert list(result.phase_names) == ["reach", "lift"]
    assert result.grasp_position_error < 0.005 and result.grasp_orientation_error < 0.02
    wait_for(lambda: cell.can_z > before + 0.08, f"the lifted can, at {cell.can_z}")
    assert 0.05 < 2 * cell.joints["panda_finger_joint1"] < 0.07, "the fingers are stopped by the can"
    assert cell.counts["rejected"] == rejected and cell.counts["accepted"] == accepted + 2
    stages = [f.stage for _, f in cell.seen(handle)]
    assert PlanGraspMotion.Feedback.EXECUTE in stages and PlanGraspMotion.Feedback.GRIPPER in stages
    assert all(0 <= f.progress <= 1 and f.stage_name for _, f in cell.seen(handle))
    times = [t for t, _ in cell.seen(handle)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    # 0.2 s between two is promised; a loaded machine may deliver late.
    assert sorted(gaps)[len(gaps) // 2] < 0.2 and max(gaps) < 1.0, max(gaps)


def test_without_gripper_the_motion_ends_at_the_grasp(cell):
    before = cell.can_z
    status, result = cell.run(goal(plan_only=False))
    assert (status, result.error_code) == (SUCCEEDED, Result.NONE), result.error_msg
    last = result.phase_first_points[1] if len(result.phase_first_points) > 1 else -1
    end = result.trajectory.points[last].positions
    assert cell.arm() == pytest.approx(end, abs=1e-3)
    assert cell.can_z == before


def test_cancel_stops_the_arm(cell):
    handle = running(cell)
    wait_for(lambda: cell.arm() != READY, "motion")
    start = time.monotonic()
    answer = cell.peer.ask(handle.cancel_goal_async, "the answer to the cancel request")
    answered = time.monotonic() - start
    assert len(answer.goals_canceling) == 1
    status, result = cell.result(handle)
    finished = time.monotonic() - start
    assert (status, result.error_code) == (CANCELED, Result.CANCELED)
    assert "cancelled" in result.error_msg and result.trajectory.points
    # 50 ms and 0.5 s are promised; the rest is what a loaded machine may add.
    assert answered < 0.5 and finished < 1.5, f"answered {answered:.3f} s, finished {finished:.3f} s"
    wait_still(cell)
    assert cell.arm() != pytest.approx(result.trajectory.points[-1].positions, abs=0.05)
    assert len(cell.trajectories[-1].points) == 1, "the arm is held by one point at rest"


def test_a_new_goal_preempts(cell):
    first = running(cell)
    second = cell.send(goal())
    assert second.accepted
    status, result = cell.result(first)
    assert (status, result.error_code) == (ABORTED, Result.PREEMPTED)
    # It waits until the arm has stopped, and plans from there.
    status, result = cell.result(second)
    assert (status, result.error_code) == (SUCCEEDED, Result.NONE), result.error_msg
    check_trajectory(result.trajectory, cell.arm(), tolerance=0.01)


def test_a_busy_node_can_reject(cell):
    statuses = []
    cell.peer.create_subscription(PlannerStatus, cell.NODE + "/status", statuses.append, LATCHED)
    assert cell.set_parameter("planning.on_new_goal", "reject")[0]
    first = running(cell)
    assert not cell.send(goal()).accepted
    wait_for(lambda: statuses and "on_new_goal" in statuses[-1].last_rejection, "the reason on ~/status")
    assert statuses[-1].state == PlannerStatus.EXECUTING
    assert bytes(statuses[-1].active_goal.uuid) == bytes(first.goal_id.uuid)
    cell.peer.ask(first.cancel_goal_async, "the answer to the cancel request")
    assert cell.result(first)[0] == CANCELED
    wait_still(cell)
    assert cell.send(goal()).accepted


def test_goals_can_queue_and_be_cancelled_in_the_queue(cell):
    assert cell.set_parameter("planning.on_new_goal", "queue")[0]
    first = running(cell)
    second, third = cell.send(goal()), cell.send(goal())
    assert second.accepted and third.accepted
    start = time.monotonic()
    cell.peer.ask(second.cancel_goal_async, "the answer to the cancel request")
    assert cell.result(second)[0] == CANCELED
    assert time.monotonic() - start < 1.5, "a waiting goal need not wait for the one in work"
    assert cell.seen(third)[-1][1].stage == PlanGraspMotion.Feedback.QUEUED
    cell.peer.ask(first.cancel_goal_async, "the answer to the cancel request")
    assert cell.result(first)[0] == CANCELED
    assert cell.result(third)[0] in (SUCCEEDED, ABORTED)
    wait_still(cell)


def test_stop_ends_the_goal_and_the_motion(cell):
    handle = running(cell)
    wait_for(lambda: cell.arm() != READY, "motion")
    assert cell.peer.call(Trigger, cell.NODE + "/stop", Trigger.Request()).success
    status, result = cell.result(handle)
    assert (status, result.error_code) == (ABORTED, Result.CANCELED)
    assert "~/stop" in result.error_msg
    wait_still(cell)


def test_a_disabled_node_takes_no_goals(cell):
    call = lambda enabled: cell.peer.call(SetBool, cell.NODE + "/set_enabled", SetBool.Request(data=enabled))
    assert call(False).success
    assert not cell.send(goal()).accepted
    assert call(True).success
    assert cell.run(goal())[1].error_code == Result.NONE


def test_failure_status_succeed_serves_clients_that_read_no_aborted_results(cell):
    assert cell.set_parameter("failure_status", "succeed")[0]
    status, result = cell.run(goal(velocity_scaling=2.0))
    assert (status, result.error_code) == (SUCCEEDED, Result.INVALID_REQUEST)


def test_scene_objects_are_listed_obeyed_and_removed(cell):
    publisher = cell.peer.publisher(SceneObject, "scene_object")
    # A box around the can: nothing can be grasped there any more.
    box = SceneObject(id="lid", pose=pose_at(CAN_POSITION[0], 0.0, 0.2), operation=SceneObject.ADD)
    box.header.frame_id = BASE
    box.primitives = [SolidPrimitive(type=SolidPrimitive.BOX, dimensions=[0.3, 0.3, 0.2])]
    box.primitive_poses = [pose_at(0, 0, 0)]
    publisher.publish(box)
    names = lambda: [o.id for o in cell.peer.call(ListObjects, cell.NODE + "/list_objects", ListObjects.Request()).objects]
    wait_for(lambda: "lid" in names(), "the box in the scene")
    assert {"can", "table"} <= set(names())
    status, result = cell.run(goal())
    assert status == ABORTED and result.error_code == Result.GOAL_IN_COLLISION, (result.error_code, result.error_msg)
    request = ListObjects.Request(ids=["lid", "nothing"], include_geometry=True)
    listed = cell.peer.call(ListObjects, cell.NODE + "/list_objects", request)
    assert list(listed.unknown_ids) == ["nothing"]
    assert list(listed.objects[0].primitives[0].dimensions) == [0.3, 0.3, 0.2]
    remove = lambda: cell.peer.call(RemoveObject, cell.NODE + "/remove_object", RemoveObject.Request(id="lid"))
    assert remove().success
    again = remove()
    assert not again.success and "'lid' is not known" in again.message and "table" in again.message
    assert cell.run(goal())[1].error_code == Result.NONE


def test_parameters_are_described_checked_and_announced(cell):
    name = "planning.velocity_scaling"
    call = lambda kind, service, request: cell.peer.call(kind, f"{cell.NODE}/{service}", request)
    listed = call(ListParameters, "list_parameters", ListParameters.Request(prefixes=["planning"])).result
    assert name in listed.names and "planning" in listed.prefixes
    described = call(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=[name, "robot.urdf_file"]))
    scaling, urdf = described.descriptors
    assert scaling.floating_point_range[0].to_value == 1.0 and scaling.description
    assert urdf.read_only and not scaling.read_only
    assert cell.set_parameter(name, 1.5) == (False, "parameter 'planning.velocity_scaling': 1.5 is outside (0, 1]")
    assert not cell.set_parameter(name, "fast")[0]
    assert not cell.set_parameter("robot.urdf_file", "other.urdf")[0]
    assert not cell.set_parameter("no.such", 1)[0]
    assert cell.set_parameter(name, 1)[0], "a whole number is a double"
    value = call(GetParameters, "get_parameters", GetParameters.Request(names=[name])).values[0]
    assert value.double_value == 1.0
    assert cell.set_parameter(name, 0.3)[0]


def test_diagnostics_name_every_part(cell):
    parts = {}
    cell.peer.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: parts.update({s.name.split(": ")[1]: s for s in m.status}), 10
    )
    wait_for(lambda: len(parts) == 4, "diagnostics")
    assert set(parts) == {"robot model", "joint states", "objects", "planner"}
    assert ord(parts["robot model"].level) == 0 and ord(parts["joint states"].level) == 0


def test_ten_quick_goals(cell):
    assert cell.set_parameter("planning.on_new_goal", "queue")[0]
    handles = [cell.send(goal()) for _ in range(10)]
    assert all(h.accepted for h in handles)
    assert [cell.result(h)[1].error_code for h in handles] == [Result.NONE] * 10
