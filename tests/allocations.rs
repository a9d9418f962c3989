//! The step loop allocates nothing: what is allocated between two reports of the optimiser is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::{Goal, PlanRequest, Planner, PlannerSettings, Stage};
use diffusion_field_planner::robot::RobotModel;
use diffusion_field_planner::scene::{Scene, SceneObject, Shape};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        System.dealloc(pointer, layout);
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The only test of this program: another one's allocations would count too.
#[test]
fn annealing_steps_allocate_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (urdf, settings) = (root.join("urdf/panda.urdf"), root.join("config/panda.yaml"));
    let robot = Arc::new(RobotModel::load(&urdf, &settings).unwrap());
    let pillar = Shape::Box {
        half_extents_m: [0.05, 0.05, 0.45],
    };
    let scene = Scene {
        objects: vec![SceneObject::new(
            "pillar",
            pillar,
            Pose::translation(0.4, 0.25, 0.4),
        )],
    };
    let start = vec![0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
    let goal = vec![1.2, 0.2, 0.0, -1.8, 0.0, 2.0, 0.785];
    let request = PlanRequest::new(start, scene, Goal::Joints(goal));
    let mut planner = Planner::new(robot, PlannerSettings::default());
    // The second run is the one that counts: the first fills what is kept.
    let mut counts: Vec<(f64, usize)> = Vec::with_capacity(10_000);
    for _ in 0..2 {
        counts.clear();
        planner
            .plan(&request, &mut |progress| {
                if progress.stage == Stage::Optimise {
                    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
                    counts.push((progress.best_cost, allocations));
                }
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    // An iteration that found a shorter motion keeps a copy of it; all others only step.
    let steps = counts.windows(2).filter(|w| w[0].0 == w[1].0);
    let allocated: Vec<usize> = steps.map(|w| w[1].1 - w[0].1).collect();
    assert!(allocated.len() > 10, "{} iterations", allocated.len());
    // Dropping the worse half of the particles makes a list of them.
    let halvings = allocated.len() / PlannerSettings::default().optimizer.halving_period + 1;
    let allocating = allocated.iter().filter(|&&n| n > 0).count();
    assert!(allocating <= halvings, "{allocated:?}");
    assert!(allocated.iter().all(|&n| n <= 2), "{allocated:?}");
}
