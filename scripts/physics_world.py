"""A free object between the fingers of a hand in MuJoCo.

The object is a shell of convex prisms: each triangle of its (thinned out) mesh, drawn inwards by a few millimetres, never
through to the other side. Outside, that is the mesh itself, thin walls and hollows included, which a convex decomposition
would fill or thicken. Hand and fingers of
Franka are the convex hulls of the maker's collision meshes; those of other grippers are the boxes of their file.
"""

from dataclasses import dataclass

import fast_simplification
import mujoco
import numpy as np

# Triangles of the object's mesh, and how deep the prisms go, m.
TRIANGLES = 900
PRISM_DEPTH_M = 0.006
LEAST_DEPTH_M = 0.0008
# Franka hand: joint plane of the fingers, stroke of one finger, m.
FRANKA_JOINT_Z_M, FRANKA_STROKE_M = 0.0584, 0.04
# Franka's pads' middle, about which the hand turns, gripper frame, m.
FRANKA_PIVOT_Z_M = 0.1034
# Grasping force, N, within the range of both shipped grippers.
FORCE_N = 40.0
# Rubber on ceramics, wood, metal; ACRONYM's simulation uses 1.
FRICTION = 0.8
# As in ACRONYM's simulation; what is thinner than a sheet of paper would weigh nothing.
DENSITY_KG_M3, LEAST_MASS_KG = 150.0, 0.01
TIMESTEP_S, SETTLING_S = 0.002, 0.1
# Speed of each finger, as Franka's drive; how far beyond the middle it aims, so that thin things feel the whole force.
CLOSING_M_S, SQUEEZE_M = 0.1, 0.02
# Two shakes along the approach (10 m/s^2 at the turns), then two about the jaw axis.
SHAKE_M, SHAKE_HZ, SHAKES = 0.04, 2.5, 2
TURN_RAD, TURN_HZ, TURNS = 0.7, 1.5, 2
# Depth up to which the open gripper may start inside the object, m.
OVERLAP_M = 0.001


@dataclass
class Hand:
    """What closes on the object. MJCF parts in the gripper frame (+z approach, +x closing)."""

    meshes: str
    palm: str
    # Bodies with a joint of 0 (closed) to the stroke (open); left moves along -x, right along +x.
    fingers: str
    # Of one finger, m.
    stroke_m: float
    # Height of the point about which the hand turns, m.
    pivot_z_m: float


def finger_body(side, place, turn, axis, stroke_m, geoms):
    """A sliding finger."""
    return (
        f'<body name="{side}" pos="{place}" {turn}>'
        f'<joint name="{side}" type="slide" axis="{axis}" range="0 {stroke_m}" armature="0.1" damping="20"/>{geoms}</body>'
    )


def franka_hand(hand_stl, finger_stl):
    """The Franka hand from its own collision meshes, which close along y."""
    turn = 'quat="0.70710678 0 0 {}0.70710678"'
    place = f"0 0 {FRANKA_JOINT_Z_M}"
    fingers = [
        finger_body(side, place, turn.format(sign), "0 1 0", FRANKA_STROKE_M, f'<geom name="{side}" class="hand" mesh="finger"/>')
        for side, sign in (("left", "-"), ("right", ""))
    ]
    return Hand(
        meshes=f'<mesh name="hand" file="{hand_stl}"/><mesh name="finger" file="{finger_stl}"/>',
        palm=f'<geom name="palm" class="hand" mesh="hand" {turn.format("-")}/>',
        fingers="".join(fingers),
        stroke_m=FRANKA_STROKE_M,
        pivot_z_m=FRANKA_PIVOT_Z_M,
    )


def box_hand(geometry):
    """A parallel gripper from the boxes of its file: the pad stands out of the rest of the finger by the recess."""

    def box(center, half):
        numbers = [" ".join(f"{x:.6f}" for x in values) for values in (center, half)]
        return f'<geom class="hand" type="box" pos="{numbers[0]}" size="{numbers[1]}"/>'

    tip, base, pad = geometry["tip_m"], geometry["finger_base_m"], geometry["pad_length_m"]
    thickness, recess = geometry["finger_thickness_m"], geometry["recess_m"]
    fingers = []
    for side, sign in (("left", 1.0), ("right", -1.0)):
        # The pad's face lies in the plane x = 0 of the finger's body.
        back = sign * 0.5 * (thickness + recess), 0.0, 0.5 * (tip + base)
        half = 0.5 * (thickness - recess), 0.5 * geometry["finger_width_m"], 0.5 * (tip - base)
        front = sign * 0.25 * thickness, 0.0, tip - 0.5 * pad
        front_half = 0.25 * thickness, 0.5 * geometry["pad_width_m"], 0.5 * pad
        axis = f"{sign:.0f} 0 0"
        fingers.append(finger_body(side, "0 0 0", "", axis, 0.5 * geometry["max_opening_m"], box(back, half) + box(front, front_half)))
    return Hand(
        meshes="",
        palm="".join(box(part["center_m"], part["half_extents_m"]) for part in geometry["palm"]),
        fingers="".join(fingers),
        stroke_m=0.5 * geometry["max_opening_m"],
        pivot_z_m=tip - 0.5 * pad,
    )


