"""The MuJoCo model: an arm from its URDF with servos, obstacles, and objects that can be grasped.

Contacts are those that matter: arm with obstacles and objects, objects with obstacles and each other. An object is two bodies in
one: to obstacles its convex hull, which stands firmly, to hand and fingers a shell of convex prisms (physics_world), which keeps
thin walls and hollows.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np
import yaml
from physics_files import read_mesh
from physics_world import mass_properties, prisms

TIMESTEP_S, NOSLIP_ITERATIONS = 0.002, 5
# Bits of MuJoCo's contype; conaffinity names what a geom meets.
ARM, OBSTACLE, HULL, SHELL = 1, 2, 4, 8
# Rubber pads on ceramics, wood, metal; everything else slides more easily. MuJoCo takes the larger of two. A soft pad gives way by some
# tenths of a mm, so it touches something round on a patch of some mm, which withstands twisting and rolling, m.
PAD_FRICTION, FRICTION = [0.8, 0.003, 0.002], [0.5, 0.003, 0.0001]
CONTACT = {"solref": [0.004, 1.0], "solimp": [0.95, 0.99, 0.0005, 0.5, 2.0]}
# Servo gains by the joint's torque limit: the large joints of an arm, the wrist. Nm/rad, Nms/rad; motor inertia, kg m^2.
LARGE_JOINT_NM = 50.0
LARGE_GAIN, WRIST_GAIN = (4500.0, 450.0), (2000.0, 200.0)
JOINT_ARMATURE = 0.1
# Fingers: N/m, Ns/m; the geared motor's inertia as the finger feels it, kg, and its drag, Ns/m. A light finger would leap into the
# object whenever a contact is missed for a step, and kick it.
FINGER_GAIN, FINGER_ARMATURE, FINGER_DAMPING = (3000.0, 20.0), 2.0, 200.0
# Objects: as a filled or thick-walled household thing; never lighter than a sheet of card, never heavier than a hand would lift.
DENSITY_KG_M3, LEAST_MASS_KG, LARGEST_MASS_KG = 500.0, 0.03, 0.5


class ModelError(ValueError):
    """A robot, scene or object that cannot be simulated."""


@dataclass(frozen=True)
class Pose:
    """world_from_body."""

    position_m: tuple = (0.0, 0.0, 0.0)
    quaternion_wxyz: tuple = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ObjectEntry:
    """An object to grasp."""

    name: str
    mesh: Path
    scale: float
    pose: Pose
    # None: by its volume.
    mass_kg: float | None = None


@dataclass
class RobotEntry:
    """An arm's files, and the names that the rest needs."""

    urdf: Path
    settings: dict
    joints: list = field(default_factory=list)
    finger_joints: list = field(default_factory=list)


def quaternion_of(roll, pitch, yaw):
    """w, x, y, z of fixed-axis roll, pitch, yaw."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a / 2), math.sin(a / 2)) for a in (roll, pitch, yaw))
    return (cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy, cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy)


def turned(quaternion_wxyz, rotation_rad):
    """A rotation after another by a rotation vector in the body's frame, w, x, y, z."""
    result = np.array(quaternion_wxyz, float)
    mujoco.mju_quatIntegrate(result, np.asarray(rotation_rad, float), 1.0)
    return result


def read_pose(entry):
    """A pose of a problem file: `position_m` with `quaternion_xyzw` or `rpy_rad`."""
    position = tuple(float(x) for x in entry.get("position_m", (0.0, 0.0, 0.0)))
    if "quaternion_xyzw" in entry:
        x, y, z, w = (float(v) for v in entry["quaternion_xyzw"])
        return Pose(position, (w, x, y, z))
    return Pose(position, quaternion_of(*(float(a) for a in entry.get("rpy_rad", (0.0, 0.0, 0.0)))))


