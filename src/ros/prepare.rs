//! Everything a goal needs before it can be planned: robot, start, object, obstacles. Each step waits as long as its
//! parameter allows and no longer than the goal is wanted.

use super::active_goal::ActiveGoal;
use super::cloud_input::{self, Known, CLOUD_ID};
use super::convert::constraints::with_tool_link;
use super::convert::goal::CheckedGoal;
use super::failure::Failure;
use super::library::ModelStatus;
use super::lock;
use super::object_frames::latest_pose;
use super::objects::ObservedPose;
use super::parameters::Parameters;
use super::shared::{RobotStatus, Shared};
use super::state::{seconds_between, ArmState};
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::planner::{Goal, PlanRequest};
use crate::robot::RobotModel;
use crate::scene::{Scene, SceneObject, SignedDistance};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a goal waits for a model that is being made, of the robot or of an object.
const MODEL_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest single wait for a change of the library, so that interrupts are seen.
const MODEL_POLL: Duration = Duration::from_millis(20);

/// A problem ready to be planned.
pub struct Prepared {
    pub robot: Arc<RobotModel>,
    pub target: Target,
    pub request: PlanRequest,
}

/// What is to be grasped.
#[derive(Clone)]
pub struct Target {
    pub id: String,
    /// None if only given grasps are used and the object's shape is not known.
    pub model: Option<Arc<ObjectModel>>,
    /// None for grasps that are given in a frame of their own.
    pub observed: Option<ObservedPose>,
    pub world_from_object: Pose,
    pub grasps: Vec<Pose>,
}

/// Prepares a goal.
///
/// # Errors
/// The first thing that is missing, unknown, stale or contradictory; or the interrupt of the goal.
pub fn prepare(
    shared: &Shared,
    goal: &ActiveGoal,
    parameters: &Parameters,
    checked: &CheckedGoal,
) -> Result<Prepared, Failure> {
    let preparation = Preparation {
        shared,
        goal,
        parameters,
        checked,
    };
    let robot = preparation.robot()?;
    check_link(&robot, &checked.goal_link)?;
    let start = preparation.start(&robot)?;
    let target = preparation.target(&robot)?;
    let request = preparation.request(&robot, start, &target)?;
    Ok(Prepared {
        robot,
        target,
        request,
    })
}

/// What every step looks at.
struct Preparation<'a> {
    shared: &'a Shared,
    goal: &'a ActiveGoal,
    parameters: &'a Parameters,
    checked: &'a CheckedGoal,
}

