//! The three tasks of the paper (arXiv 2209.03855, section IV) on random scenes, from the object's pose alone.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use diffusion_field_planner::data::{Judge, Outcome as Judged};
use diffusion_field_planner::field::GraspNetwork;
use diffusion_field_planner::geometry::difference;
use diffusion_field_planner::planner::{
    Goal, PhaseKind, Plan, PlanRequest, Planner, PlannerSettings,
};
use diffusion_field_planner::robot::RobotModel;
use serde_json::{json, Value};

use super::arm_room::{holds_with_room, ArmRoom};
use super::items::{Item, STANDING};
use super::problem_file;
use super::scenes::{draw, Task, TaskScene, START_RAD};
use super::statistics::{print_table, timed, to_json, Failure, Figures, Outcome};

/// Random scenes of the three tasks: pick with occlusions, pick and re-orient, pick and place in shelves.
#[derive(clap::Args)]
pub struct Args {
    /// Scenes of each task.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Only this task.
    #[arg(long, value_enum)]
    task: Option<Task>,
    /// Threads that move particles; 0: one for each core, four at most.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Objects of each of seven categories.
    #[arg(long, default_value_t = 3)]
    objects: u64,
    #[arg(long, default_value = "urdf/panda.urdf")]
    urdf: PathBuf,
    #[arg(long, default_value = "config/panda.yaml")]
    settings: PathBuf,
    /// Weights of the grasp field.
    #[arg(long, default_value = crate::plan::DEFAULT_WEIGHTS)]
    weights: PathBuf,
    /// Also without grasps from the shape, without the grasp energy in the optimisation, without sampling-based seeds, and with grasps
    /// of the data's generator that have room in the field's place: what the search can do where all there is would be offered.
    #[arg(long)]
    compare: bool,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object a line instead of tables.
    #[arg(long)]
    json: bool,
    /// Plans nothing: writes each problem to this folder as `TASK_NNN.yaml` for `dfp plan`, and the meshes.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// An object is at its place within this, by coordinate [m, rad].
const PUT_TOLERANCE: f64 = 2e-3;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let network = GraspNetwork::load(&args.weights)
        .with_context(|| format!("loading the grasp field from {}", args.weights.display()))?;
    let items = items(args.objects, args.seed, &network)?;
    let tasks: Vec<Task> = args.task.map_or(Task::ALL.to_vec(), |t| vec![t]);
    let robot = Arc::new(RobotModel::load(&args.urdf, &args.settings)?);
    let mut arm = ArmRoom::new(robot.clone())?;
    if let Some(folder) = &args.write {
        return write(args, folder, &items, &tasks, &mut arm);
    }
    for task in tasks {
        let scenes = (0..args.count)
            .map(|index| draw(task, &items, &mut arm, args.seed, index))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for (name, settings, offers) in rows(args.compare, args.threads) {
            let arm = (offers == Offers::Generator).then_some(&mut arm);
            let outcomes = plan_all(&robot, settings, &items, &scenes, arm, args.seed);
            let name = format!("{}{name}", task.name());
            if args.json {
                println!("{}", to_json(&name, &outcomes, args.seed));
            } else {
                print_table(&name, &outcomes, args.seed);
            }
        }
    }
    Ok(())
}

/// Objects of every standing category in turn.
pub fn items(of_each: u64, seed: u64, network: &GraspNetwork) -> anyhow::Result<Vec<Item>> {
    (0..of_each)
        .flat_map(|k| STANDING.map(|category| (category, k)))
        .map(|(category, k)| Item::new(category, seed * of_each + k, network))
        .collect()
}

/// Whose grasps are offered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Offers {
    Field,
    Generator,
}

fn rows(compare: bool, threads: usize) -> Vec<(&'static str, PlannerSettings, Offers)> {
    let default = PlannerSettings {
        threads,
        ..PlannerSettings::default()
    };
    let mut rows = vec![("", default.clone(), Offers::Field)];
    if compare {
        let fixed = PlannerSettings {
            joint_grasp: false,
            ..default.clone()
        };
        let pure = PlannerSettings {
            tree_seeds: 0,
            ..default.clone()
        };
        let field = PlannerSettings {
            shape_grasps: false,
            ..default.clone()
        };
        rows.extend([
            (", the field's grasps alone", field, Offers::Field),
            (", no joint grasp", fixed, Offers::Field),
            (", no trees", pure, Offers::Field),
            (", generator's grasps", default, Offers::Generator),
        ]);
    }
    rows
}

