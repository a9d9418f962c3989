"""The launch files with a real `ros2 launch`; stand-ins play franka_ros2, Gazebo, Isaac Sim and ros2_control.

Only where ros2launch can be imported: ROS 2 from PyPI does not bring it."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import PATIENCE_S, PROJECT, Program, program, wait_for
from diffusion_field_planner.action import PlanGraspMotion
from rclpy.action import ActionClient
from robot_cell import READY, with_flags
from test_grippers import FrankaGripper

sys.path.append(str(PROJECT / "scripts"))
from physics_environment import make_importable

pytest.importorskip("ros2launch", reason="`ros2 launch` is not installed")

PACKAGE = "diffusion_field_planner"
HERE = Path(__file__).resolve().parent
PYTHON = f"#!/bin/sh\nexec {sys.executable} {HERE}/stand_ins.py"
IDLE, DONE = "#!/bin/sh\nexec sleep 3600\n", "#!/bin/sh\nexit 0\n"

FRANKA = """
from launch import LaunchDescription
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def nodes(context):
    given = lambda name: LaunchConfiguration(name).perform(context)
    assert (given("robot_type"), given("load_gripper"), given("robot_ip")) == ("fr3", "true", "172.16.0.2")
    assert open(given("controllers_yaml")).read() == "controllers"
    arm = {
        "robot.urdf_file": "%(project)s/urdf/fr3.urdf",
        "robot.settings_file": "%(project)s/config/fr3.yaml",
        "start.position": [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785],
        "controller.action": "fr3_arm_controller/follow_joint_trajectory",
        "controller.topic": "fr3_arm_controller/joint_trajectory",
        "object.mesh_file": "%(project)s/meshes/mug.obj",
        "object.pose": [0.55, 0.02, 0.0, 0.0, 0.0, 0.6],
    }
    return [Node(package="diffusion_field_planner", executable="sim_arm", namespace=given("namespace"),
                 parameters=[arm], remappings=[("joint_states", "franka/joint_states")])]

def generate_launch_description():
    return LaunchDescription([OpaqueFunction(function=nodes)])
"""

# The world is read as Gazebo would: its obstacles and its object are what the simulation gets.
GAZEBO = """
import json, tempfile
import xml.etree.ElementTree as ElementTree
from launch import LaunchDescription
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def numbers(element):
    return [float(word) for word in element.text.split()]

def nodes(context):
    run, server, file = LaunchConfiguration("gz_args").perform(context).split()
    world = ElementTree.parse(file).getroot().find("world")
    robot = world.get("name").removesuffix("_link0")
    obstacles = []
    for model in world.findall("model"):
        if model.find("static") is None:
            mesh = model.find("link/collision/geometry/mesh")
            object = {"object.mesh_file": mesh.find("uri").text.removeprefix("file://"), "object.pose": numbers(model.find("pose"))}
        else:
            pose = numbers(model.find("pose"))
            size = numbers(model.find("link/collision/geometry/box/size"))
            obstacles.append({"name": model.get("name"), "box": size, "pose": {"position_m": pose[:3], "rpy_rad": pose[3:]}})
    scene = tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False)
    json.dump({"obstacles": obstacles}, scene)
    scene.close()
    files = {"robot.urdf_file": f"%(project)s/urdf/{robot}.urdf", "robot.settings_file": f"%(project)s/config/{robot}.yaml"}
    return [Node(package="diffusion_field_planner", executable="mujoco_sim.py",
                 parameters=[{**files, **object, "scene.file": scene.name}])]

def generate_launch_description():
    return LaunchDescription([OpaqueFunction(function=nodes)])
