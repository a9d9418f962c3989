//! Shapes with signed distance, in double precision.

use std::sync::Arc;

use nalgebra::{Point3, Vector2, Vector3};

use super::{CloudObstacle, MeshDistance, SignedDistance, VoxelGrid};

/// A body in its own frame: centred at the origin, axis along z.
#[derive(Clone, Debug)]
pub enum Shape {
    Box {
        half_extents_m: [f64; 3],
    },
    /// `length_m` is the whole height.
    Cylinder {
        radius_m: f64,
        length_m: f64,
    },
    Sphere {
        radius_m: f64,
    },
    /// `length_m` is the distance of the two end centres.
    Capsule {
        radius_m: f64,
        length_m: f64,
    },
    /// The half space z < 0 is solid.
    Plane,
    Mesh(Arc<MeshDistance>),
    Voxels(Arc<VoxelGrid>),
    Cloud(Arc<CloudObstacle>),
}

impl Shape {
    /// The word for it in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Shape::Box { .. } => "box",
            Shape::Cylinder { .. } => "cylinder",
            Shape::Sphere { .. } => "sphere",
            Shape::Capsule { .. } => "capsule",
            Shape::Plane => "plane",
            Shape::Mesh(_) => "mesh",
            Shape::Voxels(_) => "voxels",
            Shape::Cloud(_) => "point cloud",
        }
    }
}

impl SignedDistance for Shape {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        match self {
            Shape::Mesh(mesh) => mesh.distance(point),
            Shape::Voxels(grid) => grid.distance(point),
            Shape::Cloud(cloud) => cloud.grid.distance(point),
            _ => self.distance_and_gradient(point).0,
        }
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        match self {
            Shape::Box { half_extents_m } => box_distance(&point.coords, half_extents_m),
            Shape::Cylinder { radius_m, length_m } => {
                cylinder_distance(&point.coords, *radius_m, 0.5 * length_m)
            }
            Shape::Sphere { radius_m } => round_distance(&point.coords, *radius_m),
            Shape::Capsule { radius_m, length_m } => {
                let half = 0.5 * length_m;
                let on_axis = Vector3::new(0.0, 0.0, point.z.clamp(-half, half));
                round_distance(&(point.coords - on_axis), *radius_m)
            }
            Shape::Plane => (point.z, Vector3::z()),
            Shape::Mesh(mesh) => mesh.distance_and_gradient(point),
            Shape::Voxels(grid) => grid.distance_and_gradient(point),
            Shape::Cloud(cloud) => cloud.grid.distance_and_gradient(point),
        }
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        let symmetric = |x: f64, y: f64, z: f64| (Point3::new(-x, -y, -z), Point3::new(x, y, z));
        match self {
            Shape::Box {
                half_extents_m: [x, y, z],
            } => symmetric(*x, *y, *z),
            Shape::Cylinder { radius_m, length_m } => {
                symmetric(*radius_m, *radius_m, 0.5 * length_m)
            }
            Shape::Sphere { radius_m } => symmetric(*radius_m, *radius_m, *radius_m),
            Shape::Capsule { radius_m, length_m } => {
                symmetric(*radius_m, *radius_m, 0.5 * length_m + radius_m)
            }
            Shape::Plane => {
                let far = f64::INFINITY;
                (Point3::new(-far, -far, -far), Point3::new(far, far, 0.0))
            }
            Shape::Mesh(mesh) => mesh.bounds(),
            Shape::Voxels(grid) => grid.bounds(),
            Shape::Cloud(cloud) => cloud.grid.bounds(),
        }
    }
}

/// Distance to a ball about the origin. At the centre any direction is right; z is taken.
fn round_distance(offset: &Vector3<f64>, radius: f64) -> (f64, Vector3<f64>) {
    let norm = offset.norm();
    let direction = if norm > 0.0 {
        offset / norm
    } else {
        Vector3::z()
    };
    (norm - radius, direction)
}

fn box_distance(point: &Vector3<f64>, half: &[f64; 3]) -> (f64, Vector3<f64>) {
    let beyond = point.abs() - Vector3::from(*half);
    let outside = beyond.map(|v| v.max(0.0));
    let norm = outside.norm();
    let sign = point.map(|v| if v < 0.0 { -1.0 } else { 1.0 });
    if norm > 0.0 {
        return (norm, (outside / norm).component_mul(&sign));
    }
    let axis = beyond.imax();
    (beyond[axis], Vector3::ith(axis, sign[axis]))
}

