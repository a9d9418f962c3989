//! New motions for a moving arm: MotionBenchMaker plans are left half-way, with the world as it was or with a cube on the
//! hand's future path.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::{
    Brake, Goal, PlanRequest, Planner, PlannerSettings, Replan, Running,
};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{SceneObject, Shape};
use diffusion_field_planner::trajectory::TimedTrajectory;
use nalgebra::Translation3;
use serde_json::{json, Value};

use super::mbm::{load_robot, read_problems, Problem};
use super::statistics::{hardware, mean, percentile, sorted};

/// Replanning from a moving arm on MotionBenchMaker problems (format: see `dfp bench mbm`).
#[derive(clap::Args)]
pub struct Args {
    /// Problems in the one-line format.
    #[arg(long)]
    problems: PathBuf,
    #[arg(long)]
    urdf: PathBuf,
    #[arg(long)]
    srdf: Option<PathBuf>,
    #[arg(long, default_value = "panda_link0")]
    base: String,
    #[arg(long, default_value = "panda_hand")]
    tool: String,
    /// Shares of the running motion at which it is left.
    #[arg(long, value_delimiter = ',', default_value = "0.15,0.3,0.5")]
    shares: Vec<f64>,
    /// Seeds from the remainder.
    #[arg(long, default_value_t = 8)]
    particles: usize,
    /// Only every k-th problem.
    #[arg(long, default_value_t = 1)]
    stride: usize,
    /// Only this scene.
    #[arg(long)]
    scene: Option<String>,
    /// Planner settings as YAML (as under `planner` in problem files).
    #[arg(long)]
    planner: Option<PathBuf>,
    /// Time after which the answer is a stop [ms].
    #[arg(long, default_value_t = 200.0)]
    limit_ms: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// What happens to the world at the hand-over.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    /// Nothing; the remainder may be kept.
    Nothing,
    /// Nothing, but a new motion is planned all the same.
    PlannedAnew,
    /// A cube lies where the hand would come by.
    Cube,
}

const CHANGES: [(Change, &str); 3] = [
    (Change::Nothing, "unchanged"),
    (Change::PlannedAnew, "unchanged, planned anew"),
    (Change::Cube, "cube on the path"),
];
/// Edge of the cube, and its place before the hand [m].
const CUBE_M: f64 = 0.08;
const BEFORE_HAND_M: f64 = 0.08;
/// When the hand would meet the cube, as a share of what is left of the motion.
const MEETING: f64 = 0.5;

/// What came of one hand-over.
enum Answer {
    /// The cube made the present state or the goal collide.
    Unfair,
    Kept,
    NewPlan,
    BrakeFree,
    BrakeCollides,
}

struct Case {
    time_ms: f64,
    answer: Answer,
    before_s: f64,
    /// Of a new plan.
    after_s: Option<f64>,
    /// Largest difference of position, velocity and acceleration from the hand-over's [rad, rad/s, rad/s^2].
    jump: [f64; 3],
    reason: Option<String>,
    /// Of a new plan: search for seeds, annealing, refinement, verification [ms].
    stages_ms: Option<[f64; 4]>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let robot = load_robot(&args.urdf, args.srdf.as_deref(), &args.base, &args.tool)?;
    let robot = Arc::new(robot);
    let problems = read_problems(&args.problems, robot.kinematics.dof())?;
    let settings = match &args.planner {
        Some(path) => serde_yaml::from_str(&std::fs::read_to_string(path)?)?,
        None => PlannerSettings::default(),
    };
    let mut planner = Planner::new(robot.clone(), settings);
    let selected = problems
        .into_iter()
        .filter(|p| args.scene.as_ref().is_none_or(|s| *s == p.scene));
    let mut bases: Vec<(PlanRequest, TimedTrajectory)> = Vec::new();
    let mut without_base = 0;
    for problem in selected.step_by(args.stride.max(1)) {
        let request = base_request(args, problem);
        match planner.plan(&request, &mut |_| ControlFlow::Continue(())) {
            Ok(mut plan) => bases.push((request, plan.phases.swap_remove(0).trajectory)),
            Err(_) => without_base += 1,
        }
    }
    if !args.json {
        println!("{} running motions, {without_base} problems without one; {} seeds from the remainder, seed {}; {}", bases.len(), args.particles, args.seed, hardware());
        println!("{:<24} {:>5} | {:>9} {:>6} {:>6} {:>8} {:>8} | {:>6} {:>6} {:>6} {:>6} ms | before  after s (new plans)", "world", "left", "success", "kept", "unfair", "braked", "collides", "p50", "p95", "p98", "max");
    }
    let mut rows = Vec::new();
    for (change, name) in CHANGES {
        for &share in &args.shares {
            let cases = bases
                .iter()
                .map(|(request, motion)| {
                    hand_over(&mut planner, args, request, motion, change, share)
                })
                .collect::<anyhow::Result<Vec<Case>>>()?;
            if args.json {
                rows.push(to_json(name, share, &cases));
            } else {
                print_row(name, share, &cases);
            }
        }
    }
    if args.json {
        println!(
            "{}",
            json!({"name": "replan", "bases": bases.len(), "without_base": without_base, "seed": args.seed,
                   "particles": args.particles, "hardware": hardware(), "rows": rows})
        );
    }
    Ok(())
}

