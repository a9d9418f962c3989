//! Grasp and arm found together: where the arm collides at every grasp that was offered, those grasps' configurations descend
//! grasp energy and collision of the whole arm side by side (arXiv 2209.03855, section IV-A), and what is free then is a goal.

use nalgebra::{Translation3, UnitQuaternion, Vector3};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

use super::branches::Branch;
use super::configurations::arm_clear_in;
use super::error::PlanError;
use super::grasps::{self, GraspOffer};
use super::result::Stage;
use super::session::Session;
use super::world::{joint_row, joint_values, World};
use crate::cost::GraspEnergy;
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::lanes::{splat, Lanes, LANES};
use crate::optimizer::{ConfigurationProblem, ConfigurationSettings};
use crate::robot::{IkSettings, InverseKinematics, LaneFrame};
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
/// Steps, and the field's noise over them [rad]. The starts are grasps with as much noise, so that the others around them are found too.
const STEPS: usize = 60;
const SIGMA_RAD: [f32; 2] = [0.5, 0.066];
/// Clearance of what counts as free [m].
const FREE_M: f32 = 0.001;
/// A start has reached its grasp within these.
const POSITION_TOLERANCE_M: f32 = 1e-3;
const ANGLE_TOLERANCE_RAD: f32 = 1e-2;

/// Free configurations in which the open hand is about to close on the object, the best grasps first.
///
/// # Errors
/// [`PlanError::Cancelled`], [`PlanError::Timeout`].
#[allow(clippy::too_many_arguments)]
pub fn search(
    world: &mut World,
    object: &ObjectModel,
    world_from_object: &Pose,
    offers: &[GraspOffer],
    grids: &mut LaneGridCache,
    rng: &mut Pcg64Mcg,
    session: &mut Session<'_>,
) -> Result<Vec<JointEnd>, PlanError> {
    let robot = world.robot.clone();
    let energy = GraspEnergy::new(
        object.field.clone(),
        *object.field.schedule(),
        world_from_object,
    )
    .annealed(SIGMA_RAD[0], SIGMA_RAD[1]);
    let collision = arm_clear_in(world, object, world_from_object, grids);
    let Some(problem) = ConfigurationProblem::new(&robot, collision) else {
        return Ok(Vec::new());
    };
    let problem = problem.draw_to(energy);
    let settings = ConfigurationSettings {
        iterations: STEPS,
        ..ConfigurationSettings::default()
    };
    let length_m = f64::from(object.field.schedule().length_m);
    let starts = starts(
        world,
        &problem,
        &settings,
        world_from_object,
        offers,
        length_m,
        rng,
        session,
    )?;
    let mut found = Vec::with_capacity(starts.len());
    for block in starts.chunks(LANES) {
        session.checkpoint(Stage::Sample, 0.1)?;
        found.extend(problem.solve_from(block, &settings, rng));
    }
    let mut ends: Vec<JointEnd> = found
        .iter()
        .filter_map(|c| {
            end(
                world,
                object,
                world_from_object,
                joint_row(&c.q),
                c.end_value,
            )
        })
        .collect();
    let by_energy = |e: &JointEnd| e.offer.energy.unwrap_or(f64::INFINITY);
    ends.sort_by(|a, b| by_energy(a).total_cmp(&by_energy(b)));
    Ok(ends)
}

/// Configurations at the offered grasps, colliding or not, the cheapest first.
#[allow(clippy::too_many_arguments)]
fn starts(
    world: &World,
    problem: &ConfigurationProblem<'_>,
    settings: &ConfigurationSettings,
    world_from_object: &Pose,
    offers: &[GraspOffer],
    length_m: f64,
    rng: &mut Pcg64Mcg,
    session: &mut Session<'_>,
) -> Result<Vec<JointRow>, PlanError> {
    let robot = &world.robot;
    let Some(gripper) = &robot.gripper else {
        return Ok(Vec::new());
    };
    let mut solver = InverseKinematics::new(robot, IkSettings::default());
    let mut workspace = problem.new_workspace();
    let mut q = vec![Lanes::ZERO; robot.kinematics.dof()];
    let mut ranked: Vec<(f32, JointRow)> = Vec::new();
    let finger_centre_m = gripper.geometry.finger_centre_m();
    for offer in offers {
        session.checkpoint(Stage::Sample, 0.1)?;
        let plain = offer.object_from_gripper;
        let noised = with_noise(&plain, finger_centre_m, length_m, rng);
        for pose in [
            plain,
            grasps::half_turn(&plain),
            noised,
            grasps::half_turn(&noised),
        ] {
            let world_from_tool = world_from_object * pose * gripper.tool_from_gripper.inverse();
            let Some(target) = LaneFrame::from_poses(&[world_from_tool]) else {
                continue;
            };
            solver.random_seeds(rng, &mut q);
            let residual = solver.solve(&target, None, &mut q);
            let reached = residual.converged(POSITION_TOLERANCE_M, ANGLE_TOLERANCE_RAD);
            if reached == 0 {
                continue;
            }
            let costs = problem.coarse_costs(&q, settings, &mut workspace);
            let rows = rows_from_lanes(&q);
            let mut of_grasp: Vec<(f32, JointRow)> = (0..LANES)
                .filter(|lane| reached >> lane & 1 == 1)
                .map(|lane| (costs[lane], rows[lane]))
                .collect();
            of_grasp.sort_by(|a, b| a.0.total_cmp(&b.0));
            ranked.extend(of_grasp.into_iter().take(STARTS_OF_A_GRASP));
        }
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(STARTS);
    Ok(ranked.into_iter().map(|(_, q)| q).collect())
}

/// A grasp moved and turned about the point between the fingers, as the field's coarsest level here does it.
fn with_noise(pose: &Pose, finger_centre_m: f64, length_m: f64, rng: &mut Pcg64Mcg) -> Pose {
    let mut normal = || {
        Vector3::from_fn(|_, _| {
            let unit: f64 = StandardNormal.sample(&mut *rng);
            f64::from(SIGMA_RAD[0]) * unit
        })
    };
    let (shift, turn): (Vector3<f64>, Vector3<f64>) = (normal() * length_m, normal());
    let centre = Translation3::new(0.0, 0.0, finger_centre_m);
    let turn = UnitQuaternion::from_scaled_axis(turn);
    pose * Translation3::from(shift) * centre * turn * centre.inverse()
}

/// A configuration as a goal, if arm and hand are free there and the hand would close on the object.
fn end(
    world: &mut World,
    object: &ObjectModel,
    world_from_object: &Pose,
    q: JointRow,
    energy: f32,
) -> Option<JointEnd> {
    let untested = splat(f32::NEG_INFINITY);
    if world
        .checker
        .blocked_rows(&[q; LANES], splat(FREE_M), untested)
        != 0
    {
        return None;
    }
    let robot = world.robot.clone();
    let gripper = robot.gripper.as_ref()?;
    let tool = robot
        .kinematics
        .tool_pose(&joint_values(q, robot.kinematics.dof()));
    let object_from_gripper = world_from_object.inverse() * tool * gripper.tool_from_gripper;
    let offer = grasps::judged(object, &object_from_gripper, energy)?;
    let clearance = world.checker.obstacle_clearance(q);
    Some(JointEnd {
        offer,
        branch: Branch {
            q,
            time_s: world.least_duration_s(q),
            clearance_m: clearance.scene_m.max(0.0),
            target_clearance_m: clearance.target_m,
        },
    })
}
