//! Checks of a scene before anything is planned in it.

use std::collections::HashSet;

use super::{Scene, SceneObject, Shape};

/// Why a scene was refused: the object, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SceneError {
    #[error("object '{object}': {what} is {value}, it must be finite")]
    NotFinite {
        object: String,
        what: &'static str,
        value: f64,
    },
    #[error("object '{object}': {what} is {value} m, it must be greater than 0")]
    NotPositive {
        object: String,
        what: &'static str,
        value: f64,
    },
    #[error("object '{object}': margin is {value_m} m, it must not be negative")]
    NegativeMargin { object: String, value_m: f64 },
    #[error("object '{object}': the quaternion's length is {norm}, it must be 1 within 1e-3")]
    NonUnitQuaternion { object: String, norm: f64 },
    #[error("two objects are named '{name}'; names must be unique")]
    DuplicateName { name: String },
    #[error("object number {index} has an empty name")]
    EmptyName { index: usize },
}

/// How far a quaternion's length may be from 1.
const QUATERNION_TOLERANCE: f64 = 1e-3;

pub(super) fn validate(scene: &Scene) -> Result<(), SceneError> {
    let mut names = HashSet::new();
    for (index, object) in scene.objects.iter().enumerate() {
        if object.name.is_empty() {
            return Err(SceneError::EmptyName { index });
        }
        if !names.insert(object.name.as_str()) {
            return Err(SceneError::DuplicateName {
                name: object.name.clone(),
            });
        }
        validate_pose(object)?;
        validate_shape(object)?;
    }
    Ok(())
}

fn validate_pose(object: &SceneObject) -> Result<(), SceneError> {
    let finite = |what, value: f64| {
        if value.is_finite() {
            Ok(())
        } else {
            Err(SceneError::NotFinite {
                object: object.name.clone(),
                what,
                value,
            })
        }
    };
    for &value in object.world_from_object.translation.vector.iter() {
        finite("position", value)?;
    }
    for &value in object.world_from_object.rotation.coords.iter() {
        finite("quaternion", value)?;
    }
    let norm = object.world_from_object.rotation.coords.norm();
    if (norm - 1.0).abs() > QUATERNION_TOLERANCE {
        return Err(SceneError::NonUnitQuaternion {
            object: object.name.clone(),
            norm,
        });
    }
    finite("margin", object.margin_m)?;
    if object.margin_m < 0.0 {
        return Err(SceneError::NegativeMargin {
            object: object.name.clone(),
            value_m: object.margin_m,
        });
    }
    Ok(())
}

fn validate_shape(object: &SceneObject) -> Result<(), SceneError> {
    let size = |what, value: f64| {
        if !value.is_finite() {
            return Err(SceneError::NotFinite {
                object: object.name.clone(),
                what,
                value,
            });
        }
        if value <= 0.0 {
            return Err(SceneError::NotPositive {
                object: object.name.clone(),
                what,
                value,
            });
        }
        Ok(())
    };
    match &object.shape {
        Shape::Box { half_extents_m } => half_extents_m
            .iter()
            .try_for_each(|&v| size("half extent", v)),
        Shape::Cylinder { radius_m, length_m } => {
            size("radius", *radius_m).and(size("length", *length_m))
        }
        Shape::Sphere { radius_m } => size("radius", *radius_m),
        // a capsule of length 0 is a sphere
        Shape::Capsule { radius_m, length_m } => {
            size("radius", *radius_m).and(if *length_m == 0.0 {
                Ok(())
            } else {
                size("length", *length_m)
            })
        }
        Shape::Plane => Ok(()),
        // checked where they are built
        Shape::Mesh(_) | Shape::Voxels(_) | Shape::Cloud(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Pose;
    use nalgebra::{Quaternion, UnitQuaternion};

    fn cube(name: &str) -> SceneObject {
        SceneObject::new(
            name,
            Shape::Box {
                half_extents_m: [0.1; 3],
            },
            Pose::identity(),
        )
    }

    fn refusal(change: impl Fn(&mut SceneObject)) -> SceneError {
        let mut object = cube("cube");
        change(&mut object);
        Scene {
            objects: vec![object],
        }
        .validate()
        .unwrap_err()
    }

    #[test]
    fn a_good_scene_passes() {
        let plane = SceneObject::new("floor", Shape::Plane, Pose::identity());
        assert_eq!(
            Scene {
                objects: vec![cube("a"), cube("b"), plane]
            }
            .validate(),
            Ok(())
        );
    }

    #[test]
    fn refusals_name_the_object_and_the_value() {
        let nan = refusal(|o| o.world_from_object.translation.vector.y = f64::NAN);
        assert!(
            matches!(&nan, SceneError::NotFinite { object, what: "position", .. } if object == "cube")
        );
        let quaternion = refusal(|o| {
            o.world_from_object.rotation =
                UnitQuaternion::new_unchecked(Quaternion::new(1.0, 0.5, 0.0, 0.0));
        });
        assert!(
            matches!(quaternion, SceneError::NonUnitQuaternion { norm, .. } if (norm - 1.25f64.sqrt()).abs() < 1e-12)
        );
        let flat = refusal(|o| {
            o.shape = Shape::Box {
                half_extents_m: [0.1, 0.0, 0.1],
            }
        });
        assert!(flat.to_string().contains("half extent is 0 m"), "{flat}");
        let endless = refusal(|o| {
            o.shape = Shape::Cylinder {
                radius_m: 0.1,
                length_m: f64::INFINITY,
            }
        });
        assert!(matches!(
            endless,
            SceneError::NotFinite { what: "length", .. }
        ));
        assert!(matches!(
            refusal(|o| o.margin_m = -0.01),
            SceneError::NegativeMargin { .. }
        ));
        assert!(matches!(
            refusal(|o| o.name.clear()),
            SceneError::EmptyName { index: 0 }
        ));
    }

    #[test]
    fn names_are_unique() {
        let scene = Scene {
            objects: vec![cube("a"), cube("a")],
        };
        assert_eq!(
            scene.validate(),
            Err(SceneError::DuplicateName { name: "a".into() })
        );
    }
}