impl Preparation<'_> {
    /// The robot model, waiting for its description if need be.
    fn robot(&self) -> Result<Arc<RobotModel>, Failure> {
        let timeout = Duration::from_secs_f64(self.parameters.state_timeout_s);
        // A model that is being built will be there: only the wait for its text is bounded.
        let known = |status: RobotStatus| match status {
            RobotStatus::Ready(robot) => Some(Ok(robot)),
            RobotStatus::Failed(reason) => Some(Err(Failure::RobotModel(reason))),
            RobotStatus::Waiting | RobotStatus::Building => None,
        };
        self.goal.wait(timeout, || match self.shared.robot() {
            RobotStatus::Waiting => None,
            _ => Some(()),
        })?;
        if matches!(self.shared.robot(), RobotStatus::Waiting) {
            return Err(Failure::RobotModel(format!(
                "nothing received on robot_description within {} s (state.timeout), and robot.urdf_file is empty",
                self.parameters.state_timeout_s
            )));
        }
        self.goal
            .wait(MODEL_TIMEOUT, || known(self.shared.robot()))?
            .unwrap_or_else(|| Err(Failure::RobotModel("it is still being built".into())))
    }

    /// The measured state, if it is fresh and the arm at rest.
    fn resting_state(&self, robot: &RobotModel) -> Result<ArmState, Failure> {
        let p = self.parameters;
        let state = self.shared.arm_state(robot, p.state_max_age_s)?;
        if p.state_require_stationary {
            let joints = robot.kinematics.joint_names();
            check_stationary(joints, &state, p.state_stationary_velocity)?;
        }
        Ok(state)
    }

    /// The joint positions to start from.
    fn start(&self, robot: &RobotModel) -> Result<Vec<f64>, Failure> {
        let joints = robot.kinematics.joint_names();
        if !self.checked.start.is_empty() {
            return given_start(joints, &self.checked.start);
        }
        let timeout = Duration::from_secs_f64(self.parameters.state_timeout_s);
        // A goal that took over from another finds the arm slowing down.
        let at_rest = self.goal.wait(timeout, || self.resting_state(robot).ok())?;
        let state = match at_rest {
            Some(state) => state,
            None => self.resting_state(robot)?,
        };
        Ok(state.position)
    }

    fn target(&self, robot: &RobotModel) -> Result<Target, Failure> {
        let id = &self.checked.object_id;
        let needs_object = self.checked.grasps.is_empty()
            || self.checked.grasps.iter().any(|g| g.pose.frame.is_empty());
        // What is put down must have a shape.
        let needs_model = self.checked.grasps.is_empty() || self.checked.place_pose.is_some();
        let model = self.model(id, needs_model)?;
        let observed = match &self.checked.object_pose {
            Some(pose) => Some(pose.clone()),
            None => self.observed_pose(robot, id, needs_object || model.is_some())?,
        };
        let world_from_object = match &observed {
            Some(observed) => self.transformed(robot, observed)?,
            None => Pose::identity(),
        };
        let mut grasps = Vec::with_capacity(self.checked.grasps.len());
        for given in &self.checked.grasps {
            grasps.push(match given.pose.frame.is_empty() {
                true => given.pose.frame_from_object,
                false => {
                    let world_from_gripper = self.transformed(robot, &given.pose)?;
                    world_from_object.inverse() * world_from_gripper
                }
            });
        }
        Ok(Target {
            id: id.clone(),
            model,
            observed: observed.filter(|_| self.checked.object_pose.is_none()),
            world_from_object,
            grasps,
        })
    }

    /// The object's model; without need, an object that is not known is no failure.
    fn model(&self, id: &str, needed: bool) -> Result<Option<Arc<ObjectModel>>, Failure> {
        let library = &self.shared.library;
        let status = self.goal.wait(MODEL_TIMEOUT, || match library.get(id) {
            Some(ModelStatus::Loading) => {
                library.wait_for_change(MODEL_POLL);
                None
            }
            status => Some(status),
        })?;
        match status.flatten() {
            Some(ModelStatus::Ready(model)) => Ok(Some(model)),
            _ if !needed => Ok(None),
            Some(ModelStatus::Failed(reason)) => Err(Failure::UnknownObject(reason)),
            Some(ModelStatus::Loading) => Err(Failure::UnknownObject(format!(
                "object '{id}' is still being loaded"
            ))),
            None => {
                if let Some(fault) = library.fault() {
                    return Err(Failure::UnknownObject(format!(
                        "object '{id}' is not known: {fault}"
                    )));
                }
                let known: Vec<String> = library.statuses().into_iter().map(|(id, _)| id).collect();
                let known = if known.is_empty() {
                    "none".into()
                } else {
                    known.join(", ")
                };
                Err(Failure::UnknownObject(format!(
                    "object '{id}' is not known; known objects: {known}"
                )))
            }
        }
    }

    /// The last pose of an object, waiting for a frame's transform if need be.
    fn latest_pose(&self, robot: &RobotModel, id: &str) -> Result<Option<ObservedPose>, Failure> {
        let timeout = Duration::from_secs_f64(self.parameters.objects_tf_timeout_s);
        let latest = || latest_pose(self.shared, self.parameters, robot, id);
        let found = self.goal.wait(timeout, || match latest() {
            Err(Failure::Transform(error)) if error.may_resolve() => None,
            other => Some(other),
        })?;
        found.unwrap_or_else(latest)
    }

    fn observed_pose(
        &self,
        robot: &RobotModel,
        id: &str,
        needed: bool,
    ) -> Result<Option<ObservedPose>, Failure> {
        let observed = match self.latest_pose(robot, id) {
            Ok(Some(observed)) => observed,
            Ok(None) if needed => {
                return Err(Failure::UnknownObject(format!(
                    "no pose of object '{id}' was received"
                )))
            }
            Err(failure) if needed => return Err(failure),
            _ => return Ok(None),
        };
        let age_s = seconds_between(observed.stamp, self.shared.now());
        let limit_s = self.parameters.objects_max_age_s;
        if limit_s > 0.0 && age_s > limit_s {
            if !needed {
                return Ok(None);
            }
            return Err(Failure::ObjectStale {
                id: id.to_owned(),
                age_s,
                limit_s,
            });
        }
        Ok(Some(observed))
    }

    /// A pose in the planning frame, waiting for the transform if need be.
    fn transformed(&self, robot: &RobotModel, observed: &ObservedPose) -> Result<Pose, Failure> {
        let timeout = Duration::from_secs_f64(self.parameters.objects_tf_timeout_s);
        let mut last = None;
        let found = self.goal.wait(timeout, || {
            match self.shared.to_planning_frame(robot, observed) {
                Ok(pose) => Some(Ok(pose)),
                Err(error) if error.may_resolve() => {
                    last = Some(error);
                    None
                }
                Err(error) => Some(Err(error)),
            }
        })?;
        match (found, last) {
            (Some(result), _) => Ok(result?),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Err(Failure::Internal("no transform and no reason".into())),
        }
    }

    fn request(
        &self,
        robot: &RobotModel,
        start: Vec<f64>,
        target: &Target,
    ) -> Result<PlanRequest, Failure> {
        let goal = match (&target.model, target.grasps.is_empty()) {
            (Some(object), true) => Goal::Grasp {
                object: object.clone(),
                world_from_object: target.world_from_object,
            },
            (object, false) => Goal::Grasps {
                object: object.clone(),
                world_from_object: target.world_from_object,
                object_from_gripper: target.grasps.clone(),
            },
            (None, true) => {
                return Err(Failure::NoGrasp(format!(
                    "object '{}' has no grasps",
                    target.id
                )))
            }
        };
        let place = self.checked.place_pose.as_ref();
        Ok(PlanRequest {
            place_world_from_object: place.map(|p| self.transformed(robot, p)).transpose()?,
            // The way out of a set-down is as long as the way into a grasp.
            retreat_distance_m: self.checked.approach_distance_m,
            approach_distance_m: self.checked.approach_distance_m,
            lift_distance_m: self.checked.lift_distance_m,
            velocity_scaling: self.checked.velocity_scaling,
            acceleration_scaling: self.checked.acceleration_scaling,
            collision_margin_m: self.parameters.planning_collision_margin_m,
            time_limit: self.checked.time_limit,
            num_particles: self.checked.num_candidates,
            seed: self.checked.seed.unwrap_or_else(fresh_seed),
            constraints: with_tool_link(&self.checked.constraints, robot.kinematics.tool_link()),
            ..PlanRequest::new(start.clone(), self.scene(robot, target, &start)?, goal)
        })
    }

    /// The obstacles, without the object to be grasped and those that may be touched.
    fn scene(&self, robot: &RobotModel, target: &Target, start: &[f64]) -> Result<Scene, Failure> {
        let store = lock(&self.shared.scene).clone();
        if let Some(fault) = store.fault {
            return Err(Failure::Configuration(fault));
        }
        if let Some((id, link)) = store.attached.first_key_value() {
            return Err(Failure::InvalidRequest(format!(
                "object '{id}' is attached to '{link}': a motion that begins with an object in the hand cannot be planned; \
                 detach it, or make it part of the robot's description"
            )));
        }
        let mut scene = Scene::default();
        let mut ignored_objects = Vec::new();
        for (name, obstacle) in &store.obstacles {
            if name == &target.id {
                continue;
            }
            let ignored = self.checked.ignored_objects.contains(name);
            let world_from_object = self.shared.to_planning_frame(robot, &obstacle.pose)?;
            for (i, part) in obstacle.parts.iter().enumerate() {
                let part_name = match obstacle.parts.len() {
                    1 => name.clone(),
                    _ => format!("{name}[{i}]"),
                };
                let world_from_part = world_from_object * part.object_from_part;
                let mut object = SceneObject::new(part_name, part.shape.clone(), world_from_part);
                object.margin_m = obstacle.margin_m;
                match ignored {
                    true => ignored_objects.push(object),
                    false => scene.objects.push(object),
                }
            }
        }
        if !self.checked.ignored_objects.iter().any(|id| id == CLOUD_ID) {
            let known: Vec<&SceneObject> = scene.objects.iter().chain(&ignored_objects).collect();
            let cloud = self.cloud(robot, target, start, &known)?;
            scene.objects.extend(cloud);
        }
        Ok(scene)
    }

    /// The obstacle of the point cloud, without the points of what is known.
    fn cloud(
        &self,
        robot: &RobotModel,
        target: &Target,
        start: &[f64],
        known: &[&SceneObject],
    ) -> Result<Option<SceneObject>, Failure> {
        let mut bodies: Vec<Known> = known
            .iter()
            .map(|o| (&o.shape as &dyn SignedDistance, o.world_from_object))
            .collect();
        if let Some(model) = &target.model {
            bodies.push((&*model.surface, target.world_from_object));
        }
        // The camera sees the arm where it is, wherever a plan may start.
        let measured = self
            .shared
            .arm_state(robot, self.parameters.state_max_age_s);
        let position = measured.map_or_else(|_| start.to_vec(), |state| state.position);
        cloud_input::obstacle(
            self.shared,
            self.parameters,
            robot,
            &position,
            &bodies,
            |frame| self.transformed(robot, frame),
        )
    }
}

