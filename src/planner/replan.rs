//! `Planner::replan`: a new motion for an arm that moves, and a stop where there is none.

use std::time::{Duration, Instant};

use super::error::PlanError;
use super::facade::Planner;
use super::finish::reach_settings;
use super::request::{Goal, PlanRequest};
use super::result::Plan;
use super::session::Observe;
use super::verify::{Motion, Verification, Verifier, Violation};
use crate::geometry::{difference, Pose};
use crate::robot::RobotModel;
use crate::scene::{Scene, SceneObject, Shape};
use crate::trajectory::{
    stop_along, stop_each_joint, JointState, MovingStart, StartJoint, TimedTrajectory,
};

/// A motion that is being executed, and when it is to be left for a new one.
#[derive(Clone, Debug)]
pub struct Running {
    pub trajectory: TimedTrajectory,
    /// Time on the trajectory at which what [`Planner::replan`] returns begins [s].
    pub handover_s: f64,
}

impl Running {
    /// What is left at the hand-over [s].
    pub fn remaining_s(&self) -> f64 {
        self.trajectory.duration_s() - self.handover_s
    }

    /// Whether the tool is at a pose when the motion ends.
    pub fn ends_at(&self, robot: &RobotModel, world_from_tool: &Pose) -> bool {
        let reached = robot.kinematics.tool_pose(self.trajectory.end());
        difference(&reached, world_from_tool).amax() < SAME_POSE
    }

    /// State `after_s` the hand-over.
    pub fn state_after(&self, after_s: f64) -> JointState {
        self.trajectory.sample(self.handover_s + after_s)
    }
}

/// The remainder as the verifier sees it.
impl Motion for Running {
    fn joint_names(&self) -> &[String] {
        self.trajectory.joint_names()
    }

    fn duration_s(&self) -> f64 {
        self.remaining_s()
    }

    fn position(&self, t_s: f64, q: &mut [f64]) {
        q.copy_from_slice(&self.state_after(t_s).position);
    }
}

/// What to do from the hand-over on.
#[derive(Debug, Clone)]
pub enum Replan {
    /// Keep the running motion: it still ends at the goal, and its remainder was verified in the new scene.
    Continue(Verification),
    /// Follow this plan; its first phase begins with the state at the hand-over.
    NewPlan(Plan),
    /// Stop: there is no verified plan.
    Brake(Brake),
}

/// A motion from the state at the hand-over to rest.
#[derive(Debug, Clone)]
pub struct Brake {
    pub trajectory: TimedTrajectory,
    pub way: BrakeWay,
    /// What the verifier says of it in the new scene. An error: even the stop that lasts longest collides, with what and when.
    pub verification: Result<Verification, Violation>,
    /// Why there is no plan.
    pub reason: PlanError,
}

/// How a stop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrakeWay {
    /// Along the running motion.
    Path,
    /// Every joint slows down by itself.
    Joints,
}

/// Time kept back from the search for the stop [s], at most this share of the limit.
const BRAKE_RESERVE_S: f64 = 3e-3;
const BRAKE_SHARE: f64 = 0.25;
/// The running motion still ends at the goal within these.
const SAME_JOINTS: f64 = 1e-5;
const SAME_POSE: f64 = 1e-4;

impl Planner {
    /// Plans from the state that `running` will have at the hand-over: `request` says what is wanted now, its start is
    /// replaced by that state. While the remainder is free and still ends at a joint or pose goal it is kept (`keep`), else a new
    /// motion is planned from it and from fresh seeds. Where none verifies within the time limit, for whatever reason, the answer
    /// is a stop.
    ///
    /// # Errors
    /// Only where there is no state to begin from: a hand-over outside the motion, other joints, a robot whose shapes cannot be
    /// checked.
    pub fn replan(
        &mut self,
        request: &PlanRequest,
        running: &Running,
        keep: bool,
        observe: Observe<'_>,
    ) -> Result<Replan, PlanError> {
        let begin = Instant::now();
        self.check_running(running)?;
        let request = from_handover(request, running);
        let scene = obstacles(&request);
        if keep && self.still_ends_there(&request, running) {
            let settings = reach_settings(&request);
            if let Ok(verification) = self.usable_verifier()?.verify(&scene, running, &settings) {
                return Ok(Replan::Continue(verification));
            }
        }
        let limit_s = request.time_limit.as_secs_f64();
        let left_s = limit_s - begin.elapsed().as_secs_f64();
        let search = PlanRequest {
            time_limit: Duration::try_from_secs_f64(
                left_s - BRAKE_RESERVE_S.min(BRAKE_SHARE * limit_s),
            )
            .unwrap_or(Duration::from_nanos(1)),
            ..request.clone()
        };
        let usual = self.settings.clone();
        self.settings = usual.for_replanning();
        let planned = self.solve(&search, Some(running), observe);
        self.settings = usual;
        match planned {
            Ok(plan) => Ok(Replan::NewPlan(plan)),
            Err(reason) => self
                .brake(&request, &scene, running, reason)
                .map(Replan::Brake),
        }
    }

    fn usable_verifier(&mut self) -> Result<&mut Verifier, PlanError> {
        self.verifiers
            .as_mut()
            .map(|[verifier, _]| verifier)
            .map_err(|violation| PlanError::Internal {
                reason: violation.to_string(),
            })
    }

