//! A closed surface through a point cloud.
//!
//! What a flood from afar reaches without coming near a point is outside. Each point's normal is that of its neighbours'
//! plane, turned to the side on which the outside is nearer, which thin walls do not confuse. The signed distance is the
//! weighted mean of the distances to the neighbours' planes (implicit moving least squares, Kolluri 2008), and its zero
//! level becomes triangles.

use std::cmp::Ordering;
use std::collections::HashMap;

use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;
use rstar::primitives::GeomWithData;
use rstar::RTree;

use super::isosurface;
use super::{MeshError, TriangleMesh, VoxelGrid};

/// Fewer points are no surface.
pub const LEAST_POINTS: usize = 100;
/// More points are merged with their neighbours first.
const MOST_POINTS: usize = 30_000;
const NEIGHBOURS: usize = 12;
/// Grid cells along the cloud's diagonal, at most.
const CELLS: f64 = 110.0;
/// Distances are computed up to this many cells from the points.
const BAND_CELLS: f64 = 2.5;
/// The flood stays this many cells away from the points: the least that leaves no hole is taken.
const WALL_CELLS: [f64; 4] = [1.3, 2.0, 3.0, 4.0];
/// How far behind that the outside is looked for, in cells.
const SEARCH_CELLS: f64 = 3.0;
/// Cells around the points.
const RIM_CELLS: usize = 8;
/// More points than this share with the outside on both sides make an open cloud; fewer than the other are as good as none.
const OPEN_SHARE: f64 = 0.2;
const CLOSED_SHARE: f64 = 0.003;

/// Triangles of the surface, in the unit of the points.
///
/// # Errors
/// [`MeshError::OpenCloud`]: points of one side only, such as a single view, have no inside. [`MeshError::Empty`]: points
/// that all coincide.
pub fn surface(points: &[[f64; 3]]) -> Result<TriangleMesh, MeshError> {
    let points = thinned(points);
    let tree = Tree::new(&points);
    let neighbours: Vec<Vec<(usize, f64)>> = points
        .par_iter()
        .map(|p| {
            let found = tree.nearest(p);
            found.map(|(i, squared)| (i, squared.sqrt())).collect()
        })
        .collect();
    let grid = Nodes::around(&points, typical_spacing(&neighbours)).ok_or(MeshError::Empty {
        triangles: 0,
        vertices: points.len(),
    })?;
    let planes: Vec<Vector3<f64>> = neighbours
        .par_iter()
        .map(|near| plane_normal(&points, near))
        .collect();
    // A flood that got in through a gap leaves points without an answer: thicker walls, until nearly all have one.
    let mut best = (f64::INFINITY, Vec::new(), Vec::new());
    for wall_cells in WALL_CELLS {
        let outside = grid.flood(&points, wall_cells);
        let reach = wall_cells + SEARCH_CELLS;
        let (normals, share) =
            outward_normals(&points, &planes, &neighbours, &grid, &outside, reach);
        if share < best.0 {
            best = (share, outside, normals);
        }
        if best.0 < CLOSED_SHARE {
            break;
        }
    }
    let (share, outside, normals) = best;
    if share > OPEN_SHARE {
        return Err(MeshError::OpenCloud {
            percent: 100.0 * share,
        });
    }
    let cloud = OrientedCloud {
        points,
        normals,
        tree,
    };
    Ok(merged(&isosurface::triangles(
        &cloud.signed_distance(&grid, &outside),
    )))
}

/// Finds the points next to a place.
struct Tree(RTree<GeomWithData<[f64; 3], usize>>);

impl Tree {
    fn new(points: &[[f64; 3]]) -> Self {
        let entry = |(index, point): (usize, &[f64; 3])| GeomWithData::new(*point, index);
        Self(RTree::bulk_load(
            points.iter().enumerate().map(entry).collect(),
        ))
    }

    /// Index and squared distance of the nearest points, the nearest first.
    fn nearest(&self, place: &[f64; 3]) -> impl Iterator<Item = (usize, f64)> + '_ {
        let found = self.0.nearest_neighbor_iter_with_distance_2(*place);
        found.take(NEIGHBOURS).map(|(n, squared)| (n.data, squared))
    }
}

/// Median distance to the fourth neighbour.
fn typical_spacing(neighbours: &[Vec<(usize, f64)>]) -> f64 {
    let fourth = |n: &Vec<(usize, f64)>| n.get(4).map(|m| m.1);
    let mut distances: Vec<f64> = neighbours.iter().filter_map(fourth).collect();
    distances.sort_by(f64::total_cmp);
    distances.get(distances.len() / 2).copied().unwrap_or(0.0)
}

fn corners(points: &[[f64; 3]]) -> (Vector3<f64>, Vector3<f64>) {
    let far = Vector3::repeat(f64::INFINITY);
    points.iter().fold((far, -far), |(low, high), p| {
        let p = Vector3::from(*p);
        (low.inf(&p), high.sup(&p))
    })
}

