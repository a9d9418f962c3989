//! A field baked for one object: energy and gradient of gripper poses in microseconds.

use std::cell::RefCell;
use std::sync::Arc;

use nalgebra::{Isometry3, Vector3};

use super::decoder::{Decoder, DecoderScratch, LevelModulation, TILE};
use super::encoder;
use super::settings::{FieldSettings, FEATURE_GRID_MULTIPLE, SAMPLES_PER_CELL, SDF_SCALES_M};
use super::weights::GraspNetwork;
use super::{EnergyField, NoiseSchedule};
use crate::lanes::{load, store, Lanes, LANES};
use crate::scene::VoxelGrid;

/// Features and distances of one object with the decoder that reads them.
#[derive(Debug, Clone)]
pub struct BakedField {
    settings: Arc<FieldSettings>,
    decoder: Arc<Decoder>,
    points: Arc<Vec<Vector3<f32>>>,
    features: Grid,
    distances: Grid,
    /// Middle of the grids in the object frame, m: the centre of the Gaussian part of the energy.
    middle: Vector3<f32>,
}

/// Values on a regular grid, `channels` at each point; z runs fastest.
#[derive(Debug, Clone)]
struct Grid {
    origin_m: Vector3<f32>,
    inverse_spacing: f32,
    spacing_m: f32,
    size: [usize; 3],
    values: Vec<f32>,
}

/// A cell of a grid and the place of a point in it.
struct Cell {
    /// Index of the lowest corner.
    base: usize,
    fraction: [f32; 3],
    /// 1 / spacing inside the grid, 0 along an axis beyond it.
    rate: [f32; 3],
    /// From the grid to the point, m.
    outside: Vector3<f32>,
}

impl Grid {
    #[inline(always)]
    fn cell(&self, point: &Vector3<f32>) -> Cell {
        let mut cell = Cell {
            base: 0,
            fraction: [0.0; 3],
            rate: [0.0; 3],
            outside: Vector3::zeros(),
        };
        let mut corner = [0usize; 3];
        for axis in 0..3 {
            let place = (point[axis] - self.origin_m[axis]) * self.inverse_spacing;
            let last = (self.size[axis] - 1) as f32;
            let clamped = place.max(0.0).min(last);
            corner[axis] = (clamped as usize).min(self.size[axis] - 2);
            cell.fraction[axis] = clamped - corner[axis] as f32;
            cell.rate[axis] = if place == clamped {
                self.inverse_spacing
            } else {
                0.0
            };
            cell.outside[axis] = (place - clamped) * self.spacing_m;
        }
        cell.base = (corner[0] * self.size[1] + corner[1]) * self.size[2] + corner[2];
        cell
    }

    /// Offsets of the four z rows of a cell: (0,0), (0,1), (1,0), (1,1) along x, y.
    #[inline(always)]
    fn rows(&self) -> [usize; 4] {
        let (x, y) = (self.size[1] * self.size[2], self.size[2]);
        [0, y, x, x + y]
    }
}

