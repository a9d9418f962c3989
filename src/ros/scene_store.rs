//! The obstacles: from `scene.file` and from the topic `scene_object`.

use super::objects::ObservedPose;
use crate::geometry::Pose;
use crate::planner::ObstacleEntry;
use crate::scene::{MeshDistance, SceneObject, Shape, TriangleMesh};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A rigid part of an obstacle.
#[derive(Clone, Debug)]
pub struct Part {
    pub shape: Shape,
    pub object_from_part: Pose,
}

/// An obstacle with one or more parts.
#[derive(Clone, Debug)]
pub struct Obstacle {
    pub pose: ObservedPose,
    pub parts: Vec<Part>,
    pub margin_m: f64,
}

/// The obstacles by name.
#[derive(Clone, Debug, Default)]
pub struct SceneStore {
    pub obstacles: BTreeMap<String, Obstacle>,
    /// Objects that are said to be in a hand already, with the link that carries them: no goal is planned while there are any.
    pub attached: BTreeMap<String, String>,
    /// Why `scene.file` could not be read; no goal is planned while it is there.
    pub fault: Option<String>,
}

/// `scene.file`: a list of obstacles as in a problem file of `dfp plan`, poses in the robot's base link.
///
/// ```yaml
/// obstacles:
///   - {name: table, box: [0.8, 1.2, 0.05], pose: {position_m: [0.5, 0, -0.025]}}
///   - {name: shelf, mesh: {file: shelf.stl, scale: 0.001}, pose: {position_m: [0, 0.6, 0], rpy_rad: [0, 0, 1.57]}}
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SceneFile {
    #[serde(default)]
    obstacles: Vec<ObstacleEntry>,
}

impl SceneStore {
    /// Reads a scene file; mesh paths are relative to it.
    ///
    /// # Errors
    /// A message with the path, the obstacle and what is wrong.
    pub fn load(path: &Path) -> Result<Self, String> {
        let bad = |reason: String| format!("scene.file '{}': {reason}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::from_yaml(&text, folder).map_err(bad)
    }

    fn from_yaml(text: &str, folder: &Path) -> Result<Self, String> {
        let file: SceneFile = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
        let mut store = Self::default();
        for entry in file.obstacles {
            let object = entry.scene_object(folder).map_err(|e| e.to_string())?;
            let name = object.name.clone();
            if store
                .obstacles
                .insert(name.clone(), object.into())
                .is_some()
            {
                return Err(format!("obstacle '{name}' is there twice"));
            }
        }
        Ok(store)
    }
}

impl From<SceneObject> for Obstacle {
    fn from(object: SceneObject) -> Self {
        Self {
            pose: ObservedPose {
                frame: String::new(),
                frame_from_object: object.world_from_object,
                stamp: 0,
            },
            parts: vec![Part {
                shape: object.shape,
                object_from_part: Pose::identity(),
            }],
            margin_m: object.margin_m,
        }
    }
}

/// The signed distance of a mesh as a shape.
///
/// # Errors
/// What the mesh lacks.
pub fn mesh_shape(mesh: &TriangleMesh) -> Result<Shape, String> {
    let distance = MeshDistance::new(mesh).map_err(|e| e.to_string())?;
    Ok(Shape::Mesh(Arc::new(distance)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SceneStore, String> {
        SceneStore::from_yaml(text, Path::new(""))
    }

    #[test]
    fn shapes_and_poses_are_read() {
        let store = parse(
            "obstacles:\n\
             - {name: table, box: [0.8, 1.2, 0.05], pose: {position_m: [0.5, 0, -0.025]}, margin_m: 0.01}\n\
             - {name: floor, plane: true, pose: {position_m: [0, 0, 0]}}\n",
        )
        .unwrap();
        let table = &store.obstacles["table"];
        assert!(
            matches!(table.parts[0].shape, Shape::Box { half_extents_m: [x, _, _] } if x == 0.4)
        );
        assert_eq!(
            table.pose.frame_from_object,
            Pose::translation(0.5, 0.0, -0.025)
        );
        assert_eq!(table.margin_m, 0.01);
        assert!(matches!(
            store.obstacles["floor"].parts[0].shape,
            Shape::Plane
        ));
    }

    #[test]
    fn mistakes_are_named() {
        let pose = "pose: {position_m: [0, 0, 0]}";
        let cases = [
            (format!("obstacles: [{{name: a, {pose}}}]"), "obstacle 'a'"),
            (
                format!("obstacles: [{{name: a, {pose}, plane: true}}, {{name: a, {pose}, plane: true}}]"),
                "obstacle 'a' is there twice",
            ),
            (format!("obstacles: [{{name: a, {pose}, ball: 1}}]"), "unknown field `ball`"),
            (format!("obstacles: [{{name: a, {pose}, mesh: {{file: no.obj}}}}]"), "no.obj"),
            ("obstacles: 3".to_owned(), "invalid type"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
