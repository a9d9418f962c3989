//! Obstacles and the object to be grasped.

use super::{kind, point, Brush, Canvas};
use crate::field::ObjectModel;
use crate::geometry::Pose;
use crate::scene::{isosurface, Scene, SceneObject, Shape};
use nalgebra::Vector3;

/// A surface of more triangles is left out: a message a plan must stay small.
const MOST_TRIANGLES: usize = 20_000;
/// What is drawn of a plane, m.
const PLANE_SIZE_M: [f64; 3] = [3.0, 3.0, 0.002];

const OBSTACLE: Brush = Brush {
    namespace: "obstacles",
    kind: kind::CUBE,
    color: [0.6, 0.6, 0.6, 0.5],
};

pub(super) fn obstacles(canvas: &mut Canvas, scene: &Scene) {
    for object in &scene.objects {
        obstacle(canvas, object);
    }
}

/// The object's own mesh.
pub(super) fn object(canvas: &mut Canvas, object: &ObjectModel, world_from_object: &Pose) {
    let brush = Brush {
        namespace: "object",
        kind: kind::TRIANGLE_LIST,
        color: [0.2, 0.5, 0.9, 0.8],
    };
    triangles(canvas, brush, world_from_object, object.surface.triangles());
}

fn obstacle(canvas: &mut Canvas, object: &SceneObject) {
    let pose = &object.world_from_object;
    let of = |kind| Brush { kind, ..OBSTACLE };
    match &object.shape {
        Shape::Box { half_extents_m } => {
            canvas.add(of(kind::CUBE), pose, half_extents_m.map(|half| 2.0 * half));
        }
        Shape::Sphere { radius_m } => {
            canvas.add(of(kind::SPHERE), pose, [2.0 * radius_m; 3]);
        }
        Shape::Cylinder { radius_m, length_m } => {
            let scale = [2.0 * radius_m, 2.0 * radius_m, *length_m];
            canvas.add(of(kind::CYLINDER), pose, scale);
        }
        Shape::Capsule { radius_m, length_m } => {
            let width = 2.0 * radius_m;
            canvas.add(of(kind::CYLINDER), pose, [width, width, *length_m]);
            for end in [-0.5 * length_m, 0.5 * length_m] {
                let at_end = pose * Pose::translation(0.0, 0.0, end);
                canvas.add(of(kind::SPHERE), &at_end, [width; 3]);
            }
        }
        Shape::Plane => {
            let below = pose * Pose::translation(0.0, 0.0, -0.5 * PLANE_SIZE_M[2]);
            canvas.add(of(kind::CUBE), &below, PLANE_SIZE_M);
        }
        Shape::Mesh(mesh) => triangles(canvas, of(kind::TRIANGLE_LIST), pose, mesh.triangles()),
        Shape::Voxels(grid) => {
            let surface = isosurface::triangles(grid);
            triangles(canvas, of(kind::TRIANGLE_LIST), pose, &surface);
        }
        Shape::Cloud(cloud) => {
            // One size for all: that of the largest ball.
            let radii = cloud.balls.iter().map(|ball| ball.radius_m);
            let width = 2.0 * radii.fold(0.0, f64::max);
            let balls = canvas.add(of(kind::SPHERE_LIST), pose, [width; 3]);
            balls.points = cloud.balls.iter().map(|b| point(&b.center_m)).collect();
        }
    }
}

fn triangles(canvas: &mut Canvas, brush: Brush, pose: &Pose, triangles: &[[Vector3<f64>; 3]]) {
    if triangles.len() > MOST_TRIANGLES {
        return;
    }
    let corners = triangles.iter().flatten();
    canvas.add(brush, pose, [1.0; 3]).points = corners.map(|v| point(&(*v).into())).collect();
}