fn cylinder_distance(point: &Vector3<f64>, radius: f64, half: f64) -> (f64, Vector3<f64>) {
    let radial = Vector2::new(point.x, point.y);
    let rho = radial.norm();
    let outward = if rho > 0.0 {
        radial / rho
    } else {
        Vector2::x()
    };
    let up = if point.z < 0.0 { -1.0 } else { 1.0 };
    let (side, cap) = (rho - radius, point.z.abs() - half);
    let (distance, by_rho, by_z) = if side > 0.0 && cap > 0.0 {
        let norm = side.hypot(cap);
        (norm, side / norm, cap / norm)
    } else if side > cap {
        (side, 1.0, 0.0)
    } else {
        (cap, 0.0, 1.0)
    };
    (
        distance,
        Vector3::new(outward.x * by_rho, outward.y * by_rho, up * by_z),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shapes() -> Vec<Shape> {
        vec![
            Shape::Box {
                half_extents_m: [0.3, 0.2, 0.1],
            },
            Shape::Cylinder {
                radius_m: 0.2,
                length_m: 0.5,
            },
            Shape::Sphere { radius_m: 0.25 },
            Shape::Capsule {
                radius_m: 0.1,
                length_m: 0.4,
            },
            Shape::Plane,
        ]
    }

    /// Nearest surface point of a shape by walking down the distance, for an independent check of the value:
    /// the point reached must lie on the surface and be as far away as the distance says.
    #[test]
    fn distance_is_the_length_of_the_step_to_the_surface() {
        for shape in shapes() {
            for p in [
                [0.5, 0.4, 0.3],
                [0.05, 0.02, 0.04],
                [-0.5, 0.0, 0.0],
                [0.0, -0.15, 0.7],
                [0.21, 0.0, 0.26],
            ] {
                let p = Point3::from(p);
                let (d, g) = shape.distance_and_gradient(&p);
                assert!((g.norm() - 1.0).abs() < 1e-12, "{shape:?}");
                let surface = p - g * d;
                assert!(shape.distance(&surface).abs() < 1e-12, "{shape:?} {p}");
            }
        }
    }

    #[test]
    fn known_values() {
        let value = |s: &Shape, p: [f64; 3]| s.distance(&Point3::from(p));
        let shapes = shapes();
        assert!((value(&shapes[0], [0.0, 0.0, 0.0]) + 0.1).abs() < 1e-15);
        assert!((value(&shapes[0], [0.6, 0.6, 0.1]) - 0.5).abs() < 1e-15);
        assert!((value(&shapes[1], [0.5, 0.0, 0.65]) - 0.5).abs() < 1e-15);
        assert!((value(&shapes[1], [0.0, 0.0, 0.0]) + 0.2).abs() < 1e-15);
        assert!((value(&shapes[3], [0.0, 0.0, 0.5]) - 0.2).abs() < 1e-15);
        assert!((value(&shapes[4], [9.0, 9.0, -0.5]) + 0.5).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn gradient_is_the_derivative(x in -0.6..0.6f64, y in -0.6..0.6f64, z in -0.6..0.6f64) {
            let p = Point3::new(x, y, z);
            let h = 1e-6;
            for shape in shapes() {
                let (d, gradient) = shape.distance_and_gradient(&p);
                // skip points whose neighbours see another face: the distance has a kink there
                let near = Vector3::new(1e-4, 1.3e-4, 0.7e-4);
                let kink = [near, -near].iter().any(|n| (shape.distance_and_gradient(&(p + n)).1 - gradient).norm() > 0.05);
                if kink { continue; }
                for k in 0..3 {
                    let step = Vector3::ith(k, h);
                    let numeric = (shape.distance(&(p + step)) - shape.distance(&(p - step))) / (2.0 * h);
                    prop_assert!((numeric - gradient[k]).abs() < 1e-3, "{shape:?} {d}");
                }
            }
        }

        #[test]
        fn bounds_hold_the_inside(x in -0.6..0.6f64, y in -0.6..0.6f64, z in -0.6..0.6f64) {
            let p = Point3::new(x, y, z);
            for shape in shapes() {
                if shape.distance(&p) <= 0.0 {
                    let (low, high) = shape.bounds();
                    prop_assert!((0..3).all(|k| low[k] <= p[k] && p[k] <= high[k]), "{shape:?}");
                }
            }
        }
    }
}
