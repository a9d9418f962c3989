//! A point cloud of one view, seen again from its viewpoint: how far the surface lies along every direction.

use nalgebra::{Matrix3, Vector3};

/// Pixels are this many times the usual distance of neighbouring points wide, so that few stay empty.
const PIXEL_SPACINGS: f64 = 1.5;
/// Pixels along the longer side, at most.
const MOST_PIXELS: usize = 256;
/// An empty pixel with this many filled neighbours of eight is a hole in the view, not background.
const HOLE_NEIGHBOURS: usize = 5;
/// Neighbouring pixels whose depths differ by more than this many pixel widths show different surfaces.
const JUMP_PIXELS: f64 = 6.0;

/// Depths (distances along the viewing axis) over a regular grid of directions; empty pixels are background.
pub(super) struct DepthGrid {
    viewpoint: Vector3<f64>,
    /// Rows: right, up, forward.
    camera_from_world: Matrix3<f64>,
    /// Slope of the first pixel and of one pixel, along both axes.
    first: [f64; 2],
    slope: f64,
    size: [usize; 2],
    depth: Vec<Option<f64>>,
    /// Distance to the silhouette in pixels, of background pixels.
    outside: Vec<f64>,
    pixel_m: f64,
}

impl DepthGrid {
    /// `None` where the points do not lie in front of the viewpoint, or all on one ray.
    pub fn new(points: &[Vector3<f64>], viewpoint: Vector3<f64>) -> Option<Self> {
        let middle = points.iter().sum::<Vector3<f64>>() / points.len().max(1) as f64;
        let forward = (middle - viewpoint).try_normalize(1e-9)?;
        let right = forward
            .cross(&Vector3::ith(forward.iamin(), 1.0))
            .normalize();
        let up = right.cross(&forward);
        let camera_from_world =
            Matrix3::from_rows(&[right.transpose(), up.transpose(), forward.transpose()]);
        let seen: Vec<Vector3<f64>> = points
            .iter()
            .map(|p| camera_from_world * (p - viewpoint))
            .collect();
        if seen.iter().any(|p| p.z < 1e-6) {
            return None;
        }
        let slopes: Vec<[f64; 2]> = seen.iter().map(|p| [p.x / p.z, p.y / p.z]).collect();
        let slope = pixel_slope(&slopes)?;
        let bound = |axis: usize, pick: fn(f64, f64) -> f64, start: f64| {
            slopes.iter().map(|s| s[axis]).fold(start, pick)
        };
        let first = [0, 1].map(|a| bound(a, f64::min, f64::INFINITY) - 3.0 * slope);
        let last = [0, 1].map(|a| bound(a, f64::max, f64::NEG_INFINITY) + 3.0 * slope);
        let size = [0, 1].map(|a| ((last[a] - first[a]) / slope).ceil() as usize + 1);
        let mut grid = Self {
            viewpoint,
            camera_from_world,
            first,
            slope,
            size,
            depth: vec![None; size[0] * size[1]],
            outside: Vec::new(),
            pixel_m: slope * (middle - viewpoint).norm(),
        };
        let mut bins: Vec<Vec<f64>> = vec![Vec::new(); grid.depth.len()];
        for (point, slopes) in seen.iter().zip(&slopes) {
            if let Some(index) = grid.pixel(slopes) {
                bins[index].push(point.z);
            }
        }
        for (depth, bin) in grid.depth.iter_mut().zip(bins) {
            *depth = nearest_layer(bin, JUMP_PIXELS * slope);
        }
        grid.fill_holes();
        grid.smooth();
        grid.outside = grid.silhouette_distance();
        Some(grid)
    }

    fn pixel(&self, slopes: &[f64; 2]) -> Option<usize> {
        let place = [0, 1].map(|a| ((slopes[a] - self.first[a]) / self.slope).round());
        let inside = |a: usize| place[a] >= 0.0 && place[a] < self.size[a] as f64;
        (inside(0) && inside(1)).then(|| place[0] as usize * self.size[1] + place[1] as usize)
    }

    fn neighbours(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let [i, j] = [(index / self.size[1]) as i64, (index % self.size[1]) as i64];
        let steps = (0..9).filter(|n| *n != 4).map(|n| [n / 3 - 1, n % 3 - 1]);
        steps.filter_map(move |[di, dj]| {
            let [a, b] = [i + di, j + dj];
            let inside = a >= 0 && b >= 0 && a < self.size[0] as i64 && b < self.size[1] as i64;
            inside.then(|| a as usize * self.size[1] + b as usize)
        })
    }

