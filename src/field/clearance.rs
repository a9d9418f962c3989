//! Away from the object: how the open gripper would have to move where it comes too near.

use nalgebra::{Isometry3, Vector3};

use super::lookup::Grid;
use crate::lanes::{cross, splat, Lanes, Lanes3, LANES, ZERO};
use crate::robot::{GripperBox, GripperGeometry};

/// Spacing of the points on the gripper, m; on thick parts a quarter of the thickness.
const SPACING_M: f64 = 0.009;

/// The fingers come first among a gripper's boxes.
const FINGERS: usize = 2;

/// Lattice on the surface of a box, at most `spacing_m` apart, m.
fn surface_points(part: &GripperBox, spacing_m: f64) -> Vec<[f64; 3]> {
    let steps = part
        .half_extents_m
        .map(|half| (2.0 * half / spacing_m).ceil().max(1.0) as usize);
    let lattice = (0..(steps[0] + 1) * (steps[1] + 1) * (steps[2] + 1)).map(|index| {
        let (i, rest) = (index % (steps[0] + 1), index / (steps[0] + 1));
        [i, rest % (steps[1] + 1), rest / (steps[1] + 1)]
    });
    // Only the surface: what is inside the gripper is reached through it.
    let is_outer = |place: &[usize; 3]| (0..3).any(|a| place[a] == 0 || place[a] == steps[a]);
    lattice
        .filter(is_outer)
        .map(|place| {
            [0, 1, 2].map(|a| {
                let share = place[a] as f64 / steps[a] as f64;
                part.center_m[a] + part.half_extents_m[a] * (2.0 * share - 1.0)
            })
        })
        .collect()
}

/// Whether a point lies in a box or on one of its faces, away from their edges.
fn covers(part: &GripperBox, point: &[f64; 3]) -> bool {
    const EDGE_M: f64 = 1e-6;
    let beyond = [0, 1, 2].map(|a| (point[a] - part.center_m[a]).abs() - part.half_extents_m[a]);
    beyond.iter().all(|&b| b < EDGE_M) && beyond.iter().filter(|&&b| b < -EDGE_M).count() >= 2
}

/// Points on the surface of the open gripper, in rows of sixteen.
#[derive(Debug, Clone)]
pub(super) struct GripperSurface {
    /// x, y, z about the finger centre in gripper axes, m. The last row repeats its last point.
    rows: Vec<Lanes3>,
}

/// Mean motion that would give the gripper its clearance: shift of the finger centre, m, and turn about it, rad,
/// both along the object's axes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Push {
    pub shift_m: Vector3<f32>,
    pub turn_rad: Vector3<f32>,
}

impl GripperSurface {
    pub fn new(gripper: &GripperGeometry, finger_centre_m: f64) -> Self {
        let boxes: Vec<GripperBox> = gripper.boxes(gripper.max_opening_m).collect();
        let palm_reach = gripper.palm_reach_m();
        let mut points = Vec::new();
        for (index, part) in boxes.iter().enumerate() {
            let thickness = match index < FINGERS {
                true => part
                    .half_extents_m
                    .into_iter()
                    .fold(f64::INFINITY, f64::min),
                false => palm_reach[0].min(palm_reach[1]),
            };
            let others = || boxes.iter().enumerate().filter(|(i, _)| *i != index);
            for point in surface_points(part, SPACING_M.max(0.5 * thickness)) {
                if !others().any(|(_, other)| covers(other, &point)) {
                    points.push([point[0], point[1], point[2] - finger_centre_m].map(|x| x as f32));
                }
            }
        }
        while !points.len().is_multiple_of(LANES) {
            points.push(points[points.len() - 1]);
        }
        let rows = points
            .chunks_exact(LANES)
            .map(|row| [0, 1, 2].map(|a| Lanes::new(std::array::from_fn(|lane| row[lane][a]))))
            .collect();
        Self { rows }
    }

