#!/usr/bin/env python3
"""MotionBenchMaker's problems by another planner in the same run: mplib from PyPI (OMPL's RRT-Connect, FCL, TOPP-RA).

  V/bin/python scripts/peer_mplib.py --problems P.txt --urdf panda_spherized.urdf --srdf panda.srdf

Every k-th problem of the file, joint goals. mplib searches with its defaults (range 0.1 rad, path simplified) up to --limit seconds and
times the path inside velocity and acceleration limits; then `dfp bench mbm` plans the same problems, on one thread and on all of its
own. V is an environment with scripts/requirements/peer.txt (CPython 3.10 to 3.12).
"""

import argparse
import json
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mplib import Planner, Pose, set_global_seed
from mplib.collision_detection import fcl

from trajectory_file import ACCELERATION, DOF, VELOCITY, problems

PROJECT = Path(__file__).resolve().parents[1]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("--urdf", type=Path, required=True)
    parser.add_argument("--srdf", type=Path, required=True)
    parser.add_argument("--stride", type=int, default=4, help="only every k-th problem")
    parser.add_argument("--limit", type=float, default=3.0, help="seconds that mplib may search")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dfp", type=Path, default=PROJECT / "target/release/dfp")
    return parser.parse_args()


def geometry(kind, scene, dimensions):
    """The published figures treat cylinders as capsules, but as boxes in the scene `box`."""
    if kind == "box":
        return fcl.Box(dimensions)
    height, radius = dimensions[:2]
    if scene == "box":
        return fcl.Box([2 * radius, 2 * radius, height])
    return fcl.Capsule(radius, height)


class Peer:
    def __init__(self, args):
        limits = {"joint_vel_limits": VELOCITY, "joint_acc_limits": ACCELERATION}
        self.planner = Planner(str(args.urdf), "panda_hand", srdf=str(args.srdf), **limits)
        self.limit_s = args.limit
        self.names = []

    def plan(self, scene, start, goal, obstacles):
        """The timed joint positions, or None, and the milliseconds that it took, with the scene."""
        started = time.perf_counter()
        world = self.planner.planning_world
        for name in self.names:
            world.remove_object(name)
        self.names = []
        for number, (kind, position, (x, y, z, w), dimensions) in enumerate(obstacles):
            body = fcl.CollisionObject(geometry(kind, scene, dimensions), Pose(position, [w, x, y, z]))
            self.names.append(f"{kind} {number}")
            world.add_object(self.names[-1], body)
        full = np.zeros(len(self.planner.user_joint_names))
        full[:DOF] = start
        found = self.planner.plan_qpos([goal], full, time_step=0.02, planning_time=self.limit_s)
        took_ms = 1e3 * (time.perf_counter() - started)
        return (found if found["status"] == "Success" else None), took_ms


def row(name, solved, count, times_ms, ratio, duration_s, path_rad):
    times = " / ".join(f"{t:.1f}" for t in times_ms)
    print(f"| {name} | {solved} of {count} | {times} | {ratio:.0f} | {duration_s:.2f} | {path_rad:.2f} |", flush=True)


def ours(args, threads):
    command = [args.dfp, "bench", "mbm", "--problems", args.problems, "--urdf", args.urdf, "--srdf", args.srdf]
    command += ["--stride", args.stride, "--seed", args.seed, "--threads", threads, "--json"]
    told = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(told.splitlines()[-1])


def main():
    args = options()
    set_global_seed(args.seed)
    print("| planner | success | p50 / p95 / p98 / max ms | mplib / this, p50 | duration s | path rad |\n|---|---|---|---|---|---|")
    peer = Peer(args)
    times_ms, durations_s, paths_rad = [], [], []
    for number, ((scene, _), (start, goal, obstacles)) in enumerate(problems(args.problems).items()):
        if number % args.stride:
            continue
        found, took_ms = peer.plan(scene, start, goal, obstacles)
        times_ms.append(took_ms)
        if found:
            durations_s.append(found["duration"])
            paths_rad.append(np.linalg.norm(np.diff(found["position"], axis=0), axis=1).sum())
    quantiles = [*np.quantile(times_ms, [0.5, 0.95, 0.98]), max(times_ms)]
    name = f"mplib {version('mplib')}, at most {args.limit:g} s"
    row(name, len(durations_s), len(times_ms), quantiles, 1.0, np.mean(durations_s), np.mean(paths_rad))
    for name, threads in [("dfp, one thread", 1), ("dfp", 0)]:
        result = ours(args, threads)
        times = [result[key] for key in ("p50_ms", "p95_ms", "p98_ms", "max_ms")]
        row(name, result["success"], result["n"], times, quantiles[0] / times[0], result["duration_mean_s"], result["path_mean_rad"])


if __name__ == "__main__":
    main()
