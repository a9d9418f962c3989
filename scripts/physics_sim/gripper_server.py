"""The gripper's action, control_msgs/GripperCommand; a new command replaces the running one."""

import math

from control_msgs.action import GripperCommand
from rclpy.action import GoalResponse

from .running_goal import RunningGoal, serve


class GripperServer:
    """`lock` guards the gripper; `step` is called by whoever steps the physics, with the lock held."""

    def __init__(self, node, gripper, lock, action):
        self._node, self._gripper, self._lock = node, gripper, lock
        self._goal = None
        self._server = serve(node, GripperCommand, action, self._execute, self._on_goal)

    def step(self):
        """Ends the running goal when the fingers rest or the client has changed its mind."""
        if not self._goal:
            return
        handle = self._goal.handle
        if handle.is_cancel_requested:
            self._gripper.command(self._gripper.position, handle.request.command.max_effort)
            self.end("canceled")
        elif self._gripper.is_settled():
            self.end("succeed")

    def end(self, how):
        """Ends the running goal, if there is one; `how`: the handle's method."""
        if self._goal:
            self._goal.finish(how, self._result())
            self._goal = None

    def _on_goal(self, request):
        command = request.command
        if math.isfinite(command.position) and math.isfinite(command.max_effort):
            return GoalResponse.ACCEPT
        self._node.get_logger().error(f"gripper command {command.position} m, {command.max_effort} N is not finite")
        return GoalResponse.REJECT

    def _execute(self, handle):
        goal = RunningGoal(handle)
        with self._lock:
            self.end("abort")
            self._gripper.command(handle.request.command.position, handle.request.command.max_effort)
            self._goal = goal
        return goal.wait()

    def _result(self):
        gripper = self._gripper
        return GripperCommand.Result(
            position=gripper.position,
            effort=gripper.force_n,
            stalled=gripper.has_stalled(),
            reached_goal=gripper.has_arrived(),
        )
