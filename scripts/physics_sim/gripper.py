"""Two coupled fingers that move at a speed and press with a force, as a parallel gripper's drive makes them."""

import numpy as np

# Speed of each finger, m/s: the opening changes at twice that.
SPEED_M_S = 0.05
# How far beyond where it is stopped the drive aims, m: enough for the whole force.
SQUEEZE_M = 0.04
# The fingers rest if they moved by less than this in that time.
STILL_M, STILL_S = 2e-4, 0.15
# As near to its target counts as there, m.
AT_GOAL_M = 1e-3
# Force of a command that names none, N each finger.
DEFAULT_FORCE_N = 20.0


class Gripper:
    """Positions are one finger's travel, m: 0 closed. Forces are what each finger presses with, N."""

    def __init__(self, model, data, joints):
        self._model, self._data = model, data
        self._q = [model.joint(name).qposadr[0] for name in joints]
        self._v = [model.joint(name).dofadr[0] for name in joints]
        self._servos = [model.actuator(name).id for name in joints]
        self.joints = list(joints)
        self.open_m = float(model.jnt_range[model.joint(joints[0]).id, 1])
        self._strongest_n = float(model.actuator_forcerange[self._servos[0], 1])
        self.reset()

    @property
    def positions(self):
        """Of each finger, m."""
        return self._data.qpos[self._q]

    @property
    def velocities(self):
        """Of each finger, m/s."""
        return self._data.qvel[self._v]

    @property
    def position(self):
        return float(np.mean(self.positions))

    @property
    def force_n(self):
        """What the drive presses with now, the mean of the fingers."""
        return float(np.mean(np.abs(self._data.actuator_force[self._servos])))

    def reset(self):
        """Open, at once."""
        self._data.qpos[self._q] = self.open_m
        self._aim = self.target = self.open_m
        self._closing = False
        self._seen, self._since_s = self.open_m, 0.0
        self._set_force(DEFAULT_FORCE_N)
        self._data.ctrl[self._servos] = self.open_m

    def command(self, position, force_n):
        """Moves the fingers towards a travel, pressing with at most a force (0: the default)."""
        self.target = float(np.clip(position, 0.0, self.open_m))
        self._aim = self.position
        self._closing = self.target < self.position
        self._seen, self._since_s = self.position, self._data.time
        self._set_force(force_n if force_n > 0.0 else DEFAULT_FORCE_N)

    def has_arrived(self):
        return abs(self.position - self.target) < AT_GOAL_M

    def is_still(self):
        """Whether the fingers have not moved for a while."""
        return self._data.time - self._since_s > STILL_S

    def is_settled(self):
        return self.is_still() and (self.has_arrived() or self.has_stalled())

    def has_stalled(self):
        """Whether the drive pushes on and something else than the end of the stroke holds it back."""
        return self.is_still() and not self.has_arrived()

    def step(self, dt_s):
        """Moves the aim of the drive on by a step of the simulation."""
        # What the closing fingers meet must feel the whole force however thin it is, so the drive aims beyond it; a target
        # above 0 that is reached is held.
        presses = self._closing and (self.target <= 0.0 or self.has_stalled())
        final = self.target - SQUEEZE_M if presses else self.target
        reach = SPEED_M_S * dt_s
        self._aim += float(np.clip(final - self._aim, -reach, reach))
        self._data.ctrl[self._servos] = self._aim
        if abs(self.position - self._seen) > STILL_M:
            self._seen, self._since_s = self.position, self._data.time

    def _set_force(self, force_n):
        force_n = min(force_n, self._strongest_n)
        self._model.actuator_forcerange[self._servos] = [-force_n, force_n]
