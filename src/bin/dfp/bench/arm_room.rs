//! Whether the arm gets to a grasp at all, by what the planner does not use to find it: random inverse kinematics, and the verifier
//! on the robot's true shapes.

use std::sync::Arc;

use anyhow::Context;
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::lanes::{Lanes, LANES};
use diffusion_field_planner::planner::verify::{Motion, Verifier, VerifySettings};
use diffusion_field_planner::robot::{
    half_turn, IkSettings, InverseKinematics, LaneFrame, RobotModel,
};
use diffusion_field_planner::scene::Scene;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::items::Item;
use super::scenes::TaskScene;

/// Air that the arm must have [m].
const AIR_M: f64 = 0.005;
/// Batches of sixteen random seeds for each half-turn of a grasp.
const BATCHES: usize = 3;
const POSITION_TOLERANCE_M: f32 = 1e-4;
const ANGLE_TOLERANCE_RAD: f32 = 1e-3;

/// Hand and arm must also have room this far before the object, and with the object lifted by this much [m].
const LEAST_APPROACH_M: f64 = 0.025;
const LEAST_LIFT_M: f64 = 0.02;

/// The check, for one robot.
pub struct ArmRoom {
    robot: Arc<RobotModel>,
    verifier: Verifier,
}

impl ArmRoom {
    pub fn new(robot: Arc<RobotModel>) -> anyhow::Result<Self> {
        let verifier = Verifier::new(&robot).map_err(|violation| anyhow::anyhow!("{violation}"))?;
        robot.gripper.as_ref().context("the robot has no gripper")?;
        Ok(Self { robot, verifier })
    }

    /// Whether some configuration brings the gripper to a pose or to its half-turn, with air around the arm.
    pub fn reaches(&mut self, scene: &Scene, world_from_gripper: &Pose) -> bool {
        [*world_from_gripper, half_turn(world_from_gripper)]
            .iter()
            .any(|pose| self.reaches_so(scene, pose))
    }

    fn reaches_so(&mut self, scene: &Scene, world_from_gripper: &Pose) -> bool {
        let robot = self.robot.clone();
        let Some(gripper) = &robot.gripper else {
            return false;
        };
        let world_from_tool = world_from_gripper * gripper.tool_from_gripper.inverse();
        let Some(target) = LaneFrame::from_poses(&[world_from_tool]) else {
            return false;
        };
        let mut rng = Pcg64Mcg::seed_from_u64(0);
        let mut solver = InverseKinematics::new(&robot, IkSettings::default());
        let mut lanes = vec![Lanes::ZERO; robot.kinematics.dof()];
        for _ in 0..BATCHES {
            robot.limits.draw_lanes(&mut rng, &mut lanes);
            let residual = solver.solve(&target, None, &mut lanes);
            let reached = residual.converged(POSITION_TOLERANCE_M, ANGLE_TOLERANCE_RAD);
            for lane in (0..LANES).filter(|lane| reached >> lane & 1 == 1) {
                let q: Vec<f64> = lanes
                    .iter()
                    .map(|q| f64::from(q.as_array()[lane]))
                    .collect();
                if self.is_free(scene, &q) {
                    return true;
                }
            }
        }
        false
    }

    fn is_free(&mut self, scene: &Scene, q: &[f64]) -> bool {
        let settings = VerifySettings {
            min_clearance_m: AIR_M,
            ..VerifySettings::default()
        };
        let still = Still {
            joint_names: self.robot.kinematics.joint_names(),
            q,
        };
        self.verifier.verify(scene, &still, &settings).is_ok()
    }
}

/// Those of the data generator's grasps that leave room for hand and arm: at both places, a little above, and a little before.
pub fn holds_with_room<'a>(
    item: &'a Item,
    arm: &'a mut ArmRoom,
    scene: &'a TaskScene,
) -> impl Iterator<Item = &'a Pose> {
    // What is carried elsewhere need not go all the way straight up.
    let up_m = match scene.place_world_from_object {
        Some(_) => scene.lift_m.min(LEAST_LIFT_M),
        None => scene.lift_m,
    };
    let ends = [Some(scene.world_from_object), scene.place_world_from_object];
    let poses: Vec<Pose> = ends
        .into_iter()
        .flatten()
        .flat_map(|pose| [pose, Pose::translation(0.0, 0.0, up_m) * pose])
        .collect();
    item.holds_with_room(&scene.scene, poses.clone())
        .filter(move |hold| {
            poses.iter().all(|pose| {
                let hand = pose * *hold;
                let before = hand * Pose::translation(0.0, 0.0, -LEAST_APPROACH_M);
                arm.reaches(&scene.scene, &hand) && arm.reaches(&scene.scene, &before)
            })
        })
}

/// An arm that stands still, for the verifier.
pub struct Still<'a> {
    pub joint_names: &'a [String],
    pub q: &'a [f64],
}

impl Motion for Still<'_> {
    fn joint_names(&self) -> &[String] {
        self.joint_names
    }

    fn duration_s(&self) -> f64 {
        0.01
    }

    fn position(&self, _t_s: f64, q: &mut [f64]) {
        q.copy_from_slice(self.q);
    }
}
