#!/usr/bin/env python3
"""Do grasps hold in MuJoCo, in a Franka hand of real geometry? Labels against physics, by category.

  scripts/physics_check.py --data FOLDER                  labels of a `dfp data` folder against physics
  scripts/physics_check.py grasps.json...                 grasps of `dfp grasps --mesh MESH --out grasps.json`
  scripts/physics_check.py grasps.json --mesh mug.obj --scale 0.001

The object floats (no gravity), the fingers close under a force limit, the hand shakes along the approach and turns to and
fro about the jaw axis; a grasp holds if the open gripper starts free and both fingers touch the object at the end.
MuJoCo and the hand's meshes come from PyPI into DFP_PREFIX (default .prefix) on first use. docs/DATA.md says more.
"""

import argparse
import hashlib
import json
import math
import os
import random
import subprocess
import sys
import zipfile
from collections import defaultdict
from multiprocessing import get_context
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
REQUIREMENTS = PROJECT / "scripts/requirements/physics.txt"
# The package that carries Franka's collision meshes; only these two files of it are kept.
MESHES = "gymnasium_robotics/envs/assets/kitchen_franka/franka_assets/meshes/collision"
HAND_FILES = ("hand.stl", "finger.stl")


def prepare():
    """The folder of the simulator's environment; makes it where it is missing or of other versions."""
    folder = Path(os.environ.get("DFP_PREFIX") or PROJECT / ".prefix").resolve() / "physics"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    complete = folder / ".complete"
    if complete.exists() and complete.read_text() == wanted:
        return folder
    print(f"physics_check: installing MuJoCo into {folder} (40 MB)", file=sys.stderr)
    complete.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [folder / "bin/python", "-m", "pip", "--disable-pip-version-check", "-q"]
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    carrier = next(line for line in lines if line.startswith("gymnasium-robotics"))
    others = [line for line in lines if line != carrier]
    subprocess.run([*pip, "install", "--no-deps", "--only-binary", ":all:", *others], check=True)
    subprocess.run([*pip, "download", "--no-deps", "--only-binary", ":all:", "-d", folder, carrier], check=True)
    wheel = next(folder.glob("gymnasium_robotics-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for name in HAND_FILES:
            (folder / name).write_bytes(archive.read(f"{MESHES}/{name}"))
    wheel.unlink()
    complete.write_text(wanted)
    return folder


def options():
    parser = argparse.ArgumentParser(
        prog="scripts/physics_check.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grasps", nargs="*", type=Path, help="grasps that `dfp grasps --out` wrote (JSON)")
    parser.add_argument("--data", type=Path, help="folder that `dfp data` wrote")
    parser.add_argument("--mesh", type=Path, help="mesh of the grasps (STL, OBJ or a `dfp data` file), if not the one named in them")
    parser.add_argument("--scale", type=float, help="metres per unit of --mesh")
    parser.add_argument("--objects", type=int, default=6, help="objects of each category, with --data")
    parser.add_argument("--count", type=int, default=20, help="grasps of each object and label")
    parser.add_argument("--categories", help="only these, with --data (comma between)")
    parser.add_argument("--seed", type=int, default=0, help="draws the grasps of a long list")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="with --json: the outcome of every grasp too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    if not args.grasps and not args.data:
        parser.error("--data or a file of grasps is needed")
    return args


def load_sets(args):
    """What is to be tried, thinned out to the wanted counts; bad files are named and skipped."""
    from physics_files import read_grasp_file, read_sampled

    sets = []
    for path in args.grasps:
        sets.append(read_sampled(path, args.mesh, args.scale))
    only = set(args.categories.split(",")) if args.categories else None
    taken = defaultdict(int)
    for path in sorted(args.data.glob("*.safetensors")) if args.data else []:
        try:
            grasps = read_grasp_file(path)
        except (ValueError, KeyError, OSError) as problem:
            print(f"physics_check: skipped {path}: {problem!r}", file=sys.stderr)
            continue
        if taken[grasps.category] < args.objects and (only is None or grasps.category in only):
            taken[grasps.category] += 1
            sets.append(grasps)
    return sets


def chosen(grasps, count, seed):
    """Places of up to `count` grasps of each label."""
    places = []
    for label in (True, False, None):
        of_label = [i for i, have in enumerate(grasps.labels) if have is label]
        if len(of_label) > count:
            of_label = sorted(random.Random(seed).sample(of_label, count))
        places += of_label
    return places


def try_all(task):
    """Outcomes of an object's grasps as rows."""
    from physics_world import World

    grasps, places, folder = task
    world = World(grasps.vertices_m, grasps.triangles, *(str(folder / name) for name in HAND_FILES))
    rows = []
    for i in places:
        outcome = world.try_grasp(grasps.poses[i])
        rows.append(
            {
                "object": grasps.name,
                "category": grasps.category,
                "grasp": i,
                "label": grasps.labels[i],
                "failure": grasps.reasons[i],
                "held": outcome.held,
                "reason": outcome.reason,
                "slid_m": round(outcome.slid_m, 5),
            }
        )
    return rows


def share(rows, wanted):
    """Share of rows, and its standard error over objects (over rows where there is one object)."""
    if not rows:
        return None, None
    by_object = defaultdict(list)
    for row in rows:
        by_object[row["object"]].append(wanted(row))
    rates = [sum(hits) / len(hits) for hits in by_object.values()]
    rate = sum(wanted(row) for row in rows) / len(rows)
    if len(rates) == 1:
        return rate, math.sqrt(rate * (1 - rate) / len(rows))
    mean = sum(rates) / len(rates)
    variance = sum((r - mean) ** 2 for r in rates) / (len(rates) - 1)
    return rate, math.sqrt(variance / len(rates))


def summarize(rows):
    """A line per category and one over all."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["category"]].append(row)
    lines = [line_of(name, groups[name]) for name in sorted(groups)]
    if len(lines) > 1:
        lines.append(line_of("all", rows))
    return lines


def line_of(name, rows):
    holding = [row for row in rows if row["label"] is True]
    failing = [row for row in rows if row["label"] is False]
    unlabelled = [row for row in rows if row["label"] is None]
    line = {"category": name, "objects": len({row["object"] for row in rows})}
    for key, part, wanted in (
        ("holding", holding, lambda row: row["held"]),
        ("failing", failing, lambda row: not row["held"]),
        ("sampled", unlabelled, lambda row: row["held"]),
    ):
        line[f"{key}_n"] = len(part)
        line[f"{key}_agrees"], line[f"{key}_se"] = share(part, wanted)
    labelled = holding + failing
    line["agreement"], _ = share(labelled, lambda row: row["held"] is row["label"])
    for reason in ("collides", "misses", "lost"):
        line[f"holding_{reason}"] = sum(row["reason"] == reason for row in holding + unlabelled)
    for why in ("collides", "misses", "slips", "drops"):
        part = [row for row in failing if row["failure"] == why]
        if part:
            line[f"failing_{why}"] = {"n": len(part), "fails": share(part, lambda row: not row["held"])[0]}
    return line


def print_table(lines):
    print(
        f"{'category':<11}{'objects':>8}{'holding n':>10}{'hold':>7}{'+-SE':>6}{'coll':>5}{'miss':>5}{'lost':>5}"
        f"{'failing n':>10}{'fail':>7}{'+-SE':>6}{'sampled n':>10}{'hold':>7}{'+-SE':>6}"
    )
    number = lambda x, width: f"{'-':>{width}}" if x is None else f"{x:>{width}.3f}"
    for line in lines:
        print(
            f"{line['category']:<11}{line['objects']:>8}{line['holding_n']:>10}{number(line['holding_agrees'], 7)}"
            f"{number(line['holding_se'], 6)}{line['holding_collides']:>5}{line['holding_misses']:>5}{line['holding_lost']:>5}"
            f"{line['failing_n']:>10}{number(line['failing_agrees'], 7)}{number(line['failing_se'], 6)}"
            f"{line['sampled_n']:>10}{number(line['sampled_agrees'], 7)}{number(line['sampled_se'], 6)}"
        )
    print("holding, failing: label; hold, fail: share that does so in physics; coll, miss, lost: why those that should hold do not")


def main():
    args = options()
    folder = prepare()
    python = folder / "bin/python"
    if Path(sys.prefix).resolve() != folder:
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])
    sets = load_sets(args)
    tasks = [(grasps, chosen(grasps, args.count, args.seed), folder) for grasps in sets]
    rows = []
    with get_context("spawn").Pool(args.processes) as pool:
        for done, part in enumerate(pool.imap(try_all, tasks), 1):
            rows += part
            if sys.stderr.isatty():
                print(f"\r{done}/{len(tasks)} objects, {len(rows)} grasps", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    lines = summarize(rows)
    if args.json:
        result = {"seed": args.seed, "lines": lines}
        if args.each:
            result["grasps"] = rows
        print(json.dumps(result))
    else:
        print_table(lines)


if __name__ == "__main__":
    main()
