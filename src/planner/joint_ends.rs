//! Grasp and arm found together: where the arm collides at every grasp that was offered, those grasps' configurations descend
//! grasp energy and collision of the whole arm side by side (arXiv 2209.03855, section IV-A), and what is free then is a goal.

use nalgebra::{Translation3, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use rayon::{current_num_threads, prelude::*};

use super::branches::Branch;
use super::configurations::{arm_clear_in, from_anywhere};
use super::error::{GraspCounts, PlanError};
use super::grasps::{self, GraspOffer};
use super::result::Stage;
use super::session::Session;
use super::world::{joint_row, joint_values, World};
use crate::cost::GraspEnergy;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::lanes::{splat, Lanes, LANES};
use crate::optimizer::{
    Configuration, ConfigurationProblem, ConfigurationSettings, ConfigurationWorkspace,
};
use crate::robot::{half_turn, IkSettings, InverseKinematics, LaneFrame, RobotModel};
use crate::scene::LaneGridCache;
use crate::trajectory::{rows_from_lanes, JointRow};

/// A grasp with the arm in it.
#[derive(Clone, Copy, Debug)]
pub struct JointEnd {
    pub offer: GraspOffer,
    pub branch: Branch,
}

/// Configurations that are descended, the cheapest of all that reach an offered grasp, and how many of one grasp.
const STARTS: usize = 64;
const STARTS_OF_A_GRASP: usize = 2;
/// Steps, and the field's noise over them [rad]. The starts are grasps with as much noise, so that the others around them are
/// found too.
const STEPS: usize = 60;
const SIGMA_RAD: [f32; 2] = [0.5, 0.066];
/// Grasps of which each thread finds starts between two looks at deadline and cancellation; of blocks of sixteen it is one.
const GRASPS_AT_ONCE: usize = 4;
/// Clearance of what counts as free [m].
const FREE_M: f32 = 0.001;
/// A start has reached its grasp within these.
const POSITION_TOLERANCE_M: f32 = 1e-3;
const ANGLE_TOLERANCE_RAD: f32 = 1e-2;

/// A search at one pose of an object.
pub struct JointSearch<'a, 's> {
    pub world: &'a mut World,
    pub object: &'a ObjectModel,
    pub world_from_object: Pose,
    pub rng: &'a mut Pcg64Mcg,
    pub session: &'a mut Session<'s>,
}

impl JointSearch<'_, '_> {
    /// Free configurations in which the open hand is about to close on the object, the best grasps first.
    ///
    /// # Errors
    /// [`PlanError::Cancelled`], [`PlanError::Timeout`].
    pub fn ends(
        mut self,
        offers: &[GraspOffer],
        grids: &mut LaneGridCache,
    ) -> Result<Vec<JointEnd>, PlanError> {
        let (object, robot) = (self.object, self.world.robot.clone());
        let schedule = *object.field.schedule();
        let energy = GraspEnergy::new(object.field.clone(), schedule, &self.world_from_object)
            .annealed(SIGMA_RAD[0], SIGMA_RAD[1]);
        let collision = arm_clear_in(self.world, object, &self.world_from_object, grids);
        let Some(problem) = ConfigurationProblem::new(&robot, collision) else {
            return Ok(Vec::new());
        };
        let problem = problem.draw_to(energy);
        let settings = ConfigurationSettings {
            iterations: STEPS,
            ..ConfigurationSettings::default()
        };
        let starts = self.starts(&problem, &settings, offers)?;
        let (mut ends, counts) = (Vec::new(), &mut GraspCounts::default());
        for share in starts.chunks(current_num_threads() * LANES) {
            self.session.checkpoint(Stage::Sample, 0.1)?;
            let found = problem.descend(share, &settings, self.rng);
            ends.extend(found.iter().filter_map(|c| self.end(c, FREE_M, counts)));
        }
        Ok(best_first(ends))
    }

    /// The same among `count` configurations that descend from anywhere, from the coarsest noise on; `counts` says what became of
    /// the others.
    ///
    /// # Errors
    /// [`PlanError::Cancelled`], [`PlanError::Timeout`].
    pub fn ends_from_anywhere(
        &mut self,
        count: usize,
        free_m: f32,
        counts: &mut GraspCounts,
        grids: &mut LaneGridCache,
    ) -> Result<Vec<JointEnd>, PlanError> {
        let (object, robot) = (self.object, self.world.robot.clone());
        let collision = arm_clear_in(self.world, object, &self.world_from_object, grids);
        let Some(problem) = ConfigurationProblem::new(&robot, collision) else {
            return Ok(Vec::new());
        };
        let problem = problem.draw_to(from_anywhere(object, &self.world_from_object));
        let settings = ConfigurationSettings::default();
        let mut ends = Vec::new();
        let at_once = current_num_threads();
        for first in (0..count).step_by(at_once * LANES) {
            self.session.checkpoint(Stage::Sample, 0.1)?;
            let blocks = (count - first).div_ceil(LANES).min(at_once);
            let found = problem.solve_blocks(&settings, blocks, self.rng);
            let found = found.iter().take(count - first);
            ends.extend(found.filter_map(|c| self.end(c, free_m, counts)));
        }
        Ok(best_first(ends))
    }

    /// Configurations at the offered grasps, plain and with noise, colliding or not, the cheapest first.
    fn starts(
        &mut self,
        problem: &ConfigurationProblem<'_>,
        settings: &ConfigurationSettings,
        offers: &[GraspOffer],
    ) -> Result<Vec<JointRow>, PlanError> {
        let robot = self.world.robot.clone();
        let Some(gripper) = &robot.gripper else {
            return Ok(Vec::new());
        };
        let gripper_from_tool = gripper.tool_from_gripper.inverse();
        let finger_centre_m = gripper.geometry.finger_centre_m();
        let mut ranked: Vec<(f32, JointRow)> = Vec::new();
        for share in offers.chunks(GRASPS_AT_ONCE * current_num_threads()) {
            self.session.checkpoint(Stage::Sample, 0.1)?;
            let mut targets: Vec<(Pose, u64)> = Vec::with_capacity(4 * share.len());
            for offer in share {
                let plain = offer.object_from_gripper;
                let noised = self.with_noise(&plain, finger_centre_m);
                let poses = [plain, half_turn(&plain), noised, half_turn(&noised)];
                let tool = |pose| self.world_from_object * pose * gripper_from_tool;
                targets.extend(poses.map(|pose| (tool(pose), self.rng.random())));
            }
            let found = targets.into_par_iter().map_init(
                || Reach::new(&robot, problem, settings),
                |reach, (world_from_tool, seed)| reach.cheapest(&world_from_tool, seed),
            );
            ranked.extend(found.collect::<Vec<_>>().into_iter().flatten());
        }
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked.truncate(STARTS);
        Ok(ranked.into_iter().map(|(_, q)| q).collect())
    }

    /// A grasp moved and turned about the point between the fingers, as the coarsest level does it.
    fn with_noise(&mut self, object_from_gripper: &Pose, finger_centre_m: f64) -> Pose {
        let sigma_rad = f64::from(SIGMA_RAD[0]);
        let length_m = f64::from(self.object.field.schedule().length_m);
        let mut normal = || {
            Vector3::from_fn(|_, _| {
                let unit: f64 = StandardNormal.sample(&mut *self.rng);
                sigma_rad * unit
            })
        };
        let (shift, turn) = (Translation3::from(normal() * length_m), normal());
        let centre = Translation3::new(0.0, 0.0, finger_centre_m);
        let turn = UnitQuaternion::from_scaled_axis(turn);
        object_from_gripper * shift * centre * turn * centre.inverse()
    }

    /// A configuration as a goal, if arm and hand are free there and the hand would close on the object.
    fn end(
        &mut self,
        configuration: &Configuration,
        free_m: f32,
        counts: &mut GraspCounts,
    ) -> Option<JointEnd> {
        let q = joint_row(&configuration.q);
        let (free, untested) = (splat(free_m), splat(f32::NEG_INFINITY));
        let world = &mut *self.world;
        counts.offered += 1;
        if world.checker.blocked_rows(&[q; LANES], free, untested) != 0 {
            counts.in_collision += 1;
            return None;
        }
        let robot = world.robot.clone();
        let gripper = robot.gripper.as_ref()?;
        let kinematics = &robot.kinematics;
        let tool = kinematics.tool_pose(&joint_values(q, kinematics.dof()));
        let object_from_gripper =
            self.world_from_object.inverse() * tool * gripper.tool_from_gripper;
        let energy = configuration.end_value;
        let Some(offer) = grasps::judged(self.object, &object_from_gripper, energy) else {
            counts.hand_touches_object += 1;
            return None;
        };
        let branch = Branch::of(world, q);
        Some(JointEnd { offer, branch })
    }
}

/// Configurations at single poses of the tool, and what they cost.
struct Reach<'a> {
    robot: &'a RobotModel,
    problem: &'a ConfigurationProblem<'a>,
    settings: &'a ConfigurationSettings,
    solver: InverseKinematics<'a>,
    workspace: ConfigurationWorkspace,
    q: Vec<Lanes>,
}

