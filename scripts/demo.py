"""Picks an object with a simulated arm, and puts it elsewhere if the task says so: planner_node and sim_arm (or MuJoCo) as processes, a
goal through the action, real DDS.

Run by scripts/demo. Prints the feedback, then a table of the result; exit status 0 when the arm holds the object, or when the object is
at its place.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from demo_nodes import OBJECT_ID, PROJECT, WEIGHTS, Programs, robot_files, start_nodes

STARTUP_S, RESEND_S, RESULT_S = 30.0, 5.0, 60.0
# The table's top; the object stands on it.
TABLE_M = 0.0
# How near to its place the object must end, m and deg, and how long it is watched before that counts, s: physics lets things slip
# and topple.
JUDGED = {"kinematic": (0.01, 5.0, 0.0), "mujoco": (0.02, 10.0, 2.0)}


@dataclass(frozen=True)
class Stand:
    """A place to stand on: where the middle of the object's frame is above it, m, and how the object is turned, rad."""

    x: float
    y: float
    surface_z: float
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0


@dataclass(frozen=True)
class Task:
    scene: Path
    start: Stand
    place: Stand | None = None


TASKS = {
    "pick": Task(PROJECT / "config/demo_scene.yaml", Stand(0.55, 0.02, TABLE_M, yaw=0.6)),
    "reorient": Task(
        PROJECT / "config/demo_reorient_scene.yaml",
        Stand(0.5, 0.22, TABLE_M, roll=-math.pi / 2, yaw=0.6),
        Stand(0.5, -0.2, TABLE_M),
    ),
    "shelf": Task(
        PROJECT / "config/demo_shelf_scene.yaml", Stand(0.45, -0.25, TABLE_M, yaw=-0.8), Stand(0.6, 0.25, 0.25)
    ),
}


def options():
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="pick", help="pick; turn the object (reorient); put it into a shelf")
    parser.add_argument("--object", type=Path, default=PROJECT / "meshes/mug.obj", help="mesh to pick (default: a mug)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor from the mesh file's unit to metres")
    parser.add_argument("--position", type=float, nargs=2, metavar=("X", "Y"), help="of the object on the table, m (default: the task's)")
    parser.add_argument("--yaw", type=float, help="of the object, rad (default: the task's)")
    parser.add_argument("--sim", choices=JUDGED, default="kinematic", help="arm without dynamics, or MuJoCo with a clock of its own")
    parser.add_argument("--robot", choices=["panda", "fr3"], default="panda")
    parser.add_argument("--seed", type=int, default=0, help="0: a new one each time")
    parser.add_argument("--bin", type=Path, default=PROJECT / "target/release", help="folder of planner_node and sim_arm")
    parser.add_argument("--out", type=Path, default=PROJECT / "out", help="folder for logs and the result")
    parser.add_argument("--only-nodes", action="store_true", help="start the nodes, send no goal, run until Ctrl-C")
    return parser.parse_args()


def bounds_m(o):
    """Corners of the mesh's box in its own frame; `dfp` reads the file, so errors are its errors."""
    command = [o.bin / "dfp", "inspect", o.object, "--scale", str(o.scale), "--json"]
    reply = subprocess.run(command, capture_output=True, text=True)
    if reply.returncode != 0:
        sys.exit(reply.stderr.strip())
    mesh = json.loads(reply.stdout)
    return mesh["low_m"], mesh["high_m"]


def third_row(stand):
    """Heights of the object's axes when it is turned so."""
    return [
        -math.sin(stand.pitch),
        math.cos(stand.pitch) * math.sin(stand.roll),
        math.cos(stand.pitch) * math.cos(stand.roll),
    ]


def standing(stand, bounds):
    """x, y, z of the object's frame: its box a millimetre above the surface."""
    low, high = bounds
    lowest = sum(min(h * a, h * b) for h, a, b in zip(third_row(stand), low, high))
    return [stand.x, stand.y, stand.surface_z - lowest + 1e-3]


