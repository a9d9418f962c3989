//! The nearest triangle of a mesh, sixteen boxes or triangles at a time.
//!
//! Registers of single precision only sort out what cannot be nearest, with room for their rounding; what remains is measured in double
//! precision. So what is found is the nearest point in double precision.

use nalgebra::Vector3;

use crate::lanes::{dot, mul_add, splat, splat3, sub, Lanes, Lanes3, ALL_LANES, LANES, ZERO};

/// Corners of a triangle, m.
pub type Triangle = [Vector3<f64>; 3];

/// Error of distances in single precision, as a share of the coordinates; five roundings of 6e-8 with room.
const RELATIVE_ERROR: f64 = 1e-6;
/// Children that are leaves have this bit in their number.
const LEAF: u32 = 1 << 31;
/// Each level leaves at most fifteen others waiting, and seven levels hold all triangles that a number can count.
const MOST_WAITING: usize = 128;

/// Boxes around up to sixteen children; those that are missing are infinitely far.
#[derive(Clone, Debug)]
struct Node {
    low: Lanes3,
    high: Lanes3,
    children: [u32; LANES],
}

/// Up to sixteen triangles; the last one stands in the lanes that are left.
#[derive(Clone, Debug)]
struct Leaf {
    a: Lanes3,
    /// From a to b and from a to c.
    ab: Lanes3,
    ac: Lanes3,
    /// Unit length.
    normal: Lanes3,
    /// Of ab, ac and bc: 1 / length^2.
    inverse_squared: [Lanes; 3],
    /// Rows of the inverse of [[ab ab, ab ac], [ab ac, ac ac]]: first and second of the one, second of the other.
    inverse_metric: [Lanes; 3],
    /// Error of the coordinates in the triangle that the metric gives, by the length of what is mapped, 1/m: large for needles.
    coordinate_error: Lanes,
    first: u32,
    /// A bit for each lane that has a triangle of its own.
    lanes: u32,
}

/// Boxes in boxes over triangles that lie in the order of halves of halves.
#[derive(Clone, Debug)]
pub(super) struct TriangleTree {
    /// What coordinates in single precision are relative to, m.
    middle: Vector3<f64>,
    /// No corner is farther from there, m.
    radius_m: f64,
    root: u32,
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
}

impl TriangleTree {
    /// Over triangles of which the first and the second half, and so on down to single leaves, lie apart in space.
    pub fn new(triangles: &[Triangle]) -> Self {
        let (low, high) = triangle_bounds(triangles);
        let mut tree = Self {
            middle: 0.5 * (low + high),
            radius_m: 0.5 * (high - low).norm(),
            root: 0,
            nodes: Vec::new(),
            leaves: Vec::new(),
        };
        tree.root = tree.build(triangles, 0, triangles.len());
        tree
    }

    /// Nearest point of the surface whose squared distance is below the limit, m^2: (squared distance, point, triangle).
    pub fn nearest(
        &self,
        triangles: &[Triangle],
        p: &Vector3<f64>,
        limit_squared: f64,
    ) -> Option<(f64, Vector3<f64>, usize)> {
        let place = (p - self.middle).map(|x| x as f32);
        let place = splat3([place.x, place.y, place.z]);
        let (mut best, mut best_squared) = (None, limit_squared);
        let error_m = RELATIVE_ERROR * (self.radius_m + (p - self.middle).norm());
        // Whose squared distance in single precision is that large is not nearer than a squared distance in double precision.
        let too_far = |squared: f64| (squared.sqrt() + error_m).powi(2) as f32;
        let mut sorted_out = too_far(limit_squared);
        let mut waiting = [(0.0f32, self.root); MOST_WAITING];
        let mut depth = 1;
        while depth > 0 {
            depth -= 1;
            let (bound, index) = waiting[depth];
            if bound >= sorted_out {
                continue;
            }
            if index & LEAF == 0 {
                let node = &self.nodes[index as usize];
                let squared = node.distance_squared(&place);
                let values = squared.to_array();
                let start = depth;
                for lane in lanes_of(lanes_below(squared, sorted_out)) {
                    // The nearest comes last, to be looked at first.
                    let mut at = depth;
                    while at > start && waiting[at - 1].0 < values[lane] {
                        waiting[at] = waiting[at - 1];
                        at -= 1;
                    }
                    waiting[at] = (values[lane], node.children[lane]);
                    depth += 1;
                }
                continue;
            }
            let leaf = &self.leaves[(index & !LEAF) as usize];
            let squared = leaf.distance_squared(&place);
            let values = squared.to_array();
            let mut left = lanes_below(squared, sorted_out) & leaf.lanes;
            while let Some(lane) = lanes_of(left).min_by(|&a, &b| values[a].total_cmp(&values[b])) {
                let i = leaf.first as usize + lane;
                let nearest = nearest_on_triangle(&triangles[i], p);
                let exact = (nearest - p).norm_squared();
                if exact < best_squared {
                    best_squared = exact;
                    best = Some((nearest, i));
                    sorted_out = too_far(exact);
                }
                left &= lanes_below(squared, sorted_out) & !(1 << lane);
            }
        }
        best.map(|(nearest, i)| (best_squared, nearest, i))
    }