"""


def install(prefix, package, files):
    """A package as it lies in an installed prefix. `files`: path below the prefix -> text, or what to link to."""
    marker = prefix / "share/ament_index/resource_index/packages" / package
    for path, content in {marker: "", **{prefix / name: content for name, content in files.items()}}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_text(content)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """This package and the stand-ins."""
    prefix = tmp_path_factory.mktemp("prefix")
    own = {f"share/{PACKAGE}/{name}": PROJECT / name for name in ("config", "meshes", "models", "rviz", "urdf")}
    # One by one, for `ros2 launch` looks into no folder that is a link.
    own |= {f"share/{PACKAGE}/launch/{file.name}": file for file in (PROJECT / "launch").glob("*.py")}
    own |= {f"lib/{PACKAGE}/{name}": program(name) for name in ("planner_node", "sim_arm")}
    own |= {f"lib/{PACKAGE}/{name}": PROJECT / "scripts" / name for name in ("mujoco_sim.py", "isaac_fingers.py")}
    install(prefix, PACKAGE, own)
    project = {"project": PROJECT}
    install(prefix, "franka_bringup", {"share/franka_bringup/launch/franka.launch.py": FRANKA % project})
    moveit = "franka_fr3_moveit_config"
    install(prefix, moveit, {f"share/{moveit}/config/fr3_ros_controllers.yaml": "controllers"})
    gazebo = {"lib/ros_gz_sim/create": DONE, "share/ros_gz_sim/launch/gz_sim.launch.py": GAZEBO % project}
    install(prefix, "ros_gz_sim", gazebo)
    install(prefix, "ros_gz_bridge", {"lib/ros_gz_bridge/parameter_bridge": IDLE})
    control_node = f'{PYTHON} ros2_control_node "$@"\n'
    manager = {"lib/controller_manager/spawner": DONE, "lib/controller_manager/ros2_control_node": control_node}
    install(prefix, "controller_manager", manager)
    state_publisher = f'{PYTHON} robot_state_publisher "$@"\n'
    install(prefix, "robot_state_publisher", {"lib/robot_state_publisher/robot_state_publisher": state_publisher})
    hardware = "joint_state_topic_hardware_interface"
    install(prefix, hardware, {f"share/{hardware}/package.xml": ""})
    return prefix


class StandIn(Program):
    def command(self, name):
        return [sys.executable, HERE / "stand_ins.py", name]


class Launch:
    """`ros2 launch` of one of our files, or of a file by its path."""

    def __init__(self, prefix, *arguments):
        environment = {**os.environ, "AMENT_PREFIX_PATH": f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}"}
        command = [sys.executable, "-c", "import sys; from ros2cli.cli import main; sys.exit(main())", "launch", *arguments]
        self.output = []
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.output.append(line)
            print(line, end="")

    def has_said(self, text):
        return any(text in line for line in self.output)

    def wait(self):
        status = self._process.wait(PATIENCE_S)
        self._reader.join(5)
        return status

    def stop(self):
        self._process.send_signal(signal.SIGINT)
        return self.wait()


@pytest.fixture
def launch(prefix):
    running = []

    def start(*arguments):
        running.append(Launch(prefix, *arguments))
        return running[-1]

    yield start
    for launch in running:
        if launch._process.poll() is None:
            os.killpg(launch._process.pid, signal.SIGKILL)


def pick(peer, namespace="", use_gripper=True):
    """A pick, planned and executed, of the object that the node knows."""
    client = ActionClient(peer, PlanGraspMotion, namespace + "/diffusion_field_planner/plan_grasp_motion")
    assert client.wait_for_server(PATIENCE_S)
    goal = PlanGraspMotion.Goal(approach_distance=-1.0, lift_distance=-1.0, seed=1, use_gripper=use_gripper)
    handle = peer.ask(lambda: client.send_goal_async(goal), "the answer to a goal")
    assert handle.accepted
    result = peer.ask(handle.get_result_async, "a result", 4 * PATIENCE_S).result
    assert result.error_code == PlanGraspMotion.Result.NONE, result.error_msg
    return result


FILES = ["demo", "mujoco", "franka", "gazebo", "isaac"]


@pytest.mark.parametrize("name", FILES)
def test_every_argument_is_described(launch, name):
    shown = launch(PACKAGE, f"{name}.launch.py", "-s")
    assert shown.wait() == 0
    for argument in ("robot", "namespace", "planner_config", "scene", "log_level"):
        assert shown.has_said(f"'{argument}':")
    assert not shown.has_said("No description given")


def test_a_driver_that_is_not_there_is_named(launch, prefix, tmp_path):
    bare = tmp_path / "bare"
    for part in ("share", "lib"):
        (bare / part).mkdir(parents=True)
        (bare / part / PACKAGE).symlink_to(prefix / part / PACKAGE)
    install(bare, PACKAGE, {})
    asked = Launch(bare, PACKAGE, "franka.launch.py", "start_driver:=true", "robot_ip:=172.16.0.2")
    assert asked.wait() == 1
    assert asked.has_said("start_driver needs the package 'franka_bringup', which is not installed or not sourced")


@pytest.mark.parametrize("name", ["demo", "mujoco"])
def test_simulated_arm(launch, peer, name):
    make_importable()
    running = launch(PACKAGE, f"{name}.launch.py", "robot:=fr3")
    pick(peer)
    assert running.stop() == 0


def test_franka(launch, peer, tmp_path):
    gripper = FrankaGripper()
    gripper.start()
    objects = tmp_path / "objects.yaml"
    objects.write_text(f"objects: {{object: {{mesh: {PROJECT}/meshes/mug.obj}}}}")
    driver = ["start_driver:=true", "robot_ip:=172.16.0.2"]
    fast = ["velocity_scaling:=0.5", "acceleration_scaling:=0.5"]
    running = launch(PACKAGE, "franka.launch.py", f"objects_file:={objects}", *driver, *fast)
    pick(peer)
    assert gripper.moves and gripper.grasps
    gripper.close()
    assert running.stop() == 0


def test_an_arm_with_other_names(launch, peer, tmp_path):
    """One of two arms: its joints are named left_fr3_*, its topics lie below left."""
    arm = tmp_path / "left_fr3.urdf"
    arm.write_text((PROJECT / "urdf/fr3.urdf").read_text().replace("fr3_", "left_fr3_"))
    settings = tmp_path / "left_fr3.yaml"
    text = (PROJECT / "config/fr3.yaml").read_text().replace("fr3_", "left_fr3_")
    settings.write_text(text.replace("grippers/", f"{PROJECT}/config/grippers/"))
    simulated = [
        f"robot.urdf_file:={arm}",
        f"robot.settings_file:={settings}",
        f"start.position:={READY}",
        f"object.mesh_file:={PROJECT}/meshes/mug.obj",
    ]
    sim_arm = Program("sim_arm", "--ros-args", "-r", "__ns:=/left", *with_flags(simulated))
    objects = tmp_path / "objects.yaml"
    objects.write_text(f"objects: {{object: {{mesh: {PROJECT}/meshes/mug.obj}}}}")
    names = ["namespace:=left", "arm_id:=left_fr3", "controller:=arm_controller", "joint_states:=joint_states", "gripper:=none"]
    fast = ["velocity_scaling:=0.5", "acceleration_scaling:=0.5"]
    running = launch(PACKAGE, "franka.launch.py", f"objects_file:={objects}", *names, *fast)
    result = pick(peer, "/left", use_gripper=False)
    assert result.trajectory.joint_names == [f"left_fr3_joint{i}" for i in range(1, 8)]
    assert running.stop() == 0
    assert sim_arm.stop() == 0


def test_gazebo(launch, peer):
    """MuJoCo in its place: the clock, the object and the obstacles of the world, the controllers' names."""
    make_importable()
    running = launch(PACKAGE, "gazebo.launch.py", "gui:=false", "gripper_type:=gripper_command")
    pick(peer)
    assert running.stop() == 0


