"""What scripts/physics_check.py reads: meshes, grasp files of `dfp data`, grasps of `dfp grasps --out`."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DTYPES = {"F32": "<f4", "U32": "<u4", "U8": "u1"}


@dataclass
class GraspSet:
    """Grasps on one object. Poses: object_from_gripper `[N, 4, 4]`, gripper frame +z approach, x closing, m."""

    name: str
    category: str
    vertices_m: np.ndarray
    triangles: np.ndarray
    poses: np.ndarray
    # What the analytic label says of each: True holds, False fails, None where nobody says.
    labels: list
    # Reason of a failure, or "".
    reasons: list
    # Of sampled grasps: which set ("raw", "filtered", "data"; "sampled" where the file does not say). Else "".
    drawn: str = ""
    # The gripper that the grasps are for: its name, and its geometry as in config/grippers (None: the file does not say).
    gripper: str = "franka_hand"
    geometry: dict | None = None


def read_grasp_file(path):
    """A file that `dfp data` wrote (docs/DATA.md)."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header.pop("__metadata__")["grasp_file"])
    body = data[8 + length :]

    def array(name):
        entry = header[name]
        start, end = entry["data_offsets"]
        return np.frombuffer(body[start:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])

    names = ["collides", "misses", "slips", "drops"]
    holding, failing = array("holding"), array("failing")
    return GraspSet(
        name=about["name"],
        category=about["category"],
        vertices_m=array("vertices").astype(float),
        triangles=array("triangles").astype(int),
        poses=np.concatenate([matrices(holding), matrices(failing)]),
        labels=[True] * len(holding) + [False] * len(failing),
        reasons=[""] * len(holding) + [names[i] for i in array("failure")],
        gripper=about.get("gripper", {}).get("name", "franka_hand"),
        geometry=about.get("gripper", {}).get("geometry"),
    )


def matrices(rows):
    """`[N, 7]` (x y z qw qx qy qz) to `[N, 4, 4]`."""
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    for pose, (x, y, z, a, b, c, d) in zip(poses, np.asarray(rows, float)):
        pose[:3, 3] = x, y, z
        pose[:3, :3] = [
            [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
        ]
    return poses


def read_sampled(path, mesh=None, scale=None):
    """Grasps as `dfp grasps --out` writes them, in the order of their rank; the mesh is the one named there unless given."""
    text = json.loads(Path(path).read_text())
    mesh = Path(mesh or text["mesh"])
    scale = scale if scale is not None else text.get("scale", 1.0)
    vertices, triangles = read_mesh(mesh)
    poses = np.array([grasp["object_from_gripper"] for grasp in text["grasps"]], float).reshape(-1, 4, 4)
    return GraspSet(
        name=mesh.stem,
        drawn=text.get("set", "sampled"),
        category=text.get("category", mesh.stem),
        vertices_m=vertices * scale,
        triangles=triangles,
        poses=poses,
        labels=[grasp.get("holds") for grasp in text["grasps"]],
        reasons=[""] * len(poses),
        gripper=text.get("gripper", "franka_hand"),
        geometry=text.get("gripper_geometry"),
    )


def read_gripper(path):
    """Name and geometry of a gripper file."""
    import yaml

    gripper = yaml.safe_load(Path(path).read_text())
    if not isinstance(gripper, dict) or not {"name", "geometry"} <= gripper.keys():
        raise SystemExit(f"physics_check: {path}: a gripper file has 'name' and 'geometry'")
    return gripper["name"], gripper["geometry"]


def read_mesh(path):
    """Vertices and triangles of an STL, OBJ, PLY or `dfp data` file, in the file's unit.

    Raises ValueError for other files, and for those that are none of theirs."""
    ending = path.suffix.lower()
    if ending == ".stl":
        return read_stl(path)
    if ending == ".obj":
        return read_obj(path)
    if ending == ".safetensors":
        grasps = read_grasp_file(path)
        return grasps.vertices_m, grasps.triangles
    if ending == ".ply":
        return read_ply(path)
    raise ValueError(f"{path}: expected .stl, .obj, .ply or .safetensors")


def read_stl(path):
    data = Path(path).read_bytes()
    count = struct.unpack("<I", data[80:84])[0] if len(data) >= 84 else 0
    if len(data) == 84 + 50 * count:
        record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        corners = np.frombuffer(data[84:], record)["corners"].reshape(-1, 3).astype(float)
    else:
        words = [line.split() for line in data.decode(errors="replace").splitlines()]
        corners = np.array([line[1:4] for line in words if line[:1] == ["vertex"]], float).reshape(-1, 3)
        if len(corners) % 3:
            raise ValueError(f"{path}: a facet has not three vertices")
    vertices, index = np.unique(corners, axis=0, return_inverse=True)
    return vertices, index.reshape(-1, 3)


def read_obj(path):
    vertices, triangles = [], []
    for line in Path(path).read_text(errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            vertices.append([float(x) for x in words[1:4]])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) for word in words[1:]]
            corners = [c - 1 if c > 0 else len(vertices) + c for c in corners]
            triangles += [[corners[0], b, c] for b, c in zip(corners[1:], corners[2:])]
    return np.array(vertices, float).reshape(-1, 3), np.array(triangles, int).reshape(-1, 3)


PLY_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}


def read_ply(path):
    """ASCII and binary; faces of more corners as fans.

    Raises ValueError, and what a file that ends too early makes of it."""
    data = Path(path).read_bytes()
    head, end, body = data.partition(b"end_header\n")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
    if not end or lines[0] != ["ply"]:
        raise ValueError(f"{path}: not a PLY file")
    kind = next(line[1] for line in lines if line[:1] == ["format"])
    numbers = ply_words(body.split()) if kind == "ascii" else ply_bytes(body, ">" if "big" in kind else "<")
    vertices, triangles = [], []
    for i, line in enumerate(lines):
        if line[:1] != ["element"]:
            continue
        following = lines[i + 1 :]
        stop = next((k for k, other in enumerate(following) if other[:1] == ["element"]), len(following))
        properties = [other[1:] for other in following[:stop] if other[:1] == ["property"]]
        for _ in range(int(line[2])):
            row = {p[-1]: numbers(p[1], p[2]) if p[0] == "list" else numbers(None, p[0])[0] for p in properties}
            if line[1] == "vertex":
                vertices.append([row["x"], row["y"], row["z"]])
            elif line[1] == "face":
                corners = row.get("vertex_indices", row.get("vertex_index"))
                triangles += [[corners[0], b, c] for b, c in zip(corners[1:], corners[2:])]
    return np.array(vertices, float).reshape(-1, 3), np.array(triangles, int).reshape(-1, 3)


def ply_words(words):
    """Reads values of an ASCII body one after the other: a list's count comes first."""
    place = iter(words)

    def read(count_type, _):
        count = int(next(place)) if count_type else 1
        return [float(next(place)) for _ in range(count)]

    return read


def ply_bytes(body, order):
    """The same of a binary body."""
    at = 0

    def read(count_type, value_type):
        nonlocal at
        count = 1
        if count_type:
            count = int(np.frombuffer(body, order + PLY_TYPES[count_type], 1, at)[0])
            at += np.dtype(PLY_TYPES[count_type]).itemsize
        values = np.frombuffer(body, order + PLY_TYPES[value_type], count, at)
        at += values.nbytes
        return values.tolist()

    return read
