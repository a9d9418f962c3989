//! Poses of objects: as published, or those of a tf frame (`objects.tf_frames`).

use super::failure::Failure;
use super::lock;
use super::objects::ObservedPose;
use super::parameters::Parameters;
use super::shared::Shared;
use crate::geometry::Pose;
use crate::robot::RobotModel;

/// The frame of an object, where the parameter gives it one.
///
/// # Errors
/// [`Failure::Configuration`] for an entry that is not `id=frame`.
pub fn frame_of<'a>(p: &'a Parameters, id: &str) -> Result<Option<&'a str>, Failure> {
    let mut found = None;
    for entry in &p.objects_tf_frames {
        match entry.split_once('=') {
            Some((of, frame)) if !of.is_empty() && !frame.is_empty() => {
                if of == id {
                    found = Some(frame);
                }
            }
            _ => {
                return Err(Failure::Configuration(format!(
                    "parameter objects.tf_frames: '{entry}' is not of the form id=frame"
                )))
            }
        }
    }
    Ok(found)
}

/// The last pose of an object; None where none is known. A frame's pose is as old as the oldest transform it needs.
///
/// # Errors
/// A bad entry of the parameter, or a transform that is missing.
pub fn latest_pose(
    shared: &Shared,
    p: &Parameters,
    robot: &RobotModel,
    id: &str,
) -> Result<Option<ObservedPose>, Failure> {
    let Some(frame) = frame_of(p, id)? else {
        return Ok(lock(&shared.object_poses).get(id).cloned());
    };
    let base = robot.kinematics.base_link();
    let newest = lock(&shared.transforms).newest(base, frame)?;
    Ok(Some(ObservedPose {
        frame: frame.to_owned(),
        frame_from_object: Pose::identity(),
        // A frame that never moves is as old as the question.
        stamp: newest.unwrap_or_else(|| shared.now()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_id_and_bad_ones_are_named() {
        let mut p = Parameters {
            objects_tf_frames: vec!["mug=tag_3".into(), "can=map=can".into()],
            ..Default::default()
        };
        assert_eq!(frame_of(&p, "mug").unwrap(), Some("tag_3"));
        assert_eq!(frame_of(&p, "can").unwrap(), Some("map=can"));
        assert_eq!(frame_of(&p, "jar").unwrap(), None);
        p.objects_tf_frames.push("jar".into());
        let failure = frame_of(&p, "mug").unwrap_err();
        assert!(failure.to_string().contains("'jar' is not of the form"));
    }
}