fn check_link(robot: &RobotModel, goal_link: &str) -> Result<(), Failure> {
    let tool = robot.kinematics.tool_link();
    match goal_link.is_empty() || goal_link == tool {
        true => Ok(()),
        false => Err(Failure::InvalidLink(format!(
            "goal_link is '{goal_link}', this node moves '{tool}' (robot.tool_link)"
        ))),
    }
}

fn given_start(joints: &[String], given: &[(String, f64)]) -> Result<Vec<f64>, Failure> {
    joints
        .iter()
        .map(|joint| {
            let found = given.iter().find(|(name, _)| name == joint);
            found.map(|(_, position)| *position).ok_or_else(|| {
                Failure::InvalidRequest(format!("start_state lacks joint '{joint}'"))
            })
        })
        .collect()
}

fn check_stationary(joints: &[String], state: &ArmState, limit: f64) -> Result<(), Failure> {
    let moving = joints
        .iter()
        .zip(&state.velocity)
        .find(|(_, v)| v.abs() > limit);
    match moving {
        None => Ok(()),
        Some((joint, velocity)) => Err(Failure::StartMoving {
            joint: joint.clone(),
            velocity: *velocity,
            limit,
        }),
    }
}

/// A new seed for each goal that asks for none.
pub fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.as_nanos() as u64 | 1)
}
