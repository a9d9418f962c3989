//! Triangle meshes and what can be wrong with them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use nalgebra::Point3;
use rand::{Rng, RngExt};
use thiserror::Error;

use super::{mesh_file, partial_cloud, point_cloud, Completed, Completion};

/// Why a mesh cannot be used.
#[derive(Debug, Error)]
pub enum MeshError {
    #[error("mesh {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("mesh {path}: unknown format, expected .stl, .obj or .ply")]
    UnknownFormat { path: PathBuf },
    #[error("mesh {path}: truncated, {expected} expected, {found} found")]
    Truncated {
        path: PathBuf,
        expected: String,
        found: String,
    },
    #[error("mesh {path}: {position}: {problem}")]
    Malformed {
        path: PathBuf,
        position: String,
        problem: String,
    },
    #[error("mesh has no triangle with an area ({triangles} triangles, {vertices} vertices)")]
    Empty { triangles: usize, vertices: usize },
    #[error(
        "the point cloud is open: at {percent:.0} % of its points both sides are outside; an object needs points all around, \
         or the viewpoint of a single view (--viewpoint)"
    )]
    OpenCloud { percent: f64 },
    #[error("single view: {problem}")]
    BadView { problem: String },
    #[error("mesh vertex {vertex} is not finite: {value:?}")]
    NotFinite { vertex: usize, value: [f64; 3] },
    #[error("mesh triangle {triangle} names vertex {index}, but there are {vertices} vertices")]
    IndexOutOfRange {
        triangle: usize,
        index: u32,
        vertices: usize,
    },
    #[error("mesh scale must be positive and finite, got {scale}")]
    BadScale { scale: f64 },
}

/// Triangles over shared vertices. Vertices in metres, triangles counter-clockwise seen from outside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TriangleMesh {
    pub vertices: Vec<[f64; 3]>,
    pub triangles: Vec<[u32; 3]>,
}

fn check_finite(vertices: &[[f64; 3]]) -> Result<(), MeshError> {
    let bad = |v: &[f64; 3]| v.iter().any(|x| !x.is_finite());
    match vertices.iter().position(bad) {
        Some(vertex) => Err(MeshError::NotFinite {
            vertex,
            value: vertices[vertex],
        }),
        None => Ok(()),
    }
}

impl TriangleMesh {
    /// A box around the origin.
    pub fn cuboid(half_extents_m: [f64; 3]) -> Self {
        let side = |corner: usize, axis: usize| match corner >> axis & 1 {
            1 => half_extents_m[axis],
            _ => -half_extents_m[axis],
        };
        let sides = [
            [0, 4, 6, 2],
            [1, 3, 7, 5],
            [0, 1, 5, 4],
            [2, 6, 7, 3],
            [0, 2, 3, 1],
            [4, 5, 7, 6],
        ];
        let halves = |[a, b, c, d]: [u32; 4]| [[a, b, c], [a, c, d]];
        Self {
            vertices: (0..8)
                .map(|corner| std::array::from_fn(|axis| side(corner, axis)))
                .collect(),
            triangles: sides.into_iter().flat_map(halves).collect(),
        }
    }

    /// Reads STL (ASCII or binary), OBJ or PLY (ASCII or binary), chosen by the file's ending.
    ///
    /// Vertices are multiplied by `scale` (0.001 for a file in millimetres). A file of points without triangles is taken
    /// as a point cloud and gets a surface, see [`point_cloud`].
    ///
    /// # Errors
    /// [`MeshError`] for an unreadable, unknown, truncated or malformed file, and for everything that
    /// [`TriangleMesh::validate`] refuses.
    pub fn load(path: impl AsRef<Path>, scale: f64) -> Result<Self, MeshError> {
        let mut mesh = Self::read(path.as_ref(), scale)?;
        if mesh.triangles.is_empty() && mesh.vertices.len() >= point_cloud::LEAST_POINTS {
            check_finite(&mesh.vertices)?;
            mesh = point_cloud::surface(&mesh.vertices)?;
        }
        mesh.validate()?;
        Ok(mesh)
    }

    /// Reads a point cloud that shows one side of an object, seen from `viewpoint_m`, and guesses the hidden side. Points
    /// are multiplied by `scale`; the viewpoint stands in the frame of the scaled points, m.
    ///
    /// # Errors
    /// As [`TriangleMesh::load`], and [`MeshError::BadView`].
    pub fn load_view(
        path: impl AsRef<Path>,
        scale: f64,
        viewpoint_m: [f64; 3],
        completion: Completion,
    ) -> Result<Completed, MeshError> {
        let cloud = Self::read(path.as_ref(), scale)?;
        if !cloud.triangles.is_empty() {
            return Err(MeshError::BadView {
                problem: format!("{} is a mesh, not a point cloud", path.as_ref().display()),
            });
        }
        partial_cloud::complete(&cloud.vertices, viewpoint_m, completion)
    }

    /// Reads the points of a PLY, OBJ, STL or XYZ file (`x y z` on each line, further columns are left out), multiplied by
    /// `scale`; triangles between them are left out.
    ///
    /// # Errors
    /// [`MeshError`] for an unreadable, unknown, truncated or malformed file.
    pub fn load_points(path: impl AsRef<Path>, scale: f64) -> Result<Vec<[f64; 3]>, MeshError> {
        Ok(Self::read(path.as_ref(), scale)?.vertices)
    }

