//! Changes of the scene, from the topic `scene_object` and others, made one after the other in a thread of their own: meshes take
//! time.

use super::cloud_input::CloudSlot;
use super::convert;
use super::library::ObjectSource;
use super::lock;
use super::perception::{subscribe, SubscribeError};
use super::shared::Shared;
use futures::task::LocalSpawn;
use r2r::diffusion_field_planner::msg::SceneObject;
use r2r::{Node, QosProfile};
use std::sync::{mpsc, Arc};
use std::thread;

/// Why the topic cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SceneInputError {
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error("no thread for the scene: {0}")]
    Thread(#[from] std::io::Error),
}

/// One change of the scene.
pub enum SceneChange {
    /// What a message of `scene_object` says.
    Object(Box<SceneObject>),
    /// An obstacle goes; what is known of an object of its name stays.
    ObstacleGone { id: String },
    /// An object is in a hand, and no obstacle any more.
    Attached { id: String, link: String },
    /// It is not any more.
    Detached { id: String },
    /// Nothing hangs on this link, or on any.
    DetachedFrom { link: Option<String> },
}

/// Takes changes from any topic, in the order in which they come.
#[derive(Clone)]
pub struct SceneInbox(mpsc::Sender<SceneChange>);

impl SceneInbox {
    /// # Errors
    /// The thread has ended.
    pub fn put(&self, change: SceneChange) -> Result<(), String> {
        let ended = |_| "the scene's thread has ended".to_owned();
        self.0.send(change).map_err(ended)
    }
}

/// Subscribes the topic and starts the thread, which ends with the subscriptions.
///
/// # Errors
/// [`SceneInputError`]
pub fn start(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    shared: &Arc<Shared>,
) -> Result<SceneInbox, SceneInputError> {
    let (changes, inbox) = mpsc::channel::<SceneChange>();
    let s = shared.clone();
    thread::Builder::new().name("scene".into()).spawn(move || {
        for change in inbox {
            if let Err(reason) = apply(&s, change) {
                r2r::log_error!("planner", "scene: {reason}");
            }
        }
    })?;
    let qos = QosProfile::default().keep_last(100);
    let changes = SceneInbox(changes);
    let c = changes.clone();
    subscribe(node, spawner, "scene_object", qos, move |message| {
        c.put(SceneChange::Object(Box::new(message)))
    })?;
    Ok(changes)
}

fn apply(shared: &Shared, change: SceneChange) -> Result<(), String> {
    match change {
        SceneChange::Object(message) => return object(shared, &message),
        SceneChange::ObstacleGone { id } => {
            lock(&shared.scene).obstacles.remove(&id);
        }
        SceneChange::Attached { id, link } => {
            lock(&shared.scene).attached.insert(id, link);
        }
        SceneChange::Detached { id } => {
            lock(&shared.scene).attached.remove(&id);
        }
        SceneChange::DetachedFrom { link } => {
            let stays = |on: &String| link.as_ref().is_some_and(|link| on != link);
            lock(&shared.scene).attached.retain(|_, on| stays(on));
        }
    }
    Ok(())
}

fn object(shared: &Shared, message: &SceneObject) -> Result<(), String> {
    let operation = message.operation;
    let is = |constant: i64| i64::from(operation) == constant;
    if is(SceneObject::ADD as i64) {
        add(shared, message)
    } else if is(SceneObject::APPEND as i64) {
        append(shared, message)
    } else if is(SceneObject::REMOVE as i64) {
        match message.id.is_empty() {
            true => clear(shared),
            false => drop(remove(shared, &message.id)),
        }
        Ok(())
    } else if is(SceneObject::MOVE as i64) {
        let pose = convert::scene::observed_pose(message)?;
        let mut scene = lock(&shared.scene);
        let known = scene.obstacles.get_mut(&message.id);
        known
            .ok_or_else(|| {
                format!(
                    "cannot move object '{}': it is not in the scene",
                    message.id
                )
            })?
            .pose = pose;
        Ok(())
    } else {
        Err(format!(
            "object '{}': operation {operation} is not ADD, REMOVE, MOVE or APPEND",
            message.id
        ))
    }
}

fn add(shared: &Shared, message: &SceneObject) -> Result<(), String> {
    if message.id.is_empty() {
        return Err("an object needs an id".into());
    }
    let mut obstacle = convert::scene::obstacle(message)?;
    if obstacle.pose.stamp == 0 {
        obstacle.pose.stamp = shared.now();
    }
    if message.graspable {
        let mesh = convert::scene::graspable_mesh(message)?;
        lock(&shared.object_poses).update(&message.id, obstacle.pose.clone());
        shared.library.add(&message.id, ObjectSource::Mesh(mesh));
    }
    lock(&shared.scene)
        .obstacles
        .insert(message.id.clone(), obstacle);
    Ok(())
}

/// Adds the parts to those that are known.
fn append(shared: &Shared, message: &SceneObject) -> Result<(), String> {
    let known = lock(&shared.scene).obstacles.contains_key(&message.id);
    match (known, message.graspable) {
        (false, _) => add(shared, message),
        (true, true) => Err(format!(
            "scene object '{}': parts cannot be added to what is graspable",
            message.id
        )),
        (true, false) => {
            let mut parts = convert::scene::obstacle(message)?.parts;
            let mut scene = lock(&shared.scene);
            if let Some(obstacle) = scene.obstacles.get_mut(&message.id) {
                obstacle.parts.append(&mut parts);
            }
            Ok(())
        }
    }
}

/// Forgets an object's geometry, pose and model; false if nothing was known of it.
pub fn remove(shared: &Shared, id: &str) -> bool {
    let obstacle = lock(&shared.scene).obstacles.remove(id).is_some();
    let pose = lock(&shared.object_poses).remove(id);
    let model = shared.library.remove(id);
    obstacle || pose || model
}

/// Forgets all objects and obstacles.
pub fn clear(shared: &Shared) {
    {
        let mut scene = lock(&shared.scene);
        scene.obstacles.clear();
        scene.attached.clear();
    }
    lock(&shared.object_poses).clear();
    *lock(&shared.cloud) = CloudSlot::default();
    for (id, _) in shared.library.statuses() {
        shared.library.remove(&id);
    }
}
