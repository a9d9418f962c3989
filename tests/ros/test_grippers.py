"""gripper.type franka and parallel_gripper against rclpy servers: what is sent, and each way to fail. gripper_command is
what the simulated arm has."""

import time

import pytest
from action_peers import ServerNode
from conftest import wait_for
from control_msgs.action import ParallelGripperCommand
from diffusion_field_planner.action import PlanGraspMotion
from franka_msgs.action import Grasp, Move
from robot_cell import PlannerNode, SimArm, at_start, goal, write_can, write_scene

Result = PlanGraspMotion.Result
FAST = dict(plan_only=False, use_gripper=True, velocity_scaling=1.0, acceleration_scaling=1.0, lift_distance=0.05)


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    program = SimArm(write_can(tmp_path_factory.mktemp("arm")))
    yield program
    assert program.stop() == 0


def planner(folder, *parameters):
    """A planner that knows the can's shape, and so the width of what it grasps."""
    write_can(folder)
    (folder / "objects.yaml").write_text("objects: {can: {mesh: can.obj, scale: 0.001}}")
    known = [f"scene.file:={write_scene(folder)}", f"objects.file:={folder}/objects.yaml"]
    return PlannerNode(*known, "gripper.timeout:=2.0", *parameters)


class FrankaGripper(ServerNode):
    """franka_gripper's two actions."""

    def __init__(self):
        super().__init__("franka_gripper")
        self.moves, self.grasps, self.cancelled = [], [], 0
        self.behaviour = "hold"

    def start(self):
        self.serve(Move, "franka_gripper/move", self.move)
        self.serve(Grasp, "franka_gripper/grasp", self.grasp)

    def move(self, handle):
        self.moves.append(handle.request)
        handle.succeed()
        return Move.Result(success=True)

    def grasp(self, handle):
        self.grasps.append(handle.request)
        while self.behaviour == "hang":
            time.sleep(0.02)
            if handle.is_cancel_requested:
                self.cancelled += 1
                handle.canceled()
                return Grasp.Result()
        # As franka_gripper does: unsuccessful without words is a hand that closed on nothing.
        handle.succeed() if self.behaviour == "hold" else handle.abort()
        error = "libfranka gripper: Command failed!" if self.behaviour == "fault" else ""
        return Grasp.Result(success=self.behaviour == "hold", error=error)


def test_the_franka_hand_moves_grasps_and_fails_by_name(arm, peer, tmp_path):
    parameters = ["gripper.speed:=0.05", "gripper.force:=30.0", "gripper.epsilon_outer:=0.01"]
    node = planner(tmp_path, "gripper.type:=franka", *parameters)
    hand = FrankaGripper()
    try:
        _, result = at_start(peer).run(goal(**FAST))
        assert result.error_code == Result.GRIPPER_FAILED, result.error_msg
        assert "'franka_gripper/move' is not there" in result.error_msg

        hand.start()
        _, result = at_start(peer).run(goal(**FAST))
        assert result.error_code == Result.NONE, result.error_msg
        (move,), (grasp,) = hand.moves, hand.grasps
        assert (move.width, move.speed) == pytest.approx((0.08, 0.05))
        assert grasp.width == pytest.approx(0.06, abs=0.003), "the can's diameter"
        assert (grasp.epsilon.inner, grasp.epsilon.outer) == pytest.approx((0.005, 0.01))
        assert (grasp.speed, grasp.force) == pytest.approx((0.05, 30.0))

        expected = {
            "empty": (Result.GRASP_EMPTY, "holds nothing"),
            "fault": (Result.GRIPPER_FAILED, "Command failed!"),
            "hang": (Result.GRIPPER_FAILED, "gripper.timeout"),
        }
        for hand.behaviour, (code, words) in expected.items():
            _, result = at_start(peer).run(goal(**FAST))
            assert result.error_code == code and words in result.error_msg, result.error_msg
        wait_for(lambda: hand.cancelled == 1, "the end of the hand's goal")
    finally:
        assert node.stop() == 0
        hand.close()


class ParallelGripper(ServerNode):
    """A parallel_gripper_controller that aborts where it stalls, as it does by default."""

    def __init__(self):
        super().__init__("parallel_gripper")
        self.commands = []
        self.closed_to = 0.03
        self.serve(ParallelGripperCommand, "hand/gripper_cmd", self.execute, lambda _: self.closed_to is not None)

    def execute(self, handle):
        command = handle.request.command
        self.commands.append(command)
        (wanted,) = command.position
        position = max(wanted, self.closed_to)
        result = ParallelGripperCommand.Result(stalled=position > wanted, reached_goal=position == wanted)
        result.state.position = [position]
        handle.succeed() if result.reached_goal else handle.abort()
        return result


def test_a_parallel_gripper_stalls_around_the_object_or_holds_nothing(arm, peer, tmp_path):
    node = planner(tmp_path, "gripper.type:=parallel_gripper", "gripper.action:=hand/gripper_cmd", "gripper.joint_name:=finger")
    hand = ParallelGripper()
    try:
        _, result = at_start(peer).run(goal(**FAST))
        assert result.error_code == Result.NONE, result.error_msg
        opened, closed = hand.commands
        assert (list(opened.name), list(opened.position)) == (["finger"], pytest.approx([0.04]))
        # Speed and force of both fingers' distance; the position is one finger's.
        assert (closed.position[0], closed.velocity[0], closed.effort[0]) == pytest.approx((0.0, 0.05, 20.0))
        hand.closed_to = 0.0
        _, result = at_start(peer).run(goal(**FAST))
        assert result.error_code == Result.GRASP_EMPTY and "gripper.min_width" in result.error_msg
        hand.closed_to = None
        _, result = at_start(peer).run(goal(**FAST))
        assert result.error_code == Result.GRIPPER_FAILED and "rejected" in result.error_msg
    finally:
        assert node.stop() == 0
        hand.close()
