//! Where the objects are: the last pose of each, as observed.

use super::state::{seconds_between, TimeNs};
use crate::geometry::Pose;
use std::collections::HashMap;

/// A pose as somebody published it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedPose {
    /// Frame the pose is given in; empty: the planning frame.
    pub frame: String,
    pub frame_from_object: Pose,
    pub stamp: TimeNs,
}

/// The last pose of every object, by id.
#[derive(Default)]
pub struct ObjectPoses {
    poses: HashMap<String, ObservedPose>,
}

/// Bound on the ids a perception system may invent.
const MAX_OBJECTS: usize = 1000;

impl ObjectPoses {
    /// Takes a pose; one that is older than the known one arrived late and is ignored.
    pub fn update(&mut self, id: &str, observed: ObservedPose) {
        match self.poses.get_mut(id) {
            Some(known) => {
                // A pose from more than a second before means that the clock was set back.
                let late = seconds_between(observed.stamp, known.stamp);
                if late <= 0.0 || late > 1.0 {
                    *known = observed;
                }
            }
            None => {
                if self.poses.len() >= MAX_OBJECTS {
                    self.forget_oldest();
                }
                self.poses.insert(id.to_owned(), observed);
            }
        }
    }

    pub fn get(&self, id: &str) -> Option<&ObservedPose> {
        self.poses.get(id)
    }

    /// Forgets an object; false if it was not known.
    pub fn remove(&mut self, id: &str) -> bool {
        self.poses.remove(id).is_some()
    }

    pub fn clear(&mut self) {
        self.poses.clear();
    }

    /// Id and age in seconds of every object, sorted by id.
    pub fn ages_s(&self, now: TimeNs) -> Vec<(String, f64)> {
        let mut ages: Vec<(String, f64)> = self
            .poses
            .iter()
            .map(|(id, pose)| (id.clone(), seconds_between(pose.stamp, now)))
            .collect();
        ages.sort_by(|a, b| a.0.cmp(&b.0));
        ages
    }

    fn forget_oldest(&mut self) {
        let oldest = self.poses.iter().min_by_key(|(_, pose)| pose.stamp);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.poses.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, stamp: TimeNs) -> ObservedPose {
        ObservedPose {
            frame: "base".into(),
            frame_from_object: Pose::translation(x, 0.0, 0.0),
            stamp,
        }
    }

    #[test]
    fn the_newest_pose_counts() {
        let mut poses = ObjectPoses::default();
        poses.update("mug", at(1.0, 2_000_000_000));
        poses.update("mug", at(2.0, 1_500_000_000));
        assert_eq!(poses.get("mug"), Some(&at(1.0, 2_000_000_000)));
        poses.update("mug", at(3.0, 0));
        assert_eq!(
            poses.get("mug"),
            Some(&at(3.0, 0)),
            "the clock was set back"
        );
        assert_eq!(poses.ages_s(500_000_000), [("mug".to_owned(), 0.5)]);
        assert!(poses.remove("mug") && !poses.remove("mug"));
    }

    #[test]
    fn invented_ids_do_not_pile_up() {
        let mut poses = ObjectPoses::default();
        for i in 0..MAX_OBJECTS + 10 {
            poses.update(&format!("object_{i}"), at(0.0, i as TimeNs));
        }
        assert_eq!(poses.poses.len(), MAX_OBJECTS);
        assert!(poses.get("object_0").is_none());
    }
}
