//! Scene objects from and to messages.

use super::{pose_from_message, pose_to_message, time_from_message, time_to_message};
use crate::geometry::Pose;
use crate::ros::objects::ObservedPose;
use crate::ros::scene_store::{mesh_shape, Obstacle, Part};
use crate::scene::{Shape, TriangleMesh};
use nalgebra::{UnitQuaternion, Vector3};
use r2r::diffusion_field_planner::msg::SceneObject;
use r2r::{geometry_msgs, shape_msgs};

/// Where an object is, from the message's header and pose.
///
/// # Errors
/// A message naming the object and the bad value.
pub fn observed_pose(message: &SceneObject) -> Result<ObservedPose, String> {
    Ok(ObservedPose {
        frame: message.header.frame_id.clone(),
        frame_from_object: pose(&message.pose, &format!("scene object '{}'", message.id))?,
        stamp: time_from_message(&message.header.stamp),
    })
}

/// The obstacle that a message describes. Meshes are prepared here, which may take long.
///
/// # Errors
/// A message naming the object, the part and the bad value.
pub fn obstacle(message: &SceneObject) -> Result<Obstacle, String> {
    let mut parts = Vec::new();
    let mut add = |kind: &str,
                   index: usize,
                   at: Option<&geometry_msgs::msg::Pose>,
                   shape: Result<Shape, String>| {
        let what = format!("scene object '{}': {kind}[{index}]", message.id);
        let at = at.ok_or_else(|| format!("{what} has no pose"))?;
        parts.push(Part {
            shape: shape.map_err(|reason| format!("{what}: {reason}"))?,
            object_from_part: pose(at, &what)?,
        });
        Ok::<(), String>(())
    };
    for (i, primitive) in message.primitives.iter().enumerate() {
        add(
            "primitives",
            i,
            message.primitive_poses.get(i),
            primitive_shape(primitive),
        )?;
    }
    for (i, &radius_m) in message.capsule_radii.iter().enumerate() {
        let length_m = message.capsule_lengths.get(i).copied();
        let shape = length_m
            .ok_or_else(|| "it has no length".to_owned())
            .map(|length_m| Shape::Capsule { radius_m, length_m });
        add("capsules", i, message.capsule_poses.get(i), shape)?;
    }
    for (i, mesh) in message.meshes.iter().enumerate() {
        let shape = triangle_mesh(mesh).and_then(|mesh| mesh_shape(&mesh));
        add("meshes", i, message.mesh_poses.get(i), shape)?;
    }
    for (i, plane) in message.planes.iter().enumerate() {
        let at = message
            .plane_poses
            .get(i)
            .ok_or_else(|| format!("scene object '{}': planes[{i}] has no pose", message.id))?;
        let what = format!("scene object '{}': planes[{i}]", message.id);
        let from_plane = plane_pose(plane).map_err(|reason| format!("{what}: {reason}"))?;
        parts.push(Part {
            shape: Shape::Plane,
            object_from_part: pose(at, &what)? * from_plane,
        });
    }
    if !message.mesh_file.is_empty() {
        let mesh = file_mesh(message)?;
        parts.push(Part {
            shape: mesh_shape(&mesh).map_err(|e| format!("scene object '{}': {e}", message.id))?,
            object_from_part: Pose::identity(),
        });
    }
    if parts.is_empty() {
        return Err(format!("scene object '{}' has no geometry", message.id));
    }
    Ok(Obstacle {
        pose: observed_pose(message)?,
        parts,
        margin_m: message.margin,
    })
}

/// The mesh whose field is learned for a graspable object.
///
/// # Errors
/// The object has no mesh, more than one, or a bad one.
pub fn graspable_mesh(message: &SceneObject) -> Result<TriangleMesh, String> {
    match (message.mesh_file.is_empty(), message.meshes.as_slice()) {
        (false, []) => file_mesh(message),
        (true, [mesh]) => triangle_mesh(mesh),
        _ => Err(format!(
            "scene object '{}' is graspable: it needs one mesh or mesh_file, and no other geometry",
            message.id
        )),
    }
}

