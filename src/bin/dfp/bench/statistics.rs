//! Success, percentiles and their table.

use std::collections::BTreeMap;
use std::time::Instant;

use diffusion_field_planner::lanes::LANES;
use diffusion_field_planner::planner::{Plan, PlanError};
use diffusion_field_planner::robot::JointLimits;
use diffusion_field_planner::trajectory::{
    rest_to_rest_duration_s, JointRow, MotionLimits, TimedTrajectory,
};
use serde_json::{json, Value};

/// What is kept of one planned problem.
pub struct Outcome {
    pub scene: String,
    /// Wall time of the request [ms].
    pub time_ms: f64,
    pub result: Result<Figures, Failure>,
}

/// Why a problem counts as failed.
pub enum Failure {
    Planner(PlanError),
    /// A plan came back, but the benchmark's own judge refuses it.
    Judge(&'static str),
}

impl Failure {
    fn code(&self) -> u16 {
        match self {
            Failure::Planner(error) => error.code(),
            Failure::Judge(_) => 0,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Planner(error) => error.fmt(f),
            Failure::Judge(reason) => write!(f, "judged: {reason}"),
        }
    }
}

/// Processor and number of cores.
pub fn hardware() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores")
}

/// Figures of a plan.
pub struct Figures {
    pub duration_s: f64,
    /// What a straight motion between the ends of each phase takes at least, obstacles and jerk left out [s].
    pub floor_s: f64,
    pub path: f64,
    pub clearance_m: f64,
    pub limit_ratio: f64,
    pub iterations: u32,
    pub stages_ms: [f64; 7],
    pub grasp_energy: Option<f64>,
}

impl Figures {
    pub fn of(plan: &Plan, limits: &JointLimits) -> Self {
        let limits = MotionLimits::new(&limits.velocity, &limits.acceleration, &limits.jerk);
        let floor_s = |trajectory: &TimedTrajectory| {
            let at = |time_s: f64| row(&trajectory.sample(time_s).position);
            rest_to_rest_duration_s(at(0.0), at(trajectory.duration_s()), &limits)
        };
        let v = &plan.verification;
        let t = &plan.timing;
        Self {
            duration_s: plan.duration_s(),
            floor_s: plan
                .phases
                .iter()
                .map(|p| f64::from(floor_s(&p.trajectory)))
                .sum(),
            path: plan.phases.iter().map(|p| p.trajectory.path_length()).sum(),
            clearance_m: v.min_clearance_m,
            limit_ratio: v
                .max_velocity_ratio
                .max(v.max_acceleration_ratio)
                .max(v.max_jerk_ratio),
            iterations: plan.iterations,
            stages_ms: [
                t.prepare_ms,
                t.goals_ms,
                t.seed_ms,
                t.anneal_ms,
                t.refine_ms,
                t.verify_ms,
                t.transfer_ms,
            ],
            grasp_energy: plan.grasp.as_ref().and_then(|g| g.energy),
        }
    }
}

fn row(q: &[f64]) -> JointRow {
    let mut row = [0.0f32; LANES];
    for (r, &v) in row.iter_mut().zip(q) {
        *r = v as f32;
    }
    JointRow::new(row)
}

/// Names of [`Figures::stages_ms`].
const STAGES: [&str; 7] = [
    "prepare", "goals", "seed", "anneal", "refine", "verify", "transfer",
];

/// Runs one request and takes its wall time.
pub fn timed<'a>(
    plan: impl FnOnce() -> Result<Plan, PlanError> + 'a,
) -> (f64, Result<Plan, PlanError>) {
    let start = Instant::now();
    let result = plan();
    (1e3 * start.elapsed().as_secs_f64(), result)
}

/// The value below which `share` of the sorted values lie; NaN without values.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n => sorted[((share * n as f64) as usize).min(n - 1)],
    }
}

pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Sum of the durations over the sum of their lower bounds.
fn over_floor(figures: &[&Figures]) -> f64 {
    let sum = |f: fn(&Figures) -> f64| figures.iter().map(|x| f(x)).sum::<f64>();
    sum(|f| f.duration_s) / sum(|f| f.floor_s)
}

