//! Path constraints: what breaks them between two samples is found, what keeps them passes.

use super::*;
use crate::planner::constraints::{ConstraintKind, Guarded};

fn checked(
    motion: &dyn Motion,
    constraint: ConstraintKind,
    resolution_m: f64,
    period_s: f64,
) -> Result<(), Violation> {
    let mut verifier = Verifier::new(&panda()).unwrap();
    let settings = VerifySettings {
        constraints: vec![constraint],
        resolution_m,
        period_s,
        ..VerifySettings::default()
    };
    verifier
        .constraint_check
        .check(&mut verifier.chains[0][0], motion, &settings)
}

fn upright(max_tilt_rad: f64) -> ConstraintKind {
    ConstraintKind::Upright {
        link: "panda_hand".into(),
        link_axis: [0.0, 0.0, -1.0],
        world_direction: [0.0, 0.0, 2.0],
        max_tilt_rad,
    }
}

/// The ready pose, where the hand points down within 0.57 deg, but for what `change` adds.
fn from_ready(
    duration_s: f64,
    change: impl Fn(f64, &mut [f64]),
) -> Planted<impl Fn(f64, &mut [f64])> {
    Planted {
        names: panda().limits.names.clone(),
        duration_s,
        position: move |t: f64, q: &mut [f64]| {
            q.copy_from_slice(&PANDA_READY);
            change(t, q);
        },
    }
}

fn ready_tilt_rad() -> f64 {
    let down = panda().kinematics.tool_pose(&PANDA_READY).rotation * -Vector3::z();
    down.angle(&Vector3::z())
}