/// Working memory of one thread.
#[derive(Default)]
struct Scratch {
    decoder: DecoderScratch,
    modulation: LevelModulation,
    /// Derivatives of the features by x, y, z per m: `[TILE][points][3][channels]`.
    feature_slopes: Vec<f32>,
    /// Derivatives of the squashed distances per m: `[TILE][points][scales]` of vectors.
    squashed_slopes: Vec<Vector3<f32>>,
    /// From the finger centre to each point, object axes, m.
    levers: Vec<Vector3<f32>>,
    centres: Vec<Vector3<f32>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl GraspNetwork {
    /// Runs the encoder over an object's distance grid.
    ///
    /// The grid's spacing is that of the settings, its size a multiple of 8 along each axis (see
    /// [`GraspNetwork::grid_for`], which lays out such a grid). A grid that is not is resampled to one.
    pub fn bake(&self, grid: &VoxelGrid) -> BakedField {
        let settings = self.settings();
        let multiple = SAMPLES_PER_CELL * FEATURE_GRID_MULTIPLE;
        let fits = grid.size.iter().all(|n| n % multiple == 0 && *n > 0)
            && (grid.spacing_m / settings.spacing_m - 1.0).abs() < 1e-6;
        if fits {
            return self.bake_fitting(grid);
        }
        let (origin_m, size) = self.grid_for(grid.origin_m, grid.end_m());
        self.bake_fitting(&VoxelGrid::from_distance(
            grid,
            origin_m,
            settings.spacing_m,
            size,
        ))
    }

    /// Origin and size of the distance grid for an object with these bounds, m: the training cube about
    /// the object's middle, longer along an axis where the object needs it.
    pub fn grid_for(&self, low: [f64; 3], high: [f64; 3]) -> ([f64; 3], [usize; 3]) {
        let settings = self.settings();
        let multiple = SAMPLES_PER_CELL * FEATURE_GRID_MULTIPLE;
        let size = [0, 1, 2].map(|a| {
            // Two samples of air on each side.
            let needed = ((high[a] - low[a]) / settings.spacing_m).ceil().max(0.0) as usize + 5;
            needed.max(settings.grid_size).div_ceil(multiple) * multiple
        });
        let origin = [0, 1, 2]
            .map(|a| 0.5 * (low[a] + high[a]) - 0.5 * settings.spacing_m * (size[a] - 1) as f64);
        (origin, size)
    }

    fn bake_fitting(&self, grid: &VoxelGrid) -> BakedField {
        let settings = Arc::new(self.settings().clone());
        let spacing = grid.spacing_m as f32;
        let origin = Vector3::from(grid.origin_m.map(|x| x as f32));
        let cell_spacing = SAMPLES_PER_CELL as f32 * spacing;
        let points = self
            .values("points")
            .chunks_exact(3)
            .map(|p| Vector3::new(p[0], p[1], p[2]))
            .collect();
        BakedField {
            decoder: Arc::new(Decoder::new(self)),
            points: Arc::new(points),
            features: Grid {
                origin_m: origin.add_scalar(0.5 * spacing),
                inverse_spacing: cell_spacing.recip(),
                spacing_m: cell_spacing,
                size: grid.size.map(|n| n / SAMPLES_PER_CELL),
                values: encoder::encode(self, grid),
            },
            distances: Grid {
                origin_m: origin,
                inverse_spacing: spacing.recip(),
                spacing_m: spacing,
                size: grid.size,
                values: grid.values.clone(),
            },
            middle: Vector3::from(grid.centre_m().map(|x| x as f32)),
            settings,
        }
    }
}

impl BakedField {
    pub fn settings(&self) -> &FieldSettings {
        &self.settings
    }

    pub fn schedule(&self) -> &NoiseSchedule {
        &self.settings.schedule
    }

    /// Middle of the object's grid in the object frame, m.
    pub fn middle_m(&self) -> [f32; 3] {
        self.middle.into()
    }

    /// Inputs of one pose: features at all points, then squashed distances at all points.
    fn gather(&self, pose: &Isometry3<f32>, slot: usize, scratch: &mut Scratch) {
        let channels = self.settings.feature_channels;
        let count = self.points.len();
        let rotation = pose.rotation.to_rotation_matrix();
        let to_centre = Vector3::new(0.0, 0.0, self.settings.finger_centre_m as f32);
        let centre = pose.translation.vector + rotation * to_centre;
        scratch.centres[slot] = centre - self.middle;
        let inputs =
            &mut scratch.decoder.inputs[slot * self.decoder.inputs()..][..self.decoder.inputs()];
        let (feature_inputs, squashed_inputs) = inputs.split_at_mut(count * channels);
        for (i, point) in self.points.iter().enumerate() {
            let lever = rotation * point;
            let place = centre + lever;
            let index = slot * count + i;
            scratch.levers[index] = lever;
            let values = &mut feature_inputs[i * channels..(i + 1) * channels];
            let slopes =
                &mut scratch.feature_slopes[index * 3 * channels..(index + 1) * 3 * channels];
            self.features_at(&place, channels, values, slopes);
            let (distance, slope) = self.distance_at(&place);
            for (s, scale) in SDF_SCALES_M.iter().enumerate() {
                let squashed = (distance / scale).tanh();
                squashed_inputs[i * SDF_SCALES_M.len() + s] = squashed;
                scratch.squashed_slopes[index * SDF_SCALES_M.len() + s] =
                    slope * ((1.0 - squashed * squashed) / scale);
            }
        }
    }

