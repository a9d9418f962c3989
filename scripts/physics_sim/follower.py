"""Trajectories by the rules of joint_trajectory_controller; the same as src/ros/controller_rules.rs and src/ros/sim/follower.rs.

Plain data in, reference states out: no ROS and no physics here.
"""

import math
from dataclasses import dataclass, field

import numpy as np

# A speed below this counts as zero at the end of a trajectory (the controller's own constant is float epsilon).
ZERO_VELOCITY = 1.2e-7
# A joint that would have to jump further than this at the start would trip a real arm's safety stop, rad or m.
LARGEST_JUMP = 0.05


class Rejected(Exception):
    """Why the controller does not follow a trajectory."""


class JointsDiffer(Rejected):
    """The trajectory is for other joints."""


class EndsInThePast(Rejected):
    """The trajectory's stamp and duration lie before now."""


@dataclass
class Point:
    """One point; velocities and accelerations may be empty."""

    time_s: float
    positions: list
    velocities: list = field(default_factory=list)
    accelerations: list = field(default_factory=list)


@dataclass
class Trajectory:
    """A trajectory as it arrives. `start_in_s`: seconds from now, None at once (a zero stamp)."""

    joint_names: list
    points: list
    start_in_s: float | None = None


@dataclass
class Knot:
    """State at a time `[joints]`. `order`: polynomial of the piece that ends here, by what the trajectory gives: 1, 3 or 5."""

    time_s: float
    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    order: int = 5


def check(trajectory, joints):
    """Raises Rejected with the first rule that is broken."""
    named = trajectory.joint_names
    if len(named) != len(joints) or any(joint not in named for joint in joints):
        raise JointsDiffer(f"joints [{', '.join(named)}] are not the controller's joints [{', '.join(joints)}]")
    if not trajectory.points:
        raise Rejected("the trajectory has no points")
    if trajectory.start_in_s is not None:
        end_in_s = trajectory.start_in_s + trajectory.points[-1].time_s
        if end_in_s < 0.0:
            raise EndsInThePast(f"the trajectory ends {-end_in_s:.3f} s in the past")
    before_s = None
    for index, point in enumerate(trajectory.points):
        check_values(index, point, named)
        if point.time_s < 0.0 or (before_s is not None and point.time_s <= before_s):
            before = "0" if before_s is None else f"{before_s}"
            raise Rejected(f"point {index} at {point.time_s} s is not later than the one before at {before} s")
        before_s = point.time_s
    for joint, velocity in zip(named, trajectory.points[-1].velocities):
        if abs(velocity) > ZERO_VELOCITY:
            raise Rejected(f"joint '{joint}' ends with velocity {velocity}, it must be 0")


def check_values(index, point, joints):
    for name in ("positions", "velocities", "accelerations"):
        values = getattr(point, name)
        if len(values) != len(joints) and (name == "positions" or len(values)):
            raise Rejected(f"point {index}: {name} has {len(values)} values for {len(joints)} joints")
        for joint, value in zip(joints, values):
            if not math.isfinite(value):
                raise Rejected(f"point {index}: {name} of joint '{joint}' is {value}")


