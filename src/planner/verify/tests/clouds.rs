//! Point clouds: the check measures to the points, whatever the kernels' grid says.

use super::*;
use crate::scene::{CloudObstacle, CloudSettings};
use nalgebra::Point3;

fn wall(distance_m: f64, rng: &mut Pcg64) -> Vec<[f64; 3]> {
    (0..3000)
        .map(|_| {
            [
                distance_m,
                rng.random_range(-0.3..0.3),
                rng.random_range(0.2..0.8),
            ]
        })
        .collect()
}

fn obstacle(points: &[[f64; 3]], margin_m: f64) -> SceneObject {
    let cloud = CloudObstacle::new(points, &CloudSettings::default(), &[]).unwrap();
    SceneObject {
        margin_m,
        ..SceneObject::new("cloud", Shape::Cloud(Arc::new(cloud)), Pose::identity())
    }
}

#[test]
fn a_cloud_is_kept_away_from_by_its_points() {
    let robot = panda();
    let mut rng = Pcg64::seed_from_u64(9);
    let mut to = PANDA_READY;
    to[0] = 0.3;
    let motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let settings = VerifySettings::default();
    let mut verifier = Verifier::new(&robot).unwrap();
    // The hand reaches to x = 0.34 or so.
    let points = wall(0.63, &mut rng);
    let clear = verifier
        .verify(&scene(vec![obstacle(&points, 0.0)]), &motion, &settings)
        .unwrap();
    // Each point as a ball of its own: what the cloud must not be nearer than by more than a voxel's ball.
    let balls = points.iter().enumerate().map(|(i, p)| {
        let shape = Shape::Sphere { radius_m: 1e-4 };
        SceneObject::new(format!("point{i}"), shape, at(p[0], p[1], p[2]))
    });
    let exact = verifier
        .verify(&scene(balls.collect()), &motion, &settings)
        .unwrap();
    let (found, exact) = (clear.min_clearance_m, exact.min_clearance_m);
    assert!(found <= exact + tolerance_m(exact), "{found} {exact}");
    assert!(
        found > exact - 0.009 - tolerance_m(exact),
        "{found} {exact}"
    );

    let with_margin = obstacle(&points, 0.01);
    let nearer = verifier
        .verify(&scene(vec![with_margin]), &motion, &settings)
        .unwrap();
    let step = clear.min_clearance_m - nearer.min_clearance_m;
    assert!((step - 0.01).abs() <= tolerance_m(found), "{step}");

    let error = verifier
        .verify(
            &scene(vec![obstacle(&wall(0.32, &mut rng), 0.0)]),
            &motion,
            &settings,
        )
        .unwrap_err();
    assert!(
        matches!(&error, Violation::Clearance { object, .. } if object == "cloud"),
        "{error}"
    );
}

/// The kernels' distance must not exceed the verifier's, or plans would be refused at the end: on the average of places it
/// is below by more than the balls' size.
#[test]
fn the_grid_is_more_careful_than_the_balls() {
    use crate::scene::SignedDistance;
    let mut rng = Pcg64::seed_from_u64(10);
    let points = wall(0.5, &mut rng);
    let cloud = CloudObstacle::new(&points, &CloudSettings::default(), &[]).unwrap();
    let to_balls = |p: &Point3<f64>| {
        let distance =
            |b: &crate::scene::CloudBall| (Point3::from(b.center_m) - p).norm() - b.radius_m;
        cloud
            .balls
            .iter()
            .map(distance)
            .fold(f64::INFINITY, f64::min)
    };
    let (mut careless, mut sum) = (0.0f64, 0.0);
    for _ in 0..500 {
        let p = Point3::new(
            rng.random_range(0.42..0.58),
            rng.random_range(-0.3..0.3),
            rng.random_range(0.2..0.8),
        );
        let more = cloud.grid.distance(&p) - to_balls(&p);
        careless = careless.max(more);
        sum += more / 500.0;
    }
    assert!(careless < 0.005 && sum < -0.002, "{careless} {sum}");
}