def quaternion(stand):
    """x, y, z, w of fixed-axis roll, pitch, yaw."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a / 2), math.sin(a / 2)) for a in (stand.roll, stand.pitch, stand.yaw))
    return [
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    ]


def task_of(o):
    """The task, with the object where the user wants it."""
    task = TASKS[o.task]
    start = task.start
    if o.position:
        start = replace(start, x=o.position[0], y=o.position[1])
    if o.yaw is not None:
        start = replace(start, yaw=o.yaw)
    return replace(task, start=start)


class Demo:
    """The goal's client: an rclpy node."""

    def __init__(self, programs):
        import rclpy
        from diffusion_field_planner.action import PlanGraspMotion
        from geometry_msgs.msg import PoseStamped
        from rclpy.action import ActionClient

        rclpy.init()
        self.rclpy, self.action, self.programs = rclpy, PlanGraspMotion, programs
        self.node = rclpy.create_node("demo")
        self.client = ActionClient(self.node, PlanGraspMotion, "diffusion_field_planner/plan_grasp_motion")
        # Messages of the object's pose, oldest first; `run` forgets them.
        self.seen = []
        self.stages = []
        self.node.create_subscription(PoseStamped, "object_pose", self.seen.append, 10)

    def wait(self, condition, what, timeout_s):
        end = time.monotonic() + timeout_s
        while not condition():
            self.programs.check()
            if time.monotonic() > end:
                sys.exit(f"waited {timeout_s:.0f} s for {what}")
            self.rclpy.spin_once(self.node, timeout_sec=0.05)

    def on_feedback(self, message):
        feedback = message.feedback
        elapsed_s = feedback.elapsed.sec + 1e-9 * feedback.elapsed.nanosec
        if not self.stages or self.stages[-1] != feedback.stage_name:
            self.stages.append(feedback.stage_name)
            print(f"  {elapsed_s:6.2f} s  {feedback.stage_name}", flush=True)

    def send(self, goal):
        """The future of the goal's handle. A server that has not discovered this client yet does not hear it: then once more."""
        end = time.monotonic() + STARTUP_S
        while True:
            accepted = self.client.send_goal_async(goal, feedback_callback=self.on_feedback)
            again = time.monotonic() + RESEND_S
            self.wait(lambda: accepted.done() or time.monotonic() > min(again, end), "the goal's acceptance", STARTUP_S)
            if accepted.done():
                return accepted
            if time.monotonic() > end:
                sys.exit(f"waited {STARTUP_S:.0f} s for the goal's acceptance")

    def watch(self, duration_s):
        """Poses of the object over a time of its stamps, at least one."""
        self.seen.clear()
        watched_s = lambda: stamp_s(self.seen[-1]) - stamp_s(self.seen[0]) if self.seen else -1.0
        self.wait(lambda: watched_s() >= duration_s, "the object's pose", STARTUP_S)
        return [message.pose for message in self.seen]

    def run(self, seed, place, watched_s):
        """Sends the goal and returns its result, the object's pose before, and its poses for a while after. `place`: a PoseStamped
        or None."""
        self.wait(self.client.server_is_ready, "the action server", STARTUP_S)
        start = self.watch(0.0)[0]
        goal = self.action.Goal(object_id=OBJECT_ID, use_gripper=True, seed=seed, approach_distance=-1.0, lift_distance=-1.0)
        if place:
            goal.place_pose = place
        accepted = self.send(goal)
        if not accepted.result().accepted:
            sys.exit("the goal was rejected; see the node's log")
        ended = accepted.result().get_result_async()
        self.wait(ended.done, "the goal's result", RESULT_S)
        return ended.result().result, start, self.watch(watched_s)


def stamp_s(message):
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


def path_length_rad(trajectory):
    """Length of the motion in joint space."""
    positions = [point.positions for point in trajectory.points]
    return sum(math.dist(a, b) for a, b in zip(positions, positions[1:]))


def place_message(robot, task, bounds):
    """The place as the action wants it, None if there is none."""
    from geometry_msgs.msg import PoseStamped

    if not task.place:
        return None
    message = PoseStamped()
    message.header.frame_id = f"{robot}_link0"
    p, q = message.pose.position, message.pose.orientation
    p.x, p.y, p.z = standing(task.place, bounds)
    q.x, q.y, q.z, q.w = quaternion(task.place)
    return message


def off_place(pose, place):
    """How far an object is from its place: m, deg."""
    (p, q), (p0, q0) = position_and_quaternion(pose), position_and_quaternion(place)
    cosine = min(1.0, abs(sum(a * b for a, b in zip(q, q0))))
    return math.dist(p, p0), math.degrees(2.0 * math.acos(cosine))


