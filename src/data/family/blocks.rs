//! Solid things: boxes, cylinders, handled tools, random composites.

use std::f64::consts::PI;

use nalgebra::{Isometry3, Translation3, Unit, UnitQuaternion, Vector3};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, UnitSphere};

use super::points;
use crate::data::implicit::Solid;

pub(in crate::data) fn cylinder(rng: &mut impl Rng) -> Solid {
    let radius = rng.random_range(0.012..0.042);
    let height = rng.random_range(0.03..0.17);
    let top = radius * rng.random_range(0.85..1.0);
    Solid::Lathe {
        profile: points(&[[0.0, 0.0], [radius, 0.0], [top, height], [0.0, height]]),
    }
}

pub(in crate::data) fn cuboid(rng: &mut impl Rng) -> Solid {
    let mut half = Vector3::from_fn(|_, _| rng.random_range(0.008..0.05));
    // One side fits the opening, another may be long: boxes as they stand on shelves.
    half[rng.random_range(0..3)] = rng.random_range(0.015..0.095);
    half[rng.random_range(0..3)] = rng.random_range(0.008..0.034);
    Solid::RoundedBox {
        half_extents_m: half,
        radius_m: rng.random_range(0.001..0.006),
    }
}

/// A hammer, a screwdriver or a spatula.
pub(in crate::data) fn tool(rng: &mut impl Rng) -> Solid {
    let half = rng.random_range(0.05..0.1);
    let radius = rng.random_range(0.005..0.014);
    let along = |from: f64, to: f64| vec![Vector3::new(from, 0.0, 0.0), Vector3::new(to, 0.0, 0.0)];
    let block = |half: [f64; 3], radius_m: f64, x: f64| {
        let place = Isometry3::from(Translation3::new(x, 0.0, 0.0));
        Solid::RoundedBox {
            half_extents_m: Vector3::from(half),
            radius_m,
        }
        .placed(place)
    };
    let mut parts = vec![Solid::Bar {
        path: along(-half, half),
        radius_m: radius,
    }];
    match rng.random_range(0..3) {
        0 => {
            let head = [
                rng.random_range(0.01..0.02),
                rng.random_range(0.02..0.045),
                rng.random_range(0.01..0.02),
            ];
            parts.push(block(head, 0.002, half));
        }
        1 => {
            let blade = rng.random_range(0.02..0.05);
            parts.push(Solid::Bar {
                path: along(half, half + blade),
                radius_m: radius * rng.random_range(0.4..0.7),
            });
            parts.push(block(
                [half * 0.3, radius * 1.5, radius * 1.5],
                0.003,
                -half * 0.6,
            ));
        }
        _ => {
            let plate = [
                rng.random_range(0.015..0.03),
                rng.random_range(0.015..0.035),
                rng.random_range(0.002..0.006),
            ];
            parts.push(block(plate, 0.0015, half));
        }
    }
    Solid::Union(parts)
}

pub(in crate::data) fn composite(rng: &mut impl Rng) -> Solid {
    let parts = (0..rng.random_range(2..5))
        .map(|_| {
            let axis = Unit::new_normalize(Vector3::from(UnitSphere.sample(rng)));
            let rotation = UnitQuaternion::from_axis_angle(&axis, rng.random_range(0.0..PI));
            let direction = Vector3::from(UnitSphere.sample(rng));
            let place = Translation3::from(direction * rng.random_range(0.0..0.045));
            let part = match rng.random_range(0..3) {
                0 => Solid::RoundedBox {
                    half_extents_m: Vector3::from_fn(|_, _| rng.random_range(0.008..0.04)),
                    radius_m: 0.002,
                },
                1 => {
                    let (radius, half) =
                        (rng.random_range(0.01..0.035), rng.random_range(0.015..0.06));
                    Solid::Lathe {
                        profile: points(&[
                            [0.0, -half],
                            [radius, -half],
                            [radius, half],
                            [0.0, half],
                        ]),
                    }
                }
                _ => {
                    let end = Vector3::new(rng.random_range(0.01..0.05), 0.0, 0.0);
                    Solid::Bar {
                        path: vec![-end, end],
                        radius_m: rng.random_range(0.006..0.02),
                    }
                }
            };
            part.placed(Isometry3::from_parts(place, rotation))
        })
        .collect();
    Solid::Union(parts)
}
