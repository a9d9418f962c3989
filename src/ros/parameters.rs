//! The parameters of `planner_node`; `docs/PARAMETERS.md` is made from this list (`planner_node --print-parameters`).

use super::declaration::{
    parameters, ParameterSet,
    Range::{Any, Double, Integer, OneOf, Positive},
};
use super::sim::parameters::SimParameters;

parameters! {
    /// The present values, in the order of the table in `docs/PARAMETERS.md`.
    Parameters {
    robot_urdf_file: String = String::new(), "robot.urdf_file", "", Any, Restart,
            "URDF file of the robot. Empty: wait for the topic `robot_description`.";
        robot_settings_file: String = String::new(), "robot.settings_file", "", Any, Restart,
            "YAML file with what the URDF does not say: base and tool link, jerk limits, gripper. Empty: all defaults.";
        robot_base_link: String = String::new(), "robot.base_link", "", Any, Restart,
            "First link of the chain. Empty: as in the settings file.";
        robot_tool_link: String = String::new(), "robot.tool_link", "", Any, Restart,
            "Link that is moved to a goal pose. Empty: as in the settings file.";
        robot_joint_names: Vec<String> = Vec::new(), "robot.joint_names", "", Any, Restart,
            "Joints that are planned, in the controller's order. Empty: the chain from base to tool.";
        robot_max_velocity: Vec<f64> = Vec::new(), "robot.max_velocity", "rad/s or m/s", Positive(1000.0), Restart,
            "Velocity limit of each joint. Empty: URDF and settings file.";
        robot_max_acceleration: Vec<f64> = Vec::new(), "robot.max_acceleration", "rad/s^2 or m/s^2", Positive(100000.0), Restart,
            "Acceleration limit of each joint. Empty: settings file.";
        robot_max_jerk: Vec<f64> = Vec::new(), "robot.max_jerk", "rad/s^3 or m/s^3", Positive(10000000.0), Restart,
            "Jerk limit of each joint. Empty: settings file.";
        planning_model_file: String = String::new(), "planning.model_file", "", Any, Restart,
            "Weights of the grasp field (safetensors). Empty: those that come with the package.";
        planning_time_limit_s: f64 = 5.0, "planning.time_limit", "s", Double(0.05, 120.0), Live,
            "Longest time a plan may take, unless the goal says otherwise.";
        planning_num_candidates: i64 = 12, "planning.num_candidates", "", Integer(1, 4096), Live,
            "Trajectories from straight seeds that are optimised together, unless the goal says otherwise; seeds from a tree search come on top.";
        planning_seed: i64 = 0, "planning.seed", "", Integer(0, i64::MAX), Live,
            "Seed of the sampler. 0: a new one for each goal.";
        planning_threads: i64 = 0, "planning.threads", "", Integer(0, 64), Restart,
            "Threads that a goal is planned on, all busy meanwhile. 0: one for each core, four at most. The plan does not depend on it.";
        planning_approach_distance_m: f64 = 0.10, "planning.approach_distance", "m", Double(0.0, 1.0), Live,
            "Length of the straight approach along the gripper's axis, down to a quarter of it where there is no more room.";
        planning_lift_distance_m: f64 = 0.10, "planning.lift_distance", "m", Double(0.0, 1.0), Live,
            "Height of the straight lift after the grasp.";
        planning_collision_margin_m: f64 = 0.01, "planning.collision_margin", "m", Double(0.0, 0.5), Live,
            "Distance kept from every obstacle.";
        planning_velocity_scaling: f64 = 0.3, "planning.velocity_scaling", "", Positive(1.0), Live,
            "Part of the velocity limits that is used.";
        planning_acceleration_scaling: f64 = 0.3, "planning.acceleration_scaling", "", Positive(1.0), Live,
            "Part of the acceleration and jerk limits that is used.";
        planning_on_new_goal: String = "preempt".into(), "planning.on_new_goal", "", OneOf(&["preempt", "reject", "queue"]), Live,
            "What a new goal does while another runs: end the old one, be rejected, or wait.";
        objects_folder: String = String::new(), "objects.folder", "", Any, Restart,
            "Folder of the objects kept by `dfp object`. Empty: the user's own.";
        objects_file: String = String::new(), "objects.file", "", Any, Restart,
            "YAML file with the known objects: id, mesh file, scale.";
        objects_default_id: String = "object".into(), "objects.default_id", "", Any, Live,
            "Object of a goal that names none, and of the topic `object_pose`.";
        objects_tf_frames: Vec<String> = Vec::new(), "objects.tf_frames", "", Any, Live,
            "Objects whose pose is that of a tf frame, each as `id=frame`; other poses of them are ignored.";
        objects_max_age_s: f64 = 1.0, "objects.max_age", "s", Double(0.0, 86400.0), Live,
            "Oldest pose of an object that is planned with. 0: any age.";
        objects_max_motion_m: f64 = 0.01, "objects.max_motion", "m", Positive(10.0), Live,
        "How far an object may move between the start of planning and the start of the motion.";
    objects_min_score: f64 = 0.0, "objects.min_score", "", Double(0.0, 1.0), Live,
            "Detections with a lower score are ignored.";
        objects_tf_timeout_s: f64 = 0.2, "objects.pose_tf_timeout", "s", Double(0.0, 60.0), Live,
            "Longest wait for a transform.";
        scene_file: String = String::new(), "scene.file", "", Any, Restart,
            "YAML file with the fixed obstacles. Empty: none.";
        cloud_required: bool = false, "obstacle_cloud.required", "", Any, Live,
            "Refuse to plan before a cloud has come on `obstacle_cloud`.";
        cloud_max_age_s: f64 = 1.0, "obstacle_cloud.max_age", "s", Double(0.0, 86400.0), Live,
            "Oldest cloud that is planned with; an older one fails the goal. 0: any age.";
        cloud_max_points: i64 = 100_000, "obstacle_cloud.max_points", "", Integer(1, 10_000_000), Live,
            "Of a larger cloud every second, third, ... point is left out.";
        cloud_voxel_m: f64 = 0.01, "obstacle_cloud.voxel", "m", Double(0.005, 0.1), Live,
            "Resolution of the obstacle that is made of the cloud.";
        cloud_reach_m: f64 = 2.0, "obstacle_cloud.reach", "m", Positive(100.0), Live,
            "Points further than this from the base link are left out.";
        cloud_known_margin_m: f64 = 0.02, "obstacle_cloud.known_margin", "m", Double(0.0, 0.2), Live,
            "Points up to this far from the arm, the object to be grasped and known obstacles count as theirs.";
        state_max_age_s: f64 = 0.2, "state.max_age", "s", Positive(60.0), Live,
            "Oldest measured joint position that is planned with.";
        state_timeout_s: f64 = 1.0, "state.timeout", "s", Double(0.0, 60.0), Live,
            "How long a goal waits for the robot description, a fresh joint state, and the arm to come to rest.";
        state_start_tolerance_rad: f64 = 0.02, "state.start_tolerance", "rad or m", Positive(1.0), Live,
            "Largest distance of a joint from the start of the trajectory when it is sent.";
        state_require_stationary: bool = true, "state.require_stationary", "", Any, Live,
            "Refuse to plan while the arm moves.";
        state_stationary_velocity: f64 = 0.02, "state.stationary_velocity", "rad/s or m/s", Positive(10.0), Live,
            "A joint below this speed stands still.";
        controller_mode: String = "topic".into(), "controller.mode", "", OneOf(&["topic", "action", "none"]), Live,
            "How trajectories are executed: published for a joint_trajectory_controller, sent to its action, or not at all.";
        controller_topic: String = "arm_controller/joint_trajectory".into(), "controller.topic", "", Any, Restart,
            "Topic of the joint_trajectory_controller.";
        controller_action: String = "arm_controller/follow_joint_trajectory".into(), "controller.action", "", Any, Restart,
            "The controller's control_msgs/FollowJointTrajectory action.";
        controller_path_tolerance_rad: f64 = 0.1, "controller.path_tolerance", "rad or m", Double(0.0, 10.0), Live,
            "Largest distance of a joint from the trajectory on the way; the motion is stopped beyond it. The controller's action gets it too. 0: not watched, and the controller's own there.";
        controller_goal_tolerance_rad: f64 = 0.02, "controller.goal_tolerance", "rad or m", Positive(1.0), Live,
            "Largest distance of a joint from the end of the trajectory that counts as arrived.";
        controller_goal_time_tolerance_s: f64 = 1.0, "controller.goal_time_tolerance", "s", Positive(60.0), Live,
            "How long after its planned end a trajectory may arrive.";
        controller_sample_period_s: f64 = 0.02, "controller.sample_period", "s", Double(0.001, 1.0), Live,
            "Time between the points of the trajectory that is sent.";
        controller_stop_on_cancel: bool = true, "controller.stop_on_cancel", "", Any, Live,
            "Stop the arm when a goal is cancelled, preempted or fails during execution.";
        gripper_type: String = "none".into(), "gripper.type", "", OneOf(&["none", "gripper_command", "parallel_gripper", "franka"]), Restart,
            "Interface of the gripper: none, a control_msgs/GripperCommand or ParallelGripperCommand action, or franka_gripper's actions.";
        gripper_action: String = "gripper_controller/gripper_cmd".into(), "gripper.action", "", Any, Restart,
            "Name of the gripper's action; not of franka's.";
        gripper_franka_name: String = "franka_gripper".into(), "gripper.franka_name", "", Any, Restart,
            "Name of the franka_gripper node, whose actions `move` and `grasp` are used.";
        gripper_joint_name: String = String::new(), "gripper.joint_name", "", Any, Live,
            "Joint of a ParallelGripperCommand. Empty: left out.";
        gripper_width_open_m: f64 = 0.08, "gripper.width_open", "m", Double(0.0, 1.0), Live,
            "How far the fingers open before the grasp.";
        gripper_width_to_position: f64 = 0.5, "gripper.width_to_position", "", Positive(1000.0), Live,
            "Position of the command divided by the distance between the fingers: 0.5 where the command is one finger's travel.";
        gripper_speed_m_s: f64 = 0.1, "gripper.speed", "m/s", Positive(10.0), Live,
            "How fast the distance between the fingers changes; a GripperCommand cannot say it.";
        gripper_force_n: f64 = 20.0, "gripper.force", "N", Double(0.0, 1000.0), Live,
            "Force of the closed gripper.";
        gripper_timeout_s: f64 = 5.0, "gripper.timeout", "s", Positive(60.0), Live,
            "Longest time the gripper may take to open or close; under use_sim_time by the simulation's clock.";
        gripper_min_width_m: f64 = 0.002, "gripper.min_width", "m", Double(0.0, 1.0), Live,
            "A closed gripper narrower than this holds nothing.";
        gripper_epsilon_inner_m: f64 = 0.005, "gripper.epsilon_inner", "m", Double(0.0, 1.0), Live,
            "How much narrower than the grasped part's known width a Franka hand may close and still hold it.";
        gripper_epsilon_outer_m: f64 = 0.005, "gripper.epsilon_outer", "m", Double(0.0, 1.0), Live,
            "How much wider than that it may stay.";
        autostart: bool = true, "autostart", "", Any, Restart,
            "Become active at start. false: wait for a lifecycle manager to configure and activate the node.";
        action_result_timeout_s: f64 = 10.0, "action.result_timeout", "s", Double(0.0, 86400.0), Restart,
            "How long the result of a goal that has ended can be asked for.";
        failure_status: String = "abort".into(), "failure_status", "", OneOf(&["abort", "succeed"]), Live,
            "Status of a goal that failed. `succeed` with an error code serves clients that read results of succeeded goals only.";
        publish_markers: bool = true, "publish_markers", "", Any, Live,
            "Publish `~/grasp_markers`.";
        diagnostics_period_s: f64 = 1.0, "diagnostics.period", "s", Double(0.1, 60.0), Restart,
            "Time between two messages on `/diagnostics`.";
        use_sim_time: bool = false, "use_sim_time", "", Any, Restart,
            "Take the time from `/clock`.";
    }
}

