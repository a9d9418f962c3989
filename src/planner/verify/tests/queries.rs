//! The queries below the check: "further apart than" against parry's distances, and the bounds on motion.

use parry3d_f64::math::{Rot3, Vec3};

use super::*;
use crate::planner::verify::apart::solids_apart;
use crate::planner::verify::excursion::Excursion;
use crate::planner::verify::measure::distance_below;
use crate::planner::verify::timeline::{Timeline, WHOLE};

/// One solid of each kind, the last being a plane.
fn solids() -> Vec<Solid> {
    let tube = |length_m| Shape::Cylinder {
        radius_m: 0.04,
        length_m,
    };
    let mesh = Arc::new(MeshDistance::new(&TriangleMesh::cuboid([0.05, 0.08, 0.03])).unwrap());
    let shapes = vec![
        vec![(tube(0.15), at(0.0, 0.0, 0.0))],
        vec![(Shape::Sphere { radius_m: 0.06 }, at(0.1, 0.0, 0.0))],
        vec![
            (
                Shape::Capsule {
                    radius_m: 0.03,
                    length_m: 0.2,
                },
                at(0.0, 0.05, 0.0),
            ),
            (
                Shape::Box {
                    half_extents_m: [0.1, 0.02, 0.05],
                },
                at(0.0, -0.1, 0.0),
            ),
        ],
        vec![(Shape::Mesh(mesh), at(0.02, 0.0, 0.1))],
        vec![(Shape::Plane, at(0.0, 0.0, -0.1))],
    ];
    let mut cache = SolidCache::default();
    shapes
        .into_iter()
        .enumerate()
        .map(|(i, shapes)| {
            let mut solid = Solid::in_world(&format!("solid{i}"), &Pose::identity(), 0.0);
            for (shape, pose) in shapes {
                solid.add(&shape, &pose, &mut cache).unwrap();
            }
            solid
        })
        .collect()
}

fn random_pose(rng: &mut Pcg64, spread_m: f64) -> Pose3 {
    let mut vector = |size: f64| Vec3::from_array([0; 3].map(|_| rng.random_range(-size..size)));
    let turn = vector(2.0);
    Pose3::from_parts(vector(spread_m), Rot3::from_scaled_axis(turn))
}

fn distance_at(fixed: &Solid, moving: &Solid, pose: &Pose3) -> f64 {
    let mut on_link = moving.clone();
    on_link.link = Some(0);
    exact_distance(fixed, &on_link, std::slice::from_ref(pose))
}

#[test]
fn further_apart_than_is_what_the_distances_say() {
    let solids = solids();
    let mut rng = Pcg64::seed_from_u64(3);
    let mut answers = [0, 0];
    for fixed in &solids {
        for moving in &solids[..solids.len() - 1] {
            let mut hints = vec![Vec3::ZERO; fixed.parts.len() * moving.parts.len()];
            for case in 0..60 {
                let pose = random_pose(&mut rng, 0.3);
                let exact = distance_at(fixed, moving, &pose);
                let gap = rng.random_range(0.0..0.25);
                let apart = solids_apart(fixed, moving, [pose; 2], gap, &mut hints);
                answers[usize::from(apart)] += 1;
                if (exact - gap).abs() > 1e-6 {
                    let names = (&fixed.name, &moving.name);
                    assert_eq!(apart, exact > gap, "{names:?} {case}: {exact} {gap}");
                }
                // the hints of one place must do no harm at the next, and the distance itself is the same
                let limit = gap + 1e-6;
                let found =
                    distance_below(fixed, moving, &pose, limit, &mut hints, &mut 0).unwrap();
                match found {
                    Some(found) if exact > 0.0 => assert!((found - exact).abs() < 1e-6),
                    Some(found) => assert!(found <= 0.0, "{found} {exact}"),
                    None => assert!(exact > gap - 1e-6, "{exact} {gap}"),
                }
            }
        }
    }
    assert!(answers.iter().all(|&n| n > 200), "{answers:?}");
}

