//! Things that hold something: hollow, or closed and filled.

use std::f64::consts::{FRAC_PI_2, PI};

use nalgebra::{Isometry3, Translation3, Vector2, Vector3};
use rand::{Rng, RngExt};

use super::points;
use crate::data::implicit::Solid;

/// A cup with a handle.
pub(in crate::data) fn mug(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.03..0.05);
    let height = rng.random_range(0.06..0.12);
    let thickness = rng.random_range(0.0035..0.0065);
    let foot = radius * rng.random_range(0.75..1.0);
    let cup = Solid::Shell {
        profile: points(&[[0.0, 0.0], [foot, 0.0], [radius, height]]),
        thickness_m: thickness,
    };
    let bar = rng.random_range(0.0035..0.0065);
    let reach = rng.random_range(0.022..0.036);
    let (low, high) = (
        height * rng.random_range(0.1..0.25),
        height * rng.random_range(0.7..0.9),
    );
    let bulge = rng.random_range(0.6..1.0);
    let path = (0..9)
        .map(|i| {
            let angle = PI * i as f64 / 8.0;
            let z = 0.5 * (low + high) - 0.5 * (high - low) * angle.cos();
            // The ends sit in the wall, deep enough to join it, not so deep as to come out inside.
            let wall = foot + (radius - foot) * z / height + (bar - 0.5 * thickness).max(0.0);
            Vector3::new(wall + reach * angle.sin().max(0.0).powf(bulge), 0.0, z)
        })
        .collect();
    Solid::Union(vec![
        cup,
        Solid::Bar {
            path,
            radius_m: bar,
        },
    ])
}

/// A tumbler, beaker or tea bowl: no handle, straight or curved side.
pub(in crate::data) fn cup(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.028..0.045);
    let height = radius * rng.random_range(1.6..3.4);
    let foot = radius * rng.random_range(0.6..1.0);
    let bulge = if rng.random_bool(0.3) {
        rng.random_range(0.0..0.006)
    } else {
        0.0
    };
    let side = (0..=6).map(|i| {
        let place = i as f64 / 6.0;
        let out = bulge * (PI * place).sin();
        Vector2::new(foot + (radius - foot) * place + out, height * place)
    });
    Solid::Shell {
        profile: std::iter::once(Vector2::zeros()).chain(side).collect(),
        thickness_m: rng.random_range(0.0032..0.0055),
    }
}

pub(in crate::data) fn bottle(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.02..0.042);
    let height = rng.random_range(0.1..0.21);
    let neck = rng.random_range(0.009..f64::min(0.018, radius * 0.8));
    let shoulder = height * rng.random_range(0.5..0.75);
    let neck_start = f64::min(height * 0.95, shoulder + rng.random_range(0.015..0.04));
    Solid::Lathe {
        profile: points(&[
            [0.0, 0.0],
            [radius, 0.0],
            [radius, shoulder],
            [neck, neck_start],
            [neck, height],
            [0.0, height],
        ]),
    }
}

/// A drink can, or a flat tin, with the rims that stand up around lid and base.
pub(in crate::data) fn can(rng: &mut impl Rng) -> Solid {
    let flat = rng.random_bool(0.25);
    let (radius, height): (f64, f64) = if flat {
        (rng.random_range(0.03..0.045), rng.random_range(0.025..0.06))
    } else {
        (
            rng.random_range(0.024..0.0355),
            rng.random_range(0.08..0.17),
        )
    };
    let neck = radius
        * if flat {
            1.0
        } else {
            rng.random_range(0.82..1.0)
        };
    let shoulder = height - 0.004 - 1.2 * (radius - neck);
    let foot = radius
        * if flat {
            1.0
        } else {
            rng.random_range(0.85..1.0)
        };
    let (rim, recess) = (0.003, rng.random_range(0.001..0.004));
    Solid::Lathe {
        profile: points(&[
            [0.0, recess],
            [foot - rim, recess],
            [foot - rim, 0.0],
            [foot, 0.0],
            [radius, 0.002 + 0.8 * (radius - foot)],
            [radius, shoulder],
            [neck, height - 0.004],
            [neck, height],
            [neck - rim, height],
            [neck - rim, height - recess],
            [0.0, height - recess],
        ]),
    }
}

