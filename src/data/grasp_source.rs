//! What an evaluation asks for grasps: the field, or a model that stands beside it in the same table.

use std::ops::Range;
use std::sync::Arc;

use crate::field::{
    sample_poses, GraspNetwork, NearSurface, ObjectError, ObjectModel, SamplerSettings,
};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::TriangleMesh;

/// Draws grasps on any object that it is given. Filter and judge are the evaluation's, the same for all.
pub trait GraspSource {
    fn gripper_name(&self) -> &str;

    fn gripper(&self) -> &GripperGeometry;

    /// Gets ready for an object, of which it sees the mesh only.
    ///
    /// # Errors
    /// [`ObjectError`] of an object that cannot be grasped at all.
    fn prepare(
        &self,
        name: String,
        mesh: Arc<TriangleMesh>,
    ) -> Result<Box<dyn PreparedObject + '_>, ObjectError>;
}

/// An object that grasps can be drawn on. Everything in the frame of its mesh, metres.
pub trait PreparedObject {
    /// The surface that the filter checks against.
    fn surface(&self) -> NearSurface<'_>;

    /// A grasp and its energy for each number, in order. Equal numbers and seeds give equal grasps.
    fn draw(&self, settings: &SamplerSettings, numbers: Range<u64>, seed: u64) -> Vec<(Pose, f32)>;
}

impl GraspSource for GraspNetwork {
    fn gripper_name(&self) -> &str {
        &self.settings().gripper_name
    }

    fn gripper(&self) -> &GripperGeometry {
        &self.settings().gripper
    }

    fn prepare(
        &self,
        name: String,
        mesh: Arc<TriangleMesh>,
    ) -> Result<Box<dyn PreparedObject + '_>, ObjectError> {
        Ok(Box::new(ObjectModel::from_mesh(name, mesh, self)?))
    }
}

impl PreparedObject for ObjectModel {
    fn surface(&self) -> NearSurface<'_> {
        self.near_surface(0.0)
    }

    fn draw(&self, settings: &SamplerSettings, numbers: Range<u64>, seed: u64) -> Vec<(Pose, f32)> {
        sample_poses(&self.field, settings, numbers, seed)
    }
}