    fn fill_holes(&mut self) {
        for _ in 0..3 {
            let filled: Vec<Option<f64>> = (0..self.depth.len())
                .map(|index| {
                    let around: Vec<f64> = self
                        .neighbours(index)
                        .filter_map(|n| self.depth[n])
                        .collect();
                    match self.depth[index] {
                        None if around.len() >= HOLE_NEIGHBOURS => {
                            Some(around.iter().sum::<f64>() / around.len() as f64)
                        }
                        depth => depth,
                    }
                })
                .collect();
            self.depth = filled;
        }
    }

    /// Chamfer distance of every background pixel to the nearest filled one.
    fn silhouette_distance(&self) -> Vec<f64> {
        let start = |d: &Option<f64>| if d.is_some() { 0.0 } else { f64::INFINITY };
        let mut distance: Vec<f64> = self.depth.iter().map(start).collect();
        let forward: Vec<usize> = (0..distance.len()).collect();
        let backward = forward.iter().rev();
        // Two sweeps in each direction reach every pixel of a convex background, four of any that matters.
        for index in forward
            .iter()
            .chain(backward.clone())
            .chain(&forward)
            .chain(backward)
        {
            let near = self.neighbours(*index).map(|n| {
                let straight =
                    n / self.size[1] == index / self.size[1] || n.abs_diff(*index) == self.size[1];
                distance[n]
                    + if straight {
                        1.0
                    } else {
                        std::f64::consts::SQRT_2
                    }
            });
            distance[*index] = near.fold(distance[*index], f64::min);
        }
        distance
    }

    /// How far a place lies in free space: in front of the seen surface, or beside the silhouette; negative behind the
    /// surface. In the unit of the points.
    pub fn free(&self, place: &Vector3<f64>) -> f64 {
        let seen = self.camera_from_world * (place - self.viewpoint);
        if seen.z <= 1e-9 {
            return f64::INFINITY;
        }
        let slopes = [seen.x / seen.z, seen.y / seen.z];
        let pixel_m = self.slope * seen.z;
        let Some(index) = self.pixel(&slopes) else {
            let beyond = [0, 1].map(|a| {
                let last = self.first[a] + self.slope * (self.size[a] - 1) as f64;
                (self.first[a] - slopes[a]).max(slopes[a] - last).max(0.0)
            });
            return beyond[0].hypot(beyond[1]) * seen.z + 3.0 * pixel_m;
        };
        match self.depth_at(&slopes) {
            Some(depth) => depth - seen.z,
            None => (self.outside[index] - 0.5).max(0.1) * pixel_m,
        }
    }

    /// Depth along a direction: between pixels of one surface, else that of the nearest pixel.
    fn depth_at(&self, slopes: &[f64; 2]) -> Option<f64> {
        let place = [0, 1].map(|a| (slopes[a] - self.first[a]) / self.slope);
        let nearest = self.depth[self.pixel(slopes)?];
        let corner = place.map(|p| p.floor());
        let mut sum = 0.0;
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for c in 0..4 {
            let node = [corner[0] + (c / 2) as f64, corner[1] + (c % 2) as f64];
            let weight = (1.0 - (place[0] - node[0]).abs()) * (1.0 - (place[1] - node[1]).abs());
            if node[0] < 0.0
                || node[1] < 0.0
                || node[0] >= self.size[0] as f64
                || node[1] >= self.size[1] as f64
            {
                return nearest;
            }
            let Some(depth) = self.depth[node[0] as usize * self.size[1] + node[1] as usize] else {
                return nearest;
            };
            sum += weight * depth;
            low = low.min(depth);
            high = high.max(depth);
        }
        match high - low < JUMP_PIXELS * self.slope * low {
            true => Some(sum),
            false => nearest,
        }
    }

    /// Direction from the viewpoint to the middle of the points.
    pub fn forward(&self) -> Vector3<f64> {
        self.camera_from_world.row(2).transpose()
    }