@dataclass
class Outcome:
    """What became of a grasp: held, or why not."""

    held: bool
    reason: str
    # How far the object moved in the hand while shaken, m.
    slid_m: float = 0.0


def prisms(vertices, triangles):
    """Convex pieces `[6, 3]` of the surface's shell."""
    if len(triangles) > TRIANGLES:
        vertices, triangles = fast_simplification.simplify(
            vertices.astype(np.float32), triangles.astype(np.int32), target_count=TRIANGLES
        )
        vertices = vertices.astype(float)
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    sound = areas > 1e-9
    corners, normals = corners[sound], normals[sound] / areas[sound, None]
    depths = np.clip(0.9 * thickness(corners, normals), LEAST_DEPTH_M, PRISM_DEPTH_M)
    inner = corners - (normals * depths[:, None])[:, None, :]
    return np.concatenate([corners, inner], axis=1)


def thickness(corners, normals):
    """Least distance through the object from each triangle's middle and near its corners, along the inward normal `[T]`, m."""
    middle = corners.mean(axis=1)
    least = np.full(len(corners), np.inf)
    for weight in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]):
        start = 0.8 * np.tensordot(weight, corners, axes=(0, 1)) + (1.0 - 0.8 * sum(weight)) * middle
        for first in range(0, len(start), 128):
            part = slice(first, first + 128)
            least[part] = np.minimum(least[part], ray_lengths(start[part], -normals[part], corners))
    return least


def ray_lengths(start, direction, corners):
    """Length of each ray to the nearest triangle that it leaves through (Moeller and Trumbore), m."""
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(direction[:, None], edge2[None])
    determinant = np.einsum("rtk,tk->rt", across, edge1)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = start[:, None] - corners[None, :, 0]
        u = np.einsum("rtk,rtk->rt", offset, across) / determinant
        turned = np.cross(offset, edge1[None])
        v = np.einsum("rtk,rk->rt", turned, direction) / determinant
        length = np.einsum("rtk,tk->rt", turned, edge2) / determinant
        hit = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (length > 1e-6)
    return np.where(hit, length, np.inf).min(axis=1)


def mass_properties(vertices, triangles):
    """Volume (m^3) and centre of mass (m) of a closed mesh; of its vertices where it encloses nothing."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    volumes = np.einsum("tk,tk->t", a, np.cross(b, c)) / 6.0
    volume = volumes.sum()
    if volume < 1e-9:
        return 0.0, vertices.mean(axis=0)
    return volume, (volumes[:, None] * (a + b + c)).sum(axis=0) / (4.0 * volume)


def model_xml(hand, pieces, mass_kg, centre_m, size_m):
    """MJCF of the hand at the origin and the free object."""
    meshes, geoms = [], []
    for i, piece in enumerate(pieces):
        text = " ".join(f"{x:.6f}" for x in piece.reshape(-1))
        meshes.append(f'<mesh name="p{i}" vertex="{text}"/>')
        geoms.append(f'<geom class="object" mesh="p{i}"/>')
    inertia = " ".join(f"{mass_kg * (size_m @ size_m - s * s) / 12.0 + 1e-6:.9f}" for s in size_m)
    centre = " ".join(f"{x:.6f}" for x in centre_m)
    return f"""
