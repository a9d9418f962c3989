"""A long run: many small goals, plan only; memory and CPU of the node must stay flat.

    scripts/env python3 tests/ros/soak.py [--goals 1000] [--json]

A row for each tenth of the run, and before them one of the goals in which as many results come to be kept as expire. Exit status 1
when a goal failed, or when the resident memory of the last tenth exceeds that of the first by more than 5 MB or the time of the
processor per goal by more than half.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

# Sets the domain before rclpy is imported.
from conftest import Peer, Program  # isort: skip
import rclpy
from robot_cell import Cell, PlannerNode, SimArm, from_above, goal, write_can, write_scene

PARTS = 10
# Of a result, s; and until there are as many as there will be.
RESULT_TIMEOUT_S = 2.0
LEVELLING_S = 3 * RESULT_TIMEOUT_S
MOST_GROWTH_MB = 5.0
MOST_SLOWDOWN = 1.5


def part(cell, node, goals, first, least_s=0.0):
    """Figures of so many goals, and of more if they took less than so long."""
    failed, latencies = [], []
    cpu, begin = node.cpu_seconds(), time.monotonic()
    for seed in itertools.count(first):
        if seed - first >= goals and time.monotonic() - begin >= least_s:
            break
        sent = time.monotonic()
        _, result = cell.run(goal(grasps=[from_above()], seed=seed, num_candidates=4, lift_distance=0.0))
        latencies.append(1e3 * (time.monotonic() - sent))
        if result.error_code != 0:
            failed.append(f"seed {seed}: {result.error_code}: {result.error_msg}")
    return {
        "goals": len(latencies),
        "failed": failed,
        "memory_mb": node.memory_mb(),
        "cpu_s_per_goal": (node.cpu_seconds() - cpu) / len(latencies),
        "p50_ms": statistics.median(latencies),
        "max_ms": max(latencies),
        "wall_s": time.monotonic() - begin,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--goals", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    o = parser.parse_args()
    Program.prints = False
    rclpy.init()
    peer = Peer("soak")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arm = SimArm(write_can(folder))
        node = PlannerNode(f"scene.file:={write_scene(folder)}", f"action.result_timeout:={RESULT_TIMEOUT_S}")
        cell = Cell(peer)
        cell.wait_ready()
        each = max(o.goals // PARTS, 1)
        rows = []
        for k in range(1 + PARTS):
            row = part(cell, node, each, 1 + k * each, least_s=0.0 if rows else LEVELLING_S)
            # The peer's own memory is not what is measured, but need not grow either.
            cell.feedback.clear()
            rows.append(row)
            shown = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
            print(json.dumps(row) if o.json else " ".join(f"{k} {v}" for k, v in shown.items()), flush=True)
        ends = [node.stop(), arm.stop()]
    peer.close()
    rclpy.shutdown()
    early, late = rows[1], rows[-1]  # The first row is of the levelling.
    grown_mb = late["memory_mb"] - early["memory_mb"]
    slower = late["cpu_s_per_goal"] / early["cpu_s_per_goal"]
    print(f"memory grew by {grown_mb:.1f} MB, processor time per goal by a factor {slower:.2f}", file=sys.stderr)
    failed = any(row["failed"] for row in rows) or any(ends)
    sys.exit(failed or grown_mb > MOST_GROWTH_MB or slower > MOST_SLOWDOWN)


if __name__ == "__main__":
    main()
