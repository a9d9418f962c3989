//! `dfp inspect`: what was understood of a robot or a mesh, before anything is planned with it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context};
use diffusion_field_planner::picture::{palette, render, Camera, PictureScene};
use diffusion_field_planner::robot::{RobotModel, RobotSettings};
use diffusion_field_planner::scene::{MeshDistance, Shape, TriangleMesh};
use serde::Serialize;

/// Show what was understood of a robot or a mesh.
///
/// For a robot: joints with their limits, bodies, collision spheres and how well they cover the shapes, which links
/// are not tested against each other and why, tool and gripper. For a mesh: size, whether it is closed, doubtful units.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dfp inspect urdf/panda.urdf --settings config/panda.yaml --picture out/panda.png
  dfp inspect arm.urdf --base base_link --tool tool0 --json
  dfp inspect mug.obj --scale 0.001")]
pub struct Args {
    /// Robot description (.urdf) or mesh (.stl, .obj, .ply).
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
            picture.add_robot(&robot, &middle)?;
            picture.add_frame(&robot.kinematics.tool_pose(&middle), 0.1);
            show(&report, args.json, RobotReport::print)?;
        }
        "stl" | "obj" | "ply" => {
            let mesh = TriangleMesh::load(&args.file, args.scale)?;
            let report = MeshReport::new(&args.file, &mesh);
            picture.ground_z_m = Some(report.low_m[2] as f32);
            let shape = Shape::Mesh(MeshDistance::new(&mesh)?.into());
            picture.add_shape(&shape, &nalgebra::Isometry3::identity(), palette::MESH);
            show(&report, args.json, MeshReport::print)?;
        }
        _ => bail!(
            "'{}' is neither a robot (.urdf) nor a mesh (.stl, .obj, .ply)",
            args.file.display()
        ),
    }
    if let Some(file) = &args.picture {
        let image = render(&picture, &Camera::around(&picture, 0.7, 0.35));
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        image
            .save(file)
            .with_context(|| format!("cannot write '{}'", file.display()))?;
    }
    Ok(())
}

fn show<T: Serialize>(report: &T, json: bool, print: impl Fn(&T)) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print(report);
    }
    Ok(())
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

#[derive(Serialize)]
struct JointReport {
    name: String,
    unit: &'static str,
    lower: f64,
    upper: f64,
    velocity: f64,
    acceleration: f64,
    jerk: f64,
}

#[derive(Serialize)]
struct LinkReport {
    link: String,
    body: usize,
    shapes: Vec<&'static str>,
    spheres: usize,
    /// How far the spheres stick out of the shapes, and the shapes out of the spheres, at most.
    over_cover_m: f64,
    under_cover_m: f64,
}

#[derive(Serialize)]
struct AllowedReport {
    links: (String, String),
    reason: String,
}

#[derive(Serialize)]
struct GripperReport {
    hand_link: String,
    finger_joints: Vec<String>,
    max_opening_m: f64,
    tip_m: f64,
}

#[derive(Serialize)]
struct RobotReport {
    name: String,
    base_link: String,
    tool_link: String,
    bodies: usize,
    joints: Vec<JointReport>,
    links: Vec<LinkReport>,
    spheres: usize,
    tested_link_pairs: usize,
    allowed: Vec<AllowedReport>,
    gripper: Option<GripperReport>,
}

