//! `dfp inspect`: what was understood of a robot, a mesh or a problem, before anything is planned with it.

mod mesh_report;
mod problem_report;
mod robot_report;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context};
use diffusion_field_planner::picture::{palette, render, Camera, PictureScene};
use diffusion_field_planner::planner::Problem;
use diffusion_field_planner::robot::{RobotModel, RobotSettings};
use diffusion_field_planner::scene::{MeshDistance, Shape, TriangleMesh};
use mesh_report::MeshReport;
use problem_report::ProblemReport;
use robot_report::RobotReport;
use serde::Serialize;

use crate::plan::picture as plan_picture;
use crate::plan::DEFAULT_WEIGHTS;

/// Show what was understood of a robot, a mesh or a problem.
///
/// For a robot: joints with their limits, bodies, collision spheres and how well they cover the shapes, which links
/// are not tested against each other and why, tool and gripper. For a mesh: size, whether it is closed, doubtful units.
/// For a problem: task, start, objects and obstacles, and how far each is from the arm at its start.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dfp inspect urdf/panda.urdf --settings config/panda.yaml --picture out/panda.png
  dfp inspect arm.urdf --base base_link --tool tool0 --json
  dfp inspect mug.obj --scale 0.001
  dfp inspect examples/pick_mug.yaml --picture out/problem.png")]
pub struct Args {
    /// Robot description (.urdf), mesh (.stl, .obj, .ply) or problem of `dfp plan` (.yaml).
    file: PathBuf,
    /// Robot settings (YAML); found by itself at ../config/NAME.yaml.
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Base link, where there are no settings; else the root.
    #[arg(long)]
    base: Option<String>,
    /// Tool link, where there are no settings; else the end of the longest chain.
    #[arg(long)]
    tool: Option<String>,
    /// Metres per unit of a mesh file.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Weights of the grasp field, for problems that grasp.
    #[arg(long, default_value = DEFAULT_WEIGHTS)]
    weights: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Draw it into a PNG file.
    #[arg(long, value_name = "PNG")]
    picture: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let ending = args
        .file
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or("")
        .to_lowercase();
    let mut picture = PictureScene::new();
    match ending.as_str() {
        "urdf" | "xml" => {
            let robot = load_robot(&args)?;
            let report = RobotReport::new(&robot);
            let middle: Vec<f64> = (0..robot.limits.dof())
                .map(|j| 0.5 * (robot.limits.lower[j] + robot.limits.upper[j]))
                .collect();
            picture.add_robot(&robot, &middle, None)?;
            picture.add_frame(&robot.kinematics.tool_pose(&middle), 0.1);
            show(&report, args.json)?;
        }
        "stl" | "obj" | "ply" => {
            let mesh = TriangleMesh::load(&args.file, args.scale)?;
            let report = MeshReport::new(&args.file, &mesh);
            picture.ground_z_m = Some(report.low_m[2] as f32);
            let shape = Shape::Mesh(MeshDistance::new(&mesh)?.into());
            picture.add_shape(&shape, &nalgebra::Isometry3::identity(), palette::MESH);
            show(&report, args.json)?;
        }
        "yaml" | "yml" => {
            let problem = Problem::load(&args.file, &args.weights)?;
            let (robot, request) = (&problem.robot, &problem.request);
            let report = ProblemReport::new(&args.file, &problem)?;
            plan_picture::add_scene(&mut picture, request);
            picture.add_robot(robot, &request.start, None)?;
            show(&report, args.json)?;
        }
        _ => bail!(
            "'{}' is neither a robot (.urdf) nor a mesh (.stl, .obj, .ply) nor a problem (.yaml)",
            args.file.display()
        ),
    }
    if let Some(file) = &args.picture {
        let image = render(&picture, &Camera::around(&picture, -0.7, 0.35));
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        image
            .save(file)
            .with_context(|| format!("cannot write '{}'", file.display()))?;
    }
    Ok(())
}

/// Writes a report; a reader that closes its end early (`| head`) is no error.
fn show<T: Serialize + std::fmt::Display>(report: &T, json: bool) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report)?
            + "
"
    } else {
        report.to_string()
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn load_robot(args: &Args) -> anyhow::Result<RobotModel> {
    let stem = args.file.file_stem().unwrap_or_default().to_owned();
    let beside = args
        .file
        .parent()
        .unwrap_or(Path::new(""))
        .join("../config")
        .join(stem)
        .with_extension("yaml");
    let chosen = args.base.is_some() || args.tool.is_some();
    let settings = args
        .settings
        .clone()
        .or_else(|| (beside.exists() && !chosen).then_some(beside));
    if let Some(settings) = settings {
        return Ok(RobotModel::load(&args.file, &settings)?);
    }
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("cannot read '{}'", args.file.display()))?;
    let urdf =
        urdf_rs::read_from_string(&text).with_context(|| format!("'{}'", args.file.display()))?;
    let (root, leaf) = longest_chain(&urdf)?;
    let settings = RobotSettings::new(
        args.base.clone().unwrap_or(root),
        args.tool.clone().unwrap_or(leaf),
    );
    Ok(RobotModel::from_urdf(&text, &settings)?)
}

/// The root link and the link with most moving joints above it.
fn longest_chain(urdf: &urdf_rs::Robot) -> anyhow::Result<(String, String)> {
    let above: HashMap<&str, &urdf_rs::Joint> = urdf
        .joints
        .iter()
        .map(|j| (j.child.link.as_str(), j))
        .collect();
    let depth = |link: &str| {
        let (mut moving, mut all, mut link) = (0, 0, link);
        // A file with a ring of joints would never end; the model refuses it later by name.
        while let Some(joint) = above.get(link).filter(|_| all <= urdf.joints.len()) {
            moving +=
                usize::from(joint.joint_type != urdf_rs::JointType::Fixed && joint.mimic.is_none());
            all += 1;
            link = &joint.parent.link;
        }
        (moving, all)
    };
    let root = urdf
        .links
        .iter()
        .find(|l| !above.contains_key(l.name.as_str()))
        .context("no root link")?;
    let leaf = urdf
        .links
        .iter()
        .max_by_key(|l| depth(&l.name))
        .context("no link")?;
    Ok((root.name.clone(), leaf.name.clone()))
}
