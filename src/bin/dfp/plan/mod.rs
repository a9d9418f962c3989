//! `dfp plan`: one problem file to a timed, verified trajectory.

pub mod picture;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::{
    prepare_grasps, Goal, GripperAction, Phase, Plan, PlanError, PlannedGrasp, Planner, Problem,
    ProblemError,
};
use serde_json::{json, Value};

/// Weights of the grasp field that ship with the package.
pub const DEFAULT_WEIGHTS: &str = "models/grasp_field.safetensors";

/// Plan one problem file to a timed, verified trajectory.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dfp plan examples/pick_mug.yaml --out plan.json
  dfp plan examples/joint_goal.yaml --json | jq .duration_s
  dfp plan examples/pick_mug.yaml --seed 7 --period 0.01 --out plan.json --picture plan.png

The problem format is documented in examples/*.yaml. On failure the exit code is 1 and, with --json or --out, the
output is {\"error\": {\"code\", \"moveit_code\", \"message\"}}.")]
pub struct Args {
    /// The problem, YAML.
    problem: PathBuf,
    /// Writes the plan (or the error) as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Draws arm, scene, path and grasp as PNG.
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Prints the plan (or the error) as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Replaces the problem's seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Time between the trajectory's points [s].
    #[arg(long, default_value_t = 0.02)]
    period: f64,
    /// Weights of the grasp field, for tasks that grasp.
    #[arg(long, default_value = DEFAULT_WEIGHTS)]
    weights: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    if !(args.period.is_finite() && args.period > 0.0) {
        anyhow::bail!("--period is {}, it must be above 0 s", args.period);
    }
    let (report, summary) = match solve(&args) {
        Ok(solved) => (solved.to_json(args.period), Ok(solved)),
        Err(failure) => (failure.to_json(), Err(failure)),
    };
    if let Some(path) = &args.out {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    match summary {
        Ok(solved) => {
            let Solved { plan, problem, .. } = &solved;
            if let Some(path) = &args.picture {
                picture::save(path, &problem.robot, &problem.request, &plan.into())?;
            }
            if !args.json {
                print_summary(&solved, args.out.as_deref());
            }
            Ok(())
        }
        Err(failure) => anyhow::bail!("[{}] {}", failure.code, failure.message),
    }
}

/// Code and text of whatever went wrong.
struct Failure {
    code: u16,
    moveit_code: i32,
    message: String,
}

impl Failure {
    fn to_json(&self) -> Value {
        json!({"error": {"code": self.code, "moveit_code": self.moveit_code, "message": self.message}})
    }
}

impl From<PlanError> for Failure {
    fn from(e: PlanError) -> Self {
        Self {
            code: e.code(),
            moveit_code: e.moveit_code(),
            message: e.to_string(),
        }
    }
}

impl From<ProblemError> for Failure {
    fn from(e: ProblemError) -> Self {
        const INVALID_REQUEST: i32 = -13;
        Self {
            code: e.code(),
            moveit_code: INVALID_REQUEST,
            message: e.to_string(),
        }
    }
}

/// A plan, and what a node does before its first goal.
struct Solved {
    plan: Plan,
    problem: Problem,
    /// Robot, field and object read.
    load_s: f64,
    /// Grasps drawn that stay with the object, if there is one; an object from the store has them.
    prepare_s: Option<f64>,
}

fn solve(args: &Args) -> Result<Solved, Failure> {
    let started = Instant::now();
    let mut problem = Problem::load(&args.problem, &args.weights)?;
    problem.request.seed = args.seed.unwrap_or(problem.request.seed);
    let mut planner = Planner::new(problem.robot.clone(), problem.planner.clone());
    let load_s = started.elapsed().as_secs_f64();
    let prepare_s = match &problem.request.goal {
        Goal::Grasp { object, .. } => {
            let started = Instant::now();
            prepare_grasps(object);
            Some(started.elapsed().as_secs_f64())
        }
        _ => None,
    };
    let plan = planner.plan(&problem.request, &mut |_| ControlFlow::Continue(()))?;
    Ok(Solved {
        plan,
        problem,
        load_s,
        prepare_s,
    })
}

impl Solved {
    fn to_json(&self, period_s: f64) -> Value {
        let mut json = plan_json(&self.plan, period_s);
        json["before_s"] = json!({"load": self.load_s, "prepare_object": self.prepare_s});
        json
    }
}

fn plan_json(plan: &Plan, period_s: f64) -> Value {
    let v = &plan.verification;
    let t = &plan.timing;
    json!({
        "phases": plan.phases.iter().map(|p| phase_json(p, period_s)).collect::<Vec<_>>(),
        "grasp": plan.grasp.as_ref().map(grasp_json),
        "placed_world_from_object": plan.placed_world_from_object.as_ref().map(matrix),
        "duration_s": plan.duration_s(),
        "costs": plan.costs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>(),
        "min_clearance_m": finite(v.min_clearance_m),
        "nearest": v.nearest.as_ref().map(|n| json!({
            "link": n.link, "object": n.object, "points_m": n.points_m,
        })),
        "limit_ratios": {
            "velocity": v.max_velocity_ratio,
            "acceleration": v.max_acceleration_ratio,
            "jerk": v.max_jerk_ratio,
        },
        "timing_ms": {
            "prepare": t.prepare_ms,
            "goals": t.goals_ms,
            "seed": t.seed_ms,
            "anneal": t.anneal_ms,
            "refine": t.refine_ms,
            "verify": t.verify_ms,
            "transfer": t.transfer_ms,
            "total": t.total_ms,
        },
        "iterations": plan.iterations,
    })
}

fn finite(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        Value::Null
    }
}

fn phase_json(phase: &Phase, period_s: f64) -> Value {
    let trajectory = &phase.trajectory;
    let points: Vec<Value> = trajectory
        .points(period_s)
        .into_iter()
        .map(|p| {
            json!({
                "time_s": p.time_s,
                "position": p.state.position,
                "velocity": p.state.velocity,
                "acceleration": p.state.acceleration,
            })
        })
        .collect();
    json!({
        "kind": phase.kind.name(),
        "duration_s": trajectory.duration_s(),
        "joint_names": trajectory.joint_names(),
        "gripper_before": gripper_json(phase.gripper_before),
        "gripper_after": gripper_json(phase.gripper_after),
        "points": points,
        "spline": {"spacing_s": trajectory.spacing_s(), "control_points": trajectory.control_points()},
    })
}

fn gripper_json(action: GripperAction) -> Value {
    match action {
        GripperAction::Keep => json!({"action": "keep"}),
        GripperAction::Open { width_m } => json!({"action": "open", "width_m": width_m}),
        GripperAction::Close { width_m } => json!({"action": "close", "width_m": width_m}),
    }
}

fn grasp_json(grasp: &PlannedGrasp) -> Value {
    json!({
        "object_from_gripper": matrix(&grasp.object_from_gripper),
        "world_from_gripper": matrix(&grasp.world_from_gripper),
        "energy": grasp.energy,
        "width_m": grasp.width_m,
    })
}

/// Rows of a 4 x 4 matrix.
fn matrix(pose: &Pose) -> Vec<Vec<f64>> {
    let m = pose.to_homogeneous();
    (0..4)
        .map(|r| (0..4).map(|c| m[(r, c)]).collect())
        .collect()
}

fn print_summary(solved: &Solved, out: Option<&Path>) {
    let plan = &solved.plan;
    for phase in &plan.phases {
        let t = &phase.trajectory;
        println!(
            "{:<7} {:.3} s, path {:.3} rad",
            phase.kind.name(),
            t.duration_s(),
            t.path_length()
        );
    }
    if let Some(grasp) = &plan.grasp {
        let p = grasp.world_from_gripper.translation.vector;
        let energy = grasp
            .energy
            .map_or_else(|| "unknown".into(), |e| format!("{e:.3}"));
        println!(
            "grasp   at ({:.3}, {:.3}, {:.3}) m, energy {energy}",
            p.x, p.y, p.z
        );
    }
    if let Some(pose) = &plan.placed_world_from_object {
        let p = pose.translation.vector;
        println!("placed  at ({:.3}, {:.3}, {:.3}) m", p.x, p.y, p.z);
    }
    let v = &plan.verification;
    let near = v
        .nearest
        .as_ref()
        .map_or_else(String::new, |n| format!(" ({} to {})", n.link, n.object));
    println!("clearance {:.1} mm{near}", 1e3 * v.min_clearance_m);
    println!(
        "limit ratios: velocity {:.3}, acceleration {:.3}, jerk {:.3}",
        v.max_velocity_ratio, v.max_acceleration_ratio, v.max_jerk_ratio
    );
    let costs: Vec<String> = plan
        .costs
        .iter()
        .map(|(name, value)| format!("{name} {value:.3}"))
        .collect();
    println!("costs: {}", costs.join(", "));
    let prepared = solved.prepare_s.map_or_else(String::new, |s| {
        format!(", object prepared in {s:.2} s (once: dfp object add)")
    });
    println!("before  robot read in {:.2} s{prepared}", solved.load_s);
    let t = &plan.timing;
    println!(
        "time    {:.1} ms: prepare {:.1}, goals {:.1}, seed {:.1}, anneal {:.1}, refine {:.1}, verify {:.1}, transfer {:.1}; {} steps",
        t.total_ms,
        t.prepare_ms,
        t.goals_ms,
        t.seed_ms,
        t.anneal_ms,
        t.refine_ms,
        t.verify_ms,
        t.transfer_ms,
        plan.iterations
    );
    if let Some(path) = out {
        println!("written to {}", path.display());
    }
}
