//! The node's services beside the action and the parameters.

use super::active_goal::Interrupt;
use super::convert;
use super::execution;
use super::lock;
use super::perception::SubscribeError;
use super::pick_server::GoalGate;
use super::scene_input;
use super::shared::{RobotStatus, Shared};
use super::state::seconds_between;
use super::status::StatusBoard;
use futures::task::{LocalSpawn, LocalSpawnExt};
use futures::StreamExt;
use r2r::diffusion_field_planner::srv::{ListObjects, RemoveObject};
use r2r::std_srvs::srv::{SetBool, Trigger};
use r2r::{Node, QosProfile, ServiceRequest, WrappedServiceTypeSupport};
use std::sync::Arc;

/// Creates every service.
///
/// # Errors
/// [`SubscribeError`]
pub fn start(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    shared: &Arc<Shared>,
    status: &Arc<StatusBoard>,
    gate: &Arc<GoalGate>,
) -> Result<(), SubscribeError> {
    let s = shared.clone();
    service::<ListObjects::Service>(node, spawner, "~/list_objects", move |r| {
        list_objects(&s, r)
    })?;
    let s = shared.clone();
    service::<RemoveObject::Service>(node, spawner, "~/remove_object", move |r| {
        remove_object(&s, r)
    })?;
    let s = shared.clone();
    service::<Trigger::Service>(node, spawner, "~/clear_scene", move |_| {
        scene_input::clear(&s);
        done(String::new())
    })?;
    let (s, g) = (shared.clone(), gate.clone());
    service::<Trigger::Service>(node, spawner, "~/stop", move |_| stop(&s, &g))?;
    let (s, b, g) = (shared.clone(), status.clone(), gate.clone());
    service::<SetBool::Service>(node, spawner, "~/set_enabled", move |r| {
        set_enabled(&s, &b, &g, r.data)
    })
}

pub(super) fn service<T: WrappedServiceTypeSupport + 'static>(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    name: &str,
    answer: impl Fn(&T::Request) -> T::Response + 'static,
) -> Result<(), SubscribeError> {
    let requests = node.create_service::<T>(name, QosProfile::services_default())?;
    spawner.spawn_local(requests.for_each(move |request| {
        let response = answer(&request.message);
        respond(request, response);
        futures::future::ready(())
    }))?;
    Ok(())
}

fn list_objects(shared: &Shared, request: &ListObjects::Request) -> ListObjects::Response {
    let now = shared.now();
    let scene = lock(&shared.scene).clone();
    let models = shared.library.statuses();
    let mut ids: Vec<String> = scene.obstacles.keys().cloned().collect();
    ids.extend(models.iter().map(|(id, _)| id.clone()));
    ids.extend(
        lock(&shared.object_poses)
            .ages_s(now)
            .into_iter()
            .map(|(id, _)| id),
    );
    ids.sort_unstable();
    ids.dedup();

    let mut response = ListObjects::Response::default();
    for id in &request.ids {
        if !ids.contains(id) {
            response.unknown_ids.push(id.clone());
        }
    }
    for id in ids
        .iter()
        .filter(|id| request.ids.is_empty() || request.ids.contains(id))
    {
        let observed = lock(&shared.object_poses).get(id).cloned();
        let obstacle = scene.obstacles.get(id);
        let pose = observed.as_ref().or(obstacle.map(|o| &o.pose));
        let graspable = models.iter().any(|(known, _)| known == id);
        let mut object = convert::scene::summary(id, pose, graspable);
        if let (true, Some(obstacle)) = (request.include_geometry, obstacle) {
            convert::scene::add_geometry(&mut object, obstacle);
        }
        response.objects.push(object);
        // Obstacles from the scene file carry no time: they are as old as the node.
        let age_s = pose.map_or(-1.0, |pose| match pose.stamp {
            0 => 0.0,
            stamp => seconds_between(stamp, now),
        });
        response.ages.push(age_s);
    }
    response
}

fn remove_object(shared: &Shared, request: &RemoveObject::Request) -> RemoveObject::Response {
    if scene_input::remove(shared, &request.id) {
        return RemoveObject::Response {
            success: true,
            ..Default::default()
        };
    }
    let known: Vec<String> = list_objects(shared, &ListObjects::Request::default())
        .objects
        .into_iter()
        .map(|object| object.id)
        .collect();
    RemoveObject::Response {
        success: false,
        message: format!(
            "object '{}' is not known; known objects: {}",
            request.id,
            known.join(", ")
        ),
    }
}

/// Ends every goal and, where the node is active, brings the arm to rest, also if it was not this node that moved it.
fn stop(shared: &Shared, gate: &GoalGate) -> Trigger::Response {
    gate.interrupt_all(Interrupt::Stopped);
    if !shared.lifecycle.is_active() {
        return done("goals ended; the node is not active, so no stop was sent".into());
    }
    let RobotStatus::Ready(robot) = shared.robot() else {
        return done("goals ended; no robot model, so no stop was sent".into());
    };
    match execution::stop(shared, &robot, &shared.parameters()) {
        true => done(String::new()),
        false => Trigger::Response {
            success: false,
            message: "goals ended; no fresh joint state, so no stop was sent".into(),
        },
    }
}

fn set_enabled(
    shared: &Shared,
    status: &StatusBoard,
    gate: &GoalGate,
    enabled: bool,
) -> SetBool::Response {
    gate.set_enabled(enabled);
    if !enabled {
        gate.interrupt_all(Interrupt::Stopped);
    }
    status.refresh(shared, enabled);
    SetBool::Response {
        success: true,
        message: String::new(),
    }
}

fn done(message: String) -> Trigger::Response {
    Trigger::Response {
        success: true,
        message,
    }
}

/// Answers a request. A response that cannot be sent has lost its client; the server goes on.
pub(super) fn respond<T: WrappedServiceTypeSupport + 'static>(
    request: ServiceRequest<T>,
    response: T::Response,
) {
    if let Err(error) = request.respond(response) {
        r2r::log_warn!("planner", "a client did not get its response: {error}");
    }
}
