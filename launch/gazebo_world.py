"""A Gazebo world with the obstacles of a scene file and one object; its frame is the arm's base link."""

from pathlib import Path
from xml.sax.saxutils import escape

import yaml

OBJECT = "object"
# Where the simulator publishes the object's pose.
POSE_TOPIC = f"/model/{OBJECT}/pose"
# As in the physics simulation of this package.
DENSITY_KG_M3 = 500.0


def world(base_link, scene_file, mesh_file, mesh_scale, object_pose):
    """The text of an SDF file. The world is named after the arm's base link, for that is the frame_id of what it publishes."""
    scene = yaml.safe_load(Path(scene_file).read_text()) or {}
    obstacles = [obstacle(entry, Path(scene_file).parent) for entry in scene.get("obstacles") or []]
    shape = mesh(mesh_file, mesh_scale)
    return f"""<?xml version="1.0"?>
<sdf version="1.11">
  <world name="{base_link}">
    <light name="sun" type="directional"><direction>-0.5 0.1 -0.9</direction></light>{"".join(obstacles)}
    <model name="{OBJECT}">
      <pose>{words(object_pose)}</pose>
      <link name="link">
        <inertial auto="true"/>
        <collision name="shape"><density>{DENSITY_KG_M3}</density>{shape}</collision>
        <visual name="shape">{shape}</visual>
      </link>
      <plugin filename="gz-sim-pose-publisher-system" name="gz::sim::systems::PosePublisher">
        <publish_link_pose>false</publish_link_pose>
        <publish_nested_model_pose>true</publish_nested_model_pose>
        <update_frequency>30</update_frequency>
      </plugin>
    </model>
  </world>
</sdf>
"""


def words(numbers):
    return " ".join(str(float(number)) for number in numbers)


def mesh(file, scale):
    return f"<geometry><mesh><uri>file://{escape(str(file))}</uri><scale>{words([scale] * 3)}</scale></mesh></geometry>"


def geometry(entry, folder):
    """Of an obstacle of a scene file: one shape."""
    for kind in ("cylinder", "capsule"):
        if kind in entry:
            size = entry[kind]
            return f"<geometry><{kind}><radius>{size['radius_m']}</radius><length>{size['length_m']}</length></{kind}></geometry>"
    if "box" in entry:
        return f"<geometry><box><size>{words(entry['box'])}</size></box></geometry>"
    if "sphere" in entry:
        return f"<geometry><sphere><radius>{entry['sphere']['radius_m']}</radius></sphere></geometry>"
    if "plane" in entry:
        return "<geometry><plane><normal>0 0 1</normal><size>4 4</size></plane></geometry>"
    if "mesh" in entry:
        return mesh((folder / entry["mesh"]["file"]).resolve(), entry["mesh"].get("scale", 1.0))
    raise ValueError(f"scene: obstacle '{entry.get('name')}' has no shape that Gazebo knows")


def obstacle(entry, folder):
    pose = entry.get("pose") or {}
    place = words(pose.get("position_m", [0.0] * 3))
    if "quaternion_xyzw" in pose:
        pose_xml = f'<pose rotation_format="quat_xyzw">{place} {words(pose["quaternion_xyzw"])}</pose>'
    else:
        pose_xml = f"<pose>{place} {words(pose.get('rpy_rad', [0.0] * 3))}</pose>"
    shape = geometry(entry, folder)
    return f"""
    <model name="{escape(str(entry["name"]))}">
      <static>true</static>
      {pose_xml}
      <link name="link"><collision name="shape">{shape}</collision><visual name="shape">{shape}</visual></link>
    </model>"""
