"""Names: two robots on one machine in namespaces of their own; an FR3; a robot whose names have a prefix, given by
parameters, its joint states split over two publishers."""

import pytest
from conftest import PROJECT, Program, wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.srv import ListObjects
from rclpy.action import ActionClient
from robot_cell import LATCHED, READY, goal, stamped, with_flags
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt32

Result = PlanGraspMotion.Result
FR3_JOINTS = [f"fr3_joint{i}" for i in range(1, 8)]
PREFIXED_JOINTS = [f"left_panda_joint{i}" for i in range(1, 8)]


def started(program, namespace, *parameters):
    return Program(program, "--ros-args", "-r", f"__ns:={namespace}", *with_flags(parameters))


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("robots")
    urdf = folder / "prefixed.urdf"
    urdf.write_text((PROJECT / "urdf/panda.urdf").read_text().replace("panda_", "left_panda_"))
    # Links and joints come as parameters; the file says what they cannot, the gripper above all.
    settings = (PROJECT / "config/panda.yaml").read_text().replace("panda_", "left_panda_")
    settings = settings.replace("grippers/", f"{PROJECT}/config/grippers/").replace("left_panda_hand_tcp", "nowhere")
    (folder / "prefixed.yaml").write_text(settings)
    fr3 = [f"robot.urdf_file:={PROJECT}/urdf/fr3.urdf", f"robot.settings_file:={PROJECT}/config/fr3.yaml"]
    # A loaded machine may hold a message back for longer than a robot's would.
    patient = ["state.max_age:=1.0", "state.timeout:=5.0", "planning.time_limit:=10.0", "objects.folder:=no_such_folder"]
    names = ["base_link:=left_panda_link0", "tool_link:=left_panda_hand_tcp", f"joint_names:={PREFIXED_JOINTS}"]
    files = [f"urdf_file:={urdf}", f"settings_file:={folder}/prefixed.yaml"]
    limits = ["max_acceleration:=[10.0, 7.5, 10.0, 10.0, 10.0, 10.0, 10.0]"]
    running = [
        started("sim_arm", "/right", *fr3, f"start.position:={READY}"),
        # Its description comes from the simulated arm.
        started("planner_node", "/right", fr3[1], *patient),
        started("planner_node", "/left", *(f"robot.{p}" for p in files + names + limits), *patient),
    ]
    yield running
    for program in reversed(running):
        assert program.stop() == 0


class Side:
    """The planner of one namespace."""

    def __init__(self, peer, namespace, base):
        self.peer, self.base = peer, base
        name = f"{namespace}/diffusion_field_planner"
        self.client = ActionClient(peer, PlanGraspMotion, name + "/plan_grasp_motion")
        assert self.client.wait_for_server(30)
        peer.call(ListObjects, name + "/list_objects", ListObjects.Request())

    def run(self, **fields):
        message = goal(object_pose=stamped(self.base), **fields)
        for grasp in message.grasps:
            grasp.grasp_pose.header.frame_id = self.base
        handle = self.peer.ask(lambda: self.client.send_goal_async(message), "the answer to a goal")
        assert handle.accepted
        return self.peer.ask(handle.get_result_async, "a result", 90).result


def test_an_fr3_plans_and_moves_in_its_namespace(programs, peer):
    moved = []
    # Latched: the arm may find this subscription later than it accepts.
    peer.create_subscription(UInt32, "/right/sim_arm/accepted_trajectories", lambda m: moved.append(m.data), LATCHED)
    side = Side(peer, "/right", "fr3_link0")
    wait_for(lambda: peer.count_publishers("/right/joint_states") == 1, "joint states in the namespace")
    result = side.run(plan_only=False, velocity_scaling=1.0, acceleration_scaling=1.0)
    assert result.error_code == Result.NONE, result.error_msg
    assert list(result.trajectory.joint_names) == FR3_JOINTS
    wait_for(lambda: moved and moved[-1] == 1, "the trajectory at the simulated arm")
    names = {name for name, _ in peer.get_topic_names_and_types()}
    outside = {"/joint_states", "/arm_controller/joint_trajectory", "/object_pose", "/diffusion_field_planner/status"}
    assert not names & outside, "a namespace moves every name"


def test_a_prefixed_robot_by_parameters_with_split_joint_states(programs, peer):
    side = Side(peer, "/left", "left_panda_link0")
    upper = peer.create_publisher(JointState, "/left/joint_states", 10)
    lower = peer.create_publisher(JointState, "/left/joint_states", 10)
    halves = [(upper, slice(0, 4)), (lower, slice(4, 7))]

    def publish(publisher, part):
        message = JointState(name=PREFIXED_JOINTS[part] + ["gripper"], position=READY[part] + [0.0])
        message.header.stamp = peer.get_clock().now().to_msg()
        publisher.publish(message)

    timers = [peer.create_timer(0.02, lambda half=half: publish(*half)) for half in halves]
    result = side.run()
    assert result.error_code == Result.NONE, result.error_msg
    assert list(result.trajectory.joint_names) == PREFIXED_JOINTS
    # One of the publishers falls silent: its joints grow old, and are named.
    timers[1].cancel()
    wait_for(lambda: side.run().error_code == Result.ROBOT_STATE_STALE, "stale joints")
    result = side.run()
    assert "'left_panda_joint5'" in result.error_msg, result.error_msg
    timers[0].cancel()
