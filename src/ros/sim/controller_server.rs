//! The simulated controller's action, control_msgs/FollowJointTrajectory, by the rules of joint_trajectory_controller: a
//! newer command replaces the running one, cancelling holds the arm, tolerances are checked all the way.

use super::node::Simulation;
use super::SimulatedArm;
use crate::ros::action_server::{ActionHandler, GoalHandle};
use crate::ros::convert;
use crate::ros::goal_registry::GoalId;
use r2r::control_msgs::action::FollowJointTrajectory;
use r2r::control_msgs::msg::JointTolerance;
use std::cell::RefCell;
use std::rc::Rc;

/// Time between two feedback messages, s.
const FEEDBACK_S: f64 = 0.05;
/// At the end where the goal gives none, rad or m.
const DEFAULT_GOAL_TOLERANCE: f64 = 0.01;

pub type MotionHandle = GoalHandle<FollowJointTrajectory::Action>;
type Ended = FollowJointTrajectory::Result;

/// The goal that the arm follows.
pub struct MotionGoal {
    handle: MotionHandle,
    /// When the trajectory's last point was first found reached by the command, s.
    due_s: Option<f64>,
    feedback_s: f64,
}

impl MotionGoal {
    pub fn new(handle: MotionHandle) -> Self {
        handle.execute();
        Self {
            handle,
            due_s: None,
            feedback_s: f64::NEG_INFINITY,
        }
    }

    /// Another command has taken over.
    pub fn replaced(self) {
        let code = Ended::INVALID_GOAL as i32;
        self.handle
            .abort(ended(code, "a newer command took over".into()));
    }

    /// The goal was accepted but the arm cannot follow it.
    pub fn refuse(handle: MotionHandle, reason: String) {
        handle.abort(ended(Ended::INVALID_GOAL as i32, reason));
    }

    /// Looks at the arm at a time; gives the goal back while it goes on.
    pub fn look(mut self, arm: &mut SimulatedArm, now_s: f64) -> Option<Self> {
        if self.handle.is_canceling() {
            arm.hold();
            self.handle
                .canceled(ended(Ended::SUCCESSFUL as i32, "cancelled".into()));
            return None;
        }
        let goal = self.handle.goal();
        if let Some(reason) = beyond(arm, &goal.path_tolerance, 0.0) {
            arm.hold();
            let code = Ended::PATH_TOLERANCE_VIOLATED as i32;
            self.handle.abort(ended(code, reason));
            return None;
        }
        if !arm.follower.is_moving() {
            let due_s = *self.due_s.get_or_insert(now_s);
            let patience_s = convert::duration_from_message(&goal.goal_time_tolerance);
            match beyond(arm, &goal.goal_tolerance, DEFAULT_GOAL_TOLERANCE) {
                None => {
                    let code = Ended::SUCCESSFUL as i32;
                    self.handle.succeed(ended(code, String::new()));
                    return None;
                }
                Some(reason) if patience_s > 0.0 && now_s > due_s + patience_s => {
                    arm.hold();
                    let code = Ended::GOAL_TOLERANCE_VIOLATED as i32;
                    self.handle.abort(ended(code, reason));
                    return None;
                }
                Some(_) => {}
            }
        }
        if now_s - self.feedback_s >= FEEDBACK_S {
            self.feedback_s = now_s;
            self.handle.publish_feedback(feedback(arm));
        }
        Some(self)
    }
}

fn ended(error_code: i32, error_string: String) -> Ended {
    Ended {
        error_code,
        error_string,
    }
}

/// Which joint is further from the command than its tolerance. 0: `default`; where that is 0 too, or below 0: any distance.
fn beyond(arm: &SimulatedArm, tolerances: &[JointTolerance], default: f64) -> Option<String> {
    let joints = arm.follower.joints().iter().enumerate();
    joints
        .map(|(j, joint)| {
            let given = tolerances.iter().find(|t| &t.name == joint);
            let tolerance = match given.map_or(0.0, |t| t.position) {
                0.0 => default,
                given => given,
            };
            let error = (arm.position()[j] - arm.follower.position[j]).abs();
            (joint, error, tolerance)
        })
        .find(|(_, error, tolerance)| *tolerance > 0.0 && error > tolerance)
        .map(|(joint, error, tolerance)| {
            format!("joint '{joint}' is {error:.4} from where it should be, the tolerance is {tolerance}")
        })
}

fn feedback(arm: &SimulatedArm) -> FollowJointTrajectory::Feedback {
    let wanted = &arm.follower.position;
    let mut feedback = FollowJointTrajectory::Feedback {
        joint_names: arm.follower.joints().to_vec(),
        ..Default::default()
    };
    feedback.desired.positions.clone_from(wanted);
    feedback.actual.positions = arm.position().to_vec();
    feedback.error.positions = wanted
        .iter()
        .zip(arm.position())
        .map(|(w, p)| w - p)
        .collect();
    feedback
}

/// Serves the action.
pub struct ControllerServer(pub(super) Rc<RefCell<Simulation>>);

impl ActionHandler<FollowJointTrajectory::Action> for ControllerServer {
    fn accepts(&mut self, _id: &GoalId, goal: &FollowJointTrajectory::Goal) -> bool {
        self.0.borrow_mut().accepts_motion(&goal.trajectory)
    }

    fn start(&mut self, handle: MotionHandle) {
        self.0.borrow_mut().start_motion(handle);
    }
}
