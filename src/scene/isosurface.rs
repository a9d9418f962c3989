//! The surface of a voxel grid as triangles, by marching tetrahedra: for bodies known only as sampled distances.

use nalgebra::Vector3;

use super::VoxelGrid;

/// A cell's corners, bit k of the index set: upper corner along axis k.
/// Six tetrahedra around the diagonal from corner 0 to corner 7; neighbouring cells agree on their common faces.
const TETRAHEDRA: [[usize; 4]; 6] = [
    [0, 1, 3, 7],
    [0, 3, 2, 7],
    [0, 2, 6, 7],
    [0, 6, 4, 7],
    [0, 4, 5, 7],
    [0, 5, 1, 7],
];

/// Triangles of the zero level in the grid's frame, m, normals pointing outwards. A body that reaches the border of its
/// grid stays open there.
pub fn triangles(grid: &VoxelGrid) -> Vec<[Vector3<f64>; 3]> {
    let mut result = Vec::new();
    let [nx, ny, nz] = grid.size;
    for i in 0..nx.saturating_sub(1) {
        for j in 0..ny.saturating_sub(1) {
            for k in 0..nz.saturating_sub(1) {
                let corner = |c: usize| [i + (c & 1), j + (c >> 1 & 1), k + (c >> 2 & 1)];
                let values: [f64; 8] = std::array::from_fn(|c| f64::from(grid.at(corner(c))));
                let inside = values.iter().filter(|v| **v < 0.0).count();
                if inside == 0 || inside == 8 {
                    continue;
                }
                let points: [Vector3<f64>; 8] = std::array::from_fn(|c| {
                    Vector3::from_fn(|axis, _| {
                        grid.origin_m[axis] + grid.spacing_m * corner(c)[axis] as f64
                    })
                });
                for tetrahedron in TETRAHEDRA {
                    cut(
                        tetrahedron.map(|c| points[c]),
                        tetrahedron.map(|c| values[c]),
                        &mut result,
                    );
                }
            }
        }
    }
    result
}

/// Adds where the zero level cuts a tetrahedron: nothing, a triangle, or a quadrangle as two.
fn cut(points: [Vector3<f64>; 4], values: [f64; 4], triangles: &mut Vec<[Vector3<f64>; 3]>) {
    let mut inside = [0; 4];
    let mut outside = [0; 4];
    let (mut n_inside, mut n_outside) = (0, 0);
    for (corner, value) in values.iter().enumerate() {
        if *value < 0.0 {
            inside[n_inside] = corner;
            n_inside += 1;
        } else {
            outside[n_outside] = corner;
            n_outside += 1;
        }
    }
    let crossing = |a: usize, b: usize| {
        let share = values[a] / (values[a] - values[b]);
        points[a] + (points[b] - points[a]) * share
    };
    let (i, o) = (inside, outside);
    let polygon = match (n_inside, n_outside) {
        (1, 3) => vec![
            crossing(i[0], o[0]),
            crossing(i[0], o[1]),
            crossing(i[0], o[2]),
        ],
        (3, 1) => vec![
            crossing(i[0], o[0]),
            crossing(i[1], o[0]),
            crossing(i[2], o[0]),
        ],
        (2, 2) => vec![
            crossing(i[0], o[0]),
            crossing(i[0], o[1]),
            crossing(i[1], o[1]),
            crossing(i[1], o[0]),
        ],
        _ => return,
    };
    // From any inner to any outer corner the level is crossed outwards.
    let outwards = points[o[0]] - points[i[0]];
    for n in 1..polygon.len() - 1 {
        let (a, b, c) = (polygon[0], polygon[n], polygon[n + 1]);
        let normal = (b - a).cross(&(c - a));
        if normal.norm_squared() > 0.0 {
            triangles.push(if normal.dot(&outwards) >= 0.0 {
                [a, b, c]
            } else {
                [a, c, b]
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampled_ball_has_the_area_and_volume_of_a_ball() {
        let (radius, spacing, n) = (0.1, 0.01, 27);
        let origin = -0.131;
        let mut values = Vec::new();
        for i in 0..n {
            for j in 0..n {
                for k in 0..n {
                    let p = Vector3::new(i as f64, j as f64, k as f64) * spacing;
                    values.push(((p.add_scalar(origin)).norm() - radius) as f32);
                }
            }
        }
        let grid = VoxelGrid {
            origin_m: [origin; 3],
            spacing_m: spacing,
            size: [n; 3],
            values,
        };
        let (mut area, mut volume) = (0.0, 0.0);
        for [a, b, c] in triangles(&grid) {
            assert!((a.norm() - radius).abs() < 2e-3);
            area += 0.5 * (b - a).cross(&(c - a)).norm();
            volume += a.dot(&b.cross(&c)) / 6.0;
        }
        let ball = std::f64::consts::PI * radius * radius;
        assert!((area / (4.0 * ball) - 1.0).abs() < 0.02, "area {area}");
        // The signed volume is right only if every triangle faces outwards and none is missing.
        assert!(
            (volume / (4.0 / 3.0 * ball * radius) - 1.0).abs() < 0.03,
            "volume {volume}"
        );
    }
}
