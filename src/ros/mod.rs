//! The ROS 2 node, and the simulated arm it can be tried with.
//!
//! `r2r` is used here and nowhere else; message types stay at the border (`convert`).
//!
//! The node's loop (`spin`) serves topics and services; `pick_server` accepts goals and hands them to the planning
//! thread, where `pick` takes a goal from message to result. Both meet in `shared`.

// The action server: usable with any action.
pub mod action_server;
pub mod goal_registry;

// The planner's node, from the outside in.
pub mod cloud_input;
pub mod lifecycle_server;
#[cfg(moveit_msgs)]
pub mod moveit;
pub mod node;
pub mod parameters;
pub mod perception;
pub mod pick_server;
pub mod scene_input;
pub mod score;
pub mod services;

// One goal.
pub mod action_client;
pub mod action_controller;
pub mod active_goal;
pub mod arm_monitor;
pub mod execution;
pub mod failure;
#[cfg(franka_msgs)]
pub mod franka_hand;
pub mod gripper_client;
pub mod patience;
pub mod pick;
pub mod prepare;
pub mod topic_controller;

// What is known and what is said.
pub mod diagnostics;
pub mod library;
pub mod lifecycle;
pub mod loading;
pub mod object_frames;
pub mod objects;
pub mod outputs;
pub mod robot_source;
pub mod scene_store;
pub mod shared;
pub mod state;
pub mod status;
pub mod tf;

// Shared with the simulated arm.
pub mod controller_rules;
pub mod convert;
pub mod declaration;
pub mod parameter_services;
pub mod sim;
pub mod spin;
pub mod stopping;

use std::sync::{Mutex, MutexGuard};

/// Locks a mutex whose data is valid between any two statements, so that a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
