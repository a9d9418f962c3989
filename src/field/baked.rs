//! A field baked for one object: energy and gradient of gripper poses in microseconds.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use nalgebra::{Isometry3, Matrix3, Vector3};

use super::clearance::{GripperSurface, Push};
use super::decoder::{Decoder, DecoderScratch, LevelModulation, BATCH};
use super::encoder;
use super::lookup::Grid;
use super::settings::{
    FieldSettings, FEATURE_GRID_MULTIPLE, SAMPLES_PER_CELL, SDF_SCALES_M, SDF_UNIT_M,
};
use super::weights::{GraspNetwork, POINTS};
use super::{EnergyField, NoiseSchedule};
use crate::lanes::{add, cross, exp, load, scale, splat, store, Lanes, Lanes3, LANES, ZERO};
use crate::scene::VoxelGrid;

/// Features and distances of one object with the decoder that reads them.
#[derive(Debug, Clone)]
pub struct BakedField {
    settings: Arc<FieldSettings>,
    decoder: Arc<Decoder>,
    points: Arc<PointRows>,
    gripper_surface: Arc<GripperSurface>,
    features: Grid,
    distances: Grid,
    /// Middle of the grids in the object frame, m: the centre of the Gaussian part of the energy.
    middle: Vector3<f32>,
}

/// Query points in rows of sixteen, x, y, z about the finger centre in gripper axes, m.
type PointRows = Vec<Lanes3>;

/// Working memory of one thread, for one batch of poses.
#[derive(Default)]
struct Scratch {
    decoder: DecoderScratch,
    modulation: LevelModulation,
    /// Derivatives of the features by x, y, z per m: `[pose][point][block of channels]`.
    feature_slopes: Vec<Lanes3>,
    /// `[pose][row of points]`.
    rows: Vec<RowSlopes>,
    centres: Vec<Vector3<f32>>,
}

