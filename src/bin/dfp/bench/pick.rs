//! Random mugs on a table with two boxes in the way: from the object's pose to a verified reach and lift.

use std::f64::consts::PI;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use diffusion_field_planner::data::{Category, ProceduralObject};
use diffusion_field_planner::field::{GraspNetwork, ObjectModel};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::{
    prepare_grasps, Goal, PlanRequest, Planner, PlannerSettings,
};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape, TriangleMesh};
use nalgebra::{Translation3, UnitQuaternion};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{json, Value};

use super::problem_file;
use super::statistics::{print_table, timed, to_json, Failure, Figures, Outcome};

/// Random mug poses on a table with two boxes in the way; mugs are procedural, never seen in training.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 20)]
    count: usize,
    #[arg(long, default_value = "urdf/panda.urdf")]
    urdf: PathBuf,
    #[arg(long, default_value = "config/panda.yaml")]
    settings: PathBuf,
    /// Weights of the grasp field.
    #[arg(long, default_value = crate::plan::DEFAULT_WEIGHTS)]
    weights: PathBuf,
    /// The grasp stays as sampled instead of moving with the motion.
    #[arg(long)]
    decoupled: bool,
    /// Straight seeds.
    #[arg(long)]
    particles: Option<usize>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Plans nothing: writes each problem to this folder as `pick_NN.yaml` for `dfp plan`, and the meshes.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// Procedural mugs from here on are held out of training.
const FIRST_MUG: u64 = 1_000_000;
/// Different mugs in the benchmark: baking takes longer than planning.
const MUGS: u64 = 5;
const MESH_SPACING_M: f64 = 0.004;
const TABLE_SIZE_M: [f64; 3] = [0.7, 1.2, 0.04];
const TABLE_CENTER_X_M: f64 = 0.6;
/// Top of the table above the robot's base [m].
const TABLE_TOP_M: f64 = 0.0;
/// Ready pose of the Panda [rad].
const START_RAD: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];

/// One problem.
struct Case {
    mug: usize,
    world_from_object: Pose,
    scene: Scene,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let meshes: Vec<(String, Arc<TriangleMesh>)> = (0..MUGS.min(args.count as u64))
        .map(|i| {
            let mug = ProceduralObject::new(Category::Mug, FIRST_MUG + args.seed * MUGS + i);
            (mug.name(), Arc::new(mug.mesh(MESH_SPACING_M)))
        })
        .collect();
    let mut rng = Pcg64Mcg::seed_from_u64(args.seed);
    let cases: Vec<Case> = (0..args.count)
        .map(|index| {
            let mug = index % meshes.len();
            let world_from_object = random_mug_pose(&meshes[mug].1, &mut rng);
            let scene = scene(&world_from_object, &mut rng);
            Case {
                mug,
                world_from_object,
                scene,
            }
        })
        .collect();
    match &args.write {
        Some(folder) => write(args, folder, &meshes, &cases),
        None => plan(args, &meshes, cases),
    }
}

