"""Tolerances of a control_msgs/FollowJointTrajectory goal, as joint_trajectory_controller reads and checks them."""

from dataclasses import dataclass

import numpy as np

# A joint that stands, rad/s: the controller's stopped_velocity_tolerance.
STOPPED_VELOCITY = 0.01
# The value by which a goal takes a tolerance away.
ERASE = -1.0


class IllegalTolerance(ValueError):
    """A negative tolerance other than -1, or one of an unknown joint; the controller then uses its defaults."""


@dataclass
class Tolerances:
    """Largest errors `[joints]`; 0: not enforced. `goal_time_s`: how late the goal may be reached, 0: any time."""

    path_position: np.ndarray
    path_velocity: np.ndarray
    goal_position: np.ndarray
    goal_velocity: np.ndarray
    goal_time_s: float = 0.0

    def path_violation(self, position_error, velocity_error):
        """Index of a joint that is off its path, None if all are on it."""
        return first_beyond(position_error, self.path_position, velocity_error, self.path_velocity)

    def goal_violation(self, position_error, velocity_error):
        """Index of a joint that has not arrived, None if all have."""
        return first_beyond(position_error, self.goal_position, velocity_error, self.goal_velocity)


def defaults(joints):
    """Nothing is enforced but that the arm stands at the end."""
    zeros = np.zeros(len(joints))
    return Tolerances(zeros, zeros.copy(), zeros.copy(), np.full(len(joints), STOPPED_VELOCITY))


def of_goal(goal, joints):
    """The tolerances of a goal message over the defaults.

    Raises IllegalTolerance."""
    tolerances = defaults(joints)
    late_s = goal.goal_time_tolerance.sec + 1e-9 * goal.goal_time_tolerance.nanosec
    tolerances.goal_time_s = resolved(tolerances.goal_time_s, late_s, "goal_time_tolerance")
    targets = (
        ("path_tolerance", goal.path_tolerance, tolerances.path_position, tolerances.path_velocity),
        ("goal_tolerance", goal.goal_tolerance, tolerances.goal_position, tolerances.goal_velocity),
    )
    for name, entries, positions, velocities in targets:
        for entry in entries:
            if entry.name not in joints:
                raise IllegalTolerance(f"joint '{entry.name}' specified in goal.{name} does not exist")
            joint = joints.index(entry.name)
            positions[joint] = resolved(positions[joint], entry.position, f"{name} of '{entry.name}'")
            velocities[joint] = resolved(velocities[joint], entry.velocity, f"{name} of '{entry.name}'")
    return tolerances


def resolved(default, wanted, name):
    if wanted > 0.0:
        return wanted
    if abs(wanted - ERASE) < 1e-7:
        return 0.0
    if wanted < 0.0:
        raise IllegalTolerance(f"{name} is {wanted}")
    return default


def first_beyond(position_error, position_limit, velocity_error, velocity_limit):
    beyond = ((position_limit > 0.0) & (np.abs(position_error) > position_limit)) | (
        (velocity_limit > 0.0) & (np.abs(velocity_error) > velocity_limit)
    )
    return int(np.argmax(beyond)) if beyond.any() else None
