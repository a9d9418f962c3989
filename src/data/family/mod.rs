//! One function a family: draws sizes, gives the solid in any place; [`super::procedural`] centres it.
//!
//! Sizes are those of household things as measured with a ruler, m. Walls are at least 2 mm thick, because the mesh
//! that contacts are drawn from would lose thinner ones.

mod blocks;
mod thin;
mod vessels;

use nalgebra::{Isometry3, Translation3, Vector2, Vector3};

pub(in crate::data) use blocks::{composite, cuboid, cylinder, tool};
pub(in crate::data) use thin::fork;
pub(in crate::data) use vessels::{bottle, bowl, can, cup, jar, mug, pan, plate};

use super::implicit::Solid;

fn points(list: &[[f64; 2]]) -> Vec<Vector2<f64>> {
    list.iter().map(|p| Vector2::from(*p)).collect()
}

/// A rounded box with its middle at (x, y, z).
fn block_at(place: [f64; 3], half_extents: [f64; 3], radius_m: f64) -> Solid {
    Solid::RoundedBox {
        half_extents_m: Vector3::from(half_extents),
        radius_m,
    }
    .placed(Isometry3::from(Translation3::from(Vector3::from(place))))
}