    /// Points of the filled pixels, and for those at the silhouette how squarely the surface there faces the viewpoint: 0
    /// where it turns away smoothly, 1 at the edge of a flat face.
    pub fn surface(&self) -> Vec<(Vector3<f64>, Option<f64>)> {
        let filled = self.depth.iter().enumerate();
        let filled = filled.filter_map(|(index, depth)| Some((index, (*depth)?)));
        filled
            .map(|(index, depth)| {
                let slopes = [index / self.size[1], index % self.size[1]];
                let slopes = [0, 1].map(|a| self.first[a] + self.slope * slopes[a] as f64);
                let seen = Vector3::new(slopes[0] * depth, slopes[1] * depth, depth);
                let rim = self.neighbours(index).any(|n| self.depth[n].is_none());
                let place = self.viewpoint + self.camera_from_world.transpose() * seen;
                (place, rim.then(|| self.facing(index, depth)))
            })
            .collect()
    }

    /// Cosine between the surface's normal and the view.
    fn facing(&self, index: usize, depth: f64) -> f64 {
        let pixel = self.slope * depth;
        self.local_plane(index, depth, 0.1 * depth)
            .map_or(1.0, |p| {
                (1.0 + (p.x * p.x + p.y * p.y) / (pixel * pixel))
                    .sqrt()
                    .recip()
            })
    }

    /// Plane through the pixels around one whose depths differ by less than `jump`: change of depth from pixel to pixel along both axes, and how
    /// far the plane lies behind the pixel's own depth.
    fn local_plane(&self, index: usize, depth: f64, jump: f64) -> Option<Vector3<f64>> {
        const REACH: i64 = 3;
        let [i, j] = [(index / self.size[1]) as i64, (index % self.size[1]) as i64];
        let (mut normal, mut moment) = (Matrix3::zeros(), Vector3::zeros());
        for (a, b) in (-REACH..=REACH).flat_map(|a| (-REACH..=REACH).map(move |b| (a, b))) {
            let [x, y] = [i + a, j + b];
            if x < 0 || y < 0 || x >= self.size[0] as i64 || y >= self.size[1] as i64 {
                continue;
            }
            let near = self.depth[x as usize * self.size[1] + y as usize];
            let Some(near) = near.filter(|d| (d - depth).abs() < jump) else {
                continue;
            };
            let row = Vector3::new(a as f64, b as f64, 1.0);
            normal += row * row.transpose();
            moment += row * (near - depth);
        }
        Some(normal.try_inverse()? * moment)
    }

    /// Takes the camera's noise away, which would give a face the normals of gravel.
    fn smooth(&mut self) {
        let smoothed = (0..self.depth.len()).map(|index| {
            let depth = self.depth[index]?;
            let jump = JUMP_PIXELS * self.slope * depth;
            let offset = self.local_plane(index, depth, jump).map_or(0.0, |p| p.z);
            Some(depth + offset)
        });
        self.depth = smoothed.collect();
    }

    /// Width of a pixel at the middle of the surface, m.
    pub fn pixel_m(&self) -> f64 {
        self.pixel_m
    }
}

/// Slope between pixels, from the area of the directions and their number, refined by how many pixels the points fill.
fn pixel_slope(slopes: &[[f64; 2]]) -> Option<f64> {
    let range = |axis: usize| {
        let values = slopes.iter().map(|s| s[axis]);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
            (l.min(x), h.max(x))
        });
        (low, high - low)
    };
    let ((x, width), (y, height)) = (range(0), range(1));
    let mut slope = (width * height / slopes.len() as f64).sqrt();
    if !(slope > 0.0 && slope.is_finite()) {
        return None;
    }
    // The silhouette fills its rectangle only partly: count the filled cells of this size.
    for _ in 0..3 {
        let mut cells: Vec<[u32; 2]> = slopes
            .iter()
            .map(|s| {
                [
                    ((s[0] - x) / (4.0 * slope)) as u32,
                    ((s[1] - y) / (4.0 * slope)) as u32,
                ]
            })
            .collect();
        cells.sort_unstable();
        cells.dedup();
        let area = cells.len() as f64 * (4.0 * slope).powi(2);
        slope = (area / slopes.len() as f64).sqrt().min(slope);
    }
    let least = width.max(height) / MOST_PIXELS as f64;
    Some((PIXEL_SPACINGS * slope).max(least))
}

/// Mean of the depths that belong to the nearest surface.
fn nearest_layer(mut depths: Vec<f64>, jump: f64) -> Option<f64> {
    depths.sort_by(f64::total_cmp);
    let first = *depths.first()?;
    let layer: Vec<f64> = depths
        .into_iter()
        .take_while(|d| d - first < jump * first)
        .collect();
    Some(layer.iter().sum::<f64>() / layer.len() as f64)
}
