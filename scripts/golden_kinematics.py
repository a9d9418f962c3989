#!/usr/bin/env python3
"""Write tests/data/golden_kinematics.json: forward kinematics and tool Jacobians by pinocchio.

    python3 -m venv golden-venv && golden-venv/bin/pip install \\
        pin==3.7.0 "cmeel-urdfdom<5" "cmeel-tinyxml2<11"
    golden-venv/bin/python scripts/golden_kinematics.py

(The two further pins keep the shared libraries that this build of pinocchio was linked against.)

Poses are base_from_link as [x, y, z, qx, qy, qz, qw] in m; the Jacobian is 6 x D, rows linear then
angular, of the tool's origin in the base's axes. A mimicking joint is given to pinocchio as a joint of
its own at multiplier * q + offset, and its column is added to that of the joint it follows.
"""
import json
import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pinocchio

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGURATIONS = 50
# URDF, base link, tool link, positions of joints outside the chain (rad or m; others stand at 0).
ROBOTS = [
    ("urdf/panda.urdf", "panda_link0", "panda_hand_tcp", {"panda_finger_joint1": 0.04}),
    ("urdf/fr3.urdf", "fr3_link0", "fr3_hand_tcp", {"fr3_finger_joint1": 0.04}),
    ("tests/data/toy_odd_axes.urdf", "base", "tool", {"lamp_joint": 0.3}),
    ("tests/data/toy_telescope.urdf", "rail", "tip", {"finger_l": 0.03}),
    ("tests/data/toy_planar.urdf", "base", "tool", {}),
]


def read_joints(urdf):
    """Joint name -> (type, parent link, child link, lower, upper, mimic (joint, multiplier, offset) or None)."""
    joints = {}
    for joint in ElementTree.parse(urdf).getroot().findall("joint"):
        limit, mimic = joint.find("limit"), joint.find("mimic")
        bounds = (-np.pi, np.pi)
        if limit is not None and limit.get("lower") is not None:
            bounds = (float(limit.get("lower")), float(limit.get("upper")))
        if mimic is not None:
            mimic = (mimic.get("joint"), float(mimic.get("multiplier", 1)), float(mimic.get("offset", 0)))
        joints[joint.get("name")] = (
            joint.get("type"), joint.find("parent").get("link"), joint.find("child").get("link"), *bounds, mimic)
    return joints


def chain_joints(joints, base, tool):
    """Names of the joints that move the tool and follow no other, from the base outwards."""
    parent_joint = {values[2]: name for name, values in joints.items()}
    names, link = [], tool
    while link != base:
        name = parent_joint[link]
        if joints[name][0] != "fixed" and joints[name][5] is None:
            names.append(name)
        link = joints[name][1]
    return names[::-1]


def set_position(model, joints, q, name, value):
    """Put a joint, and those that mimic it, at a position; pinocchio stores a continuous joint as (cos, sin)."""
    index = model.joints[model.getJointId(name)]
    q[index.idx_q:index.idx_q + index.nq] = value if index.nq == 1 else (np.cos(value), np.sin(value))
    for other, values in joints.items():
        if values[5] is not None and values[5][0] == name:
            set_position(model, joints, q, other, values[5][1] * value + values[5][2])


def fold_mimics(model, joints, jacobian, name):
    """Column of a joint, those of its followers added."""
    column = jacobian[:, model.joints[model.getJointId(name)].idx_v].copy()
    for other, values in joints.items():
        if values[5] is not None and values[5][0] == name:
            column += values[5][1] * fold_mimics(model, joints, jacobian, other)
    return column


def rounded(values):
    return [round(float(value), 10) + 0.0 for value in values]


def golden(file, base, tool, others, rng):
    model = pinocchio.buildModelFromUrdf(str(ROOT / file))
    data, joints = model.createData(), read_joints(ROOT / file)
    names = chain_joints(joints, base, tool)
    links = [frame.name for frame in model.frames if frame.type == pinocchio.FrameType.BODY]
    cases = []
    for _ in range(CONFIGURATIONS):
        q = pinocchio.neutral(model)
        positions = [rng.uniform(joints[name][3], joints[name][4]) for name in names]
        for name, value in [*others.items(), *zip(names, positions)]:
            set_position(model, joints, q, name, value)
        pinocchio.computeJointJacobians(model, data, q)
        pinocchio.updateFramePlacements(model, data)
        jacobian = pinocchio.getFrameJacobian(
            model, data, model.getFrameId(tool), pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED)
        columns = [fold_mimics(model, joints, jacobian, name) for name in names]
        cases.append({
            "q": [float(value) for value in positions],
            "links": {link: rounded(pinocchio.SE3ToXYZQUAT(data.oMf[model.getFrameId(link)])) for link in links},
            "jacobian": [rounded(row) for row in np.array(columns).T],
        })
    return {"urdf": file, "base_link": base, "tool_link": tool, "fixed_joint_positions": others,
            "joint_names": names, "cases": cases}


def main():
    rng = np.random.default_rng(0)
    robots = [golden(*robot, rng) for robot in ROBOTS]
    out = ROOT / "tests/data/golden_kinematics.json"
    # One case a line: differences stay readable.
    with open(out, "w") as file:
        file.write('{"generator": "scripts/golden_kinematics.py, pinocchio %s", "robots": [\n' % pinocchio.__version__)
        for index, robot in enumerate(robots):
            cases = robot.pop("cases")
            file.write(json.dumps(robot)[:-1] + ', "cases": [\n')
            file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
            file.write("\n]}" + (",\n" if index + 1 < len(robots) else "\n"))
        file.write("]}\n")
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
