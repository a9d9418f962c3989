//! The parameters of `sim_arm`.

use crate::ros::declaration::{
    parameters,
    Range::{Any, Double, Positive},
};

parameters! {
    /// The present values; all are read at start.
    SimParameters {
    robot_urdf_file: String = String::new(), "robot.urdf_file", "", Any, Restart,
        "URDF file of the robot; it is published on `robot_description` too.";
    robot_settings_file: String = String::new(), "robot.settings_file", "", Any, Restart,
        "YAML file with what the URDF does not say, as for the planner.";
    start_position: Vec<f64> = Vec::new(), "start.position", "rad or m", Any, Restart,
        "Joint positions at start. Empty: the middle of each range.";
    controller_topic: String = "arm_controller/joint_trajectory".into(), "controller.topic", "", Any, Restart,
        "Topic of the simulated joint_trajectory_controller.";
    controller_action: String = "arm_controller/follow_joint_trajectory".into(), "controller.action", "", Any, Restart,
        "Its control_msgs/FollowJointTrajectory action.";
    joint_states_rate_hz: f64 = 200.0, "joint_states.rate", "Hz", Double(1.0, 1000.0), Restart,
        "Rate of `joint_states` and of the simulation.";
    gripper_action: String = "gripper_controller/gripper_cmd".into(), "gripper.action", "", Any, Restart,
        "Name of the gripper's control_msgs/GripperCommand action; its position is one finger's travel.";
    gripper_speed_m_s: f64 = 0.1, "gripper.speed", "m/s", Positive(10.0), Restart,
        "How fast the distance between the fingers changes.";
    object_id: String = "object".into(), "object.id", "", Any, Restart,
        "Id of the object on `object_poses`.";
    object_mesh_file: String = String::new(), "object.mesh_file", "", Any, Restart,
        "Mesh of the object that can be picked up. Empty: no object.";
    object_mesh_scale: f64 = 1.0, "object.mesh_scale", "", Positive(1000.0), Restart,
        "Factor from the mesh file's unit to metres.";
    object_pose: Vec<f64> = vec![0.5, 0.0, 0.0, 0.0, 0.0, 0.0], "object.pose", "m, rad", Any, Restart,
        "Pose of the object in the base link's frame: x, y, z, roll, pitch, yaw.";
    object_rate_hz: f64 = 30.0, "object.rate", "Hz", Double(0.1, 1000.0), Restart,
        "Rate of `object_pose` and `object_poses`.";
    use_sim_time: bool = false, "use_sim_time", "", Any, Restart,
        "Take the stamps from `/clock`; the arm moves by the machine's clock.";
    }
}
