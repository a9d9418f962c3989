//! The request laid out for the kernels: scene, start, limits, objective.

use std::sync::Arc;

use super::checker::Checker;
use super::constraints::{self, PathConstraint};
use super::error::PlanError;
use super::held::{stuck, supports};
use super::replan::Running;
use super::request::{Goal, PlanRequest};
use super::settings::PlannerSettings;
use crate::cost::{
    Approach, GraspEnergy, JointLimitHinge, MotionLimitHinge, SceneCollision, SelfCollision,
    Smoothness, StartState,
};
use crate::field::{EnergyField, ObjectModel};
use crate::geometry::Pose;
use crate::lanes::LANES;
use crate::optimizer::{CollisionTerms, Objective, PathRules};
use crate::robot::RobotModel;
use crate::scene::{LaneGridCache, LaneScene, Scene, SceneObject, Shape};
use crate::trajectory::{rest_to_rest_duration_s, JointRow, MotionLimits, MovingStart, StartJoint};

/// Everything the later stages read; made once a request.
#[derive(Clone)]
pub struct World {
    pub robot: Arc<RobotModel>,
    pub objective: Objective,
    pub checker: Checker,
    /// Obstacles, without the object to be grasped.
    pub scene: Scene,
    /// Names of those that carry the object to be grasped: the kernels treat them like it.
    pub supports: Vec<String>,
    /// The other obstacles, for the kernels of what is no arm: the hand alone, an object in it.
    pub lane_scene: LaneScene,
    /// Obstacles with the object to be grasped: what the reach is verified against.
    pub scene_with_target: Scene,
    pub start: JointRow,
    /// Limits as the request scales them, `[D]`.
    pub velocity: Vec<f64>,
    pub acceleration: Vec<f64>,
    pub jerk: Vec<f64>,
    /// Path rules with the object in the hand; those of the reach are in the checker and the objective.
    pub holding_rules: PathRules,
    /// The request's constraints themselves.
    pub constraints: Vec<PathConstraint>,
    /// Pairs that may touch.
    pub allowed_collisions: Vec<(String, String)>,
    /// Energy of the object to be grasped, where a field chooses the grasp.
    pub grasp: Option<Arc<GraspEnergy>>,
    /// What is being executed while a new motion is planned: its remainder gives seeds and a goal.
    pub running: Option<Running>,
    /// The object to be grasped and its pose.
    pub target: Option<(Arc<ObjectModel>, Pose)>,
}

/// Joint values as a row.
pub fn joint_row(q: &[f64]) -> JointRow {
    let mut row = [0.0f32; LANES];
    for (r, &v) in row.iter_mut().zip(q) {
        *r = v as f32;
    }
    JointRow::new(row)
}

/// A row as `[D]` joint values.
pub fn joint_values(row: JointRow, dof: usize) -> Vec<f64> {
    row.as_array()[..dof]
        .iter()
        .map(|&v| f64::from(v))
        .collect()
}

impl World {
    /// Lays the request out and refuses a start in collision, and an object that nothing can lift out of an obstacle.
    pub fn prepare(
        robot: &Arc<RobotModel>,
        request: &PlanRequest,
        settings: &PlannerSettings,
        grids: &mut LaneGridCache,
    ) -> Result<Self, PlanError> {
        let mut world = Self::lay_out(robot, request, settings, grids)?;
        world.measure_start()?;
        let is_lifted = request.lift_distance_m > 0.0 || request.place_world_from_object.is_some();
        match is_lifted.then(|| stuck(&world)).flatten() {
            Some(reason) => Err(PlanError::GoalInCollision { reason }),
            None => Ok(world),
        }
    }

