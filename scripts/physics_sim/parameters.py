"""The parameters of mujoco_sim: name, default, description. All are read at start, but real_time_factor and the noise."""

from rcl_interfaces.msg import ParameterDescriptor

PARAMETERS = [
    ("robot.urdf_file", "", "URDF file of the robot; it is published on `robot_description` too."),
    ("robot.settings_file", "", "YAML file with what the URDF does not say, as for the planner."),
    ("start.position", [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785], "Joint positions at start, rad or m."),
    ("scene.file", "", "Obstacles, as the planner's scene.file; a problem file of `dfp plan` brings its objects too."),
    ("object.id", "object", "Id of the object that the next parameters add, and of the topic `object_pose`."),
    ("object.mesh_file", "", "Mesh of an object (STL, OBJ or PLY). Empty: only those of scene.file."),
    ("object.mesh_scale", 1.0, "Factor from the mesh file's unit to metres."),
    ("object.pose", [0.5, 0.0, 0.0, 0.0, 0.0, 0.0], "Its pose in the base link's frame: x, y, z [m], roll, pitch, yaw [rad]."),
    ("object.mass", 0.0, "Its mass [kg]. 0: by its volume."),
    ("object.rate", 30.0, "Rate of `object_pose` and `object_poses` [Hz of simulated time]."),
    ("pose_noise_position_m", 0.0, "Standard deviation of published object positions, each axis [m]."),
    ("pose_noise_rotation_rad", 0.0, "Standard deviation of published object orientations, each axis [rad]."),
    ("joint_states.rate", 125.0, "Rate of `joint_states` [Hz of simulated time]."),
    ("controller.topic", "arm_controller/joint_trajectory", "Topic of the joint_trajectory_controller."),
    ("controller.action", "arm_controller/follow_joint_trajectory", "Its FollowJointTrajectory action."),
    ("gripper.action", "gripper_controller/gripper_cmd", "Name of the gripper's action; its position is one finger's travel."),
    ("real_time_factor", 1.0, "Simulated seconds per second; 0: as fast as it goes."),
    ("paused", False, "Start paused; `~/pause` with false lets time run."),
]
LIVE = {"real_time_factor", "pose_noise_position_m", "pose_noise_rotation_rad"}


def declare(node):
    """Declares all and returns name -> value."""
    for name, default, description in PARAMETERS:
        node.declare_parameter(name, default, ParameterDescriptor(description=description, read_only=name not in LIVE))
    return {name: node.get_parameter(name).value for name, _, _ in PARAMETERS}
