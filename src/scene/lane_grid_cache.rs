//! Grids for the lane kernels that were laid out before.

use std::sync::Arc;

use super::lane_grid::LaneGrid;
use super::{MeshDistance, VoxelGrid};

/// Grids by the mesh or voxel grid they were made from. Objects may come, go and move between scenes: as long as they share
/// the shape, it is laid out once. Each entry keeps its source alive, so an address cannot come to mean something else.
#[derive(Clone, Debug, Default)]
pub struct LaneGridCache {
    meshes: Vec<Entry<MeshDistance>>,
    voxels: Vec<Entry<VoxelGrid>>,
    scenes: u64,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    source: Arc<T>,
    grid: Arc<LaneGrid>,
    /// Number of the scene that used it last.
    used: u64,
}

/// Grids that this many scenes in a row did not use are dropped.
const KEPT_SCENES: u64 = 64;

impl LaneGridCache {
    /// Begins a scene: forgets what has not been used for long.
    pub(super) fn begin_scene(&mut self) {
        self.scenes += 1;
        let oldest = self.scenes.saturating_sub(KEPT_SCENES);
        self.meshes.retain(|e| e.used >= oldest);
        self.voxels.retain(|e| e.used >= oldest);
    }

    pub(super) fn mesh(
        &mut self,
        mesh: &Arc<MeshDistance>,
        make: impl FnOnce(&MeshDistance) -> LaneGrid,
    ) -> Arc<LaneGrid> {
        known(&mut self.meshes, mesh, self.scenes, make)
    }

    pub(super) fn voxels(&mut self, grid: &Arc<VoxelGrid>) -> Arc<LaneGrid> {
        known(&mut self.voxels, grid, self.scenes, LaneGrid::new)
    }

    /// Number of grids that are kept.
    pub fn len(&self) -> usize {
        self.meshes.len() + self.voxels.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn known<T>(
    entries: &mut Vec<Entry<T>>,
    source: &Arc<T>,
    scene: u64,
    make: impl FnOnce(&T) -> LaneGrid,
) -> Arc<LaneGrid> {
    let found = entries.iter_mut().find(|e| Arc::ptr_eq(&e.source, source));
    if let Some(entry) = found {
        entry.used = scene;
        return entry.grid.clone();
    }
    let grid = Arc::new(make(source));
    entries.push(Entry {
        source: source.clone(),
        grid: grid.clone(),
        used: scene,
    });
    grid
}