fn base_request(args: &Args, problem: Problem) -> PlanRequest {
    let goal = Goal::Joints(problem.goal);
    PlanRequest {
        time_limit: Duration::from_secs(10),
        seed: args.seed,
        ..PlanRequest::new(problem.start, problem.obstacles, goal)
    }
}

/// Leaves one motion at a share of its time.
fn hand_over(
    planner: &mut Planner,
    args: &Args,
    base: &PlanRequest,
    motion: &TimedTrajectory,
    change: Change,
    share: f64,
) -> anyhow::Result<Case> {
    let running = Running {
        trajectory: motion.clone(),
        handover_s: share * motion.duration_s(),
    };
    let mut request = PlanRequest {
        num_particles: args.particles,
        time_limit: Duration::try_from_secs_f64(1e-3 * args.limit_ms)?,
        ..base.clone()
    };
    if change == Change::Cube {
        request.scene.objects.push(cube(planner.robot(), &running));
    }
    let keep = change != Change::PlannedAnew;
    let start = Instant::now();
    let result = planner.replan(&request, &running, keep, &mut |_| ControlFlow::Continue(()))?;
    let time_ms = 1e3 * start.elapsed().as_secs_f64();
    let next = match &result {
        Replan::Continue(_) => None,
        Replan::NewPlan(plan) => Some(&plan.phases[0].trajectory),
        Replan::Brake(brake) => Some(&brake.trajectory),
    };
    let (after_s, stages_ms) = match &result {
        Replan::NewPlan(plan) => {
            let t = &plan.timing;
            let stages = [t.seed_ms, t.anneal_ms, t.refine_ms, t.verify_ms];
            (Some(plan.duration_s()), Some(stages))
        }
        _ => (None, None),
    };
    let (answer, reason) = match &result {
        Replan::Continue(_) => (Answer::Kept, None),
        Replan::NewPlan(_) => (Answer::NewPlan, None),
        Replan::Brake(brake) => judged(brake),
    };
    Ok(Case {
        time_ms,
        answer,
        before_s: running.remaining_s(),
        after_s,
        stages_ms,
        jump: next.map_or([0.0; 3], |next| jump(&running, next)),
        reason,
    })
}

fn judged(brake: &Brake) -> (Answer, Option<String>) {
    /// Start or goal in collision.
    const UNFAIR: [u16; 2] = [914, 932];
    if UNFAIR.contains(&brake.reason.code()) {
        return (Answer::Unfair, None);
    }
    match &brake.verification {
        Ok(_) => (Answer::BrakeFree, Some(brake.reason.to_string())),
        Err(violation) => (
            Answer::BrakeCollides,
            Some(format!("{}; the stop: {violation}", brake.reason)),
        ),
    }
}

/// A cube where the hand will be.
fn cube(robot: &RobotModel, running: &Running) -> SceneObject {
    let met = running
        .state_after(MEETING * running.remaining_s())
        .position;
    let hand = robot.kinematics.tool_pose(&met);
    let place = hand * nalgebra::Point3::new(0.0, 0.0, BEFORE_HAND_M);
    let shape = Shape::Box {
        half_extents_m: [0.5 * CUBE_M; 3],
    };
    SceneObject::new(
        "cube",
        shape,
        Pose::from_parts(Translation3::from(place.coords), Default::default()),
    )
}

