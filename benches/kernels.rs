//! Kernels of the step loop: time per call for sixteen configurations (divide by 16 for one).
//!
//! With `MBM_DIR` set to a folder with MotionBenchMaker problems and a spherized robot (`panda_spherized.urdf`,
//! `panda_problems_odd.txt`), those scenes are measured too.

use std::path::Path;

use criterion::{criterion_group, criterion_main, Criterion};
use diffusion_field_planner::cost::{
    scene_collision::SceneCollision, self_collision::SelfCollision,
};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::lanes::{splat, Lanes, LANES, ZERO};
use diffusion_field_planner::robot::{
    BodyWrenches, IkSettings, InverseKinematics, LaneFrame, RobotModel, RobotSettings,
};
use diffusion_field_planner::scene::{LaneScene, Scene, SceneObject, Shape};
use nalgebra::{Quaternion, Translation3, UnitQuaternion};
use rand::SeedableRng;

/// Activation distance and how far spheres may move between two refreshes, m.
const ACTIVATION_M: f32 = 0.03;
const SLACK_M: f32 = 0.03;

/// A scene with batches of sixteen neighbouring configurations of straight joint motions.
struct Setting {
    name: String,
    problems: Vec<(Scene, Vec<Vec<Lanes>>)>,
}

fn straight(start: &[f64], goal: &[f64], batches: usize) -> Vec<Vec<Lanes>> {
    let last = (batches * LANES - 1) as f64;
    (0..batches)
        .map(|batch| {
            let at = |j: usize, lane: usize| {
                let t = (batch * LANES + lane) as f64 / last;
                (start[j] + t * (goal[j] - start[j])) as f32
            };
            (0..start.len())
                .map(|j| Lanes::from(std::array::from_fn::<f32, LANES, _>(|l| at(j, l))))
                .collect()
        })
        .collect()
}

/// A mug-sized can on a table behind two boxes.
fn table_setting() -> Setting {
    let shape = |x: f64, y: f64, z: f64| Shape::Box {
        half_extents_m: [x, y, z],
    };
    let scene = Scene {
        objects: vec![
            SceneObject::new(
                "table",
                shape(0.4, 0.6, 0.02),
                Pose::translation(0.6, 0.0, 0.18),
            ),
            SceneObject::new(
                "left",
                shape(0.05, 0.05, 0.15),
                Pose::translation(0.5, 0.2, 0.35),
            ),
            SceneObject::new(
                "right",
                shape(0.05, 0.05, 0.15),
                Pose::translation(0.5, -0.2, 0.35),
            ),
            SceneObject::new(
                "can",
                Shape::Cylinder {
                    radius_m: 0.04,
                    length_m: 0.1,
                },
                Pose::translation(0.6, 0.0, 0.25),
            ),
        ],
    };
    let motion = straight(
        &[0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785],
        &[0.2, 0.6, -0.2, -1.9, 0.1, 2.4, 0.8],
        4,
    );
    Setting {
        name: "table_4".into(),
        problems: vec![(scene, motion)],
    }
}

/// Problems of the MotionBenchMaker file, by scene.
fn benchmark_settings(folder: &Path) -> Vec<Setting> {
    let text =
        std::fs::read_to_string(folder.join("panda_problems_odd.txt")).expect("the problems file");
    let mut settings: Vec<Setting> = Vec::new();
    for line in text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| words[i].parse::<f64>().expect("a number");
        if words[0] == "P" {
            let joints = |first: usize| (first..first + 7).map(number).collect::<Vec<_>>();
            let motion = straight(&joints(3), &joints(10), 4);
            if settings.last().is_none_or(|s| s.name != words[1]) {
                settings.push(Setting {
                    name: words[1].into(),
                    problems: Vec::new(),
                });
            }
            settings
                .last_mut()
                .unwrap()
                .problems
                .push((Scene::default(), motion));
            continue;
        }
        let rotation = UnitQuaternion::new_normalize(Quaternion::new(
            number(7),
            number(4),
            number(5),
            number(6),
        ));
        let pose = Pose::from_parts(Translation3::new(number(1), number(2), number(3)), rotation);
        let shape = match words[0] {
            "box" => Shape::Box {
                half_extents_m: [8, 9, 10].map(|i| 0.5 * number(i)),
            },
            _ => Shape::Capsule {
                radius_m: number(9),
                length_m: number(8),
            },
        };
        let scene = &mut settings.last_mut().unwrap().problems.last_mut().unwrap().0;
        scene
            .objects
            .push(SceneObject::new(*words.last().unwrap(), shape, pose));
    }
    settings
}

