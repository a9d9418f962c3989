//! `dfp bench`: many problems, success and percentiles.

mod mbm;
mod pick;
mod replan;
mod statistics;

use clap::Subcommand;

/// Measure: plan many problems and print success and percentiles.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dfp bench pick
  dfp bench pick --seed 7 --count 100 --json
  dfp bench mbm --problems panda_problems.txt --urdf panda_spherized.urdf --srdf panda.srdf
  dfp bench mbm --problems panda_problems.txt --urdf panda_spherized.urdf --goal pose --json
  dfp bench replan --problems panda_problems.txt --urdf panda_spherized.urdf --srdf panda.srdf")]
pub struct Args {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    Pick(pick::Args),
    Mbm(mbm::Args),
    Replan(replan::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.benchmark {
        Benchmark::Pick(args) => pick::run(&args),
        Benchmark::Mbm(args) => mbm::run(&args),
        Benchmark::Replan(args) => replan::run(&args),
    }
}
