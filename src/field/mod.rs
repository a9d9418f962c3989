//! The learned grasp field: energy of a gripper pose at a noise level.
//!
//! A [`GraspNetwork`] turns an object's distance grid into a [`BakedField`] once; the baked field gives
//! energy and gradient of gripper poses in microseconds; [`sample_grasps`] anneals random poses in it.

pub mod baked;
mod candidates;
mod clearance;
pub mod contact;
mod decoder;
mod encoder;
mod face_contacts;
mod filter;
pub mod finger_face;
#[cfg(test)]
mod held_block;
pub mod igso3;
mod lookup;
pub mod near;
pub mod object;
pub mod sampler;
pub mod schedule;
pub mod settings;
mod steady;
pub mod store;
mod turning;
pub mod weights;

#[cfg(feature = "torch")]
pub mod network;

pub use baked::BakedField;
pub use candidates::{CandidateSettings, FacingPoints};
pub use face_contacts::Contacts;
pub use filter::{judge_grasp, GraspTarget};
pub use finger_face::{Failure, FingerFace, Label, LabelLimits};
pub use near::NearSurface;
pub use object::{KeptGrasps, ObjectError, ObjectModel};
pub use sampler::{
    final_energies, sample_grasps, sample_poses, select_grasps, Grasp, SamplerSettings,
};
pub use schedule::NoiseSchedule;
pub use settings::FieldSettings;
pub use steady::{holds_around, measure_steadiness};
pub use store::{ObjectStore, StoreError, StoredObject};
pub use turning::Weight;
pub use weights::{GraspNetwork, WeightsError};

/// A scalar field over gripper poses, low where a grasp holds.
pub trait EnergyField: Send + Sync {
    /// Energies and gradients of poses at noise level `t` in 0..1 (0: finest).
    ///
    /// The gradient is that of a twist (linear 1/m, angular 1/rad) in the crate's convention: the first three
    /// entries move the gripper frame's origin along the object's axes, the last three turn the frame from the left
    /// about its origin. Slices have one entry per pose. Energies of different levels or objects do not compare;
    /// `sigma(t)` times the energy has the same scale at all levels.
    fn evaluate(
        &self,
        object_from_gripper: &[nalgebra::Isometry3<f32>],
        t: f32,
        energy: &mut [f32],
        gradient: &mut [[f32; 6]],
    );
}
