//! `dfp data procedural`: household objects from seeds.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{bail, Result};
use diffusion_field_planner::data::{generate_folder, Category, GenerateSettings, Made, Shard};
use diffusion_field_planner::robot::GripperDescription;

use super::{object_bar, report};

/// Make procedural objects with labelled grasps, one file an object.
///
/// A finished file is left alone, so the same command goes on where it was stopped; shards of the same command may
/// run at the same time, also on several machines, into one folder or into folders that are put together later.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    dfp data procedural --out out/data --objects 40 --grasps 400\n  \
    dfp data procedural --out out/data --objects 1000 --shard 3/16 --categories mug,cup,bowl\n  \
    dfp data procedural --out out/robotiq --gripper config/grippers/robotiq_2f85.yaml")]
pub struct Args {
    /// Folder of the files; made where it is missing
    #[arg(long)]
    out: PathBuf,
    /// Objects of each category
    #[arg(long, default_value_t = 40)]
    objects: u64,
    /// Categories to make
    #[arg(long, value_delimiter = ',', default_values_t = Category::ALL.map(|c| c.name().to_string()))]
    categories: Vec<String>,
    /// Grasps of each object that hold, and as many that fail
    #[arg(long, default_value_t = 400)]
    grasps: usize,
    /// Make part i of n, i from 0 to n-1
    #[arg(long, default_value = "0/1")]
    shard: Shard,
    /// Seed of the first object; evaluation uses seeds from 0, validation from 500, training from 1000
    #[arg(long, default_value_t = 1000)]
    seed: u64,
    /// Settings of candidates, labels and gripper (YAML); those given as options win
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Gripper file (config/grippers); the Franka hand if neither this nor the settings name one
    #[arg(long)]
    gripper: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut settings: GenerateSettings = match &args.settings {
        Some(path) => GenerateSettings::load(path)?,
        None => GenerateSettings::default(),
    };
    if let Some(path) = &args.gripper {
        settings.gripper = GripperDescription::load(path)?;
    }
    settings.counts.holding = args.grasps;
    settings.counts.failing = args.grasps;
    let categories = args
        .categories
        .iter()
        .map(|name| name.parse::<Category>().map_err(anyhow::Error::msg))
        .collect::<Result<Vec<_>>>()?;
    let wanted: Vec<(Category, u64)> = (0..args.objects)
        .flat_map(|i| {
            categories
                .iter()
                .map(move |&category| (category, args.seed + i))
        })
        .collect();
    let mine = (0..wanted.len()).filter(|&place| args.shard.contains(place));
    let bar = object_bar(mine.count());
    let kept = Mutex::new(0);
    let failed = Mutex::new(Vec::new());
    generate_folder(&args.out, &wanted, args.shard, &settings, |path, made| {
        match made {
            Made::New => {}
            Made::Kept => *kept.lock().unwrap_or_else(|e| e.into_inner()) += 1,
            Made::Failed(error) => failed
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .push(error.to_string()),
        }
        if let Some(name) = path.file_stem() {
            bar.set_message(name.to_string_lossy().into_owned());
        }
        bar.inc(1);
    })?;
    bar.finish_with_message(format!(
        "{} were there already",
        kept.into_inner().unwrap_or_default()
    ));
    let failed = failed.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        bail!(
            "{} objects could not be written:\n{}",
            failed.len(),
            failed.join("\n")
        );
    }
    let pictures = args.out.join("pictures.png");
    report::print(&args.out, Some(&pictures), args.json)
}
