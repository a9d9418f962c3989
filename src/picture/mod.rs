//! Pictures of robot, scene and path without any display: a small ray tracer on the processor.
//!
//! [`PictureScene`] collects bodies (robots at configurations, obstacles, meshes), ghosts of the robot along its way,
//! the tool's path and grasps; [`render`] makes an image of them. Metres, world frame with z up.

pub mod curves;
mod render;
mod surface;

use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};

pub use render::render;
use surface::{Form, Ray, Surface, Tree};

use crate::geometry::Pose;
use crate::robot::{GripperGeometry, RobotError, RobotModel};
use crate::scene::{isosurface, Scene, Shape};

/// Linear red, green, blue, 0 to 1.
pub type Color = [f32; 3];

/// Colours that go together.
pub mod palette {
    use super::Color;

    pub const OBSTACLE: Color = [0.50, 0.37, 0.24];
    pub const TARGET: Color = [0.05, 0.38, 0.40];
    pub const GHOST: Color = [0.10, 0.28, 0.70];
    pub const PATH: Color = [0.95, 0.30, 0.05];
    pub const GRASP: Color = [0.10, 0.55, 0.15];
    pub const MESH: Color = [0.45, 0.50, 0.58];
}

/// What all surfaces of one thing share.
#[derive(Clone, Copy, Debug)]
struct Body {
    color: Color,
    /// Shines by itself: neither shaded nor casting shadows (path, frames).
    glows: bool,
}

/// What is to be seen.
#[derive(Default)]
pub struct PictureScene {
    bodies: Vec<Body>,
    solids: Vec<Surface>,
    glowing: Vec<Surface>,
    /// Each ghost's surfaces and how much it covers, 0 to 1.
    ghosts: Vec<(Vec<Surface>, f32)>,
    /// Height of the ground, m; `None`: none is drawn.
    pub ground_z_m: Option<f32>,
}

/// From where, and how wide.
#[derive(Clone, Copy, Debug)]
pub struct Camera {
    pub eye_m: Point3<f32>,
    pub target_m: Point3<f32>,
    /// Whole angle over the picture's height.
    pub field_of_view_rad: f32,
    pub width: u32,
    pub height: u32,
}

impl Camera {
    pub const DEFAULT_SIZE: (u32, u32) = (1100, 800);

    /// A camera that sees a whole scene from a direction given by azimuth (from x towards y) and elevation.
    pub fn around(scene: &PictureScene, azimuth_rad: f32, elevation_rad: f32) -> Self {
        let field_of_view_rad: f32 = 0.6;
        let (width, height) = Self::DEFAULT_SIZE;
        let (sin, cos) = elevation_rad.sin_cos();
        let backward = Vector3::new(cos * azimuth_rad.cos(), cos * azimuth_rad.sin(), sin);
        let right = Vector3::new(-azimuth_rad.sin(), azimuth_rad.cos(), 0.0);
        let up = backward.cross(&right);
        // A rim of a twelfth stays free.
        let tan = (0.5 * field_of_view_rad).tan() / 1.09;
        let slopes = [tan * width as f32 / height as f32, tan];
        let corners = scene.corners();
        let mut target = corners.iter().sum::<Vector3<f32>>() / corners.len() as f32;
        let mut distance = 1.0;
        // The middle of what is seen depends on the distance through perspective: a few rounds settle both.
        for _ in 0..8 {
            let mut range = [[f32::INFINITY, f32::NEG_INFINITY]; 2];
            let mut needed: f32 = 0.05;
            for corner in &corners {
                let p = corner - target;
                for (axis, direction) in [right, up].iter().enumerate() {
                    let (aside, nearer) = (p.dot(direction), p.dot(&backward));
                    needed = needed.max(aside.abs() / slopes[axis] + nearer);
                    let seen = aside / (distance - nearer).max(0.1 * distance);
                    range[axis] = [range[axis][0].min(seen), range[axis][1].max(seen)];
                }
            }
            let shift = |axis: usize| 0.5 * (range[axis][0] + range[axis][1]) * distance;
            target += right * shift(0) + up * shift(1);
            distance = needed;
        }
        Self {
            eye_m: Point3::from(target + backward * distance),
            target_m: Point3::from(target),
            field_of_view_rad,
            width,
            height,
        }
    }
}