def read_scene(path):
    """Obstacles (as in the file) and objects of a scene or problem file."""
    try:
        scene = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: {error}") from error
    if not isinstance(scene, dict):
        raise ModelError(f"{path}: a scene has 'obstacles', and may have 'objects'")
    objects = []
    for entry in scene.get("objects") or []:
        if not {"name", "mesh"} <= entry.keys():
            raise ModelError(f"{path}: an object needs 'name' and 'mesh'")
        mesh = Path(path).parent / entry["mesh"]
        pose = read_pose(entry.get("pose") or {})
        objects.append(ObjectEntry(entry["name"], mesh, float(entry.get("scale", 1.0)), pose, entry.get("mass_kg")))
    return scene.get("obstacles") or [], objects


def load_robot(urdf, settings_file):
    """The robot's model and its entry with joint names filled in.

    Raises ModelError where the files do not describe an arm."""
    try:
        settings = yaml.safe_load(Path(settings_file).read_text()) if settings_file else {}
        spec = mujoco.MjSpec.from_file(str(urdf))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{urdf}, {settings_file}: {error}") from error
    robot = RobotEntry(Path(urdf), settings)
    robot.finger_joints = list((settings.get("gripper") or {}).get("finger_joints", []))
    # Bodies without a joint keep their names.
    spec.compiler.fusestatic = False
    spec.option.timestep = TIMESTEP_S
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    # What is held must not creep out of the fingers, as soft contacts let it: 4 mm/s for a light mug.
    spec.option.noslip_iterations = NOSLIP_ITERATIONS
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_MULTICCD
    spec.memory = 256 << 20
    for geom in spec.geoms:
        geom.contype, geom.conaffinity, geom.condim = ARM, OBSTACLE | SHELL, 4
        geom.friction, geom.solref, geom.solimp = FRICTION, CONTACT["solref"], CONTACT["solimp"]
    # Motors carry the arm's own weight, as a robot's controller makes them.
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0
    add_servos(spec, robot)
    return spec, robot


def add_servos(spec, robot):
    """A position servo on each joint of the arm, and on each finger one of limited force."""
    for joint in spec.joints:
        if joint.name in robot.finger_joints:
            stiffness, damping = FINGER_GAIN
            joint.armature, joint.damping = FINGER_ARMATURE, FINGER_DAMPING
            # The end of the stroke gives way as little as a contact.
            joint.solref_limit, joint.solimp_limit = CONTACT["solref"], CONTACT["solimp"]
            for geom in joint.parent.geoms:
                geom.condim, geom.friction = 6, PAD_FRICTION
        else:
            robot.joints.append(joint.name)
            stiffness, damping = LARGE_GAIN if joint.actfrcrange[1] > LARGE_JOINT_NM else WRIST_GAIN
            joint.armature = JOINT_ARMATURE
        servo = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=stiffness, kv=damping)
        servo.forcelimited, servo.forcerange = 1, [-joint.actfrcrange[1], joint.actfrcrange[1]]
        # The servo has the limit; the joint's own would cut gravity compensation too.
        joint.actfrclimited = 0
    if len(robot.finger_joints) == 2:
        first, second = robot.finger_joints
        gear = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=first, name2=second)
        gear.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]
        gear.solref = [0.004, 1.0]


def add_obstacle(spec, entry, base):
    """A fixed obstacle of a scene file."""
    name = str(entry.get("name", "obstacle"))
    pose = read_pose(entry.get("pose") or {})
    shape = {"contype": OBSTACLE, "conaffinity": ARM | HULL, "condim": 4, "friction": FRICTION, **CONTACT}
    kinds = mujoco.mjtGeom
    if "box" in entry:
        shape |= {"type": kinds.mjGEOM_BOX, "size": [0.5 * float(x) for x in entry["box"]]}
    elif "sphere" in entry:
        shape |= {"type": kinds.mjGEOM_SPHERE, "size": [float(entry["sphere"]["radius_m"]), 0, 0]}
    elif "plane" in entry:
        shape |= {"type": kinds.mjGEOM_PLANE, "size": [0, 0, 1]}
    elif "cylinder" in entry or "capsule" in entry:
        kind = kinds.mjGEOM_CYLINDER if "cylinder" in entry else kinds.mjGEOM_CAPSULE
        sizes = entry.get("cylinder") or entry.get("capsule")
        shape |= {"type": kind, "size": [float(sizes["radius_m"]), 0.5 * float(sizes["length_m"]), 0]}
    elif "mesh" in entry:
        add_mesh_obstacle(spec, entry, base, pose, shape)
        return
    else:
        raise ModelError(f"obstacle '{name}' has no shape")
    body = spec.worldbody.add_body(name=name, pos=pose.position_m, quat=pose.quaternion_wxyz)
    body.add_geom(name=name, **shape)