/// A body that is pushed without turning fills exactly the hull of its two ends.
#[test]
fn a_pushed_body_is_apart_if_it_is_so_all_the_way() {
    let solids = solids();
    let mut rng = Pcg64::seed_from_u64(4);
    let mut answers = [0, 0];
    for fixed in &solids {
        for moving in &solids[..solids.len() - 1] {
            let mut hints = vec![Vec3::ZERO; fixed.parts.len() * moving.parts.len()];
            for case in 0..30 {
                let from = random_pose(&mut rng, 0.4);
                let mut to = from;
                to.translation = random_pose(&mut rng, 0.4).translation;
                let way = (to.translation - from.translation).length();
                const STEPS: usize = 60;
                let exact = (0..=STEPS)
                    .map(|i| {
                        let mut pose = from;
                        let share = i as f64 / STEPS as f64;
                        pose.translation += (to.translation - from.translation) * share;
                        distance_at(fixed, moving, &pose)
                    })
                    .fold(f64::INFINITY, f64::min);
                let gap = rng.random_range(0.0..0.1);
                let apart = solids_apart(fixed, moving, [from, to], gap, &mut hints);
                answers[usize::from(apart)] += 1;
                let names = (&fixed.name, &moving.name);
                if exact < gap - 1e-6 {
                    assert!(!apart, "{names:?} {case}: {exact} {gap}");
                }
                if exact > gap + 0.5 * way / STEPS as f64 + 1e-6 {
                    assert!(apart, "{names:?} {case}: {exact} {gap}");
                }
            }
        }
    }
    assert!(answers.iter().all(|&n| n > 100), "{answers:?}");
}

/// Distance of a point from the straight line between two others.
fn off_chord(p: Vec3, a: Vec3, b: Vec3) -> f64 {
    let along =
        (b - a) * ((p - a).dot(b - a) / (b - a).length_squared().max(1e-30)).clamp(0.0, 1.0);
    (p - a - along).length()
}

/// Points of every moving link, seen from the world and from other links, on a curved motion: never further from
/// the chord than the bound says, nor their way longer. The bounds must also be of use.
#[test]
fn no_point_leaves_the_hull_by_more_than_its_bound() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut rng = Pcg64::seed_from_u64(8);
    let mut tightest = 0.0f64;
    for _ in 0..12 {
        let random = |rng: &mut Pcg64| [0; 7].map(|_| rng.random_range(-1.2..1.2f64));
        let (from, to, sway) = (random(&mut rng), random(&mut rng), random(&mut rng));
        let motion = Planted {
            names: robot.limits.names.clone(),
            duration_s: 2.0,
            position: move |t: f64, q: &mut [f64]| {
                let s = smooth(t / 2.0);
                for (j, q) in q.iter_mut().enumerate() {
                    let bend = 0.3 * sway[j] * (PI * s).sin().powi(2);
                    *q = PANDA_READY[j] + from[j] + (to[j] - from[j]) * s + bend;
                }
            },
        };
        let settings = VerifySettings::default();
        let Verifier {
            samples,
            chains: [[chain, _], _],
            limits,
            links,
            ..
        } = &mut verifier;
        samples.take(&motion, limits, &settings).unwrap();
        let mut timeline = Timeline::default();
        timeline.begin(chain, samples);
        let mut interval = WHOLE;
        for depth in 0..10 {
            let ends = timeline.interval(interval);
            for (frame, solid) in [(0, 8), (0, 4), (2, 8), (5, 9), (9, 3)] {
                let (fixed, moving) = (&links[frame], &links[solid]);
                let hinges = chain.between(fixed.link.unwrap(), moving.link.unwrap());
                let poses = [ends.from, ends.to].map(|m| timeline.poses(m));
                let bound =
                    Excursion::new(&hinges, moving, poses, &timeline.joint_motion(interval));
                let place = |links: &[Pose3], point: Vec3| {
                    fixed
                        .world_from_frame(links)
                        .inverse_transform_point(moving.world_from_frame(links) * point)
                };
                let part = &moving.parts[0];
                let direction = random_pose(&mut rng, 1.0).translation.normalize();
                let point = part.center + direction * part.radius_m;
                let [a, b] = poses.map(|links| place(links, point));
                let mut links_now = vec![Pose3::identity(); chain.link_count()];
                let (mut off, mut way, mut last) = (0.0f64, 0.0, a);
                for i in 1..=40 {
                    let (t0, t1) = (timeline.time_s(ends.from), timeline.time_s(ends.to));
                    let mut q = [0.0; 7];
                    motion.position(t0 + (t1 - t0) * f64::from(i) / 40.0, &mut q);
                    chain.poses(&q, &mut links_now);
                    let now = place(&links_now, point);
                    off = off.max(off_chord(now, a, b));
                    way += (now - last).length();
                    last = now;
                }
                assert!(off <= bound.beyond_hull_m + 1e-9, "{off} {depth}");
                assert!(way <= bound.travel_m + 1e-9, "{way} {depth}");
                if off > 1e-5 {
                    tightest = tightest.max(off / bound.beyond_hull_m);
                }
            }
            let halves = timeline.halve(interval, chain, samples, &motion);
            interval = [halves.first, halves.second][rng.random_range(0..2)];
        }
    }
    assert!(tightest > 0.4, "{tightest}");
}
