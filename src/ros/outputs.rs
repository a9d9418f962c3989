//! What the node publishes, usable from any thread.

use super::lock;
use r2r::diffusion_field_planner::msg::PlannerStatus;
use r2r::{
    diagnostic_msgs, geometry_msgs, trajectory_msgs, visualization_msgs, Node, Publisher,
    QosProfile, WrappedTypesupport,
};
use std::sync::Mutex;

/// A publisher behind a lock: r2r's may be moved between threads but not shared.
pub struct Output<T: WrappedTypesupport>(Mutex<Publisher<T>>);

impl<T: WrappedTypesupport + 'static> Output<T> {
    /// # Errors
    /// An r2r error for an invalid topic name.
    pub fn create(node: &mut Node, topic: &str, qos: QosProfile) -> r2r::Result<Self> {
        Ok(Self(Mutex::new(node.create_publisher(topic, qos)?)))
    }

    /// An error means that the node is going down; nobody is left to be told.
    pub fn publish(&self, message: &T) {
        let _ = lock(&self.0).publish(message);
    }

    /// Subscriptions in other processes that are matched now.
    pub fn listeners(&self) -> usize {
        lock(&self.0)
            .get_inter_process_subscription_count()
            .unwrap_or(0)
    }
}

/// The publishers of the node.
pub struct Outputs {
    /// To the controller; the only topic that moves the arm.
    pub trajectory: Output<trajectory_msgs::msg::JointTrajectory>,
    pub planned_trajectory: Output<trajectory_msgs::msg::JointTrajectory>,
    pub grasp_pose: Output<geometry_msgs::msg::PoseStamped>,
    pub grasp_markers: Output<visualization_msgs::msg::MarkerArray>,
    /// For MoveIt's RViz plugin.
    #[cfg(moveit_msgs)]
    pub display_trajectory: Output<r2r::moveit_msgs::msg::DisplayTrajectory>,
    pub status: Output<PlannerStatus>,
    pub diagnostics: Output<diagnostic_msgs::msg::DiagnosticArray>,
}

impl Outputs {
    /// # Errors
    /// An r2r error for an invalid topic name.
    pub fn create(node: &mut Node, controller_topic: &str) -> r2r::Result<Self> {
        let latched = || QosProfile::default().keep_last(1).transient_local();
        Ok(Self {
            trajectory: Output::create(node, controller_topic, QosProfile::default().keep_last(1))?,
            planned_trajectory: Output::create(node, "~/planned_trajectory", latched())?,
            grasp_pose: Output::create(node, "~/grasp_pose", latched())?,
            grasp_markers: Output::create(node, "~/grasp_markers", latched())?,
            #[cfg(moveit_msgs)]
            display_trajectory: Output::create(node, "~/display_trajectory", latched())?,
            status: Output::create(node, "~/status", latched())?,
            diagnostics: Output::create(node, "/diagnostics", QosProfile::default())?,
        })
    }
}
