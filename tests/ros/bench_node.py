"""Measures the node over DDS: acceptance, cancellation, overhead, idle load, and the problems of `dfp bench pick` executed.

    scripts/env python3 tests/ros/bench_node.py [--count 20] [--rounds 30] [--idle 60] [--json]

Every row: n, how many did what they should, and percentiles in milliseconds. Exit status 1 when a plan was not executed.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

# Sets the domain before rclpy is imported.
from conftest import Peer, Program, wait_for  # isort: skip
import rclpy
from action_msgs.msg import GoalStatus
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.srv import ListObjects
from pick_problems import OBJECT_ID, MugCell, write_problems
from rclpy.action import ActionClient
from robot_cell import goal, running, wait_still

Result = PlanGraspMotion.Result


def row(name, times_ms, success=None, **more):
    """The figures of one measurement, as every benchmark of the project gives them."""
    times = sorted(times_ms)
    at = lambda share: times[min(int(share * len(times)), len(times) - 1)] if times else None
    percentiles = {"p50_ms": at(0.5), "p95_ms": at(0.95), "p98_ms": at(0.98), "max_ms": at(1.0)}
    return {"name": name, "n": len(times), "success": len(times) if success is None else success, **percentiles, **more}


def timed(action):
    start = time.monotonic()
    value = action()
    return 1e3 * (time.monotonic() - start), value


def learned(**fields):
    """A goal whose grasp the field chooses."""
    return goal(object_id=OBJECT_ID, grasps=[], velocity_scaling=1.0, acceleration_scaling=1.0, **fields)


# Longer than a node is alert after a goal, s.
SILENCE_S = 12.0


def acceptance(cell, rounds):
    """From the goal's way out to its acceptance: soon after another goal, while another one is being planned, and after a silence."""
    idle, busy, silent = [], [], []
    # A client that listens to nothing else: joint states at 200 Hz keep an rclpy node from taking the answer.
    client = Peer("bench_client")
    action = ActionClient(client, PlanGraspMotion, cell.NODE + "/plan_grasp_motion")
    assert action.wait_for_server(30)
    client.call(ListObjects, cell.NODE + "/list_objects", ListObjects.Request())
    send = lambda: client.ask(lambda: action.send_goal_async(learned()), "the answer to a goal")
    result = lambda handle: client.ask(handle.get_result_async, "a result")
    for _ in range(rounds):
        ms, first = timed(send)
        idle.append(ms)
        ms, second = timed(send)
        busy.append(ms)
        result(second)
        result(first)
        # Else every goal would meet the node at the same point of its rest.
        time.sleep(random.uniform(0.2, 0.3))
    for _ in range(rounds // 5):
        time.sleep(SILENCE_S + random.uniform(0.0, 0.1))
        ms, handle = timed(send)
        silent.append(ms)
        result(handle)
    client.close()
    named = {"goal_accepted": idle, "goal_accepted_while_planning": busy, "goal_accepted_after_silence": silent}
    return [row(name, times_ms) for name, times_ms in named.items()]


def cancellation(cell, rounds):
    """From the request to the answer and to the result, while planning and while the arm moves."""
    rows = []
    for stage, begin in [("planning", lambda: cell.send(learned())), ("moving", lambda: slowly(cell))]:
        answered, finished, cancelled = [], [], 0
        for k in range(rounds):
            handle = begin()
            # Into another part of the work each time.
            time.sleep(random.Random(k).uniform(0.0, 0.1))
            start = time.monotonic()
            ms, _ = timed(lambda: cell.peer.ask(handle.cancel_goal_async, "the answer to the cancel request"))
            status, _ = cell.result(handle)
            # A goal may have succeeded before the request came.
            if status == GoalStatus.STATUS_CANCELED:
                cancelled += 1
                answered.append(ms)
                finished.append(1e3 * (time.monotonic() - start))
            wait_still(cell)
        rows += [row(f"cancel_{stage}_answered", answered, cancelled), row(f"cancel_{stage}_finished", finished, cancelled)]
    return rows


def slowly(cell):
    """A goal that is being executed."""
    return running(cell, object_id=OBJECT_ID, grasps=[])


def overhead(cell, rounds):
    """Time at the client beyond the planner's own stages, plan only."""
    beyond, planned = [], 0
    for seed in range(1, rounds + 1):
        ms, (_, result) = timed(lambda: cell.run(learned(seed=seed)))
        if result.error_code == Result.NONE:
            planned += 1
            beyond.append(ms - 1e3 * sum(result.stage_times))
    return row("overhead_beyond_planner", beyond, planned)


def idle(node, seconds):
    """Share of a core and memory a minute after the last goal."""
    time.sleep(60.0)
    start, wall = node.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    share = (node.cpu_seconds() - start) / (time.monotonic() - wall)
    return {"name": "idle", "n": 1, "success": 1, "cpu_share": share, "memory_mb": node.memory_mb(), "window_s": seconds}


def execute_all(peer, problems_of_mesh, folder):
    """Every problem planned and executed; a plan that the controller refuses is a failure of the whole benchmark."""
    times, executed, refused, verified, failures = [], 0, 0, 0, []
    active, ready = [], []
    for mesh, problems in problems_of_mesh.items():
        ready_ms, (active_ms, cell) = timed(lambda: connected(mesh, folder, peer))
        active.append(active_ms)
        ready.append(ready_ms)
        for problem in problems:
            outcome = cell.pick(problem)
            times.append(1e3 * outcome.planning_s)
            refused += outcome.rejected
            planned = outcome.error_code == Result.NONE or outcome.error_code >= Result.EXECUTION_FAILED
            verified += planned
            executed += outcome.error_code == Result.NONE and outcome.rejected == 0
            if outcome.error_code != Result.NONE:
                failures.append(f"{problem.name}: {outcome.error_code}: {outcome.message}")
            print(f"{problem.name}: {outcome.error_code}, lifted {1e3 * outcome.lifted_m:.0f} mm", file=sys.stderr)
        cell.stop()
    picked = row("pick_executed", times, executed, verified=verified, rejected_trajectories=refused, failures=failures)
    return [picked, row("start_to_active", active), row("start_to_ready", ready)]


def connected(mesh, folder, peer):
    """Milliseconds until the node says that it is active, and the cell when this client has found all of it."""

    def node_and_arm():
        cell = MugCell(mesh, folder)
        wait_for(lambda: any("]: ready" in line for line in cell.node.output), "the active node")
        return cell

    active_ms, cell = timed(node_and_arm)
    cell.connect(peer)
    return active_ms, cell


def print_table(rows):
    print(f"{'':<30} {'success':>9} | {'p50':>8} {'p95':>8} {'p98':>8} {'max':>8} ms")
    for r in rows:
        times = " ".join(f"{r[key]:8.1f}" if r.get(key) is not None else f"{'':8}" for key in ("p50_ms", "p95_ms", "p98_ms", "max_ms"))
        known = ("name", "n", "success", "p50_ms", "p95_ms", "p98_ms", "max_ms", "failures")
        more = ", ".join(f"{k} {v:.3g}" for k, v in r.items() if k not in known)
        print(f"{r['name']:<30} {r['success']:>4}/{r['n']:<4} | {times} {more}")
        for failure in r.get("failures", []):
            print(f"  failed: {failure}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="problems to execute")
    parser.add_argument("--rounds", type=int, default=30, help="goals for each of the other figures")
    parser.add_argument("--idle", type=float, default=60.0, help="length of the idle window, s; it begins a minute after the last goal")
    parser.add_argument("--seed", type=int, default=0, help="of the problems")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    o = parser.parse_args()
    Program.prints = False
    rclpy.init()
    peer = Peer("bench")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problems_of_mesh = write_problems(folder, o.count, o.seed)
        rows = execute_all(peer, problems_of_mesh, folder)
        mesh, problems = next(iter(problems_of_mesh.items()))
        _, cell = connected(mesh, folder, peer)
        cell.arrange(problems[0])
        rows += acceptance(cell.cell, o.rounds) + [overhead(cell.cell, o.rounds)] + cancellation(cell.cell, o.rounds)
        rows.append(idle(cell.node, o.idle))
        cell.stop()
    peer.close()
    rclpy.shutdown()
    print("\n".join(map(json.dumps, rows))) if o.json else print_table(rows)
    picked = rows[0]
    sys.exit(picked["rejected_trajectories"] != 0 or picked["success"] < picked["verified"])


if __name__ == "__main__":
    main()
