//! Clouds made on the fly: a plate, a ball, noise.

use super::*;
use crate::scene::Shape;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Points on a ball of 8 cm and on a plate beside it.
fn points(count: usize, seed: u64) -> Vec<[f64; 3]> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut unit = || rng.random_range(-1.0..1.0);
    (0..count)
        .map(|i| match i % 2 {
            0 => {
                let v = Vector3::new(unit(), unit(), unit()).normalize() * 0.08;
                [v.x + 0.3, v.y, v.z + 0.2]
            }
            _ => [0.2 * unit(), 0.3 * unit(), 0.001 * unit()],
        })
        .collect()
}

fn to_nearest(points: &[[f64; 3]], p: &Point3<f64>) -> f64 {
    let distance = |q: &[f64; 3]| (Point3::from(*q) - p).norm();
    points.iter().map(distance).fold(f64::INFINITY, f64::min)
}

#[test]
fn distances_are_never_too_large_and_not_much_too_small() {
    let cloud_points = points(4000, 1);
    for voxel_m in [0.005, 0.01, 0.03] {
        let settings = CloudSettings {
            voxel_m,
            ..CloudSettings::default()
        };
        let cloud = CloudObstacle::new(&cloud_points, &settings, &[]).unwrap();
        assert_eq!(cloud.counts.kept, cloud_points.len());
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let mut loosest = 0.0f64;
        for i in 0..4000 {
            // Everywhere, and next to points, where the interpolation errs most.
            let at = match i % 2 {
                0 => [0.0; 3],
                _ => cloud_points[i],
            };
            let width = [0.5, 1.5 * voxel_m][i % 2];
            let p = Point3::from(at.map(|x| x + rng.random_range(-width..width)));
            let (found, exact) = (cloud.grid.distance(&p), to_nearest(&cloud_points, &p));
            assert!(found <= exact + 1e-6, "{found} above {exact}");
            if exact < 0.08 {
                loosest = loosest.max(exact - found);
            }
        }
        assert!(
            loosest < 2.3 * voxel_m,
            "{loosest} with voxels of {voxel_m}"
        );
    }
}

/// The number in [`SHIFT`]: how far the trilinear interpolation of the distance to one node exceeds it, in voxels.
#[test]
fn interpolation_exceeds_the_distance_to_a_node_by_no_more_than_the_shift_allows() {
    let node = Vector3::zeros();
    let mut worst = 0.0f64;
    const STEPS: usize = 20;
    for cell in 0..27 {
        let corner = Vector3::new(
            (cell / 9) as f64 - 1.0,
            (cell / 3 % 3) as f64 - 1.0,
            (cell % 3) as f64 - 1.0,
        );
        for i in 0..=STEPS.pow(3) {
            let f =
                [i / STEPS / STEPS, i / STEPS % STEPS, i % STEPS].map(|n| n as f64 / STEPS as f64);
            let interpolated: f64 = (0..8)
                .map(|c| {
                    let o = [c / 4, c / 2 % 2, c % 2];
                    let weight: f64 = (0..3)
                        .map(|k| if o[k] == 1 { f[k] } else { 1.0 - f[k] })
                        .product();
                    let place = corner + Vector3::from(o.map(|x| x as f64));
                    weight * (place - node).norm()
                })
                .sum();
            worst = worst.max(interpolated - (corner + Vector3::from(f) - node).norm());
        }
    }
    assert!(worst > 0.2 && worst + 0.8661 <= SHIFT, "{worst}");
}

#[test]
fn balls_hold_every_point() {
    let cloud_points = points(3000, 3);
    let cloud = CloudObstacle::new(&cloud_points, &CloudSettings::default(), &[]).unwrap();
    assert!(cloud.balls.len() < 2000, "{}", cloud.balls.len());
    for p in &cloud_points {
        let inside = |b: &CloudBall| {
            (Vector3::from(*p) - Vector3::from(b.center_m)).norm() <= b.radius_m + 1e-12
        };
        assert!(cloud.balls.iter().any(inside));
    }
    // and none is larger than its voxel
    let half_diagonal = 0.5 * 3f64.sqrt() * 0.01;
    assert!(cloud
        .balls
        .iter()
        .all(|b| b.radius_m <= half_diagonal + 1e-9));
}

#[test]
fn noise_is_dropped_and_far_points_do_not_coarsen_the_rest() {
    let mut cloud_points = points(4000, 4);
    let noise = [[9.0, -7.0, 30.0], [-4.0, 2.0, 2.0], [0.4, 0.4, 0.6]];
    cloud_points.extend(noise);
    cloud_points.push([f64::NAN, 0.0, 0.0]);
    let cloud = CloudObstacle::new(&cloud_points, &CloudSettings::default(), &[]).unwrap();
    assert_eq!(
        (
            cloud.counts.kept,
            cloud.counts.outliers,
            cloud.counts.dropped
        ),
        (4000, 3, 1)
    );
    assert_eq!(cloud.grid.spacing_m, 0.01);
    assert!(cloud.grid.distance(&Point3::from(noise[2])) > 0.08);
    let all = CloudSettings {
        least_neighbours: 0,
        reach_m: 5.0,
        ..CloudSettings::default()
    };
    let cloud = CloudObstacle::new(&cloud_points, &all, &[]).unwrap();
    assert_eq!((cloud.counts.kept, cloud.counts.dropped), (4002, 2));
    assert!(cloud.grid.distance(&Point3::from(noise[2])) < 0.0);
    assert!(cloud.grid.spacing_m > 0.01, "coarser, to cover the noise");
}

