//! MotionBenchMaker problems in the one-line format: `P scene index start[D] goal[D] n`, then n obstacles
//! `box|cylinder x y z qx qy qz qw d0 d1 d2 name` (box: full lengths; cylinder: height, radius).

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::optimizer::Sampling;
use diffusion_field_planner::planner::{
    Goal, Plan, PlanError, PlanRequest, Planner, PlannerSettings,
};
use diffusion_field_planner::robot::{JointLimitOverride, RobotModel, RobotSettings};
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};
use nalgebra::{Quaternion, Translation3, UnitQuaternion};

use super::statistics::{print_table, timed, to_json, Failure, Figures, Outcome};

/// MotionBenchMaker problems: joint goals, or pose goals with free choice of the joint branch.
#[derive(clap::Args)]
pub struct Args {
    /// Problems in the one-line format.
    #[arg(long)]
    problems: PathBuf,
    #[arg(long)]
    urdf: PathBuf,
    #[arg(long)]
    srdf: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "joint")]
    goal: GoalKind,
    #[arg(long, default_value = "panda_link0")]
    base: String,
    #[arg(long, default_value = "panda_hand")]
    tool: String,
    /// No sampling-based seeds: diffusion from straight lines alone.
    #[arg(long)]
    pure: bool,
    /// Steps with the paper's annealed Langevin noise.
    #[arg(long)]
    langevin: bool,
    /// Straight seeds; 12, and 32 with --pure.
    #[arg(long)]
    particles: Option<usize>,
    /// Threads that move particles; 0: one for each core, four at most.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Only every k-th problem.
    #[arg(long, default_value_t = 1)]
    stride: usize,
    /// Only this scene.
    #[arg(long)]
    scene: Option<String>,
    /// Writes every trajectory at 4 kHz as text: `T scene index samples`, then `time q qd qdd` rows.
    #[arg(long)]
    trajectories: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum GoalKind {
    Joint,
    Pose,
}

/// Franka's published limits of the Panda [rad/s, rad/s^2, rad/s^3]: the benchmark's URDF allows a tenth more speed, and carries
/// neither acceleration nor jerk.
const PANDA_VELOCITY: [f64; 7] = [2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61];
const PANDA_ACCELERATION: [f64; 7] = [15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0];
const PANDA_JERK: [f64; 7] = [7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0];
/// Finger joints of the benchmark's robot [m].
const PANDA_FINGERS_M: f64 = 0.065;

pub(super) struct Problem {
    pub scene: String,
    /// The problem's own number in its scene.
    index: String,
    pub start: Vec<f64>,
    pub goal: Vec<f64>,
    pub obstacles: Scene,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let robot = Arc::new(load_robot(
        &args.urdf,
        args.srdf.as_deref(),
        &args.base,
        &args.tool,
    )?);
    let problems = read_problems(&args.problems, robot.kinematics.dof())?;
    let mut settings = PlannerSettings {
        threads: args.threads,
        ..PlannerSettings::default()
    };
    if args.pure {
        settings.tree_seeds = 0;
        settings.tries = 1;
    }
    if args.langevin {
        settings.optimizer.sampling = Sampling::Langevin;
    }
    let mut planner = Planner::new(robot.clone(), settings);
    let mut file = match &args.trajectories {
        Some(path) => Some(std::io::BufWriter::new(std::fs::File::create(path)?)),
        None => None,
    };
    let mut outcomes = Vec::new();
    let selected = problems
        .into_iter()
        .filter(|p| args.scene.as_ref().is_none_or(|s| *s == p.scene));
    for problem in selected.step_by(args.stride.max(1)) {
        let goal = match args.goal {
            GoalKind::Joint => Goal::Joints(problem.goal.clone()),
            GoalKind::Pose => Goal::Pose {
                world_from_tool: robot.kinematics.tool_pose(&problem.goal),
            },
        };
        let mut request = PlanRequest::new(problem.start, problem.obstacles, goal);
        request.num_particles =
            args.particles
                .unwrap_or(if args.pure { 32 } else { request.num_particles });
        request.seed = args.seed;
        request.time_limit = Duration::from_secs(10);
        let (time_ms, result) =
            timed(|| planner.plan(&request, &mut |_| ControlFlow::Continue(())));
        if let (Some(file), Ok(plan)) = (&mut file, &result) {
            write_trajectory(file, &problem.scene, &problem.index, plan)?;
        }
        if matches!(result, Err(PlanError::StartInCollision(_))) {
            eprintln!(
                "{} {}: start in collision, counted as failed",
                problem.scene, problem.index
            );
        }
        outcomes.push(Outcome {
            scene: problem.scene,
            time_ms,
            result: result
                .map(|p| Figures::of(&p, &robot.limits))
                .map_err(Failure::Planner),
        });
    }
    let mut name = String::from(match args.goal {
        GoalKind::Joint => "mbm_joint",
        GoalKind::Pose => "mbm_pose",
    });
    if args.pure {
        name += "_pure";
    }
    if args.langevin {
        name += "_langevin";
    }
    if args.json {
        println!("{}", to_json(&name, &outcomes, args.seed));
    } else {
        print_table(&name, &outcomes, args.seed);
    }
    Ok(())
}

