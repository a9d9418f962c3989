use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use diffusion_field_planner::data::{
    evaluate_row, AntipodalSettings, EvaluationSettings, GraspScores, GraspSource, Judge,
    ObjectEvaluation, Outcome,
};
use diffusion_field_planner::field::{Grasp, GraspNetwork};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::scene::MeshError;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{json, Value};

use crate::eval_objects::ObjectArgs;
use crate::grasps::{grasp_json, network, pose_rows, sampler_settings};
use crate::tiles::{self, Tile};

/// Measure the grasp field on objects that it was never trained on.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Grasps(GraspArgs),
    Smoothness(crate::smoothness::Args),
}

/// Success, collision and likeness to the data of sampled grasps, by category.
///
/// The sampler sees a mesh, the judge the formula that the mesh was made from, or with --mesh and --data the mesh itself.
/// "raw" is every sample; "free" what passes the collision filter; "filtered" what a user gets (collision and contact filter,
/// no twins). Success is relative to the data's own grasps under the same judge. EMD (paper's cost) and coverage stand beside
/// the floor: one half of the data against the other.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    dfp eval grasps\n  \
    dfp eval grasps --categories mug --objects 10 -n 200 --json\n  \
    dfp eval grasps --mesh mug.obj bottle.stl:0.001 --out out/foreign\n  \
    dfp eval grasps --single-view --views 2 --out out/single_view\n  \
    dfp eval grasps --objects 2 --out out/eval && scripts/physics_check.py out/eval/*_raw.json")]
struct GraspArgs {
    #[command(flatten)]
    objects: ObjectArgs,
    /// Samples of each object; data sets have as many
    #[arg(short = 'n', long = "count", default_value_t = 100)]
    count: usize,
    /// Seed of the sampler on the first object of a category
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Weights; those that come with the program if not given
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Measure the paper's own model with these weights instead (see dfp train config/train_paper.yaml)
    #[cfg(feature = "torch")]
    #[arg(long, conflicts_with = "weights")]
    paper: Option<PathBuf>,
    /// Run the paper's own model on the GPU
    #[cfg(feature = "torch")]
    #[arg(long, requires = "paper")]
    cuda: bool,
    /// Sampler settings (YAML)
    #[arg(long)]
    sampler: Option<PathBuf>,
    /// Write each object's mesh, samples and data grasps into this folder
    #[arg(long)]
    out: Option<PathBuf>,
    /// Draw the first object of each category with grasps as a user would get them (PNG)
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Grasps(args) => grasps(args),
        What::Smoothness(args) => crate::smoothness::run(args),
    }
}

fn grasps(args: GraspArgs) -> Result<()> {
    let (source, antipodal) = source(&args)?;
    let sampler = sampler_settings(args.sampler.as_deref(), false)?;
    let settings = EvaluationSettings {
        objects: args.objects.objects,
        first_object: args.objects.first_object,
        count: args.count,
        seed: args.seed,
        sampler,
        antipodal,
    };
    let rows = args.objects.rows(source.gripper_name(), args.seed)?;
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    }
    let bar = ProgressBar::new(rows.iter().map(|row| row.objects.len() as u64).sum());
    bar.set_style(
        ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {elapsed} eta {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let (mut scores, mut tiles) = (Vec::new(), Vec::new());
    for row in rows {
        bar.set_message(row.category.clone());
        let mut problem = None;
        let first = tiles.len();
        let made = row.objects.into_iter().map(|make| make());
        let objects = made.filter_map(|object| {
            let problem = |e: MeshError| bar.println(format!("left out: {e}"));
            object.map_err(problem).ok()
        });
        let evaluated = evaluate_row(&*source, &row.category, objects, &settings, |object| {
            if let Some(out) = &args.out {
                problem = write_object(out, object, &*source, &settings)
                    .err()
                    .or(problem.take());
            }
            if args.picture.is_some() && tiles.len() == first {
                tiles.push(Tile::of_evaluation(object, source.gripper()));
            }
            bar.inc(1);
        });
        match evaluated {
            Ok(row) => scores.push(row),
            // One file that no grasp fits says nothing of the others.
            Err(error) if args.objects.are_foreign() => bar.println(format!("left out: {error}")),
            Err(error) => return Err(error.into()),
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
    }
    bar.finish_and_clear();
    if let Some(path) = &args.picture {
        tiles::save(path, &tiles)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&scores)?);
    } else {
        print_table(&scores, &settings);
    }
    Ok(())
}

/// What draws the grasps, and the grasps that it was trained towards.
fn source(args: &GraspArgs) -> Result<(Box<dyn GraspSource>, AntipodalSettings)> {
    #[cfg(feature = "torch")]
    if let Some(path) = &args.paper {
        use diffusion_field_planner::training::paper::{PaperGrasps, PaperModel};
        let model =
            PaperModel::load(path).with_context(|| format!("reading {}", path.display()))?;
        let antipodal = model.config.data.antipodal.clone();
        return Ok((Box::new(PaperGrasps::new(&model, args.cuda)?), antipodal));
    }
    let network = network(args.weights.as_deref())?;
    let antipodal = trained_on(&network)?;
    Ok((Box::new(network), antipodal))
}

/// The grasps that the weights were trained towards, from their notes; the usual ones without.
pub fn trained_on(network: &GraspNetwork) -> Result<AntipodalSettings> {
    let Some(notes) = network.notes.get("training") else {
        return Ok(AntipodalSettings::default());
    };
    let notes: Value = serde_json::from_str(notes).context("reading the weights' notes")?;
    let antipodal = notes["data"]["antipodal"].clone();
    serde_json::from_value(antipodal).context("reading the weights' notes on their data")
}

/// `NAME.obj`, and `NAME_raw.json`, `NAME_filtered.json`, `NAME_data.json` in the form of `dfp grasps --out`, with what
/// the closed-form judge says of each grasp.
fn write_object(
    folder: &Path,
    evaluated: &ObjectEvaluation,
    source: &dyn GraspSource,
    settings: &EvaluationSettings,
) -> Result<()> {
    let object = &evaluated.object;
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    };
    let mesh_path = folder.join(format!("{}.obj", object.name));
    write(&mesh_path, object.mesh.to_obj())?;
    let judge = Judge::new(&*object.solid, source.gripper());
    let judged = |mut grasp: Value, pose: &Pose| {
        grasp["holds"] = json!(judge.outcome(pose) == Outcome::Holds);
        grasp
    };
    let of_field = |grasps: &[Grasp]| -> Vec<Value> {
        let judged = |g: &Grasp| judged(grasp_json(g), &g.object_from_gripper);
        grasps.iter().map(judged).collect()
    };
    let of_data = evaluated
        .data
        .iter()
        .map(|pose| judged(json!({ "object_from_gripper": pose_rows(pose) }), pose));
    for (set, grasps) in [
        ("raw", of_field(&evaluated.raw)),
        ("filtered", of_field(&evaluated.filtered)),
        ("data", of_data.collect()),
    ] {
        let content = json!({
            "mesh": mesh_path, "scale": 1.0, "category": object.category, "set": set,
            "object_seed": object.seed, "seed": settings.seed, "gripper": source.gripper_name(),
            "gripper_geometry": source.gripper(),
            "frame": "mesh; gripper origin at the hand, +z approach, x closing", "grasps": grasps,
        });
        let path = folder.join(format!("{}_{set}.json", object.name));
        write(&path, serde_json::to_string(&content)?)?;
    }
    Ok(())
}

fn print_table(scores: &[GraspScores], settings: &EvaluationSettings) {
    println!(
        "{:<10} {:>3} {:>5} | {:>5} {:>5} {:>5} {:>5} {:>5} | {:>5} {:>5} | {:>11} {:>11} {:>11} | {:>9}",
        "category", "obj", "n", "raw", "+-SE", "free", "filt", "best", "coll", "none", "EMD/floor",
        "(code)", "(geodesic)", "coverage"
    );
    let row = |s: &GraspScores| {
        println!(
            "{:<10} {:>3} {:>5} | {:>5.3} {:>5.3} {:>5.3} {:>5.3} {:>5.3} | {:>5.3} {:>5.3} | {} {} {} | {:.2}/{:.2}",
            s.category,
            s.objects,
            s.n,
            s.success_relative,
            s.success_se,
            s.success_free_relative,
            s.success_filtered_relative,
            s.success_best20_relative,
            s.collision,
            s.no_contact,
            pair(s.emd_paper, s.emd_floor),
            pair(s.emd_released_code, s.emd_released_code_floor),
            pair(s.emd_geodesic, s.emd_geodesic_floor),
            s.coverage,
            s.coverage_floor
        );
    };
    scores.iter().for_each(row);
    let mean = |value: fn(&GraspScores) -> f64| {
        // A row whose generator finds no grasp has no relative figures.
        let values = scores.iter().map(value).filter(|v| v.is_finite());
        let (sum, count) = values.fold((0.0, 0), |(sum, n), v| (sum + v, n + 1));
        sum / f64::from(count.max(1))
    };
    println!(
        "mean over categories: raw {:.3}, free {:.3}, filtered {:.3}, best 20 {:.3}, collision {:.3}, EMD / floor {:.3}, \
         coverage / floor {:.3}",
        mean(|s| s.success_relative),
        mean(|s| s.success_free_relative),
        mean(|s| s.success_filtered_relative),
        mean(|s| s.success_best20_relative),
        mean(|s| s.collision),
        mean(|s| s.emd_paper / s.emd_floor),
        mean(|s| s.coverage / s.coverage_floor)
    );
    println!(
        "{} samples an object, objects from seed {}, sampler from seed {}; data grasps succeed {:.3}",
        settings.count,
        settings.first_object,
        settings.seed,
        mean(|s| s.data_success)
    );
}

fn pair(value: f64, floor: f64) -> String {
    format!("{value:>5.3}/{floor:.3}")
}
