"""The world that gazebo.launch.py writes: every shape of a scene file, and where it stands."""

import sys
import xml.etree.ElementTree as ElementTree

from conftest import PROJECT

sys.path.append(str(PROJECT / "launch"))
from gazebo_world import world

SCENE = """
obstacles:
  - {name: table, plane: true, pose: {position_m: [0, 0, -0.01]}}
  - {name: crate, box: [0.1, 0.2, 0.3], pose: {position_m: [0.5, 0, 0.15], rpy_rad: [0, 0, 1.5]}}
  - {name: post, cylinder: {radius_m: 0.02, length_m: 1.0}, pose: {position_m: [0, 0.5, 0.5], quaternion_xyzw: [0, 0, 0, 1]}}
  - {name: pipe, capsule: {radius_m: 0.03, length_m: 0.4}, pose: {position_m: [0, 0, 1]}}
  - {name: ball, sphere: {radius_m: 0.05}, pose: {position_m: [0.2, 0, 0.05]}}
  - {name: "vase & stand", mesh: {file: vase.stl, scale: 0.001}, pose: {position_m: [0.3, 0, 0]}}
"""


def test_every_shape_of_a_scene(tmp_path):
    (tmp_path / "scene.yaml").write_text(SCENE)
    text = world("fr3_link0", tmp_path / "scene.yaml", "/m/mug.obj", 2.0, [0.5, 0.0, 0.001, 0.0, 0.0, 0.6])
    described = ElementTree.fromstring(text).find("world")
    assert described.get("name") == "fr3_link0"
    models = {model.get("name"): model for model in described.findall("model")}

    def seen(name, kind, *values):
        shape = models[name].find(f"link/collision/geometry/{kind}")
        return [shape.find(value).text for value in values]

    assert seen("crate", "box", "size") == ["0.1 0.2 0.3"]
    assert seen("post", "cylinder", "radius", "length") == ["0.02", "1.0"]
    assert seen("pipe", "capsule", "radius", "length") == ["0.03", "0.4"]
    assert seen("ball", "sphere", "radius") == ["0.05"]
    assert seen("vase & stand", "mesh", "uri", "scale") == [f"file://{tmp_path}/vase.stl", "0.001 0.001 0.001"]
    assert seen("object", "mesh", "uri", "scale") == ["file:///m/mug.obj", "2.0 2.0 2.0"]
    assert models["table"].find("link/collision/geometry/plane") is not None
    assert models["crate"].find("pose").text == "0.5 0.0 0.15 0.0 0.0 1.5"
    turned = models["post"].find("pose")
    assert turned.get("rotation_format") == "quat_xyzw" and turned.text == "0.0 0.5 0.5 0.0 0.0 0.0 1.0"
    assert [name for name, model in models.items() if model.find("static") is None] == ["object"]