/// Means over the cells of a grid that is fine enough to leave [`MOST_POINTS`].
fn thinned(points: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let (low, high) = corners(points);
    let mut cell = (high - low).norm() / 512.0;
    let mut kept = points.to_vec();
    while kept.len() > MOST_POINTS && cell > 0.0 {
        let mut cells: HashMap<[i64; 3], (Vector3<f64>, f64)> = HashMap::new();
        for p in points {
            let p = Vector3::from(*p);
            let key = ((p - low) / cell).map(|x| x.floor() as i64).into();
            let sum = cells.entry(key).or_insert((Vector3::zeros(), 0.0));
            *sum = (sum.0 + p, sum.1 + 1.0);
        }
        kept = cells.values().map(|(sum, n)| (sum / *n).into()).collect();
        // The order of a hash map is not the same twice.
        kept.sort_by(compare);
        cell *= 1.25;
    }
    kept
}

fn compare(a: &[f64; 3], b: &[f64; 3]) -> Ordering {
    let axis = |k: usize| a[k].total_cmp(&b[k]);
    axis(0).then(axis(1)).then(axis(2))
}

/// A regular grid around the points.
struct Nodes {
    origin: Vector3<f64>,
    cell: f64,
    size: [usize; 3],
}

impl Nodes {
    /// `None` for points that span nothing.
    fn around(points: &[[f64; 3]], spacing: f64) -> Option<Self> {
        let (low, high) = corners(points);
        let diagonal = (high - low).norm();
        if !(diagonal > 0.0 && spacing > 0.0) {
            return None;
        }
        let cell = spacing.max(diagonal / CELLS);
        let count = |x: f64| (x / cell).ceil() as usize + 2 * RIM_CELLS + 1;
        Some(Self {
            origin: low - Vector3::repeat(RIM_CELLS as f64 * cell),
            cell,
            size: (high - low).map(count).into(),
        })
    }

    fn count(&self) -> usize {
        self.size.iter().product()
    }

    fn index(&self, [i, j, k]: [usize; 3]) -> usize {
        (i * self.size[1] + j) * self.size[2] + k
    }

    fn node(&self, index: usize) -> [usize; 3] {
        let [_, ny, nz] = self.size;
        [index / (ny * nz), index / nz % ny, index % nz]
    }

    fn position(&self, index: usize) -> Vector3<f64> {
        self.origin + Vector3::from(self.node(index).map(|n| n as f64)) * self.cell
    }

    /// Index of the node next to a position inside the grid.
    fn nearest(&self, position: &Vector3<f64>) -> usize {
        let place = ((position - self.origin) / self.cell).map(|x| x.round() as usize);
        self.index(place.into())
    }

    /// Calls `visit` for every node within `reach_cells` of a point.
    fn near(&self, point: &[f64; 3], reach_cells: f64, mut visit: impl FnMut(usize)) {
        let place = (Vector3::from(*point) - self.origin) / self.cell;
        let low = place.map(|x| (x - reach_cells).ceil() as usize);
        let high = place.map(|x| (x + reach_cells).floor() as usize);
        for i in low.x..=high.x {
            for j in low.y..=high.y {
                for k in low.z..=high.z {
                    let offset = Vector3::new(i as f64, j as f64, k as f64) - place;
                    if offset.norm_squared() <= reach_cells * reach_cells {
                        visit(self.index([i, j, k]));
                    }
                }
            }
        }
    }

    /// The nodes that a flood from the first one reaches without coming near a point.
    fn flood(&self, points: &[[f64; 3]], wall_cells: f64) -> Vec<bool> {
        let mut wall = vec![false; self.count()];
        for point in points {
            self.near(point, wall_cells, |index| wall[index] = true);
        }
        let mut outside = vec![false; self.count()];
        outside[0] = true;
        let mut open = vec![0];
        while let Some(index) = open.pop() {
            let node = self.node(index);
            for axis in 0..3 {
                for forward in [false, true] {
                    let mut next = node;
                    next[axis] = match forward {
                        true => next[axis] + 1,
                        // Below zero it wraps, and is out of the grid too.
                        false => next[axis].wrapping_sub(1),
                    };
                    if next[axis] >= self.size[axis] {
                        continue;
                    }
                    let next = self.index(next);
                    if !wall[next] && !outside[next] {
                        outside[next] = true;
                        open.push(next);
                    }
                }
            }
        }
        outside
    }
}

