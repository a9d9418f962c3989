//! The scene laid out for sixteen configurations at once.

use std::sync::Arc;

use super::lane_grid::LaneGrid;
use super::lane_grid_cache::LaneGridCache;
use super::{MeshDistance, Scene, SceneObject, Shape, SignedDistance, VoxelGrid};
use crate::lanes::{dot, mul_add, scale, splat, splat3, sub, Lanes, Lanes3, ZERO};

/// How the distance to an obstacle is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleKind {
    Sphere,
    Capsule,
    Box,
    Cylinder,
    Plane,
    Grid,
}

/// Grid points along the longest side of a mesh that is given as triangles.
const MESH_GRID_POINTS: f64 = 56.0;
/// Grid points beyond the mesh on each side.
const MESH_GRID_BORDER: f64 = 3.0;
/// Squared distances below this count as "on the axis", m^2: no direction can be told there.
const TINY_M2: f32 = 1e-12;

/// One obstacle as constants: a core (point, segment, box, cylinder) rounded by a radius.
#[derive(Clone, Debug)]
pub struct LaneObstacle {
    pub kind: ObstacleKind,
    /// Centre in the world, m.
    center: [f32; 3],
    /// The object's axes in the world.
    axes: [[f32; 3]; 3],
    /// Half extents of the core along the object's axes (cylinder: radius, radius, half length), m.
    half: [f32; 3],
    /// What is added around the core: radius and margin, m.
    rounding: f32,
    grid: Option<Arc<LaneGrid>>,
}

/// Obstacles as constants for the lane kernels, sorted by kind so that branches on it are foreseen.
#[derive(Clone, Debug, Default)]
pub struct LaneScene {
    obstacles: Vec<LaneObstacle>,
    names: Vec<String>,
}

impl LaneScene {
    /// Lays a validated scene out once; see [`Self::with_cache`].
    pub fn from_scene(scene: &Scene) -> Self {
        Self::with_cache(scene, &mut LaneGridCache::default())
    }

    /// Lays a validated scene out. A mesh given as triangles is sampled on a grid here, which takes long (some tenths of a
    /// second), unless `grids` knows it from an earlier scene.
    pub fn with_cache(scene: &Scene, grids: &mut LaneGridCache) -> Self {
        grids.begin_scene();
        let mut objects: Vec<(LaneObstacle, &str)> = scene
            .objects
            .iter()
            .map(|o| (LaneObstacle::new(o, grids), o.name.as_str()))
            .collect();
        objects.sort_by_key(|(obstacle, _)| obstacle.kind);
        let names = objects.iter().map(|(_, name)| name.to_string()).collect();
        Self {
            obstacles: objects.into_iter().map(|(obstacle, _)| obstacle).collect(),
            names,
        }
    }

    /// The same scene without the obstacles of these names.
    pub fn without(&self, left_out: &[String]) -> Self {
        let kept = self.obstacles.iter().zip(&self.names);
        let (obstacles, names) = kept
            .filter(|(_, name)| !left_out.contains(name))
            .map(|(obstacle, name)| (obstacle.clone(), name.clone()))
            .unzip();
        Self { obstacles, names }
    }

    /// Obstacles in the kernels' order.
    #[inline(always)]
    pub fn obstacles(&self) -> &[LaneObstacle] {
        &self.obstacles
    }

    /// Name of obstacle `index` in the kernels' order.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// Index of an obstacle in the kernels' order.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// Number of obstacles.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing stands around.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

fn mesh_grid(mesh: &MeshDistance) -> LaneGrid {
    let (low, high) = mesh.bounds();
    let extent = high - low;
    let spacing = (extent.max() / MESH_GRID_POINTS).max(1e-4);
    let size =
        std::array::from_fn(|k| (extent[k] / spacing + 2.0 * MESH_GRID_BORDER).ceil() as usize + 1);
    let origin = std::array::from_fn(|k| low[k] - MESH_GRID_BORDER * spacing);
    LaneGrid::new(&VoxelGrid::from_mesh(mesh, origin, spacing, size))
}

impl LaneObstacle {
    fn new(object: &SceneObject, grids: &mut LaneGridCache) -> Self {
        let pose = &object.world_from_object;
        let rotation = pose.rotation.to_rotation_matrix();
        let mut center = pose.translation.vector;
        let f = |v: f64| v as f32;
        let (kind, half, rounding, grid) = match &object.shape {
            Shape::Sphere { radius_m } => (ObstacleKind::Sphere, [0.0; 3], f(*radius_m), None),
            Shape::Capsule { radius_m, length_m } => (
                ObstacleKind::Capsule,
                [0.0, 0.0, f(0.5 * length_m)],
                f(*radius_m),
                None,
            ),
            Shape::Box { half_extents_m } => (ObstacleKind::Box, half_extents_m.map(f), 0.0, None),
            Shape::Cylinder { radius_m, length_m } => (
                ObstacleKind::Cylinder,
                [f(*radius_m), f(*radius_m), f(0.5 * length_m)],
                0.0,
                None,
            ),
            Shape::Plane => (ObstacleKind::Plane, [0.0; 3], 0.0, None),
            Shape::Voxels(grid) => Self::grid_parts(grids.voxels(grid)),
            Shape::Cloud(cloud) => Self::grid_parts(grids.voxels(&cloud.grid)),
            Shape::Mesh(mesh) => Self::grid_parts(grids.mesh(mesh, mesh_grid)),
        };
        if let Some(grid) = &grid {
            center += rotation * nalgebra::Vector3::from(grid.center_m);
        }
        Self {
            kind,
            center: std::array::from_fn(|k| f(center[k])),
            axes: std::array::from_fn(|c| std::array::from_fn(|r| f(rotation[(r, c)]))),
            half,
            rounding: rounding + f(object.margin_m),
            grid,
        }
    }

