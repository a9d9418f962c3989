//! Limits, start, rest, and what makes no motion at all.

use super::*;

#[test]
fn limits_are_checked_by_differences() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut to = PANDA_READY;
    to[4] = 0.5;
    let mut check = |motion: &dyn Motion, settings: &VerifySettings| {
        verifier
            .verify(&Scene::default(), motion, settings)
            .unwrap_err()
    };
    let settings = VerifySettings::default();

    // a jerk spike: 8e-6 rad within three milliseconds, invisible in position and velocity
    let smooth_motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let spike = Planted {
        names: robot.limits.names.clone(),
        duration_s: 1.5,
        position: |t: f64, q: &mut [f64]| {
            smooth_motion.position(t, q);
            let s = (t - 0.7) / 3e-3;
            if (0.0..1.0).contains(&s) {
                q[2] += 8e-6 * (PI * s).sin().powi(4);
            }
        },
    };
    match check(&spike, &settings) {
        Violation::Limit {
            joint,
            quantity,
            time_s,
            value,
            limit,
        } => {
            assert_eq!((joint.as_str(), quantity), ("panda_joint3", "jerk"));
            assert!((time_s - 0.7).abs() < 5e-3 && value.abs() > 5000.0 && limit.abs() == 5000.0);
        }
        other => panic!("{other}"),
    }

    // too fast for the scaled limit, fast enough for the whole one
    let slow = VerifySettings {
        velocity_scaling: 0.25,
        ..Default::default()
    };
    match check(&smooth_motion, &slow) {
        Violation::Limit {
            joint,
            quantity,
            value,
            limit,
            time_s,
        } => {
            assert_eq!((joint.as_str(), quantity), ("panda_joint5", "velocity"));
            assert!(
                (value - 0.5 * 35.0 / 16.0 / 1.5).abs() < 1e-4
                    && (limit - 0.25 * 2.61).abs() < 1e-12
            );
            assert!((time_s - 0.75).abs() < 2e-3, "{time_s}");
        }
        other => panic!("{other}"),
    }
    let slow = VerifySettings {
        acceleration_scaling: 0.05,
        ..Default::default()
    };
    assert!(matches!(
        check(&smooth_motion, &slow),
        Violation::Limit {
            quantity: "acceleration",
            ..
        }
    ));

    let mut beyond = PANDA_READY;
    beyond[3] = -3.2;
    match check(&straight(&robot, &PANDA_READY, &beyond, 3.0), &settings) {
        Violation::Limit {
            joint,
            quantity,
            limit,
            value,
            ..
        } => {
            assert_eq!(
                (joint.as_str(), quantity, limit),
                ("panda_joint4", "position", -3.0718)
            );
            assert!(value < -3.0718);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn start_rest_names_and_numbers_are_checked() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let mut to = PANDA_READY;
    to[0] = 0.6;
    let motion = straight(&robot, &PANDA_READY, &to, 1.5);
    let mut elsewhere = PANDA_READY.to_vec();
    elsewhere[5] += 1e-3;
    let settings = VerifySettings {
        start: Some(elsewhere),
        ..Default::default()
    };
    let error = verifier
        .verify(&Scene::default(), &motion, &settings)
        .unwrap_err();
    assert!(
        matches!(&error, Violation::Start { joint, .. } if joint == "panda_joint6"),
        "{error}"
    );

    // cut off before its end
    let whole = straight(&robot, &PANDA_READY, &to, 1.5);
    let cut = Planted {
        names: robot.limits.names.clone(),
        duration_s: 1.2,
        position: |t: f64, q: &mut [f64]| whole.position(t, q),
    };
    let error = verifier
        .verify(&Scene::default(), &cut, &VerifySettings::default())
        .unwrap_err();
    assert!(
        matches!(&error, Violation::NotAtRest { joint, end: "end", quantity: "velocity", .. } if joint == "panda_joint1"),
        "{error}"
    );

    let mut names = robot.limits.names.clone();
    names.swap(0, 1);
    let swapped = Planted {
        names,
        duration_s: 1.5,
        position: |_: f64, _: &mut [f64]| (),
    };
    let error = verifier
        .verify(&Scene::default(), &swapped, &VerifySettings::default())
        .unwrap_err();
    assert!(matches!(error, Violation::Joints { .. }), "{error}");

    let broken = Planted {
        names: robot.limits.names.clone(),
        duration_s: 1.5,
        position: |t: f64, q: &mut [f64]| q.fill(if t > 1.0 { f64::NAN } else { 0.0 }),
    };
    let error = verifier
        .verify(&Scene::default(), &broken, &VerifySettings::default())
        .unwrap_err();
    assert!(
        matches!(&error, Violation::NotFinite { time_s, .. } if *time_s > 1.0),
        "{error}"
    );

    let settings = VerifySettings {
        other_joints: vec![("panda_joint1".into(), 0.0)],
        ..Default::default()
    };
    let error = verifier
        .verify(&Scene::default(), &motion, &settings)
        .unwrap_err();
    assert!(error.to_string().contains("panda_finger_joint1"), "{error}");
}

/// From `velocity` and `acceleration` of joint 0 to rest 0.3 rad further, a quintic.
fn moving(
    robot: &RobotModel,
    velocity: f64,
    acceleration: f64,
) -> Planted<impl Fn(f64, &mut [f64])> {
    const DURATION_S: f64 = 0.8;
    Planted {
        names: robot.limits.names.clone(),
        duration_s: DURATION_S,
        position: move |t: f64, q: &mut [f64]| {
            q.copy_from_slice(&PANDA_READY);
            let (s, v, a) = (
                t / DURATION_S,
                velocity * DURATION_S,
                acceleration * DURATION_S * DURATION_S,
            );
            let (c3, c4, c5) = (
                10.0 * 0.3 - 6.0 * v - 1.5 * a,
                -15.0 * 0.3 + 8.0 * v + 1.5 * a,
                6.0 * 0.3 - 3.0 * v - 0.5 * a,
            );
            q[0] += v * s + 0.5 * a * s * s + s.powi(3) * (c3 + s * (c4 + s * c5));
        },
    }
}

#[test]
fn a_moving_start_must_be_the_one_that_was_asked_for() {
    let robot = panda();
    let mut verifier = Verifier::new(&robot).unwrap();
    let rates = |velocity: f64, acceleration: f64| {
        let mut settings = VerifySettings {
            start: Some(PANDA_READY.to_vec()),
            start_velocity: vec![0.0; 7],
            start_acceleration: vec![0.0; 7],
            ..Default::default()
        };
        settings.start_velocity[0] = velocity;
        settings.start_acceleration[0] = acceleration;
        settings
    };
    let motion = moving(&robot, 0.6, -1.5);
    let mut check = |motion: &dyn Motion, settings: &VerifySettings| {
        verifier.verify(&Scene::default(), motion, settings)
    };
    check(&motion, &rates(0.6, -1.5)).unwrap();

    // Planted: other velocity, other acceleration, rest where motion was asked for and the reverse.
    for (settings, wrong) in [
        (rates(0.55, -1.5), "velocity"),
        (rates(0.6, -1.2), "acceleration"),
    ] {
        match check(&motion, &settings).unwrap_err() {
            Violation::StartRate {
                joint, quantity, ..
            } => assert_eq!((joint.as_str(), quantity), ("panda_joint1", wrong)),
            other => panic!("{other}"),
        }
    }
    let rest = VerifySettings {
        start: Some(PANDA_READY.to_vec()),
        ..Default::default()
    };
    assert!(matches!(
        check(&motion, &rest).unwrap_err(),
        Violation::NotAtRest { end: "start", .. }
    ));
    let mut to = PANDA_READY;
    to[0] = 0.6;
    let resting = straight(&robot, &PANDA_READY, &to, 1.5);
    assert!(matches!(
        check(&resting, &rates(0.6, 0.0)).unwrap_err(),
        Violation::StartRate { .. }
    ));
    let short = VerifySettings {
        start_velocity: vec![0.0; 6],
        ..rates(0.6, -1.5)
    };
    assert!(matches!(
        check(&motion, &short).unwrap_err(),
        Violation::Setup { .. }
    ));

    // Planted: a jerk spike in the first two milliseconds after the hand-over.
    let spike = Planted {
        names: robot.limits.names.clone(),
        duration_s: motion.duration_s,
        position: |t: f64, q: &mut [f64]| {
            motion.position(t, q);
            if t < 4e-3 {
                q[0] += 8e-6 * (PI * t / 4e-3).sin().powi(4);
            }
        },
    };
    let error = check(&spike, &rates(0.6, -1.5)).unwrap_err();
    assert!(
        matches!(&error, Violation::Limit { quantity: "jerk", time_s, .. } if *time_s < 5e-3)
            || matches!(&error, Violation::StartRate { .. }),
        "{error}"
    );

    // Planted: cut off before rest.
    let cut = Planted {
        names: robot.limits.names.clone(),
        duration_s: 0.7,
        position: |t: f64, q: &mut [f64]| motion.position(t, q),
    };
    assert!(matches!(
        check(&cut, &rates(0.6, -1.5)).unwrap_err(),
        Violation::NotAtRest { end: "end", .. }
    ));
}
