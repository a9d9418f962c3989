//! The paper's Figure 5 (arXiv 2209.03855): success over particles, grasp and motion optimised together or one after the other.
//!
//! Both have the same field. Jointly, random configurations descend grasp energy, collision and limits together, and the
//! energy goes on moving the ends while the motions are optimised; decoupled, grasps are sampled, inverse kinematics puts the
//! arm to each, and what collides is dropped. Particles come in batches, 10, 15, 25, 50, ..., until one gives a verified plan,
//! so one run gives the whole curve, and success over time too.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use diffusion_field_planner::field::GraspNetwork;
use diffusion_field_planner::optimizer::OptimizerSettings;
use diffusion_field_planner::planner::{GraspEnds, PlanRequest, Planner, PlannerSettings};
use diffusion_field_planner::robot::RobotModel;
use serde_json::{json, Value};

use super::arm_room::ArmRoom;
use super::items::Item;
use super::scenes::{draw, Task, TaskScene};
use super::statistics::{hardware, percentile, timed};
use super::tasks::{items, judged, request};

/// Success over particles: joint optimisation against sampling, inverse kinematics, then planning (the paper's Figure 5).
#[derive(clap::Args)]
pub struct Args {
    /// Scenes of each kind.
    #[arg(long, default_value_t = 50)]
    count: usize,
    /// Objects of each of seven categories.
    #[arg(long, default_value_t = 2)]
    objects: u64,
    /// Most particles.
    #[arg(long, default_value_t = 800)]
    particles: usize,
    #[arg(long, default_value = "urdf/panda.urdf")]
    urdf: PathBuf,
    #[arg(long, default_value = "config/panda.yaml")]
    settings: PathBuf,
    /// Weights of the grasp field.
    #[arg(long, default_value = crate::plan::DEFAULT_WEIGHTS)]
    weights: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object a line instead of tables.
    #[arg(long)]
    json: bool,
}

/// Particles so far after each batch.
const PARTICLES: [usize; 7] = [10, 25, 50, 100, 200, 400, 800];
/// Wall times at which success is compared [ms].
const TIMES_MS: [f64; 8] = [25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0];
/// Nothing but the particles limits a request.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// What became of one problem.
struct Run {
    /// Time spent after each batch; the batches after the one that succeeded take none [ms].
    spent_ms: Vec<f64>,
    /// The batch that gave a plan that the judge takes too.
    solved_at: Option<usize>,
}

impl Run {
    fn time_ms(&self) -> f64 {
        self.spent_ms.last().copied().unwrap_or(0.0)
    }