fn jump(running: &Running, next: &TimedTrajectory) -> [f64; 3] {
    let (left, taken) = (running.state_after(0.0), next.sample(0.0));
    let largest = |a: &[f64], b: &[f64]| {
        a.iter()
            .zip(b)
            .fold(0.0f64, |m, (a, b)| m.max((a - b).abs()))
    };
    [
        largest(&left.position, &taken.position),
        largest(&left.velocity, &taken.velocity),
        largest(&left.acceleration, &taken.acceleration),
    ]
}

/// Figures of one row.
struct Row<'a> {
    fair: Vec<&'a Case>,
    unfair: usize,
    kept: usize,
    new_plans: usize,
    braked: usize,
    collides: usize,
    times_ms: Vec<f64>,
    before_s: f64,
    after_s: f64,
    jump: [f64; 3],
    stages_ms: [f64; 4],
}

fn row(cases: &[Case]) -> Row<'_> {
    let fair: Vec<&Case> = cases
        .iter()
        .filter(|c| !matches!(c.answer, Answer::Unfair))
        .collect();
    let count = |is: fn(&Answer) -> bool| fair.iter().filter(|c| is(&c.answer)).count();
    let planned: Vec<&&Case> = fair.iter().filter(|c| c.after_s.is_some()).collect();
    let of = |f: fn(&Case) -> f64| mean(&planned.iter().map(|c| f(c)).collect::<Vec<_>>());
    Row {
        unfair: cases.len() - fair.len(),
        kept: count(|a| matches!(a, Answer::Kept)),
        new_plans: count(|a| matches!(a, Answer::NewPlan)),
        braked: count(|a| matches!(a, Answer::BrakeFree | Answer::BrakeCollides)),
        collides: count(|a| matches!(a, Answer::BrakeCollides)),
        times_ms: sorted(fair.iter().map(|c| c.time_ms)),
        before_s: of(|c| c.before_s),
        after_s: of(|c| c.after_s.unwrap_or(f64::NAN)),
        stages_ms: std::array::from_fn(|k| {
            let stage = fair.iter().filter_map(|c| Some(c.stages_ms?[k]));
            mean(&stage.collect::<Vec<_>>())
        }),
        jump: std::array::from_fn(|k| fair.iter().fold(0.0, |m, c| f64::max(m, c.jump[k]))),
        fair,
    }
}

fn print_row(name: &str, share: f64, cases: &[Case]) {
    let r = row(cases);
    let at = |share: f64| percentile(&r.times_ms, share);
    println!(
        "{name:<24} {share:>5.2} | {:>4}/{:<4} {:>6} {:>6} {:>8} {:>8} | {:>6.2} {:>6.2} {:>6.2} {:>6.2}    | {:>6.3} {:>6.3}",
        r.kept + r.new_plans,
        r.fair.len(),
        r.kept,
        r.unfair,
        r.braked,
        r.collides,
        at(0.5),
        at(0.95),
        at(0.98),
        at(1.0),
        r.before_s,
        r.after_s,
    );
    println!(
        "    new plans, mean ms: seeds {:.2}, anneal {:.2}, refine {:.2}, verify {:.2}; largest jump at the hand-over: {:.1e} rad, {:.1e} rad/s, {:.1e} rad/s^2",
        r.stages_ms[0], r.stages_ms[1], r.stages_ms[2], r.stages_ms[3], r.jump[0], r.jump[1], r.jump[2]
    );
    for case in &r.fair {
        if let Some(reason) = &case.reason {
            println!("    braked: {reason}");
        }
    }
}

fn to_json(name: &str, share: f64, cases: &[Case]) -> Value {
    let r = row(cases);
    let finite = |v: f64| if v.is_finite() { json!(v) } else { Value::Null };
    let at = |share: f64| finite(percentile(&r.times_ms, share));
    json!({
        "world": name,
        "left_at": share,
        "n": r.fair.len(),
        "success": r.kept + r.new_plans,
        "kept": r.kept,
        "unfair": r.unfair,
        "braked": r.braked,
        "brakes_colliding": r.collides,
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p98_ms": at(0.98),
        "max_ms": at(1.0),
        "before_s": finite(r.before_s),
        "after_s": finite(r.after_s),
        "jump": r.jump,
        "stages_mean_ms": r.stages_ms,
        "reasons": r.fair.iter().filter_map(|c| c.reason.clone()).collect::<Vec<_>>(),
    })
}