    /// Trilinear features and their x, y, z derivatives, sixteen channels at a time.
    #[inline(always)]
    fn features_at(
        &self,
        place: &Vector3<f32>,
        channels: usize,
        values: &mut [f32],
        slopes: &mut [f32],
    ) {
        let cell = self.features.cell(place);
        let rows = self.features.rows();
        let [fx, fy, fz] = cell.fraction.map(Lanes::splat);
        for block in (0..channels).step_by(LANES) {
            let corner = |row: usize, z: usize| {
                let at = (cell.base + rows[row] + z) * channels + block;
                load(&self.features.values[at..])
            };
            let low: [Lanes; 4] = std::array::from_fn(|row| corner(row, 0));
            let along_z: [Lanes; 4] = std::array::from_fn(|row| corner(row, 1) - low[row]);
            let at_z: [Lanes; 4] = std::array::from_fn(|row| fz.mul_add(along_z[row], low[row]));
            let along_y = [at_z[1] - at_z[0], at_z[3] - at_z[2]];
            let at_y = [
                fy.mul_add(along_y[0], at_z[0]),
                fy.mul_add(along_y[1], at_z[2]),
            ];
            let along_x = at_y[1] - at_y[0];
            let value = fx.mul_add(along_x, at_y[0]);
            let slope_y = fx.mul_add(along_y[1] - along_y[0], along_y[0]);
            let z_low = fy.mul_add(along_z[1] - along_z[0], along_z[0]);
            let z_high = fy.mul_add(along_z[3] - along_z[2], along_z[2]);
            let slope_z = fx.mul_add(z_high - z_low, z_low);
            store(value, &mut values[block..]);
            for (axis, slope) in [along_x, slope_y, slope_z].into_iter().enumerate() {
                store(
                    slope * Lanes::splat(cell.rate[axis]),
                    &mut slopes[axis * channels + block..],
                );
            }
        }
    }

    /// Distance and gradient, extended beyond the grid by the way to it.
    #[inline(always)]
    fn distance_at(&self, place: &Vector3<f32>) -> (f32, Vector3<f32>) {
        let cell = self.distances.cell(place);
        let rows = self.distances.rows();
        let [fx, fy, fz] = cell.fraction;
        let low = rows.map(|row| self.distances.values[cell.base + row]);
        let along_z = [0, 1, 2, 3].map(|i| self.distances.values[cell.base + rows[i] + 1] - low[i]);
        let at_z = [0, 1, 2, 3].map(|i| low[i] + fz * along_z[i]);
        let along_y = [at_z[1] - at_z[0], at_z[3] - at_z[2]];
        let at_y = [at_z[0] + fy * along_y[0], at_z[2] + fy * along_y[1]];
        let along_x = at_y[1] - at_y[0];
        let z_low = along_z[0] + fy * (along_z[1] - along_z[0]);
        let z_high = along_z[2] + fy * (along_z[3] - along_z[2]);
        let mut gradient = Vector3::new(
            along_x * cell.rate[0],
            (along_y[0] + fx * (along_y[1] - along_y[0])) * cell.rate[1],
            (z_low + fx * (z_high - z_low)) * cell.rate[2],
        );
        let mut distance = at_y[0] + fx * along_x;
        let out = cell.outside.norm();
        if out > 0.0 {
            distance += out;
            gradient += cell.outside / out;
        }
        (distance, gradient)
    }

