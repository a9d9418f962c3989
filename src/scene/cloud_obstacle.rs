//! A point cloud as an obstacle: everything near a point is solid.
//!
//! The kernels read a grid of distances, the verifier balls that hold the points; both are conservative.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use nalgebra::{Point3, Vector3};

use super::distance_transform::distances;
use super::{SignedDistance, VoxelGrid};
use crate::geometry::Pose;

/// How points become an obstacle.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudSettings {
    /// Side of a voxel [m]; made larger where the cloud would fill more than 3 million.
    pub voxel_m: f64,
    /// Points with fewer others nearby (within four to eight voxels) are taken for noise; 0: none is.
    pub least_neighbours: usize,
    /// Where the sensor stood, in the cloud's frame [m]: what lies behind a seen surface is then solid for `depth_m`.
    pub sensor_m: Option<[f64; 3]>,
    /// Thickness given to seen surfaces [m].
    pub depth_m: f64,
    /// Points further than this from the cloud's origin are left out [m].
    pub reach_m: f64,
}

impl Default for CloudSettings {
    fn default() -> Self {
        Self {
            voxel_m: 0.01,
            least_neighbours: 4,
            sensor_m: None,
            depth_m: 0.02,
            reach_m: f64::INFINITY,
        }
    }
}

/// A known body in the cloud: its own points are no obstacle.
pub struct Carved<'a> {
    pub solid: &'a dyn SignedDistance,
    pub cloud_from_solid: Pose,
    /// Points up to this far outside the body count as its own [m]: noise of the sensor and error of the pose.
    pub margin_m: f64,
}

/// The points of one voxel lie in this ball.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CloudBall {
    /// In the cloud's frame, m.
    pub center_m: [f64; 3],
    pub radius_m: f64,
}

/// What became of the points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloudCounts {
    pub kept: usize,
    /// Not finite, or beyond the reach.
    pub dropped: usize,
    pub outliers: usize,
    pub carved: usize,
}

/// A cloud in its own frame.
#[derive(Clone, Debug)]
pub struct CloudObstacle {
    /// Distance for the kernels: never above that to the nearest point, and not below it by more than about two voxels;
    /// truncated at 0.1 m.
    pub grid: Arc<VoxelGrid>,
    /// Balls that hold all points that were kept; made apart from the grid.
    pub balls: Vec<CloudBall>,
    pub counts: CloudCounts,
}

/// A cloud that makes no obstacle.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CloudError {
    #[error("voxel size is {value_m} m, it must be in [0.005, 0.1] m")]
    Voxel { value_m: f64 },
    #[error("depth is {value_m} m, it must be in [0, 0.5] m")]
    Depth { value_m: f64 },
    #[error("of {} points none is left: {} not finite or beyond the reach, {} without neighbours, {} on known objects", .0.dropped + .0.outliers + .0.carved, .0.dropped, .0.outliers, .0.carved)]
    Empty(CloudCounts),
}

/// Distances are known up to here [m].
const BAND_M: f64 = 0.1;
const MOST_CELLS: f64 = 3e6;
/// Voxels along the side of a cell in which neighbours are counted.
const OUTLIER_CELL: f64 = 4.0;
/// What is taken off the distance between grid nodes, in voxels: a point lies up to sqrt(3)/2 from its node, and between nodes
/// the interpolated distance to a node exceeds the true one by up to 0.26 (that of the nearest of many nodes by no more, as
/// the interpolation of a minimum is at most the minimum of the interpolations).
const SHIFT: f64 = 0.8661 + 0.26;

impl CloudObstacle {
    /// Makes an obstacle of points `[N x 3]`, m. An empty cloud, or one of which nothing is left, is an error: it says that
    /// there is free space, which no cloud can.
    pub fn new(
        points: &[[f64; 3]],
        settings: &CloudSettings,
        carved: &[Carved<'_>],
    ) -> Result<Self, CloudError> {
        let voxel = settings.voxel_m;
        if !(0.005..=0.1).contains(&voxel) {
            return Err(CloudError::Voxel { value_m: voxel });
        }
        if !(0.0..=0.5).contains(&settings.depth_m) {
            return Err(CloudError::Depth {
                value_m: settings.depth_m,
            });
        }
        let mut counts = CloudCounts::default();
        let within = |p: &[f64; 3]| {
            let squared: f64 = p.iter().map(|x| x * x).sum();
            squared <= settings.reach_m.powi(2)
        };
        let mut kept: Vec<[f64; 3]> = points.iter().copied().filter(within).collect();
        counts.dropped = points.len() - kept.len();
        counts.outliers = drop_outliers(&mut kept, OUTLIER_CELL * voxel, settings.least_neighbours);
        let before = kept.len();
        kept.retain(|p| !carved.iter().any(|c| c.holds(p)));
        counts.carved = before - kept.len();
        counts.kept = kept.len();
        if kept.is_empty() {
            return Err(CloudError::Empty(counts));
        }
        let lattice = Lattice::around(&kept, settings);
        let (occupied, balls) = lattice.fill(&kept, settings);
        let band = (BAND_M / lattice.spacing_m).ceil() as usize;
        let values = distances(&occupied, lattice.size, band)
            .into_iter()
            .map(|steps| ((f64::from(steps) - SHIFT) * lattice.spacing_m) as f32)
            .collect();
        let grid = VoxelGrid {
            origin_m: lattice.origin_m,
            spacing_m: lattice.spacing_m,
            size: lattice.size,
            values,
        };
        Ok(Self {
            grid: Arc::new(grid),
            balls,
            counts,
        })
    }
}

impl Carved<'_> {
    fn holds(&self, point: &[f64; 3]) -> bool {
        let local = self
            .cloud_from_solid
            .inverse_transform_point(&Point3::from(*point));
        let (low, high) = self.solid.bounds();
        let near = (0..3)
            .all(|k| local[k] >= low[k] - self.margin_m && local[k] <= high[k] + self.margin_m);
        near && self.solid.distance(&local) <= self.margin_m
    }
}

