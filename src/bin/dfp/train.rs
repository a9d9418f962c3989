use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use diffusion_field_planner::data::Category;
use diffusion_field_planner::field::GraspNetwork;
use diffusion_field_planner::robot::GripperGeometry;
use diffusion_field_planner::training::config::DataConfig;
use diffusion_field_planner::training::{
    device, Dataset, Progress, StopReason, Trainer, TrainingConfig,
};
use indicatif::{ProgressBar, ProgressStyle};

/// Train the grasp field.
///
/// Makes the objects and grasps of the configuration, then trains. A run resumes from the checkpoint in its folder.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    dfp train config/train.yaml\n  \
    dfp train config/train.yaml --minutes 30 --folder out/train --out models/grasp_field.safetensors\n  \
    dfp train config/train.yaml --data out/acronym/training --held-out out/acronym/held_out --cuda\n  \
    dfp train config/train_paper_small.yaml --minutes 60 --folder out/paper_small")]
pub struct Args {
    /// Training configuration (YAML), see config/train.yaml
    pub config: PathBuf,
    /// Folder of checkpoint, weights and curves
    #[arg(long, default_value = "out/train")]
    pub folder: PathBuf,
    /// Stop after this long in total and fit the learning rate to it
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Seed; replaces that of the configuration
    #[arg(long)]
    pub seed: Option<u64>,
    /// Train on the grasp files of this folder (see dfp data) instead of on the configuration's own objects
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Validate on the grasp files of this folder instead of on the configuration's held-out objects
    #[arg(long)]
    pub held_out: Option<PathBuf>,
    /// Categories to leave out of training, to see how the field does on what it has never seen
    #[arg(long, value_delimiter = ',')]
    pub leave_out: Vec<Category>,
    /// Train on the GPU
    #[arg(long)]
    pub cuda: bool,
    /// Copy the finished weights here
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Start from these weights instead of untrained
    #[arg(long)]
    pub start_from: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: Args) -> Result<()> {
    match named_model(&args.config)?.as_deref() {
        None => {}
        Some("paper") => return crate::train_paper::run(args),
        Some(other) => bail!(
            "{}: model: '{other}', expected 'paper' or nothing",
            args.config.display()
        ),
    }
    let mut config = TrainingConfig::load(&args.config)?;
    config.seed = args.seed.unwrap_or(config.seed);
    // Making the data takes minutes: a missing GPU is better known before.
    let device = device(args.cuda)?;

    let (data, held_out) = data_sets(
        &args,
        &config.data,
        (&config.field.gripper_name, &config.field.gripper),
    )?;
    let start = args
        .start_from
        .as_ref()
        .map(GraspNetwork::load)
        .transpose()?;
    let mut trainer = Trainer::new(config.clone(), &args.folder, device, start)?;
    let limit = args.minutes.map(|m| Duration::from_secs_f64(60.0 * m));
    let reason = trainer.run(&data, &held_out, limit, shown(trainer.step()))?;
    let weights = args.folder.join("grasp_field.safetensors");
    finish(&args, &weights, trainer.step(), reason)
}

/// The entry `model` of a configuration. The field's own have none.
fn named_model(path: &Path) -> Result<Option<String>> {
    #[derive(serde::Deserialize, Default)]
    struct Named {
        model: Option<String>,
    }
    let reading = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    let named: Option<Named> = serde_yaml::from_str(&text).with_context(reading)?;
    Ok(named.and_then(|n| n.model))
}

/// What shows a run's progress as a bar; `first` is the step that the run starts from.
pub fn shown(first: u64) -> impl FnMut(&Progress) -> ControlFlow<()> {
    let bar = ProgressBar::new(1000).with_style(style("training"));
    let started = Instant::now();
    move |progress| {
        bar.set_position((1000.0 * progress.share) as u64);
        let held_out = progress.held_out.map_or("-".into(), |h| format!("{h:.3}"));
        let success = progress
            .sampled
            .map_or("-".into(), |s| format!("{:.3}", s.success));
        let rate = (progress.step - first) as f64 / started.elapsed().as_secs_f64();
        bar.set_message(format!(
            "step {} ({rate:.2}/s)  loss {:.3}  sdf {:.1} mm  held-out {held_out}  success {success}",
            progress.step,
            progress.score_loss,
            1000.0 * progress.sdf_error_m
        ));
        ControlFlow::Continue(())
    }
}

/// Copies the weights to where they are wanted and says where they are.
pub fn finish(args: &Args, weights: &Path, steps: u64, reason: StopReason) -> Result<()> {
    let out = args.out.as_deref().unwrap_or(weights);
    if out != weights {
        std::fs::copy(weights, out).with_context(|| format!("writing {}", out.display()))?;
    }
    if args.json {
        let finished = reason == StopReason::Finished;
        println!(
            "{}",
            serde_json::json!({ "weights": out, "steps": steps, "finished": finished })
        );
    } else {
        println!("{} after {steps} steps", out.display());
    }
    Ok(())
}

/// Objects to train on and held-out ones: of the folders that the arguments name, else of the configuration.
pub fn data_sets(
    args: &Args,
    config: &DataConfig,
    (gripper_name, gripper): (&str, &GripperGeometry),
) -> Result<(Dataset, Dataset)> {
    let mut data = match &args.data {
        Some(folder) => data_of_folder(folder, config, gripper_name)?,
        None => training_data(config, gripper, &args.folder)?,
    };
    data.leave_out(&args.leave_out);
    let held_out = match &args.held_out {
        Some(folder) => data_of_folder(folder, config, gripper_name)?,
        None => Dataset::held_out(config, gripper, || {}),
    };
    let grasps: usize = data
        .objects
        .iter()
        .map(|o| o.object_from_gripper.len())
        .sum();
    eprintln!(
        "{} objects, {grasps} grasps; left out: {}",
        data.objects.len(),
        data.left_out.join(" ")
    );
    Ok((data, held_out))
}

fn data_of_folder(folder: &Path, config: &DataConfig, gripper_name: &str) -> Result<Dataset> {
    let (data, bad) = Dataset::from_folder(folder, config.least_grasps, gripper_name)?;
    for problem in bad {
        eprintln!("warning: left out: {problem}");
    }
    Ok(data)
}

/// The configuration's grasps: from the run's folder where they lie there, else made and put there.
fn training_data(config: &DataConfig, gripper: &GripperGeometry, folder: &Path) -> Result<Dataset> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join("grasps.safetensors");
    if let Some(data) = Dataset::load(&path, config, gripper) {
        return Ok(data);
    }
    let count = config.objects.values().sum::<usize>();
    let bar = ProgressBar::new(count as u64).with_style(style("objects"));
    let data = Dataset::training(config, gripper, || bar.inc(1));
    bar.finish();
    data.save(&path, config, gripper)?;
    Ok(data)
}

pub fn style(what: &str) -> ProgressStyle {
    let template = format!("{what} [{{bar:30}}] {{percent}}% {{elapsed}} eta {{eta}} {{msg}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
