//! `dfp data`: make, read in and look through sets of objects with labelled grasps.

mod acronym;
mod procedural;
mod report;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

/// Make and read sets of objects with labelled grasps.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Acronym(acronym::Args),
    Procedural(procedural::Args),
    Summary(SummaryArgs),
}

/// Counts and pictures of a folder of grasp files.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  dfp data summary out/data --pictures out/data/pictures.png")]
struct SummaryArgs {
    /// Folder of grasp files
    folder: PathBuf,
    /// Draw an object of each category with some of its grasps into this file (PNG)
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Acronym(args) => acronym::run(args),
        Command::Procedural(args) => procedural::run(args),
        Command::Summary(args) => report::print(&args.folder, args.pictures.as_deref(), args.json),
    }
}

/// A bar that counts objects.
fn object_bar(count: usize) -> ProgressBar {
    let template = "objects [{bar:30}] {pos}/{len} {elapsed} eta {eta} {msg}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(count as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