    /// The number of a new node or leaf over these triangles.
    fn build(&mut self, triangles: &[Triangle], first: usize, count: usize) -> u32 {
        if count <= LANES {
            let own = &triangles[first..first + count];
            self.leaves.push(Leaf::new(own, first, &self.middle));
            return LEAF | (self.leaves.len() - 1) as u32;
        }
        let mut parts = vec![(first, count)];
        while parts.len() < LANES && parts.iter().any(|part| part.1 > LANES) {
            parts = parts
                .into_iter()
                .flat_map(|(first, count)| match count > LANES {
                    true => vec![(first, count / 2), (first + count / 2, count - count / 2)],
                    false => vec![(first, count)],
                })
                .collect();
        }
        let index = self.nodes.len();
        let (mut low, mut high) = ([[f32::INFINITY; LANES]; 3], [[f32::NEG_INFINITY; LANES]; 3]);
        for (lane, &(first, count)) in parts.iter().enumerate() {
            let (from, to) = triangle_bounds(&triangles[first..first + count]);
            for axis in 0..3 {
                low[axis][lane] = (from[axis] - self.middle[axis]) as f32;
                high[axis][lane] = (to[axis] - self.middle[axis]) as f32;
            }
        }
        self.nodes.push(Node {
            low: low.map(Lanes::from),
            high: high.map(Lanes::from),
            children: [0; LANES],
        });
        for (lane, (first, count)) in parts.into_iter().enumerate() {
            self.nodes[index].children[lane] = self.build(triangles, first, count);
        }
        index as u32
    }
}

impl Node {
    #[inline(always)]
    fn distance_squared(&self, p: &Lanes3) -> Lanes {
        let outside = [0, 1, 2].map(|axis| {
            let (below, above) = (self.low[axis] - p[axis], p[axis] - self.high[axis]);
            below.fast_max(above).fast_max(ZERO)
        });
        dot(&outside, &outside)
    }
}