def add_mesh_obstacle(spec, entry, base, pose, shape):
    """An obstacle of any mesh: its convex hull would fill hollows, so its shell."""
    name = str(entry["name"])
    vertices, triangles = load_mesh(name, base / entry["mesh"]["file"], float(entry["mesh"].get("scale", 1.0)))
    body = spec.worldbody.add_body(name=name, pos=pose.position_m, quat=pose.quaternion_wxyz)
    add_pieces(spec, body, name, prisms(vertices, triangles), shape)


def load_mesh(name, path, scale):
    """Vertices in m and triangles.

    Raises ModelError, with the name of what the mesh is for."""
    try:
        vertices, triangles = read_mesh(path)
    except (OSError, ValueError, LookupError, StopIteration) as error:
        raise ModelError(f"'{name}': {path}: {error!r}") from error
    if len(triangles) == 0:
        raise ModelError(f"'{name}': {path} has no triangles")
    return vertices * scale, triangles


def add_pieces(spec, body, name, pieces, shape):
    """Convex pieces `[n, corners, 3]` as geoms of a body."""
    for i, piece in enumerate(pieces):
        spec.add_mesh(name=f"{name}:{i}", uservert=piece.reshape(-1))
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"{name}:{i}", **shape)


def add_object(spec, entry):
    """A free object."""
    vertices, triangles = load_mesh(entry.name, entry.mesh, entry.scale)
    volume, centre = mass_properties(vertices, triangles)
    mass = entry.mass_kg or min(max(DENSITY_KG_M3 * volume, LEAST_MASS_KG), LARGEST_MASS_KG)
    size = vertices.max(axis=0) - vertices.min(axis=0)
    body = spec.worldbody.add_body(name=entry.name, pos=entry.pose.position_m, quat=entry.pose.quaternion_wxyz)
    body.add_freejoint(name=entry.name)
    body.explicitinertial, body.mass, body.ipos = True, mass, centre
    body.inertia = mass * (size @ size - size * size) / 12.0 + 1e-6
    # By friction, contact stiffness and mass the same; each geom's own mass is 0, the body has it all.
    shape = {"mass": 0.0, "condim": 4, "friction": FRICTION, **CONTACT}
    spec.add_mesh(name=f"{entry.name}:hull", uservert=vertices.reshape(-1))
    hull = {**shape, "contype": HULL, "conaffinity": OBSTACLE | HULL}
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"{entry.name}:hull", **hull)
    add_pieces(spec, body, entry.name, prisms(vertices, triangles), {**shape, "contype": SHELL, "conaffinity": ARM})


def build(urdf, settings_file, scene_file, objects):
    """Model, robot, and all objects; `objects` come on top of those of the scene file.

    Raises ModelError, naming the file or entry."""
    spec, robot = load_robot(urdf, settings_file)
    obstacles, objects_of_scene = read_scene(scene_file) if scene_file else ([], [])
    for entry in obstacles:
        add_obstacle(spec, entry, Path(scene_file).parent)
    objects = [*objects_of_scene, *objects]
    for entry in objects:
        add_object(spec, entry)
    try:
        return spec.compile(), robot, objects
    except ValueError as error:
        raise ModelError(f"MuJoCo: {error}") from error
