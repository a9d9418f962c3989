//! Objects with some of their grasps, one tile a category.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use diffusion_field_planner::data::GraspFile;
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::picture::{palette, render, Camera, PictureScene};
use diffusion_field_planner::scene::{MeshDistance, Shape};
use image::RgbImage;

/// Size of a tile, pixels.
const TILE: (u32, u32) = (420, 360);
const COLUMNS: u32 = 4;
/// Grasps drawn on an object, spread over its list.
const GRASPS: usize = 14;
const AZIMUTH_RAD: f32 = 0.8;
const ELEVATION_RAD: f32 = 0.45;
/// Distance of the drawn fingers, m.
const DRAWN_OPENING_M: f64 = 0.08;

/// Draws the first graspable object of each category into one PNG file, in the order of the categories' names.
pub fn save(path: &Path, files: &[GraspFile]) -> Result<()> {
    let mut first: BTreeMap<&str, &GraspFile> = BTreeMap::new();
    for file in files.iter().filter(|f| !f.holding.is_empty()) {
        first.entry(&file.about.category).or_insert(file);
    }
    if first.is_empty() {
        return Ok(());
    }
    let rows = (first.len() as u32).div_ceil(COLUMNS);
    let columns = (first.len() as u32).min(COLUMNS);
    let mut sheet = RgbImage::new(columns * TILE.0, rows * TILE.1);
    for (place, file) in first.values().enumerate() {
        let tile = tile(file)?;
        let (column, row) = (place as u32 % COLUMNS, place as u32 / COLUMNS);
        let at = (i64::from(column * TILE.0), i64::from(row * TILE.1));
        image::imageops::replace(&mut sheet, &tile, at.0, at.1);
    }
    sheet
        .save(path)
        .with_context(|| format!("writing {}", path.display()))
}

fn tile(file: &GraspFile) -> Result<RgbImage> {
    let mut scene = PictureScene::new();
    scene.ground_z_m = None;
    let shape = Shape::Mesh(Arc::new(MeshDistance::new(&file.mesh)?));
    scene.add_shape(&shape, &Pose::identity(), palette::TARGET);
    for pose in file
        .holding
        .iter()
        .step_by(file.holding.len().div_ceil(GRASPS))
    {
        scene.add_grasp(pose, DRAWN_OPENING_M, palette::GRASP);
    }
    let camera = Camera {
        width: TILE.0,
        height: TILE.1,
        ..Camera::around(&scene, AZIMUTH_RAD, ELEVATION_RAD)
    };
    Ok(render(&scene, &camera))
}