impl PictureScene {
    pub fn new() -> Self {
        Self {
            ground_z_m: Some(0.0),
            ..Self::default()
        }
    }

    /// Adds one shape. A plane sets the ground's height if it is level, and is not drawn otherwise.
    pub fn add_shape(&mut self, shape: &Shape, world_from_shape: &Pose, color: Color) {
        if let Shape::Plane = shape {
            self.ground_z_m = Some(world_from_shape.translation.z as f32);
            return;
        }
        let body = self.add_body(color, false);
        let first = self.solids.len();
        surfaces(shape, &world_from_shape.cast(), body, &mut self.solids);
        // What reaches below the ground would be hidden by it.
        if let Some(ground) = &mut self.ground_z_m {
            let lowest = self.solids[first..].iter().map(|s| s.bounds().0.z);
            *ground = lowest.fold(*ground, f32::min);
        }
    }

    /// How many points are hidden from an eye.
    pub fn hidden(&self, points_m: &[Point3<f64>], eye_m: &Point3<f32>) -> usize {
        let tree = Tree::new(self.solids.clone());
        let is_hidden = |point: &&Point3<f64>| {
            let origin: Point3<f32> = point.cast();
            let way = eye_m - origin;
            let direction = way.normalize();
            tree.is_blocked(&Ray { origin, direction }, way.norm())
        };
        points_m.iter().filter(is_hidden).count()
    }

    /// Adds all objects of a scene; the one named `target` in its own colour.
    pub fn add_scene(&mut self, scene: &Scene, target: Option<&str>) {
        for object in &scene.objects {
            let is_target = target == Some(object.name.as_str());
            let color = if is_target {
                palette::TARGET
            } else {
                palette::OBSTACLE
            };
            self.add_shape(&object.shape, &object.world_from_object, color);
        }
    }

    /// Adds the robot at a configuration `[D]`; its fingers `opening_m` apart, or as its settings say.
    ///
    /// # Errors
    /// For a configuration of another length.
    pub fn add_robot(
        &mut self,
        robot: &RobotModel,
        q: &[f64],
        opening_m: Option<f64>,
    ) -> Result<(), RobotError> {
        for (shape, pose, color) in robot_shapes(robot, q, opening_m)? {
            let body = self.add_body(color, false);
            surfaces(&shape, &pose.cast(), body, &mut self.solids);
        }
        Ok(())
    }

    /// Adds the robot as a ghost that covers what is behind it by `opacity`, 0 to 1.
    ///
    /// # Errors
    /// For a configuration of another length.
    pub fn add_ghost(
        &mut self,
        robot: &RobotModel,
        q: &[f64],
        opacity: f32,
    ) -> Result<(), RobotError> {
        let body = self.add_body(palette::GHOST, false);
        let mut ghost = Vec::new();
        for (shape, pose, _) in robot_shapes(robot, q, None)? {
            surfaces(&shape, &pose.cast(), body, &mut ghost);
        }
        self.ghosts.push((ghost, opacity));
        Ok(())
    }

    /// Adds a path through points, m.
    pub fn add_path(&mut self, points: &[Point3<f64>], radius_m: f64, color: Color) {
        let body = self.add_body(color, true);
        for pair in points.windows(2) {
            self.glowing
                .extend(rod(&pair[0].cast(), &pair[1].cast(), radius_m as f32, body));
        }
    }

    /// Adds a gripper as lines: stem and two fingers, `opening_m` apart (frame: +z approach, x closing).
    pub fn add_grasp(
        &mut self,
        world_from_gripper: &Pose,
        gripper: &GripperGeometry,
        opening_m: f64,
        color: Color,
    ) {
        let half = 0.5 * opening_m;
        let (base, tip) = (gripper.finger_base_m, gripper.tip_m);
        let at = |x: f64, z: f64| world_from_gripper * Point3::new(x, 0.0, z);
        let lines = [
            [at(0.0, 0.0), at(0.0, base)],
            [at(-half, base), at(half, base)],
            [at(-half, base), at(-half, tip)],
            [at(half, base), at(half, tip)],
        ];
        for line in lines {
            self.add_path(&line, 0.0022, color);
        }
    }