def test_isaac(launch, peer):
    make_importable()
    isaac = StandIn("isaac", "panda", "isaac_joint_states", "isaac_joint_commands")
    topics = ["joint_states:=isaac_joint_states", "joint_command:=isaac_joint_commands"]
    running = launch(PACKAGE, "isaac.launch.py", *topics)
    pick(peer)
    assert running.stop() == 0
    isaac.stop()


LIFECYCLE = """
from launch import LaunchDescription
from launch.actions import EmitEvent, RegisterEventHandler
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

def generate_launch_description():
    node = LifecycleNode(package="diffusion_field_planner", executable="planner_node", name="diffusion_field_planner",
                         namespace="", output="screen", parameters=[{"autostart": False}])

    def ask(transition):
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=lambda action: action is node, transition_id=transition))

    def then(start, goal, transition):
        return RegisterEventHandler(
            OnStateTransition(target_lifecycle_node=node, start_state=start, goal_state=goal, entities=[ask(transition)])
        )

    return LaunchDescription([
        then("configuring", "inactive", Transition.TRANSITION_ACTIVATE),
        then("activating", "active", Transition.TRANSITION_DEACTIVATE),
        then("deactivating", "inactive", Transition.TRANSITION_CLEANUP),
        then("cleaningup", "unconfigured", Transition.TRANSITION_UNCONFIGURED_SHUTDOWN),
        node,
        ask(Transition.TRANSITION_CONFIGURE),
    ])
"""


def test_lifecycle_node_of_launch_ros(launch, tmp_path):
    """Each transition is asked for by an event when launch has seen the one before: up, down, and shut."""
    file = tmp_path / "lifecycle.launch.py"
    file.write_text(LIFECYCLE)
    running = launch(str(file))
    wait_for(lambda: running.has_said("lifecycle state: finalized"), "the end of the way")
    states = [line.split()[-1] for line in running.output if "lifecycle state:" in line]
    assert states == ["inactive", "active", "inactive", "unconfigured", "finalized"]
    assert running.stop() == 0
    assert not running.has_said("Failed to make transition")
