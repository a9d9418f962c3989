//! `dfp`: train, inspect, sample, plan and measure from the command line.

mod bench;
mod data;
mod draw;
mod eval;
mod eval_objects;
mod grasps;
mod inspect;
mod object;
mod plan;
mod smoothness;
mod tiles;
#[cfg(feature = "torch")]
mod train;
#[cfg(feature = "torch")]
mod train_paper;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Joint grasp and motion planning through a learned SE(3) diffusion field.
#[derive(Parser)]
#[command(
    name = "dfp",
    version,
    after_help = "Each command explains itself: dfp plan --help"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Grasps(grasps::Args),
    Eval(eval::Args),
    Plan(plan::Args),
    Draw(draw::Args),
    Inspect(inspect::Args),
    Object(object::Args),
    Bench(bench::Args),
    Data(data::Args),
    #[cfg(feature = "torch")]
    Train(train::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Grasps(args) => grasps::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Draw(args) => draw::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Object(args) => object::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Data(args) => data::run(args),
        #[cfg(feature = "torch")]
        Command::Train(args) => train::run(args),
    }
}
