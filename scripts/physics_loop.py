#!/usr/bin/env python3
"""Picks and places in random scenes, end to end: planner_node and MuJoCo over DDS, and what physically became of it.

  scripts/env python3 scripts/physics_loop.py                      100 scenes of each task
  scripts/env python3 scripts/physics_loop.py --task pick --count 20
  scripts/env python3 scripts/physics_loop.py --table              only the table of what was run before

The scenes are those of `dfp bench tasks`. A pick counts if the object is lifted and held for 2 s of simulated time, a place if it stands
within 2 cm and 10 deg. Each scene's outcome is a line of OUT/TASK.jsonl, with every phase in numbers; a second run goes on where the
first one ended.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TASKS = ("pick", "reorient", "shelf")


def options():
    parser = argparse.ArgumentParser(
        prog="scripts/physics_loop.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=TASKS, action="append", help="only this task; may be given again")
    parser.add_argument("--count", type=int, default=100, help="scenes of each task")
    parser.add_argument("--only", type=int, action="append", help="only the scene of this number; may be given again")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes and of the planner")
    parser.add_argument("--factor", type=float, default=0.0, help="simulated seconds per second while the arm moves (0: all it can)")
    parser.add_argument("--force", type=float, default=20.0, help="of each finger, N")
    parser.add_argument("--speed", type=float, default=0.0, help="share of the joints' velocity and acceleration limits (0: the node's)")
    parser.add_argument("--noise", type=float, nargs=2, default=(0.0, 0.0), metavar=("M", "RAD"), help="standard deviation of seen poses")
    parser.add_argument("--bin", type=Path, default=PROJECT / "target/release", help="folder of dfp and planner_node")
    parser.add_argument("--out", type=Path, default=PROJECT / "out/physics_loop", help="folder for scenes, logs and outcomes")
    parser.add_argument("--again", action="store_true", help="forget the outcomes of an earlier run")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    o = parser.parse_args()
    o.task = o.task or list(TASKS)
    # The planner takes paths in its files as relative to the file.
    o.out = o.out.resolve()
    return o


def write_problems(o, task):
    """The problem files of a task, in order."""
    folder = o.out / f"problems_{o.seed}"
    wanted = [folder / f"{task}_{i:03}.yaml" for i in range(o.count)]
    if not all(path.exists() for path in wanted):
        command = [o.bin / "dfp", "bench", "tasks", "--task", task, "--count", o.count, "--seed", o.seed, "--write", folder]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return [path for path in wanted if not o.only or int(path.stem.rsplit("_", 1)[1]) in o.only]


def read_lines(path):
    """Outcomes by scene; a line that a stopped run left half written is no outcome."""
    outcomes = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            outcome = json.loads(line)
        except json.JSONDecodeError:
            continue
        outcomes[outcome["scene"]] = outcome
    return outcomes


def run_task(o, task, runner):
    """Runs what is missing; returns the outcomes of the wanted scenes."""
    path = o.out / f"{task}_{o.seed}.jsonl"
    if o.again:
        path.unlink(missing_ok=True)
    outcomes = read_lines(path)
    problems = write_problems(o, task)
    for done, problem in enumerate(problems):
        if problem.stem not in outcomes and not o.table:
            outcome = runner().run(problem)
            outcomes[problem.stem] = outcome
            with path.open("a") as file:
                file.write(json.dumps(outcome) + "\n")
        show_progress(task, done + 1, len(problems), outcomes.get(problem.stem))
    return [outcomes[problem.stem] for problem in problems if problem.stem in outcomes]


def show_progress(task, done, total, outcome):
    width = 30
    bar = "#" * (width * done // total)
    told = f"{outcome['scene']}: {outcome['outcome']}" if outcome else ""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{task} [{bar:<{width}}] {done}/{total}  {told}", end="" if done < total else "\n", file=sys.stderr, flush=True)
    else:
        print(f"{task} {done}/{total} {told}", file=sys.stderr, flush=True)


def line_of(task, outcomes):
    """A task's figures."""
    executed = [o for o in outcomes if o["executed"]]
    good = sum(o["success"] for o in executed)
    planned_s = sorted(o["planning_s"] for o in executed)
    return {
        "task": task,
        "scenes": len(outcomes),
        "refused": len(outcomes) - len(executed),
        "executed": len(executed),
        "good": good,
        "rate_of_executed": good / len(executed) if executed else None,
        "rate_of_all": good / len(outcomes) if outcomes else None,
        "planning_p50_s": planned_s[len(planned_s) // 2] if planned_s else None,
        "refusals": Counter(o["outcome"] for o in outcomes if not o["executed"]),
        "failures": Counter(o["outcome"] for o in executed if not o["success"]),
    }


def print_table(lines):
    print("| task | scenes | refused by the planner | executed | success | of the executed | of all |")
    print("|---|---|---|---|---|---|---|")
    for line in lines:
        shares = " | ".join("-" if line[key] is None else f"{100 * line[key]:.0f} %" for key in ("rate_of_executed", "rate_of_all"))
        print(f"| {line['task']} | {line['scenes']} | {line['refused']} | {line['executed']} | {line['good']} | {shares} |")
    for line in lines:
        for title, key in (("refused", "refusals"), ("failed", "failures")):
            if line[key]:
                print(f"{line['task']}, {title}: " + ", ".join(f"{n} x {reason}" for reason, n in line[key].most_common()))


def main():
    o = options()
    o.out.mkdir(parents=True, exist_ok=True)
    # A domain of our own unless the user has one: no robot nearby may listen by accident.
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randint(1, 101)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    made = []

    def runner():
        # Made with the first scene that is to be run.
        if not made:
            from physics_scene_run import SceneRunner

            made.append(SceneRunner(o))
        return made[0]

    try:
        lines = [line_of(task, run_task(o, task, runner)) for task in o.task]
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on from here")
    finally:
        for each in made:
            each.close()
    if o.json:
        print(json.dumps(lines))
    else:
        print_table(lines)


if __name__ == "__main__":
    main()
