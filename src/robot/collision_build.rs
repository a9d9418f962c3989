//! The collision model from the URDF's links.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use urdf_rs::Geometry;

use super::balls::{Ball, BallGroup};
use super::collision::{CollisionModel, LinkShape, Sphere, SphereGroup, SphereSet};
use super::spheres::cover_link;
use super::urdf::{finite, pose};
use super::{KinematicModel, RobotError, RobotSettings, SphereCover};
use crate::geometry::Pose;
use crate::scene::{MeshDistance, Shape, TriangleMesh};

/// Bounding spheres are this much larger than needed, m: f32 rounding must not lose a contact.
const GROUP_SLACK_M: f64 = 1e-5;
/// Distance from the first joint's axis below which a sphere does not move, m.
const ON_AXIS_M: f64 = 1e-6;

/// Shapes, spheres and groups; pairs are added later.
pub(super) fn build(
    robot: &urdf_rs::Robot,
    kinematics: &KinematicModel,
    settings: &RobotSettings,
    mesh_folder: &Path,
) -> Result<CollisionModel, RobotError> {
    let mut model = CollisionModel::default();
    let spheres = &settings.spheres;
    for name in spheres
        .over_cover_by_link
        .keys()
        .chain(spheres.own_over_cover_by_link.keys())
    {
        kinematics.body_of_link(name)?;
    }
    let mut solid: Vec<(&str, Vec<(Pose, Shape)>)> = Vec::new();
    for link in &robot.links {
        let mut shapes = Vec::new();
        for collision in &link.collision {
            let shape = link_shape(&link.name, &collision.geometry, settings, mesh_folder)?;
            finite(
                || format!("collision origin of link '{}'", link.name),
                &collision.origin.xyz.0,
            )?;
            finite(
                || format!("collision rpy of link '{}'", link.name),
                &collision.origin.rpy.0,
            )?;
            shapes.push((pose(&collision.origin), shape));
        }
        if !shapes.is_empty() {
            solid.push((&link.name, shapes));
        }
    }
    let covers = |(name, shapes): &(&str, Vec<(Pose, Shape)>)| {
        let in_scene = spheres.over_cover_by_link.get(*name).copied();
        let among_links = spheres.own_over_cover_by_link.get(*name).copied();
        let cover = |over_cover_m| cover_link(name, shapes, spheres, over_cover_m);
        let own = among_links.map(|over_cover_m| cover(Some(over_cover_m)));
        (cover(in_scene), own)
    };
    // Slow, and one link has nothing to do with another.
    let covers: Vec<_> = solid.par_iter().map(covers).collect();
    // by body: the kernels go through groups body by body
    let mut scene: BTreeMap<usize, Vec<(usize, BallGroup)>> = BTreeMap::new();
    let mut own = scene.clone();
    for ((name, shapes), (coarse, fine)) in solid.into_iter().zip(covers) {
        let (body, body_from_link) = kinematics.body_of_link(name)?;
        let link = model.links.len();
        let grouped = |mut balls: Vec<Ball>| -> Vec<(usize, BallGroup)> {
            for ball in &mut balls {
                ball.center = body_from_link * ball.center;
            }
            let groups = BallGroup::of(balls, spheres.max_per_group);
            groups.into_iter().map(|group| (link, group)).collect()
        };
        let in_scene = grouped(coarse.0);
        model.cover.push(coarse.1);
        let among_links = match fine {
            None => in_scene.clone(),
            Some((balls, cover)) => {
                model.cover.push(SphereCover { own: true, ..cover });
                grouped(balls)
            }
        };
        scene.entry(body).or_default().extend(in_scene);
        own.entry(body).or_default().extend(among_links);
        model.links.push(name.into());
        let link_shape = |(link_from_shape, shape)| LinkShape {
            link: name.into(),
            link_from_shape,
            shape,
        };
        model.shapes.extend(shapes.into_iter().map(link_shape));
    }
    for (set, by_body) in [(&mut model.scene, scene), (&mut model.own, own)] {
        for (body, groups) in by_body {
            for (link, group) in groups {
                set.add_group(kinematics, body, link, &group);
            }
        }
    }
    Ok(model)
}

