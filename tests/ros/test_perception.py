"""What a camera and tf say: point clouds as obstacles, objects as frames, path constraints of a goal."""

import math
import struct
import time

import pytest
from conftest import wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.msg import PathConstraint
from geometry_msgs.msg import Point, TransformStamped, Vector3
from robot_cell import (
    BASE,
    CAN_POSITION,
    Cell,
    goal,
    grasps_from_above,
    programs_with,
    stamped,
)
from sensor_msgs.msg import PointCloud2, PointField
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

Result = PlanGraspMotion.Result


programs = programs_with("objects.tf_frames:=[tagged=tag]", "objects.pose_tf_timeout:=0.5", knows_can=True)


@pytest.fixture
def cell(programs, peer):
    cell = Cell(peer)
    cell.wait_ready()
    cell.clouds = peer.publisher(PointCloud2, "obstacle_cloud", 1)
    cell.frames = peer.publisher(TFMessage, "/tf")
    wait_for(lambda: cell.can_z is not None, "the can")
    return cell


def cloud(points, frame=BASE, age_s=0.0):
    """As a depth camera sends it: float32 coordinates and a colour."""
    message = PointCloud2(height=1, width=len(points), point_step=16, row_step=16 * len(points))
    message.header.frame_id = frame
    stamp = time.time() - age_s
    message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), int(1e9 * (stamp % 1))
    message.fields = [
        PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1) for k, name in enumerate(("x", "y", "z", "rgb"))
    ]
    message.data = b"".join(struct.pack("<4f", *point, 0.0) for point in points)
    return message


def grid(n):
    return [k / (n - 1) for k in range(n)]


def lid(x=CAN_POSITION[0], y=CAN_POSITION[1], z=0.2):
    """A plate above the can: nothing can be grasped from above there."""
    return [(x + 0.3 * (u - 0.5), y + 0.3 * (v - 0.5), z) for u in grid(60) for v in grid(60)]


def can_surface():
    return [(CAN_POSITION[0] + 0.03 * math.cos(a), 0.03 * math.sin(a), 0.12 * h) for a in (0.1 * k for k in range(63)) for h in grid(30)]


def frame(child, x=0.0, y=0.0, z=0.0, parent=BASE, age_s=0.0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    stamp = time.time() - age_s
    message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), int(1e9 * (stamp % 1))
    t = message.transform.translation
    t.x, t.y, t.z = x, y, z
    message.transform.rotation.w = 1.0
    return TFMessage(transforms=[message])


class Publishing:
    """Keeps publishing what a function makes."""

    def __init__(self, cell, publisher, make, period_s=0.1):
        self.timer = cell.peer.create_timer(period_s, lambda: publisher.publish(make()))
        time.sleep(0.4)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.timer.cancel()
        time.sleep(0.1)


def test_the_cloud_is_an_obstacle_but_not_what_is_known(cell):
    assert cell.run(goal())[1].error_code == Result.NONE, "before any cloud"
    # The can itself, the table's top and the arm's own hand are no obstacles.
    hand = [(0.307 + 0.02 * (u - 0.5), 0.02 * (v - 0.5), 0.55) for u in grid(10) for v in grid(10)]
    table = [(0.3 + 0.6 * u, 1.2 * (v - 0.5), -0.01) for u in grid(60) for v in grid(60)]
    known = can_surface() + table + hand
    with Publishing(cell, cell.clouds, lambda: cloud(known + [(math.nan,) * 3] * 100)):
        result = cell.run(goal())[1]
        assert result.error_code == Result.NONE, result.error_msg
    with Publishing(cell, cell.clouds, lambda: cloud(known + lid())):
        result = cell.run(goal())[1]
        assert result.error_code == Result.GOAL_IN_COLLISION, result.error_msg
        assert cell.run(goal(ignored_collision_objects=["obstacle_cloud"]))[1].error_code == Result.NONE
    # Now nothing comes any more.
    cell.clouds.publish(cloud(known, age_s=60.0))
    time.sleep(0.2)
    result = cell.run(goal())[1]
    assert result.error_code == Result.OBJECT_STALE and "obstacle_cloud.max_age" in result.error_msg, result.error_msg
    assert cell.peer.call(Trigger, cell.NODE + "/clear_scene", Trigger.Request()).success