impl RobotReport {
    fn new(robot: &RobotModel) -> Self {
        let (limits, collision) = (&robot.limits, &robot.collision);
        let joint_type = |name: &str| {
            robot
                .description
                .joints
                .iter()
                .find(|j| j.name == name)
                .map(|j| j.joint_type.clone())
        };
        let joints = (0..limits.dof())
            .map(|j| JointReport {
                name: limits.names[j].clone(),
                unit: match joint_type(&limits.names[j]) {
                    Some(urdf_rs::JointType::Prismatic) => "m",
                    _ => "rad",
                },
                lower: limits.lower[j],
                upper: limits.upper[j],
                velocity: limits.velocity[j],
                acceleration: limits.acceleration[j],
                jerk: limits.jerk[j],
            })
            .collect();
        let links = collision
            .links
            .iter()
            .map(|link| LinkReport::new(robot, link))
            .collect();
        let names = |a: usize, b: usize| (collision.links[a].clone(), collision.links[b].clone());
        let count = collision.links.len();
        Self {
            name: robot.name.clone(),
            base_link: robot.kinematics.base_link().to_owned(),
            tool_link: robot.kinematics.tool_link().to_owned(),
            bodies: robot.kinematics.body_count(),
            joints,
            links,
            spheres: collision.spheres.len(),
            tested_link_pairs: count * count.saturating_sub(1) / 2 - collision.allowed.len(),
            allowed: collision
                .allowed
                .iter()
                .map(|&(a, b, reason)| AllowedReport {
                    links: names(a, b),
                    reason: format!("{reason:?}"),
                })
                .collect(),
            gripper: robot.gripper.as_ref().map(|g| GripperReport {
                hand_link: g.hand_link.clone(),
                finger_joints: g.finger_joints.clone(),
                max_opening_m: g.geometry.max_opening_m,
                tip_m: g.geometry.tip_m,
            }),
        }
    }

    fn print(&self) {
        println!(
            "robot {}: {} -> {}, {} joints, {} bodies",
            self.name,
            self.base_link,
            self.tool_link,
            self.joints.len(),
            self.bodies
        );
        println!(
            "\n{:<24} {:>4} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "joint", "unit", "lower", "upper", "unit/s", "unit/s^2", "unit/s^3"
        );
        for j in &self.joints {
            println!(
                "{:<24} {:>4} {:>9.4} {:>9.4} {:>9.3} {:>9.2} {:>9.1}",
                j.name, j.unit, j.lower, j.upper, j.velocity, j.acceleration, j.jerk
            );
        }
        println!(
            "\n{:<24} {:>4} {:>7} {:>9} {:>9}  shapes",
            "link", "body", "spheres", "over mm", "under mm"
        );
        for l in &self.links {
            println!(
                "{:<24} {:>4} {:>7} {:>9.1} {:>9.1}  {}",
                l.link,
                l.body,
                l.spheres,
                1e3 * l.over_cover_m,
                1e3 * l.under_cover_m,
                l.shapes.join(" ")
            );
        }
        println!(
            "\n{} spheres; {} link pairs are tested against each other, these are not:",
            self.spheres, self.tested_link_pairs
        );
        for pair in &self.allowed {
            println!("  {} - {}: {}", pair.links.0, pair.links.1, pair.reason);
        }
        match &self.gripper {
            Some(g) => println!(
                "\ngripper on {}: fingers [{}], opens to {:.0} mm, tips {:.0} mm in front",
                g.hand_link,
                g.finger_joints.join(", "),
                1e3 * g.max_opening_m,
                1e3 * g.tip_m
            ),
            None => println!("\nno gripper (the settings name none)"),
        }
    }
}

impl LinkReport {
    fn new(robot: &RobotModel, link: &str) -> Self {
        let collision = &robot.collision;
        let cover = || collision.cover.iter().filter(|c| c.link == link);
        Self {
            link: link.to_owned(),
            body: robot
                .kinematics
                .body_of_link(link)
                .map_or(0, |(body, _)| body),
            shapes: collision
                .shapes
                .iter()
                .filter(|s| s.link == link)
                .map(|s| s.shape.kind())
                .collect(),
            spheres: cover().map(|c| c.spheres).sum(),
            over_cover_m: cover().map(|c| c.over_cover_m).fold(0.0, f64::max),
            under_cover_m: cover().map(|c| c.under_cover_m).fold(0.0, f64::max),
        }
    }
}

#[derive(Serialize)]
struct MeshReport {
    file: String,
    vertices: usize,
    triangles: usize,
    /// Triangles without area.
    degenerate: usize,
    low_m: [f64; 3],
    high_m: [f64; 3],
    extent_m: [f64; 3],
    /// Every edge is shared by exactly two triangles that run along it in opposite directions.
    watertight: bool,
    open_edges: usize,
    /// Only where it is closed; negative: turned inside out.
    volume_m3: Option<f64>,
    warnings: Vec<String>,
}