#[test]
fn points_of_a_known_body_are_carved_out() {
    let cloud_points = points(4000, 5);
    // The ball, known in its own frame, a centimetre off.
    let ball = Shape::Sphere { radius_m: 0.08 };
    let carved = |margin_m| Carved {
        solid: &ball,
        cloud_from_solid: Pose::translation(0.3, 0.01, 0.2),
        margin_m,
    };
    let settings = CloudSettings::default();
    let cloud = CloudObstacle::new(&cloud_points, &settings, &[carved(0.015)]).unwrap();
    assert_eq!((cloud.counts.kept, cloud.counts.carved), (2000, 2000));
    assert!(cloud.grid.distance(&Point3::new(0.3, 0.0, 0.28)) > 0.08);
    let partly = CloudObstacle::new(&cloud_points, &settings, &[carved(0.0)]).unwrap();
    assert!(partly.counts.carved > 500 && partly.counts.carved < 1500);
}

#[test]
fn what_lies_behind_a_seen_surface_is_solid() {
    let plate: Vec<[f64; 3]> = (0..900)
        .map(|i| [0.01 * (i / 30) as f64, 0.01 * (i % 30) as f64, 0.5])
        .collect();
    let settings = |sensor_m| CloudSettings {
        sensor_m,
        depth_m: 0.05,
        ..CloudSettings::default()
    };
    let behind = Point3::new(0.15, 0.15, 0.46);
    let blind = CloudObstacle::new(&plate, &settings(None), &[]).unwrap();
    assert!(blind.grid.distance(&behind) > 0.02);
    let seen = CloudObstacle::new(&plate, &settings(Some([0.15, 0.15, 1.5])), &[]).unwrap();
    assert!(seen.grid.distance(&behind) < 0.0);
    assert!(seen.grid.distance(&Point3::new(0.15, 0.15, 0.54)) > 0.02);
    assert_eq!(seen.balls, blind.balls);
}

#[test]
fn what_makes_no_obstacle_is_refused() {
    let good = points(1000, 6);
    let with = |change: fn(&mut CloudSettings), points: &[[f64; 3]]| {
        let mut settings = CloudSettings::default();
        change(&mut settings);
        CloudObstacle::new(points, &settings, &[])
            .unwrap_err()
            .to_string()
    };
    assert!(with(|s| s.voxel_m = 0.0, &good).contains("voxel size is 0 m"));
    assert!(with(|s| s.voxel_m = f64::NAN, &good).contains("NaN"));
    assert!(with(|s| s.depth_m = 2.0, &good).contains("depth is 2 m"));
    assert!(with(|_| (), &[]).contains("of 0 points none is left"));
    let noise = with(|_| (), &[[0.0; 3], [1.0; 3]]);
    assert!(
        noise.contains("of 2 points none is left: 0 not finite or beyond the reach, 2 without"),
        "{noise}"
    );
}

/// On request: `cargo test --release how_long_a_cloud_takes -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_a_cloud_takes() {
    let mut rng = Pcg64Mcg::seed_from_u64(8);
    for count in [20_000, 100_000, 500_000] {
        // A table with things on it, seen by a noisy camera, row by row.
        let cloud_points: Vec<[f64; 3]> = (0..count)
            .map(|i| {
                let u = i as f64 / count as f64;
                let (x, y) = (1.2 * u, 1.2 * rng.random_range(-0.5..0.5f64));
                let z = 0.15 * ((9.0 * x).sin() * (9.0 * y).sin()).max(0.0);
                [x, y, z + 0.002 * rng.random_range(-1.0..1.0)]
            })
            .collect();
        for voxel_m in [0.01, 0.005] {
            let settings = CloudSettings {
                voxel_m,
                ..CloudSettings::default()
            };
            let mut times_ms: Vec<f64> = (0..9)
                .map(|_| {
                    let begin = std::time::Instant::now();
                    std::hint::black_box(
                        CloudObstacle::new(&cloud_points, &settings, &[]).unwrap(),
                    );
                    1e3 * begin.elapsed().as_secs_f64()
                })
                .collect();
            times_ms.sort_by(f64::total_cmp);
            let cloud = CloudObstacle::new(&cloud_points, &settings, &[]).unwrap();
            eprintln!(
                "{count} points, voxels of {voxel_m} m: {:.1} ms (best {:.1}), grid {:?}, {} balls",
                times_ms[4],
                times_ms[0],
                cloud.grid.size,
                cloud.balls.len()
            );
        }
    }
}