/// What sixteen points of a pose leave for the way back.
#[derive(Clone, Copy)]
struct RowSlopes {
    /// From the finger centre to each point, object axes, m.
    levers: Lanes3,
    /// Gradient of the distance.
    gradient: Lanes3,
    /// Derivatives of the squashed distances by the distance, 1/m.
    squashed: Lanes3,
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
            .values(POINTS)
            .chunks_exact(3 * LANES)
            .map(|row| [0, 1, 2].map(|axis| Lanes::new(std::array::from_fn(|i| row[3 * i + axis]))))
            .collect();
        BakedField {
            decoder: Arc::new(Decoder::new(self)),
            points: Arc::new(points),
            gripper_surface: Arc::new(GripperSurface::new(
                &settings.gripper,
                settings.finger_centre_m(),
            )),
            features: Grid {
                origin_m: origin.add_scalar(0.5 * spacing),
                spacing_m: cell_spacing,
                size: grid.size.map(|n| n / SAMPLES_PER_CELL),
                values: encoder::encode(self, grid),
            },
            distances: Grid {
                origin_m: origin,
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

    /// How the open gripper would have to move to keep `clearance_m` from the object; `None` where it does.
    pub(super) fn push(&self, pose: &Isometry3<f32>, clearance_m: f32) -> Option<Push> {
        let (_, centre) = self.frame(pose);
        self.gripper_surface
            .push(&self.distances, pose, &centre, clearance_m)
    }

    /// The clipped distance that the encoder carries along in its first feature, at a place in the object frame, m.
    pub fn carried_distance_m(&self, place_m: [f32; 3]) -> f32 {
        let places = self.features.places(&place_m.map(splat));
        let (value, _) = self.features.channels_at(
            places.cells.base[0] as usize,
            [self.settings.feature_channels, 0],
            places.cells.fraction.map(|f| f.to_array()[0]),
            [0.0; 3],
        );
        value.to_array()[0] * SDF_UNIT_M
    }

    /// Rotation and finger centre of a pose, object frame.
    #[inline(always)]
    fn frame(&self, pose: &Isometry3<f32>) -> (Matrix3<f32>, Vector3<f32>) {
        let rotation = *pose.rotation.to_rotation_matrix().matrix();
        let to_centre = rotation.column(2) * self.settings.finger_centre_m() as f32;
        (rotation, pose.translation.vector + to_centre)
    }

    /// Inputs of one pose: features `[point][channel]`, then squashed distances `[scale][point]`.
    fn gather(&self, pose: &Isometry3<f32>, slot: usize, scratch: &mut Scratch) {
        let channels = self.settings.feature_channels;
        let blocks = channels / LANES;
        let count = self.settings.points;
        let (rotation, centre) = self.frame(pose);
        scratch.centres[slot] = centre - self.middle;
        let inputs =
            &mut scratch.decoder.inputs[slot * self.decoder.inputs()..][..self.decoder.inputs()];
        let (feature_inputs, squashed_inputs) = inputs.split_at_mut(count * channels);
        let feature_slopes = &mut scratch.feature_slopes[slot * count * blocks..][..count * blocks];
        let rows = &mut scratch.rows[slot * self.points.len()..][..self.points.len()];
        for (row, (points, row_slopes)) in self.points.iter().zip(rows).enumerate() {
            let levers = [0, 1, 2].map(|axis| {
                let [x, y, z] = [0, 1, 2].map(|column| splat(rotation[(axis, column)]));
                x.mul_add(points[0], y.mul_add(points[1], z * points[2]))
            });
            let place = [0, 1, 2].map(|axis| levers[axis] + splat(centre[axis]));
            let places = self.features.places(&place);
            let fraction = places.cells.fraction.map(Lanes::to_array);
            let rate = places.rate.map(Lanes::to_array);
            for lane in 0..LANES {
                let point = row * LANES + lane;
                for block in 0..blocks {
                    let (value, slopes) = self.features.channels_at(
                        places.cells.base[lane] as usize,
                        [channels, block * LANES],
                        [0, 1, 2].map(|axis| fraction[axis][lane]),
                        [0, 1, 2].map(|axis| rate[axis][lane]),
                    );
                    store(
                        value,
                        &mut feature_inputs[point * channels + block * LANES..],
                    );
                    feature_slopes[point * blocks + block] = slopes;
                }
            }
            let (distance, gradient) = self.distances.distances_at(&place);
            let mut squashed = [ZERO; 3];
            for (s, scale) in SDF_SCALES_M.iter().enumerate() {
                let tanh = tanh(distance * splat(scale.recip()));
                store(tanh, &mut squashed_inputs[s * count + row * LANES..]);
                squashed[s] = tanh.mul_neg_add(tanh, splat(1.0)) * splat(scale.recip());
            }
            *row_slopes = RowSlopes {
                levers,
                gradient,
                squashed,
            };
        }
    }

    /// Force on the finger centre and torque about it, object axes, from the slopes by the inputs.
    fn pull_back(&self, slot: usize, scratch: &Scratch) -> (Vector3<f32>, Vector3<f32>) {
        let channels = self.settings.feature_channels;
        let blocks = channels / LANES;
        let count = self.settings.points;
        let slopes =
            &scratch.decoder.slopes[slot * self.decoder.inputs()..][..self.decoder.inputs()];
        let (by_feature, by_squashed) = slopes.split_at(count * channels);
        let feature_slopes = &scratch.feature_slopes[slot * count * blocks..][..count * blocks];
        let rows = &scratch.rows[slot * self.points.len()..][..self.points.len()];
        let (mut force, mut torque) = ([ZERO; 3], [ZERO; 3]);
        for (row, row_slopes) in rows.iter().enumerate() {
            // Lanes are points.
            let [a, b, c] = [0, 1, 2]
                .map(|s| load(&by_squashed[s * count + row * LANES..]) * row_slopes.squashed[s]);
            let by_point = scale(&row_slopes.gradient, a + b + c);
            force = add(&force, &by_point);
            torque = add(&torque, &cross(&row_slopes.levers, &by_point));
            // Lanes are channels; their sum is the same one force on the point, so all may wait for one sum at the end.
            let levers = row_slopes.levers.map(Lanes::to_array);
            let [x, y, z] = &levers;
            for (lane, ((x, y), z)) in x.iter().zip(y).zip(z).enumerate() {
                let point = row * LANES + lane;
                let lever = [x, y, z].map(|length| splat(*length));
                for block in 0..blocks {
                    let by_feature = load(&by_feature[point * channels + block * LANES..]);
                    let by_point = scale(&feature_slopes[point * blocks + block], by_feature);
                    force = add(&force, &by_point);
                    torque = [
                        lever[1].mul_add(by_point[2], lever[2].mul_neg_add(by_point[1], torque[0])),
                        lever[2].mul_add(by_point[0], lever[0].mul_neg_add(by_point[2], torque[1])),
                        lever[0].mul_add(by_point[1], lever[1].mul_neg_add(by_point[0], torque[2])),
                    ];
                }
            }
        }
        (
            Vector3::from(force.map(Lanes::reduce_add)),
            Vector3::from(torque.map(Lanes::reduce_add)),
        )
    }

    /// Energies of object_from_gripper poses alone, in half the time.
    pub fn energies(&self, object_from_gripper: &[Isometry3<f32>], t: f32, energy: &mut [f32]) {
        self.each_batch(object_from_gripper, t, energy, |_, _, _| ());
    }

    /// Energies batch by batch; `then` learns which poses these were, and what the decoder has left of them.
    fn each_batch(
        &self,
        object_from_gripper: &[Isometry3<f32>],
        t: f32,
        energy: &mut [f32],
        mut then: impl FnMut(Range<usize>, f32, &mut Scratch),
    ) {
        assert_eq!(
            object_from_gripper.len(),
            energy.len(),
            "one energy per pose"
        );
        let sigma = self.settings.schedule.sigma(t);
        let variance = self.settings.schedule.sigma_m(t).powi(2) + self.settings.prior_m.powi(2);
        SCRATCH.with_borrow_mut(|scratch| {
            self.prepare(scratch);
            self.decoder.modulate(t, &mut scratch.modulation);
            for (batch, poses) in object_from_gripper.chunks(BATCH).enumerate() {
                for (slot, pose) in poses.iter().enumerate() {
                    self.gather(pose, slot, scratch);
                }
                let at = batch * BATCH..batch * BATCH + poses.len();
                let energy = &mut energy[at.clone()];
                self.decoder
                    .energies(&scratch.modulation, &mut scratch.decoder, energy);
                for (energy, centre) in energy.iter_mut().zip(&scratch.centres) {
                    *energy = *energy / sigma + 0.5 * centre.norm_squared() / variance;
                }
                then(at, variance, scratch);
            }
        });
    }

    fn prepare(&self, scratch: &mut Scratch) {
        self.decoder.prepare(&mut scratch.decoder);
        let blocks = self.settings.feature_channels / LANES;
        let empty = RowSlopes {
            levers: [ZERO; 3],
            gradient: [ZERO; 3],
            squashed: [ZERO; 3],
        };
        scratch
            .feature_slopes
            .resize(BATCH * self.settings.points * blocks, [ZERO; 3]);
        scratch.rows.resize(BATCH * self.points.len(), empty);
        scratch.centres.resize(BATCH, Vector3::zeros());
    }
}

/// Hyperbolic tangent, absolute error below 2e-7.
#[inline(always)]
fn tanh(x: Lanes) -> Lanes {
    splat(1.0) - splat(2.0) / (exp(x + x) + splat(1.0))
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
            gradient.len(),
            "one gradient per pose"
        );
        let sigma = self.settings.schedule.sigma(t);
        let finger_centre = self.settings.finger_centre_m() as f32;
        self.each_batch(
            object_from_gripper,
            t,
            energy,
            |batch, variance, scratch| {
                self.decoder.slopes(&mut scratch.decoder, batch.len());
                for (slot, at) in batch.enumerate() {
                    let (force, torque) = self.pull_back(slot, scratch);
                    let force = force / sigma + scratch.centres[slot] / variance;
                    // From the finger centre to the gripper frame's origin.
                    let to_centre = Vector3::new(0.0, 0.0, finger_centre);
                    let lever = object_from_gripper[at].rotation * to_centre;
                    let torque = torque / sigma + lever.cross(&force);
                    gradient[at] = [force.x, force.y, force.z, torque.x, torque.y, torque.z];
                }
            },
        );
    }
}
