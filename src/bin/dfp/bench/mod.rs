//! `dfp bench`: many problems, success and percentiles.

mod arm_room;
mod cabinet;
mod grasp_pose;
mod items;
mod joint_vs_decoupled;
mod mbm;
mod pick;
mod problem_file;
mod replan;
mod scenes;
mod statistics;
mod tasks;

use clap::Subcommand;

/// Measure: plan many problems and print success and percentiles.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dfp bench pick
  dfp bench pick --seed 7 --count 100 --json
  dfp bench tasks --compare
  dfp bench tasks --task shelf --count 20 --write out/shelf
  dfp bench grasp-pose
  dfp bench joint-vs-decoupled --count 20
  dfp bench mbm --problems panda_problems.txt --urdf panda_spherized.urdf --srdf panda.srdf
  dfp bench mbm --problems panda_problems.txt --urdf panda_spherized.urdf --goal pose --json
  dfp bench replan --problems panda_problems.txt --urdf panda_spherized.urdf --srdf panda.srdf")]
pub struct Args {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    GraspPose(grasp_pose::Args),
    Pick(pick::Args),
    JointVsDecoupled(joint_vs_decoupled::Args),
    Tasks(tasks::Args),
    Mbm(mbm::Args),
    Replan(replan::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.benchmark {
        Benchmark::GraspPose(args) => grasp_pose::run(&args),
        Benchmark::Pick(args) => pick::run(&args),
        Benchmark::JointVsDecoupled(args) => joint_vs_decoupled::run(&args),
        Benchmark::Tasks(args) => tasks::run(&args),
        Benchmark::Mbm(args) => mbm::run(&args),
        Benchmark::Replan(args) => replan::run(&args),
    }
}
