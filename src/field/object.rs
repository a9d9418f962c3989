//! An object to grasp: mesh, distances and the field baked for it.

use std::sync::{Arc, OnceLock};

use nalgebra::Point3;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use thiserror::Error;

use super::contact::exits_along;
use super::{
    BakedField, CandidateSettings, FacingPoints, FingerFace, Grasp, GraspNetwork, GraspTarget,
    NearSurface, Weight,
};
use crate::robot::{cover_held, BallGroup};
use crate::scene::mesh::SurfaceSampler;
use crate::scene::{MeshDistance, MeshError, SeenSide, SignedDistance, TriangleMesh, VoxelGrid};

/// Why a mesh cannot become an object.
#[derive(Debug, Error)]
pub enum ObjectError {
    #[error("object '{name}': {source}")]
    Mesh { name: String, source: MeshError },
    #[error(
        "object '{name}' is {largest_m:.4} m long, expected {LEAST_SIZE_M} m to {LARGEST_SIZE_M} m: \
         is the mesh in another unit?{hint}"
    )]
    Size {
        name: String,
        largest_m: f64,
        hint: String,
    },
    #[error(
        "object '{name}': nothing fits between the fingers: the thinnest of {samples} places is \
         {thinnest_m:.4} m, the gripper opens {opening_m:.4} m"
    )]
    NothingFits {
        name: String,
        samples: usize,
        thinnest_m: f64,
        opening_m: f64,
    },
}

/// Smallest and largest longest side of an object, m.
pub const LEAST_SIZE_M: f64 = 0.01;
pub const LARGEST_SIZE_M: f64 = 0.6;
/// Longest sides outside this range get a warning: rare among things that a hand lifts, m.
const USUAL_SIZE_M: [f64; 2] = [0.03, 0.35];
/// Checks of grasps look nearer than this beyond their clearance, m.
pub const NEAR_M: f64 = 0.005;
/// Border of [`ObjectModel::close_distance`]. Beyond it distances are rounded up, so it must be wider than every clearance that is
/// required, m.
const CLOSE_M: f64 = 0.02;
/// Places at which the thickness is measured.
const THICKNESS_SAMPLES: usize = 400;
/// Unit factors that meshes come with.
const UNIT_FACTORS: [f64; 6] = [0.001, 0.01, 0.0254, 1000.0, 100.0, 39.370_078_74];

/// Grasps that stay with an object, the best first.
#[derive(Clone, Debug, Default)]
pub struct KeptGrasps {
    /// As the field draws them.
    pub drawn: Vec<Grasp>,
    /// That the object's shape allows, rated by the field.
    pub by_shape: Vec<Grasp>,
}

/// An object that can be grasped. Everything in the mesh's own frame, metres.
#[derive(Clone, Debug)]
pub struct ObjectModel {
    pub name: String,
    pub mesh: Arc<TriangleMesh>,
    /// Exact distance, for checks.
    pub surface: Arc<MeshDistance>,
    /// Sampled distance, for speed.
    pub distance: Arc<VoxelGrid>,
    /// The part of it close to the object: what the planner's kernels read should be small.
    pub close_distance: Arc<VoxelGrid>,
    pub field: Arc<BakedField>,
    /// Of the field's gripper.
    pub face: Arc<FingerFace>,
    /// `None` where the mesh encloses nothing.
    pub weight: Option<Weight>,
    /// What was seen of it, where the rest of the mesh is a guess.
    pub seen: Option<Arc<SeenSide>>,
    /// Drawn once, see [`ObjectModel::kept_grasps`]. What is made once here is made on all cores, so never ask for it from
    /// within a parallel job: the pool could wait for itself.
    grasps: OnceLock<KeptGrasps>,
    /// Drawn once, see [`ObjectModel::contact_pairs`].
    contact_pairs: OnceLock<Vec<[Point3<f64>; 2]>>,
    /// Found once, see [`ObjectModel::held_balls`].
    held_balls: OnceLock<Vec<BallGroup>>,
}