fn plan(
    args: &Args,
    meshes: &[(String, Arc<TriangleMesh>)],
    cases: Vec<Case>,
) -> anyhow::Result<()> {
    let robot = Arc::new(RobotModel::load(&args.urdf, &args.settings)?);
    let network = GraspNetwork::load(&args.weights)
        .with_context(|| format!("loading the grasp field from {}", args.weights.display()))?;
    let mugs = meshes
        .iter()
        .map(|(name, mesh)| {
            let model = ObjectModel::from_mesh(name.clone(), mesh.clone(), &network)?;
            prepare_grasps(&model);
            Ok(Arc::new(model))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let settings = PlannerSettings {
        joint_grasp: !args.decoupled,
        ..PlannerSettings::default()
    };
    let mut planner = Planner::new(robot.clone(), settings);
    let mut outcomes = Vec::new();
    for (index, case) in cases.into_iter().enumerate() {
        let goal = Goal::Grasp {
            object: mugs[case.mug].clone(),
            world_from_object: case.world_from_object,
        };
        let mut request = PlanRequest::new(START_RAD.to_vec(), case.scene, goal);
        request.num_particles = args.particles.unwrap_or(request.num_particles);
        request.seed = args.seed + index as u64;
        request.time_limit = Duration::from_secs(10);
        let (time_ms, result) =
            timed(|| planner.plan(&request, &mut |_| ControlFlow::Continue(())));
        outcomes.push(Outcome {
            scene: "mug".into(),
            time_ms,
            result: result
                .map(|p| Figures::of(&p, &robot.limits))
                .map_err(Failure::Planner),
        });
    }
    if args.json {
        println!("{}", to_json("pick", &outcomes, args.seed));
    } else {
        print_table("pick", &outcomes, args.seed);
    }
    Ok(())
}

/// Writes the problems as files of `dfp plan`, so that others plan, draw or execute the same ones.
fn write(
    args: &Args,
    folder: &Path,
    meshes: &[(String, Arc<TriangleMesh>)],
    cases: &[Case],
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, mesh) in meshes {
        std::fs::write(folder.join(format!("{name}.obj")), mesh.to_obj())?;
    }
    let absolute = |path: &Path| std::path::absolute(path);
    let robot = json!({"urdf": absolute(&args.urdf)?, "settings": absolute(&args.settings)?});
    for (index, case) in cases.iter().enumerate() {
        let name = &meshes[case.mug].0;
        let obstacles: Vec<Value> = case
            .scene
            .objects
            .iter()
            .map(problem_file::box_obstacle)
            .collect();
        let problem = json!({
            "robot": robot,
            "start": START_RAD,
            "objects": [{"name": name, "mesh": format!("{name}.obj"), "pose": problem_file::pose(&case.world_from_object)}],
            "obstacles": obstacles,
            "task": {"grasp": name},
            "settings": {"seed": args.seed + index as u64, "time_limit_s": 10.0},
        });
        let file = folder.join(format!("pick_{index:02}.yaml"));
        std::fs::write(file, serde_yaml::to_string(&problem)?)?;
    }
    eprintln!("{} problems in {}", cases.len(), folder.display());
    Ok(())
}

/// Upright, anywhere on the part of the table that the arm reaches, turned at random.
fn random_mug_pose(mug: &TriangleMesh, rng: &mut impl Rng) -> Pose {
    let lowest = mug.vertices.iter().fold(f64::INFINITY, |m, v| m.min(v[2]));
    let position = Translation3::new(
        rng.random_range(0.40..0.62),
        rng.random_range(-0.30..0.30),
        TABLE_TOP_M - lowest + 0.001,
    );
    Pose::from_parts(
        position,
        UnitQuaternion::from_euler_angles(0.0, 0.0, rng.random_range(-PI..PI)),
    )
}

/// The table, one box between the robot and the mug, one beside it.
fn scene(world_from_mug: &Pose, rng: &mut impl Rng) -> Scene {
    let mug = world_from_mug.translation.vector;
    let table = SceneObject::new(
        "table",
        Shape::Box {
            half_extents_m: TABLE_SIZE_M.map(|s| 0.5 * s),
        },
        Pose::translation(TABLE_CENTER_X_M, 0.0, TABLE_TOP_M - 0.5 * TABLE_SIZE_M[2]),
    );
    let towards_robot = (-mug.y).atan2(-mug.x);
    let in_front = towards_robot + rng.random_range(-0.5..0.5);
    let side = if rng.random::<bool>() { 1.0 } else { -1.0 };
    let beside = towards_robot + side * rng.random_range(1.2..1.9);
    let mut objects = vec![table];
    for (name, angle) in [("box_in_front", in_front), ("box_beside", beside)] {
        let half = [
            rng.random_range(0.025..0.05),
            rng.random_range(0.025..0.05),
            rng.random_range(0.05..0.12),
        ];
        let distance = rng.random_range(0.15..0.20);
        let position = Translation3::new(
            mug.x + distance * f64::cos(angle),
            mug.y + distance * f64::sin(angle),
            TABLE_TOP_M + half[2],
        );
        let rotation = UnitQuaternion::from_euler_angles(0.0, 0.0, rng.random_range(-PI..PI));
        let pose = Pose::from_parts(position, rotation);
        objects.push(SceneObject::new(
            name,
            Shape::Box {
                half_extents_m: half,
            },
            pose,
        ));
    }
    Scene { objects }
}
