//! MoveIt's side: its collision objects and planning scenes as obstacles.
//!
//! Built where `moveit_msgs` is installed.

use super::convert::moveit::scene_object;
use super::lock;
use super::perception::{subscribe, SubscribeError};
use super::scene_input::{SceneChange, SceneInbox};
use futures::task::LocalSpawn;
use r2r::moveit_msgs::msg::{AttachedCollisionObject, CollisionObject, PlanningScene, RobotState};
use r2r::{Node, QosProfile};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The scene as both topics tell it.
struct MoveitScene {
    inbox: SceneInbox,
    /// Obstacles that came from here: what a whole scene replaces.
    known: BTreeSet<String>,
    told_of_octomap: bool,
}

/// Subscribes `collision_object` and `planning_scene`.
///
/// # Errors
/// [`SubscribeError`]
pub fn start(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    inbox: SceneInbox,
) -> Result<(), SubscribeError> {
    let scene = Arc::new(Mutex::new(MoveitScene {
        inbox,
        known: BTreeSet::new(),
        told_of_octomap: false,
    }));
    let s = scene.clone();
    let qos = || QosProfile::default().keep_last(100);
    subscribe(node, spawner, "collision_object", qos(), move |m| {
        lock(&s).object(m)
    })?;
    subscribe(node, spawner, "planning_scene", qos(), move |m| {
        lock(&scene).planning_scene(m)
    })
}

impl MoveitScene {
    fn planning_scene(&mut self, message: PlanningScene) -> Result<(), String> {
        let world = message.world;
        if !message.is_diff {
            let named: BTreeSet<&String> = world.collision_objects.iter().map(|o| &o.id).collect();
            let gone = self.known.iter().filter(|id| !named.contains(id));
            for id in gone.cloned().collect::<Vec<_>>() {
                self.remove(id)?;
            }
        }
        if !world.octomap.octomap.data.is_empty() && !self.told_of_octomap {
            self.told_of_octomap = true;
            r2r::log_warn!(
                "planner",
                "topic 'planning_scene': its octomap is left out; publish the points on obstacle_cloud"
            );
        }
        for object in world.collision_objects {
            // One that makes no sense does not take the others with it.
            if let Err(reason) = self.object(object) {
                r2r::log_error!(
                    "planner",
                    "topic 'planning_scene': {reason}; object ignored"
                );
            }
        }
        self.robot_state(message.robot_state)
    }

    fn object(&mut self, object: CollisionObject) -> Result<(), String> {
        if is_removal(&object) {
            return match object.id.is_empty() {
                true => {
                    let mut known = self.known.clone().into_iter();
                    known.try_for_each(|id| self.remove(id))
                }
                false => self.remove(object.id),
            };
        }
        let message = scene_object(object)?;
        self.known.insert(message.id.clone());
        self.inbox.put(SceneChange::Object(Box::new(message)))
    }

    fn remove(&mut self, id: String) -> Result<(), String> {
        self.known.remove(&id);
        self.inbox.put(SceneChange::ObstacleGone { id })
    }

    /// As in MoveIt, a state that is no diff says all that is attached.
    fn robot_state(&mut self, state: RobotState) -> Result<(), String> {
        if !state.is_diff {
            self.inbox.put(SceneChange::DetachedFrom { link: None })?;
        }
        for attached in state.attached_collision_objects {
            self.attached(attached)?;
        }
        Ok(())
    }

    fn attached(&mut self, attached: AttachedCollisionObject) -> Result<(), String> {
        let (id, link) = (attached.object.id.clone(), attached.link_name);
        let change = match (is_removal(&attached.object), id.is_empty()) {
            (true, true) => SceneChange::DetachedFrom { link: Some(link) },
            (true, false) => SceneChange::Detached { id },
            (false, _) => {
                if self.known.contains(&id) {
                    self.remove(id.clone())?;
                }
                SceneChange::Attached { id, link }
            }
        };
        self.inbox.put(change)
    }
}

fn is_removal(object: &CollisionObject) -> bool {
    i64::from(object.operation) == CollisionObject::REMOVE as i64
}
