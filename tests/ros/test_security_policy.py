"""The security policy allows what the running nodes use, all of it and nothing else."""

import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest
import rclpy
from conftest import PATIENCE_S, PROJECT
from robot_cell import BASE, Cell, programs_with

sys.path.append(str(PROJECT / "examples/behavior_tree"))
from pick_and_place_tree import make_tree, place_message

POLICY = PROJECT / "config/security/policy.xml"
PARTS = "/_action/"


def allowed(name):
    """The policy's profile of a node: full names by what may be done with them."""
    (profile,) = ElementTree.parse(POLICY).findall(f".//profile[@node='{name}']")
    assert profile.get("ns") == "/"
    rules = {}
    for group in profile:
        ((right, verdict),) = group.items()
        assert verdict == "ALLOW" and right not in rules
        rules[right] = {full(entry.text, name) for entry in group}
    return rules


def full(text, node):
    return text if text.startswith("/") else f"/{text}".replace("/~", f"/{node}")


def used(peer, name):
    """The same of a running node, from the graph."""

    def names(entities):
        return {entity for entity, _ in entities(name, "/")}

    graph = {
        "publish": names(peer.get_publisher_names_and_types_by_node),
        "subscribe": names(peer.get_subscriber_names_and_types_by_node),
        "reply": names(peer.get_service_names_and_types_by_node),
        "request": names(peer.get_client_names_and_types_by_node),
    }
    actions = {right: {entity.split(PARTS)[0] for entity in entities if PARTS in entity} for right, entities in graph.items()}
    plain = {right: {entity for entity in entities if PARTS not in entity} for right, entities in graph.items()}
    return {**plain, "execute": actions["reply"], "call": actions["request"]}


def differences(peer, name):
    """What is used and not allowed, or the other way round, by right."""
    rules, graph = allowed(name), used(peer, name)
    of = {right: rules.get(right, set()) ^ graph.get(right, set()) for right in rules.keys() | graph.keys()}
    return {right: names for right, names in of.items() if names}


def assert_policy_fits(peer, name):
    # Discovery takes its time.
    end = time.monotonic() + PATIENCE_S
    while differences(peer, name) and time.monotonic() < end:
        time.sleep(0.1)
    assert differences(peer, name) == {}


# The planner listens to /clock only under simulated time.
programs = programs_with("use_sim_time:=true")


@pytest.mark.parametrize("name", ["diffusion_field_planner", "sim_arm"])
def test_the_policy_of_a_program_is_what_it_uses(programs, peer, name):
    Cell(peer).wait_ready()
    assert_policy_fits(peer, name)


def test_the_policy_of_a_client_is_what_it_uses(programs, peer):
    name = "pick_and_place_tree"
    node = rclpy.create_node(name)
    make_tree(["can"], place_message(BASE, (0.5, 0.0, 0.0))).setup(node=node)
    assert_policy_fits(peer, name)
    node.destroy_node()