class Follower:
    """The reference that the servos get. Times are the simulation's, s."""

    def __init__(self, joints, position):
        self.joints = list(joints)
        self.position = np.array(position, float)
        self.velocity = np.zeros(len(joints))
        self.acceleration = np.zeros(len(joints))
        # From the state at the command to the end; empty while the arm holds its position.
        self.knots = []
        self._piece = None

    def is_moving(self):
        return bool(self.knots)

    def end_s(self):
        """When the running trajectory ends, None while the arm holds."""
        return self.knots[-1].time_s if self.knots else None

    def hold(self, position=None):
        """Stops at once, where the reference is or at a position."""
        self.knots = []
        self._piece = None
        if position is not None:
            self.position = np.array(position, float)
        self.velocity = np.zeros(len(self.joints))
        self.acceleration = np.zeros(len(self.joints))

    def command(self, trajectory, now_s):
        """Follows a trajectory instead of the running one; the way to its first point starts at the present reference.

        Raises Rejected; the running trajectory then goes on."""
        check(trajectory, self.joints)
        start_s = now_s + (trajectory.start_in_s or 0.0)
        order = [trajectory.joint_names.index(joint) for joint in self.joints]
        knots = [Knot(now_s, self.position.copy(), self.velocity.copy(), self.acceleration.copy())]
        for point in trajectory.points:
            knot = self._knot(point, order, start_s)
            if knot.time_s > now_s:
                knots.append(knot)
            elif point.time_s == 0.0 and len(trajectory.points) > 1:
                self._check_jump(knot)
                knots[0] = knot
                knot.time_s = now_s
        # Every point lies in the past or is due now: hold the last one if it is the present position.
        if len(knots) == 1:
            last = self._knot(trajectory.points[-1], order, start_s)
            self._check_jump(last)
            self.hold(last.position)
            return
        self.knots = knots
        self._piece = None

    def step(self, now_s):
        """Moves the reference to a time."""
        if not self.knots:
            return
        if now_s >= self.knots[-1].time_s:
            self.hold(self.knots[-1].position)
            return
        if self._piece is None or not self._piece[0] <= now_s < self._piece[1]:
            self._piece = self._find_piece(now_s)
        begin_s, _, coefficients = self._piece
        t = max(now_s - begin_s, 0.0)
        powers = t ** np.arange(6)
        degree = np.arange(6)
        self.position = powers @ coefficients
        self.velocity = (degree[1:] * powers[:-1]) @ coefficients[1:]
        self.acceleration = (degree[2:] * degree[1:-1] * powers[:-2]) @ coefficients[2:]

    def _find_piece(self, now_s):
        """Begin, end and polynomial `[6, joints]` of the piece at a time."""
        index = next(i for i, knot in enumerate(self.knots) if knot.time_s > now_s)
        begin, end = self.knots[max(index, 1) - 1], self.knots[max(index, 1)]
        return begin.time_s, end.time_s, polynomial(begin, end)

    def _knot(self, point, order, start_s):
        def picked(values):
            return np.array([values[i] for i in order], float) if len(values) else np.zeros(len(order))

        degree = 1 if not len(point.velocities) else 3 if not len(point.accelerations) else 5
        values = (picked(v) for v in (point.positions, point.velocities, point.accelerations))
        return Knot(start_s + point.time_s, *values, degree)

    def _check_jump(self, first):
        for joint, present, wanted in zip(self.joints, self.position, first.position):
            if abs(wanted - present) > LARGEST_JUMP:
                raise Rejected(f"joint '{joint}' is at {present:.6g} but the trajectory starts at {wanted:.6g}")


def polynomial(begin, end):
    """Coefficients `[6, joints]` through position (velocity (acceleration)) at both ends."""
    t = end.time_s - begin.time_s
    d = end.position - begin.position
    v0, v1, a0, a1 = begin.velocity, end.velocity, begin.acceleration, end.acceleration
    zero = np.zeros_like(d)
    if end.order == 1:
        return np.array([begin.position, d / t, zero, zero, zero, zero])
    if end.order == 3:
        return np.array([begin.position, v0, (3 * d - (2 * v0 + v1) * t) / t**2, (-2 * d + (v0 + v1) * t) / t**3, zero, zero])
    return np.array(
        [
            begin.position,
            v0,
            a0 / 2,
            (20 * d - (8 * v1 + 12 * v0) * t - (3 * a0 - a1) * t**2) / (2 * t**3),
            (-30 * d + (14 * v1 + 16 * v0) * t + (3 * a0 - 2 * a1) * t**2) / (2 * t**4),
            (12 * d - 6 * (v1 + v0) * t + (a1 - a0) * t**2) / (2 * t**5),
        ]
    )