fn measure_motion(c: &mut Criterion, label: &str, robot: &RobotModel) {
    let kinematics = &robot.kinematics;
    let q: Vec<Lanes> = (0..kinematics.dof())
        .map(|j| splat(0.1 * j as f32 - 0.3))
        .collect();
    let mut state = kinematics.new_state();
    let mut wrenches = BodyWrenches::new(kinematics.body_count());
    let mut gradient = vec![ZERO; kinematics.dof()];
    c.bench_function(&format!("{label}/forward"), |b| {
        b.iter(|| kinematics.forward(std::hint::black_box(&q), &mut state))
    });
    c.bench_function(&format!("{label}/forward_and_pull_back"), |b| {
        b.iter(|| {
            kinematics.forward(std::hint::black_box(&q), &mut state);
            wrenches.reset();
            kinematics.pull_back(&state, &mut wrenches, &mut gradient);
        })
    });
    let mut solver = InverseKinematics::new(robot, IkSettings::default());
    let mut seeds = q.clone();
    robot
        .limits
        .draw_lanes(&mut rand_pcg::Pcg64Mcg::seed_from_u64(1), &mut seeds);
    let target = LaneFrame::from_poses(&[Pose::translation(0.5, 0.1, 0.4)]).unwrap();
    c.bench_function(&format!("{label}/inverse_kinematics_40_iterations"), |b| {
        b.iter(|| solver.solve(&target, None, &mut seeds.clone()))
    });
}

/// Time per pass over all problems and batches; `ns per configuration` is printed by the caller's label.
fn measure_setting(c: &mut Criterion, label: &str, robot: &RobotModel, setting: &Setting) {
    let kinematics = &robot.kinematics;
    let mut state = kinematics.new_state();
    let mut wrenches = BodyWrenches::new(kinematics.body_count());
    let mut gradient = vec![ZERO; kinematics.dof()];
    let selves = SelfCollision::new(&robot.collision);
    let mut self_active = selves.new_active_set();
    let prepared: Vec<_> = setting
        .problems
        .iter()
        .take(10)
        .flat_map(|(scene, motion)| {
            let cost = SceneCollision::new(&robot.collision, LaneScene::from_scene(scene));
            motion
                .iter()
                .map(move |q| (cost.clone(), cost.new_active_set(), q.clone()))
        })
        .collect();
    let mut prepared: Vec<_> = prepared
        .into_iter()
        .map(|(cost, active, q)| (cost, active, self_active.clone(), q))
        .collect();
    let count = prepared.len() * LANES;
    let mut group = c.benchmark_group(format!("{label}/{}", setting.name));
    group.throughput(criterion::Throughput::Elements(count as u64));
    for refreshed in [true, false] {
        let name = if refreshed {
            "gradient_all_tests"
        } else {
            "gradient_cached_list"
        };
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut sum = ZERO;
                for (cost, active, self_active, q) in &mut prepared {
                    kinematics.forward(q, &mut state);
                    if refreshed {
                        cost.refresh(&state, ACTIVATION_M + SLACK_M, active);
                        selves.refresh(&state, 0.01 + SLACK_M, self_active);
                    }
                    wrenches.reset();
                    let (mut value, mut nearest) = (ZERO, splat(1.0));
                    let activation = splat(ACTIVATION_M);
                    cost.evaluate(
                        &state,
                        active,
                        activation,
                        &mut wrenches,
                        &mut value,
                        &mut nearest,
                    );
                    selves.evaluate(
                        &state,
                        self_active,
                        splat(0.01),
                        &mut wrenches,
                        &mut value,
                        &mut nearest,
                    );
                    gradient.fill(ZERO);
                    kinematics.pull_back(&state, &mut wrenches, &mut gradient);
                    sum += value + gradient[0];
                }
                sum
            })
        });
    }
    self_active.clear();
    group.bench_function("boolean", |b| {
        b.iter(|| {
            let mut lanes = 0;
            for (cost, _, _, q) in &prepared {
                kinematics.forward(q, &mut state);
                lanes += (cost.in_collision(&state, ZERO) | selves.in_collision(&state, ZERO))
                    .count_ones();
            }
            lanes
        })
    });
    group.finish();
}

fn kernels(c: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let panda = RobotModel::load(
        &root.join("urdf/panda.urdf"),
        &root.join("config/panda.yaml"),
    )
    .expect("the Panda");
    println!(
        "panda: {} spheres in {} groups",
        panda.collision.scene.spheres.len(),
        panda.collision.scene.groups.len()
    );
    measure_motion(c, "panda", &panda);
    measure_setting(c, "panda", &panda, &table_setting());
    if let Some(folder) = std::env::var_os("MBM_DIR") {
        let folder = Path::new(&folder);
        let urdf = std::fs::read_to_string(folder.join("panda_spherized.urdf"))
            .expect("the spherized Panda");
        let mut settings = RobotSettings::new("panda_link0", "panda_grasptarget");
        settings.spheres.max_per_group = 4;
        let robot = RobotModel::from_urdf(&urdf, &settings).expect("the spherized Panda");
        let model = &robot.collision;
        println!(
            "spherized: {} spheres in {} groups, {} pairs",
            model.scene.spheres.len(),
            model.scene.groups.len(),
            model.self_pairs.len()
        );
        for setting in benchmark_settings(folder) {
            measure_setting(c, "spherized", &robot, &setting);
        }
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
