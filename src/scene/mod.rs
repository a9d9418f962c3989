//! What stands around the robot, as signed distance.
//!
//! Metres throughout; distances are negative inside. [`Scene`] is what a user describes, [`LaneScene`] is the
//! same laid out for sixteen configurations at once.

mod cloud_obstacle;
mod depth_grid;
mod distance_transform;
pub mod isosurface;
mod lane_grid;
mod lane_grid_cache;
mod lane_scene;
pub mod mesh;
pub mod mesh_distance;
mod mesh_file;
mod parry_mesh;
pub mod partial_cloud;
pub mod point_cloud;
mod seen_side;
mod shape;
mod symmetry;
mod triangle_tree;
pub(crate) mod trilinear;
mod validate;
pub mod voxel;

use nalgebra::{Point3, Vector3};

use crate::geometry::Pose;
pub use cloud_obstacle::{
    Carved, CloudBall, CloudCounts, CloudError, CloudObstacle, CloudSettings,
};
pub use lane_grid_cache::LaneGridCache;
pub use lane_scene::{LaneObstacle, LaneScene, ObstacleKind};
pub use mesh::{MeshError, TriangleMesh};
pub use mesh_distance::MeshDistance;
pub use parry_mesh::parry_mesh;
pub use partial_cloud::{Completed, Completion};
pub use seen_side::SeenSide;
pub use shape::Shape;
pub use validate::SceneError;
pub use voxel::VoxelGrid;

/// Distance of points to a body, in the body's own frame.
pub trait SignedDistance: Send + Sync {
    /// Distance in m to the surface, negative inside.
    fn distance(&self, point: &Point3<f64>) -> f64;

    /// Distance in m and its gradient (a unit vector where the distance is exact and smooth).
    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>);

    /// The distance of a point that is known not to be inside, which may be quicker to tell. From `limit_m` on a lower bound that is at
    /// least that much is enough.
    fn distance_outside(&self, point: &Point3<f64>, limit_m: f64) -> f64 {
        let _ = limit_m;
        self.distance(point)
    }

    /// Distance and gradient of such a point.
    fn distance_and_gradient_outside(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        self.distance_and_gradient(point)
    }

    /// Corners of an axis-aligned box that holds the body, m.
    fn bounds(&self) -> (Point3<f64>, Point3<f64>);
}

/// One obstacle or graspable body.
#[derive(Clone, Debug)]
pub struct SceneObject {
    /// Unique in its scene.
    pub name: String,
    pub shape: Shape,
    pub world_from_object: Pose,
    /// Added to the body all around, m.
    pub margin_m: f64,
}

/// Everything around the robot.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    pub objects: Vec<SceneObject>,
}

impl SceneObject {
    /// An object without margin.
    pub fn new(name: impl Into<String>, shape: Shape, world_from_object: Pose) -> Self {
        Self {
            name: name.into(),
            shape,
            world_from_object,
            margin_m: 0.0,
        }
    }

    /// Distance in m of a point in world coordinates, margin taken off.
    pub fn distance(&self, world_point: &Point3<f64>) -> f64 {
        self.shape
            .distance(&self.world_from_object.inverse_transform_point(world_point))
            - self.margin_m
    }

    /// Distance in m and gradient in world axes.
    pub fn distance_and_gradient(&self, world_point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let point = self.world_from_object.inverse_transform_point(world_point);
        let (distance, gradient) = self.shape.distance_and_gradient(&point);
        (
            distance - self.margin_m,
            self.world_from_object.rotation * gradient,
        )
    }
}

impl Scene {
    /// The object of a name.
    pub fn object(&self, name: &str) -> Option<&SceneObject> {
        self.objects.iter().find(|o| o.name == name)
    }

    /// Refuses what has no meaning: see [`SceneError`].
    pub fn validate(&self) -> Result<(), SceneError> {
        validate::validate(self)
    }
}