pub(super) fn load_robot(
    urdf: &Path,
    srdf: Option<&Path>,
    base: &str,
    tool: &str,
) -> anyhow::Result<RobotModel> {
    let mut settings = RobotSettings::new(base, tool);
    settings.srdf_file = srdf.map(Path::to_path_buf);
    let urdf =
        std::fs::read_to_string(urdf).with_context(|| format!("reading {}", urdf.display()))?;
    for j in 0..PANDA_JERK.len() {
        let limits = JointLimitOverride {
            velocity: Some(PANDA_VELOCITY[j]),
            acceleration: Some(PANDA_ACCELERATION[j]),
            jerk: Some(PANDA_JERK[j]),
            ..JointLimitOverride::default()
        };
        settings
            .joint_limits
            .insert(format!("panda_joint{}", j + 1), limits);
    }
    settings.fixed_joint_positions = BTreeMap::from([
        ("panda_finger_joint1".to_string(), PANDA_FINGERS_M),
        ("panda_finger_joint2".to_string(), PANDA_FINGERS_M),
    ]);
    Ok(RobotModel::from_urdf(&urdf, &settings)?)
}

pub(super) fn read_problems(path: &Path, dof: usize) -> anyhow::Result<Vec<Problem>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut problems: Vec<Problem> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(&kind) = words.first() else { continue };
        let parsed = if kind == "P" {
            parse_problem(&words, dof).map(|p| problems.push(p))
        } else {
            match problems.last_mut() {
                Some(problem) => parse_obstacle(&words, problem),
                None => bail!("line {}: an obstacle before the first problem", number + 1),
            }
        };
        parsed.with_context(|| format!("{} line {}: '{line}'", path.display(), number + 1))?;
    }
    Ok(problems)
}

fn numbers(words: &[&str]) -> anyhow::Result<Vec<f64>> {
    words
        .iter()
        .map(|w| {
            w.parse::<f64>()
                .with_context(|| format!("'{w}' is not a number"))
        })
        .collect()
}

fn parse_problem(words: &[&str], dof: usize) -> anyhow::Result<Problem> {
    if words.len() != 4 + 2 * dof {
        bail!(
            "{} fields, expected {} for {dof} joints",
            words.len(),
            4 + 2 * dof
        );
    }
    let joints = numbers(&words[3..3 + 2 * dof])?;
    let (start, goal) = (joints[..dof].to_vec(), joints[dof..].to_vec());
    Ok(Problem {
        scene: words[1].into(),
        index: words[2].into(),
        start,
        goal,
        obstacles: Scene::default(),
    })
}

fn parse_obstacle(words: &[&str], problem: &mut Problem) -> anyhow::Result<()> {
    if words.len() < 11 {
        bail!("{} fields, expected 11 or 12", words.len());
    }
    let v = numbers(&words[1..11])?;
    let rotation = UnitQuaternion::from_quaternion(Quaternion::new(v[6], v[3], v[4], v[5]));
    let pose = Pose::from_parts(Translation3::new(v[0], v[1], v[2]), rotation);
    let shape = match words[0] {
        "box" => Shape::Box {
            half_extents_m: [0.5 * v[7], 0.5 * v[8], 0.5 * v[9]],
        },
        // The published figures treat cylinders as capsules, but as boxes in the scene `box`.
        "cylinder" if problem.scene == "box" => Shape::Box {
            half_extents_m: [v[8], v[8], 0.5 * v[7]],
        },
        "cylinder" => Shape::Capsule {
            radius_m: v[8],
            length_m: v[7],
        },
        other => bail!("unknown obstacle type '{other}'"),
    };
    let name = format!(
        "{}_{}",
        words.get(11).unwrap_or(&"obstacle"),
        problem.obstacles.objects.len()
    );
    problem
        .obstacles
        .objects
        .push(SceneObject::new(name, shape, pose));
    Ok(())
}

fn write_trajectory(
    file: &mut impl Write,
    scene: &str,
    index: &str,
    plan: &Plan,
) -> anyhow::Result<()> {
    const PERIOD_S: f64 = 1.0 / 4000.0;
    for phase in &plan.phases {
        let points = phase.trajectory.points(PERIOD_S);
        writeln!(file, "T {scene} {index} {}", points.len())?;
        for point in points {
            let s = &point.state;
            let row: Vec<String> = std::iter::once(&point.time_s)
                .chain(&s.position)
                .chain(&s.velocity)
                .chain(&s.acceleration)
                .map(|v| format!("{v:.9}"))
                .collect();
            writeln!(file, "{}", row.join(" "))?;
        }
    }
    Ok(())
}
