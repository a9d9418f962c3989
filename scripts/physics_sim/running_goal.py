"""A goal of an action that ends when the physics says so, while a thread of the server waits for it."""

import threading

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup


class RunningGoal:
    def __init__(self, handle):
        self.handle = handle
        self._outcome = None
        self._done = threading.Event()

    def finish(self, end, result):
        """`end`: the handle's method that ends the goal."""
        self._outcome = end, result
        self._done.set()

    def wait(self):
        """Ends the goal when `finish` was called; returns its result."""
        self._done.wait()
        end, result = self._outcome
        getattr(self.handle, end)()
        return result


def serve(node, kind, name, execute, on_goal):
    """An action server that takes a cancel request at any time, and goals while another one runs."""
    return ActionServer(
        node,
        kind,
        name,
        execute,
        goal_callback=on_goal,
        cancel_callback=lambda handle: CancelResponse.ACCEPT,
        callback_group=ReentrantCallbackGroup(),
    )
