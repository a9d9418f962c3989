"""Trajectories as `dfp bench mbm --trajectories` writes them, and the benchmark's problems."""

import numpy as np

# Franka's published limits of the Panda: rad/s, rad/s^2, rad/s^3.
VELOCITY = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
ACCELERATION = np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0])
JERK = np.array([7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0])
DOF = 7


def trajectories(path):
    """Yields (scene, index, rows): a row is time, q, qd, qdd."""
    with open(path) as file:
        for line in file:
            mark, scene, index, samples = line.split()
            if mark != "T":
                raise SystemExit(f"{path}: a line begins with '{mark}' where 'T' is expected")
            rows = np.array([next(file).split() for _ in range(int(samples))], dtype=float)
            if rows.shape[1] != 1 + 3 * DOF:
                raise SystemExit(f"{path}: {scene} {index} has {rows.shape[1]} columns, expected {1 + 3 * DOF}")
            yield scene, index, rows


def problems(path):
    """(start, goal, obstacles) by (scene, index); an obstacle is (kind, position, quaternion xyzw, dimensions)."""
    found = {}
    with open(path) as file:
        for line in file:
            words = line.split()
            if not words:
                continue
            if words[0] == "P":
                numbers = np.array(words[3 : 3 + 2 * DOF], dtype=float)
                obstacles = []
                found[words[1], words[2]] = (numbers[:DOF], numbers[DOF:], obstacles)
            else:
                v = np.array(words[1:11], dtype=float)
                obstacles.append((words[0], v[:3], v[3:7], v[7:10]))
    return found