    /// Lays the request out; the start is not looked at.
    pub fn lay_out(
        robot: &Arc<RobotModel>,
        request: &PlanRequest,
        settings: &PlannerSettings,
        grids: &mut LaneGridCache,
    ) -> Result<Self, PlanError> {
        let scaled =
            |limits: &[f64], factor: f64| limits.iter().map(|v| v * factor).collect::<Vec<_>>();
        let velocity = scaled(&robot.limits.velocity, request.velocity_scaling);
        let acceleration = scaled(&robot.limits.acceleration, request.acceleration_scaling);
        let jerk = scaled(&robot.limits.jerk, request.acceleration_scaling);
        let limits = MotionLimits::new(&velocity, &acceleration, &jerk);
        let scene = request.scene.clone();
        let mut scene_with_target = scene.clone();
        let supports = request
            .goal
            .target()
            .map_or_else(Vec::new, |(object, pose)| supports(&scene, object, pose));
        let lane_target = request.goal.target().map(|(object, world_from_object)| {
            let exact = Shape::Mesh(object.surface.clone());
            scene_with_target.objects.push(SceneObject::new(
                object.name.clone(),
                exact,
                *world_from_object,
            ));
            let sampled = Shape::Voxels(object.close_distance.clone());
            let target = SceneObject::new(object.name.clone(), sampled, *world_from_object);
            // Fingers that reach for something flat come as near to what carries it as to the thing itself.
            let carriers = scene.objects.iter().filter(|o| supports.contains(&o.name));
            let objects = std::iter::once(&target)
                .chain(carriers)
                .map(|o| SceneObject {
                    margin_m: o.margin_m - f64::from(CollisionTerms::TARGET_SHIFT_M),
                    ..o.clone()
                })
                .collect();
            let lanes = LaneScene::with_cache(&Scene { objects }, grids);
            scene_collision(robot, request, lanes)
        });
        scene_with_target.validate()?;
        let all = LaneScene::with_cache(&scene, grids);
        let lane_scene = all.without(&supports);
        let mut own_collision = SelfCollision::new(&robot.collision);
        for (a, b) in &request.allowed_collisions {
            own_collision.allow(a, b);
        }
        // Of what carries the object only the hand may come so near.
        let mut scene_terms = scene_collision(robot, request, all);
        for name in &supports {
            leave_to_hand(&mut scene_terms, robot, name);
        }
        let collision = CollisionTerms::new(
            scene_terms,
            own_collision,
            lane_target,
            request.collision_margin_m,
            &settings.optimizer,
        );
        let mut objective = Objective::new(
            robot.clone(),
            limits,
            collision.clone(),
            request.approach_distance_m,
            &settings.optimizer,
        );
        let start = joint_row(&request.start);
        objective.moving_start = moving_start(request, &velocity, &acceleration, &jerk);
        let (rules, holding_rules) = constraints::rules(robot, &request.constraints)?;
        add_terms(&mut objective, robot, request, settings, start);
        let weights = &settings.optimizer.weights;
        for term in rules.terms() {
            objective.add_shared(
                term.clone(),
                weights.constraints,
                settings.optimizer.refine_limits,
            );
        }
        objective.rules = rules.clone();
        let checker = Checker::new(
            robot.clone(),
            collision,
            rules,
            objective.lower,
            objective.upper,
        );
        Ok(Self {
            robot: robot.clone(),
            objective,
            checker,
            scene,
            supports,
            lane_scene,
            scene_with_target,
            start,
            velocity,
            acceleration,
            jerk,
            holding_rules,
            constraints: request.constraints.clone(),
            allowed_collisions: request.allowed_collisions.clone(),
            grasp: grasp_energy(&request.goal).map(Arc::new),
            running: None,
            target: request
                .goal
                .target()
                .map(|(object, pose)| (object.clone(), *pose)),
        })
    }

    fn measure_start(&mut self) -> Result<(), PlanError> {
        let clearance = self.checker.clearance(self.start);
        if clearance
            .scene_m
            .min(clearance.own_m)
            .min(clearance.target_m)
            <= 0.0
        {
            let contact = self.checker.nearest_contact(self.start, true);
            if let Some(contact) = contact {
                return Err(PlanError::StartInCollision(contact));
            }
        }
        for collision in [&mut self.objective.collision, &mut self.checker.collision] {
            collision.start_clearance_m = clearance.scene_m;
            collision.start_target_clearance_m = clearance.target_m;
            collision.limit_self_margin(clearance.own_m);
        }
        self.limit_rule_margin(self.start);
        Ok(())
    }

    /// Least time [s] from the start to rest at `q` under the velocity and acceleration limits.
    pub fn least_duration_s(&self, q: JointRow) -> f32 {
        match &self.objective.moving_start {
            None => rest_to_rest_duration_s(self.start, q, &self.objective.limits),
            Some(start) => start.least_duration_s(q),
        }
    }

    /// Where the running motion ends, if the tool is at a pose there.
    pub fn running_end_at(&self, world_from_tool: &Pose) -> Option<JointRow> {
        let running = self.running.as_ref()?;
        running
            .ends_at(&self.robot, world_from_tool)
            .then(|| joint_row(running.trajectory.end()))
    }