    /// Adds a frame's axes: x red, y green, z blue.
    pub fn add_frame(&mut self, world_from_frame: &Pose, length_m: f64) {
        for (axis, color) in [[0.85, 0.05, 0.05], [0.05, 0.6, 0.08], [0.08, 0.18, 0.9]]
            .into_iter()
            .enumerate()
        {
            let end = world_from_frame * Point3::from(Vector3::ith(axis, length_m));
            let origin = Point3::from(world_from_frame.translation.vector);
            self.add_path(&[origin, end], 0.03 * length_m, color);
        }
    }

    fn add_body(&mut self, color: Color, glows: bool) -> usize {
        self.bodies.push(Body { color, glows });
        self.bodies.len() - 1
    }

    /// Corners of the boxes around what should be seen whole, m: all surfaces but tables and walls, if there are
    /// others; of a cube of 1 m where there are none.
    fn corners(&self) -> Vec<Vector3<f32>> {
        const WALL_M: f32 = 1.0;
        let ghosts = self.ghosts.iter().flat_map(|g| &g.0);
        let all = self.solids.iter().chain(&self.glowing).chain(ghosts);
        let mut boxes: Vec<_> = all.map(Surface::bounds).collect();
        if boxes.is_empty() {
            boxes.push((Vector3::repeat(-0.5), Vector3::repeat(0.5)));
        }
        let is_small = |(low, high): &(Vector3<f32>, Vector3<f32>)| (high - low).norm() < WALL_M;
        if boxes.iter().any(is_small) {
            boxes.retain(is_small);
        }
        let corner = |(low, high): &(Vector3<f32>, Vector3<f32>), c: usize| {
            Vector3::from_fn(|k, _| if c >> k & 1 == 1 { high[k] } else { low[k] })
        };
        boxes
            .iter()
            .flat_map(|b| (0..8).map(move |c| corner(b, c)))
            .collect()
    }
}

/// The shapes to draw of a robot: the URDF's visual primitives with their colours; for a link whose visuals are meshes,
/// its collision shapes.
fn robot_shapes(
    robot: &RobotModel,
    q: &[f64],
    opening_m: Option<f64>,
) -> Result<Vec<(Shape, Pose, Color)>, RobotError> {
    let mut shapes = Vec::new();
    let materials = &robot.description.materials;
    for link in &robot.description.links {
        let world_from_link = robot.kinematics.forward_kinematics(q, &link.name)?
            * opening_m.map_or(Pose::identity(), |o| finger_shift(robot, &link.name, o));
        let primitives: Vec<_> = link.visual.iter().map(|v| primitive(&v.geometry)).collect();
        if !primitives.is_empty() && primitives.iter().all(Option::is_some) {
            for (visual, shape) in link.visual.iter().zip(primitives.into_iter().flatten()) {
                let own = visual.material.as_ref();
                let color = own.and_then(|m| m.color.as_ref()).or_else(|| {
                    let shared = materials
                        .iter()
                        .find(|m| own.is_some_and(|o| o.name == m.name));
                    shared.and_then(|m| m.color.as_ref())
                });
                let color = color.map_or([0.8, 0.8, 0.82], |c| linear(&c.rgba.0));
                shapes.push((shape, world_from_link * pose(&visual.origin), color));
            }
            continue;
        }
        for part in robot
            .collision
            .shapes
            .iter()
            .filter(|s| s.link == link.name)
        {
            shapes.push((
                part.shape.clone(),
                world_from_link * part.link_from_shape,
                [0.75, 0.76, 0.78],
            ));
        }
    }
    Ok(shapes)
}