def rows(result, outcome):
    """The table: name and value."""
    last = result.trajectory.points[-1].time_from_start
    stages = ", ".join(f"{name} {1e3 * t:.0f}" for name, t in zip(result.stage_names, result.stage_times) if t >= 5e-4)
    planned_s = sum(result.stage_times)
    return [
        ("grasp energy", f"{result.grasp.energy:.3f}"),
        ("planning time", f"{1e3 * planned_s:.0f} ms ({stages})"),
        ("before it", f"{1e3 * (result.planning_time - planned_s):.0f} ms for robot and object, once"),
        ("path length", f"{path_length_rad(result.trajectory):.2f} rad"),
        ("duration", f"{last.sec + 1e-9 * last.nanosec:.2f} s"),
        ("smallest clearance", f"{1e3 * result.min_clearance:.1f} mm ({result.min_clearance_link} - {result.min_clearance_object})"),
        ("velocity, acceleration, jerk",
         f"{result.max_velocity_ratio:.2f}, {result.max_acceleration_ratio:.2f}, {result.max_jerk_ratio:.2f} of the limits"),
        ("gripper from grasp", f"{1e3 * result.grasp_position_error:.2f} mm, {math.degrees(result.grasp_orientation_error):.2f} deg"),
        outcome,
    ]


def position_and_quaternion(pose):
    p, q = pose.position, pose.orientation
    return [p.x, p.y, p.z], [q.x, q.y, q.z, q.w]


def matrix(pose):
    """Rows of the 4 x 4 matrix of a pose."""
    p, (x, y, z, w) = position_and_quaternion(pose)
    return [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), p[0]],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), p[1]],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), p[2]],
        [0.0, 0.0, 0.0, 1.0],
    ]


def draw(o, task, result, object_pose):
    """Writes the picture, through the files that `dfp draw` reads; they can be drawn and planned again by hand."""
    import yaml

    position_m, quaternion = position_and_quaternion(object_pose)
    urdf, settings = robot_files(o)
    points = [list(point.positions) for point in result.trajectory.points]
    problem = {
        "robot": {"urdf": str(urdf), "settings": str(settings)},
        "start": points[0],
        "objects": [
            {
                "name": OBJECT_ID,
                "mesh": str(o.object.resolve()),
                "scale": o.scale,
                "pose": {"position_m": position_m, "quaternion_xyzw": quaternion},
            }
        ],
        "obstacles": yaml.safe_load(task.scene.read_text())["obstacles"],
        "task": {"grasp": OBJECT_ID},
    }
    first = [*result.phase_first_points, len(points)]
    plan = {
        "phases": [
            {"kind": kind, "points": [{"position": q} for q in points[begin : end + 1]]}
            for kind, begin, end in zip(result.phase_names, first, first[1:])
        ],
        "grasp": {"world_from_gripper": matrix(result.grasp.grasp_pose.pose), "width_m": result.grasp.width or None},
    }
    files = o.out / "demo_problem.yaml", o.out / "demo_plan.json"
    for file, content in zip(files, (problem, plan)):
        file.write_text(json.dumps(content, indent=1))
    picture = o.out / "demo.png"
    subprocess.run([o.bin / "dfp", "draw", *files, "--weights", WEIGHTS, "--out", picture], check=True)
    return picture


def main():
    o = options()
    o.out.mkdir(parents=True, exist_ok=True)
    # A domain of our own unless the user has one: no robot nearby may listen by accident.
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randint(1, 101)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    task, bounds = task_of(o), bounds_m(o)
    programs = Programs(o.bin, o.out)
    try:
        start = task.start
        start_nodes(o, task.scene, [*standing(start, bounds), start.roll, start.pitch, start.yaw], programs)
        if o.only_nodes:
            print(f"running in ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}; Ctrl-C ends")
            while True:
                programs.check()
                time.sleep(0.5)
        print(f"{o.task}: {o.object.name} with the {o.robot}:")
        place = place_message(o.robot, task, bounds)
        place_m, place_deg, watched_s = JUDGED[o.sim]
        result, before, after = Demo(programs).run(o.seed, place, watched_s)
        if result.error_code != 0:
            sys.exit(f"failed: {result.error_code}: {result.error_msg}")
        watched = f" for {watched_s:.0f} s" if watched_s else ""
        lifted_m = min(pose.position.z for pose in after) - before.position.z
        outcome, failed = ("object lifted" + watched, f"{1e3 * lifted_m:.0f} mm"), lifted_m < 0.02
        if place:
            off_m, off_deg = off_place(after[-1], place.pose)
            outcome = ("object from its place", f"{1e3 * off_m:.1f} mm, {off_deg:.1f} deg")
            failed = off_m > place_m or off_deg > place_deg
        for name, value in rows(result, outcome):
            print(f"  {name:<29} {value}")
        print(f"  {'picture':<29} {draw(o, task, result, before)}")
        if failed:
            sys.exit("the arm moved, but the object is not where it should be")
    except KeyboardInterrupt:
        pass
    finally:
        programs.stop()


if __name__ == "__main__":
    main()
