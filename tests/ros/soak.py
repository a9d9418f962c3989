"""A long run: many small goals, plan only; memory and CPU of the node must stay flat.

    scripts/env python3 tests/ros/soak.py [--goals 1000] [--json]

A row for each tenth of the run. Exit status 1 when a goal failed, or when the resident memory of the last tenth exceeds that of
the second by more than 5 MB or the time of the processor per goal by more than half.
"""

import argparse
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
MOST_GROWTH_MB = 5.0
MOST_SLOWDOWN = 1.5


def part(cell, node, goals, first):
    """Figures of one tenth."""
    failed, latencies = [], []
    cpu, begin = node.cpu_seconds(), time.monotonic()
    for seed in range(first, first + goals):
        sent = time.monotonic()
        _, result = cell.run(goal(grasps=[from_above()], seed=seed, num_candidates=4, lift_distance=0.0))
        latencies.append(1e3 * (time.monotonic() - sent))
        if result.error_code != 0:
            failed.append(f"seed {seed}: {result.error_code}: {result.error_msg}")
    return {
        "goals": goals,
        "failed": failed,
        "memory_mb": node.memory_mb(),
        "cpu_s_per_goal": (node.cpu_seconds() - cpu) / goals,
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
        arm, node = SimArm(write_can(folder)), PlannerNode(f"scene.file:={write_scene(folder)}")
        cell = Cell(peer)
        cell.wait_ready()
        each = max(o.goals // PARTS, 1)
        rows = []
        for k in range(PARTS):
            row = part(cell, node, each, 1 + k * each)
            # The peer's own memory is not what is measured, but need not grow either.
            cell.feedback.clear()
            rows.append(row)
            shown = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
            print(json.dumps(row) if o.json else " ".join(f"{k} {v}" for k, v in shown.items()), flush=True)
        ends = [node.stop(), arm.stop()]
    peer.close()
    rclpy.shutdown()
    early, late = rows[1], rows[-1]
    grown_mb = late["memory_mb"] - early["memory_mb"]
    slower = late["cpu_s_per_goal"] / early["cpu_s_per_goal"]
    print(f"memory grew by {grown_mb:.1f} MB, processor time per goal by a factor {slower:.2f}", file=sys.stderr)
    failed = any(row["failed"] for row in rows) or any(ends)
    sys.exit(failed or grown_mb > MOST_GROWTH_MB or slower > MOST_SLOWDOWN)


if __name__ == "__main__":
    main()
