//! MoveIt's side: its collision objects and planning scenes as obstacles, and plans for the display of its RViz plugin.
//!
//! Built where `moveit_msgs` is installed.

use super::convert::moveit::scene_object;
use super::lock;
use super::perception::{subscribe, SubscribeError};
use super::scene_input::SceneInbox;
use super::shared::Shared;
use futures::task::LocalSpawn;
use r2r::diffusion_field_planner::msg::SceneObject;
use r2r::moveit_msgs::msg::{AttachedCollisionObject, CollisionObject, PlanningScene, RobotState};
use r2r::{Node, QosProfile};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What the two topics have in common.
struct MoveitScene {
    shared: Arc<Shared>,
    inbox: SceneInbox,
    /// Objects that came from here: what a whole scene replaces.
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
    shared: &Arc<Shared>,
    inbox: SceneInbox,
) -> Result<(), SubscribeError> {
    let scene = Arc::new(Mutex::new(MoveitScene {
        shared: shared.clone(),
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
            self.object(object)?;
        }
        self.robot_state(message.robot_state)
    }

    fn object(&mut self, object: CollisionObject) -> Result<(), String> {
        let message = scene_object(object)?;
        match i64::from(message.operation) == SceneObject::REMOVE as i64 {
            true if message.id.is_empty() => {
                for id in std::mem::take(&mut self.known) {
                    self.inbox.put(removal(id))?;
                }
                return Ok(());
            }
            true => {
                self.known.remove(&message.id);
            }
            false => {
                self.known.insert(message.id.clone());
            }
        }
        self.inbox.put(message)
    }

    fn remove(&mut self, id: String) -> Result<(), String> {
        self.known.remove(&id);
        self.inbox.put(removal(id))
    }

    fn robot_state(&mut self, state: RobotState) -> Result<(), String> {
        if !state.is_diff {
            lock(&self.shared.scene).attached.clear();
        }
        for AttachedCollisionObject {
            link_name, object, ..
        } in state.attached_collision_objects
        {
            if i64::from(object.operation) == CollisionObject::REMOVE as i64 {
                // Without an id: all that the link carries.
                let goes = |id: &String, link: &String| match object.id.is_empty() {
                    true => *link == link_name,
                    false => *id == object.id,
                };
                let attached = &mut lock(&self.shared.scene).attached;
                attached.retain(|id, link| !goes(id, link));
            } else {
                // In the hand it is no obstacle any more.
                if self.known.contains(&object.id) {
                    self.remove(object.id.clone())?;
                }
                let attached = &mut lock(&self.shared.scene).attached;
                attached.insert(object.id, link_name);
            }
        }
        Ok(())
    }
}

fn removal(id: String) -> SceneObject {
    SceneObject {
        id,
        operation: SceneObject::REMOVE as _,
        ..Default::default()
    }
}