/// The planes' normals turned towards the side on which the outside is nearer, looked for up to `reach_cells`, and the
/// share of points at which neither side is.
fn outward_normals(
    points: &[[f64; 3]],
    planes: &[Vector3<f64>],
    neighbours: &[Vec<(usize, f64)>],
    grid: &Nodes,
    outside: &[bool],
    reach_cells: f64,
) -> (Vec<Vector3<f64>>, f64) {
    // How far the outside is along a direction, in half cells.
    let way = |p: &Vector3<f64>, direction: &Vector3<f64>| {
        let steps = (2.0 * reach_cells) as usize;
        (1..=steps)
            .find(|&n| outside[grid.nearest(&(p + direction * (0.5 * n as f64 * grid.cell)))])
    };
    let turned: Vec<(Vector3<f64>, bool)> = points
        .par_iter()
        .zip(planes)
        .map(|(p, &normal)| {
            let p = Vector3::from(*p);
            match (way(&p, &normal), way(&p, &-normal)) {
                (Some(a), Some(b)) if a.abs_diff(b) <= 1 => (normal, false),
                (Some(a), Some(b)) if a > b => (-normal, true),
                (None, Some(_)) => (-normal, true),
                (ahead, _) => (normal, ahead.is_some()),
            }
        })
        .collect();
    let undecided = turned.iter().filter(|(_, decided)| !decided).count();
    // Those without an answer follow their neighbours.
    let normal = |(i, near): (usize, &Vec<(usize, f64)>)| {
        let (own, decided) = turned[i];
        let around = near.iter().map(|&(j, _)| turned[j]).filter(|(_, d)| *d);
        let mean: Vector3<f64> = around.map(|(n, _)| n).sum();
        match decided || own.dot(&mean) >= 0.0 {
            true => own,
            false => -own,
        }
    };
    let normals = neighbours.iter().enumerate().map(normal).collect();
    (normals, undecided as f64 / points.len() as f64)
}

/// Points with outward normals.
struct OrientedCloud {
    points: Vec<[f64; 3]>,
    normals: Vec<Vector3<f64>>,
    tree: Tree,
}

impl OrientedCloud {
    /// Signed distance around the points: near them by their planes; elsewhere only its sign is meant.
    fn signed_distance(&self, grid: &Nodes, outside: &[bool]) -> VoxelGrid {
        let band = BAND_CELLS * grid.cell;
        let far = |&outside: &bool| if outside { band } else { -band } as f32;
        let mut values: Vec<f32> = outside.iter().map(far).collect();
        let mut is_near = vec![false; values.len()];
        for point in &self.points {
            grid.near(point, BAND_CELLS, |index| is_near[index] = true);
        }
        let near = values.par_iter_mut().zip(is_near).enumerate();
        near.filter(|(_, (_, near))| *near)
            .for_each(|(index, (value, _))| {
                let distance = self.plane_distance(&grid.position(index), grid.cell);
                *value = distance.clamp(-band, band) as f32;
            });
        VoxelGrid {
            origin_m: grid.origin.into(),
            spacing_m: grid.cell,
            size: grid.size,
            values,
        }
    }

    /// Weighted mean of the distances to the neighbours' planes.
    fn plane_distance(&self, point: &Vector3<f64>, cell: f64) -> f64 {
        let width = (1.2 * cell).powi(2);
        let (mut sum, mut weights) = (0.0, 0.0);
        let mut nearest = None;
        for (index, squared) in self.tree.nearest(&(*point).into()) {
            // Relative to the nearest, so that far nodes keep a weight.
            let weight = (-(squared - *nearest.get_or_insert(squared)) / width).exp();
            let offset = point - Vector3::from(self.points[index]);
            sum += weight * self.normals[index].dot(&offset);
            weights += weight;
        }
        sum / weights
    }
}

/// Direction in which the neighbours spread least.
fn plane_normal(points: &[[f64; 3]], near: &[(usize, f64)]) -> Vector3<f64> {
    let at = |&(i, _): &(usize, f64)| Vector3::from(points[i]);
    let mean = near.iter().map(at).sum::<Vector3<f64>>() / near.len() as f64;
    let spread: Matrix3<f64> = near
        .iter()
        .map(|n| (at(n) - mean) * (at(n) - mean).transpose())
        .sum();
    let eigen = spread.symmetric_eigen();
    eigen
        .eigenvectors
        .column(eigen.eigenvalues.imin())
        .into_owned()
}

/// Triangles with common corners as a mesh.
pub(super) fn merged(triangles: &[[Vector3<f64>; 3]]) -> TriangleMesh {
    let mut mesh = TriangleMesh::default();
    let mut index_of: HashMap<[u64; 3], u32> = HashMap::new();
    for triangle in triangles {
        let indices = triangle.map(|corner| {
            let key = corner.map(|x| (x + 0.0).to_bits()).into();
            *index_of.entry(key).or_insert_with(|| {
                mesh.vertices.push(corner.into());
                (mesh.vertices.len() - 1) as u32
            })
        });
        mesh.triangles.push(indices);
    }
    mesh
}
