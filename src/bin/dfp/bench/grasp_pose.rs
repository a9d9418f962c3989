//! The paper's Table I (arXiv 2209.03855, appendix III-B): robot, table, a mug upright and flipped; no motion, only where it ends.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use diffusion_field_planner::cost::{GraspEnergy, PoseTarget};
use diffusion_field_planner::data::{Category, Judge, Outcome};
use diffusion_field_planner::field::{
    sample_poses, BakedField, EnergyField, GraspNetwork, SamplerSettings,
};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::optimizer::{
    Configuration, ConfigurationProblem, ConfigurationSettings,
};
use diffusion_field_planner::planner::verify::{Verifier, VerifySettings};
use diffusion_field_planner::planner::{grasp_configurations, keep_arm_clear, keeps_grasp};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};
use nalgebra::Isometry3;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde_json::json;

use super::arm_room::Still;
use super::items::Item;
use super::scenes::{mug_on_table, WayUp};
use super::statistics::hardware;

/// Good grasps as configurations of the arm, without a motion to them (the paper's Table I).
#[derive(clap::Args)]
pub struct Args {
    /// Poses of a mug, for each way up.
    #[arg(long, default_value_t = 100)]
    poses: usize,
    /// Samples of each pose.
    #[arg(long, default_value_t = 100)]
    samples: usize,
    /// Different mugs, none of them seen in training.
    #[arg(long, default_value_t = 10)]
    mugs: u64,
    /// Random starts of each sample, one row each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
    starts: Vec<usize>,
    #[arg(long, default_value = "urdf/panda.urdf")]
    urdf: PathBuf,
    #[arg(long, default_value = "config/panda.yaml")]
    settings: PathBuf,
    /// Weights of the grasp field.
    #[arg(long, default_value = crate::plan::DEFAULT_WEIGHTS)]
    weights: PathBuf,
    /// Weights of the success classifier.
    #[arg(long, default_value = "models/success_classifier.safetensors")]
    classifier: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object a line instead of the table.
    #[arg(long)]
    json: bool,
}

/// How samples are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Joint,
    SampleThenOptimise,
    Classifier,
}

impl Way {
    const ALL: [Self; 3] = [Self::Joint, Self::SampleThenOptimise, Self::Classifier];

    fn name(self) -> &'static str {
        match self {
            Way::Joint => "joint",
            Way::SampleThenOptimise => "sample, then optimise",
            Way::Classifier => "joint, classifier",
        }
    }
}

/// Width of the pull to a sampled grasp [rad]; 8 cm count as a radian, as in the field's noise.
const TARGET_SIGMA_RAD: f32 = 0.03;
/// Levels whose widths bound the steps down the classifier, the best of those tried (docs/BENCHMARKS.md) [rad].
const CLASSIFIER_SIGMA_RAD: [f32; 2] = [1.7, 0.066];

