"""A planner whose robot, files or parameters are wrong or missing: each is named, and the node lives on. The test plays
the robot."""

import re
import time

import pytest
from conftest import PROJECT, Program, wait_for
from diffusion_field_planner.action import PlanGraspMotion
from geometry_msgs.msg import PoseStamped
from lone_node import URDF, alone
from robot_cell import JOINTS, READY, from_above, stamped, write_can
from std_msgs.msg import String

Result = PlanGraspMotion.Result


def test_joint_states_that_never_come_are_stale_partial_or_moving(alone):
    node = alone(URDF)
    result = node.run()
    assert result.error_code == Result.ROBOT_STATE_STALE
    assert result.error_msg.startswith("no joint state received yet; is anything published on joint_states")

    timer = node.keep_publishing(names=JOINTS[:6], positions=READY[:6])
    result = node.run()
    assert result.error_code == Result.ROBOT_STATE_STALE and "'panda_joint7' is missing" in result.error_msg
    timer.cancel()

    timer = node.keep_publishing(age_s=60.0)
    result = node.run()
    assert result.error_code == Result.ROBOT_STATE_STALE and "60." in result.error_msg and "limit is 1 s" in result.error_msg
    timer.cancel()

    timer = node.keep_publishing(velocity=0.5)
    result = node.run()
    assert result.error_code == Result.START_STATE_MOVING and "0.02" in result.error_msg
    timer.cancel()

    timer = node.keep_publishing(positions=[0.0, 3.0] + READY[2:])
    result = node.run()
    assert result.error_code == Result.START_STATE_INVALID and "'panda_joint2'" in result.error_msg
    timer.cancel()

    timer = node.keep_publishing(names=["gripper"] + JOINTS[::-1], positions=[0.0] + READY[::-1])
    result = node.run()
    assert result.error_code == Result.NONE, result.error_msg
    timer.cancel()


def test_a_pose_that_is_old_is_refused(alone):
    node = alone(URDF)
    node.keep_publishing()
    message = stamped()
    message.header.stamp.sec = int(time.time()) - 100
    for _ in range(10):
        node.poses.publish(message)
        time.sleep(0.05)
    result = node.run(object_pose=PoseStamped(), grasps=[from_above(frame="")])
    assert result.error_code == Result.OBJECT_STALE, result.error_msg
    assert re.search(r"'can' is 1\d\d\.\d+ s old, the limit is 2 s", result.error_msg)


def test_no_controller_is_named_before_anything_is_sent(alone):
    node = alone(URDF)
    node.keep_publishing()
    result = node.run(plan_only=False)
    assert result.error_code == Result.CONTROLLER_UNAVAILABLE and "arm_controller/joint_trajectory" in result.error_msg
    assert result.trajectory.points, "the plan comes along"


def test_the_robot_description_may_come_late_be_wrong_and_be_mended(alone):
    node = alone()
    result = node.run()
    assert result.error_code == Result.ROBOT_MODEL and "robot_description" in result.error_msg
    for bad, words in [("<robot", "URDF"), ('<robot name="x"><link name="a"/></robot>', "panda_link0")]:
        node.description.publish(String(data=bad))
        wait_for(lambda: words in node.run().error_msg, f"an error with '{words}'")
        assert node.run().error_code == Result.ROBOT_MODEL
    node.description.publish(String(data=(PROJECT / "urdf/panda.urdf").read_text()))
    node.keep_publishing()
    wait_for(lambda: node.run().error_code == Result.NONE, "a plan with the right description")


def test_a_joint_that_the_urdf_lacks_is_named(alone):
    node = alone(URDF, "robot.joint_names:=[panda_joint1, panda_elbow]")
    result = node.run()
    assert result.error_code == Result.ROBOT_MODEL and "'panda_elbow'" in result.error_msg


@pytest.mark.parametrize("name", ["robot.urdf_file", "robot.settings_file"])
def test_a_missing_robot_file_is_named(alone, name):
    node = alone(URDF, f"{name}:=/no/such/file")
    result = node.run()
    assert result.error_code == Result.ROBOT_MODEL and "/no/such/file" in result.error_msg


def test_a_malformed_settings_file_is_named(alone, tmp_path):
    (tmp_path / "settings.yaml").write_text("base_link: panda_link0\ntool_link: panda_hand_tcp\nspeed: 3\n")
    node = alone(URDF, f"robot.settings_file:={tmp_path}/settings.yaml")
    result = node.run()
    assert result.error_code == Result.ROBOT_MODEL and "speed" in result.error_msg


def test_a_malformed_scene_stops_every_goal(alone, tmp_path):
    (tmp_path / "scene.yaml").write_text("obstacles:\n  - {name: table, ball: 1.0}\n")
    node = alone(URDF, f"scene.file:={tmp_path}/scene.yaml")
    node.keep_publishing()
    result = node.run()
    assert result.error_code == Result.INVALID_REQUEST and "scene.yaml" in result.error_msg and "ball" in result.error_msg


OBJECT_FAULTS = {
    "malformed YAML": ("objects: [can", None, "objects.yaml"),
    "no such mesh": ("objects: {can: {mesh: no.obj}}", None, "no.obj"),
    "unknown format": ("objects: {can: {mesh: can.txt}}", b"v 0 0 0", "can.txt"),
    "truncated STL": ("objects: {can: {mesh: can.stl}}", b"\0" * 80 + b"\xff\0\0\0", "truncated"),
    "malformed OBJ": ("objects: {can: {mesh: bad.obj}}", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "names vertex"),
}


@pytest.mark.parametrize("yaml, content, words", OBJECT_FAULTS.values(), ids=OBJECT_FAULTS.keys())
def test_a_bad_object_is_named(alone, tmp_path, yaml, content, words):
    (tmp_path / "objects.yaml").write_text(yaml)
    if content is not None:
        (tmp_path / yaml.split("mesh: ")[1].rstrip("}")).write_bytes(content)
    node = alone(URDF, f"objects.file:={tmp_path}/objects.yaml")
    node.keep_publishing()
    result = node.run(grasps=[])
    assert result.error_code == Result.UNKNOWN_OBJECT and words in result.error_msg, result.error_msg
    assert node.run().error_code == Result.NONE, "goals that bring their grasps are planned all the same"


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{\"a\":1}", b"not a model" * 10])
def test_bad_weights_are_named(alone, tmp_path, content):
    (tmp_path / "bad.safetensors").write_bytes(content)
    (tmp_path / "objects.yaml").write_text("objects: {can: {mesh: can.obj, scale: 0.001}}")
    write_can(tmp_path)
    node = alone(URDF, f"objects.file:={tmp_path}/objects.yaml", f"planning.model_file:={tmp_path}/bad.safetensors")
    node.keep_publishing()
    result = node.run(grasps=[])
    assert result.error_code == Result.UNKNOWN_OBJECT and "bad.safetensors" in result.error_msg, result.error_msg


@pytest.mark.parametrize(
    "parameter, words",
    [
        ("planning.time_limit:=0.0", "planning.time_limit': 0.0 is outside [0.05, 120]"),
        ("planning.on_new_goal:=panic", "preempt | reject | queue"),
        ("planning.num_candidates:=many", "planning.num_candidates' has type integer, got string"),
    ],
)
def test_a_bad_parameter_ends_the_start_with_its_name(parameter, words):
    node = Program("planner_node", "--ros-args", "-p", parameter)
    assert node.process.wait(30) == 1
    node.stop()
    assert words in "".join(node.output)