impl SphereSet {
    /// Adds balls of one link, in their body's frame, as a group.
    pub(super) fn add_group(
        &mut self,
        kinematics: &KinematicModel,
        body: usize,
        link: usize,
        BallGroup { balls, around }: &BallGroup,
    ) {
        let first = self.spheres.len();
        let single = |b: &Ball| Sphere {
            center_m: std::array::from_fn(|k| b.center[k] as f32),
            radius_m: b.radius_m as f32,
        };
        self.spheres.extend(balls.iter().map(single));
        let on_axis = |b: &Ball| b.center.x.hypot(b.center.y) < ON_AXIS_M;
        self.groups.push(SphereGroup {
            body,
            link,
            spheres: first..self.spheres.len(),
            center_m: std::array::from_fn(|k| around.center[k] as f32),
            radius_m: (around.radius_m + GROUP_SLACK_M) as f32,
            static_in_world: body == 0
                || (kinematics.turns_on_the_base(body) && balls.iter().all(on_axis)),
        });
    }
}

fn link_shape(
    link: &str,
    geometry: &Geometry,
    settings: &RobotSettings,
    mesh_folder: &Path,
) -> Result<Shape, RobotError> {
    let size = |shape: &'static str, what: &'static str, value: f64| {
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        Err(RobotError::Geometry {
            link: link.into(),
            shape,
            what,
            value,
        })
    };
    Ok(match geometry {
        Geometry::Box { size: extents } => {
            for &extent in &extents.0 {
                size("box", "size", extent)?;
            }
            Shape::Box {
                half_extents_m: extents.0.map(|v| 0.5 * v),
            }
        }
        Geometry::Cylinder { radius, length } => Shape::Cylinder {
            radius_m: size("cylinder", "radius", *radius)?,
            length_m: size("cylinder", "length", *length)?,
        },
        Geometry::Capsule { radius, length } => Shape::Capsule {
            radius_m: size("capsule", "radius", *radius)?,
            length_m: size("capsule", "length", *length)?,
        },
        Geometry::Sphere { radius } => Shape::Sphere {
            radius_m: size("sphere", "radius", *radius)?,
        },
        Geometry::Mesh { filename, scale } => {
            let path = mesh_path(link, filename, settings, mesh_folder)?;
            let refuse = |reason: String| RobotError::Mesh {
                link: link.into(),
                file: filename.clone(),
                reason,
            };
            let mut mesh = TriangleMesh::load(&path, 1.0).map_err(|e| refuse(e.to_string()))?;
            if let Some(scale) = scale {
                for vertex in &mut mesh.vertices {
                    *vertex = std::array::from_fn(|k| vertex[k] * scale.0[k]);
                }
            }
            Shape::Mesh(Arc::new(
                MeshDistance::new(&mesh).map_err(|e| refuse(e.to_string()))?,
            ))
        }
    })
}

/// The file that a URDF mesh name stands for.
fn mesh_path(
    link: &str,
    filename: &str,
    settings: &RobotSettings,
    mesh_folder: &Path,
) -> Result<PathBuf, RobotError> {
    if let Some(rest) = filename.strip_prefix("package://") {
        let (package, file) = rest.split_once('/').unwrap_or((rest, ""));
        return match settings.package_paths.get(package) {
            Some(folder) => Ok(mesh_folder.join(folder).join(file)),
            None => {
                let known: Vec<_> = settings.package_paths.keys().map(String::as_str).collect();
                let known = if known.is_empty() {
                    "none".into()
                } else {
                    known.join(", ")
                };
                let reason = format!(
                    "the settings' package_paths do not have '{package}'; they have: {known}"
                );
                Err(RobotError::Mesh {
                    link: link.into(),
                    file: filename.into(),
                    reason,
                })
            }
        };
    }
    Ok(mesh_folder.join(filename.strip_prefix("file://").unwrap_or(filename)))
}

impl LinkShape {
    /// The shape's frame in the world for a link pose.
    pub fn world_from_shape(&self, world_from_link: &Pose) -> Pose {
        world_from_link * self.link_from_shape
    }
}