impl Leaf {
    fn new(triangles: &[Triangle], first: usize, middle: &Vector3<f64>) -> Self {
        let lane_of = |lane: usize| &triangles[lane.min(triangles.len() - 1)];
        let number = |f: &dyn Fn(&Triangle) -> f64| {
            Lanes::from(std::array::from_fn::<f32, LANES, _>(|lane| {
                f(lane_of(lane)) as f32
            }))
        };
        let vector = |f: &dyn Fn(&Triangle) -> Vector3<f64>| {
            [0, 1, 2].map(|axis| number(&|t: &Triangle| f(t)[axis]))
        };
        let squared = |v: Vector3<f64>| v.norm_squared();
        // Bounded, or it would not be finite in single precision.
        let inverse = |v: Vector3<f64>| 1.0 / squared(v).max(1e-30);
        let area_squared = |t: &Triangle| squared((t[1] - t[0]).cross(&(t[2] - t[0])));
        Self {
            a: vector(&|t| t[0] - middle),
            ab: vector(&|t| t[1] - t[0]),
            ac: vector(&|t| t[2] - t[0]),
            normal: vector(&|t| (t[1] - t[0]).cross(&(t[2] - t[0])).normalize()),
            inverse_squared: [
                number(&|t| inverse(t[1] - t[0])),
                number(&|t| inverse(t[2] - t[0])),
                number(&|t| inverse(t[2] - t[1])),
            ],
            inverse_metric: [
                number(&|t| squared(t[2] - t[0]) / area_squared(t)),
                number(&|t| -(t[1] - t[0]).dot(&(t[2] - t[0])) / area_squared(t)),
                number(&|t| squared(t[1] - t[0]) / area_squared(t)),
            ],
            coordinate_error: number(&|t| {
                let [ab, ac] = [1, 2].map(|i| (t[i] - t[0]).norm());
                RELATIVE_ERROR * ab * ac * (ab + ac) / area_squared(t)
            }),
            first: first as u32,
            lanes: ALL_LANES >> (LANES - triangles.len()),
        }
    }

    /// To the plane where the point may lie over the triangle, otherwise to the nearest of its edges.
    #[inline(always)]
    fn distance_squared(&self, p: &Lanes3) -> Lanes {
        let ap = sub(p, &self.a);
        let (along_ab, along_ac) = (dot(&ap, &self.ab), dot(&ap, &self.ac));
        let one = splat(1.0);
        let to_edge = |from: &Lanes3, edge: &Lanes3, along: Lanes, inverse: Lanes| {
            let share = (along * inverse).fast_max(ZERO).fast_min(one);
            let rest = mul_add(edge, -share, from);
            dot(&rest, &rest)
        };
        let (bp, bc) = (sub(&ap, &self.ab), sub(&self.ac, &self.ab));
        let [of_ab, of_ac, of_bc] = self.inverse_squared;
        let edges = to_edge(&ap, &self.ab, along_ab, of_ab)
            .fast_min(to_edge(&ap, &self.ac, along_ac, of_ac))
            .fast_min(to_edge(&bp, &bc, dot(&bp, &bc), of_bc));
        let [first, mixed, second] = self.inverse_metric;
        let b = first.mul_add(along_ab, mixed * along_ac);
        let c = mixed.mul_add(along_ab, second * along_ac);
        let height = dot(&ap, &self.normal);
        let least = b.fast_min(c).fast_min(one - b - c);
        let error = self.coordinate_error * dot(&ap, &ap).sqrt();
        // The plane is never farther than the triangle.
        least.simd_ge(-error).select(height * height, edges)
    }
}

/// A bit for each lane whose value is below a limit.
#[inline(always)]
fn lanes_below(values: Lanes, limit: f32) -> u32 {
    values.simd_lt(splat(limit)).to_bitmask()
}

/// Lanes whose bit is set.
#[inline(always)]
fn lanes_of(mut bits: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        (lane < LANES).then_some(lane)
    })
}

/// Lower and upper corner of the box around triangles.
pub(super) fn triangle_bounds(triangles: &[Triangle]) -> (Vector3<f64>, Vector3<f64>) {
    let nothing = (
        Vector3::repeat(f64::INFINITY),
        Vector3::repeat(f64::NEG_INFINITY),
    );
    let corners = triangles.iter().flatten();
    corners.fold(nothing, |(low, high), corner| {
        (low.inf(corner), high.sup(corner))
    })
}

