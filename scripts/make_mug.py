"""Writes meshes/mug.obj, the demo's mug: a turned cup and a bent bar as its handle, closed surfaces, in metres.

The origin lies in the middle of the mug's bottom, z points up, the handle towards +x. No mesh like it is trained on: the
training objects are drawn anew from formulas of their own.
"""

import math
from pathlib import Path

RADIUS_M, HEIGHT_M, WALL_M = 0.041, 0.096, 0.005
BAR_RADIUS_M, REACH_M = 0.0055, 0.03
AROUND, ALONG = 48, 16


def turned_cup():
    """Vertices and triangles of the closed outline (radius, z) turned about z."""
    outline = [
        (RADIUS_M - 0.003, 0.0),
        (RADIUS_M, 0.004),
        (RADIUS_M, HEIGHT_M - 0.002),
        (RADIUS_M - WALL_M / 2, HEIGHT_M),
        (RADIUS_M - WALL_M, HEIGHT_M - 0.002),
        (RADIUS_M - WALL_M, WALL_M + 0.004),
        (RADIUS_M - WALL_M - 0.004, WALL_M),
    ]
    vertices, triangles = [(0.0, 0.0, 0.0)], []
    for radius, z in outline:
        for i in range(AROUND):
            angle = 2 * math.pi * i / AROUND
            vertices.append((radius * math.cos(angle), radius * math.sin(angle), z))
    vertices.append((0.0, 0.0, WALL_M))
    top = len(vertices) - 1
    for i in range(AROUND):
        j = (i + 1) % AROUND
        triangles.append((0, 1 + j, 1 + i))
        for ring in range(len(outline) - 1):
            a, b = 1 + ring * AROUND, 1 + (ring + 1) * AROUND
            triangles += [(a + i, a + j, b + j), (a + i, b + j, b + i)]
        last = 1 + (len(outline) - 1) * AROUND
        triangles.append((last + i, last + j, top))
    return vertices, triangles


def handle():
    """A bar along half an ellipse in the plane y = 0, its ends inside the cup's wall."""
    middle_z, half_height = HEIGHT_M * 0.5, HEIGHT_M * 0.32
    wall = RADIUS_M - WALL_M / 2
    vertices, triangles = [], []
    sides = 16
    for k in range(ALONG + 1):
        angle = -math.pi / 2 + math.pi * k / ALONG
        centre = (wall + REACH_M * math.cos(angle), middle_z + half_height * math.sin(angle))
        tangent = (-REACH_M * math.sin(angle), half_height * math.cos(angle))
        length = math.hypot(*tangent)
        # Across the bar: the normal in the plane, and y.
        normal = (tangent[1] / length, -tangent[0] / length)
        for s in range(sides):
            turn = 2 * math.pi * s / sides
            out = BAR_RADIUS_M * math.cos(turn)
            vertices.append((centre[0] + out * normal[0], BAR_RADIUS_M * math.sin(turn), centre[1] + out * normal[1]))
    for k in range(ALONG):
        for s in range(sides):
            n = (s + 1) % sides
            a, b = k * sides, (k + 1) * sides
            triangles += [(a + s, a + n, b + n), (a + s, b + n, b + s)]
    last = ALONG * sides
    for s in range(1, sides - 1):
        triangles += [(0, s + 1, s), (last, last + s, last + s + 1)]
    return vertices, triangles


def main():
    lines = ["# Demo mug, metres. Made by scripts/make_mug.py."]
    offset = 1
    for name, (vertices, triangles) in (("cup", turned_cup()), ("handle", handle())):
        lines.append(f"o {name}")
        lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices]
        lines += ["f " + " ".join(str(i + offset) for i in triangle) for triangle in triangles]
        offset += len(vertices)
    path = Path(__file__).resolve().parents[1] / "meshes" / "mug.obj"
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
