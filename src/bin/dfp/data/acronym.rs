//! `dfp data acronym`: grasps and meshes of the ACRONYM data set.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{bail, Result};
use diffusion_field_planner::data::{read_acronym_folder, Made, Shard};

use super::{object_bar, report};

/// Read ACRONYM's grasps (HDF5) and meshes into a folder of grasp files.
///
/// A missing mesh or a bad file is listed and skipped. Finished files are left alone. The data set is for
/// non-commercial use (CC BY-NC 4.0); none of it comes with this program.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  dfp data acronym acronym/grasps --meshes acronym --out out/acronym"
)]
pub struct Args {
    /// Folder of ACRONYM's .h5 files
    folder: PathBuf,
    /// Folder of the meshes that they name (with or without its `meshes/` inside)
    #[arg(long)]
    meshes: PathBuf,
    /// Folder of the files; made where it is missing
    #[arg(long)]
    out: PathBuf,
    /// Read part i of n, i from 0 to n-1
    #[arg(long, default_value = "0/1")]
    shard: Shard,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let bar = object_bar(0);
    let skipped = Mutex::new(Vec::new());
    let count = read_acronym_folder(
        &args.folder,
        &args.meshes,
        &args.out,
        args.shard,
        |_, made| {
            bar.inc_length(1);
            bar.inc(1);
            let problem = match made {
                Ok(Made::New | Made::Kept) => return,
                Ok(Made::Failed(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            skipped
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .push(problem);
        },
    )?;
    bar.finish();
    let mut skipped = skipped.into_inner().unwrap_or_default();
    skipped.sort();
    for problem in &skipped {
        eprintln!("skipped: {problem}");
    }
    eprintln!(
        "{} of {count} files read, {} skipped",
        count - skipped.len(),
        skipped.len()
    );
    if count == 0 {
        bail!("no .h5 file in {}", args.folder.display());
    }
    report::print(&args.out, Some(&args.out.join("pictures.png")), args.json)
}