    fn check_running(&self, running: &Running) -> Result<(), PlanError> {
        let names = self.robot.kinematics.joint_names();
        if running.trajectory.joint_names() != names {
            return Err(PlanError::InvalidRequest {
                what: "joints of the running motion".into(),
                value: running.trajectory.joint_names().join(", "),
                allowed: format!("the robot has {}", names.join(", ")),
            });
        }
        let duration_s = running.trajectory.duration_s();
        if (0.0..duration_s).contains(&running.handover_s) {
            return Ok(());
        }
        Err(PlanError::InvalidRequest {
            what: "hand-over".into(),
            value: format!("{} s", running.handover_s),
            allowed: format!("the running motion lasts from 0 to {duration_s:.4} s"),
        })
    }

    /// Whether the running motion ends where the request wants to go. Not for grasps: what follows them hangs on the reach and
    /// is planned with it.
    fn still_ends_there(&self, request: &PlanRequest, running: &Running) -> bool {
        let end = running.trajectory.end();
        match &request.goal {
            Goal::Joints(q) => {
                q.len() == end.len() && q.iter().zip(end).all(|(a, b)| (a - b).abs() < SAME_JOINTS)
            }
            Goal::Pose { world_from_tool } => running.ends_at(&self.robot, world_from_tool),
            Goal::Grasp { .. } | Goal::Grasps { .. } => false,
        }
    }

    /// The fastest stop: along the running motion if that is free, else every joint by itself; if both collide the one that is free for longer.
    fn brake(
        &mut self,
        request: &PlanRequest,
        scene: &Scene,
        running: &Running,
        reason: PlanError,
    ) -> Result<Brake, PlanError> {
        let names = running.trajectory.joint_names();
        // As hard as the request's scaling allows, or as the robot can where that is not enough to stop inside its limits.
        let stops = [request.acceleration_scaling, 1.0]
            .into_iter()
            .find_map(|scaling| {
                let (request, start) = self.braking_limits(request, scaling);
                let along = stop_along(&running.trajectory, running.handover_s, &start);
                let each = stop_each_joint(names, &start);
                (along.is_some() || each.is_some()).then_some((request, along, each))
            });
        let Some((request, along, each)) = stops else {
            return Err(PlanError::Internal {
                reason: format!("no stop from the running motion keeps the limits; {reason}"),
            });
        };
        let ways = [(BrakeWay::Path, along), (BrakeWay::Joints, each)];
        let settings = reach_settings(&request);
        let sound = scene.validate().map_err(|e| Violation::Setup {
            reason: e.to_string(),
        });
        let verifier = self.usable_verifier()?;
        let mut best: Option<Brake> = None;
        for (way, trajectory) in ways {
            let Some(trajectory) = trajectory else {
                continue;
            };
            let verification = sound
                .clone()
                .and_then(|()| verifier.verify(scene, &trajectory, &settings));
            let free_s = free_until_s(&verification);
            if best
                .as_ref()
                .is_none_or(|b| free_until_s(&b.verification) < free_s)
            {
                best = Some(Brake {
                    trajectory,
                    way,
                    verification,
                    reason: reason.clone(),
                });
            }
            if free_s.is_infinite() {
                break;
            }
        }
        best.ok_or(reason)
    }

    /// Limits for a stop: acceleration and jerk scaled, but not below the acceleration that the arm has already, and all of the
    /// velocity limit: a scaling that came down while the arm moved must not forbid the stop.
    fn braking_limits(&self, request: &PlanRequest, scaling: f64) -> (PlanRequest, MovingStart) {
        let limits = &self.robot.limits;
        let used = request.start_acceleration.iter().zip(&limits.acceleration);
        let used = used.map(|(a, limit)| a.abs() / limit);
        let request = PlanRequest {
            velocity_scaling: 1.0,
            acceleration_scaling: used.fold(scaling, f64::max).min(1.0),
            ..request.clone()
        };
        let joints = (0..limits.dof())
            .map(|j| StartJoint {
                position: request.start[j],
                velocity: request.start_velocity[j],
                acceleration: request.start_acceleration[j],
                velocity_limit: limits.velocity[j] * request.velocity_scaling,
                acceleration_limit: limits.acceleration[j] * request.acceleration_scaling,
                jerk_limit: limits.jerk[j] * request.acceleration_scaling,
            })
            .collect();
        (request, MovingStart::new(joints))
    }
}

/// The request from the state at the hand-over.
fn from_handover(request: &PlanRequest, running: &Running) -> PlanRequest {
    let state = running.state_after(0.0);
    PlanRequest {
        start: state.position,
        start_velocity: state.velocity,
        start_acceleration: state.acceleration,
        ..request.clone()
    }
}

/// Everything the arm must not touch on the way.
fn obstacles(request: &PlanRequest) -> Scene {
    let mut scene = request.scene.clone();
    scene
        .objects
        .extend(request.goal.target().map(|(object, world_from_object)| {
            let shape = Shape::Mesh(object.surface.clone());
            SceneObject::new(object.name.clone(), shape, *world_from_object)
        }));
    scene
}

/// How long a stop is known to be free [s].
fn free_until_s(verification: &Result<Verification, Violation>) -> f64 {
    match verification {
        Ok(_) => f64::INFINITY,
        Err(Violation::Clearance { time_s, .. } | Violation::SelfClearance { time_s, .. }) => {
            *time_s
        }
        Err(_) => -1.0,
    }
}
