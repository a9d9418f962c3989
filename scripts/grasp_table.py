#!/usr/bin/env python3
"""The table of grasp figures: models beside each other, on the same objects, by the closed-form judge and by MuJoCo.

  scripts/grasp_table.py                                      the field that comes with the program, all categories
  scripts/grasp_table.py --row field --row "paper, small: --paper out/paper_small/paper_model.safetensors"
  scripts/grasp_table.py --row "left out: --weights out/left_out/grasp_field.safetensors --categories bottle,pan,fork"

A row is a name and what `dfp eval grasps` is to be called with for it. Each gives a line per category and a mean. Success is relative
to the data's own grasps: in MuJoCo (scripts/physics_check.py, which installs it on first use), and in brackets by the
closed-form judge. The folder keeps every mesh and grasp, and table.json all figures.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DFP = PROJECT / "target/release/dfp"
PHYSICS = PROJECT / "scripts/physics_check.py"
# Of each object by energy, as the closed-form judge takes them.
BEST = 20


def options():
    parser = argparse.ArgumentParser(
        prog="scripts/grasp_table.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--row", action="append", help="'NAME: OPTIONS of dfp eval grasps'; may be given again (default: field)")
    parser.add_argument("--objects", type=int, default=4, help="objects of each category")
    parser.add_argument("-n", type=int, default=100, help="samples of each object")
    parser.add_argument("--count", type=int, default=50, help="grasps of each object and set that MuJoCo tries")
    parser.add_argument("--processes", type=int, default=2, help="processes of MuJoCo")
    parser.add_argument("--out", type=Path, default=PROJECT / "out/table", help="folder for meshes, grasps and table.json")
    return parser.parse_args()


def told(command):
    """Runs a command that prints JSON; its progress goes through."""
    print("$", shlex.join(map(str, command)), file=sys.stderr)
    return json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)


def physics(files, count, processes, *more):
    """Held share by (category, set), with its standard error and n."""
    command = [PHYSICS, *files, "--count", count, "--processes", processes, "--json", *more]
    lines = told(command)["lines"]
    return {(line["category"], line["set"]): line for line in lines if line["category"] != "all"}


def lines_of(name, options_of_row, args):
    """A row's figures, a dictionary per category."""
    folder = args.out / "".join(c if c.isalnum() else "_" for c in name)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    call = [DFP, "eval", "grasps", "--objects", args.objects, "-n", args.n, "--out", folder, "--json", *shlex.split(options_of_row)]
    judged = told(call)
    files = {kind: sorted(folder.glob(f"*_{kind}.json")) for kind in ("raw", "filtered", "data")}
    held = physics([f for kind in files.values() for f in kind], args.count, args.processes)
    best = physics(files["raw"], BEST, args.processes, "--best")
    lines = []
    for scores in judged:
        category = scores["category"]
        of_data = held[category, "data"]["sampled_held"]

        def relative(line):
            return line["sampled_held"] / of_data if line and of_data else None

        closed_form = ("success_relative", "success_filtered_relative", "success_best20_relative")
        lines.append(
            {
                **scores,
                **{f"closed_form_{key}": scores[key] for key in closed_form},
                "success_relative": relative(held.get((category, "raw"))),
                "success_relative_se": held[category, "raw"]["sampled_se"],
                "success_filtered_relative": relative(held.get((category, "filtered"))),
                "success_best20_relative": relative(best.get((category, "raw"))),
                "data_held": of_data,
                "n_physics": held[category, "raw"]["sampled_n"],
                "row": name,
            }
        )
    return lines


def mean(lines, key):
    values = [line[key] for line in lines if line[key] is not None]
    return sum(values) / len(values) if values else None


def shown(value):
    return "-" if value is None else f"{value:.3f}"


def print_row(name, lines):
    print(f"\n**{name}** ({lines[0]['n']} samples a category, {lines[0]['n_physics']} of them in MuJoCo; "
          f"objects from seed {lines[0].get('first_object', 0)}, sampler from seed {lines[0].get('seed', 0)})\n")
    print("| category | raw | +- SE | filtered | best 20 | collision | EMD / floor | coverage / floor |")
    print("|---|---|---|---|---|---|---|---|")

    def cells(line):
        return [f"{shown(line[key])} ({shown(line['closed_form_' + key])})"
                for key in ("success_relative", "success_filtered_relative", "success_best20_relative")]

    for line in lines:
        raw, filtered, best = cells(line)
        print(f"| {line['category']} | {raw} | {shown(line['success_relative_se'])} | {filtered} | {best} | {shown(line['collision'])} "
              f"| {shown(line['emd_paper'])} / {shown(line['emd_floor'])} | {line['coverage']:.2f} / {line['coverage_floor']:.2f} |")
    keys = [key for key in lines[0] if isinstance(lines[0][key], float) or lines[0][key] is None]
    raw, filtered, best = cells({key: mean(lines, key) for key in keys})
    emd = sum(line["emd_paper"] / line["emd_floor"] for line in lines) / len(lines)
    coverage = sum(line["coverage"] / line["coverage_floor"] for line in lines) / len(lines)
    print(f"| **mean** | **{raw}** | | **{filtered}** | **{best}** | **{shown(mean(lines, 'collision'))}** | x {emd:.2f} | x {coverage:.2f} |")


def main():
    args = options()
    if not DFP.exists():
        raise SystemExit(f"grasp_table: {DFP} is missing; `make build` makes it")
    table = []
    for row in args.row or ["field"]:
        name, _, options_of_row = row.partition(":")
        lines = lines_of(name.strip(), options_of_row, args)
        print_row(name.strip(), lines)
        table += lines
    path = args.out / "table.json"
    path.write_text(json.dumps(table, indent=1))
    print(f"\n{path}", file=sys.stderr)


if __name__ == "__main__":
    main()
