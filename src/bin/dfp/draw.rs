//! `dfp draw`: a picture of a problem and its plan, from their files.

use std::path::{Path, PathBuf};

use anyhow::Context;
use diffusion_field_planner::planner::Problem;
use nalgebra::{Isometry3, Matrix3, Rotation3, Translation3, UnitQuaternion};
use serde::Deserialize;

use crate::plan::picture::{self, Motion};
use crate::plan::DEFAULT_WEIGHTS;

/// Draw a problem and its plan: the arm on its way to the grasp, the scene, the tool's path.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dfp plan examples/pick_mug.yaml --out plan.json && dfp draw examples/pick_mug.yaml plan.json --out plan.png")]
pub struct Args {
    /// The problem (YAML).
    problem: PathBuf,
    /// What `dfp plan --out` wrote for it (JSON).
    plan: PathBuf,
    /// The picture (PNG).
    #[arg(long, default_value = "plan.png")]
    out: PathBuf,
    /// Weights of the grasp field, for problems that grasp.
    #[arg(long, default_value = DEFAULT_WEIGHTS)]
    weights: PathBuf,
}

/// The part of a plan's JSON that is drawn.
#[derive(Deserialize)]
struct PlanFile {
    phases: Vec<PhaseEntry>,
    grasp: Option<GraspEntry>,
}

#[derive(Deserialize)]
struct PhaseEntry {
    points: Vec<PointEntry>,
}

#[derive(Deserialize)]
struct PointEntry {
    position: Vec<f64>,
}

#[derive(Deserialize)]
struct GraspEntry {
    /// Rows of a 4 x 4 matrix.
    world_from_gripper: [[f64; 4]; 4],
    width_m: Option<f64>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let problem = Problem::load(&args.problem, &args.weights)?;
    let motion = load_motion(&args.plan)?;
    picture::save(&args.out, &problem.robot, &problem.request, &motion)
        .with_context(|| format!("drawing '{}'", args.plan.display()))
}

fn load_motion(path: &Path) -> anyhow::Result<Motion> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read '{}'", path.display()))?;
    let plan: PlanFile = serde_json::from_str(&text)
        .with_context(|| format!("'{}' is not a plan", path.display()))?;
    let positions = |phase: PhaseEntry| phase.points.into_iter().map(|p| p.position).collect();
    Ok(Motion {
        phases: plan.phases.into_iter().map(positions).collect(),
        width_m: plan.grasp.as_ref().and_then(|grasp| grasp.width_m),
        world_from_gripper: plan.grasp.map(|grasp| {
            let rows = grasp.world_from_gripper;
            let rotation = Matrix3::from_fn(|r, c| rows[r][c]);
            Isometry3::from_parts(
                Translation3::new(rows[0][3], rows[1][3], rows[2][3]),
                UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(rotation)),
            )
        }),
    })
}
