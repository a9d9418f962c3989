"""Action servers that play what the planner talks to: a controller and grippers."""

import threading
import time

from control_msgs.action import FollowJointTrajectory
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from robot_cell import JOINTS, READY, seconds


class ServerNode(Node):
    """A node with action servers that may block, spinning in its own threads."""

    def __init__(self, name):
        super().__init__(name)
        self._group = ReentrantCallbackGroup()
        self._servers = []
        self._running = MultiThreadedExecutor(4)
        self._running.add_node(self)
        self._spinner = threading.Thread(target=self._spin, daemon=True)
        self._spinner.start()

    def _spin(self):
        try:
            self._running.spin()
        except ExternalShutdownException:
            pass

    def serve(self, action, name, execute, accepts=lambda goal: True):
        server = ActionServer(
            self,
            action,
            name,
            execute_callback=execute,
            goal_callback=lambda goal: GoalResponse.ACCEPT if accepts(goal) else GoalResponse.REJECT,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            callback_group=self._group,
        )
        self._servers.append(server)
        return server

    def close(self):
        self._running.shutdown(2)
        self._spinner.join(5)
        for server in self._servers:
            server.destroy()
        self.destroy_node()


class Controller(ServerNode):
    """A joint_trajectory_controller with its arm. `behaviour`: follow, reject, abort, lie, hang."""

    NAME = "arm_controller/follow_joint_trajectory"

    def __init__(self):
        super().__init__("played_controller")
        self.behaviour = "follow"
        self.positions = list(READY)
        self.goals, self.ends = [], []
        self.server = None

    def start(self):
        self.server = self.serve(FollowJointTrajectory, self.NAME, self.execute, lambda _: self.behaviour != "reject")

    def die(self):
        """The server goes away in the middle of its goal."""
        self._servers.remove(self.server)
        self.server.destroy()

    def execute(self, handle):
        goal = handle.request
        self.goals.append(goal)
        result = FollowJointTrajectory.Result()
        if self.behaviour == "abort":
            handle.abort()
            result.error_code, result.error_string = -4, "elbow is stuck"
            return result
        if self.behaviour != "lie":
            end = self.follow(handle, goal.trajectory)
            self.ends.append(end)
            if end == "canceled":
                handle.canceled()
                return result
        handle.succeed()
        return result

    def follow(self, handle, trajectory):
        order = [list(trajectory.joint_names).index(name) for name in JOINTS]
        points = [(seconds(p.time_from_start), [p.positions[i] for i in order]) for p in trajectory.points]
        begin = time.monotonic()
        while True:
            now = time.monotonic() - begin
            if handle.is_cancel_requested:
                return "canceled"
            later = [k for k, (t, _) in enumerate(points) if t > now]
            if later:
                (t0, a), (t1, b) = points[max(later[0] - 1, 0)], points[later[0]]
                share = min(max((now - t0) / (t1 - t0), 0.0), 1.0) if t1 > t0 else 1.0
                self.positions = [x + share * (y - x) for x, y in zip(a, b)]
            else:
                self.positions = list(points[-1][1])
                if self.behaviour != "hang":
                    return "arrived"
            time.sleep(0.01)
