//! A carry whose nearest place turns out bad goes to another.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nalgebra::{UnitQuaternion, Vector3};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::error::GraspCounts;
use super::finish::Rejections;
use super::goals::FoundGoal;
use super::grasp_goals::GraspSearch;
use super::place::{FoundPlace, PlaceSite};
use super::request::{Goal, PlanRequest};
use super::result::{PlannedGrasp, StageTiming};
use super::session::Session;
use super::settings::PlannerSettings;
use super::solver::Solver;
use super::straight;
use super::transfer::Transfer;
use super::verify::{Verifier, Violation};
use super::world::World;
use crate::field::{GraspNetwork, ObjectModel};
use crate::geometry::Pose;
use crate::optimizer::Crew;
use crate::robot::RobotModel;
use crate::scene::{LaneGridCache, Scene, SceneObject, Shape, TriangleMesh};
use crate::trajectory::JointRow;

const READY: [f64; 7] = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];

/// A box on a table, held from above, to be put down on the other side.
fn request(object: Arc<ObjectModel>) -> PlanRequest {
    let table = Shape::Box {
        half_extents_m: [0.35, 0.7, 0.02],
    };
    let table = SceneObject::new("table", table, Pose::translation(0.6, 0.0, -0.02));
    let (low, high) = object.mesh.bounds();
    let standing = |y_m| Pose::translation(0.5, y_m, 0.001 - low[2]);
    // Down, the pads 3 cm below the top.
    let from_above = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI);
    let hand = Pose::translation(0.0, 0.0, high[2] - 0.03 + 0.112) * from_above;
    let goal = Goal::Grasps {
        object: Some(object),
        world_from_object: standing(0.2),
        object_from_gripper: vec![hand],
    };
    let scene = Scene {
        objects: vec![table],
    };
    PlanRequest {
        place_world_from_object: Some(standing(-0.2)),
        time_limit: Duration::from_secs(60),
        ..PlanRequest::new(READY.to_vec(), scene, goal)
    }
}

/// Between the lifted object and its place the hand dives at the table.
fn dive(lifted: JointRow, above: JointRow) -> FoundPlace {
    let between = JointRow::splat(0.5) * (lifted + above);
    let bent = |rad: f32| {
        let mut q = between.to_array();
        q[1] += rad;
        JointRow::new(q)
    };
    let lower = [0.0, 0.2, 0.4, 0.6].map(bent).to_vec();
    FoundPlace {
        retreat: vec![lower[3]],
        lower,
        time_s: 0.0,
    }
}

#[test]
fn a_place_whose_end_is_bad_is_left_for_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (urdf, robot) = (root.join("urdf/panda.urdf"), root.join("config/panda.yaml"));
    let robot = Arc::new(RobotModel::load(&urdf, &robot).unwrap());
    let network = GraspNetwork::shipped().unwrap();
    let tin = Arc::new(TriangleMesh::cuboid([0.025, 0.025, 0.075]));
    let object = Arc::new(ObjectModel::from_mesh("tin", tin, &network).unwrap());
    let (request, settings) = (request(object), PlannerSettings::default());

    let (mut grids, mut rng) = (LaneGridCache::default(), Pcg64Mcg::seed_from_u64(0));
    let mut world = World::prepare(&robot, &request, &settings, &mut grids).unwrap();
    let mut site = PlaceSite::prepare(&robot, &request, &settings, &mut grids).unwrap();
    let observe = &mut |_: &_| ControlFlow::Continue(());
    let mut session = Session::new(request.time_limit, observe);
    let search = GraspSearch {
        world: &mut world,
        request: &request,
        settings: &settings,
        site: &mut site,
        grids: &mut grids,
        number: 0,
        rng: &mut rng,
        session: &mut session,
        counts: GraspCounts::default(),
        reached: false,
    };
    let found = search.find().unwrap().remove(0);
    let offer = found.grasp.unwrap();
    let grasp = PlannedGrasp {
        object_from_gripper: offer.object_from_gripper,
        world_from_gripper: request.goal.world_from_object() * offer.object_from_gripper,
        energy: None,
        width_m: None,
    };
    let grasped = found.point.q;
    let corners = straight::up(&mut world, grasped, &request, None).unwrap();
    let lifted = *corners.last().unwrap();
    let good = found.places[0].clone();
    let bad = dive(lifted, good.above());

    let mut verifiers = [(); 2].map(|()| Verifier::new(&robot).unwrap());
    let mut solver = Solver {
        settings: &settings,
        crew: &mut Crew::new(&robot, 2),
        grids: &mut grids,
        verifiers: &mut verifiers,
        rng: &mut rng,
        session: &mut session,
        timing: StageTiming::default(),
        iterations: 0,
    };
    let mut placed_at = |places: Vec<FoundPlace>| {
        let transfer = Transfer {
            request: &request,
            goal: &FoundGoal {
                places,
                ..found.clone()
            },
            grasp: &grasp,
            grasped,
            lifted,
        };
        let mut rejections = Rejections::default();
        let site = site.as_mut().unwrap();
        let placed = transfer.plan(&mut solver, &world, site, &mut rejections);
        (placed, rejections)
    };

    let (placed, rejections) = placed_at(vec![bad.clone(), good]);
    let wanted = request.place_world_from_object.unwrap();
    let off = wanted.inverse() * placed.unwrap().world_from_object;
    assert!(off.translation.vector.norm() < 1e-4, "{off}");
    let hits_the_table = |rejections: &Rejections| {
        let violation = rejections.nearest.as_ref().map(|r| &r.violation);
        matches!(violation, Some(Violation::Clearance { object, .. }) if object == "table")
    };
    assert!(hits_the_table(&rejections), "the nearer place came first");

    let (placed, rejections) = placed_at(vec![bad.clone(), bad]);
    assert!(placed.is_none());
    assert!(hits_the_table(&rejections));
    let reason = rejections.no_carry.unwrap();
    assert!(reason.contains("no way to set 'tin' down"), "{reason}");
}
