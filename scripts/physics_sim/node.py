"""The ROS 2 node of the physics simulation: what can be asked of it, and the loop that lets time pass."""

import threading
import time
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from . import model
from .controller import TrajectoryController
from .gripper_server import GripperServer
from .outputs import STEPS_PER_TICK, Outputs
from .parameters import declare
from .world import World

# A machine that falls behind by this much does not catch up, s.
LARGEST_LAG_S = 0.2
PAUSE_S, YIELD_S = 0.01, 5e-5


class Simulation(Node):
    """Time passes in `run`; callbacks come from an executor in other threads."""

    def __init__(self):
        super().__init__("mujoco_sim")
        self.values = declare(self)
        self.lock = threading.RLock()
        values = self.values
        compiled, robot, objects = model.build(
            values["robot.urdf_file"], values["robot.settings_file"], values["scene.file"], self._own_object()
        )
        if len(values["start.position"]) != len(robot.joints):
            raise model.ModelError(f"start.position has {len(values['start.position'])} values, the robot {len(robot.joints)} joints")
        self.world = World(compiled, robot, objects, values["start.position"])
        # Published time minus the physics' own.
        self.clock_offset_s = 0.0
        self.running = threading.Event()
        if not values["paused"]:
            self.running.set()
        self.outputs = Outputs(self, self.world, values)
        self.controller = TrajectoryController(
            self, self.world, self.lock, self.now_s, values["controller.topic"], values["controller.action"]
        )
        self.controller.on_answer = self.outputs.publish_answer
        self.gripper = None
        if self.world.gripper:
            self.gripper = GripperServer(self, self.world.gripper, self.lock, values["gripper.action"])
        self.create_subscription(PoseStamped, "~/place_object", self._place_object, 10)
        for name, kind, handler in (
            ("reset", Trigger, self._reset),
            ("reset_clock", Trigger, self._reset_clock),
            ("pause", SetBool, self._pause),
        ):
            self.create_service(kind, f"~/{name}", handler)
        self.add_on_set_parameters_callback(self._on_parameters)

    def _own_object(self):
        values = self.values
        if not values["object.mesh_file"]:
            return []
        pose = values["object.pose"]
        if len(pose) != 6:
            raise model.ModelError(f"object.pose has {len(pose)} values, it needs 6: x, y, z, roll, pitch, yaw")
        placed = model.Pose(tuple(pose[:3]), model.quaternion_of(*pose[3:]))
        mesh = Path(values["object.mesh_file"])
        return [model.ObjectEntry(values["object.id"], mesh, values["object.mesh_scale"], placed, values["object.mass"] or None)]

    # ---- time --------------------------------------------------------------------------------------------------------
    def now_s(self):
        """Time as it is published."""
        return self.world.time_s + self.clock_offset_s

    def run(self, is_ok):
        """Lets time pass until `is_ok()` is false."""
        # Where wall and simulated time were last together.
        anchor = None
        tick = 0
        while is_ok():
            if not self.running.is_set():
                anchor = None
                time.sleep(PAUSE_S)
                continue
            with self.lock:
                for _ in range(STEPS_PER_TICK):
                    self._step()
                self.outputs.publish(tick, self.now_s())
                tick += 1
                now_s, factor = self.world.time_s, self.values["real_time_factor"]
            if factor <= 0.0:
                anchor = None
                # Lets the callbacks have the lock.
                time.sleep(YIELD_S)
                continue
            if anchor is None or anchor[2] != factor:
                anchor = time.monotonic(), now_s, factor
            ahead_s = anchor[0] + (now_s - anchor[1]) / factor - time.monotonic()
            if ahead_s < -LARGEST_LAG_S:
                anchor = None
            time.sleep(max(ahead_s, YIELD_S))

    def _step(self):
        self.world.step(*self.controller.step())
        if self.gripper:
            self.gripper.step()

    # ---- what can be asked -------------------------------------------------------------------------------------------
    def _place_object(self, message):
        names = self.world.objects
        name = self.values["object.id"] if self.values["object.id"] in names else next(iter(names), None)
        if name is None:
            self.get_logger().error("place_object: there is no object")
            return
        p, q = message.pose.position, message.pose.orientation
        pose = model.Pose((p.x, p.y, p.z), (q.w, q.x, q.y, q.z))
        length = float(np.linalg.norm(pose.quaternion_wxyz))
        if not np.isfinite([*pose.position_m, length]).all() or abs(length - 1.0) > 1e-2:
            self.get_logger().error("place_object: not a pose")
            return
        with self.lock:
            self.world.place_object(name, pose)

    def _reset(self, _, response):
        with self.lock:
            if self.gripper:
                self.gripper.end("abort")
            self.controller.reset()
            self.world.reset()
        response.success = True
        return response

    def _reset_clock(self, _, response):
        with self.lock:
            self.clock_offset_s = -self.world.time_s
        response.success = True
        return response

    def _pause(self, request, response):
        if request.data:
            self.running.clear()
        else:
            self.running.set()
        response.success = True
        return response

    def _on_parameters(self, parameters):
        for parameter in parameters:
            if not (np.isfinite(parameter.value) and parameter.value >= 0.0):
                return SetParametersResult(successful=False, reason=f"{parameter.name} is {parameter.value}, it must be 0 or more")
        for parameter in parameters:
            self.values[parameter.name] = float(parameter.value)
        return SetParametersResult(successful=True)

    def close(self):
        """Ends what runs, so that nobody waits for it."""
        with self.lock:
            self.controller.close()
            if self.gripper:
                self.gripper.end("abort")
