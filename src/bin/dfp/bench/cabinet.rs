//! The shelf of the third task.

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::scene::SceneObject;
use nalgebra::{Translation3, Vector3};
use rand::{Rng, RngExt};

use super::items::Item;
use super::scenes::{solid, standing, upright, BOARD_M, HOVER_M};

/// A cabinet with two boards under a top, open towards the robot.
pub struct Cabinet {
    /// Direction from the robot and distance of its middle.
    pub angle_rad: f64,
    distance_m: f64,
    /// Inner width, depth, height of the lowest board's surface and room between boards [m].
    width_m: f64,
    depth_m: f64,
    lowest_m: f64,
    gap_m: f64,
}

impl Cabinet {
    pub fn draw(rng: &mut impl Rng) -> Self {
        Self {
            angle_rad: rng.random_range(-0.7..0.7),
            distance_m: rng.random_range(0.60..0.68),
            width_m: rng.random_range(0.55..0.75),
            depth_m: rng.random_range(0.24..0.30),
            lowest_m: rng.random_range(0.08..0.20),
            gap_m: rng.random_range(0.28..0.34),
        }
    }

    /// x away from the robot, y along the boards.
    fn pose(&self, x_m: f64, y_m: f64, z_m: f64) -> Pose {
        let turn = upright(self.angle_rad);
        let place = turn * Vector3::new(self.distance_m + x_m, y_m, z_m);
        Pose::from_parts(Translation3::from(place), turn)
    }

    fn board_m(&self, level: usize) -> f64 {
        self.lowest_m + level as f64 * (self.gap_m + BOARD_M)
    }

    pub fn objects(&self) -> Vec<SceneObject> {
        let mut objects: Vec<SceneObject> = (0..3)
            .map(|level| {
                let pose = self.pose(0.0, 0.0, self.board_m(level) - 0.5 * BOARD_M);
                solid(
                    &format!("board_{level}"),
                    [self.depth_m, self.width_m, BOARD_M],
                    pose,
                )
            })
            .collect();
        let (low, high) = (HOVER_M, self.board_m(2));
        let (middle, height) = (0.5 * (low + high), high - low);
        for (name, side) in [("left", 1.0), ("right", -1.0)] {
            let pose = self.pose(0.0, side * 0.5 * (self.width_m + BOARD_M), middle);
            objects.push(solid(name, [self.depth_m, BOARD_M, height], pose));
        }
        let pose = self.pose(0.5 * (self.depth_m + BOARD_M), 0.0, middle);
        objects.push(solid(
            "back",
            [BOARD_M, self.width_m + 2.0 * BOARD_M, height],
            pose,
        ));
        objects
    }

    /// Near the front of a board, yaw relative to the cabinet.
    pub fn stand(&self, item: &Item, level: usize, yaw_rad: f64, rng: &mut impl Rng) -> Pose {
        let side = 0.5 * self.width_m - item.radius_m() - 0.09;
        let y_m = rng.random_range(-side..side);
        let front = -0.5 * self.depth_m + item.radius_m();
        let x_m = front + rng.random_range(0.01..0.06);
        let place = self.pose(x_m, y_m, 0.0).translation;
        let rotation = upright(self.angle_rad + yaw_rad);
        standing(item, place.x, place.y, self.board_m(level), rotation)
    }
}