    fn grid_parts(grid: Arc<LaneGrid>) -> (ObstacleKind, [f32; 3], f32, Option<Arc<LaneGrid>>) {
        (
            ObstacleKind::Grid,
            grid.half_m.map(|v| v as f32),
            0.0,
            Some(grid),
        )
    }

    #[inline(always)]
    fn offset_from_center(&self, point: &Lanes3) -> Lanes3 {
        sub(point, &splat3(self.center))
    }

    #[inline(always)]
    fn along(&self, axis: usize, offset: &Lanes3) -> Lanes {
        dot(offset, &splat3(self.axes[axis]))
    }

    #[inline(always)]
    fn local(&self, offset: &Lanes3) -> Lanes3 {
        [
            self.along(0, offset),
            self.along(1, offset),
            self.along(2, offset),
        ]
    }

    #[inline(always)]
    fn to_world(&self, local: &Lanes3) -> Lanes3 {
        let x = scale(&splat3(self.axes[0]), local[0]);
        let xy = mul_add(&splat3(self.axes[1]), local[1], &x);
        mul_add(&splat3(self.axes[2]), local[2], &xy)
    }

    /// From the nearest point of a segment along z.
    #[inline(always)]
    fn offset_from_segment(&self, point: &Lanes3) -> Lanes3 {
        let offset = self.offset_from_center(point);
        let half = splat(self.half[2]);
        let t = self.along(2, &offset).fast_max(-half).fast_min(half);
        mul_add(&splat3(self.axes[2]), -t, &offset)
    }

    /// Squared distance to the core, 0 inside it, m^2. Of a grid: to its cube. Not for planes.
    #[inline(always)]
    fn core_distance_squared(&self, point: &Lanes3) -> Lanes {
        match self.kind {
            ObstacleKind::Sphere => {
                let offset = self.offset_from_center(point);
                dot(&offset, &offset)
            }
            ObstacleKind::Capsule => {
                let offset = self.offset_from_segment(point);
                dot(&offset, &offset)
            }
            ObstacleKind::Cylinder => {
                let offset = self.offset_from_center(point);
                let height = self.along(2, &offset);
                let rho2 = (dot(&offset, &offset) - height * height).fast_max(ZERO);
                let side = (rho2.sqrt() - splat(self.half[0])).fast_max(ZERO);
                let cap = (height.abs() - splat(self.half[2])).fast_max(ZERO);
                side.mul_add(side, cap * cap)
            }
            _ => {
                let local = self.local(&self.offset_from_center(point));
                let beyond: Lanes3 =
                    std::array::from_fn(|k| (local[k].abs() - splat(self.half[k])).fast_max(ZERO));
                dot(&beyond, &beyond)
            }
        }
    }

    /// Mask of the lanes whose point may be nearer than `reach` (m, not negative). Exact but for grids, where
    /// it is the cube that counts.
    #[inline(always)]
    pub fn is_near(&self, point: &Lanes3, reach: Lanes) -> Lanes {
        if self.kind == ObstacleKind::Plane {
            let height = self.along(2, &self.offset_from_center(point));
            return height.simd_lt(reach + splat(self.rounding));
        }
        // A negative margin may leave nothing to reach for.
        let reach = (reach + splat(self.rounding)).fast_max(ZERO);
        self.core_distance_squared(point).simd_lt(reach * reach)
    }

