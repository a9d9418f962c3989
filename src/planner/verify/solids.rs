//! Bodies as parry shapes, with spheres around them for the first test.

use std::sync::Arc;

use parry3d_f64::math::{Pose3, Rot3, Vec3};
use parry3d_f64::query::{self, Ray};
use parry3d_f64::shape::{Ball, Capsule, Cuboid, Cylinder, HalfSpace, SharedShape, TriMesh};

use super::Violation;
use crate::geometry::Pose;
use crate::scene::{isosurface, MeshDistance, Shape, VoxelGrid};

/// Converted meshes kept between motions.
const CACHED_MESHES: usize = 32;

/// One convex shape, half space or surface.
#[derive(Clone)]
pub(super) struct Part {
    shape: SharedShape,
    /// In the frame of the link or of the world.
    frame_from_shape: Pose3,
    /// Sphere around the shape in that frame; infinite radius for a half space.
    center: Vec3,
    radius_m: f64,
    /// A surface without inside: bodies within it must be looked for.
    hollow: bool,
}

/// Where a solid's frame is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Frame {
    /// Index of a link in the chain.
    Link(usize),
    World,
}

/// A link, a held object or an obstacle.
#[derive(Clone)]
pub(super) struct Solid {
    pub name: String,
    pub frame: Frame,
    world_from_frame: Pose3,
    margin_m: f64,
    parts: Vec<Part>,
    center: Vec3,
    radius_m: f64,
}

/// Meshes and voxel grids already converted, oldest first. Each entry keeps what it was made from alive, so an address
/// cannot come to mean something else.
#[derive(Default)]
pub(super) struct SolidCache {
    meshes: Vec<(Arc<MeshDistance>, SharedShape)>,
    voxels: Vec<(Arc<VoxelGrid>, SharedShape)>,
}

impl Solid {
    pub fn on_link(name: &str, link: usize) -> Self {
        Self::new(name, Frame::Link(link), Pose3::identity(), 0.0)
    }

    pub fn in_world(name: &str, world_from_object: &Pose, margin_m: f64) -> Self {
        Self::new(name, Frame::World, convert(world_from_object), margin_m)
    }

