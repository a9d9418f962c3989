//! What stands around: point clouds, pairs that may touch, margins by object, many objects.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::verify::{verify, VerifySettings};
use diffusion_field_planner::planner::{
    Goal, Plan, PlanError, PlanRequest, Planner, PlannerSettings, ProblemFile,
};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{CloudObstacle, CloudSettings, Scene, SceneObject, Shape};
use rand::{RngExt, SeedableRng};

const READY: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
const BESIDE: [f64; 7] = [1.2, 0.2, 0.0, -1.8, 0.0, 2.0, 0.785];

/// Read once: fitting its spheres takes longer than most tests.
fn panda() -> Arc<RobotModel> {
    static ROBOT: std::sync::OnceLock<Arc<RobotModel>> = std::sync::OnceLock::new();
    let load = || {
        static ROBOT: OnceLock<Arc<RobotModel>> = OnceLock::new();
        let load = || {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let files = (root.join("urdf/panda.urdf"), root.join("config/panda.yaml"));
            Arc::new(RobotModel::load(&files.0, &files.1).unwrap())
        };
        ROBOT.get_or_init(load).clone()
    };
    ROBOT.get_or_init(load).clone()
}

fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(panda(), PlannerSettings::default());
    planner.plan(request, &mut |_| ControlFlow::Continue(()))
}

fn cuboid(name: &str, size: [f64; 3], at: [f64; 3]) -> SceneObject {
    let shape = Shape::Box {
        half_extents_m: size.map(|s| 0.5 * s),
    };
    SceneObject::new(name, shape, Pose::translation(at[0], at[1], at[2]))
}

fn request(objects: Vec<SceneObject>) -> PlanRequest {
    let goal = Goal::Joints(BESIDE.to_vec());
    PlanRequest {
        // Not what is tested here, and test machines are busy.
        time_limit: Duration::from_secs(120),
        ..PlanRequest::new(READY.to_vec(), Scene { objects }, goal)
    }
}

/// Points all over a box.
fn points_on(size: [f64; 3], at: [f64; 3], count: usize) -> Vec<[f64; 3]> {
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
    (0..count)
        .map(|i| {
            let mut p: [f64; 3] = std::array::from_fn(|k| size[k] * rng.random_range(-0.5..0.5));
            let side = if rng.random_bool(0.5) { 0.5 } else { -0.5 };
            p[i % 3] = side * size[i % 3];
            std::array::from_fn(|k| p[k] + at[k])
        })
        .collect()
}

const PILLAR: ([f64; 3], [f64; 3]) = ([0.1, 0.1, 0.9], [0.4, 0.25, 0.4]);

#[test]
fn a_cloud_is_gone_round_like_the_body_it_shows() {
    let cloud = CloudObstacle::new(
        &points_on(PILLAR.0, PILLAR.1, 20_000),
        &CloudSettings::default(),
        &[],
    )
    .unwrap();
    let seen = SceneObject::new("seen", Shape::Cloud(Arc::new(cloud)), Pose::identity());
    let plan = plan(&request(vec![seen])).unwrap();
    // Nobody told the planner of the true box.
    let truth = Scene {
        objects: vec![cuboid("pillar", PILLAR.0, PILLAR.1)],
    };
    let trajectory = &plan.phases[0].trajectory;
    let check = verify(&panda(), &truth, trajectory, &VerifySettings::default()).unwrap();
    assert!(check.min_clearance_m > 0.0, "{check:?}");
}

#[test]
fn a_cloud_is_read_from_a_problem_file_without_its_known_objects() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut points = points_on(PILLAR.0, PILLAR.1, 5000);
    // A known cube that the cloud shows too.
    points.extend(points_on([0.1; 3], [0.6, -0.3, 0.2], 2000));
    let text: String = points
        .iter()
        .map(|p| format!("{} {} {} 255\n", p[0], p[1], p[2]))
        .collect();
    std::fs::write(folder.path().join("seen.xyz"), text).unwrap();
    let corner = |i: usize| [4, 2, 1].map(|bit| if i & bit == 0 { -0.05 } else { 0.05 });
    let mut cube: String = (0..8)
        .map(corner)
        .map(|[x, y, z]| format!("v {x} {y} {z}\n"))
        .collect();
    for face in [
        "1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4",
    ] {
        cube += &format!("f {face}\n");
    }
    std::fs::write(folder.path().join("cube.obj"), cube).unwrap();
    let yaml = |cloud: &str| {
        format!(
            "robot: {{urdf: {0}/urdf/panda.urdf, settings: {0}/config/panda.yaml}}\n\
             start: [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]\n\
             objects: [{{name: cube, mesh: cube.obj, pose: {{position_m: [0.6, -0.3, 0.2]}}}}]\n\
             obstacles: [{{name: seen, pose: {{position_m: [0, 0, 0]}}, margin_m: 0.01, point_cloud: {cloud}}}]\n\
             task: {{joints: [1.2, 0.2, 0.0, -1.8, 0.0, 2.0, 0.785]}}\n",
            root.display()
        )
    };
    let read = |cloud: &str| {
        let file = ProblemFile::from_yaml(&yaml(cloud), Path::new("p.yaml"))?;
        file.request(&panda(), folder.path(), None)
    };
    let request = read("{file: seen.xyz, voxel_m: 0.012}").unwrap();
    let seen = request.scene.object("seen").unwrap();
    let Shape::Cloud(cloud) = &seen.shape else {
        panic!("a cloud")
    };
    assert_eq!(
        (cloud.counts.kept, cloud.counts.carved, seen.margin_m),
        (5000, 2000, 0.01)
    );
    assert_eq!(cloud.grid.spacing_m, 0.012);
    plan(&request).unwrap();
    for (cloud, words) in [
        ("{file: no.xyz}", ["no.xyz", ""]),
        ("{file: seen.xyz, voxel: 1}", ["voxel", "line 4"]),
        (
            "{file: seen.xyz, voxel_m: 3.0}",
            ["seen", "voxel size is 3 m"],
        ),
        ("{file: seen.xyz, reach_m: 0.01}", ["seen", "none is left"]),
    ] {
        let error = read(cloud).err().unwrap().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    }
}

