//! `dfp object`: objects by name, prepared once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{bail, Context};
use clap::Subcommand;
use diffusion_field_planner::field::{GraspNetwork, ObjectModel, ObjectStore};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::picture::{palette, render, Camera, PictureScene};
use diffusion_field_planner::planner::prepare_grasps;
use diffusion_field_planner::scene::Shape;
use serde_json::json;

use crate::grasps::ViewArgs;
use crate::plan::DEFAULT_WEIGHTS;

/// Keep objects by name: mesh, signed distance, grasps. `dfp plan` and the node take them by that name.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dfp object add mug.obj --scale 0.001 --name mug
  dfp object add scan.ply                  # a mesh, or a point cloud from all sides
  dfp object add one_side.ply --viewpoint 0.3,-0.2,0.5
  dfp object list
  dfp object remove mug")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// Folder of the objects; that of the user if not given.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Prepare a mesh or a point cloud (STL, OBJ, PLY; any pose, holes allowed) and keep it.
    Add(AddArgs),
    /// Name every object.
    List,
    /// Forget an object.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(clap::Args)]
struct AddArgs {
    /// Mesh or point cloud.
    file: PathBuf,
    /// Metres per unit of the file.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[command(flatten)]
    view: ViewArgs,
    /// Name to know it by; the file's if not given.
    #[arg(long)]
    name: Option<String>,
    /// Weights of the grasp field.
    #[arg(long, default_value = DEFAULT_WEIGHTS)]
    weights: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let folder = args.folder.or_else(ObjectStore::default_folder);
    let folder = folder.context("no --folder given, and the user has no home folder")?;
    let store = ObjectStore::new(folder);
    match args.action {
        Action::Add(add) => self::add(&store, &add, args.json),
        Action::List => {
            let names = store.names()?;
            if args.json {
                println!("{}", json!({"folder": store.folder(), "objects": names}));
            } else {
                println!("{}: {}", store.folder().display(), names.join(" "));
            }
            Ok(())
        }
        Action::Remove { name } => match store.remove(&name)? {
            true => Ok(()),
            false => bail!("object '{name}' is not in {}", store.folder().display()),
        },
    }
}

fn add(store: &ObjectStore, args: &AddArgs, as_json: bool) -> anyhow::Result<()> {
    let network = GraspNetwork::load(&args.weights)
        .with_context(|| format!("loading the grasp field from {}", args.weights.display()))?;
    let stem = || args.file.file_stem().unwrap_or_default().to_string_lossy();
    let name = args.name.clone().unwrap_or_else(|| stem().into_owned());
    let started = Instant::now();
    let (mesh, seen) = args.view.load(&args.file, args.scale)?;
    let triangles = mesh.triangles.len();
    let model = ObjectModel::from_mesh(name, Arc::new(mesh), &network)?.seen_from_one_side(seen);
    let baked_s = started.elapsed().as_secs_f64();
    let grasps = prepare_grasps(&model).len();
    store.save(&model, &network)?;
    let ready_s = started.elapsed().as_secs_f64();
    let picture = store.path(&model.name, "png");
    draw(&model, &picture)?;
    let mut warnings: Vec<String> = args
        .view
        .warning()
        .into_iter()
        .chain(model.size_warning())
        .collect();
    if grasps == 0 {
        let opening_mm = 1e3 * network.settings().gripper.max_opening_m;
        warnings.push(format!(
            "no grasp was found: the gripper opens {opening_mm:.0} mm; is the scale right, and does anything on it fit?"
        ));
    }
    let (low, high) = model.mesh.bounds();
    let size_m: [f64; 3] = std::array::from_fn(|k| high[k] - low[k]);
    if as_json {
        let report = json!({
            "name": model.name, "folder": store.folder(), "triangles": triangles, "size_m": size_m, "grasps": grasps,
            "baked_s": baked_s, "ready_s": ready_s, "picture": picture, "warnings": warnings,
        });
        println!("{report}");
        return Ok(());
    }
    let [x, y, z] = size_m.map(|s| 1e3 * s);
    println!(
        "{}: {triangles} triangles, {x:.0} x {y:.0} x {z:.0} mm, {grasps} grasps",
        model.name
    );
    println!("field baked in {baked_s:.2} s, ready in {ready_s:.2} s");
    println!(
        "kept in {}, picture {}",
        store.folder().display(),
        picture.display()
    );
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

/// Grasps that are drawn.
const DRAWN: usize = 24;

fn draw(model: &ObjectModel, path: &Path) -> anyhow::Result<()> {
    let mut picture = PictureScene::new();
    let (low, _) = model.mesh.bounds();
    picture.ground_z_m = Some(low[2] as f32);
    let identity = Pose::identity();
    picture.add_shape(
        &Shape::Mesh(model.surface.clone()),
        &identity,
        palette::MESH,
    );
    let grasps = prepare_grasps(model);
    let gripper = &model.field.settings().gripper;
    // From the best to the worst, not only the best, which are often alike.
    for grasp in grasps.iter().step_by(grasps.len().div_ceil(DRAWN).max(1)) {
        let pose = &grasp.object_from_gripper;
        picture.add_grasp(pose, gripper, grasp.width_m, palette::GRASP);
    }
    render(&picture, &Camera::around(&picture, -0.7, 0.35))
        .save(path)
        .with_context(|| format!("writing {}", path.display()))
}
