//! Thin things: cutlery and pens.

use nalgebra::{Isometry3, Translation3, Vector2, Vector3};
use rand::{Rng, RngExt};

use super::block_at;
use crate::data::implicit::Solid;

/// A fork, spoon, knife or pen along x, flat side up.
pub(in crate::data) fn fork(rng: &mut impl Rng) -> Solid {
    match rng.random_range(0..4) {
        0 => {
            let (mut parts, neck_x, thickness) = cutlery_handle(rng);
            parts.extend(tines(rng, neck_x, thickness));
            Solid::Union(parts)
        }
        1 => {
            let (mut parts, neck_x, _) = cutlery_handle(rng);
            parts.push(spoon_bowl(rng, neck_x));
            Solid::Union(parts)
        }
        2 => {
            let (mut parts, neck_x, _) = cutlery_handle(rng);
            let half = [
                rng.random_range(0.04..0.055),
                rng.random_range(0.007..0.012),
                rng.random_range(0.001..0.0015),
            ];
            parts.push(block_at([neck_x + half[0] - 0.01, 0.0, 0.0], half, 0.0009));
            Solid::Union(parts)
        }
        _ => pen(rng),
    }
}

/// Handle from -x to the neck: its parts, where the neck ends and how thick it is there, m.
fn cutlery_handle(rng: &mut impl Rng) -> (Vec<Solid>, f64, f64) {
    let length = rng.random_range(0.08..0.12);
    // Sheet metal, or a thicker grip of wood or plastic.
    let thickness = if rng.random_bool(0.5) {
        rng.random_range(0.0024..0.004)
    } else {
        rng.random_range(0.006..0.012)
    };
    let width = rng.random_range(0.009..0.022);
    let sheet = f64::min(thickness, rng.random_range(0.0024..0.0032));
    let neck = rng.random_range(0.005..0.009);
    let grip_half = 0.35 * length;
    let parts = vec![
        block_at(
            [grip_half, 0.0, 0.0],
            [grip_half, 0.5 * width, 0.5 * thickness],
            0.4 * thickness,
        ),
        block_at(
            [0.5 * length, 0.0, 0.0],
            [0.5 * length, 0.5 * neck, 0.5 * sheet],
            0.4 * sheet,
        ),
    ];
    (parts, length, sheet)
}

/// The shoulder of a fork and three or four tines, bent a little upwards.
fn tines(rng: &mut impl Rng, neck_x: f64, thickness: f64) -> Vec<Solid> {
    let half_width = rng.random_range(0.009..0.0135);
    let shoulder = rng.random_range(0.008..0.014);
    let length = rng.random_range(0.035..0.055);
    let rise = rng.random_range(0.0..0.008);
    let count = rng.random_range(3..5);
    let radius_m = 0.5 * thickness;
    let start = neck_x + 2.0 * shoulder - 0.004;
    let mut parts = vec![block_at(
        [neck_x + shoulder - 0.002, 0.0, 0.0],
        [shoulder, half_width, radius_m],
        0.4 * thickness,
    )];
    for i in 0..count {
        let y = (half_width - radius_m) * (2.0 * i as f64 / (count - 1) as f64 - 1.0);
        parts.push(Solid::Bar {
            path: vec![
                Vector3::new(start - radius_m, y, 0.0),
                Vector3::new(start + 0.5 * length, y, 0.3 * rise),
                Vector3::new(start + length, y, rise),
            ],
            radius_m,
        });
    }
    parts
}

fn spoon_bowl(rng: &mut impl Rng, neck_x: f64) -> Solid {
    let radius = rng.random_range(0.014..0.024);
    let depth = rng.random_range(0.004..0.01);
    let profile = (0..6)
        .map(|i| {
            let place = i as f64 / 5.0;
            Vector2::new(radius * place, depth * (place * place - 1.0))
        })
        .collect();
    Solid::Shell {
        profile,
        thickness_m: rng.random_range(0.0022..0.003),
    }
    .placed(Isometry3::from(Translation3::new(
        neck_x + radius - 0.002,
        0.0,
        0.0,
    )))
}

/// A pen, brush or chopstick.
fn pen(rng: &mut impl Rng) -> Solid {
    let half = rng.random_range(0.065..0.105);
    let radius = rng.random_range(0.0035..0.0075);
    let along = |from: f64, to: f64| vec![Vector3::new(from, 0.0, 0.0), Vector3::new(to, 0.0, 0.0)];
    let tip = rng.random_range(0.01..0.035);
    Solid::Union(vec![
        Solid::Bar {
            path: along(-half, half - tip),
            radius_m: radius,
        },
        Solid::Bar {
            path: along(half - tip, half),
            radius_m: radius * rng.random_range(0.4..1.0),
        },
    ])
}
