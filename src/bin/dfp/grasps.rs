use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use diffusion_field_planner::field::{
    sample_grasps, Grasp, GraspNetwork, ObjectModel, SamplerSettings,
};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::scene::{Completed, Completion, SeenSide, TriangleMesh};
use serde_json::{json, Value};

/// Sample grasps for a mesh from the trained field.
///
/// Poses are 4x4, row by row, in the frame of the scaled mesh. Gripper frame: origin at the hand, +z approach,
/// x closing (that of ACRONYM).
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    dfp grasps --mesh mug.obj --scale 0.001 -n 200 --seed 0 --out grasps.json\n  \
    dfp grasps --mesh one_side.ply --viewpoint 0.3,-0.2,0.5")]
pub struct Args {
    /// Mesh file: STL, OBJ or PLY; also a point cloud
    #[arg(long)]
    mesh: PathBuf,
    /// Metres per unit of the mesh file
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[command(flatten)]
    view: ViewArgs,
    /// Grasps to sample
    #[arg(short = 'n', long = "count", default_value_t = 200)]
    count: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the grasps here as JSON
    #[arg(long)]
    out: Option<PathBuf>,
    /// Weights; those that come with the program if not given
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Sampler settings (YAML)
    #[arg(long)]
    sampler: Option<PathBuf>,
    /// Keep grasps whose open gripper touches the object, and twins
    #[arg(long)]
    unfiltered: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A point cloud of one side.
#[derive(clap::Args)]
pub struct ViewArgs {
    /// Where a point cloud of one side was seen from: X,Y,Z in the frame of its points, m. Its back is then guessed
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 3,
        allow_hyphen_values = true,
        value_name = "X,Y,Z"
    )]
    viewpoint: Option<Vec<f64>>,
    /// How the hidden side is guessed: hull, extruded, mirrored, carved
    #[arg(long, requires = "viewpoint", default_value_t = Completion::default().name().to_string())]
    completion: String,
}

impl ViewArgs {
    /// The mesh of a file, or the surface of its point cloud; with the side that was seen, where the rest is a guess.
    pub fn load(&self, path: &Path, scale: f64) -> Result<(TriangleMesh, Option<SeenSide>)> {
        let Some(viewpoint) = &self.viewpoint else {
            return Ok((TriangleMesh::load(path, scale)?, None));
        };
        let viewpoint_m = viewpoint.as_slice().try_into();
        let viewpoint_m = viewpoint_m.context("--viewpoint has three coordinates: X,Y,Z")?;
        let completion: Completion = self.completion.parse().map_err(anyhow::Error::msg)?;
        let Completed { mesh, seen } =
            TriangleMesh::load_view(path, scale, viewpoint_m, completion)?;
        Ok((mesh, Some(seen)))
    }

    /// What a user should know of a guessed object.
    pub fn warning(&self) -> Option<String> {
        self.viewpoint.as_ref().map(|_| {
            format!(
                "one side was seen, the other is a guess ({}): grasps keep to what was seen; look from elsewhere for others",
                self.completion
            )
        })
    }
}

pub fn run(args: Args) -> Result<()> {
    let network = network(args.weights.as_deref())?;
    let settings = sampler_settings(args.sampler.as_deref(), args.unfiltered)?;
    sample(&args, &network, &settings)
}

/// The weights of a file, or those that come with the program.
pub fn network(path: Option<&Path>) -> Result<GraspNetwork> {
    match path {
        Some(path) => {
            GraspNetwork::load(path).with_context(|| format!("reading {}", path.display()))
        }
        None => Ok(GraspNetwork::shipped()?),
    }
}

/// The sampler settings of a YAML file, or the usual ones.
pub fn sampler_settings(path: Option<&Path>, unfiltered: bool) -> Result<SamplerSettings> {
    let mut settings = match path {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading {}", path.display()))?;
            serde_yaml::from_str(&text).with_context(|| format!("reading {}", path.display()))?
        }
        None => SamplerSettings::default(),
    };
    if unfiltered {
        settings.filter = false;
        settings.distinct_m = 0.0;
    }
    Ok(settings)
}

fn sample(args: &Args, network: &GraspNetwork, settings: &SamplerSettings) -> Result<()> {
    let path = &args.mesh;
    let started = Instant::now();
    let (mesh, seen) = args.view.load(path, args.scale)?;
    let name = path
        .file_stem()
        .map_or("object".into(), |s| s.to_string_lossy().into_owned());
    let triangles = mesh.triangles.len();
    let object = ObjectModel::from_mesh(name, Arc::new(mesh), network)?.seen_from_one_side(seen);
    let baked_s = started.elapsed().as_secs_f64();
    let warnings: Vec<String> = args
        .view
        .warning()
        .into_iter()
        .chain(object.size_warning())
        .collect();
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let started = Instant::now();
    let grasps = sample_grasps(&object, settings, args.count, args.seed);
    let sampled_s = started.elapsed().as_secs_f64();
    if grasps.len() < args.count {
        eprintln!("warning: {} of {} grasps found", grasps.len(), args.count);
    }
    let result = json!({
        "mesh": path, "scale": args.scale, "seed": args.seed, "gripper": network.settings().gripper_name,
        "gripper_geometry": network.settings().gripper,
        "frame": "scaled mesh; gripper origin at the hand, +z approach, x closing", "warning": (!warnings.is_empty()).then(|| warnings.join(" ")),
        "bake_s": baked_s, "sample_s": sampled_s, "grasps": grasps.iter().map(grasp_json).collect::<Vec<_>>(),
    });
    if let Some(out) = &args.out {
        std::fs::write(out, serde_json::to_string_pretty(&result)?)
            .with_context(|| format!("writing {}", out.display()))?;
    }
    if args.json {
        println!("{result}");
        return Ok(());
    }
    let (low, high) = object.mesh.bounds();
    println!(
        "{}: {triangles} triangles, {:.3} x {:.3} x {:.3} m",
        object.name,
        high[0] - low[0],
        high[1] - low[1],
        high[2] - low[2]
    );
    println!(
        "{} grasps; object ready in {baked_s:.2} s, sampled in {sampled_s:.2} s",
        grasps.len()
    );
    println!(
        "{:>5} {:>9} {:>8}   position of the hand, m",
        "rank", "energy", "width mm"
    );
    for (rank, grasp) in grasps.iter().take(10).enumerate() {
        let p = grasp.object_from_gripper.translation.vector;
        println!(
            "{rank:>5} {:>9.3} {:>8.1}   {:.4} {:.4} {:.4}",
            grasp.energy,
            1000.0 * grasp.width_m,
            p.x,
            p.y,
            p.z
        );
    }
    Ok(())
}

/// Pose 4x4 row by row, energy, width.
pub fn grasp_json(grasp: &Grasp) -> Value {
    let pose = pose_rows(&grasp.object_from_gripper);
    json!({ "object_from_gripper": pose, "energy": grasp.energy, "width_m": grasp.width_m })
}

pub fn pose_rows(pose: &Pose) -> Vec<Vec<f64>> {
    let matrix = pose.to_homogeneous();
    matrix
        .row_iter()
        .map(|row| row.iter().copied().collect())
        .collect()
}
