"""One random scene end to end: planner_node and mujoco_sim as processes, a goal through the action, and the truth recorded meanwhile."""

import json
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rclpy
import yaml
from demo_nodes import PROJECT, WEIGHTS, Programs
from diffusion_field_planner.action import PlanGraspMotion
from geometry_msgs.msg import PoseStamped
from physics_judge import Sample, cause, judge_pick, judge_place, phases_of
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory
from vision_msgs.msg import Detection3DArray

NODE = "diffusion_field_planner"
STARTUP_S, RESULT_S, WATCH_WALL_S, DRAIN_WALL_S = 60.0, 180.0, 60.0, 0.5
RESEND_S, SENDINGS = 10.0, 4
SAME_TIME_S, DISCOVERY_WALL_S, QUIET_WALL_S = 0.2, 3.0, 0.3
# How long the end is watched, s of the simulation; the object comes to rest before the start.
WATCHED_S, SETTLED_S = 2.0, 0.3
Result = PlanGraspMotion.Result
# Constants of a message are properties of its class's class.
ERRORS = {getattr(Result, name): name for name in dir(type(Result)) if name.isupper()}


class SceneRunner:
    """Runs scenes one after the other, each with processes of its own."""

    def __init__(self, o):
        self.o = o
        # Messages of the simulation so far.
        self.heard = 0
        # Ctrl-C is Python's: the processes of the scene are ended first.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("physics_loop")
        self.client = ActionClient(self.node, PlanGraspMotion, f"{NODE}/plan_grasp_motion")
        self.speed = self.node.create_client(SetParameters, "mujoco_sim/set_parameters")
        self.node.create_subscription(Detection3DArray, "mujoco_sim/true_object_poses", self._on_poses, 50)
        self.node.create_subscription(String, "mujoco_sim/inspection", self._on_inspection, 50)
        self.node.create_subscription(JointTrajectory, "arm_controller/joint_trajectory", self._on_trajectory, 10)
        self._forget()

    def close(self):
        self.node.destroy_node()
        rclpy.shutdown()

    def run(self, problem_file):
        """The outcome of a problem file, for JSON."""
        problem = yaml.safe_load(problem_file.read_text())
        self.object_id = problem["task"]["grasp"]
        programs = Programs(self.o.bin, self.o.out)
        try:
            self._start(programs, problem, problem_file)
            outcome = self._run(programs, problem)
        except TimeoutError as error:
            outcome = {"executed": False, "success": False, "outcome": str(error)}
        finally:
            programs.stop()
            self._wait_gone()
        return {"scene": problem_file.stem, "object": self.object_id, **outcome}

    # ---- the processes -----------------------------------------------------------------------------------------------
    def _start(self, programs, problem, problem_file):
        self._forget()
        scene, objects = self.o.out / "scene.yaml", self.o.out / "objects.yaml"
        scene.write_text(json.dumps({"obstacles": problem["obstacles"]}))
        meshes = {e["name"]: {"mesh": str(problem_file.parent / e["mesh"]), "scale": e.get("scale", 1.0)} for e in problem["objects"]}
        objects.write_text(json.dumps({"objects": meshes}))
        robot = {"robot__urdf_file": problem["robot"]["urdf"], "robot__settings_file": problem["robot"]["settings"]}
        noise_m, noise_rad = self.o.noise
        programs.start_mujoco(
            **robot,
            scene__file=problem_file,
            start__position=problem["start"],
            pose_noise_position_m=float(noise_m),
            pose_noise_rotation_rad=float(noise_rad),
        )
        programs.start(
            "planner_node",
            [PROJECT / "config/planner.yaml"],
            **robot,
            objects__file=objects,
            # Not the objects of whoever runs this.
            objects__folder=self.o.out / "no_such_folder",
            scene__file=scene,
            planning__model_file=WEIGHTS,
            gripper__force=self.o.force,
            use_sim_time="true",
            # A loaded machine may hold messages back.
            state__max_age=1.0,
            state__timeout=10.0,
            objects__max_age=2.0,
        )

    def _wait_gone(self):
        end = time.monotonic() + STARTUP_S
        while self.client.server_is_ready() and time.monotonic() < end:
            rclpy.spin_once(self.node, timeout_sec=0.1)
        # What they sent last is not to be taken for the next scene's first.
        heard, quiet_s = -1, 0.0
        while heard != self.heard or time.monotonic() < quiet_s:
            if heard != self.heard:
                heard, quiet_s = self.heard, time.monotonic() + QUIET_WALL_S
            rclpy.spin_once(self.node, timeout_sec=0.02)

    # ---- one goal ----------------------------------------------------------------------------------------------------
    def _run(self, programs, problem):
        self._wait(programs, lambda: len(self.samples) > 0 and self.samples[-1].time_s > SETTLED_S, "the simulation", STARTUP_S)
        self._wait(programs, self.client.server_is_ready, "the action server", STARTUP_S)
        settings = problem["settings"]
        goal = PlanGraspMotion.Goal(
            object_id=self.object_id,
            use_gripper=True,
            seed=self.o.seed + 1,
            approach_distance=-1.0,
            lift_distance=float(settings["lift_distance_m"]),
            allowed_planning_time=float(settings["time_limit_s"]),
            velocity_scaling=self.o.speed,
            acceleration_scaling=self.o.speed,
        )
        place = problem["task"].get("place")
        if place:
            goal.place_pose = place_message(place)
        before = self.samples[-1]
        result = self._result(programs, goal)
        if result.error_code == Result.UNKNOWN_OBJECT:
            # The planner has not discovered yet who tells it where the object is.
            discovered = time.monotonic() + DISCOVERY_WALL_S
            self._wait(programs, lambda: time.monotonic() > discovered, "the planner's discovery", WATCH_WALL_S)
            result = self._result(programs, goal)
        if result.error_code != Result.NONE and not self.marks:
            return {"executed": False, "success": False, "outcome": error_name(result), "message": result.error_msg}
        return self._judge(programs, problem, before, result)

    def _result(self, programs, goal):
        sent = self._sent(programs, goal)
        ended = sent.result().get_result_async()
        self._wait(programs, ended.done, "the result", RESULT_S)
        return ended.result().result

    def _sent(self, programs, goal):
        """The future of the goal's handle. A server that has not discovered this client yet does not hear it: then once more."""
        for _ in range(SENDINGS):
            sent = self.client.send_goal_async(goal, feedback_callback=self._on_feedback)
            try:
                self._wait(programs, sent.done, "the goal's acceptance", RESEND_S)
                return sent
            except TimeoutError as error:
                last = error
        raise last

    def _judge(self, programs, problem, before, result):
        # Samples that are still on their way when the result is here were taken before the end.
        drained = time.monotonic() + DRAIN_WALL_S
        self._wait(programs, lambda: time.monotonic() > drained, "the last samples", WATCH_WALL_S)
        end_s = self.samples[-1].time_s
        self.marks.append((end_s, "watch"))
        self._wait(programs, lambda: self.samples[-1].time_s > end_s + WATCHED_S, "the end to be watched", WATCH_WALL_S)
        after = [sample for sample in self.samples if sample.time_s > end_s]
        place = problem["task"].get("place")
        fingers = self._fingers(problem)
        if place:
            x, y, z, w = place["quaternion_xyzw"]
            success, numbers = judge_place(after, np.array([*place["position_m"], w, x, y, z]), fingers)
        else:
            success, numbers = judge_pick(after, before, problem["settings"]["lift_distance_m"], fingers)
        success = success and result.error_code == Result.NONE
        phases = phases_of(self.samples, self._named_marks(result))
        failed = "" if result.error_code == Result.NONE else f"{error_name(result)}: "
        return {
            "executed": True,
            "success": success,
            "outcome": "success" if success else failed + cause(phases, fingers),
            "message": result.error_msg,
            "planning_s": round(result.planning_time, 3),
            "grasp_energy": round(result.grasp.energy, 3),
            **numbers,
            "phases": phases,
        }

    def _fingers(self, problem):
        settings = yaml.safe_load(Path(problem["robot"]["settings"]).read_text())
        joints = settings["gripper"]["finger_joints"]
        tree = ElementTree.parse(problem["robot"]["urdf"])
        return [tree.find(f"./joint[@name='{joint}']/child").get("link") for joint in joints]

    def _named_marks(self, result):
        """Marks with the phases' names: trajectories come in the order of the result's phases, the gripper's between them."""
        names = iter([*result.phase_names])
        gripper = iter(["open", "close", "release"])
        named = {"trajectory": lambda: next(names, "motion"), "gripper": lambda: next(gripper, "gripper"), "watch": lambda: "watch"}
        return [(time_s, named[kind]()) for time_s, kind in self.marks]

    # ---- messages ----------------------------------------------------------------------------------------------------
    def _forget(self):
        # The truth over time, and when what began: (time, trajectory | gripper | watch).
        self.samples, self.marks = [], []
        self._object, self._object_s, self._stage = None, 0.0, None

    def _on_poses(self, message):
        self.heard += 1
        for detection in message.detections:
            if detection.id == getattr(self, "object_id", None):
                p, q = detection.results[0].pose.pose.position, detection.results[0].pose.pose.orientation
                self._object = np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z])
                self._object_s = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec

    def _on_inspection(self, message):
        self.heard += 1
        told = json.loads(message.data)
        # A pose from another time is the last of the scene before, which may have had the same object.
        if self._object is None or abs(told["time_s"] - self._object_s) > SAME_TIME_S:
            return
        if self.samples and told["time_s"] < self.samples[-1].time_s:
            # Those before were the last of the scene before.
            self.samples.clear()
        hand = np.array([*told["hand_position_m"], *told["hand_quaternion_wxyz"]])
        contacts = told["contacts"].get(self.object_id, {})
        self.samples.append(Sample(told["time_s"], self._object, hand, told["finger_m"], told["finger_n"], contacts))

    def _on_trajectory(self, _):
        if self.samples:
            self.marks.append((self.samples[-1].time_s, "trajectory"))

    def _on_feedback(self, message):
        stage = message.feedback.stage
        if stage == self._stage:
            return
        self._stage = stage
        if stage == PlanGraspMotion.Feedback.GRIPPER and self.samples:
            self.marks.append((self.samples[-1].time_s, "gripper"))
            self._set_speed(self.o.factor)

    def _set_speed(self, factor):
        if factor != 1.0 and self.speed.service_is_ready():
            value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(factor))
            self.speed.call_async(SetParameters.Request(parameters=[Parameter(name="real_time_factor", value=value)]))

    def _wait(self, programs, condition, what, timeout_s):
        end = time.monotonic() + timeout_s
        while not condition():
            for name, process in programs.running.items():
                if process.poll() is not None:
                    sys.exit(f"{name} ended with status {process.returncode}; see {self.o.out / name}.log")
            if time.monotonic() > end:
                raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
            rclpy.spin_once(self.node, timeout_sec=0.05)


def place_message(place):
    message = PoseStamped()
    message.header.frame_id = "panda_link0"
    p, q = message.pose.position, message.pose.orientation
    p.x, p.y, p.z = place["position_m"]
    q.x, q.y, q.z, q.w = place["quaternion_xyzw"]
    return message


def error_name(result):
    return ERRORS.get(result.error_code, str(result.error_code))
