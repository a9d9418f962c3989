//! The paper's model where an evaluation asks for grasps: code by fitting, then the released sampler.

use std::ops::Range;
use std::sync::Arc;

use nalgebra::{Isometry3, Vector3};
use tch::{Kind, Tensor};

use super::code::fit_codes;
use super::network::PaperNetwork;
use super::sampler::{anneal, AnnealedLangevin, Wrench};
use super::settings::PaperConfig;
use super::surface_samples::SurfaceSamples;
use super::weights::PaperModel;
use super::LENGTHS_PER_M;
use crate::data::{GraspSource, PreparedObject};
use crate::field::network::host_copy;
use crate::field::object::{check_graspable, NEAR_M};
use crate::field::{NearSurface, ObjectError, SamplerSettings};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::{MeshDistance, TriangleMesh, VoxelGrid};
use crate::training::{device, TrainingError};

/// Spacing of the sampled distance that the filter reads far from the surface, m.
const GRID_SPACING_M: f64 = 0.0055;
/// Seed of points and steps of a code's fit: the same mesh always gets the same code.
const FIT_SEED: u64 = 0;

/// A trained model that draws grasps.
pub struct PaperGrasps {
    pub config: PaperConfig,
    network: PaperNetwork,
    sampler: AnnealedLangevin,
}

impl PaperGrasps {
    /// # Errors
    /// [`TrainingError::NoGpu`] if one is asked for.
    pub fn new(model: &PaperModel, cuda: bool) -> Result<Self, TrainingError> {
        // Threads that wait for each other cost more than they bring where cores are shared.
        tch::set_num_threads(model.config.torch_threads);
        Ok(Self {
            config: model.config.clone(),
            network: model.to_network(device(cuda)?, false).folded(),
            sampler: AnnealedLangevin::default(),
        })
    }
}

/// An object with its code.
struct PaperObject<'a> {
    source: &'a PaperGrasps,
    /// `[1, code]`.
    code: Tensor,
    middle_m: Vector3<f64>,
    surface: MeshDistance,
    grid: VoxelGrid,
}

/// Energies and derivatives of poses (eighths of a metre) at a level; `codes` `[B, code]`.
pub(super) fn evaluate(
    network: &PaperNetwork,
    codes: &Tensor,
    poses: &[Isometry3<f64>],
    level: f64,
) -> Vec<(f64, Wrench)> {
    let count = poses.len() as i64;
    let rotations: Vec<f32> = poses
        .iter()
        .flat_map(|pose| {
            let matrix = pose.rotation.to_rotation_matrix();
            (0..9).map(move |i| matrix[(i / 3, i % 3)] as f32)
        })
        .collect();
    let positions: Vec<f32> = poses
        .iter()
        .flat_map(|pose| pose.translation.vector.iter().map(|&x| x as f32))
        .collect();
    let device = network.device();
    let forces = network.forces(
        &Tensor::from_slice(&rotations)
            .reshape([count, 3, 3])
            .to_device(device),
        &Tensor::from_slice(&positions)
            .reshape([count, 3])
            .to_device(device),
        codes,
        &Tensor::full([count], level, (Kind::Float, device)),
        false,
    );
    let energy = forces.energy.detach().unsqueeze(1);
    let rows = host_copy(&Tensor::cat(
        &[energy, forces.by_position, forces.by_turn],
        1,
    ));
    let wrench = |row: &[f32]| {
        let vector = |i: usize| Vector3::new(row[i], row[i + 1], row[i + 2]).cast::<f64>();
        let (force, torque) = (vector(1), vector(4));
        (f64::from(row[0]), Wrench { force, torque })
    };
    rows.values.chunks_exact(7).map(wrench).collect()
}

/// A pose of the model in the frame of a mesh whose middle is `middle_m`.
pub(super) fn in_metres(pose: &Isometry3<f64>, middle_m: &Vector3<f64>) -> Pose {
    let mut pose = *pose;
    pose.translation.vector = pose.translation.vector / LENGTHS_PER_M + middle_m;
    pose
}

impl GraspSource for PaperGrasps {
    fn gripper_name(&self) -> &str {
        &self.config.gripper_name
    }

    fn gripper(&self) -> &GripperGeometry {
        &self.config.gripper
    }

    fn prepare(
        &self,
        name: String,
        mesh: Arc<TriangleMesh>,
    ) -> Result<Box<dyn PreparedObject + '_>, ObjectError> {
        let surface = match MeshDistance::new(&mesh) {
            Ok(surface) => surface,
            Err(source) => return Err(ObjectError::Mesh { name, source }),
        };
        check_graspable(&name, &mesh, &surface, self.config.gripper.max_opening_m)?;
        let (low, high) = mesh.bounds();
        let (low, high) = (Vector3::from(low), Vector3::from(high));
        let middle_m = 0.5 * (low + high);
        // Two samples of air on each side.
        let cells = (high - low).map(|length| (length / GRID_SPACING_M).ceil() + 4.0);
        let origin = middle_m - 0.5 * GRID_SPACING_M * cells;
        let size = [0, 1, 2].map(|a| cells[a] as usize + 1);
        let grid = VoxelGrid::from_mesh(&surface, origin.into(), GRID_SPACING_M, size);
        let fit = &self.config.code_fit;
        let samples = SurfaceSamples::new(&surface, &middle_m, fit.samples, FIT_SEED);
        let code = fit_codes(&self.network, &[samples], fit, FIT_SEED).codes;
        Ok(Box::new(PaperObject {
            source: self,
            code,
            middle_m,
            surface,
            grid,
        }))
    }
}

impl PreparedObject for PaperObject<'_> {
    fn surface(&self) -> NearSurface<'_> {
        NearSurface::new(&self.surface, &self.grid, NEAR_M)
    }

    /// Of the settings, none matter: the model has its own sampler.
    fn draw(
        &self,
        _settings: &SamplerSettings,
        numbers: Range<u64>,
        seed: u64,
    ) -> Vec<(Pose, f32)> {
        let numbers: Vec<u64> = numbers.collect();
        let network = &self.source.network;
        let codes = self
            .code
            .expand([numbers.len() as i64, network.size.code], false);
        anneal(&self.source.sampler, &numbers, seed, |poses, level| {
            evaluate(network, &codes, poses, level)
        })
        .into_iter()
        .map(|(pose, energy)| (in_metres(&pose, &self.middle_m), energy as f32))
        .collect()
    }
}