/// Closest point by Voronoi regions (Ericson, Real-Time Collision Detection, section 5.1.5).
fn nearest_on_triangle([a, b, c]: &[Vector3<f64>; 3], p: &Vector3<f64>) -> Vector3<f64> {
    let (ab, ac, ap) = (b - a, c - a, p - a);
    let (d1, d2) = (ab.dot(&ap), ac.dot(&ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return *a;
    }
    let bp = p - b;
    let (d3, d4) = (ab.dot(&bp), ac.dot(&bp));
    if d3 >= 0.0 && d4 <= d3 {
        return *b;
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return a + ab * (d1 / (d1 - d3));
    }
    let cp = p - c;
    let (d5, d6) = (ab.dot(&cp), ac.dot(&cp));
    if d6 >= 0.0 && d5 <= d6 {
        return *c;
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return a + ac * (d2 / (d2 - d6));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 >= d3 && d5 >= d6 {
        return b + (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)));
    }
    let scale = 1.0 / (va + vb + vc);
    a + ab * (vb * scale) + ac * (vc * scale)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    /// In the order of a tree: sorted along x.
    fn soup(rng: &mut Pcg64Mcg, count: usize, sizes_m: [f64; 2], offset_m: f64) -> Vec<Triangle> {
        let mut vector = |size: f64| Vector3::from_fn(|_, _| rng.random_range(-size..size));
        let mut triangles: Vec<Triangle> = (0..count)
            .map(|i| {
                let middle = vector(0.1).add_scalar(offset_m);
                let (along, across) = (vector(sizes_m[i % 2]), vector(sizes_m[i % 2]));
                // Every third is a needle.
                let thin = if i % 3 == 0 { -((i / 3 % 7) as i32) } else { 0 };
                let across = across * 10f64.powi(thin);
                [middle - along, middle + along + across, middle + across]
            })
            .collect();
        triangles.sort_by(|a, b| a[0].x.total_cmp(&b[0].x));
        triangles
    }

    #[test]
    fn the_nearest_of_any_triangles_is_that_of_all_of_them() {
        let mut rng = Pcg64Mcg::seed_from_u64(0);
        for count in [1, 2, 15, 16, 17, 40, 256, 257, 3000] {
            for (sizes_m, offset_m) in [
                ([0.002, 0.002], 0.0),
                ([0.1, 0.001], 0.0),
                ([0.01, 0.01], 3.0),
            ] {
                let triangles = soup(&mut rng, count, sizes_m, offset_m);
                let tree = TriangleTree::new(&triangles);
                for round in 0..60 {
                    let [a, b, c] = triangles[rng.random_range(0..count)];
                    let on_it = [a, (a + b) * 0.5, (a + b + c) / 3.0][round % 3];
                    // From on the surface to far away.
                    let off = 10f64.powi(round as i32 % 10 - 8);
                    let p = on_it + Vector3::from_fn(|_, _| rng.random_range(-off..off));
                    let expected = triangles
                        .iter()
                        .map(|t| (nearest_on_triangle(t, &p) - p).norm_squared())
                        .fold(f64::INFINITY, f64::min);
                    let (squared, nearest, i) =
                        tree.nearest(&triangles, &p, f64::INFINITY).unwrap();
                    assert_eq!(squared, expected, "{count} {p}");
                    assert_eq!(nearest, nearest_on_triangle(&triangles[i], &p));
                    let above = tree.nearest(&triangles, &p, expected * (1.0 + 1e-12) + 1e-300);
                    assert_eq!(above.unwrap().0, expected);
                    assert!(tree.nearest(&triangles, &p, expected).is_none());
                }
            }
        }
    }

    #[test]
    fn registers_measure_a_triangle_as_its_nearest_point_does() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        for _ in 0..300 {
            let triangles = soup(&mut rng, 5, [0.05, 0.01], 0.0);
            let leaf = Leaf::new(&triangles, 0, &Vector3::zeros());
            assert_eq!(leaf.lanes, 0b11111);
            let p = Vector3::from_fn(|_, _| rng.random_range(-0.15..0.15));
            let found = leaf.distance_squared(&splat3([p.x as f32, p.y as f32, p.z as f32]));
            for (triangle, found) in triangles.iter().zip(found.to_array()) {
                let expected = (nearest_on_triangle(triangle, &p) - p).norm();
                assert!(
                    (f64::from(found).sqrt() - expected).abs() < 2e-7,
                    "{triangle:?} {p}"
                );
            }
        }
    }
}