/// Surface points that the spheres of the held object cover.
const HELD_SAMPLES: usize = 2000;
/// Pairs of facing surface points that are kept.
const CONTACT_PAIRS: usize = 1024;

impl ObjectModel {
    /// Measures the mesh and bakes its field. The mesh may stand anywhere and need not be watertight.
    ///
    /// # Errors
    /// [`ObjectError`]: a mesh without surface, a size that only a wrong unit explains, or nothing thin
    /// enough for the gripper's opening.
    pub fn from_mesh(
        name: impl Into<String>,
        mesh: Arc<TriangleMesh>,
        network: &GraspNetwork,
    ) -> Result<Self, ObjectError> {
        let name = name.into();
        let surface = MeshDistance::new(&mesh).map_err(|source| ObjectError::Mesh {
            name: name.clone(),
            source,
        })?;
        let opening_m = network.settings().gripper.max_opening_m;
        check_graspable(&name, &mesh, &surface, opening_m)?;
        let (low, high) = mesh.bounds();
        let (origin, size) = network.grid_for(low, high);
        let distance = VoxelGrid::from_mesh(&surface, origin, network.settings().spacing_m, size);
        Ok(Self::from_parts(
            name,
            mesh,
            surface,
            distance,
            OnceLock::new(),
            network,
        ))
    }

    /// Bakes the field of a mesh whose distances are known.
    pub(super) fn from_parts(
        name: String,
        mesh: Arc<TriangleMesh>,
        surface: MeshDistance,
        distance: VoxelGrid,
        grasps: OnceLock<KeptGrasps>,
        network: &GraspNetwork,
    ) -> Self {
        let (low, high) = surface.bounds();
        let close_distance = distance.around(
            low.coords.add_scalar(-CLOSE_M).into(),
            high.coords.add_scalar(CLOSE_M).into(),
        );
        Self {
            name,
            weight: Weight::of(&mesh),
            mesh,
            surface: Arc::new(surface),
            close_distance: Arc::new(close_distance),
            field: Arc::new(network.bake(&distance)),
            face: Arc::new(FingerFace::new(&network.settings().gripper)),
            distance: Arc::new(distance),
            seen: None,
            grasps,
            contact_pairs: OnceLock::new(),
            held_balls: OnceLock::new(),
        }
    }

    /// The same object, of whose mesh only this side was seen: grasps are kept to it.
    pub fn seen_from_one_side(self, seen: Option<SeenSide>) -> Self {
        Self {
            seen: seen.map(Arc::new),
            ..self
        }
    }

    /// What its grasps are filtered against, with the distances of [`ObjectModel::near_surface`].
    pub fn target<'a>(&'a self, surface: &'a NearSurface) -> GraspTarget<'a> {
        GraspTarget {
            surface,
            seen: self.seen.as_deref(),
            face: &self.face,
            weight: self.weight,
        }
    }

    /// Balls around the object for when it hangs in the hand, in its own frame; found at the first call.
    pub fn held_balls(&self) -> &[BallGroup] {
        self.held_balls.get_or_init(|| {
            let sampler = SurfaceSampler::new(&self.mesh);
            // The seed is fixed: the same mesh always gets the same balls.
            let mut rng = Pcg64Mcg::seed_from_u64(0);
            let points: Vec<_> = (0..HELD_SAMPLES)
                .map(|_| sampler.sample(&mut rng))
                .chain(
                    self.mesh
                        .vertices
                        .iter()
                        .map(|v| Point3::from(*v))
                        .step_by(self.mesh.vertices.len().div_ceil(HELD_SAMPLES).max(1)),
                )
                .collect();
            cover_held(&points, &*self.distance)
        })
    }

    /// Grasps that stay with the object; the first call draws them.
    pub fn kept_grasps(&self, draw: impl FnOnce(&Self) -> KeptGrasps) -> &KeptGrasps {
        self.grasps.get_or_init(|| draw(self))
    }

