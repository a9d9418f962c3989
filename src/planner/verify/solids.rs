//! Bodies as parry shapes, with spheres around their parts for the first test.

use std::sync::Arc;

use parry3d_f64::bounding_volume::Aabb;
use parry3d_f64::math::{Pose3, Rot3, Vec3};
use parry3d_f64::shape::{
    Ball, Capsule, Cuboid, Cylinder, HalfSpace, SharedShape, TriMeshBuilderError, TypedShape,
};

use super::apart::Core;
use super::Violation;
use crate::geometry::Pose;
use crate::scene::{isosurface, parry_mesh, CloudBall, CloudObstacle, Shape, VoxelGrid};

/// Converted shapes kept between motions.
const CACHED_SHAPES: usize = 32;

/// What a part is to the distance queries.
#[derive(Clone)]
pub(super) enum Body {
    /// All points within `rounding_m` of a core.
    Convex { core: Core, rounding_m: f64 },
    /// Everything below the plane z = 0.
    HalfSpace,
    /// Triangles without inside: bodies within them must be looked for.
    Surface,
}

/// One convex shape, half space or surface.
#[derive(Clone)]
pub(super) struct Part {
    pub shape: SharedShape,
    pub body: Body,
    /// In the frame of the link or of the world.
    pub frame_from_shape: Pose3,
    pub shape_from_frame: Pose3,
    /// Sphere around the shape in that frame; infinite radius for a half space.
    pub center: Vec3,
    pub radius_m: f64,
    /// In the shape's frame.
    pub bounds: Aabb,
}

/// A link, a held object or an obstacle.
#[derive(Clone)]
pub(super) struct Solid {
    pub name: String,
    /// Index of the link it moves with; `None` for an obstacle.
    pub link: Option<usize>,
    world_from_frame: Pose3,
    pub margin_m: f64,
    pub parts: Vec<Part>,
    /// Sphere around all parts.
    pub center: Vec3,
    pub radius_m: f64,
}

/// Clouds and voxel grids already converted, oldest first. Each entry keeps what it was made from alive, so an address
/// cannot come to mean something else.
#[derive(Default)]
pub(super) struct SolidCache {
    voxels: Vec<(Arc<VoxelGrid>, SharedShape)>,
    clouds: Vec<(Arc<CloudObstacle>, SharedShape)>,
}

impl Part {
    fn new(shape: SharedShape, frame_from_shape: Pose3, name: &str) -> Result<Self, Violation> {
        let body = match shape.as_typed_shape() {
            TypedShape::Ball(ball) => Body::Convex {
                core: Core::Point,
                rounding_m: ball.radius,
            },
            TypedShape::Capsule(capsule) => Body::Convex {
                core: Core::Segment(capsule.segment),
                rounding_m: capsule.radius,
            },
            TypedShape::Cuboid(cuboid) => Body::solid(Core::Cuboid(*cuboid)),
            TypedShape::Cylinder(cylinder) => Body::solid(Core::Cylinder(*cylinder)),
            TypedShape::HalfSpace(_) => Body::HalfSpace,
            TypedShape::TriMesh(_) => Body::Surface,
            _ => {
                let reason = format!("no distance is defined for the shape of '{name}'");
                return Err(Violation::Setup { reason });
            }
        };
        let unbounded = matches!(body, Body::HalfSpace);
        let ball = shape.compute_local_bounding_sphere();
        let center = if unbounded { Vec3::ZERO } else { ball.center };
        Ok(Self {
            center: frame_from_shape.transform_point(center),
            radius_m: if unbounded {
                f64::INFINITY
            } else {
                ball.radius
            },
            bounds: shape.compute_local_aabb(),
            shape,
            body,
            frame_from_shape,
            shape_from_frame: frame_from_shape.inverse(),
        })
    }

    /// A distance that the part has from a point of its solid's frame at least, m; 0 inside.
    pub fn distance_at_least(&self, point: Vec3) -> f64 {
        let local = self.shape_from_frame.transform_point(point);
        match self.body {
            // The triangles themselves would take longer than what the answer is to save.
            Body::Surface => {
                let outside = (self.bounds.mins - local).max(local - self.bounds.maxs);
                outside.max(Vec3::ZERO).length()
            }
            _ => self.shape.distance_to_local_point(local, true),
        }
    }
}

impl Body {
    fn solid(core: Core) -> Self {
        Self::Convex {
            core,
            rounding_m: 0.0,
        }
    }
}

impl Solid {
    pub fn on_link(name: &str, link: usize) -> Self {
        Self::new(name, Some(link), Pose3::identity(), 0.0)
    }

    pub fn in_world(name: &str, world_from_object: &Pose, margin_m: f64) -> Self {
        Self::new(name, None, convert(world_from_object), margin_m)
    }

    fn new(name: &str, link: Option<usize>, world_from_frame: Pose3, margin_m: f64) -> Self {
        Self {
            name: name.to_owned(),
            link,
            world_from_frame,
            margin_m,
            parts: Vec::new(),
            center: Vec3::ZERO,
            radius_m: 0.0,
        }
    }

    /// Adds a shape at a pose in the solid's frame.
    pub fn add(
        &mut self,
        shape: &Shape,
        frame_from_shape: &Pose,
        cache: &mut SolidCache,
    ) -> Result<(), Violation> {
        let (converted, turn) = cache.convert(shape, &self.name)?;
        let frame_from_shape = convert(frame_from_shape) * Pose3::from_rotation(turn);
        let part = Part::new(converted, frame_from_shape, &self.name)?;
        if self.link.is_some() && matches!(part.body, Body::HalfSpace) {
            let reason = format!("'{}' moves and cannot be a plane", self.name);
            return Err(Violation::Setup { reason });
        }
        if let Shape::Cloud(cloud) = shape {
            self.margin_m += largest_radius_m(cloud);
        }
        self.parts.push(part);
        self.enclose();
        Ok(())
    }