    fn solved_within(&self, time_ms: f64) -> bool {
        self.solved_at.is_some() && self.time_ms() <= time_ms
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let network = GraspNetwork::load(&args.weights)
        .with_context(|| format!("loading the grasp field from {}", args.weights.display()))?;
    let items = items(args.objects, args.seed, &network)?;
    let robot = Arc::new(RobotModel::load(&args.urdf, &args.settings)?);
    let mut arm = ArmRoom::new(robot.clone())?;
    for task in [Task::Pick, Task::Niche] {
        let scenes = (0..args.count)
            .map(|index| draw(task, &items, &mut arm, args.seed, index))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let of = |joint: bool| -> Vec<Run> {
            let mut planner = Planner::new(robot.clone(), particles_only(joint));
            let numbered = scenes.iter().enumerate();
            numbered
                .map(|(index, scene)| {
                    let first_seed = args.seed + 1000 * index as u64;
                    particles(&mut planner, scene, &items, args.particles, first_seed)
                })
                .collect()
        };
        let (joint, decoupled) = (of(true), of(false));
        let default: Vec<Run> = {
            let mut planner = Planner::new(robot.clone(), PlannerSettings::default());
            let numbered = scenes.iter().enumerate();
            numbered
                .map(|(index, scene)| {
                    let mut request = request(scene, &items);
                    request.lift_distance_m = 0.0;
                    request.seed = args.seed + 1000 * index as u64;
                    once(&mut planner, request, &items[scene.item], scene)
                })
                .collect()
        };
        if args.json {
            println!("{}", to_json(task, args.seed, &joint, &decoupled, &default));
        } else {
            print(task, args.seed, &joint, &decoupled, &default);
        }
    }
    Ok(())
}

/// Straight seeds alone, to grasps as the field samples them.
fn particles_only(joint_grasp: bool) -> PlannerSettings {
    // A particle is a motion of its own, which has its time: nothing else helps it past an obstacle.
    let optimizer = OptimizerSettings {
        max_iterations: 160,
        min_iterations: 60,
        patience: 40,
        halving_period: 160,
        ..OptimizerSettings::default()
    };
    PlannerSettings {
        optimizer,
        joint_grasp,
        grasp_ends: GraspEnds::AsSampled,
        tree_seeds: 0,
        // One round: the next batch is the next try.
        margin_shares: vec![0.3],
        tries: 1,
        ..PlannerSettings::default()
    }
}

fn particles(
    planner: &mut Planner,
    scene: &TaskScene,
    items: &[Item],
    most: usize,
    first_seed: u64,
) -> Run {
    let mut run = Run {
        spent_ms: Vec::new(),
        solved_at: None,
    };
    let mut before = 0;
    for (batch, &total) in PARTICLES.iter().enumerate().filter(|(_, &n)| n <= most) {
        let mut request = request(scene, items);
        request.num_particles = total - before;
        request.seed = first_seed + batch as u64;
        request.lift_distance_m = 0.0;
        let found = once(planner, request, &items[scene.item], scene);
        run.spent_ms.push(run.time_ms() + found.time_ms());
        before = total;
        if found.solved_at.is_some() {
            run.solved_at = Some(batch);
            break;
        }
    }
    run
}

fn once(planner: &mut Planner, mut request: PlanRequest, item: &Item, scene: &TaskScene) -> Run {
    request.time_limit = TIME_LIMIT;
    let observe = &mut |_: &_| ControlFlow::Continue(());
    let (time_ms, result) = timed(|| planner.plan(&request, observe));
    let holds = result.is_ok_and(|plan| judged(planner.robot(), item, scene, &plan).is_ok());
    Run {
        spent_ms: vec![time_ms],
        solved_at: holds.then_some(0),
    }
}

/// Solved with the particles of the first `batches` batches, and mean time spent on them [ms].
fn after(runs: &[Run], batch: usize) -> (usize, f64) {
    let solved = runs
        .iter()
        .filter(|r| r.solved_at.is_some_and(|b| b <= batch))
        .count();
    let spent = |r: &Run| r.spent_ms.get(batch).copied().unwrap_or(r.time_ms());
    let mean = runs.iter().map(spent).sum::<f64>() / runs.len().max(1) as f64;
    (solved, mean)
}

fn within(runs: &[Run], time_ms: f64) -> usize {
    runs.iter().filter(|r| r.solved_within(time_ms)).count()
}

fn batches(runs: &[Run]) -> usize {
    runs.iter().map(|r| r.spent_ms.len()).max().unwrap_or(0)
}

fn print(task: Task, seed: u64, joint: &[Run], decoupled: &[Run], default: &[Run]) {
    let n = joint.len().max(1) as f64;
    let name = task.name();
    println!(
        "{name}: {} scenes, seed {seed}, {}",
        joint.len(),
        hardware()
    );
    println!("  particles |  joint  mean ms | decoupled  mean ms");
    let ran = batches(joint).max(batches(decoupled));
    for (batch, particles) in PARTICLES.iter().enumerate().take(ran) {
        let ((a, a_ms), (b, b_ms)) = (after(joint, batch), after(decoupled, batch));
        let (a, b) = (a as f64 / n, b as f64 / n);
        println!("  {particles:>9} |  {a:>5.2} {a_ms:>8.1} | {b:>9.2} {b_ms:>8.1}");
    }
    println!("  within ms |  joint | decoupled | default (hybrid)");
    for time_ms in TIMES_MS {
        let [a, b, c] = [joint, decoupled, default].map(|runs| within(runs, time_ms) as f64 / n);
        println!("  {time_ms:>9} |  {a:>5.2} | {b:>9.2} | {c:>5.2}");
    }
    let mut times: Vec<f64> = default.iter().map(Run::time_ms).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "  default (hybrid): {:.2}, p50 {:.0} ms, p98 {:.0} ms",
        within(default, f64::INFINITY) as f64 / n,
        percentile(&times, 0.5),
        percentile(&times, 0.98)
    );
}

fn to_json(task: Task, seed: u64, joint: &[Run], decoupled: &[Run], default: &[Run]) -> Value {
    let curve = |runs: &[Run]| -> Value {
        let over_particles: Vec<Value> = (0..batches(runs))
            .map(|batch| {
                let (solved, mean_ms) = after(runs, batch);
                json!({"particles": PARTICLES[batch], "success": solved, "mean_ms": mean_ms})
            })
            .collect();
        let over_time: Vec<Value> = TIMES_MS
            .iter()
            .map(|&t| json!({"ms": t, "success": within(runs, t)}))
            .collect();
        json!({"particles": over_particles, "time": over_time})
    };
    json!({
        "name": format!("joint_vs_decoupled_{}", task.name()),
        "n": joint.len(),
        "seed": seed,
        "hardware": hardware(),
        "joint": curve(joint),
        "decoupled": curve(decoupled),
        "default": {"success": within(default, f64::INFINITY), "time": curve(default)["time"]},
    })
}