/// A jar with a screw lid, or open and empty.
pub(in crate::data) fn jar(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.024..0.042);
    let height = rng.random_range(0.05..0.15);
    let mouth = f64::min(radius * rng.random_range(0.6..1.0), 0.035);
    let lid = rng.random_range(0.008..f64::min(0.02, 0.3 * height));
    // The shoulder rises at up to 45 deg, and the body keeps some height.
    let shoulder = f64::max(
        height - lid - (radius - mouth) * rng.random_range(0.5..1.0),
        0.4 * height,
    );
    if rng.random_bool(0.6) {
        let throat = mouth - rng.random_range(0.0015..0.004);
        let bevel = rng.random_range(0.0005..0.004);
        return Solid::Lathe {
            profile: points(&[
                [0.0, 0.0],
                [radius - bevel, 0.0],
                [radius, bevel],
                [radius, shoulder],
                [throat, height - lid],
                [mouth, height - lid],
                [mouth, height],
                [0.0, height],
            ]),
        };
    }
    Solid::Shell {
        profile: points(&[
            [0.0, 0.0],
            [radius, 0.0],
            [radius, shoulder],
            [mouth, height - lid],
            [mouth, height],
        ]),
        thickness_m: rng.random_range(0.0032..0.0055),
    }
}

pub(in crate::data) fn bowl(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.04..0.085);
    let depth = rng.random_range(0.025..0.07);
    let opening = FRAC_PI_2 * rng.random_range(0.8..1.0);
    let profile = (0..9)
        .map(|i| {
            let angle = opening * i as f64 / 8.0;
            Vector2::new(radius * angle.sin(), depth * (1.0 - angle.cos()))
        })
        .collect();
    Solid::Shell {
        profile,
        thickness_m: rng.random_range(0.0035..0.007),
    }
}

/// A small saucepan or frying pan with a straight handle.
pub(in crate::data) fn pan(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.045..0.075);
    let height = rng.random_range(0.025..0.07);
    let foot = radius * rng.random_range(0.8..1.0);
    let thickness_m = rng.random_range(0.0035..0.006);
    let body = Solid::Shell {
        profile: points(&[[0.0, 0.0], [foot, 0.0], [radius, height]]),
        thickness_m,
    };
    let length = rng.random_range(0.08..0.13);
    let grip = rng.random_range(0.005..0.011);
    let z = height * rng.random_range(0.5..0.9);
    let handle = if rng.random_bool(0.5) {
        let half = Vector3::new(0.5 * length, grip * rng.random_range(1.0..1.8), grip);
        let place = Translation3::new(radius + 0.5 * length - 0.003, 0.0, z);
        Solid::RoundedBox {
            half_extents_m: half,
            radius_m: 0.002,
        }
        .placed(Isometry3::from(place))
    } else {
        let end = Vector3::new(radius + length, 0.0, z + rng.random_range(-0.01..0.02));
        Solid::Bar {
            path: vec![Vector3::new(radius + grip - 0.002, 0.0, z), end],
            radius_m: grip,
        }
    };
    Solid::Union(vec![body, handle])
}

/// A plate on edge, as it stands in a rack: its axis is x.
pub(in crate::data) fn plate(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.07..0.115);
    let depth = rng.random_range(0.008..0.025);
    let thickness_m = rng.random_range(0.0035..0.0065);
    let well = radius * rng.random_range(0.55..0.75);
    let profile = if rng.random_bool(0.6) {
        // A flat well, a steep step and a rim that rises gently.
        let step = depth * rng.random_range(0.4..0.7);
        points(&[
            [0.0, 0.0],
            [well, 0.0],
            [well + step, step],
            [radius, depth],
        ])
    } else {
        (0..8)
            .map(|i| {
                let place = i as f64 / 7.0;
                Vector2::new(radius * place, depth * place.powi(3))
            })
            .collect()
    };
    Solid::Shell {
        profile,
        thickness_m,
    }
    .placed(Isometry3::rotation(Vector3::y() * FRAC_PI_2))
}
