"""The node as a managed node: the five services, ~/transition_event, and that nothing moves unless it is active."""

import time

import pytest
from conftest import wait_for
from diffusion_field_planner.action import PlanGraspMotion
from diffusion_field_planner.msg import PlannerStatus
from diffusion_field_planner.srv import ListObjects
from lifecycle_msgs.msg import State, Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from robot_cell import LATCHED, READY, Cell, goal, programs_with, running, wait_still
from std_srvs.srv import Trigger

Result = PlanGraspMotion.Result


programs = programs_with("autostart:=false")


class Managed(Cell):
    def __init__(self, peer):
        super().__init__(peer)
        self.events, self.statuses = [], []
        peer.create_subscription(TransitionEvent, self.NODE + "/transition_event", self.events.append, 10)
        peer.create_subscription(PlannerStatus, self.NODE + "/status", self.statuses.append, LATCHED)
        self.wait_ready()
        wait_for(lambda: self.statuses, "~/status")

    def ask(self, kind, service, request=None):
        return self.peer.call(kind, f"{self.NODE}/{service}", request or kind.Request())

    def state(self):
        state = self.ask(GetState, "get_state").current_state
        return state.id, state.label

    def change(self, id=0, label=""):
        request = ChangeState.Request(transition=Transition(id=id, label=label))
        return self.ask(ChangeState, "change_state", request).success

    def steps(self):
        """What was published since the last call, once it is complete."""
        wait_for(lambda: len(self.events) >= 2, "two events")
        seen = [(e.start_state.label, e.transition.label, e.goal_state.label) for e in self.events]
        self.events.clear()
        return seen


@pytest.fixture
def cell(programs, peer):
    return Managed(peer)


def test_the_way_up_and_down(cell):
    assert cell.state() == (State.PRIMARY_STATE_UNCONFIGURED, "unconfigured")
    assert cell.statuses[-1].state == PlannerStatus.UNCONFIGURED
    assert not cell.send(goal()).accepted
    wait_for(lambda: "unconfigured" in cell.statuses[-1].last_rejection, "the reason of the rejection")
    names = lambda: [o.id for o in cell.ask(ListObjects, "list_objects").objects]
    assert "table" not in names(), "files are read when it is configured"
    assert not cell.change(Transition.TRANSITION_ACTIVATE), "not from here"
    assert not cell.change(label="transition_success"), "nobody may ask for that"

    assert cell.change(Transition.TRANSITION_CONFIGURE)
    assert cell.steps() == [
        ("unconfigured", "configure", "configuring"),
        ("configuring", "transition_success", "inactive"),
    ]
    assert cell.state() == (State.PRIMARY_STATE_INACTIVE, "inactive") and "table" in names()
    assert not cell.send(goal()).accepted
    available = cell.ask(GetAvailableTransitions, "get_available_transitions").available_transitions
    assert {t.transition.label for t in available} == {"cleanup", "activate", "shutdown"}

    assert cell.change(Transition.TRANSITION_ACTIVATE)
    assert cell.steps()[-1] == ("activating", "transition_success", "active")
    # The robot's model is made meanwhile.
    wait_for(lambda: cell.statuses[-1].state == PlannerStatus.IDLE, "readiness")
    assert cell.run(goal())[1].error_code == Result.NONE

    assert cell.change(label="deactivate") and cell.state()[1] == "inactive"
    assert cell.change(label="cleanup") and cell.state()[1] == "unconfigured" and names() in ([], ["can"])
    assert cell.change(label="configure") and cell.change(label="activate")
    assert cell.run(goal())[1].error_code == Result.NONE, "as before"


def test_deactivation_stops_the_arm_and_then_nothing_is_published(cell):
    if cell.state()[1] != "active":
        cell.change(label="configure")
        assert cell.change(label="activate")
    handle = running(cell)
    wait_for(lambda: cell.arm() != READY, "motion")
    start = time.monotonic()
    assert cell.change(label="deactivate")
    took = time.monotonic() - start
    result = cell.result(handle)[1]
    assert result.error_code == Result.CANCELED and "deactivated" in result.error_msg
    wait_still(cell)
    published = len(cell.trajectories)
    assert len(cell.trajectories[-1].points) == 1, "the arm is held by one point at rest"
    answer = cell.ask(Trigger, "stop")
    assert answer.success and "not active" in answer.message
    time.sleep(0.5)
    assert len(cell.trajectories) == published
    # Half a second for the goal, a turn of the loop for the answer; the rest is what a loaded machine may add.
    assert took < 2.5, f"{took:.2f} s"
    assert cell.change(label="activate")


def test_states_and_graph_are_those_of_rcl_lifecycle(cell):
    states = {s.id: s.label for s in cell.ask(GetAvailableStates, "get_available_states").available_states}
    assert states[State.PRIMARY_STATE_ACTIVE] == "active" and len(states) == 11
    graph = cell.ask(GetAvailableTransitions, "get_transition_graph").available_transitions
    assert len(graph) == 25
    ends = {(t.transition.id, t.start_state.label): t.goal_state.label for t in graph}
    assert ends[Transition.TRANSITION_ACTIVE_SHUTDOWN, "active"] == "shuttingdown"
    assert ends[Transition.TRANSITION_ON_ACTIVATE_FAILURE, "activating"] == "inactive"


def manages(cell, *steps):
    """What nav2's lifecycle manager does to a node, without a bond: asks for a transition by number, then for the state."""
    return all(cell.change(transition) and cell.state()[0] == state for transition, state in steps)


UP = (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE), (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE)
DOWN = (
    (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
    (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
)


def test_the_calls_of_nav2s_lifecycle_manager(cell):
    if cell.state()[1] == "active":
        assert manages(cell, *DOWN), "reset"
    assert manages(cell, *UP), "startup"
    assert manages(cell, DOWN[0]), "pause"
    assert not cell.send(goal()).accepted
    assert manages(cell, UP[1]), "resume"
    assert cell.run(goal())[1].error_code == Result.NONE


def test_shutdown_is_the_end_of_it(cell, programs):
    # As nav2's manager shuts down, which takes every node for unconfigured then.
    assert manages(cell, *DOWN, (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, State.PRIMARY_STATE_FINALIZED))
    assert cell.state() == (State.PRIMARY_STATE_FINALIZED, "finalized")
    assert not cell.send(goal()).accepted
    assert not cell.change(label="configure") and programs[1].alive()
