//! Point clouds of a problem file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::entries::{one, value};
use super::ProblemError;
use crate::geometry::Pose;
use crate::scene::{Carved, CloudObstacle, CloudSettings, MeshDistance, Shape, TriangleMesh};

/// Points `x y z` of a PLY or XYZ file; everything near one is solid. Points on the problem's objects are left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudEntry {
    pub file: PathBuf,
    #[serde(default = "one")]
    pub scale: f64,
    /// Side of a voxel [m].
    #[serde(default)]
    pub voxel_m: Option<f64>,
    /// Where the sensor stood, in the cloud's frame [m]: what it sees is then solid for `depth_m` behind the surface.
    #[serde(default)]
    pub sensor_m: Option<[f64; 3]>,
    #[serde(default)]
    pub depth_m: Option<f64>,
    /// Points with fewer others nearby are taken for noise.
    #[serde(default)]
    pub least_neighbours: Option<usize>,
    /// Points further than this from the cloud's origin are left out [m].
    #[serde(default)]
    pub reach_m: Option<f64>,
    /// Points up to this far outside an object of the problem are its own [m].
    #[serde(default = "carve_margin_m")]
    pub carve_margin_m: f64,
}

fn carve_margin_m() -> f64 {
    0.015
}

impl CloudEntry {
    /// The obstacle, with its file relative to `folder`; points on known bodies, each with its pose, are left out.
    pub(super) fn shape(
        &self,
        what: &str,
        folder: &Path,
        world_from_cloud: &Pose,
        known: &[(Arc<MeshDistance>, Pose)],
    ) -> Result<Shape, ProblemError> {
        let path = folder.join(&self.file);
        let points = TriangleMesh::load_points(&path, self.scale)
            .map_err(|e| value(&format!("point cloud '{}'", path.display()), &e.to_string()))?;
        let usual = CloudSettings::default();
        let settings = CloudSettings {
            voxel_m: self.voxel_m.unwrap_or(usual.voxel_m),
            least_neighbours: self.least_neighbours.unwrap_or(usual.least_neighbours),
            sensor_m: self.sensor_m,
            depth_m: self.depth_m.unwrap_or(usual.depth_m),
            reach_m: self.reach_m.unwrap_or(usual.reach_m),
        };
        let carved: Vec<Carved<'_>> = known
            .iter()
            .map(|(solid, world_from_solid)| Carved {
                solid: solid.as_ref(),
                cloud_from_solid: world_from_cloud.inverse() * world_from_solid,
                margin_m: self.carve_margin_m,
            })
            .collect();
        let obstacle = CloudObstacle::new(&points, &settings, &carved)
            .map_err(|e| value(what, &e.to_string()))?;
        Ok(Shape::Cloud(Arc::new(obstacle)))
    }
}