    /// Energy of the field's final level at a gripper pose, if a field chooses the grasp.
    pub fn grasp_energy(&self, world_from_gripper: &Pose) -> Option<f64> {
        self.grasp
            .as_ref()
            .map(|g| f64::from(g.energy(&world_from_gripper.cast())))
    }

    /// Asks for no more clearance between links than a goal has [m].
    pub fn limit_self_margin(&mut self, own_clearance_m: f32) {
        self.objective.collision.limit_self_margin(own_clearance_m);
        self.checker.collision.limit_self_margin(own_clearance_m);
    }

    /// Asks for no more margin inside the path rules than a configuration at an end of the motion has.
    pub fn limit_rule_margin(&mut self, q: JointRow) {
        let slack_m = self.checker.slack_m(&self.objective.rules, q);
        self.objective.rules.limit_margin(slack_m);
        self.checker.rules.limit_margin(slack_m);
    }

    /// Sets the clearance required away from the ends [m].
    pub fn set_margin(&mut self, margin_m: f64) {
        self.objective.collision.margin_m = margin_m as f32;
        self.checker.collision.margin_m = margin_m as f32;
    }
}

/// The start's state with the limits in force `[D]`, unless it rests.
fn moving_start(
    request: &PlanRequest,
    velocity: &[f64],
    acceleration: &[f64],
    jerk: &[f64],
) -> Option<MovingStart> {
    if request.starts_at_rest() {
        return None;
    }
    let value = |values: &[f64], j: usize| values.get(j).copied().unwrap_or(0.0);
    let joint = |j: usize| StartJoint {
        position: request.start[j],
        velocity: value(&request.start_velocity, j),
        acceleration: value(&request.start_acceleration, j),
        velocity_limit: velocity[j],
        acceleration_limit: acceleration[j],
        jerk_limit: jerk[j],
    };
    Some(MovingStart::new(
        (0..request.start.len()).map(joint).collect(),
    ))
}

/// Lets pairs touch, in either order of their names.
pub fn allow(collision: &mut SceneCollision, pairs: &[(String, String)]) {
    for (a, b) in pairs {
        collision.allow(a, b);
        collision.allow(b, a);
    }
}

/// Lets the hand touch an object, for other terms to look after.
pub fn leave_to_hand(collision: &mut SceneCollision, robot: &RobotModel, object: &str) {
    let Some(gripper) = &robot.gripper else {
        return;
    };
    for link in robot.kinematics.links_from(&gripper.hand_link) {
        collision.allow(link, object);
    }
}

/// Kernel against obstacles, without the pairs that the request lets touch.
fn scene_collision(robot: &RobotModel, request: &PlanRequest, scene: LaneScene) -> SceneCollision {
    let mut collision = SceneCollision::new(&robot.collision, scene);
    allow(&mut collision, &request.allowed_collisions);
    collision
}

fn add_terms(
    objective: &mut Objective,
    robot: &RobotModel,
    request: &PlanRequest,
    settings: &PlannerSettings,
    start: JointRow,
) {
    let o = &settings.optimizer;
    let w = &o.weights;
    let limits = objective.limits;
    objective.add(Smoothness::new(limits), w.smoothness, o.refine_smoothness);
    objective.add(
        MotionLimitHinge::new(limits),
        w.motion_limits,
        o.refine_limits,
    );
    objective.add(
        JointLimitHinge::new(objective.lower, objective.upper),
        w.joint_limits,
        1.0,
    );
    objective.add(StartState::new(start), w.start, 1.0);
    let Some(gripper) = &robot.gripper else {
        return;
    };
    if request.goal.is_grasp() && request.approach_distance_m > 0.0 {
        let body_from_gripper = robot.kinematics.body_from_tool() * gripper.tool_from_gripper;
        objective.add(
            Approach::new(robot.kinematics.tool_body(), body_from_gripper),
            w.approach,
            1.0,
        );
    }
    if let (Some(grasp), true) = (grasp_energy(&request.goal), settings.joint_grasp) {
        // As stiff as the limits while refining, or the press for time would drag the hand off its grasp.
        objective.add(grasp, w.grasp, o.refine_limits);
    }
}

fn grasp_energy(goal: &Goal) -> Option<GraspEnergy> {
    let Goal::Grasp {
        object,
        world_from_object,
    } = goal
    else {
        return None;
    };
    let field: Arc<dyn EnergyField> = object.field.clone();
    Some(GraspEnergy::new(
        field,
        *object.field.schedule(),
        world_from_object,
    ))
}
