//! Objects with some of their grasps, a tile each, in one picture.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use diffusion_field_planner::data::{GraspFile, ObjectEvaluation};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::picture::{palette, render, Camera, PictureScene};
use diffusion_field_planner::robot::GripperGeometry;
use diffusion_field_planner::scene::{MeshDistance, Shape, TriangleMesh};
use image::RgbImage;

/// Size of a tile, pixels.
const TILE: (u32, u32) = (420, 360);
const COLUMNS: u32 = 4;
/// Grasps drawn on an object, spread over its list.
const GRASPS: usize = 14;
const AZIMUTH_RAD: f32 = 0.8;
const ELEVATION_RAD: f32 = 0.45;

/// An object to draw, with object_from_gripper and opening in metres of its grasps.
pub struct Tile {
    mesh: TriangleMesh,
    grasps: Vec<(Pose, f64)>,
    gripper: GripperGeometry,
}

impl Tile {
    pub fn of_file(file: &GraspFile) -> Self {
        let gripper = &file.about.gripper.geometry;
        let grasps = file.holding.iter().map(|&p| (p, gripper.max_opening_m));
        Self {
            mesh: file.mesh.clone(),
            grasps: grasps.collect(),
            gripper: gripper.clone(),
        }
    }

    /// What a user would get: the filtered grasps.
    pub fn of_evaluation(evaluated: &ObjectEvaluation, gripper: &GripperGeometry) -> Self {
        let grasps = evaluated.filtered.iter();
        let grasps = grasps.map(|g| (g.object_from_gripper, g.width_m));
        Self {
            mesh: (*evaluated.object.mesh).clone(),
            grasps: grasps.collect(),
            gripper: gripper.clone(),
        }
    }
}

/// Draws the tiles into one PNG file, row by row. Without any, nothing is written.
pub fn save(path: &Path, tiles: &[Tile]) -> Result<()> {
    if tiles.is_empty() {
        return Ok(());
    }
    let rows = (tiles.len() as u32).div_ceil(COLUMNS);
    let columns = (tiles.len() as u32).min(COLUMNS);
    let mut sheet = RgbImage::new(columns * TILE.0, rows * TILE.1);
    for (place, tile) in tiles.iter().enumerate() {
        let (column, row) = (place as u32 % COLUMNS, place as u32 / COLUMNS);
        let at = (i64::from(column * TILE.0), i64::from(row * TILE.1));
        image::imageops::replace(&mut sheet, &drawn(tile)?, at.0, at.1);
    }
    sheet
        .save(path)
        .with_context(|| format!("writing {}", path.display()))
}

fn drawn(tile: &Tile) -> Result<RgbImage> {
    let mut scene = PictureScene::new();
    scene.ground_z_m = None;
    let shape = Shape::Mesh(Arc::new(MeshDistance::new(&tile.mesh)?));
    scene.add_shape(&shape, &Pose::identity(), palette::TARGET);
    let step = tile.grasps.len().div_ceil(GRASPS).max(1);
    for (pose, opening_m) in tile.grasps.iter().step_by(step) {
        scene.add_grasp(pose, &tile.gripper, *opening_m, palette::GRASP);
    }
    let camera = Camera {
        width: TILE.0,
        height: TILE.1,
        ..Camera::around(&scene, AZIMUTH_RAD, ELEVATION_RAD)
    };
    Ok(render(&scene, &camera))
}