    fn new(name: &str, frame: Frame, world_from_frame: Pose3, margin_m: f64) -> Self {
        Self {
            name: name.to_owned(),
            frame,
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
        let (shape, turn, hollow) = cache.convert(shape, &self.name)?;
        let frame_from_shape = convert(frame_from_shape) * Pose3::from_rotation(turn);
        let unbounded = shape.as_halfspace().is_some();
        let ball = shape.compute_local_bounding_sphere();
        let center = if unbounded { Vec3::ZERO } else { ball.center };
        self.parts.push(Part {
            center: frame_from_shape.transform_point(center),
            radius_m: if unbounded {
                f64::INFINITY
            } else {
                ball.radius
            },
            shape,
            frame_from_shape,
            hollow,
        });
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

    /// Largest distance of any point from the frame's origin, m.
    pub fn extent_m(&self) -> f64 {
        let reach = |p: &Part| p.center.length() + p.radius_m;
        self.parts.iter().map(reach).fold(0.0, f64::max)
    }

    fn world_from_frame<'a>(&'a self, links: &'a [Pose3]) -> &'a Pose3 {
        match self.frame {
            Frame::Link(index) => &links[index],
            Frame::World => &self.world_from_frame,
        }
    }
}

/// A distance that `a` and `b` have at least, from spheres around the parts of `a`; `links` are the links' poses in the
/// world.
pub(super) fn lower_bound(a: &Solid, b: &Solid, links: &[Pose3]) -> f64 {
    let (world_from_a, world_from_b) = (a.world_from_frame(links), b.world_from_frame(links));
    let margin = a.margin_m + b.margin_m;
    let around = (world_from_a.transform_point(a.center) - world_from_b.transform_point(b.center))
        .length()
        - a.radius_m
        - b.radius_m
        - margin;
    let [part] = &b.parts[..] else {
        return around;
    };
    // The sphere around a table or a mug says little; the distance of a point to the one shape itself is still cheap.
    let pose = *world_from_b * part.frame_from_shape;
    let to_part = |p: &Part| {
        let center = world_from_a.transform_point(p.center);
        part.shape.distance_to_point(&pose, center, true) - p.radius_m
    };
    let nearest = a.parts.iter().map(to_part).fold(f64::INFINITY, f64::min);
    around.max(nearest - margin)
}

/// Distance between the true shapes, negative by the depth if they overlap. Counts the shape pairs it computed.
pub(super) fn distance(
    a: &Solid,
    b: &Solid,
    links: &[Pose3],
    computed: &mut usize,
) -> Result<f64, Violation> {
    let a_from_b = a.world_from_frame(links).inv_mul(b.world_from_frame(links));
    let margin = a.margin_m + b.margin_m;
    let mut best = f64::INFINITY;
    for q in &b.parts {
        let a_from_shape = a_from_b * q.frame_from_shape;
        let bound =
            |p: &Part| q.shape.distance_to_point(&a_from_shape, p.center, true) - p.radius_m;
        let mut parts: Vec<(f64, &Part)> = a.parts.iter().map(|p| (bound(p), p)).collect();
        // The nearest first: what it leaves makes the others cheap.
        parts.sort_by(|x, y| x.0.total_cmp(&y.0));
        for (bound, p) in parts {
            if bound >= best {
                break;
            }
            *computed += 1;
            let relative = p.frame_from_shape.inv_mul(&a_from_shape);
            let identity = Pose3::identity();
            let refused = |_| unsupported(&a.name, &b.name);
            let found =
                query::distance(&identity, &*p.shape, &relative, &*q.shape).map_err(refused)?;
            best = best.min(found.distance);
            if best <= 0.0 {
                let contact = query::contact(&identity, &*p.shape, &relative, &*q.shape, 0.0)
                    .map_err(refused)?;
                // Touching without depth has no contact.
                return Ok(contact.map_or(0.0, |c| c.dist.min(0.0)) - margin);
            }
        }
    }
    Ok(best - margin)
}

/// Whether one of two solids that do not touch lies inside the other, which only surfaces allow.
pub(super) fn is_inside(a: &Solid, b: &Solid, links: &[Pose3]) -> bool {
    holds(a, b, links) || holds(b, a, links)
}

/// Whether a surface of `outer` encloses a part of `inner`: the first surface seen from inside is seen from its back.
/// Three directions vote, for surfaces with a hole.
fn holds(outer: &Solid, inner: &Solid, links: &[Pose3]) -> bool {
    let outer_from_inner = outer
        .world_from_frame(links)
        .inv_mul(inner.world_from_frame(links));
    let directions = [
        Vec3::new(0.31, 0.17, 0.93),
        Vec3::new(-0.83, 0.5, -0.24),
        Vec3::new(0.4, -0.87, -0.29),
    ];
    outer.parts.iter().filter(|p| p.hollow).any(|surface| {
        let Some(mesh) = surface.shape.as_trimesh() else {
            return false;
        };
        inner.parts.iter().any(|part| {
            let point = outer_from_inner.transform_point(part.frame_from_shape.translation);
            if (point - surface.center).length() > surface.radius_m {
                return false;
            }
            let backs = directions.iter().filter(|d| {
                let ray = Ray::new(point, **d);
                let hit = surface.shape.cast_ray_and_get_normal(
                    &surface.frame_from_shape,
                    &ray,
                    f64::MAX,
                    false,
                );
                hit.is_some_and(|h| mesh.is_backface(h.feature))
            });
            backs.count() >= 2
        })
    })
}

impl SolidCache {
    /// parry's form of a shape, the rotation from its axes to ours, and whether it is only a surface.
    fn convert(
        &mut self,
        shape: &Shape,
        name: &str,
    ) -> Result<(SharedShape, Rot3, bool), Violation> {
        // parry's cylinders stand along y, ours along z.
        let upright = Rot3::from_rotation_x(std::f64::consts::FRAC_PI_2);
        let solid = |shape| Ok((shape, Rot3::IDENTITY, false));
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
                false,
            )),
            Shape::Mesh(mesh) => {
                let known = self.meshes.iter().find(|(m, _)| Arc::ptr_eq(m, mesh));
                if let Some((_, shape)) = known {
                    return Ok((shape.clone(), Rot3::IDENTITY, true));
                }
                let shape = surface(mesh.triangles(), name)?;
                keep(&mut self.meshes, mesh.clone(), shape.clone());
                Ok((shape, Rot3::IDENTITY, true))
            }
            Shape::Voxels(grid) => {
                let known = self.voxels.iter().find(|(g, _)| Arc::ptr_eq(g, grid));
                if let Some((_, shape)) = known {
                    return Ok((shape.clone(), Rot3::IDENTITY, true));
                }
                let shape = surface(&isosurface::triangles(grid), name)?;
                keep(&mut self.voxels, grid.clone(), shape.clone());
                Ok((shape, Rot3::IDENTITY, true))
            }
        }
    }
}

fn keep<T>(list: &mut Vec<(Arc<T>, SharedShape)>, source: Arc<T>, shape: SharedShape) {
    if list.len() == CACHED_MESHES {
        list.remove(0);
    }
    list.push((source, shape));
}

fn surface(
    triangles: &[[nalgebra::Vector3<f64>; 3]],
    name: &str,
) -> Result<SharedShape, Violation> {
    let vertices = triangles
        .iter()
        .flatten()
        .map(|v| Vec3::new(v.x, v.y, v.z))
        .collect();
    let indices = (0..triangles.len() as u32)
        .map(|i| [3 * i, 3 * i + 1, 3 * i + 2])
        .collect();
    match TriMesh::new(vertices, indices) {
        Ok(mesh) => Ok(SharedShape::new(mesh)),
        Err(error) => Err(Violation::Setup {
            reason: format!("surface of '{name}': {error}"),
        }),
    }
}

fn unsupported(a: &str, b: &str) -> Violation {
    Violation::Setup {
        reason: format!("no distance is defined between the shapes of '{a}' and '{b}'"),
    }
}

fn convert(pose: &Pose) -> Pose3 {
    let (v, r) = (pose.translation.vector, pose.rotation.coords);
    Pose3::from_parts(
        Vec3::new(v.x, v.y, v.z),
        Rot3::from_xyzw(r.x, r.y, r.z, r.w),
    )
}
