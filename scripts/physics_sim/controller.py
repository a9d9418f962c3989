"""The arm's controller towards ROS: the topic and the action of a joint_trajectory_controller, with its codes and words."""

import copy

import numpy as np
from control_msgs.action import FollowJointTrajectory
from rclpy.action import GoalResponse
from trajectory_msgs.msg import JointTrajectory

from . import tolerances
from .follower import Follower, Point, Rejected, Trajectory
from .running_goal import RunningGoal, serve

Result = FollowJointTrajectory.Result
# Between two feedback messages, s of the simulation.
FEEDBACK_S = 0.05


def seconds(duration):
    return duration.sec + 1e-9 * duration.nanosec


class FollowGoal(RunningGoal):
    def __init__(self, handle, limits):
        super().__init__(handle)
        self.limits = limits

    def finish(self, end, code=Result.SUCCESSFUL, text=""):
        super().finish(end, Result(error_code=code, error_string=text))


class TrajectoryController:
    """Follows what arrives; `step` gives the reference. `lock` guards it and the physics; `now_s` is the simulation's time."""

    def __init__(self, node, world, lock, clock, topic, action):
        self._node, self._world, self._lock, self._clock = node, world, lock, clock
        self.follower = Follower(world.robot.joints, world.start_position)
        self._goal = None
        self._end_s = None
        self._feedback_due_s = 0.0
        # Called after each trajectory with the reason why it was refused, or "".
        self.on_answer = lambda reason: None
        node.create_subscription(JointTrajectory, topic, self._on_topic, 1)
        self._server = serve(node, FollowJointTrajectory, action, self._execute, self._on_goal)

    def reset(self):
        """Holds the start; a running goal ends."""
        self._end_goal("abort", Result.INVALID_GOAL, "The simulation was reset.")
        self.follower.hold(self._world.start_position)

    def close(self):
        """Ends a running goal, so that nobody waits for it."""
        self._end_goal("abort", Result.INVALID_GOAL, "The simulation ends.")

    def step(self):
        """The reference at the present time: position, velocity, acceleration `[joints]`."""
        follower = self.follower
        follower.step(self._world.time_s)
        if self._goal:
            self._judge(self._goal)
        return follower.position, follower.velocity, follower.acceleration

    # ---- the topic ---------------------------------------------------------------------------------------------------
    def _on_topic(self, message):
        with self._lock:
            try:
                self._follow(self._trajectory(message))
            except Rejected as reason:
                self._node.get_logger().error(f"trajectory rejected: {reason}")
                self.on_answer(str(reason))

    def _follow(self, trajectory):
        self.follower.command(trajectory, self._world.time_s)
        # As the controller has it, a running goal of the action is then judged by this trajectory.
        self._end_s = self.follower.end_s() or self._world.time_s
        self.on_answer("")

    def _trajectory(self, message):
        stamp_s = seconds(message.header.stamp)
        points = [
            Point(seconds(point.time_from_start), list(point.positions), list(point.velocities), list(point.accelerations))
            for point in message.points
        ]
        start_in_s = stamp_s - self._clock() if stamp_s else None
        return Trajectory(list(message.joint_names), points, start_in_s)

    # ---- the action --------------------------------------------------------------------------------------------------
    def _on_goal(self, request):
        with self._lock:
            try:
                copy.copy(self.follower).command(self._trajectory(request.trajectory), self._world.time_s)
            except Rejected as reason:
                self._node.get_logger().error(f"goal rejected: {reason}")
                self.on_answer(str(reason))
                return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _execute(self, handle):
        joints = self.follower.joints
        try:
            limits = tolerances.of_goal(handle.request, joints)
        except tolerances.IllegalTolerance as error:
            self._node.get_logger().error(f"{error}. Using default tolerances.")
            limits = tolerances.defaults(joints)
        goal = FollowGoal(handle, limits)
        with self._lock:
            self._end_goal("abort", Result.INVALID_GOAL, "Current goal preempted by new incoming action.")
            try:
                self._follow(self._trajectory(handle.request.trajectory))
                self._goal = goal
            except Rejected as reason:
                # The arm moved on since the goal was accepted.
                self.on_answer(str(reason))
                goal.finish("abort", Result.INVALID_GOAL, str(reason))
        return goal.wait()

    def _end_goal(self, end, code=Result.SUCCESSFUL, text=""):
        if self._goal:
            self._goal.finish(end, code, text)
            self._goal = None

    def _hold_here(self):
        self.follower.hold(self._world.position)

    def _judge(self, goal):
        """Ends the goal when it was cancelled, has left its path, or has arrived or should have."""
        follower, world = self.follower, self._world
        position_error, velocity_error = follower.position - world.position, follower.velocity - world.velocity
        late_s = world.time_s - self._end_s
        if goal.handle.is_cancel_requested:
            self._hold_here()
            self._end_goal("canceled")
        elif late_s < 0.0:
            joint = goal.limits.path_violation(position_error, velocity_error)
            if joint is not None:
                self._warn(joint, position_error, "its path")
                self._hold_here()
                self._end_goal("abort", Result.PATH_TOLERANCE_VIOLATED, "Aborted due to path tolerance violation")
        else:
            self._judge_arrival(goal, late_s, position_error, velocity_error)
        if self._goal and world.time_s >= self._feedback_due_s:
            self._feedback_due_s = world.time_s + FEEDBACK_S
            self._publish_feedback(goal)

    def _judge_arrival(self, goal, late_s, position_error, velocity_error):
        joint = goal.limits.goal_violation(position_error, velocity_error)
        if joint is None:
            self._end_goal("succeed", Result.SUCCESSFUL, "Goal successfully reached!")
        elif 0.0 < goal.limits.goal_time_s < late_s:
            self._warn(joint, position_error, "its goal")
            self._hold_here()
            text = f"Aborted due to goal_time_tolerance exceeding by {late_s:.6f} seconds"
            self._end_goal("abort", Result.GOAL_TOLERANCE_VIOLATED, text)

    def _warn(self, joint, position_error, what):
        name = self.follower.joints[joint]
        self._node.get_logger().warning(f"joint '{name}' is {position_error[joint]:.4f} away from {what}")

    def _publish_feedback(self, goal):
        follower, world = self.follower, self._world
        feedback = FollowJointTrajectory.Feedback(joint_names=follower.joints)
        feedback.desired.positions, feedback.desired.velocities = follower.position.tolist(), follower.velocity.tolist()
        feedback.actual.positions, feedback.actual.velocities = world.position.tolist(), world.velocity.tolist()
        feedback.error.positions = np.subtract(follower.position, world.position).tolist()
        feedback.error.velocities = np.subtract(follower.velocity, world.velocity).tolist()
        goal.handle.publish_feedback(feedback)