/// Id, pose and stamp of an object, without geometry.
pub fn summary(id: &str, observed: Option<&ObservedPose>, graspable: bool) -> SceneObject {
    let mut message = SceneObject {
        id: id.to_owned(),
        graspable,
        ..Default::default()
    };
    message.pose.orientation.w = 1.0;
    if let Some(observed) = observed {
        message.header.frame_id.clone_from(&observed.frame);
        message.header.stamp = time_to_message(observed.stamp);
        message.pose = pose_to_message(&observed.frame_from_object);
    }
    message
}

/// Enters an obstacle's geometry; meshes are not kept as triangles and are left out.
pub fn add_geometry(message: &mut SceneObject, obstacle: &Obstacle) {
    use shape_msgs::msg::SolidPrimitive as P;
    message.margin = obstacle.margin_m;
    for part in &obstacle.parts {
        let pose = pose_to_message(&part.object_from_part);
        let (kind, dimensions) = match part.shape {
            Shape::Box { half_extents_m } => {
                (P::BOX as u8, half_extents_m.map(|half| 2.0 * half).to_vec())
            }
            Shape::Cylinder { radius_m, length_m } => (P::CYLINDER as u8, vec![length_m, radius_m]),
            Shape::Sphere { radius_m } => (P::SPHERE as u8, vec![radius_m]),
            Shape::Capsule { radius_m, length_m } => {
                message.capsule_radii.push(radius_m);
                message.capsule_lengths.push(length_m);
                message.capsule_poses.push(pose);
                continue;
            }
            Shape::Plane => {
                let coef = vec![0.0, 0.0, 1.0, 0.0];
                message.planes.push(shape_msgs::msg::Plane { coef });
                message.plane_poses.push(pose);
                continue;
            }
            Shape::Mesh(_) | Shape::Voxels(_) | Shape::Cloud(_) => continue,
        };
        message.primitives.push(P {
            type_: kind,
            dimensions,
            ..Default::default()
        });
        message.primitive_poses.push(pose);
    }
}

fn file_mesh(message: &SceneObject) -> Result<TriangleMesh, String> {
    let scale = match message.mesh_scale {
        0.0 => 1.0,
        s => s,
    };
    TriangleMesh::load(&message.mesh_file, scale)
        .map_err(|error| format!("scene object '{}': {error}", message.id))
}

fn primitive_shape(primitive: &shape_msgs::msg::SolidPrimitive) -> Result<Shape, String> {
    use shape_msgs::msg::SolidPrimitive as P;
    let sizes = &primitive.dimensions;
    let unknown = P::PRISM as u8;
    match (primitive.type_, sizes.as_slice()) {
        (kind, &[x, y, z]) if kind == P::BOX as u8 => Ok(Shape::Box {
            half_extents_m: [0.5 * x, 0.5 * y, 0.5 * z],
        }),
        (kind, &[radius_m]) if kind == P::SPHERE as u8 => Ok(Shape::Sphere { radius_m }),
        // shape_msgs puts the height first.
        (kind, &[length_m, radius_m]) if kind == P::CYLINDER as u8 => {
            Ok(Shape::Cylinder { radius_m, length_m })
        }
        (kind, _) if kind == P::CONE as u8 || kind >= unknown => {
            Err(format!("type {kind} is not box, sphere or cylinder"))
        }
        (kind, _) => Err(format!("{} dimensions do not fit type {kind}", sizes.len())),
    }
}

fn triangle_mesh(mesh: &shape_msgs::msg::Mesh) -> Result<TriangleMesh, String> {
    let mesh = TriangleMesh {
        vertices: mesh.vertices.iter().map(|v| [v.x, v.y, v.z]).collect(),
        triangles: mesh
            .triangles
            .iter()
            .map(|t| <[u32; 3]>::try_from(t.vertex_indices.as_slice()))
            .collect::<Result<_, _>>()
            .map_err(|_| "a triangle has not three corners".to_owned())?,
    };
    mesh.validate().map_err(|error| error.to_string())?;
    Ok(mesh)
}

