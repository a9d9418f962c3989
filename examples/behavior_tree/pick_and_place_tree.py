#!/usr/bin/env python3
"""Pick and place as a behaviour tree: the first of some objects that can be grasped is carried to a place.

The same tree as pick_and_place.xml, in py_trees and rclpy. The codes of the action's result decide, by their names, what comes after a
failure: another object, the same once more after a stop, or nothing.
"""

import argparse
import operator
import sys
import time

import py_trees
import rclpy
from diffusion_field_planner.action import PlanGraspMotion
from geometry_msgs.msg import PoseStamped
from py_trees.common import Access, ComparisonExpression, Status
from rclpy.action import ActionClient
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

Result = PlanGraspMotion.Result

PLANNER = "diffusion_field_planner"
TICK_S = 0.05
DISCOVERY_S = 10.0
# How long the planner may take to accept a goal, and to bring the arm to rest.
ANSWER_S = 3.0

# Another object may do.
OF_THE_OBJECT = (
    "UNKNOWN_OBJECT",
    "OBJECT_STALE",
    "NO_GRASP",
    "NO_IK_SOLUTION",
    "GOAL_IN_COLLISION",
    "NO_PATH",
    "NOT_CONVERGED",
    "TIMEOUT",
)
# May be over when the arm has come to rest. After CANCELED and PREEMPTED somebody else decides.
PASSING = (
    "SEND_GOAL_FAILURE",
    "ROBOT_STATE_STALE",
    "START_STATE_MOVING",
    "TF_ERROR",
    "CONTROLLER_UNAVAILABLE",
    "CONTROLLER_REJECTED",
    "SCENE_CHANGED",
    "GRASP_EMPTY",
)


def codes(names):
    return {getattr(Result, name) for name in names}


class GraspMotion(py_trees.behaviour.Behaviour):
    """Carries `object` to `place`; the goal is cancelled when the behaviour is halted.

    Writes `error_code`, `error_msg`, and whether something may be in the hand then (`holding`), which the next goal would let fall.
    """

    def __init__(self, name, **options):
        """`options`: further fields of the goal."""
        super().__init__(name)
        self.options = options
        self.blackboard = self.attach_blackboard_client()
        for key in ("object", "place"):
            self.blackboard.register_key(key, Access.READ)
        for key in ("error_code", "error_msg", "holding"):
            self.blackboard.register_key(key, Access.WRITE)

    def setup(self, node):
        self.client = ActionClient(node, PlanGraspMotion, f"{PLANNER}/plan_grasp_motion")
        if not self.client.wait_for_server(DISCOVERY_S):
            raise RuntimeError(f"no action {PLANNER}/plan_grasp_motion")

    def initialise(self):
        goal = PlanGraspMotion.Goal(object_id=self.blackboard.object, place_pose=self.blackboard.place, use_gripper=True)
        goal.approach_distance = goal.lift_distance = -1.0
        for field, value in self.options.items():
            setattr(goal, field, value)
        self.acceptance = self.client.send_goal_async(goal)
        self.accepted_by = time.monotonic() + ANSWER_S
        self.end = None

    def update(self):
        if not self.client.server_is_ready():
            self.cancel()
            return self.failed(Result.UNKNOWN if self.end else Result.SEND_GOAL_FAILURE, "the planner is not there")
        if not self.acceptance.done():
            if time.monotonic() < self.accepted_by:
                return Status.RUNNING
            self.cancel()
            return self.failed(Result.SEND_GOAL_FAILURE, "the planner did not answer")
        handle = self.acceptance.result()
        if not handle.accepted:
            return self.failed(Result.GOAL_REJECTED, f"why: topic {PLANNER}/status")
        if self.end is None:
            self.end = handle.get_result_async()
        if not self.end.done():
            return Status.RUNNING
        # Whatever the goal's status: with `failure_status: succeed` failures succeed too.
        result = self.end.result().result
        if result.error_code != Result.NONE:
            grasp_reached = result.grasp_position_error >= 0.0
            return self.failed(result.error_code, result.error_msg, grasp_reached and result.error_code != Result.GRASP_EMPTY)
        self.feedback_message = self.blackboard.object
        return Status.SUCCESS

    def failed(self, code, message, holding=False):
        self.blackboard.error_code = code
        self.blackboard.holding = holding
        self.blackboard.error_msg = self.feedback_message = message
        return Status.FAILURE

    def terminate(self, new_status):
        if self.status == Status.RUNNING and new_status == Status.INVALID:
            self.cancel()

    def cancel(self):
        """Also a goal whose acceptance is still on its way."""

        def when_accepted(acceptance):
            if acceptance.result().accepted:
                acceptance.result().cancel_goal_async()

        self.acceptance.add_done_callback(when_accepted)


