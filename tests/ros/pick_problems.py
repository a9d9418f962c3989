"""The problems of `dfp bench pick`, executed in a simulated cell."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml
from conftest import PROJECT, program, wait_for
from diffusion_field_planner.msg import SceneObject
from diffusion_field_planner.srv import ListObjects
from geometry_msgs.msg import Pose, PoseStamped
from robot_cell import BASE, READY, Cell, PlannerNode, SimArm, goal
from shape_msgs.msg import SolidPrimitive
from std_srvs.srv import Trigger

WEIGHTS = PROJECT / "models/grasp_field.safetensors"
OBJECT_ID = "mug"


@dataclass
class Problem:
    """One file of `dfp bench pick --write`."""

    name: str
    mesh: Path
    world_from_object: Pose
    obstacles: list

    @classmethod
    def load(cls, path):
        text = yaml.safe_load(path.read_text())
        (entry,) = text["objects"]
        return cls(path.stem, path.parent / entry["mesh"], to_pose(entry["pose"]), text["obstacles"])


def to_pose(entry):
    pose = Pose()
    p, q = pose.position, pose.orientation
    p.x, p.y, p.z = entry["position_m"]
    q.x, q.y, q.z, q.w = entry["quaternion_xyzw"]
    return pose


def write_problems(folder, count, seed=0):
    """The problems that the benchmark plans, by mesh."""
    command = [program("dfp"), "bench", "pick", "--count", str(count), "--seed", str(seed), "--write", str(folder)]
    subprocess.run(command, check=True, cwd=PROJECT)
    by_mesh = {}
    for path in sorted(folder.glob("pick_*.yaml")):
        problem = Problem.load(path)
        by_mesh.setdefault(problem.mesh, []).append(problem)
    return by_mesh


@dataclass
class Outcome:
    error_code: int
    message: str
    planning_s: float
    rejected: int
    lifted_m: float


class MugCell:
    """Node and simulated arm for one mesh."""

    def __init__(self, mesh, folder):
        objects = folder / f"{mesh.stem}_objects.yaml"
        # JSON is YAML, with strings quoted whatever they hold.
        objects.write_text(json.dumps({"objects": {OBJECT_ID: {"mesh": str(mesh)}}}))
        known = f"objects.default_id:={OBJECT_ID}"
        self.arm = SimArm(None, f"object.mesh_file:={mesh}", f"object.id:={OBJECT_ID}")
        self.node = PlannerNode(known, f"objects.file:={objects}", f"planning.model_file:={WEIGHTS}")

    def connect(self, peer):
        self.cell = cell = Cell(peer)
        cell.wait_ready()
        self.place = peer.publisher(PoseStamped, "/sim_arm/place_object")
        self.scene = peer.publisher(SceneObject, "scene_object")

    def arrange(self, problem):
        """Arm at its start, object and obstacles where the problem has them."""
        peer = self.cell.peer
        assert peer.call(Trigger, "/sim_arm/reset", Trigger.Request()).success
        wait_for(lambda: self.cell.arm() == READY, "the start position")
        message = PoseStamped(pose=problem.world_from_object)
        message.header.frame_id = BASE
        self.place.publish(message)
        for obstacle in problem.obstacles:
            self.scene.publish(as_message(obstacle))
        wanted = {o["name"]: to_pose(o["pose"]).position for o in problem.obstacles}
        wait_for(lambda: self.positions(wanted) == wanted, "the obstacles in the scene")
        z = problem.world_from_object.position.z
        wait_for(lambda: abs(self.cell.can_z - z) < 1e-9, "the object at its place")

    def positions(self, names):
        request = ListObjects.Request(ids=list(names))
        listed = self.cell.peer.call(ListObjects, self.cell.NODE + "/list_objects", request)
        return {o.id: o.pose.position for o in listed.objects}

    def pick(self, problem):
        """Plans, executes, closes, lifts."""
        self.arrange(problem)
        rejected = self.cell.counts["rejected"]
        options = dict(velocity_scaling=1.0, acceleration_scaling=1.0, use_gripper=True, plan_only=False)
        _, result = self.cell.run(goal(object_id=OBJECT_ID, grasps=[], **options))
        lifted = lambda: self.cell.can_z - problem.world_from_object.position.z
        if result.error_code == 0:
            # The pose of the end of the lift is still on its way.
            wait_for(lambda: lifted() > 0.05, f"the lifted object of {problem.name}")
        rejected = self.cell.counts["rejected"] - rejected
        return Outcome(result.error_code, result.error_msg, result.planning_time, rejected, lifted())

    def move(self, problem, place):
        """Plans and executes a whole pick and place; the action's result."""
        self.arrange(problem)
        options = dict(velocity_scaling=1.0, acceleration_scaling=1.0, use_gripper=True, plan_only=False)
        _, result = self.cell.run(goal(object_id=OBJECT_ID, grasps=[], place_pose=place, **options))
        return result

    def stop(self):
        assert self.node.stop() == 0
        assert self.arm.stop() == 0


def as_message(obstacle):
    """A box of a problem file as a scene object."""
    message = SceneObject(id=obstacle["name"], operation=SceneObject.ADD, pose=to_pose(obstacle["pose"]))
    message.header.frame_id = BASE
    message.primitives = [SolidPrimitive(type=SolidPrimitive.BOX, dimensions=obstacle["box"])]
    identity = Pose()
    message.primitive_poses = [identity]
    return message