impl Parameters {
    /// The text of `docs/PARAMETERS.md`: both nodes of the package.
    pub fn markdown() -> String {
        let head = "# Parameters\n\n\
             Written by `planner_node --print-parameters`; a test compares. A whole number is accepted for a double.\n\
             \"start\": read once, changing it needs a restart; the others take effect with the next goal.\n\n";
        format!(
            "{head}## planner_node\n\n{}\n## sim_arm\n\n{}",
            Self::markdown_table(),
            SimParameters::markdown_table()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::declaration::{ParameterError, Value};
    use super::*;

    #[test]
    fn defaults_lie_inside_their_ranges_and_names_are_unique() {
        let declarations = Parameters::declarations();
        for (i, d) in declarations.iter().enumerate() {
            assert_eq!(d.range.violation(&d.default), None, "{}", d.name);
            assert!(d.description.ends_with('.'), "{}", d.name);
            assert!(
                declarations[..i].iter().all(|other| other.name != d.name),
                "{} is declared twice",
                d.name
            );
            assert_eq!(Parameters::default().get(d.name), Some(d.default.clone()));
        }
    }

    #[test]
    fn refusals_name_the_parameter_the_value_and_the_limit() {
        let mut p = Parameters::default();
        let cases = [
            (
                "planning.time_limit",
                Value::Double(0.0),
                "parameter 'planning.time_limit': 0.0 is outside [0.05, 120]",
            ),
            (
                "planning.time_limit",
                Value::Double(f64::NAN),
                "parameter 'planning.time_limit': NaN is outside [0.05, 120]",
            ),
            (
                "planning.velocity_scaling",
                Value::Double(0.0),
                "parameter 'planning.velocity_scaling': 0.0 is outside (0, 1]",
            ),
            (
                "planning.num_candidates",
                Value::Double(3.0),
                "parameter 'planning.num_candidates' has type integer, got double",
            ),
            (
                "planning.on_new_goal",
                Value::Text("panic".into()),
                "parameter 'planning.on_new_goal': \"panic\" is outside preempt | reject | queue",
            ),
            (
                "robot.max_velocity",
                Value::Doubles(vec![1.0, -1.0]),
                "parameter 'robot.max_velocity': [1.0, -1.0] is outside (0, 1000]",
            ),
            ("no.such", Value::Bool(true), "unknown parameter 'no.such'"),
        ];
        for (name, value, expected) in cases {
            let error = p.set_at_start(name, &value).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(
            p,
            Parameters::default(),
            "a refused value must change nothing"
        );
    }

    #[test]
    fn whole_numbers_are_doubles_and_empty_lists_are_lists() {
        let mut p = Parameters::default();
        p.set("planning.time_limit", &Value::Integer(2)).unwrap();
        assert_eq!(p.planning_time_limit_s, 2.0);
        p.set("robot.max_jerk", &Value::Texts(vec![])).unwrap();
    }

    #[test]
    fn what_is_read_at_start_stays() {
        let mut p = Parameters::default();
        let value = Value::Text("robot.urdf".into());
        assert_eq!(
            p.set("robot.urdf_file", &value),
            Err(ParameterError::ReadOnly("robot.urdf_file".into()))
        );
        p.set_at_start("robot.urdf_file", &value).unwrap();
        p.set("robot.urdf_file", &value)
            .expect("setting the present value is no change");
    }

    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PARAMETERS.md");
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == Parameters::markdown(),
            "run: planner_node --print-parameters > docs/PARAMETERS.md"
        );
    }
}