#[test]
fn pairs_that_may_touch_are_named_and_others_still_may_not() {
    // A crate around the elbow.
    let elbow = panda()
        .kinematics
        .forward_kinematics(&READY, "panda_link4")
        .unwrap();
    let at = elbow.translation.vector;
    let crate_ = || cuboid("crate", [0.12; 3], at.into());
    let mut request = request(vec![crate_()]);
    request.goal = Goal::Joints({
        let mut near = READY;
        near[6] = 0.3;
        near.to_vec()
    });
    let error = plan(&request).unwrap_err();
    assert_eq!(error.code(), 914, "{error}");
    request.allowed_collisions = ["panda_link3", "panda_link4", "panda_link5"]
        .map(|link| (link.to_string(), "crate".to_string()))
        .to_vec();
    // Either order is understood.
    request.allowed_collisions[0] = ("crate".into(), "panda_link3".into());
    let plan_ = plan(&request).unwrap();
    let nearest = plan_.verification.nearest.unwrap();
    assert!(
        nearest.link != "panda_link4" || nearest.object != "crate",
        "{nearest:?}"
    );
    request.scene.objects.push({
        let hand = panda().kinematics.tool_pose(&READY).translation.vector;
        cuboid("block", [0.1; 3], hand.into())
    });
    let error = plan(&request).unwrap_err();
    assert!(
        error.code() == 914 && error.to_string().contains("block"),
        "{error}"
    );
    request.scene.objects.pop();
    request
        .allowed_collisions
        .push(("elbow".into(), "crate".into()));
    let error = plan(&request).unwrap_err();
    assert_eq!(error.code(), 901);
    for word in ["'elbow'", "panda_link4", "crate"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn margins_by_object_are_kept_by_the_whole_motion() {
    let pillar = |margin_m| SceneObject {
        margin_m,
        ..cuboid("pillar", PILLAR.0, PILLAR.1)
    };
    let plan = plan(&request(vec![pillar(0.04)])).unwrap();
    let bare = Scene {
        objects: vec![pillar(0.0)],
    };
    let trajectory = &plan.phases[0].trajectory;
    let check = verify(&panda(), &bare, trajectory, &VerifySettings::default()).unwrap();
    assert!(check.min_clearance_m >= 0.04, "{check:?}");
    assert!(check.min_clearance_m - plan.verification.min_clearance_m >= 0.03);
}

/// Boxes all around, within and beyond reach.
fn crowd(count: usize) -> Vec<SceneObject> {
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(6);
    (0..count)
        .map(|i| {
            let angle = rng.random_range(-3.1..3.1f64);
            let radius = rng.random_range(0.85..1.5);
            let at = [
                radius * angle.cos(),
                radius * angle.sin(),
                rng.random_range(-0.2..1.2),
            ];
            cuboid(&format!("box{i}"), [0.08; 3], at)
        })
        .collect()
}

#[test]
fn two_hundred_boxes_are_planned_among() {
    let mut objects = crowd(200);
    objects.push(cuboid("pillar", PILLAR.0, PILLAR.1));
    let plan = plan(&request(objects)).unwrap();
    assert!(plan.verification.min_clearance_m > 0.0);
}

/// On request: `cargo test --release --test world how_long -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_requests_take_among_many_objects() {
    use diffusion_field_planner::scene::{MeshDistance, TriangleMesh};
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mug = TriangleMesh::load(root.join("meshes/mug.obj"), 1.0).unwrap();
    let meshes: Vec<SceneObject> = (0..5)
        .map(|i| {
            let mesh = Arc::new(MeshDistance::new(&mug).unwrap());
            let at = Pose::translation(0.3, -0.6 + 0.12 * f64::from(i), 0.0);
            SceneObject::new(format!("mug{i}"), Shape::Mesh(mesh), at)
        })
        .collect();
    for boxes in [0, 45, 200] {
        let mut planner = Planner::new(panda(), PlannerSettings::default());
        let mut objects = crowd(boxes);
        objects.extend(meshes.iter().cloned());
        let mut request = request(objects);
        for round in 0..6 {
            let plan = planner
                .plan(&request, &mut |_| ControlFlow::Continue(()))
                .unwrap();
            let t = plan.timing;
            eprintln!(
                "{boxes} boxes and 5 meshes, request {round}: prepare {:.2} ms, verify {:.2} ms, total {:.1} ms",
                t.prepare_ms, t.verify_ms, t.total_ms
            );
            // Something moved, something went, something came.
            for object in &mut request.scene.objects {
                object.world_from_object.translation.z += 0.003;
            }
            request.scene.objects.swap_remove(0);
            request
                .scene
                .objects
                .push(cuboid(&format!("new{round}"), [0.05; 3], [-0.7, 0.3, 0.1]));
        }
    }
}