<mujoco>
  <option timestep="{TIMESTEP_S}" gravity="0 0 0" cone="elliptic" impratio="10" integrator="implicitfast"/>
  <size memory="64M"/>
  <compiler autolimits="true"/>
  <default>
    <geom type="mesh" condim="4" friction="{FRICTION} 0.003 0.0001" solref="0.004 1" solimp="0.95 0.99 0.0005"/>
    <default class="object"><geom contype="2" conaffinity="1" mass="0"/></default>
    <default class="hand"><geom contype="1" conaffinity="2" mass="0.1"/></default>
  </default>
  <asset>
    {hand.meshes}{''.join(meshes)}
  </asset>
  <worldbody>
    <body name="hand">
      <joint name="along" type="slide" axis="0 0 1" armature="50"/>
      <joint name="about" type="hinge" axis="1 0 0" pos="0 0 {hand.pivot_z_m}" armature="5"/>
      {hand.palm}{hand.fingers}
    </body>
    <body name="object"><freejoint/>
      <inertial pos="{centre}" mass="{mass_kg:.5f}" diaginertia="{inertia}"/>{''.join(geoms)}
    </body>
  </worldbody>
  <equality><joint joint1="left" joint2="right" polycoef="0 1 0 0 0" solref="0.004 1"/></equality>
  <actuator>
    <position name="along" joint="along" kp="200000" kv="6000"/>
    <position name="about" joint="about" kp="20000" kv="600"/>
    <position name="left" joint="left" kp="3000" kv="20" forcerange="-{FORCE_N} {FORCE_N}"/>
    <position name="right" joint="right" kp="3000" kv="20" forcerange="-{FORCE_N} {FORCE_N}"/>
  </actuator>
</mujoco>"""


class World:
    """One object and the hand; `try_grasp` may be called any number of times."""

    def __init__(self, vertices_m, triangles, hand):
        volume, centre = mass_properties(vertices_m, triangles)
        mass = max(DENSITY_KG_M3 * volume, LEAST_MASS_KG)
        size = vertices_m.max(axis=0) - vertices_m.min(axis=0)
        pieces = prisms(vertices_m, triangles)
        self.stroke_m = hand.stroke_m
        self.model = mujoco.MjModel.from_xml_string(model_xml(hand, pieces, mass, centre, size))
        self.data = mujoco.MjData(self.model)
        body = self.model.body
        self.hand, self.fingers = body("hand").id, (body("left").id, body("right").id)
        joint = next(j for j in range(self.model.njnt) if self.model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE)
        self.free = self.model.jnt_qposadr[joint]
        self.object = body("object").id

    def try_grasp(self, object_from_gripper):
        """Closes on the object at a pose of the gripper `[4, 4]` and shakes it."""
        model, data = self.model, self.data
        self._place(object_from_gripper)
        overlap = min((c.dist for c in data.contact[: data.ncon]), default=0.0)
        if overlap < -OVERLAP_M:
            return Outcome(False, "collides")

        def close(time_s):
            data.ctrl[2:] = max(self.stroke_m - CLOSING_M_S * time_s, -SQUEEZE_M)

        self._run((self.stroke_m + SQUEEZE_M) / CLOSING_M_S + SETTLING_S, close)
        if self._touching() != {0, 1}:
            return Outcome(False, "misses")
        before = self._object_in_hand()

        def shake(time_s):
            data.ctrl[0] = SHAKE_M * np.sin(2 * np.pi * SHAKE_HZ * time_s)

        def turn(time_s):
            data.ctrl[0], data.ctrl[1] = 0.0, TURN_RAD * np.sin(2 * np.pi * TURN_HZ * time_s)

        self._run(SHAKES / SHAKE_HZ, shake)
        if self._touching() == {0, 1}:
            self._run(TURNS / TURN_HZ, turn)
        slid = float(np.linalg.norm(self._object_in_hand() - before))
        held = self._touching() == {0, 1}
        return Outcome(held, "" if held else "lost", slid)

    def _place(self, object_from_gripper):
        mujoco.mj_resetData(self.model, self.data)
        gripper_from_object = np.linalg.inv(object_from_gripper)
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, gripper_from_object[:3, :3].reshape(-1))
        self.data.qpos[self.free : self.free + 7] = [*gripper_from_object[:3, 3], *quaternion]
        for side in ("left", "right"):
            self.data.joint(side).qpos[0] = self.stroke_m
        self.data.ctrl[:] = [0.0, 0.0, self.stroke_m, self.stroke_m]
        mujoco.mj_forward(self.model, self.data)

    def _run(self, duration_s, control):
        for step in range(round(duration_s / TIMESTEP_S)):
            control(step * TIMESTEP_S)
            mujoco.mj_step(self.model, self.data)

    def _touching(self):
        """Numbers of the fingers that touch the object."""
        bodies = self.model.geom_bodyid
        pairs = {frozenset(bodies[c.geom]) for c in self.data.contact[: self.data.ncon] if c.dist < 1e-4}
        return {i for i, finger in enumerate(self.fingers) if frozenset((finger, self.object)) in pairs}

    def _object_in_hand(self):
        rotation = self.data.xmat[self.hand].reshape(3, 3)
        return rotation.T @ (self.data.xpos[self.object] - self.data.xpos[self.hand])