/// Nodes over the points with a border as wide as the band.
struct Lattice {
    origin_m: [f64; 3],
    spacing_m: f64,
    size: [usize; 3],
}

impl Lattice {
    fn around(points: &[[f64; 3]], settings: &CloudSettings) -> Self {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for p in points {
            for k in 0..3 {
                low[k] = low[k].min(p[k]);
                high[k] = high[k].max(p[k]);
            }
        }
        let border = BAND_M + settings.depth_m * f64::from(u8::from(settings.sensor_m.is_some()));
        let extent: [f64; 3] = std::array::from_fn(|k| high[k] - low[k] + 2.0 * border);
        let mut spacing_m = settings.voxel_m;
        let cells = |spacing: f64| extent.iter().map(|e| e / spacing + 3.0).product::<f64>();
        while cells(spacing_m) > MOST_CELLS {
            spacing_m *= 1.1;
        }
        Self {
            origin_m: std::array::from_fn(|k| low[k] - border - spacing_m),
            spacing_m,
            size: extent.map(|e| (e / spacing_m).ceil() as usize + 3),
        }
    }

    /// Index of the node nearest to a point of the lattice.
    fn node(&self, point: &[f64; 3]) -> usize {
        let place: [usize; 3] = std::array::from_fn(|k| {
            let steps = (point[k] - self.origin_m[k]) / self.spacing_m;
            ((steps + 0.5) as usize).min(self.size[k] - 1)
        });
        (place[0] * self.size[1] + place[1]) * self.size[2] + place[2]
    }

    /// Occupied nodes, and balls around the points of each.
    fn fill(&self, points: &[[f64; 3]], settings: &CloudSettings) -> (Vec<bool>, Vec<CloudBall>) {
        let mut slots = vec![u32::MAX; self.size.iter().product()];
        let mut boxes: Vec<[[f64; 3]; 2]> = Vec::new();
        let mut occupied = vec![false; slots.len()];
        for p in points {
            let node = self.node(p);
            occupied[node] = true;
            if slots[node] == u32::MAX {
                slots[node] = boxes.len() as u32;
                boxes.push([*p, *p]);
            }
            let [low, high] = &mut boxes[slots[node] as usize];
            for k in 0..3 {
                low[k] = low[k].min(p[k]);
                high[k] = high[k].max(p[k]);
            }
        }
        let balls: Vec<CloudBall> = boxes
            .iter()
            .map(|[low, high]| CloudBall {
                center_m: std::array::from_fn(|k| 0.5 * (low[k] + high[k])),
                radius_m: 0.5 * (Vector3::from(*high) - Vector3::from(*low)).norm(),
            })
            .collect();
        if let Some(sensor_m) = settings.sensor_m {
            let steps = (settings.depth_m / self.spacing_m).ceil() as usize;
            for ball in &balls {
                let seen = Vector3::from(ball.center_m);
                let ray = (seen - Vector3::from(sensor_m)).normalize();
                for step in 1..=steps {
                    let behind = settings.depth_m * step as f64 / steps as f64;
                    let place: [f64; 3] = (seen + ray * behind).into();
                    if place.iter().all(|x| x.is_finite()) {
                        occupied[self.node(&place)] = true;
                    }
                }
            }
        }
        (occupied, balls)
    }
}

/// Drops points whose cell and its 26 neighbours hold at most `least` others; how many.
fn drop_outliers(points: &mut Vec<[f64; 3]>, cell_m: f64, least: usize) -> usize {
    if least == 0 {
        return 0;
    }
    let cell = |p: &[f64; 3]| p.map(|x| (x / cell_m).floor() as i64);
    let mut counts: HashMap<[i64; 3], u32, BuildHasherDefault<CellHasher>> = HashMap::default();
    let (mut last, mut run) = ([i64::MAX; 3], 0u32);
    // Neighbours in the list are mostly neighbours in space: one look-up serves a run of them.
    for p in points.iter() {
        let at = cell(p);
        if at != last {
            if run > 0 {
                *counts.entry(last).or_default() += run;
            }
            (last, run) = (at, 0);
        }
        run += 1;
    }
    if run > 0 {
        *counts.entry(last).or_default() += run;
    }
    let around = |at: &[i64; 3]| -> usize {
        let offsets = (0..27).map(|n| [n / 9 - 1, n / 3 % 3 - 1, n % 3 - 1]);
        let cells = offsets.map(|o| [at[0] + o[0], at[1] + o[1], at[2] + o[2]]);
        cells
            .filter_map(|c| counts.get(&c))
            .map(|&n| n as usize)
            .sum()
    };
    let lonely: Vec<[i64; 3]> = counts
        .keys()
        .filter(|at| around(at) <= least)
        .copied()
        .collect();
    for at in &lonely {
        counts.remove(at);
    }
    let before = points.len();
    if !lonely.is_empty() {
        points.retain(|p| counts.contains_key(&cell(p)));
    }
    before - points.len()
}

/// Multiplies and mixes: cells are no adversary's choice.
#[derive(Default)]
struct CellHasher(u64);

impl Hasher for CellHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_i64(i64::from(byte));
        }
    }

    fn write_i64(&mut self, value: i64) {
        self.0 = (self.0.rotate_left(21) ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[cfg(test)]
#[path = "cloud_obstacle_tests.rs"]
mod tests;