    /// What stands in a file, scaled.
    fn read(path: &Path, scale: f64) -> Result<Self, MeshError> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(MeshError::BadScale { scale });
        }
        let bytes = std::fs::read(path).map_err(|source| MeshError::Io {
            path: path.into(),
            source,
        })?;
        let ending = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("")
            .to_lowercase();
        let mut mesh = match ending.as_str() {
            "stl" => mesh_file::read_stl(path, &bytes)?,
            "obj" => mesh_file::read_obj(path, &bytes)?,
            "ply" => mesh_file::read_ply(path, &bytes)?,
            "xyz" => mesh_file::read_xyz(path, &bytes)?,
            _ => return Err(MeshError::UnknownFormat { path: path.into() }),
        };
        for vertex in &mut mesh.vertices {
            vertex.iter_mut().for_each(|x| *x *= scale);
        }
        Ok(mesh)
    }

    /// The mesh as the text of an OBJ file [m]; reading it gives the same mesh.
    pub fn to_obj(&self) -> String {
        let mut text = String::new();
        for [x, y, z] in &self.vertices {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "v {x} {y} {z}");
        }
        for triangle in &self.triangles {
            let [a, b, c] = triangle.map(|index| index + 1);
            let _ = writeln!(text, "f {a} {b} {c}");
        }
        text
    }

    /// Refuses meshes without a triangle of positive area, with a coordinate that is not finite, or
    /// with an index past the vertices.
    pub fn validate(&self) -> Result<(), MeshError> {
        check_finite(&self.vertices)?;
        let vertices = self.vertices.len();
        for (triangle, indices) in self.triangles.iter().enumerate() {
            if let Some(&index) = indices.iter().find(|&&i| i as usize >= vertices) {
                return Err(MeshError::IndexOutOfRange {
                    triangle,
                    index,
                    vertices,
                });
            }
        }
        if !self
            .triangles
            .iter()
            .any(|t| self.area_vector(t).norm() > 0.0)
        {
            return Err(MeshError::Empty {
                triangles: self.triangles.len(),
                vertices,
            });
        }
        Ok(())
    }

    /// Lower and upper corner over the vertices that triangles use, m.
    pub fn bounds(&self) -> ([f64; 3], [f64; 3]) {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for &index in self.triangles.iter().flatten() {
            let vertex = self.vertices[index as usize];
            for axis in 0..3 {
                low[axis] = low[axis].min(vertex[axis]);
                high[axis] = high[axis].max(vertex[axis]);
            }
        }
        (low, high)
    }

    /// Volume [m^3] that the surface encloses, and its centre [m]; `None` where it encloses nothing. Holes are closed towards the
    /// vertices' middle, and triangles may all be inside out.
    pub fn volume_and_middle(&self) -> Option<(f64, Point3<f64>)> {
        let of_vertices = self.vertices.iter().map(|v| nalgebra::Vector3::from(*v));
        let apex = of_vertices.sum::<nalgebra::Vector3<f64>>() / self.vertices.len().max(1) as f64;
        let (mut volume, mut moment) = (0.0, nalgebra::Vector3::zeros());
        for triangle in &self.triangles {
            // A tetrahedron; those of surfaces that face the apex count as negative.
            let [a, b, c] = self.corners(triangle).map(|corner| corner - apex);
            let part = a.dot(&b.cross(&c)) / 6.0;
            volume += part;
            moment += part * (a + b + c) / 4.0;
        }
        (volume != 0.0).then(|| (volume.abs(), Point3::from(apex + moment / volume)))
    }

    /// Corners of a triangle, m.
    pub fn corners(&self, triangle: &[u32; 3]) -> [nalgebra::Vector3<f64>; 3] {
        triangle.map(|i| nalgebra::Vector3::from(self.vertices[i as usize]))
    }

    /// Normal times area of a triangle, m^2.
    pub fn area_vector(&self, triangle: &[u32; 3]) -> nalgebra::Vector3<f64> {
        let [a, b, c] = self.corners(triangle);
        (b - a).cross(&(c - a)) * 0.5
    }
}

/// Points on a mesh, uniform by area.
pub struct SurfaceSampler<'a> {
    mesh: &'a TriangleMesh,
    /// Running sum of the triangles' areas, m^2.
    area_sum: Vec<f64>,
}

impl<'a> SurfaceSampler<'a> {
    /// Sums the areas up once.
    pub fn new(mesh: &'a TriangleMesh) -> Self {
        let mut sum = 0.0;
        let area_sum = mesh
            .triangles
            .iter()
            .map(|t| {
                sum += mesh.area_vector(t).norm();
                sum
            })
            .collect();
        Self { mesh, area_sum }
    }

    /// A point on the surface, m.
    pub fn sample(&self, rng: &mut impl Rng) -> Point3<f64> {
        let total = self.area_sum.last().copied().unwrap_or(0.0);
        let place = rng.random_range(0.0..1.0) * total;
        let index = self
            .area_sum
            .partition_point(|&s| s <= place)
            .min(self.area_sum.len() - 1);
        let [a, b, c] = self.mesh.corners(&self.mesh.triangles[index]);
        let (mut u, mut v) = (rng.random_range(0.0..1.0), rng.random_range(0.0..1.0));
        if u + v > 1.0 {
            (u, v) = (1.0 - u, 1.0 - v);
        }
        Point3::from(a + (b - a) * u + (c - a) * v)
    }
}