#[test]
fn a_tilt_between_two_waypoints_is_found() {
    // A nod of the wrist by 0.1 rad, as quick as its acceleration limit allows, between two of the eleven samples of this check.
    let nod = |t: f64| {
        let s = (t - 2.04) / 0.32;
        match (0.0..1.0).contains(&s) {
            true => 0.1 * (PI * s).sin().powi(2),
            false => 0.0,
        }
    };
    let motion = from_ready(4.0, move |t, q| {
        q[0] = 0.3 * smooth(0.25 * t);
        q[5] += nod(t);
    });
    let at_samples = (0..=10).map(|i| nod(0.4 * f64::from(i)));
    assert!(
        at_samples.fold(0.0, f64::max) == 0.0,
        "nothing to see there"
    );
    // The change between samples that the limits allow is what makes the check look closer.
    let error = checked(&motion, upright(0.06), 1e-4, 0.4).unwrap_err();
    match &error {
        Violation::Tilt {
            link,
            time_s,
            tilt_rad,
            limit_rad,
        } => {
            assert_eq!((link.as_str(), *limit_rad), ("panda_hand", 0.06));
            assert!((time_s - 2.2).abs() < 0.16, "{error}");
            assert!(*tilt_rad > 0.06 && *tilt_rad < 0.12, "{error}");
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("deg"), "{error}");
    checked(&motion, upright(0.1 + ready_tilt_rad() + 1e-3), 1e-4, 0.4).unwrap();
}

#[test]
fn tilts_at_their_limit_pass_and_just_beyond_do_not() {
    let motion = from_ready(1.5, |t, q| q[5] += 0.3 * smooth(t / 1.5));
    let mut end = PANDA_READY;
    end[5] += 0.3;
    let axis = panda().kinematics.tool_pose(&end).rotation * -Vector3::z();
    let largest = axis.angle(&Vector3::z());
    checked(&motion, upright(largest + 1e-9), 1e-4, 1e-3).unwrap();
    assert!(checked(&motion, upright(largest - 1e-4), 1e-4, 1e-3).is_err());
}

fn plane(guarded: Guarded, height_m: f64) -> ConstraintKind {
    ConstraintKind::AbovePlane {
        guarded,
        point_m: [3.0, -2.0, height_m],
        normal: [0.0, 0.0, 1.0],
    }
}

#[test]
fn a_dip_below_a_plane_is_found_for_a_point_and_for_links() {
    let dip = |t: f64| {
        let s = (t - 3.03) / 0.5;
        match (0.0..1.0).contains(&s) {
            true => 0.08 * (PI * s).sin().powi(2),
            false => 0.0,
        }
    };
    let motion = from_ready(6.0, move |t, q| q[1] += dip(t));
    let robot = panda();
    let heights = |local: [f64; 3]| {
        let height = |q: &[f64]| (robot.kinematics.tool_pose(q) * nalgebra::Point3::from(local)).z;
        let mut deepest = PANDA_READY;
        deepest[1] += 0.08;
        (height(&PANDA_READY), height(&deepest))
    };
    let (ready, lowest) = heights([0.0; 3]);
    assert!(ready - lowest > 0.02, "{ready} {lowest}");
    let point = || Guarded::ToolPoint([0.0; 3]);
    let error = checked(&motion, plane(point(), ready - 0.01), 1e-4, 0.6).unwrap_err();
    match &error {
        Violation::BelowPlane {
            what,
            time_s,
            height_m,
        } => {
            assert_eq!(what, "tool point");
            assert!((time_s - 3.28).abs() < 0.25 && *height_m < 0.0, "{error}");
        }
        other => panic!("{other}"),
    }
    checked(&motion, plane(point(), lowest - 1e-3), 1e-4, 0.6).unwrap();

    // The fingers' true ends stand below the tool point.
    let links = || Guarded::Links(vec!["panda_hand".into(), "panda_leftfinger".into()]);
    let error = checked(&motion, plane(links(), lowest - 1e-3), 1e-4, 0.6).unwrap_err();
    assert!(
        matches!(&error, Violation::BelowPlane { what, .. } if what == "panda_leftfinger"),
        "{error}"
    );
    checked(&motion, plane(links(), lowest - 0.05), 1e-4, 0.6).unwrap();
}

#[test]
fn planes_may_lean_or_lie_above() {
    let motion = from_ready(1.0, |t, q| q[0] = 0.5 * smooth(t));
    let kind = |point_m: [f64; 3], normal: [f64; 3]| ConstraintKind::AbovePlane {
        guarded: Guarded::Links(vec!["panda_hand".into()]),
        point_m,
        normal,
    };
    checked(&motion, kind([0.0, 0.0, 1.5], [0.0, 0.0, -1.0]), 1e-4, 1e-3).unwrap();
    assert!(checked(&motion, kind([0.0, 0.0, 0.5], [0.0, 0.0, -1.0]), 1e-4, 1e-3).is_err());
    checked(&motion, kind([0.0, -0.2, 0.0], [0.0, 1.0, 0.0]), 1e-4, 1e-3).unwrap();
    assert!(checked(&motion, kind([0.0, 0.1, 0.0], [0.0, 1.0, 0.0]), 1e-4, 1e-3).is_err());
}

#[test]
fn a_spike_of_the_tools_speed_is_found() {
    // The base joint swings the tool, half a metre out, by 2 mrad within 4 ms.
    let swing = |t: f64| 0.2 * smooth(t) + 2e-3 * smooth(((t - 0.3) / 4e-3).clamp(0.0, 1.0));
    let motion = from_ready(1.0, move |t, q| q[0] = swing(t));
    let radius_m = {
        let at = panda()
            .kinematics
            .tool_pose(&PANDA_READY)
            .translation
            .vector;
        at.x.hypot(at.y)
    };
    let speed = |linear: Option<f64>, angular: Option<f64>| ConstraintKind::ToolSpeed {
        linear_m_s: linear,
        angular_rad_s: angular,
    };
    let steady: f64 = 0.2 * 35.0 / 16.0;
    let peak = steady.max(2e-3 / 4e-3 * 35.0 / 16.0);
    for (kind, quantity, limit, factor) in [
        (
            speed(Some(steady * radius_m * 1.001), None),
            "linear",
            steady * radius_m * 1.001,
            radius_m,
        ),
        (
            speed(None, Some(steady * 1.001)),
            "angular",
            steady * 1.001,
            1.0,
        ),
    ] {
        match checked(&motion, kind, 1e-4, 1e-3).unwrap_err() {
            Violation::ToolSpeed {
                quantity: found,
                time_s,
                value,
                limit: named,
                ..
            } => {
                assert_eq!((found, named), (quantity, limit));
                assert!((time_s - 0.302).abs() < 3e-3, "{time_s}");
                assert!(value > limit && value < 1.5 * peak * factor, "{value}");
            }
            other => panic!("{other}"),
        }
    }
    let calm = from_ready(1.0, |t, q| q[0] = 0.2 * smooth(t));
    checked(
        &calm,
        speed(Some(steady * radius_m), Some(steady)),
        1e-4,
        1e-3,
    )
    .unwrap();
}

#[test]
fn links_that_do_not_exist_are_named() {
    let motion = from_ready(1.0, |_, _| ());
    let kind = plane(Guarded::Links(vec!["elbow".into()]), 0.0);
    let error = checked(&motion, kind, 1e-4, 1e-3).unwrap_err();
    assert!(error.to_string().contains("elbow"), "{error}");
}
