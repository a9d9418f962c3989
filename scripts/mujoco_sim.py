#!/usr/bin/env python3
"""A simulated arm with physics: MuJoCo as a ROS 2 node. See docs/INTERFACE.md, "The physics simulation".

    scripts/env python3 scripts/mujoco_sim.py --ros-args -p robot.urdf_file:=urdf/panda.urdf \\
        -p robot.settings_file:=config/panda.yaml -p scene.file:=config/demo_scene.yaml \\
        -p object.mesh_file:=meshes/mug.obj -p "object.pose:=[0.55, 0.02, 0.001, 0.0, 0.0, 0.6]"

MuJoCo comes from PyPI on first use where this Python has none (scripts/physics_environment.py).
"""

import signal
import sys
import threading

import rclpy
from physics_environment import make_importable
from rclpy.executors import MultiThreadedExecutor
from rclpy.signals import SignalHandlerOptions

# Goals of arm and gripper wait in a thread each, also those that are being replaced.
THREADS = 8


def main():
    make_importable()
    from physics_sim.model import ModelError
    from physics_sim.node import Simulation

    # Ours ends the loop first: running goals get their results while the node still lives.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        simulation = Simulation()
    except ModelError as error:
        sys.exit(f"mujoco_sim: {error}")
    executor = MultiThreadedExecutor(THREADS)
    executor.add_node(simulation)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    simulation.run(lambda: not stop.is_set())
    simulation.close()
    executor.shutdown(1.0)
    spinning.join(1.0)
    simulation.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