    /// The push for a pose whose points come nearer to the object than `clearance_m`; none if all are clear.
    ///
    /// Each such point asks for what it lacks along the distance's gradient; points that lack more count more.
    pub fn push(
        &self,
        distances: &Grid,
        object_from_gripper: &Isometry3<f32>,
        finger_centre: &Vector3<f32>,
        clearance_m: f32,
    ) -> Option<Push> {
        let rotation = object_from_gripper.rotation.to_rotation_matrix();
        let rotation = rotation.matrix();
        let (mut force, mut torque) = ([ZERO; 3], [ZERO; 3]);
        let (mut lacking, mut arms) = (ZERO, ZERO);
        for points in &self.rows {
            let levers: Lanes3 = [0, 1, 2].map(|axis| {
                let [x, y, z] = [0, 1, 2].map(|column| splat(rotation[(axis, column)]));
                x.mul_add(points[0], y.mul_add(points[1], z * points[2]))
            });
            let place = [0, 1, 2].map(|axis| levers[axis] + splat(finger_centre[axis]));
            let (distance, gradient) = distances.distances_at(&place);
            let lack = (splat(clearance_m) - distance).fast_max(ZERO);
            if !lack.simd_gt(ZERO).any() {
                continue;
            }
            let weighted = lack * lack;
            let by_point: Lanes3 = gradient.map(|g| g * weighted);
            let moment = cross(&levers, &by_point);
            for axis in 0..3 {
                force[axis] += by_point[axis];
                torque[axis] += moment[axis];
                arms = (levers[axis] * levers[axis]).mul_add(lack, arms);
            }
            lacking += lack;
        }
        let total = lacking.reduce_add();
        if total <= 0.0 {
            return None;
        }
        // Shift and turn share the work: a point moves by shift + turn x lever.
        let [force, torque] = [force, torque].map(|v| Vector3::from(v.map(Lanes::reduce_add)));
        let arm_squared = arms.reduce_add() / total;
        Some(Push {
            shift_m: 0.5 * force / total,
            turn_rad: 0.5 * torque / (total * arm_squared.max(1e-6)),
        })
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::{Point3, Translation3, UnitQuaternion};

    use super::*;
    use crate::field::contact::gripper_collides;
    use crate::scene::{Shape, SignedDistance, VoxelGrid};

    /// A block between the fingers, and the grid of its distances.
    fn block() -> (Shape, Grid) {
        let solid = Shape::Box {
            half_extents_m: [0.03, 0.03, 0.06],
        };
        let size = [48; 3];
        let voxels = VoxelGrid::from_distance(&solid, [-0.129; 3], 0.0055, size);
        let grid = Grid {
            origin_m: Vector3::repeat(-0.129),
            spacing_m: 0.0055,
            size,
            values: voxels.values,
        };
        (solid, grid)
    }

    #[test]
    fn pushing_frees_an_overlapping_gripper_and_leaves_a_free_one_alone() {
        let (solid, grid) = block();
        let gripper = GripperGeometry::default();
        let finger_centre_m = 0.1f32;
        let surface = GripperSurface::new(&gripper, f64::from(finger_centre_m));
        let down = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f32::consts::PI);
        let collides = |pose: &Isometry3<f32>| {
            let pose: Isometry3<f64> = nalgebra::convert(*pose);
            gripper_collides(&solid, &pose, &gripper, gripper.max_opening_m, 0.0)
        };
        // Fingers 10 mm either side of the block, tips 30 mm below its top: free.
        let free = Isometry3::from_parts(Translation3::new(0.0, 0.0, 0.142), down);
        assert!(!collides(&free));
        let centre = |pose: &Isometry3<f32>| (pose * Point3::new(0.0, 0.0, finger_centre_m)).coords;
        assert!(surface.push(&grid, &free, &centre(&free), 0.004).is_none());
        // Shifted by 14 mm and turned by 6 deg one finger stands in the block.
        let tilt = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), 0.1);
        let mut pose = Isometry3::from_parts(Translation3::new(0.014, 0.004, 0.142), tilt * down);
        assert!(collides(&pose));
        for _ in 0..25 {
            let at = centre(&pose);
            let Some(push) = surface.push(&grid, &pose, &at, 0.003) else {
                break;
            };
            let rotation = UnitQuaternion::from_scaled_axis(push.turn_rad) * pose.rotation;
            let origin = at + push.shift_m - rotation * Vector3::new(0.0, 0.0, finger_centre_m);
            pose = Isometry3::from_parts(origin.into(), rotation);
        }
        assert!(!collides(&pose), "{pose}");
        assert!((centre(&pose) - centre(&free)).norm() < 0.02);
        assert!(solid.distance(&nalgebra::convert(Point3::from(centre(&pose)))) < 0.0);
    }
}
