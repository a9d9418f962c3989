//! Where query points lie in an object's grids, as torch wants it; the field evaluated by torch.

use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};
use tch::Tensor;

use super::batch::joined;
use crate::field::network::{host_copy, QueryGeometry, TorchNetwork};
use crate::field::settings::{SAMPLES_PER_CELL, SDF_SCALES_M};
use crate::field::weights::POINTS;
use crate::field::FieldSettings;
use crate::scene::{SignedDistance, VoxelGrid};

/// The feature grid that belongs to a distance grid: its points lie in the middle of 2 x 2 x 2 samples.
pub(super) struct FeatureCells {
    origin_m: [f64; 3],
    spacing_m: f64,
    size: [usize; 3],
}

impl FeatureCells {
    pub(super) fn new(grid: &VoxelGrid) -> Self {
        Self {
            origin_m: grid.origin_m.map(|x| x + 0.5 * grid.spacing_m),
            spacing_m: SAMPLES_PER_CELL as f64 * grid.spacing_m,
            size: grid.size.map(|n| n / SAMPLES_PER_CELL),
        }
    }

    /// Rows of the eight corners in object `slot`, and weights of value and x, y, z slope.
    /// Beyond the grid the nearest value holds and the slope along that axis is zero.
    pub(super) fn lookup(&self, point: &Point3<f64>, slot: usize) -> ([i64; 8], [[f32; 8]; 4]) {
        let mut corner = [0usize; 3];
        let mut weight = [[0f32; 2]; 3];
        let mut slope = [[0f32; 2]; 3];
        for axis in 0..3 {
            let place = (point[axis] - self.origin_m[axis]) / self.spacing_m;
            let clamped = place.clamp(0.0, (self.size[axis] - 1) as f64);
            corner[axis] = (clamped as usize).min(self.size[axis] - 2);
            let f = (clamped - corner[axis] as f64) as f32;
            weight[axis] = [1.0 - f, f];
            let rate = if place == clamped {
                1.0 / self.spacing_m as f32
            } else {
                0.0
            };
            slope[axis] = [-rate, rate];
        }
        let mut rows = [0i64; 8];
        let mut weights = [[0f32; 8]; 4];
        for c in 0..8 {
            let (a, b, d) = (c >> 2, c >> 1 & 1, c & 1);
            let row = ((slot * self.size[0] + corner[0] + a) * self.size[1] + corner[1] + b)
                * self.size[2];
            rows[c] = (row + corner[2] + d) as i64;
            weights[0][c] = weight[0][a] * weight[1][b] * weight[2][d];
            weights[1][c] = slope[0][a] * weight[1][b] * weight[2][d];
            weights[2][c] = weight[0][a] * slope[1][b] * weight[2][d];
            weights[3][c] = weight[0][a] * weight[1][b] * slope[2][d];
        }
        (rows, weights)
    }
}

/// Query geometry as host vectors, pose after pose.
#[derive(Default)]
pub(super) struct QueryBuffer {
    pub corners: Vec<i64>,
    pub corner_weights: Vec<f32>,
    pub squashed: Vec<f32>,
    pub squashed_slopes: Vec<f32>,
    pub levers: Vec<f32>,
    pub centres: Vec<f32>,
}

impl QueryBuffer {
    /// Adds a pose given by finger centre and rotation, in the frame of the grid of object `slot`.
    pub(super) fn push(
        &mut self,
        points: &[Vector3<f64>],
        grid: &VoxelGrid,
        cells: &FeatureCells,
        slot: usize,
        centre: &Point3<f64>,
        rotation: &UnitQuaternion<f64>,
    ) {
        let middle = grid.centre_m();
        self.centres
            .extend((0..3).map(|a| (centre[a] - middle[a]) as f32));
        for point in points {
            let lever = rotation * point;
            let place = centre + lever;
            let (rows, weights) = cells.lookup(&place, slot);
            self.corners.extend(rows);
            self.corner_weights.extend(weights.iter().flatten());
            self.levers.extend(lever.iter().map(|&x| x as f32));
            let (distance, slope) = grid.distance_and_gradient(&place);
            let squashed = SDF_SCALES_M.map(|scale| (distance as f32 / scale).tanh());
            self.squashed.extend(squashed);
            for axis in 0..3 {
                let by_scale =
                    [0, 1, 2].map(|s| (1.0 - squashed[s] * squashed[s]) / SDF_SCALES_M[s]);
                self.squashed_slopes
                    .extend(by_scale.map(|d| d * slope[axis] as f32));
            }
        }
    }