/// What became of the samples of all poses.
#[derive(Default)]
struct Tally {
    samples: usize,
    valid: usize,
    collides: usize,
    slips: usize,
    poses: usize,
    cheapest_valid: usize,
    /// Of the cheapest that the planner's own filter of grasps and the verifier let pass.
    cheapest_checked_valid: usize,
    time_s: f64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let robot = RobotModel::load(&args.urdf, &args.settings)?;
    let network = GraspNetwork::load(&args.weights)
        .with_context(|| format!("loading the grasp field from {}", args.weights.display()))?;
    let classifier = GraspNetwork::load_classifier(&args.classifier)
        .with_context(|| format!("loading the classifier from {}", args.classifier.display()))?;
    let mugs = (0..args.mugs)
        .map(|k| {
            let item = Item::new(Category::Mug, args.seed * args.mugs + k, &network)?;
            let of_classifier = Arc::new(classifier.bake(&item.model.distance));
            Ok(Mug {
                item,
                of_classifier,
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut bench = Bench {
        verifier: Verifier::new(&robot).map_err(|violation| anyhow::anyhow!("{violation}"))?,
        robot: &robot,
        samples: args.samples,
    };
    if !args.json {
        println!(
            "grasp-pose: {} poses of {} mugs, {} samples each, seed {}, {}",
            args.poses,
            args.mugs,
            args.samples,
            args.seed,
            hardware()
        );
        println!("mug      | way                   starts | all samples  cheapest  checked | collide  slip | ms a sample");
    }
    for way_up in [WayUp::Upright, WayUp::Flipped] {
        for way in Way::ALL {
            for &starts in &args.starts {
                let settings = ConfigurationSettings {
                    starts,
                    ..ConfigurationSettings::default()
                };
                let mut tally = Tally::default();
                for index in 0..args.poses {
                    let mug = &mugs[index % mugs.len()];
                    let seed = args.seed + 1000 * index as u64;
                    let (pose, scene) = mug_on_table(&mug.item, way_up, seed);
                    bench.one_pose(way, &settings, mug, &pose, scene, seed, &mut tally)?;
                }
                print(args, way_up, way, starts, &tally);
            }
        }
    }
    Ok(())
}

fn print(args: &Args, way_up: WayUp, way: Way, starts: usize, tally: &Tally) {
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    let (all, cheapest, checked) = (
        share(tally.valid, tally.samples),
        share(tally.cheapest_valid, tally.poses),
        share(tally.cheapest_checked_valid, tally.poses),
    );
    let ms = 1e3 * tally.time_s / tally.samples.max(1) as f64;
    if args.json {
        let row = json!({
            "name": "grasp_pose", "mug": way_up.name(), "way": way.name(), "starts": starts, "all": all, "cheapest": cheapest, "cheapest_checked": checked,
            "collide": share(tally.collides, tally.samples), "slip": share(tally.slips, tally.samples), "ms_a_sample": ms,
            "poses": args.poses, "samples": args.samples, "mugs": args.mugs, "seed": args.seed, "hardware": hardware(),
        });
        println!("{row}");
        return;
    }
    println!(
        "{:<8} | {:<21} {starts:>6} | {all:>11.3} {cheapest:>9.3} {checked:>8.3} | {:>7.3} {:>5.3} | {ms:>6.2}",
        way_up.name(),
        way.name(),
        share(tally.collides, tally.samples),
        share(tally.slips, tally.samples),
    );
}

/// A mug with both fields baked.
struct Mug {
    item: Item,
    of_classifier: Arc<BakedField>,
}

struct Bench<'a> {
    robot: &'a RobotModel,
    verifier: Verifier,
    samples: usize,
}

impl Bench<'_> {
    /// Makes the samples of one pose and judges them.
    #[allow(clippy::too_many_arguments)]
    fn one_pose(
        &mut self,
        way: Way,
        settings: &ConfigurationSettings,
        mug: &Mug,
        world_from_object: &Pose,
        mut scene: Scene,
        seed: u64,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        let samples = self.samples_of(way, settings, mug, world_from_object, &scene, seed)?;
        tally.time_s += start.elapsed().as_secs_f64();
        let exact = Shape::Mesh(mug.item.model.surface.clone());
        scene
            .objects
            .push(SceneObject::new("mug", exact, *world_from_object));
        tally.poses += 1;
        // What the planner would use: it knows the object's mesh, not the exact solid.
        let mut checked = None;
        for (rank, sample) in samples.iter().enumerate() {
            if self.is_kept(sample, mug, world_from_object) && self.is_free(sample, &scene) {
                checked = Some(rank);
                break;
            }
        }
        for (rank, sample) in samples.iter().enumerate() {
            let outcome = self.judged(sample, &mug.item, world_from_object, &scene);
            let valid = usize::from(outcome == Outcome::Holds);
            tally.samples += 1;
            tally.valid += valid;
            tally.collides += usize::from(outcome == Outcome::Collides);
            tally.slips += usize::from(outcome == Outcome::Slips);
            if rank == 0 {
                tally.cheapest_valid += valid;
            }
            if Some(rank) == checked {
                tally.cheapest_checked_valid += valid;
            }
        }
        Ok(())
    }

    /// The samples of one pose, the cheapest first.
    fn samples_of(
        &self,
        way: Way,
        settings: &ConfigurationSettings,
        mug: &Mug,
        world_from_object: &Pose,
        scene: &Scene,
        seed: u64,
    ) -> anyhow::Result<Vec<Configuration>> {
        let (robot, model) = (self.robot, &mug.item.model);
        if way == Way::Joint {
            let count = self.samples;
            return Ok(grasp_configurations(
                robot,
                scene,
                model,
                world_from_object,
                settings,
                count,
                seed,
            )?);
        }
        let collision = keep_arm_clear(robot, scene, model, world_from_object);
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        if way == Way::Classifier {
            let schedule = *mug.of_classifier.schedule();
            let field = Arc::new(Odds(mug.of_classifier.clone()));
            let [first, last] = CLASSIFIER_SIGMA_RAD;
            let energy = GraspEnergy::new(field, schedule, world_from_object).annealed(first, last);
            let problem = ConfigurationProblem::new(robot, collision).context("no gripper")?;
            return Ok(problem
                .draw_to(energy)
                .solve(settings, self.samples, &mut rng));
        }
        let gripper = robot.gripper.as_ref().context("no gripper")?;
        let numbers: Range<u64> = 0..self.samples as u64;
        let grasps = sample_poses(&model.field, &SamplerSettings::default(), numbers, seed);
        let mut found = Vec::with_capacity(grasps.len());
        for block in grasps.chunks(16) {
            let targets = block
                .iter()
                .map(|(pose, _)| (world_from_object * pose).cast());
            let target = PoseTarget::new(
                targets.collect(),
                gripper.geometry.finger_centre_m() as f32,
                model.field.schedule().length_m,
                TARGET_SIGMA_RAD,
            );
            let problem = ConfigurationProblem::new(robot, collision.clone())
                .context("no gripper")?
                .draw_to(target);
            let configurations = problem.solve_blocks(settings, 1, &mut rng);
            // The grasp's own energy counts too, or the cheapest would be any that can be reached.
            found.extend(
                configurations
                    .into_iter()
                    .zip(block)
                    .map(|(mut c, (_, energy))| {
                        c.cost += energy;
                        c
                    }),
            );
        }
        found.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        Ok(found)
    }

    /// Whether the planner would offer the grasp of a sample: by the object's mesh, as it has nothing else.
    fn is_kept(&self, sample: &Configuration, mug: &Mug, world_from_object: &Pose) -> bool {
        let pose = world_from_object.inverse() * self.world_from_gripper(sample);
        keeps_grasp(&mug.item.model, &pose)
    }

    fn world_from_gripper(&self, sample: &Configuration) -> Pose {
        let gripper = self.robot.gripper.as_ref();
        let tool_from_gripper = gripper.map_or_else(Pose::identity, |g| g.tool_from_gripper);
        self.robot.kinematics.tool_pose(&sample.q) * tool_from_gripper
    }

    /// Joint limits and collision by the independent verifier, the grasp by the judge on the exact solid.
    fn judged(
        &mut self,
        sample: &Configuration,
        mug: &Item,
        world_from_object: &Pose,
        scene: &Scene,
    ) -> Outcome {
        let object_from_gripper = world_from_object.inverse() * self.world_from_gripper(sample);
        let gripper = &mug.model.field.settings().gripper;
        match Judge::new(&mug.object.solid, gripper).outcome(&object_from_gripper) {
            Outcome::Holds if !self.is_free(sample, scene) => Outcome::Collides,
            outcome => outcome,
        }
    }

    /// Joint limits and collision by the independent verifier.
    fn is_free(&mut self, sample: &Configuration, scene: &Scene) -> bool {
        let still = Still {
            joint_names: self.robot.kinematics.joint_names(),
            q: &sample.q,
        };
        let settings = VerifySettings::default();
        self.verifier.verify(scene, &still, &settings).is_ok()
    }
}

/// A success classifier has no noise levels: minus the logarithm of its odds at every one of them.
struct Odds(Arc<BakedField>);

impl EnergyField for Odds {
    fn evaluate(
        &self,
        object_from_gripper: &[Isometry3<f32>],
        _t: f32,
        energy: &mut [f32],
        gradient: &mut [[f32; 6]],
    ) {
        self.0.evaluate(object_from_gripper, 0.0, energy, gradient);
        let sigma = self.0.schedule().sigma(0.0);
        energy.iter_mut().for_each(|e| *e *= sigma);
        gradient.iter_mut().flatten().for_each(|g| *g *= sigma);
    }
}
