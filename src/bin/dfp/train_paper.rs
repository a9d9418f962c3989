use std::time::Duration;

use anyhow::{bail, Result};
use diffusion_field_planner::training::device;
use diffusion_field_planner::training::paper::{BatchMaker, PaperConfig, PaperTrainer};
use indicatif::ProgressBar;

use crate::train::{data_sets, finish, shown, style, Args};

/// Trains the paper's own model, for comparison (`model: paper` in the configuration).
pub fn run(args: Args) -> Result<()> {
    let mut config = PaperConfig::load(&args.config)?;
    if args.start_from.is_some() {
        bail!("--start-from: the paper's model has a code for each object of its own run; resume that run instead");
    }
    // Making the data takes minutes: a missing GPU is better known before.
    device(args.cuda)?;
    config.seed = args.seed.unwrap_or(config.seed);
    let (data, held_out) = data_sets(&args, &config.data, (&config.gripper_name, &config.gripper))?;
    if data.objects.is_empty() {
        bail!("no object to train on ({} left out)", data.left_out.len());
    }
    let bar = ProgressBar::new(data.objects.len() as u64).with_style(style("distances"));
    let batches = BatchMaker::new(&config, &data, || bar.inc(1));
    bar.finish();
    let mut trainer = PaperTrainer::new(config, data.objects.len(), &args.folder, args.cuda)?;
    let limit = args.minutes.map(|m| Duration::from_secs_f64(60.0 * m));
    let reason = trainer.run(&batches, &held_out, limit, shown(trainer.step()))?;
    finish(&args, &trainer.weights_path(), trainer.step(), reason)
}