impl<'a> Reach<'a> {
    fn new(
        robot: &'a RobotModel,
        problem: &'a ConfigurationProblem<'a>,
        settings: &'a ConfigurationSettings,
    ) -> Self {
        Self {
            robot,
            problem,
            settings,
            solver: InverseKinematics::new(robot, IkSettings::default()),
            workspace: problem.new_workspace(),
            q: vec![Lanes::ZERO; robot.kinematics.dof()],
        }
    }

    /// The cheapest of sixteen from random seeds.
    fn cheapest(&mut self, world_from_tool: &Pose, seed: u64) -> Vec<(f32, JointRow)> {
        let Some(target) = LaneFrame::from_poses(&[*world_from_tool]) else {
            return Vec::new();
        };
        let rng = &mut Pcg64Mcg::seed_from_u64(seed);
        self.robot.limits.draw_lanes(rng, &mut self.q);
        let residual = self.solver.solve(&target, None, &mut self.q);
        let reached = residual.converged(POSITION_TOLERANCE_M, ANGLE_TOLERANCE_RAD);
        if reached == 0 {
            return Vec::new();
        }
        let workspace = &mut self.workspace;
        let costs = self.problem.coarse_costs(&self.q, self.settings, workspace);
        let rows = rows_from_lanes(&self.q);
        let mut of_grasp: Vec<(f32, JointRow)> = (0..LANES)
            .filter(|lane| reached >> lane & 1 == 1)
            .map(|lane| (costs[lane], rows[lane]))
            .collect();
        of_grasp.sort_by(|a, b| a.0.total_cmp(&b.0));
        of_grasp.truncate(STARTS_OF_A_GRASP);
        of_grasp
    }
}

fn best_first(mut ends: Vec<JointEnd>) -> Vec<JointEnd> {
    let by_energy = |e: &JointEnd| e.offer.energy.unwrap_or(f64::INFINITY);
    ends.sort_by(|a, b| by_energy(a).total_cmp(&by_energy(b)));
    ends
}