/// Pose of the half space z < 0 for a x + b y + c z + d = 0, solid away from (a, b, c).
fn plane_pose(plane: &shape_msgs::msg::Plane) -> Result<Pose, String> {
    let [a, b, c, d] = plane.coef[..] else {
        return Err(format!("it has {} coefficients, not 4", plane.coef.len()));
    };
    let normal = Vector3::new(a, b, c);
    let length = normal.norm();
    if !(length.is_finite() && length > 1e-9 && d.is_finite()) {
        return Err(format!("({a}, {b}, {c}, {d}) is no plane"));
    }
    let rotation = UnitQuaternion::rotation_between(&Vector3::z(), &normal).unwrap_or_else(|| {
        UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI)
    });
    let translation = normal * (-d / (length * length));
    Ok(Pose::from_parts(translation.into(), rotation))
}

fn pose(message: &geometry_msgs::msg::Pose, what: &str) -> Result<Pose, String> {
    pose_from_message(message, what).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::SignedDistance;
    use nalgebra::Point3;

    fn boxed() -> SceneObject {
        let mut message = SceneObject {
            id: "table".into(),
            primitives: vec![shape_msgs::msg::SolidPrimitive {
                type_: shape_msgs::msg::SolidPrimitive::BOX as u8,
                dimensions: vec![1.0, 2.0, 0.1],
                ..Default::default()
            }],
            primitive_poses: vec![pose_to_message(&Pose::translation(0.0, 0.0, -0.05))],
            margin: 0.01,
            ..Default::default()
        };
        message.pose = pose_to_message(&Pose::translation(0.5, 0.0, 0.0));
        message
    }

    #[test]
    fn primitives_become_parts() {
        let obstacle = obstacle(&boxed()).unwrap();
        assert!(matches!(
            obstacle.parts[0].shape,
            Shape::Box { half_extents_m: [x, y, z] } if (x, y, z) == (0.5, 1.0, 0.05)
        ));
        assert_eq!(obstacle.margin_m, 0.01);
        assert_eq!(obstacle.pose.frame_from_object.translation.x, 0.5);
    }

    #[test]
    fn a_plane_is_solid_away_from_its_normal() {
        for (coef, inside) in [
            ([0.0, 0.0, 1.0, -0.3], Point3::new(5.0, 5.0, 0.2)),
            ([0.0, 0.0, -2.0, 1.0], Point3::new(0.0, 0.0, 0.6)),
            ([1.0, 1.0, 0.0, 0.0], Point3::new(-1.0, -0.5, 9.0)),
        ] {
            let plane = shape_msgs::msg::Plane {
                coef: coef.to_vec(),
            };
            let pose = plane_pose(&plane).unwrap();
            let distance = Shape::Plane.distance(&pose.inverse_transform_point(&inside));
            let [a, b, c, d] = coef;
            let length = (a * a + b * b + c * c).sqrt();
            let exact = (a * inside.x + b * inside.y + c * inside.z + d) / length;
            assert!(distance < 0.0 && (distance - exact).abs() < 1e-9);
        }
    }

    #[test]
    fn mistakes_name_object_and_part() {
        type Change = fn(&mut SceneObject);
        let cases: [(Change, &str); 6] = [
            (
                |m| m.primitives.clear(),
                "scene object 'table' has no geometry",
            ),
            (
                |m| m.primitive_poses.clear(),
                "scene object 'table': primitives[0] has no pose",
            ),
            (
                |m| m.primitives[0].dimensions.truncate(2),
                "primitives[0]: 2 dimensions do not fit type 1",
            ),
            (
                |m| m.primitives[0].type_ = 4,
                "primitives[0]: type 4 is not box",
            ),
            (
                |m| m.pose.orientation.w = 3.0,
                "scene object 'table': quaternion",
            ),
            (|m| m.mesh_file = "no.obj".into(), "no.obj"),
        ];
        for (change, expected) in cases {
            let mut message = boxed();
            change(&mut message);
            let error = obstacle(&message).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