def test_a_cloud_in_a_cameras_frame_is_placed_by_tf_and_a_large_one_is_thinned(cell):
    # More than obstacle_cloud.max_points.
    far = [(3.0 + 0.001 * k, 0.0, 0.0) for k in range(100)]
    lid_in_camera = lid(x=0.0, y=0.0, z=0.0) * 33 + far
    message = cloud(lid_in_camera, frame="camera")

    def now():
        message.header.stamp = cloud([], frame="camera").header.stamp
        return message

    with Publishing(cell, cell.frames, lambda: frame("camera", CAN_POSITION[0], 0.0, 0.2)):
        # Two megabytes: more often than this the peer would do nothing else.
        with Publishing(cell, cell.clouds, now, 0.4):
            blocked = lambda: cell.run(goal(object_id="bare", object_pose=stamped()))[1].error_code == Result.GOAL_IN_COLLISION
            wait_for(blocked, "the plate in the cloud")
    cell.clouds.publish(cloud(lid_in_camera[:3600], frame="moon"))
    time.sleep(0.2)
    result = cell.run(goal(object_id="bare", object_pose=stamped()))[1]
    assert result.error_code == Result.TF_ERROR and "'moon'" in result.error_msg
    assert cell.peer.call(Trigger, cell.NODE + "/clear_scene", Trigger.Request()).success


def test_a_required_cloud_must_come(cell):
    assert cell.set_parameter("obstacle_cloud.required", True)[0]
    try:
        result = cell.run(goal(object_id="bare", object_pose=stamped()))[1]
        assert result.error_code == Result.OBJECT_STALE and "obstacle_cloud.required" in result.error_msg
    finally:
        assert cell.set_parameter("obstacle_cloud.required", False)[0]


def test_an_object_can_be_a_frame(cell):
    in_tag = dict(object_id="tagged", grasps=[g for g in grasps_from_above(x=0.0, y=0.0, frame="")])
    result = cell.run(goal(**in_tag))[1]
    assert result.error_code == Result.TF_ERROR and "'tag'" in result.error_msg, result.error_msg
    with Publishing(cell, cell.frames, lambda: frame("tag", *CAN_POSITION)):
        result = cell.run(goal(**in_tag))[1]
        assert result.error_code == Result.NONE, result.error_msg
        position = result.grasp.grasp_pose.pose.position
        assert (position.x, position.y) == pytest.approx(CAN_POSITION[:2], abs=0.005)
    time.sleep(2.5)
    result = cell.run(goal(**in_tag))[1]
    assert result.error_code == Result.OBJECT_STALE and "'tagged'" in result.error_msg, result.error_msg


def test_path_constraints_of_a_goal_are_kept_or_named(cell):
    bare = dict(object_id="bare", object_pose=stamped())
    plain = cell.run(goal(**bare))[1]
    slow = PathConstraint(kind=PathConstraint.TOOL_SPEED, max_linear_speed=0.05)
    limited = cell.run(goal(path_constraints=[slow], **bare))[1]
    assert plain.error_code == limited.error_code == Result.NONE, limited.error_msg
    duration = lambda result: result.trajectory.points[-1].time_from_start.sec
    assert duration(limited) > duration(plain) + 2
    wrong = PathConstraint(kind=PathConstraint.UPRIGHT, link_axis=Vector3(z=-1.0), max_tilt=-1.0)
    result = cell.run(goal(path_constraints=[slow, wrong], **bare))[1]
    assert result.error_code == Result.INVALID_REQUEST
    assert "path_constraints[1]: max_tilt is -1" in result.error_msg, result.error_msg
    tail = PathConstraint(kind=PathConstraint.UPRIGHT, links=["tail"], link_axis=Vector3(z=-1.0), max_tilt=0.3)
    result = cell.run(goal(path_constraints=[tail], **bare))[1]
    assert result.error_code == Result.INVALID_REQUEST and "tail" in result.error_msg, result.error_msg
    # The hand points down all the way; the start does, too.
    down = PathConstraint(kind=PathConstraint.UPRIGHT, link_axis=Vector3(z=-1.0), max_tilt=0.4)
    result = cell.run(goal(path_constraints=[down], allowed_planning_time=20.0, **bare))[1]
    assert result.error_code == Result.NONE, result.error_msg
    # Above a plane that the start lies below.
    plane = PathConstraint(kind=PathConstraint.ABOVE_PLANE, plane_point=Point(z=2.0))
    result = cell.run(goal(path_constraints=[plane], **bare))[1]
    assert result.error_code == Result.START_STATE_INVALID and "plane" in result.error_msg, result.error_msg