class Stop(py_trees.behaviour.Behaviour):
    """Brings the arm to rest."""

    def setup(self, node):
        self.client = node.create_client(Trigger, f"{PLANNER}/stop")

    def initialise(self):
        self.answer = self.client.call_async(Trigger.Request())
        self.answered_by = time.monotonic() + ANSWER_S

    def update(self):
        if self.answer.done():
            return Status.SUCCESS if self.answer.result().success else Status.FAILURE
        return Status.RUNNING if time.monotonic() < self.answered_by else Status.FAILURE


class NextObject(py_trees.behaviour.Behaviour):
    """Moves the first of `objects` to `object`; fails when none is left."""

    def __init__(self, name):
        super().__init__(name)
        self.blackboard = self.attach_blackboard_client()
        for key in ("objects", "object"):
            self.blackboard.register_key(key, Access.WRITE)

    def update(self):
        if not self.blackboard.objects:
            return Status.FAILURE
        self.blackboard.object, *self.blackboard.objects = self.blackboard.objects
        return Status.SUCCESS


def condition(name, key, value, compare):
    """Compares what is on the blackboard with a value."""
    return py_trees.behaviours.CheckBlackboardVariableValue(name, ComparisonExpression(key, value, compare))


def error_is_one_of(name, names):
    return condition(name, "error_code", codes(names), lambda code, wanted: code in wanted)


def make_tree(objects, place, **options):
    """`objects`: ids, the preferred one first; `place`: PoseStamped of the object's frame; `options`: further fields of the goals."""
    blackboard = py_trees.blackboard.Client()
    for key, value in dict(objects=list(objects), place=place, error_code=Result.NONE, error_msg="", holding=False).items():
        blackboard.register_key(key, Access.WRITE)
        setattr(blackboard, key, value)
    sequence, selector = py_trees.composites.Sequence, py_trees.composites.Selector
    again = [
        error_is_one_of("passing?", PASSING),
        condition("nothing in the hand?", "holding", False, operator.eq),
        Stop("stop"),
        GraspMotion("carry once more", **options),
    ]
    carry = [GraspMotion("carry", **options), sequence("again", memory=True, children=again)]
    another = [
        error_is_one_of("none failed, or of the object?", ["NONE", *OF_THE_OBJECT]),
        NextObject("next object"),
        selector("carry or recover", memory=True, children=carry),
    ]
    one = sequence("one object", memory=True, children=another)
    return py_trees.trees.BehaviourTree(py_trees.decorators.Retry("any object", one, num_failures=len(objects)))


def spin(node, duration_s):
    """In the thread of the ticks: rclpy's clients lose an answer that arrives while another thread is inside `..._async`."""
    end = time.monotonic() + duration_s
    while (left_s := end - time.monotonic()) > 0:
        rclpy.spin_once(node, timeout_sec=left_s)


def run(tree, node, until=lambda: False):
    """Ticks until the tree has ended or the condition holds; returns its status."""
    while not until():
        tree.tick()
        if tree.root.status != Status.RUNNING:
            break
        spin(node, TICK_S)
    return tree.root.status


def halt(tree, node):
    """Ends a running tree: a goal on its way is cancelled, which stops the arm."""
    tree.root.stop(Status.INVALID)
    spin(node, ANSWER_S)


def place_message(frame, position_m):
    place = PoseStamped()
    place.header.frame_id = frame
    place.pose.position.x, place.pose.position.y, place.pose.position.z = position_m
    place.pose.orientation.w = 1.0
    return place


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("objects", nargs="+", help="ids of the objects, the preferred one first")
    parser.add_argument("--place", type=float, nargs=3, required=True, metavar=("X", "Y", "Z"), help="of the object's frame, m")
    parser.add_argument("--frame", default="panda_link0", help="frame of the place (default: panda_link0)")
    o = parser.parse_args(remove_ros_args(sys.argv)[1:])

    # Ctrl-C must leave rclpy alive, to cancel the goal.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("pick_and_place_tree")
    tree = make_tree(o.objects, place_message(o.frame, o.place))
    tree.setup(node=node)
    tree.visitors.append(py_trees.visitors.DisplaySnapshotVisitor())
    try:
        status = run(tree, node)
    except KeyboardInterrupt:
        halt(tree, node)
        sys.exit("halted")
    sys.exit(status != Status.SUCCESS)


if __name__ == "__main__":
    main()
