#!/usr/bin/env python3
"""How near to time-optimal the planned motions are: TOPP-RA's fastest timing of the same paths.

  V/bin/python scripts/time_optimal.py out/t.txt --stride 5

The path of each trajectory (`dfp bench mbm --trajectories`) is timed anew under velocity and acceleration limits alone; our timing
keeps the jerk limit too. V is an environment with scripts/requirements/trajectories.txt.
"""

import argparse
import logging

import numpy as np
import toppra
from toppra.constraint import JointAccelerationConstraint, JointVelocityConstraint

from trajectory_file import ACCELERATION, DOF, VELOCITY, trajectories

# Points of the path that a spline is laid through, and of the grid on which it is timed.
PATH_POINTS = 150
GRID_POINTS = 400


def fastest_s(q):
    """Duration of the fastest timing of the path through q [n, D]."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(q, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(way) > 1e-9])
    q, way = q[keep], way[keep]
    # Evenly over the way, so that the slow ends do not gather all points.
    chosen = np.unique(np.searchsorted(way, np.linspace(0.0, way[-1], PATH_POINTS)).clip(0, len(way) - 1))
    path = toppra.SplineInterpolator(way[chosen], q[chosen])
    limits = [
        JointVelocityConstraint(np.stack([-VELOCITY, VELOCITY], axis=1)),
        JointAccelerationConstraint(np.stack([-ACCELERATION, ACCELERATION], axis=1)),
    ]
    grid = np.linspace(0.0, way[chosen][-1], GRID_POINTS)
    timed = toppra.algorithm.TOPPRA(limits, path, gridpoints=grid, parametrizer="ParametrizeConstAccel").compute_trajectory()
    return None if timed is None else timed.duration


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trajectories")
    parser.add_argument("--stride", type=int, default=1, help="only every k-th trajectory")
    args = parser.parse_args()
    logging.getLogger("toppra").setLevel(logging.ERROR)
    ours, fastest, failed = [], [], 0
    for number, (_, _, rows) in enumerate(trajectories(args.trajectories)):
        if number % args.stride:
            continue
        found = fastest_s(rows[:, 1 : 1 + DOF])
        if found is None:
            failed += 1
            continue
        ours.append(rows[-1, 0])
        fastest.append(found)
    ratio = np.array(ours) / np.array(fastest)
    print(
        f"{len(ratio)} paths ({failed} not timed by TOPP-RA): ours {np.mean(ours):.3f} s, TOPP-RA {np.mean(fastest):.3f} s without jerk limit; "
        f"ours / TOPP-RA p50 {np.median(ratio):.3f}, p95 {np.quantile(ratio, 0.95):.3f}, max {ratio.max():.3f}"
    )


if __name__ == "__main__":
    main()