impl MeshReport {
    fn new(file: &Path, mesh: &TriangleMesh) -> Self {
        let (low_m, high_m) = mesh.bounds();
        let extent_m: [f64; 3] = std::array::from_fn(|k| high_m[k] - low_m[k]);
        let open_edges = open_edges(mesh);
        let watertight = open_edges == 0;
        let volume = mesh.triangles.iter().map(|t| {
            let [a, b, c] = mesh.corners(t);
            a.dot(&b.cross(&c)) / 6.0
        });
        let volume_m3 = watertight.then(|| volume.sum::<f64>());
        let largest = extent_m.into_iter().fold(0.0, f64::max);
        let mut warnings = Vec::new();
        if largest > 3.0 {
            warnings.push(format!("{largest:.1} m across: the file may be in millimetres (--scale 0.001) or centimetres (--scale 0.01)"));
        }
        if largest < 0.005 {
            warnings.push(format!(
                "only {:.2} mm across: the file may be in another unit (--scale 1000?)",
                1e3 * largest
            ));
        }
        if !watertight {
            warnings.push(format!(
                "{open_edges} open edges: inside and outside are decided by the winding number"
            ));
        }
        if volume_m3.is_some_and(|v| v < 0.0) {
            warnings.push("the triangles face inwards: inside and outside are swapped".into());
        }
        let offset = (0..3)
            .map(|k| 0.5 * (low_m[k] + high_m[k]))
            .fold(0.0, |a: f64, b| a.max(b.abs()));
        if offset > largest {
            warnings.push(format!(
                "its middle lies {offset:.3} m from its origin: poses are those of the origin"
            ));
        }
        Self {
            file: file.display().to_string(),
            vertices: mesh.vertices.len(),
            triangles: mesh.triangles.len(),
            degenerate: mesh
                .triangles
                .iter()
                .filter(|t| mesh.area_vector(t).norm() <= 0.0)
                .count(),
            low_m,
            high_m,
            extent_m,
            watertight,
            open_edges,
            volume_m3,
            warnings,
        }
    }

    fn print(&self) {
        let [x, y, z] = self.extent_m;
        println!(
            "mesh {}: {} vertices, {} triangles ({} without area)",
            self.file, self.vertices, self.triangles, self.degenerate
        );
        println!(
            "  size {x:.4} x {y:.4} x {z:.4} m, from {:.4?} to {:.4?}",
            self.low_m, self.high_m
        );
        match self.volume_m3 {
            Some(volume) => println!("  watertight, volume {:.1} cm^3", 1e6 * volume),
            None => println!("  not watertight: {} open edges", self.open_edges),
        }
        for warning in &self.warnings {
            println!("  warning: {warning}");
        }
    }
}

/// Edges that are not run along once in each direction; vertices at the same place count as one, as STL needs it.
fn open_edges(mesh: &TriangleMesh) -> usize {
    let mut places: HashMap<[u64; 3], u32> = HashMap::new();
    let same: Vec<u32> = mesh
        .vertices
        .iter()
        .enumerate()
        // Adding zero makes -0 and 0 one place.
        .map(|(i, v)| {
            *places
                .entry(v.map(|x| (x + 0.0).to_bits()))
                .or_insert(i as u32)
        })
        .collect();
    let mut balance: HashMap<(u32, u32), (i32, i32)> = HashMap::new();
    for triangle in mesh
        .triangles
        .iter()
        .filter(|t| mesh.area_vector(t).norm() > 0.0)
    {
        for k in 0..3 {
            let (a, b) = (
                same[triangle[k] as usize],
                same[triangle[(k + 1) % 3] as usize],
            );
            let entry = balance.entry((a.min(b), a.max(b))).or_default();
            *if a < b { &mut entry.0 } else { &mut entry.1 } += 1;
        }
    }
    balance
        .values()
        .filter(|(along, against)| along != against)
        .count()
}
