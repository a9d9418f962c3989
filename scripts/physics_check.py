#!/usr/bin/env python3
"""Do grasps hold in MuJoCo, in a hand of real geometry? Labels against physics, by category.

  scripts/physics_check.py --data FOLDER                  labels of a `dfp data` folder against physics
  scripts/physics_check.py grasps.json...                 grasps of `dfp grasps --mesh MESH --out grasps.json`
  scripts/physics_check.py grasps.json --mesh mug.obj --scale 0.001
  scripts/physics_check.py grasps.json --gripper config/grippers/robotiq_2f85.yaml

The object floats (no gravity), the fingers close under a force limit, the hand shakes along the approach and turns to and
fro about the jaw axis; a grasp holds if the open gripper starts free and both fingers touch the object at the end. The Franka hand has the maker's own collision meshes, any other gripper the boxes of its
file, which stands in the grasps' file too.
MuJoCo and the hand's meshes come from PyPI into DFP_PREFIX (default .prefix) on first use. docs/DATA.md says more.
"""

import argparse
import json
import math
import os
import random
import sys
from collections import defaultdict
from multiprocessing import get_context
from pathlib import Path

from physics_environment import HAND_FILES, prepare


def options():
    parser = argparse.ArgumentParser(
        prog="scripts/physics_check.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grasps", nargs="*", type=Path, help="grasps that `dfp grasps --out` wrote (JSON)")
    parser.add_argument("--data", type=Path, help="folder that `dfp data` wrote")
    parser.add_argument("--mesh", type=Path, help="mesh of the grasps (STL, OBJ or a `dfp data` file), if not the one named in them")
    parser.add_argument("--scale", type=float, help="metres per unit of --mesh")
    parser.add_argument("--gripper", type=Path, help="gripper file (config/grippers), if not the gripper named with the grasps")
    parser.add_argument("--objects", type=int, default=6, help="objects of each category, with --data")
    parser.add_argument("--count", type=int, default=20, help="grasps of each object (of each label, with --data)")
    parser.add_argument("--best", action="store_true", help="of sampled grasps the first --count in rank instead of any")
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
    from physics_files import read_grasp_file, read_gripper, read_sampled

    sets = []
    for path in args.grasps:
        try:
            sets.append(read_sampled(path, args.mesh, args.scale))
        except (ValueError, KeyError, OSError) as problem:
            print(f"physics_check: skipped {path}: {problem!r}", file=sys.stderr)
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
    if args.gripper:
        name, geometry = read_gripper(args.gripper)
        for grasps in sets:
            grasps.gripper, grasps.geometry = name, geometry
    for grasps in sets:
        if grasps.gripper != "franka_hand" and grasps.geometry is None:
            raise SystemExit(f"physics_check: {grasps.name}: gripper '{grasps.gripper}' without geometry; --gripper FILE gives it")
    return sets


def chosen(grasps, count, seed, best):
    """Places of up to `count` grasps: of each label in a data set, of all in a sample, where the mixture counts."""
    if grasps.drawn:
        everything = range(len(grasps.labels))
        if best or len(everything) <= count:
            return list(everything[:count])
        return sorted(random.Random(seed).sample(everything, count))
    places = []
    for label in (True, False, None):
        of_label = [i for i, have in enumerate(grasps.labels) if have is label]
        if len(of_label) > count:
            of_label = sorted(random.Random(seed).sample(of_label, count))
        places += of_label
    return places


def try_all(task):
    """Outcomes of an object's grasps as rows."""
    from physics_world import World, box_hand, franka_hand

    grasps, places, folder = task
    if grasps.gripper == "franka_hand":
        hand = franka_hand(*(str(folder / name) for name in HAND_FILES))
    else:
        hand = box_hand(grasps.geometry)
    world = World(grasps.vertices_m, grasps.triangles, hand)
    rows = []
    for i in places:
        outcome = world.try_grasp(grasps.poses[i])
        rows.append(
            {
                "object": grasps.name,
                "category": grasps.category,
                "set": grasps.drawn,
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
    """A line per category and set, and one over all of a set."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["category"], row["set"]].append(row)
        groups["all", row["set"]].append(row)
    order = sorted(groups, key=lambda key: (key[0] == "all", key))
    lines = [line_of(category, drawn, groups[category, drawn]) for category, drawn in order]
    ceiling = {line["category"]: line["sampled_held"] for line in lines if line["set"] == "data"}
    for line in lines:
        of_data = ceiling.get(line["category"])
        line["relative"] = line["sampled_held"] / of_data if of_data and line["sampled_held"] is not None else None
    only_one = len({row["category"] for row in rows}) == 1
    return [line for line in lines if not (only_one and line["category"] == "all")]


def line_of(category, drawn, rows):
    holding = [row for row in rows if row["label"] is True]
    failing = [row for row in rows if row["label"] is False]
    sampled = rows if drawn else []
    line = {"category": category, "set": drawn, "objects": len({row["object"] for row in rows})}
    line["holding_n"], line["failing_n"], line["sampled_n"] = len(holding), len(failing), len(sampled)
    line["holding_hold"], line["holding_se"] = share(holding, lambda row: row["held"])
    line["failing_fail"], line["failing_se"] = share(failing, lambda row: not row["held"])
    line["sampled_held"], line["sampled_se"] = share(sampled, lambda row: row["held"])
    line["agreement"], _ = share(holding + failing, lambda row: row["held"] is row["label"])
    for reason in ("collides", "misses", "lost"):
        line[reason] = sum(row["reason"] == reason for row in (sampled or holding))
    for why in ("collides", "misses", "slips", "drops"):
        part = [row for row in failing if row["failure"] == why]
        if part:
            line[f"failing_{why}"] = {"n": len(part), "fail": share(part, lambda row: not row["held"])[0]}
    return line


def print_table(lines):
    print(
        f"{'category':<11}{'set':<9}{'objects':>8}{'holding n':>10}{'hold':>7}{'+-SE':>6}{'failing n':>10}{'fail':>7}{'+-SE':>6}"
        f"{'sampled n':>10}{'held':>7}{'+-SE':>6}{'of data':>8}{'coll':>5}{'miss':>5}{'lost':>5}"
    )

    def number(x, width):
        return f"{'-':>{width}}" if x is None else f"{x:>{width}.3f}"

    for line in lines:
        print(
            f"{line['category']:<11}{line['set'] or '-':<9}{line['objects']:>8}"
            f"{line['holding_n']:>10}{number(line['holding_hold'], 7)}{number(line['holding_se'], 6)}"
            f"{line['failing_n']:>10}{number(line['failing_fail'], 7)}{number(line['failing_se'], 6)}"
            f"{line['sampled_n']:>10}{number(line['sampled_held'], 7)}{number(line['sampled_se'], 6)}{number(line['relative'], 8)}"
            f"{line['collides']:>5}{line['misses']:>5}{line['lost']:>5}"
        )
    print("holding, failing: analytic label; hold, fail: share that does so in physics. sampled: all grasps of a sample, whatever")
    print("their label; of data: against the set 'data' of the category. coll, miss, lost: why grasps of the sample (of `holding`) fail.")


def main():
    args = options()
    folder = prepare()
    python = folder / "bin/python"
    if Path(sys.prefix).resolve() != folder:
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])
    sets = load_sets(args)
    if not sets:
        raise SystemExit("physics_check: nothing to try")
    tasks = [(grasps, chosen(grasps, args.count, args.seed, args.best), folder) for grasps in sets]
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
