//! What an evaluation draws grasps on: the body as it is, and what a source of grasps gets to see of it.

use std::path::Path;
use std::sync::Arc;

use super::depth_view::DepthCamera;
use nalgebra::{Point3, Vector3};

use super::grasp_file::{GraspFile, GraspFileError, ObjectSource};
use super::procedural::{Category, ProceduralObject};
use crate::geometry::Pose;
use crate::scene::{
    partial_cloud, Completed, Completion, MeshDistance, MeshError, SeenSide, SignedDistance,
    TriangleMesh, VoxelGrid,
};

/// Quads of the meshes of procedural objects that the source sees, m, and of those from which the generator's contacts are
/// drawn.
const MESH_SPACING_M: f64 = 0.002;
const CONTACT_SPACING_M: f64 = 0.003;

/// Spacing of the samples of a mesh's distance, m, and what they reach beyond its bounds.
const SAMPLE_SPACING_M: f64 = 0.004;
const SAMPLE_REACH_M: f64 = 0.03;

/// A mesh whose exact distance is only asked for near its surface; elsewhere samples bound it from below.
struct MeshSolid {
    surface: MeshDistance,
    samples: VoxelGrid,
}

impl MeshSolid {
    fn new(surface: MeshDistance) -> Self {
        let (low, high) = surface.bounds();
        let origin = low - Vector3::repeat(SAMPLE_REACH_M);
        let extent = high - low + Vector3::repeat(2.0 * SAMPLE_REACH_M);
        let size = extent.map(|x| (x / SAMPLE_SPACING_M).ceil() as usize + 1);
        let origin_m = origin.coords.into();
        let samples = VoxelGrid::from_mesh(&surface, origin_m, SAMPLE_SPACING_M, size.into());
        Self { surface, samples }
    }
}

impl SignedDistance for MeshSolid {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        let end = self.samples.end_m();
        let sampled = (0..3).all(|a| (self.samples.origin_m[a]..=end[a]).contains(&point[a]));
        // Between samples the distance is off by less than their spacing.
        let rough = match sampled {
            true => self.samples.distance(point),
            false => 0.0,
        };
        match rough.abs() > 2.0 * SAMPLE_SPACING_M {
            true => rough - SAMPLE_SPACING_M.copysign(rough),
            false => self.surface.distance(point),
        }
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        self.surface.distance_and_gradient(point)
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        self.surface.bounds()
    }
}

/// A body in its own frame, metres.
#[derive(Clone)]
pub struct Subject {
    pub name: String,
    /// Objects of one category share a row.
    pub category: String,
    /// Of a procedural object; 0 for files.
    pub seed: u64,
    /// What grasps are judged on.
    pub solid: Arc<dyn SignedDistance>,
    /// Its surface.
    pub mesh: Arc<TriangleMesh>,
    /// The surface from which the generator draws contacts.
    pub contacts: Arc<TriangleMesh>,
    /// What the source of grasps gets.
    pub seen: Arc<TriangleMesh>,
    /// The side of it that it was shown, where the rest is a guess.
    pub seen_side: Option<Arc<SeenSide>>,
    /// Grasps that a data set brings along; the generator's are taken where there are none.
    pub known: Vec<Pose>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Subject({}, {}, {})",
            self.name, self.category, self.seed
        )
    }
}

impl Subject {
    /// An object from its seed, judged by its formula.
    pub fn procedural(category: Category, seed: u64) -> Self {
        let object = ProceduralObject::new(category, seed);
        let mesh = Arc::new(object.mesh(MESH_SPACING_M));
        Self {
            name: object.name(),
            category: category.name().into(),
            seed,
            contacts: Arc::new(object.mesh(CONTACT_SPACING_M)),
            seen: mesh.clone(),
            seen_side: None,
            mesh,
            solid: Arc::new(object.solid),
            known: Vec::new(),
        }
    }

    /// The object of a mesh file (STL, OBJ, PLY), multiplied by `scale`, in the file's frame. It is its own category.
    ///
    /// # Errors
    /// [`MeshError`].
    pub fn from_mesh_file(path: &Path, scale: f64) -> Result<Self, MeshError> {
        let mesh = Arc::new(TriangleMesh::load(path, scale)?);
        let name = path.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        Ok(Self {
            category: name.clone(),
            name,
            seed: 0,
            solid: Arc::new(MeshSolid::new(MeshDistance::new(&mesh)?)),
            contacts: mesh.clone(),
            seen: mesh.clone(),
            seen_side: None,
            mesh,
            known: Vec::new(),
        })
    }

    /// The same object, of which the source sees only one side through a depth camera, completed. Equal seeds see the same.
    ///
    /// # Errors
    /// [`MeshError::BadView`] where the camera sees too little of it.
    pub fn seen_once(
        mut self,
        camera: &DepthCamera,
        seed: u64,
        completion: Completion,
    ) -> Result<Self, MeshError> {
        let view = camera.look_at(&*self.solid, seed);
        let Completed { mesh, seen } =
            partial_cloud::complete(&view.points_m, view.viewpoint_m, completion)?;
        self.seen = Arc::new(mesh);
        self.seen_side = Some(Arc::new(seen));
        self.name = format!("{}_view{seed}", self.name);
        Ok(self)
    }

    /// The object of a grasp file with the grasps that hold according to it.
    ///
    /// # Errors
    /// [`GraspFileError::Mesh`].
    pub fn from_grasp_file(file: GraspFile) -> Result<Self, GraspFileError> {
        let solid: Arc<dyn SignedDistance> = match file.about.source {
            ObjectSource::Procedural { .. } => file.distance()?,
            ObjectSource::Files { .. } => match MeshDistance::new(&file.mesh) {
                Ok(surface) => Arc::new(MeshSolid::new(surface)),
                Err(source) => {
                    let name = file.about.name;
                    return Err(GraspFileError::Mesh { name, source });
                }
            },
        };
        let mesh = Arc::new(file.mesh);
        Ok(Self {
            name: file.about.name,
            category: file.about.category,
            seed: 0,
            solid,
            contacts: mesh.clone(),
            seen: mesh.clone(),
            seen_side: None,
            mesh,
            known: file.holding,
        })
    }
}