/// How far a finger link stands from where the settings have it when the fingers are `opening_m` apart.
fn finger_shift(robot: &RobotModel, link: &str, opening_m: f64) -> Pose {
    let fingers = &robot.settings.gripper;
    let moves = |j: &&urdf_rs::Joint| {
        j.child.link == link
            && j.joint_type == urdf_rs::JointType::Prismatic
            && fingers
                .as_ref()
                .is_some_and(|g| g.finger_joints.contains(&j.name))
    };
    robot
        .description
        .joints
        .iter()
        .find(moves)
        .map_or(Pose::identity(), |joint| {
            let source = joint.mimic.as_ref().map_or(&joint.name, |m| &m.joint);
            let standing_m = robot.settings.fixed_joint_positions.get(source);
            let shift_m = 0.5 * opening_m - standing_m.copied().unwrap_or(0.0);
            Pose::from_parts(
                (Vector3::from(joint.axis.xyz.0) * shift_m).into(),
                UnitQuaternion::identity(),
            )
        })
}

fn pose(origin: &urdf_rs::Pose) -> Pose {
    let [roll, pitch, yaw] = origin.rpy.0;
    Pose::from_parts(
        Vector3::from(origin.xyz.0).into(),
        UnitQuaternion::from_euler_angles(roll, pitch, yaw),
    )
}

fn primitive(geometry: &urdf_rs::Geometry) -> Option<Shape> {
    match geometry {
        urdf_rs::Geometry::Box { size } => Some(Shape::Box {
            half_extents_m: size.0.map(|v| 0.5 * v),
        }),
        urdf_rs::Geometry::Cylinder { radius, length } => Some(Shape::Cylinder {
            radius_m: *radius,
            length_m: *length,
        }),
        urdf_rs::Geometry::Capsule { radius, length } => Some(Shape::Capsule {
            radius_m: *radius,
            length_m: *length,
        }),
        urdf_rs::Geometry::Sphere { radius } => Some(Shape::Sphere { radius_m: *radius }),
        urdf_rs::Geometry::Mesh { .. } => None,
    }
}

/// URDF colours are meant for the screen.
fn linear(rgba: &[f64; 4]) -> Color {
    std::array::from_fn(|k| (rgba[k] as f32).powf(2.2))
}

/// Appends a shape's surfaces.
fn surfaces(
    shape: &Shape,
    world_from_shape: &Isometry3<f32>,
    body: usize,
    target: &mut Vec<Surface>,
) {
    let one = |form| Surface {
        form,
        world_from_surface: *world_from_shape,
        body,
    };
    let form = match shape {
        Shape::Box { half_extents_m } => Form::Box(Vector3::from(*half_extents_m).cast()),
        Shape::Sphere { radius_m } => Form::Sphere(*radius_m as f32),
        Shape::Cylinder { radius_m, length_m } => {
            Form::Cylinder(*radius_m as f32, 0.5 * *length_m as f32)
        }
        Shape::Capsule { radius_m, length_m } => {
            Form::Capsule(*radius_m as f32, 0.5 * *length_m as f32)
        }
        Shape::Plane => return,
        Shape::Mesh(mesh) => {
            target.extend(mesh.triangles().iter().map(|t| one(triangle(t))));
            return;
        }
        Shape::Cloud(cloud) => {
            let surface = isosurface::triangles(&cloud.grid);
            target.extend(surface.iter().map(|t| one(triangle(t))));
            return;
        }
        Shape::Voxels(grid) => {
            target.extend(isosurface::triangles(grid).iter().map(|t| one(triangle(t))));
            return;
        }
    };
    target.push(one(form));
}

fn triangle([a, b, c]: &[Vector3<f64>; 3]) -> Form {
    Form::Triangle([a.cast(), (b - a).cast(), (c - a).cast()])
}

/// A capsule from point to point; nothing where they coincide.
fn rod(from: &Point3<f32>, to: &Point3<f32>, radius_m: f32, body: usize) -> Option<Surface> {
    let way = to - from;
    let length = way.norm();
    if length < 1e-6 {
        return None;
    }
    let turn = UnitQuaternion::rotation_between(&Vector3::z(), &way).unwrap_or_else(|| {
        UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f32::consts::PI)
    });
    let middle = nalgebra::center(from, to);
    Some(Surface {
        form: Form::Capsule(radius_m, 0.5 * length),
        world_from_surface: Isometry3::from_parts(middle.into(), turn),
        body,
    })
}

#[cfg(test)]
mod tests;