    /// Sphere around all parts: about the middle of their centres.
    fn enclose(&mut self) {
        let sum = self.parts.iter().fold(Vec3::ZERO, |sum, p| sum + p.center);
        self.center = sum / self.parts.len() as f64;
        let reach = |p: &Part| (p.center - self.center).length() + p.radius_m;
        self.radius_m = self.parts.iter().map(reach).fold(0.0, f64::max);
    }

    /// Spheres around the parts: centre in the solid's frame and radius, m.
    pub fn spheres(&self) -> impl Iterator<Item = (Vec3, f64)> + '_ {
        self.parts.iter().map(|p| (p.center, p.radius_m))
    }

    /// `links`: poses of all links in the world.
    pub fn world_from_frame<'a>(&'a self, links: &'a [Pose3]) -> &'a Pose3 {
        match self.link {
            Some(index) => &links[index],
            None => &self.world_from_frame,
        }
    }

    /// A distance that a sphere of the solid's frame has from it at least, m; negative if it may touch.
    pub fn distance_at_least(&self, center: Vec3, radius_m: f64) -> f64 {
        let around = (center - self.center).length() - self.radius_m - radius_m;
        // The sphere around a table says little; the distance from the one shape itself is still cheap.
        match &self.parts[..] {
            [part] => around.max(part.distance_at_least(center) - radius_m),
            _ => around,
        }
    }
}

impl SolidCache {
    /// parry's form of a shape and the rotation from its axes to ours.
    fn convert(&mut self, shape: &Shape, name: &str) -> Result<(SharedShape, Rot3), Violation> {
        // parry's cylinders stand along y, ours along z.
        let upright = Rot3::from_rotation_x(std::f64::consts::FRAC_PI_2);
        let solid = |shape| Ok((shape, Rot3::IDENTITY));
        match shape {
            Shape::Box {
                half_extents_m: [x, y, z],
            } => solid(SharedShape::new(Cuboid::new(Vec3::new(*x, *y, *z)))),
            Shape::Sphere { radius_m } => solid(SharedShape::new(Ball::new(*radius_m))),
            Shape::Capsule { radius_m, length_m } => {
                solid(SharedShape::new(Capsule::new_z(0.5 * length_m, *radius_m)))
            }
            Shape::Plane => solid(SharedShape::new(HalfSpace::new(Vec3::Z))),
            Shape::Cylinder { radius_m, length_m } => Ok((
                SharedShape::new(Cylinder::new(0.5 * length_m, *radius_m)),
                upright,
            )),
            Shape::Mesh(mesh) => match mesh.parry() {
                Ok(mesh) => solid(SharedShape(mesh)),
                Err(error) => Err(no_surface(name, error)),
            },
            Shape::Cloud(cloud) => {
                let known = self.clouds.iter().find(|(c, _)| Arc::ptr_eq(c, cloud));
                if let Some((_, shape)) = known {
                    return solid(shape.clone());
                }
                let shape = surface(&specks(cloud), name)?;
                keep(&mut self.clouds, cloud.clone(), shape.clone());
                solid(shape)
            }
            Shape::Voxels(grid) => {
                let known = self.voxels.iter().find(|(g, _)| Arc::ptr_eq(g, grid));
                if let Some((_, shape)) = known {
                    return Ok((shape.clone(), Rot3::IDENTITY));
                }
                let shape = surface(&isosurface::triangles(grid), name)?;
                keep(&mut self.voxels, grid.clone(), shape.clone());
                Ok((shape, Rot3::IDENTITY))
            }
        }
    }
}

fn keep<T>(list: &mut Vec<(Arc<T>, SharedShape)>, source: Arc<T>, shape: SharedShape) {
    if list.len() == CACHED_SHAPES {
        list.remove(0);
    }
    list.push((source, shape));
}

/// A tiny triangle at the centre of every ball that holds a cloud's points; as far from it as the largest radius is what the
/// solid must be kept away from.
fn specks(cloud: &CloudObstacle) -> Vec<[nalgebra::Vector3<f64>; 3]> {
    /// So that it has a normal [m].
    const SIZE_M: f64 = 1e-4;
    let corner = |k: usize, center: &[f64; 3]| {
        let angle = std::f64::consts::TAU * k as f64 / 3.0;
        nalgebra::Vector3::from(*center)
            + nalgebra::Vector3::new(angle.cos(), angle.sin(), 0.0) * SIZE_M
    };
    let speck = |b: &CloudBall| [0, 1, 2].map(|k| corner(k, &b.center_m));
    cloud.balls.iter().map(speck).collect()
}

fn largest_radius_m(cloud: &CloudObstacle) -> f64 {
    cloud.balls.iter().map(|b| b.radius_m).fold(0.0, f64::max)
}

fn surface(
    triangles: &[[nalgebra::Vector3<f64>; 3]],
    name: &str,
) -> Result<SharedShape, Violation> {
    match parry_mesh(triangles) {
        Ok(mesh) => Ok(SharedShape::new(mesh)),
        Err(error) => Err(no_surface(name, error)),
    }
}

fn no_surface(name: &str, error: TriMeshBuilderError) -> Violation {
    Violation::Setup {
        reason: format!("surface of '{name}': {error}"),
    }
}

fn convert(pose: &Pose) -> Pose3 {
    let (v, r) = (pose.translation.vector, pose.rotation.coords);
    Pose3::from_parts(
        Vec3::new(v.x, v.y, v.z),
        Rot3::from_xyzw(r.x, r.y, r.z, r.w),
    )
}