/// `arm`: finds the generator's grasps that are given instead of the field's.
fn plan_all(
    robot: &Arc<RobotModel>,
    settings: PlannerSettings,
    items: &[Item],
    scenes: &[TaskScene],
    mut arm: Option<&mut ArmRoom>,
    seed: u64,
) -> Vec<Outcome> {
    let pure = settings.tree_seeds == 0;
    let mut planner = Planner::new(robot.clone(), settings);
    scenes
        .iter()
        .enumerate()
        .map(|(index, scene)| {
            let mut request = request(scene, items);
            request.seed = seed + index as u64;
            if pure {
                request.num_particles = 32;
            }
            let item = &items[scene.item];
            if let Some(arm) = &mut arm {
                request.goal = Goal::Grasps {
                    object: Some(item.model.clone()),
                    world_from_object: scene.world_from_object,
                    object_from_gripper: holds_with_room(item, arm, scene).copied().collect(),
                };
            }
            let observe = &mut |_: &_| ControlFlow::Continue(());
            let (time_ms, result) = timed(|| planner.plan(&request, observe));
            Outcome {
                scene: item.object.category.name().into(),
                time_ms,
                result: result
                    .map_err(Failure::Planner)
                    .and_then(|plan| judged(robot, item, scene, &plan)),
            }
        })
        .collect()
}

/// The request of a scene.
pub fn request(scene: &TaskScene, items: &[Item]) -> PlanRequest {
    let goal = Goal::Grasp {
        object: items[scene.item].model.clone(),
        world_from_object: scene.world_from_object,
    };
    let mut request = PlanRequest::new(START_RAD.to_vec(), scene.scene.clone(), goal);
    request.place_world_from_object = scene.place_world_from_object;
    request.lift_distance_m = scene.lift_m;
    request.time_limit = Duration::from_secs(10);
    request
}

/// A plan counts if its grasp holds on the exact object too, and the object comes to where it was to be put.
pub fn judged(
    robot: &RobotModel,
    item: &Item,
    scene: &TaskScene,
    plan: &Plan,
) -> Result<Figures, Failure> {
    let (Some(gripper), Some(grasp)) = (&robot.gripper, &plan.grasp) else {
        return Err(Failure::Judge("no grasp"));
    };
    match Judge::new(&item.object.solid, &gripper.geometry).outcome(&grasp.object_from_gripper) {
        Judged::Holds => {}
        Judged::Collides => return Err(Failure::Judge("the open hand overlaps the exact object")),
        Judged::Slips => return Err(Failure::Judge("the fingers do not hold the exact object")),
    }
    if let Some(place) = &scene.place_world_from_object {
        let gripper_from_object = grasp.object_from_gripper.inverse();
        let put = plan.phases.iter().any(|phase| {
            if phase.kind != PhaseKind::Lower {
                return false;
            }
            let end = phase.trajectory.sample(phase.trajectory.duration_s());
            let world_from_gripper =
                robot.kinematics.tool_pose(&end.position) * gripper.tool_from_gripper;
            difference(place, &(world_from_gripper * gripper_from_object)).amax() < PUT_TOLERANCE
        });
        if !put {
            return Err(Failure::Judge("the object is not brought to its place"));
        }
    }
    Ok(Figures::of(plan, &robot.limits))
}

/// Writes the problems as files of `dfp plan`, so that others plan, draw or execute the same ones.
fn write(
    args: &Args,
    folder: &Path,
    items: &[Item],
    tasks: &[Task],
    arm: &mut ArmRoom,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for item in items {
        let file = folder.join(format!("{}.obj", item.name()));
        std::fs::write(file, item.mesh.to_obj())?;
    }
    let absolute = |path: &Path| std::path::absolute(path);
    let robot = json!({"urdf": absolute(&args.urdf)?, "settings": absolute(&args.settings)?});
    for &task in tasks {
        for index in 0..args.count {
            let scene = draw(task, items, arm, args.seed, index)?;
            let name = items[scene.item].name();
            let mut wanted = json!({"grasp": name});
            if let Some(place) = &scene.place_world_from_object {
                wanted["place"] = problem_file::pose(place);
            }
            let obstacles: Vec<Value> = scene
                .scene
                .objects
                .iter()
                .map(problem_file::box_obstacle)
                .collect();
            let problem = json!({
                "robot": robot,
                "start": START_RAD,
                "objects": [{"name": name, "mesh": format!("{name}.obj"),
                             "pose": problem_file::pose(&scene.world_from_object)}],
                "obstacles": obstacles,
                "task": wanted,
                "settings": {"seed": args.seed + index as u64, "time_limit_s": 10.0,
                             "lift_distance_m": scene.lift_m},
            });
            let file = folder.join(format!("{}.yaml", scene.name));
            std::fs::write(file, serde_yaml::to_string(&problem)?)?;
        }
    }
    let count = tasks.len() * args.count;
    eprintln!("{count} problems in {}", folder.display());
    Ok(())
}
