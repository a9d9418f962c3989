//! The side of an object that a view has shown, where the rest of its mesh is a guess.

use std::collections::HashMap;

use nalgebra::{Point3, Vector3};

use crate::geometry::Pose;

/// Of points in one cell of this size one is kept, m.
const CELL_M: f64 = 0.003;

/// Points that were seen, in the frame of the mesh, m.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenSide {
    points: Vec<Point3<f64>>,
}

impl SeenSide {
    /// Thins the points of a view out.
    pub fn new(points_m: &[[f64; 3]]) -> Self {
        let mut taken = HashMap::new();
        let cell = |p: &[f64; 3]| p.map(|x| (x / CELL_M).floor() as i64);
        let mut points = Vec::new();
        for point in points_m {
            taken.entry(cell(point)).or_insert_with(|| {
                points.push(Point3::from(*point));
            });
        }
        Self { points }
    }

    pub fn points_m(&self) -> Vec<[f64; 3]> {
        self.points.iter().map(|p| p.coords.into()).collect()
    }

    /// Text of an XYZ file, m; its points give the same side.
    pub fn to_xyz(&self) -> String {
        let line = |p: &Point3<f64>| format!("{} {} {}\n", p.x, p.y, p.z);
        self.points.iter().map(line).collect()
    }

    /// Distance of the nearest seen point to a box, m; infinite without points. The box's corners stand in its own frame.
    pub fn distance_to_box(
        &self,
        mesh_from_box: &Pose,
        low: &Vector3<f64>,
        high: &Vector3<f64>,
    ) -> f64 {
        let squared = |point: &Point3<f64>| {
            let place = mesh_from_box.inverse_transform_point(point).coords;
            (place - place.sup(low).inf(high)).norm_squared()
        };
        let nearest = self.points.iter().map(squared);
        nearest.fold(f64::INFINITY, f64::min).sqrt()
    }
}
