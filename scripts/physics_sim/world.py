"""The running physics: an arm that follows a reference, fingers that close by force, free objects."""

import mujoco
import numpy as np

from .gripper import Gripper
from .model import TIMESTEP_S, Pose


class World:
    """MuJoCo's model and state, in the arm's base frame. Times in s from the start of the simulation."""

    def __init__(self, model, robot, objects, start_position):
        self.model, self.robot = model, robot
        self.data = mujoco.MjData(model)
        self.objects = {entry.name: entry for entry in objects}
        self.start_position = np.array(start_position, float)
        self._arm_q = [model.joint(name).qposadr[0] for name in robot.joints]
        self._arm_v = [model.joint(name).dofadr[0] for name in robot.joints]
        self._arm_servo = [model.actuator(name).id for name in robot.joints]
        servos = self._arm_servo
        self._velocity_gain = -model.actuator_biasprm[servos, 2] / model.actuator_gainprm[servos, 0]
        self._stiffness = model.actuator_gainprm[servos, 0].copy()
        self.gripper = Gripper(model, self.data, robot.finger_joints) if robot.finger_joints else None
        self._full_mass = np.zeros((model.nv, model.nv))
        self.reset()

    @property
    def time_s(self):
        return self.data.time

    @property
    def position(self):
        """Of the arm's joints, measured, rad or m."""
        return self.data.qpos[self._arm_q]

    @property
    def velocity(self):
        """Of the arm's joints, measured, rad/s or m/s."""
        return self.data.qvel[self._arm_v]

    def reset(self):
        """Arm, fingers and objects at the start, at rest; the time goes on."""
        time_s = self.data.time
        mujoco.mj_resetData(self.model, self.data)
        self.data.time = time_s
        self.data.qpos[self._arm_q] = self.start_position
        self.data.ctrl[self._arm_servo] = self.start_position
        if self.gripper:
            self.gripper.reset()
        mujoco.mj_forward(self.model, self.data)

    def step(self, position, velocity, acceleration):
        """One step of `TIMESTEP_S` towards a reference of the arm."""
        # A servo lags behind what moves by damping and inertia; both are known, so they are added to where it aims.
        data, rows = self.data, self._arm_v
        if acceleration.any():
            mujoco.mj_fullM(self.model, self._full_mass, data.qM)
            inertia = self._full_mass[np.ix_(rows, rows)] @ acceleration / self._stiffness
        else:
            inertia = 0.0
        data.ctrl[self._arm_servo] = position + self._velocity_gain * velocity + inertia
        if self.gripper:
            self.gripper.step(TIMESTEP_S)
        mujoco.mj_step(self.model, data)

    def object_pose(self, name):
        """world_from_object."""
        body = self.data.body(name)
        return Pose(tuple(body.xpos), tuple(body.xquat))

    def place_object(self, name, pose):
        """Puts an object somewhere, at rest."""
        joint = self.data.joint(name)
        joint.qpos[:] = [*pose.position_m, *pose.quaternion_wxyz]
        joint.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def hand_state(self):
        """Where the hand is (position m, quaternion w, x, y, z), one finger's travel (m) and force (N), as plain numbers."""
        if not self.gripper:
            return {}
        hand = self.data.body(self.robot.settings["gripper"]["hand_link"])
        return {
            "hand_position_m": hand.xpos.round(6).tolist(),
            "hand_quaternion_wxyz": hand.xquat.round(6).tolist(),
            "finger_m": round(self.gripper.position, 5),
            "finger_n": round(self.gripper.force_n, 3),
        }

    def contacts(self, name):
        """What touches an object: body's name to deepest penetration, m."""
        body = self.model.body(name).id
        touching = {}
        for contact in self.data.contact[: self.data.ncon]:
            bodies = self.model.geom_bodyid[contact.geom]
            if body in bodies and contact.dist < 1e-4:
                other = self.model.body(bodies[0] if bodies[1] == body else bodies[1]).name
                touching[other] = max(touching.get(other, 0.0), -float(contact.dist))
        return touching