    /// Mask of the lanes whose point is nearer than `reach` (m, not negative).
    #[inline(always)]
    pub fn is_nearer(&self, point: &Lanes3, reach: Lanes) -> Lanes {
        let near = self.is_near(point, reach);
        if self.kind == ObstacleKind::Grid && near.any() {
            let (distance, _) = self.distance_and_gradient(point, near.to_bitmask());
            return near & distance.simd_lt(reach);
        }
        near
    }

    /// Signed distance (m) and its gradient in world axes, in the `wanted` lanes (bit mask). In others the distance may be
    /// smaller than it is, but not below that to the cube of a grid.
    #[inline(always)]
    pub fn distance_and_gradient(&self, point: &Lanes3, wanted: u32) -> (Lanes, Lanes3) {
        let (distance, gradient) = match self.kind {
            ObstacleKind::Sphere => away(&self.offset_from_center(point)),
            ObstacleKind::Capsule => away(&self.offset_from_segment(point)),
            ObstacleKind::Box => self.box_distance(point),
            ObstacleKind::Cylinder => self.cylinder_distance(point),
            ObstacleKind::Plane => (
                self.along(2, &self.offset_from_center(point)),
                splat3(self.axes[2]),
            ),
            ObstacleKind::Grid => self.grid_distance(point, wanted),
        };
        (distance - splat(self.rounding), gradient)
    }

    #[inline(always)]
    fn box_distance(&self, point: &Lanes3) -> (Lanes, Lanes3) {
        let local = self.local(&self.offset_from_center(point));
        let beyond: Lanes3 = std::array::from_fn(|k| local[k].abs() - splat(self.half[k]));
        let outside = beyond.map(|v| v.fast_max(ZERO));
        let squared = dot(&outside, &outside);
        let is_outside = squared.simd_gt(splat(TINY_M2));
        let inverse = splat(1.0) / squared.fast_max(splat(TINY_M2)).sqrt();
        let deepest = beyond[0].fast_max(beyond[1]).fast_max(beyond[2]);
        let first = beyond[0].simd_ge(deepest);
        let second = beyond[1].simd_ge(deepest) & !first;
        let third = !(first | second);
        let one = splat(1.0);
        let gradient: Lanes3 = std::array::from_fn(|k| {
            let face = [first, second, third][k] & one;
            is_outside
                .select(outside[k] * inverse, face)
                .copysign(local[k])
        });
        (
            is_outside.select(squared * inverse, deepest),
            self.to_world(&gradient),
        )
    }

    #[inline(always)]
    fn cylinder_distance(&self, point: &Lanes3) -> (Lanes, Lanes3) {
        let offset = self.offset_from_center(point);
        let height = self.along(2, &offset);
        let axis = splat3(self.axes[2]);
        let radial = mul_add(&axis, -height, &offset);
        let (rho, outward) = away(&radial);
        let side = rho - splat(self.half[0]);
        let cap = height.abs() - splat(self.half[2]);
        let (over_side, over_cap) = (side.fast_max(ZERO), cap.fast_max(ZERO));
        let squared = over_side.mul_add(over_side, over_cap * over_cap);
        let is_outside = squared.simd_gt(splat(TINY_M2));
        let inverse = splat(1.0) / squared.fast_max(splat(TINY_M2)).sqrt();
        let by_side = side.simd_gt(cap);
        let one = splat(1.0);
        let along_rho = is_outside.select(over_side * inverse, by_side & one);
        let along_axis = is_outside
            .select(over_cap * inverse, !by_side & one)
            .copysign(height);
        let gradient = mul_add(&axis, along_axis, &scale(&outward, along_rho));
        (
            is_outside.select(squared * inverse, side.fast_max(cap)),
            gradient,
        )
    }

    fn grid_distance(&self, point: &Lanes3, wanted: u32) -> (Lanes, Lanes3) {
        let local = self.local(&self.offset_from_center(point));
        match &self.grid {
            Some(grid) => {
                let (distance, gradient) = grid.distance_and_gradient(&local, wanted);
                (distance, self.to_world(&gradient))
            }
            None => (splat(f32::INFINITY), splat3([0.0; 3])),
        }
    }
}

/// Length of an offset and its direction (zero where there is none).
#[inline(always)]
fn away(offset: &Lanes3) -> (Lanes, Lanes3) {
    let squared = dot(offset, offset);
    let inverse = splat(1.0) / squared.fast_max(splat(TINY_M2)).sqrt();
    (squared * inverse, scale(offset, inverse))
}

#[cfg(test)]
#[path = "lane_scene_tests.rs"]
mod tests;
