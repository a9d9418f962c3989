use super::*;
use crate::robot::toy_robots::shipped;

fn small(scene: &PictureScene) -> Camera {
    Camera {
        width: 60,
        height: 40,
        ..Camera::around(scene, 0.6, 0.4)
    }
}

#[test]
fn the_middle_shows_what_stands_there_in_its_colour() {
    let mut scene = PictureScene::new();
    scene.ground_z_m = None;
    let ball = Shape::Sphere { radius_m: 0.2 };
    scene.add_shape(&ball, &Pose::translation(0.3, 0.1, 0.5), [0.9, 0.05, 0.05]);
    let image = render(&scene, &small(&scene));
    let [r, g, b] = image.get_pixel(30, 20).0;
    assert!(r > 100 && r > 2 * g && r > 2 * b, "{r} {g} {b}");
    // The corner shows the sky.
    let [r, g, b] = image.get_pixel(1, 1).0;
    assert!(b >= g && g >= r && r > 150, "{r} {g} {b}");
}

#[test]
fn a_body_shades_the_ground_below_it() {
    let mut scene = PictureScene::new();
    scene.add_shape(
        &Shape::Sphere { radius_m: 0.1 },
        &Pose::translation(0.0, 0.0, 0.3),
        [0.5; 3],
    );
    // Straight down beside the ball: the shadow lies away from the lamp.
    let camera = |x: f32, y: f32| Camera {
        eye_m: Point3::new(x, y, 0.15),
        target_m: Point3::new(x, y, 0.0),
        field_of_view_rad: 0.1,
        width: 8,
        height: 8,
    };
    let brightness = |camera: Camera| render(&scene, &camera).get_pixel(4, 4).0[1];
    let lamp = Vector3::new(0.35f32, -0.45, 0.82);
    let shadow = -lamp * (0.3 / lamp.z);
    let (dark, bright) = (
        brightness(camera(shadow.x, shadow.y)),
        brightness(camera(-shadow.x + 0.4, 0.03)),
    );
    assert!(dark + 40 < bright, "{dark} {bright}");
}

#[test]
fn equal_scenes_give_equal_pictures() {
    let robot = shipped("panda");
    let mut scene = PictureScene::new();
    let q = [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785];
    scene.add_robot(&robot, &q, None).unwrap();
    scene
        .add_ghost(&robot, &[0.5, -0.785, 0.0, -2.0, 0.0, 1.571, 0.785], 0.2)
        .unwrap();
    scene.add_frame(&robot.kinematics.tool_pose(&q), 0.1);
    let image = render(&scene, &small(&scene));
    assert_eq!(image, render(&scene, &small(&scene)));
    let colors: std::collections::HashSet<_> = image.pixels().map(|p| p.0).collect();
    assert!(colors.len() > 200, "{}", colors.len());
    assert!(scene.add_robot(&robot, &q[..5], None).is_err());
}

/// The picture of the README, on request: `cargo test --release picture_of_the_arm -- --ignored`.
#[test]
#[ignore = "writes out/arm.png"]
fn picture_of_the_arm() {
    let robot = shipped("panda");
    let mut picture = PictureScene::new();
    let (from, to) = (
        [-0.6, -0.6, 0.0, -2.3, 0.0, 1.7, 0.785],
        [0.7, 0.3, 0.1, -1.9, 0.0, 2.1, 0.9],
    );
    let at = |s: f64| -> Vec<f64> { (0..7).map(|j| from[j] + (to[j] - from[j]) * s).collect() };
    for s in [0.0, 0.25, 0.5, 0.75] {
        picture
            .add_ghost(&robot, &at(s), 0.14 + 0.12 * s as f32)
            .unwrap();
    }
    picture.add_robot(&robot, &to, Some(0.02)).unwrap();
    let path: Vec<_> = (0..=40)
        .map(|i| {
            Point3::from(
                robot
                    .kinematics
                    .tool_pose(&at(f64::from(i) / 40.0))
                    .translation
                    .vector,
            )
        })
        .collect();
    picture.add_path(&path, 0.004, palette::PATH);
    picture.add_shape(
        &Shape::Box {
            half_extents_m: [0.3, 0.5, 0.02],
        },
        &Pose::translation(0.65, 0.1, 0.08),
        palette::OBSTACLE,
    );
    picture.add_shape(
        &Shape::Box {
            half_extents_m: [0.05, 0.08, 0.12],
        },
        &Pose::translation(0.6, -0.1, 0.22),
        palette::OBSTACLE,
    );
    let tool = robot.kinematics.tool_pose(&to);
    picture.add_shape(
        &Shape::Cylinder {
            radius_m: 0.03,
            length_m: 0.12,
        },
        &Pose::translation(tool.translation.x, tool.translation.y, 0.16),
        palette::TARGET,
    );
    picture.add_frame(&tool, 0.08);
    let camera = Camera::around(&picture, -0.7, 0.35);
    let begin = std::time::Instant::now();
    let image = render(&picture, &camera);
    std::fs::create_dir_all("out").unwrap();
    image.save("out/arm.png").unwrap();
    assert!(begin.elapsed().as_secs_f64() < 60.0);
    eprintln!("{:.2} s", begin.elapsed().as_secs_f64());
}
