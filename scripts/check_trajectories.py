#!/usr/bin/env python3
"""Checks planned trajectories with software that the planner does not use: Pinocchio's kinematics and Coal's collision tests.

  target/release/dfp bench mbm --problems P.txt --urdf panda_spherized.urdf --srdf panda.srdf --trajectories out/t.txt
  V/bin/python scripts/check_trajectories.py out/t.txt --problems P.txt --urdf panda_spherized.urdf --srdf panda.srdf

Of every trajectory: start and goal are the problem's (goal poses: --goal pose), at rest; position, velocity, acceleration and jerk
stay inside Franka's limits; q, qd and qdd fit together; no link touches an obstacle or another link. Exits 1 if one is refused.
V is an environment with scripts/requirements/trajectories.txt.
"""

import argparse
import sys

import numpy as np
import pinocchio as pin

try:
    import coal
except ImportError:  # its name until 2024
    import hppfcl as coal

from trajectory_file import ACCELERATION, DOF, JERK, VELOCITY, problems, trajectories

# Fingers of the benchmark's robot, where the URDF lets them move, m.
FINGERS = [0.065, 0.065]
# The file has nine decimals; limits may be exceeded by rounding only.
RATIO_TOLERANCE = 1e-4


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trajectories")
    parser.add_argument("--problems", required=True)
    parser.add_argument("--urdf", required=True)
    parser.add_argument("--srdf", required=True)
    parser.add_argument("--goal", choices=["joint", "pose"], default="joint")
    parser.add_argument("--tool", default="panda_hand")
    parser.add_argument("--every", type=int, default=4, help="collisions at every k-th sample of 4 kHz (default: 1 kHz)")
    return parser.parse_args()


def shape(kind, scene, dimensions):
    """The published figures treat cylinders as capsules, but as boxes in the scene `box`."""
    if kind == "box":
        return coal.Box(*dimensions)
    height, radius = dimensions[:2]
    if scene == "box":
        return coal.Box(2 * radius, 2 * radius, height)
    return coal.Capsule(radius, height)


class Robot:
    def __init__(self, args):
        self.model = pin.buildModelFromUrdf(args.urdf)
        self.geometry = pin.buildGeomFromUrdf(self.model, args.urdf, pin.GeometryType.COLLISION)
        self.geometry.addAllCollisionPairs()
        pin.removeCollisionPairs(self.model, self.geometry, args.srdf)
        self.data = self.model.createData()
        self.tool = self.model.getFrameId(args.tool)
        # Of a link, and where it moves: the base stands where it stands.
        self.moving = [i for i, g in enumerate(self.geometry.geometryObjects) if g.parentJoint > 0]

    def full(self, q):
        return np.concatenate([q, FINGERS[: self.model.nq - DOF]])

    def tool_pose(self, q):
        pin.framesForwardKinematics(self.model, self.data, self.full(q))
        return self.data.oMf[self.tool].copy()

    def collision(self, scene, obstacles, rows):
        """The first collision of some configurations, in words, or None."""
        geometry = self.geometry.copy()
        for number, (kind, position, quaternion, dimensions) in enumerate(obstacles):
            placement = pin.SE3(pin.Quaternion(quaternion).normalized().matrix(), position)
            body = pin.GeometryObject(f"{kind} {number}", 0, 0, placement, shape(kind, scene, dimensions))
            index = geometry.addGeometryObject(body)
            for link in self.moving:
                geometry.addCollisionPair(pin.CollisionPair(link, index))
        data = pin.GeometryData(geometry)
        for time, q in rows:
            if pin.computeCollisions(self.model, self.data, geometry, data, self.full(q), True):
                hit = next(i for i, r in enumerate(data.collisionResults) if r.isCollision())
                pair = geometry.collisionPairs[hit]
                names = [geometry.geometryObjects[i].name for i in (pair.first, pair.second)]
                return f"{names[0]} touches {names[1]} at {time:.4f} s"
        return None


def complaint(robot, args, scene, problem, rows):
    """Why a trajectory is refused, or None; and its largest shares of the limits."""
    start, goal, obstacles = problem
    time, q, qd, qdd = rows[:, 0], rows[:, 1 : 1 + DOF], rows[:, 1 + DOF : 1 + 2 * DOF], rows[:, 1 + 2 * DOF :]
    step = np.diff(time)
    ratios = [
        (np.abs(qd) / VELOCITY).max(),
        (np.abs(qdd) / ACCELERATION).max(),
        (np.abs(np.diff(qdd, axis=0)) / step[:, None] / JERK).max(),
    ]
    lower, upper = robot.model.lowerPositionLimit[:DOF], robot.model.upperPositionLimit[:DOF]
    # What trapezoids of the derivatives leave, by Taylor: a twelfth of the jerk's share of a step.
    drift = np.abs(np.diff(q, axis=0) - 0.5 * (qd[1:] + qd[:-1]) * step[:, None]).max()
    speed_drift = np.abs(np.diff(qd, axis=0) - 0.5 * (qdd[1:] + qdd[:-1]) * step[:, None]).max()
    checks = [
        (step.min() <= 0, "time does not run forward"),
        (np.abs(q[0] - start).max() > 1e-6, "does not begin at the start"),
        (max(np.abs(qd[[0, -1]]).max(), np.abs(qdd[[0, -1]]).max()) > 1e-3, "is not at rest at an end"),
        (drift > 1e-6 or speed_drift > 2e-3, f"q, qd and qdd do not fit together: {drift:.1e}, {speed_drift:.1e}"),
        ((q < lower - 1e-6).any() or (q > upper + 1e-6).any(), "leaves the joint limits"),
        *((r > 1 + RATIO_TOLERANCE, f"{what} is {r:.4f} of its limit") for r, what in zip(ratios, ["velocity", "acceleration", "jerk"])),
    ]
    if args.goal == "joint":
        checks.append((np.abs(q[-1] - goal).max() > 1e-6, "does not end at the goal"))
    else:
        away = pin.log6(robot.tool_pose(goal).actInv(robot.tool_pose(q[-1]))).vector
        checks.append((np.abs(away).max() > 1e-4, f"ends {np.abs(away).max():.1e} (m, rad) from the goal pose"))
    for broken, reason in checks:
        if broken:
            return reason, ratios
    # Both ends, and every k-th between.
    chosen = sorted({*range(0, len(time), args.every), len(time) - 1})
    return robot.collision(scene, obstacles, ((time[i], q[i]) for i in chosen)), ratios


def main():
    args = options()
    robot = Robot(args)
    known = problems(args.problems)
    refused, count, largest, samples = 0, 0, np.zeros(3), 0
    for scene, index, rows in trajectories(args.trajectories):
        reason, ratios = complaint(robot, args, scene, known[scene, index], rows)
        count += 1
        samples += len(rows)
        largest = np.maximum(largest, ratios)
        if reason:
            refused += 1
            print(f"refused: {scene} {index}: {reason}")
    shares = " ".join(f"{r:.4f}" for r in largest)
    print(f"{count} trajectories, {samples} samples, {refused} refused; largest share of velocity, acceleration, jerk limits: {shares}")
    if count == 0:
        raise SystemExit("no trajectories")
    sys.exit(refused > 0)


if __name__ == "__main__":
    main()
