"""What physically happened to an object while a plan was executed, from samples of the truth. Plain numbers, no ROS."""

import math
from dataclasses import dataclass, field

import numpy as np

# Lifted: higher by this share of the planned lift than it stood, m and deg for a place.
LIFTED_SHARE = 0.5
PLACE_M, PLACE_DEG = 0.02, 10.0
# An object that moved by more than this before the fingers closed was pushed.
PUSHED_M, PUSHED_DEG = 0.005, 5.0
# In the hand: more than this is slipping.
SLIPPED_M, SLIPPED_DEG = 0.01, 10.0
# Deeper than contacts reach: the fingers were inside the object when the hand came.
DEEP_M = 0.002


@dataclass
class Sample:
    """The truth at a time of the simulation. Poses `[7]`: x y z qw qx qy qz, world_from_object and world_from_hand."""

    time_s: float
    object: np.ndarray
    hand: np.ndarray
    finger_m: float
    finger_n: float
    # Body's name to depth, m.
    contacts: dict = field(default_factory=dict)


def rotation(pose):
    """Rotation matrix of a pose `[7]`."""
    a, b, c, d = pose[3:]
    return np.array(
        [
            [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
        ]
    )


def between(first, second):
    """Distance of two poses: m, deg."""
    cosine = min(1.0, abs(float(np.dot(first[3:], second[3:]))))
    return float(np.linalg.norm(second[:3] - first[:3])), math.degrees(2.0 * math.acos(cosine))


def in_hand(sample):
    """hand_from_object `[3, 4]`."""
    turn = rotation(sample.hand).T
    return np.column_stack([turn @ rotation(sample.object), turn @ (sample.object[:3] - sample.hand[:3])])


def moved_in_hand(first, second):
    """How far the object moved in the hand between two samples: m, deg."""
    a, b = in_hand(first), in_hand(second)
    cosine = (np.trace(a[:, :3].T @ b[:, :3]) - 1.0) / 2.0
    return float(np.linalg.norm(a[:, 3] - b[:, 3])), math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def summary_of_phase(name, samples):
    """A phase in numbers."""
    moved_m, turned_deg = between(samples[0].object, samples[-1].object)
    slid_m, slid_deg = moved_in_hand(samples[0], samples[-1])
    touched = {}
    for sample in samples:
        for body, depth_m in sample.contacts.items():
            touched[body] = max(touched.get(body, 0.0), depth_m)
    numbers = {"moved_m": moved_m, "turned_deg": turned_deg, "in_hand_m": slid_m, "in_hand_deg": slid_deg}
    # Where the object's frame is in the hand's at the end.
    at_m = in_hand(samples[-1])[:, 3].round(4).tolist()
    return {"phase": name, **{key: round(value, 5) for key, value in numbers.items()}, "at_m": at_m, "touched": touched}


def phases_of(samples, marks):
    """Summaries of what lies between marks (time, name); the last one goes to the end."""
    phases = []
    ends = [time_s for time_s, _ in marks[1:]] + [math.inf]
    for (begin_s, name), end_s in zip(marks, ends):
        part = [sample for sample in samples if begin_s <= sample.time_s <= end_s]
        if part:
            phases.append(summary_of_phase(name, part))
    return phases


def judge_pick(samples_after, before, lift_m, fingers):
    """Success of a lift that was watched for a while, and numbers."""
    lifted_m = float(min(sample.object[2] for sample in samples_after) - before.object[2])
    held = all(set(fingers) & sample.contacts.keys() for sample in samples_after)
    others = {body for sample in samples_after for body in sample.contacts} - set(fingers)
    return lifted_m >= LIFTED_SHARE * lift_m and held and not others, {"lifted_m": round(lifted_m, 4)}


def judge_place(samples_after, place, fingers):
    """Success of a set-down, and numbers: the last sample counts, with the fingers off."""
    last = samples_after[-1]
    off_m, off_deg = between(place, last.object)
    free = not set(fingers) & last.contacts.keys()
    return free and off_m <= PLACE_M and off_deg <= PLACE_DEG, {"off_m": round(off_m, 4), "off_deg": round(off_deg, 2)}


def cause(phases, fingers):
    """The first thing that went wrong, by the phases' numbers."""
    for phase in phases:
        name = phase["phase"]
        if name in ("open", "reach") and (phase["moved_m"] > PUSHED_M or phase["turned_deg"] > PUSHED_DEG):
            return "pushed on approach"
        slipped = phase["in_hand_m"] > SLIPPED_M or phase["in_hand_deg"] > SLIPPED_DEG
        if name == "close" and not set(fingers) <= phase["touched"].keys():
            return "closed beside it"
        if name == "close" and (phase["turned_deg"] > SLIPPED_DEG or phase["moved_m"] > SLIPPED_M):
            return "moved by the closing fingers"
        if name in ("lift", "carry", "lower") and slipped:
            struck = sorted(set(phase["touched"]) - set(fingers))
            if name == "lift" or not struck:
                return f"slipped in {name}"
            return f"struck {struck[0]} in {name}"
        if name in ("release", "retreat", "watch") and (phase["moved_m"] > SLIPPED_M or phase["turned_deg"] > SLIPPED_DEG):
            return "slipped from the lifted hand" if name == "watch" and fingers and set(fingers) & phase["touched"].keys() else f"toppled in {name}"
    return "other"
