//! The node's inputs: joint states, frames, poses of objects.

use super::convert;
use super::lock;
use super::objects::ObservedPose;
use super::shared::Shared;
use super::state::TimeNs;
use futures::task::{LocalSpawn, LocalSpawnExt, SpawnError};
use futures::StreamExt;
use r2r::{geometry_msgs, sensor_msgs, std_msgs, tf2_msgs, vision_msgs, Node, QosProfile};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A publisher of bad messages is named this often, not with every message.
const WARNING_PERIOD: Duration = Duration::from_secs(5);

/// Why the inputs cannot be subscribed.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error(transparent)]
    Ros(#[from] r2r::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// Subscribes a topic; `handle` runs in the node's loop for each message and returns what is wrong with it.
pub fn subscribe<T: r2r::WrappedTypesupport + 'static>(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    topic: &'static str,
    qos: QosProfile,
    mut handle: impl FnMut(T) -> Result<(), String> + 'static,
) -> Result<(), SubscribeError> {
    let messages = node.subscribe::<T>(topic, qos)?;
    let warned = Cell::new(None::<Instant>);
    spawner.spawn_local(messages.for_each(move |message| {
        if let Err(reason) = handle(message) {
            if warned.get().is_none_or(|at| at.elapsed() > WARNING_PERIOD) {
                warned.set(Some(Instant::now()));
                r2r::log_warn!("planner", "topic '{topic}': {reason}; message ignored");
            }
        }
        futures::future::ready(())
    }))?;
    Ok(())
}

/// Subscribes every input but the robot's description and the scene.
///
/// # Errors
/// [`SubscribeError`]
pub fn start(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    shared: &Arc<Shared>,
) -> Result<(), SubscribeError> {
    let s = shared.clone();
    subscribe(
        node,
        spawner,
        "joint_states",
        QosProfile::sensor_data(),
        move |m| on_joint_state(&s, &m),
    )?;
    let s = shared.clone();
    let frames = || QosProfile::default().keep_last(100);
    subscribe(node, spawner, "/tf", frames(), move |m| {
        on_transforms(&s, &m, false)
    })?;
    let s = shared.clone();
    subscribe(
        node,
        spawner,
        "/tf_static",
        frames().transient_local(),
        move |m| on_transforms(&s, &m, true),
    )?;
    let s = shared.clone();
    subscribe(
        node,
        spawner,
        "object_pose",
        QosProfile::default(),
        move |m| on_object_pose(&s, &m),
    )?;
    let s = shared.clone();
    subscribe(
        node,
        spawner,
        "object_poses",
        QosProfile::default(),
        move |m| on_detections(&s, &m),
    )
}

fn on_joint_state(shared: &Shared, m: &sensor_msgs::msg::JointState) -> Result<(), String> {
    let stamp = stamp_or_now(shared, &m.header);
    lock(&shared.joint_states).update(&m.name, &m.position, &m.velocity, stamp);
    match m.name.len() == m.position.len() {
        true => Ok(()),
        false => Err(format!(
            "{} names and {} positions",
            m.name.len(),
            m.position.len()
        )),
    }
}

fn on_transforms(shared: &Shared, m: &tf2_msgs::msg::TFMessage, fixed: bool) -> Result<(), String> {
    let mut buffer = lock(&shared.transforms);
    for transform in &m.transforms {
        let (parent, child) = (&transform.header.frame_id, &transform.child_frame_id);
        let what = format!("transform from '{child}' to '{parent}'");
        let pose = convert::pose_from_transform(&transform.transform, &what)
            .map_err(|error| error.to_string())?;
        let stamp = convert::time_from_message(&transform.header.stamp);
        match fixed {
            true => buffer.set_static(parent, child, pose),
            false => buffer.insert(parent, child, stamp, pose),
        }
    }
    Ok(())
}

fn on_object_pose(shared: &Shared, m: &geometry_msgs::msg::PoseStamped) -> Result<(), String> {
    let id = lock(&shared.parameters).objects_default_id.clone();
    let observed = ObservedPose {
        frame: m.header.frame_id.clone(),
        frame_from_object: convert::pose_from_message(&m.pose, "pose")
            .map_err(|e| e.to_string())?,
        stamp: stamp_or_now(shared, &m.header),
    };
    lock(&shared.object_poses).update(&id, observed);
    Ok(())
}

fn on_detections(shared: &Shared, m: &vision_msgs::msg::Detection3DArray) -> Result<(), String> {
    let min_score = lock(&shared.parameters).objects_min_score;
    for detection in &m.detections {
        let best = detection
            .results
            .iter()
            .max_by(|a, b| a.hypothesis.score.total_cmp(&b.hypothesis.score));
        let Some(best) = best.filter(|best| best.hypothesis.score >= min_score) else {
            continue;
        };
        // The instance, or where the detector does not track instances, the class.
        let id = match detection.id.is_empty() {
            true => &best.hypothesis.class_id,
            false => &detection.id,
        };
        let header = match detection.header.frame_id.is_empty() {
            true => &m.header,
            false => &detection.header,
        };
        let what = format!("detection '{id}'");
        let observed = ObservedPose {
            frame: header.frame_id.clone(),
            frame_from_object: convert::pose_from_message(&best.pose.pose, &what)
                .map_err(|error| error.to_string())?,
            stamp: stamp_or_now(shared, header),
        };
        lock(&shared.object_poses).update(id, observed);
    }
    Ok(())
}

/// A publisher without a clock sends zero: then the time of arrival counts.
pub(super) fn stamp_or_now(shared: &Shared, header: &std_msgs::msg::Header) -> TimeNs {
    match convert::time_from_message(&header.stamp) {
        0 => shared.now(),
        stamp => stamp,
    }
}