    /// Pairs of facing surface points, object frame [m], between which the gripper fits; drawn at the first call.
    pub fn contact_pairs(&self) -> &[[Point3<f64>; 2]] {
        self.contact_pairs.get_or_init(|| {
            let (surface, gripper) = (self.near_surface(0.0), &self.field.settings().gripper);
            let settings = CandidateSettings::default();
            FacingPoints::new(&surface, &self.mesh, gripper, settings).pairs(CONTACT_PAIRS, 0)
        })
    }

    /// The grasps that stay with the object, if they are drawn.
    pub(super) fn grasps_if_drawn(&self) -> Option<&KeptGrasps> {
        self.grasps.get()
    }

    /// Distances for checks that keep at most `clearance_m` of air: exact near the surface, a lower bound where it is far.
    pub fn near_surface(&self, clearance_m: f64) -> NearSurface<'_> {
        NearSurface::new(&self.surface, &self.distance, NEAR_M + clearance_m.max(0.0))
    }

    /// What looks wrong about the size without being impossible.
    pub fn size_warning(&self) -> Option<String> {
        let (low, high) = self.mesh.bounds();
        let largest_m = (0..3).map(|a| high[a] - low[a]).fold(0.0, f64::max);
        (!(USUAL_SIZE_M[0]..=USUAL_SIZE_M[1]).contains(&largest_m)).then(|| {
            format!(
                "'{}' is {largest_m:.3} m long; most objects that a hand lifts are {} m to {} m{}",
                self.name,
                USUAL_SIZE_M[0],
                USUAL_SIZE_M[1],
                unit_hint(largest_m)
            )
        })
    }
}

/// Whether a gripper that opens this far can hold the mesh anywhere.
///
/// # Errors
/// [`ObjectError::Size`], [`ObjectError::NothingFits`].
pub fn check_graspable(
    name: &str,
    mesh: &TriangleMesh,
    surface: &MeshDistance,
    opening_m: f64,
) -> Result<(), ObjectError> {
    let (low, high) = mesh.bounds();
    let largest_m = (0..3).map(|a| high[a] - low[a]).fold(0.0, f64::max);
    if !(LEAST_SIZE_M..=LARGEST_SIZE_M).contains(&largest_m) {
        return Err(ObjectError::Size {
            name: name.into(),
            largest_m,
            hint: unit_hint(largest_m),
        });
    }
    let thinnest_m = thinnest(mesh, surface);
    if thinnest_m > opening_m {
        return Err(ObjectError::NothingFits {
            name: name.into(),
            samples: THICKNESS_SAMPLES,
            thinnest_m,
            opening_m,
        });
    }
    Ok(())
}

/// `; scale 0.001 would make it 0.090 m`, if a usual unit factor gives a usual size.
fn unit_hint(largest_m: f64) -> String {
    UNIT_FACTORS
        .iter()
        .find(|&&factor| (USUAL_SIZE_M[0]..=USUAL_SIZE_M[1]).contains(&(largest_m * factor)))
        .map_or(String::new(), |factor| {
            format!(
                " A scale of {factor} would make it {:.3} m.",
                largest_m * factor
            )
        })
}

/// Smallest thickness found from random surface points straight inwards, m; infinite if no ray came out again.
fn thinnest(mesh: &TriangleMesh, surface: &MeshDistance) -> f64 {
    let sampler = SurfaceSampler::new(mesh);
    // The seed is fixed: the same mesh always gets the same answer.
    let mut rng = Pcg64Mcg::seed_from_u64(0);
    let mut thinnest = f64::INFINITY;
    for _ in 0..THICKNESS_SAMPLES {
        let point = sampler.sample(&mut rng);
        let Some(normal) = surface.distance_and_gradient(&point).1.try_normalize(1e-9) else {
            continue;
        };
        // Two millimetres more than found so far is enough to improve on it.
        let limit = thinnest.min(LARGEST_SIZE_M);
        for direction in [normal, -normal] {
            thinnest = exits_along(surface, &point, &direction, limit)
                .into_iter()
                .fold(thinnest, f64::min);
        }
    }
    thinnest
}
