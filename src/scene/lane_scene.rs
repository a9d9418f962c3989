//! The scene laid out for sixteen configurations at once.

use super::Scene;

/// How the distance to an obstacle is computed in the lane kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObstacleKind {
    Sphere,
    Capsule,
    Box,
    Cylinder,
    Plane,
    Grid,
}

/// Obstacles as constants for the lane kernels.
#[derive(Clone, Debug, Default)]
pub struct LaneScene {
    names: Vec<String>,
}

impl LaneScene {
    /// Lays a validated scene out.
    pub fn from_scene(scene: &Scene) -> Self {
        Self {
            names: scene.objects.iter().map(|o| o.name.clone()).collect(),
        }
    }

    /// Name of obstacle `index` in the kernels' order.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// Number of obstacles.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing stands around.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