/// Prints one row for each scene and one for all, then the reasons of failures.
pub fn print_table(name: &str, outcomes: &[Outcome], seed: u64) {
    let first = outcomes.first().map_or(f64::NAN, |o| o.time_ms);
    println!(
        "{name}: seed {seed}, first call {first:.1} ms, {}",
        hardware()
    );
    println!(
        "{:<18} {:>9} | {:>7} {:>7} {:>7} {:>7} ms | {:>6} s ({:>6}) {:>6} path | clearance p10 {:>5} p50 mm | stages ms (mean): {}",
        "", "success", "p50", "p95", "p98", "max", "mean", "/floor", "mean", "", STAGES.join(" ")
    );
    let mut scenes: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        scenes.entry(&outcome.scene).or_default().push(outcome);
    }
    if scenes.len() > 1 {
        scenes
            .iter()
            .for_each(|(scene, outcomes)| print_row(scene, outcomes));
    }
    print_row("all", &outcomes.iter().collect::<Vec<_>>());
    for (index, outcome) in outcomes.iter().enumerate() {
        if let Err(error) = &outcome.result {
            println!(
                "  failed: {} number {index}: [{}] {error}",
                outcome.scene,
                error.code()
            );
        }
    }
}

fn print_row(scene: &str, outcomes: &[&Outcome]) {
    let times = sorted(outcomes.iter().map(|o| o.time_ms));
    let figures: Vec<&Figures> = outcomes
        .iter()
        .filter_map(|o| o.result.as_ref().ok())
        .collect();
    let clearances = sorted(figures.iter().map(|f| 1e3 * f.clearance_m));
    let stages: Vec<String> = (0..STAGES.len())
        .map(|k| {
            format!(
                "{:.2}",
                mean(&figures.iter().map(|f| f.stages_ms[k]).collect::<Vec<_>>())
            )
        })
        .collect();
    println!(
        "{scene:<18} {:>4}/{:<4} | {:>7.2} {:>7.2} {:>7.2} {:>7.2}    | {:>6.3}   ({:>6.3}) {:>6.2}      | {:>19.1} {:>5.1}    | {}",
        figures.len(),
        outcomes.len(),
        percentile(&times, 0.5),
        percentile(&times, 0.95),
        percentile(&times, 0.98),
        percentile(&times, 1.0),
        mean(&figures.iter().map(|f| f.duration_s).collect::<Vec<_>>()),
        over_floor(&figures),
        mean(&figures.iter().map(|f| f.path).collect::<Vec<_>>()),
        percentile(&clearances, 0.1),
        percentile(&clearances, 0.5),
        stages.join(" "),
    );
}

/// One object for machines.
pub fn to_json(name: &str, outcomes: &[Outcome], seed: u64) -> Value {
    let times = sorted(outcomes.iter().map(|o| o.time_ms));
    let figures: Vec<&Figures> = outcomes
        .iter()
        .filter_map(|o| o.result.as_ref().ok())
        .collect();
    let of = |f: fn(&Figures) -> f64| sorted(figures.iter().map(|x| f(x)));
    let (durations, paths, clearances) =
        (of(|f| f.duration_s), of(|f| f.path), of(|f| f.clearance_m));
    let energies = sorted(figures.iter().filter_map(|f| f.grasp_energy));
    let failures: Vec<Value> = outcomes
        .iter()
        .enumerate()
        .filter_map(|(i, o)| {
            let error = o.result.as_ref().err()?;
            Some(json!({"index": i, "scene": o.scene, "code": error.code(), "message": error.to_string()}))
        })
        .collect();
    let finite = |v: f64| if v.is_finite() { json!(v) } else { Value::Null };
    json!({
        "name": name,
        "n": outcomes.len(),
        "success": figures.len(),
        "p50_ms": finite(percentile(&times, 0.5)),
        "p95_ms": finite(percentile(&times, 0.95)),
        "p98_ms": finite(percentile(&times, 0.98)),
        "first_ms": finite(outcomes.first().map_or(f64::NAN, |o| o.time_ms)),
        "max_ms": finite(percentile(&times, 1.0)),
        "duration_mean_s": finite(mean(&durations)),
        "duration_over_floor": finite(over_floor(&figures)),
        "duration_median_s": finite(percentile(&durations, 0.5)),
        "path_mean_rad": finite(mean(&paths)),
        "clearance_p10_m": finite(percentile(&clearances, 0.1)),
        "clearance_p50_m": finite(percentile(&clearances, 0.5)),
        "limit_ratio_max": finite(of(|f| f.limit_ratio).last().copied().unwrap_or(f64::NAN)),
        "iterations_mean": finite(mean(&of(|f| f64::from(f.iterations)))),
        "grasp_energy_median": finite(percentile(&energies, 0.5)),
        "seed": seed,
        "hardware": hardware(),
        "failures": failures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_values() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.98), 98.0);
        assert_eq!(percentile(&values, 1.0), 99.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
