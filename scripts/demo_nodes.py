"""The demo's processes: the planner, and the simulated arm with the object, without dynamics (sim_arm) or in MuJoCo."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from physics_environment import make_importable

PROJECT = Path(__file__).resolve().parents[1]
WEIGHTS = PROJECT / "models/grasp_field.safetensors"
OBJECT_ID = "object"
# Of both arms: upright, hand downwards.
START_RAD = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]


class Programs:
    """The nodes as child processes; their output goes to files."""

    def __init__(self, bin_folder, log_folder):
        self.bin_folder, self.log_folder = bin_folder, log_folder
        self.running = {}

    def start(self, name, parameter_files=(), **parameters):
        self.run(name, [self.bin_folder / name], parameter_files, parameters)

    def start_mujoco(self, **parameters):
        # The first time MuJoCo is downloaded: nobody waits for the node meanwhile.
        make_importable()
        self.run("mujoco_sim", [sys.executable, PROJECT / "scripts/mujoco_sim.py"], (), parameters)

    def run(self, name, program, parameter_files, parameters):
        command = [*map(str, program), "--ros-args"]
        for file in parameter_files:
            command += ["--params-file", str(file)]
        for key, value in parameters.items():
            command += ["-p", f"{key.replace('__', '.')}:={value}"]
        log = open(self.log_folder / f"{name}.log", "w")
        self.running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def check(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                log = (self.log_folder / f"{name}.log").read_text()
                sys.exit(f"{name} ended with status {process.returncode}:\n{log[-2000:]}")

    def stop(self):
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        for process in self.running.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def robot_files(o):
    return PROJECT / f"urdf/{o.robot}.urdf", PROJECT / f"config/{o.robot}.yaml"


def start_nodes(o, scene, pose, programs):
    """`pose`: x, y, z [m], roll, pitch, yaw [rad] of the object."""
    objects = o.out / "objects.yaml"
    # JSON is YAML, with strings quoted whatever they hold.
    objects.write_text(json.dumps({"objects": {OBJECT_ID: {"mesh": str(o.object.resolve()), "scale": o.scale}}}))
    urdf, settings = robot_files(o)
    robot = {"robot__urdf_file": urdf, "robot__settings_file": settings}
    simulated = {
        **robot,
        "start__position": START_RAD,
        "object__mesh_file": o.object.resolve(),
        "object__mesh_scale": o.scale,
        "object__pose": pose,
    }
    planner = {**robot, "objects__file": objects, "scene__file": scene, "planning__model_file": WEIGHTS}
    if o.sim == "mujoco":
        programs.start_mujoco(**simulated, scene__file=scene)
        planner["use_sim_time"] = "true"
    else:
        programs.start("sim_arm", **simulated)
    programs.start("planner_node", [PROJECT / "config/planner.yaml"], **planner)