    /// Several buffers, one after another, as tensors.
    pub(super) fn to_tensors(parts: &[&Self], points: i64) -> QueryGeometry {
        let floats = |field: fn(&Self) -> &Vec<f32>, shape: &[i64]| {
            Tensor::from_slice(&joined(parts, |part| field(part))).reshape(shape)
        };
        QueryGeometry {
            corners: Tensor::from_slice(&joined(parts, |part| &part.corners)),
            corner_weights: floats(|p| &p.corner_weights, &[-1, 4, 8]),
            squashed: floats(|p| &p.squashed, &[-1, 3]),
            squashed_slopes: floats(|p| &p.squashed_slopes, &[-1, 3, 3]),
            levers: floats(|p| &p.levers, &[-1, points, 3]),
            centres: floats(|p| &p.centres, &[-1, 3]),
        }
    }
}

/// The field by torch, to compare the native one with: encoder and decoder in f32, energies and gradients
/// in the convention of [`crate::field::EnergyField`].
pub fn evaluate_with_torch(
    network: &TorchNetwork,
    grid: &VoxelGrid,
    object_from_gripper: &[Isometry3<f32>],
    t: f32,
) -> (Vec<f32>, Vec<[f32; 6]>) {
    let settings = &network.settings;
    let points: Vec<Vector3<f64>> = host_copy(&network.weights[POINTS])
        .values
        .chunks_exact(3)
        .map(|p| Vector3::new(p[0] as f64, p[1] as f64, p[2] as f64))
        .collect();
    let cells = FeatureCells::new(grid);
    let finger_centre = Point3::new(0.0, 0.0, settings.finger_centre_m());
    let mut buffer = QueryBuffer::default();
    for pose in object_from_gripper {
        let pose: Isometry3<f64> = nalgebra::convert(*pose);
        buffer.push(
            &points,
            grid,
            &cells,
            0,
            &(pose * finger_centre),
            &pose.rotation,
        );
    }
    let count = object_from_gripper.len() as i64;
    let shape = [
        1,
        grid.size[0] as i64,
        grid.size[1] as i64,
        grid.size[2] as i64,
    ];
    let features =
        tch::no_grad(|| network.encode(&Tensor::from_slice(&grid.values).reshape(shape)));
    let query = QueryBuffer::to_tensors(&[&buffer], settings.points as i64);
    let level = Tensor::from_slice(&FieldSettings::level_inputs(t))
        .reshape([1, -1])
        .repeat([count, 1]);
    let sigma = settings.schedule.sigma(t);
    let sigmas = Tensor::from_slice(&vec![sigma; object_from_gripper.len()]);
    let scored = network.score(&features, &query, &level, &sigmas, false);
    let scaled = host_copy(&scored.scaled_gradient).values;
    let gradient = object_from_gripper
        .iter()
        .zip(scaled.chunks_exact(6))
        .map(|(pose, g)| {
            let force = Vector3::new(g[0], g[1], g[2]) / settings.schedule.sigma_m(t);
            let lever = pose.rotation * Vector3::new(0.0, 0.0, settings.finger_centre_m() as f32);
            let torque = Vector3::new(g[3], g[4], g[5]) / sigma + lever.cross(&force);
            [force.x, force.y, force.z, torque.x, torque.y, torque.z]
        })
        .collect();
    (host_copy(&scored.energy).values, gradient)
}