    /// Force on the finger centre and torque about it, object axes, from the slopes by the inputs.
    fn pull_back(&self, slot: usize, scratch: &Scratch) -> (Vector3<f32>, Vector3<f32>) {
        let channels = self.settings.feature_channels;
        let count = self.points.len();
        let slopes =
            &scratch.decoder.slopes[slot * self.decoder.inputs()..][..self.decoder.inputs()];
        let (by_feature, by_squashed) = slopes.split_at(count * channels);
        let (mut force, mut torque) = (Vector3::zeros(), Vector3::zeros());
        for i in 0..count {
            let index = slot * count + i;
            let by_feature = &by_feature[i * channels..(i + 1) * channels];
            let feature_slopes =
                &scratch.feature_slopes[index * 3 * channels..(index + 1) * 3 * channels];
            let mut by_point = Vector3::zeros();
            for axis in 0..3 {
                let mut sum = Lanes::ZERO;
                for block in (0..channels).step_by(LANES) {
                    sum = load(&feature_slopes[axis * channels + block..])
                        .mul_add(load(&by_feature[block..]), sum);
                }
                by_point[axis] = sum.reduce_add();
            }
            for s in 0..SDF_SCALES_M.len() {
                let at = index * SDF_SCALES_M.len() + s;
                by_point += scratch.squashed_slopes[at] * by_squashed[i * SDF_SCALES_M.len() + s];
            }
            force += by_point;
            torque += scratch.levers[index].cross(&by_point);
        }
        (force, torque)
    }

    fn prepare(&self, scratch: &mut Scratch) {
        let count = TILE * self.points.len();
        self.decoder.prepare(&mut scratch.decoder);
        scratch
            .feature_slopes
            .resize(count * 3 * self.settings.feature_channels, 0.0);
        scratch
            .squashed_slopes
            .resize(count * SDF_SCALES_M.len(), Vector3::zeros());
        scratch.levers.resize(count, Vector3::zeros());
        scratch.centres.resize(TILE, Vector3::zeros());
    }
}

impl EnergyField for BakedField {
    fn evaluate(
        &self,
        object_from_gripper: &[Isometry3<f32>],
        t: f32,
        energy: &mut [f32],
        gradient: &mut [[f32; 6]],
    ) {
        assert_eq!(
            object_from_gripper.len(),
            energy.len(),
            "one energy per pose"
        );
        assert_eq!(
            object_from_gripper.len(),
            gradient.len(),
            "one gradient per pose"
        );
        let sigma = self.settings.schedule.sigma(t);
        let variance = self.settings.schedule.sigma_m(t).powi(2) + self.settings.prior_m.powi(2);
        SCRATCH.with_borrow_mut(|scratch| {
            self.prepare(scratch);
            self.decoder.modulate(t, &mut scratch.modulation);
            for (tile, poses) in object_from_gripper.chunks(TILE).enumerate() {
                for (slot, pose) in poses.iter().enumerate() {
                    self.gather(pose, slot, scratch);
                }
                let mut raw = [0.0; TILE];
                self.decoder
                    .evaluate(&scratch.modulation, &mut scratch.decoder, &mut raw);
                for (slot, pose) in poses.iter().enumerate() {
                    let at = tile * TILE + slot;
                    let (force, torque) = self.pull_back(slot, scratch);
                    let centre = scratch.centres[slot];
                    energy[at] = raw[slot] / sigma + 0.5 * centre.norm_squared() / variance;
                    let force = force / sigma + centre / variance;
                    // From the finger centre to the gripper frame's origin.
                    let lever = pose.rotation
                        * Vector3::new(0.0, 0.0, self.settings.finger_centre_m as f32);
                    let torque = torque / sigma + lever.cross(&force);
                    gradient[at] = [force.x, force.y, force.z, torque.x, torque.y, torque.z];
                }
            }
        });
    }
}
