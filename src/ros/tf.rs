//! Frames: a small transform buffer fed from `/tf` and `/tf_static`.

use super::state::{seconds_between, TimeNs};
use crate::geometry::Pose;
use std::collections::{HashMap, VecDeque};

/// How long moving frames are remembered, as tf2 does.
const HISTORY_S: f64 = 10.0;
/// No sane tree is deeper; guards against loops.
const MAX_DEPTH: usize = 100;

/// Why a transform cannot be given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TransformError {
    #[error("frame '{frame}' is unknown; known frames: {known}")]
    UnknownFrame { frame: String, known: String },
    #[error("frames '{target}' and '{source_frame}' are not connected")]
    NotConnected {
        target: String,
        source_frame: String,
    },
    #[error("transform of frame '{child}' at time {wanted_s:.3} s: known from {first_s:.3} s to {last_s:.3} s only")]
    Extrapolation {
        child: String,
        wanted_s: f64,
        first_s: f64,
        last_s: f64,
    },
}

impl TransformError {
    /// Whether waiting for newer transforms can help.
    pub fn may_resolve(&self) -> bool {
        match self {
            Self::Extrapolation {
                wanted_s, last_s, ..
            } => wanted_s > last_s,
            _ => true,
        }
    }
}

enum Track {
    Static(Pose),
    /// Oldest first.
    Moving(VecDeque<(TimeNs, Pose)>),
}

struct Frame {
    parent: String,
    track: Track,
}

/// The known frames, each with its pose in its parent.
#[derive(Default)]
pub struct TransformBuffer {
    frames: HashMap<String, Frame>,
}

impl TransformBuffer {
    /// A transform that holds for all times (`/tf_static`).
    pub fn set_static(&mut self, parent: &str, child: &str, parent_from_child: Pose) {
        let frame = Frame {
            parent: plain(parent).to_owned(),
            track: Track::Static(parent_from_child),
        };
        self.frames.insert(plain(child).to_owned(), frame);
    }

    /// A transform at one time (`/tf`). Times may arrive out of order.
    pub fn insert(&mut self, parent: &str, child: &str, stamp: TimeNs, parent_from_child: Pose) {
        let frame = self
            .frames
            .entry(plain(child).to_owned())
            .or_insert_with(|| Frame {
                parent: plain(parent).to_owned(),
                track: Track::Moving(VecDeque::new()),
            });
        let moved = frame.parent != plain(parent) || matches!(frame.track, Track::Static(_));
        if moved {
            frame.parent = plain(parent).to_owned();
            frame.track = Track::Moving(VecDeque::new());
        }
        if let Track::Moving(samples) = &mut frame.track {
            // A jump back beyond the whole history: the clock was reset.
            if samples
                .back()
                .is_some_and(|(last, _)| seconds_between(stamp, *last) > HISTORY_S)
            {
                samples.clear();
            }
            let at = samples.partition_point(|(t, _)| *t < stamp);
            match samples.get_mut(at) {
                Some((t, pose)) if *t == stamp => *pose = parent_from_child,
                _ => samples.insert(at, (stamp, parent_from_child)),
            }
            while samples
                .front()
                .zip(samples.back())
                .is_some_and(|((first, _), (last, _))| seconds_between(*first, *last) > HISTORY_S)
            {
                samples.pop_front();
            }
        }
    }

    /// `target_from_source` at a time; time 0 means the newest of each frame.
    ///
    /// # Errors
    /// [`TransformError`], naming the frames and times.
    pub fn lookup(
        &self,
        target: &str,
        source: &str,
        stamp: TimeNs,
    ) -> Result<Pose, TransformError> {
        let (target, source) = (plain(target), plain(source));
        if target == source {
            return Ok(Pose::identity());
        }
        for frame in [source, target] {
            if !self.is_known(frame) {
                return Err(TransformError::UnknownFrame {
                    frame: frame.to_owned(),
                    known: self.known_frames(),
                });
            }
        }
        let to_source = self.path_to_root(source, stamp);
        let to_target = self.path_to_root(target, stamp);
        // The first common ancestor: nothing above it needs to be known at that time.
        for (ancestor, ancestor_from_source) in &to_source {
            if let Some((_, ancestor_from_target)) =
                to_target.iter().find(|(name, _)| name == ancestor)
            {
                let ancestor_from_source = ancestor_from_source.clone()?;
                let ancestor_from_target = ancestor_from_target.clone()?;
                return Ok(ancestor_from_target.inverse() * ancestor_from_source);
            }
        }
        Err(TransformError::NotConnected {
            target: target.to_owned(),
            source_frame: source.to_owned(),
        })
    }

    /// Until when `target_from_source` is known: the oldest of the newest times on the way; None: for all times.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn newest(&self, target: &str, source: &str) -> Result<Option<TimeNs>, TransformError> {
        self.lookup(target, source, 0)?;
        let (to_source, to_target) = (self.ancestors(source), self.ancestors(target));
        let below = |path: &[String], other: &[String]| -> Vec<TimeNs> {
            let moving = path.iter().take_while(|frame| !other.contains(frame));
            moving
                .filter_map(|frame| self.frames.get(frame)?.track.last())
                .collect()
        };
        let mut times = below(&to_source, &to_target);
        times.extend(below(&to_target, &to_source));
        Ok(times.into_iter().min())
    }

    /// A frame and all above it.
    fn ancestors(&self, frame: &str) -> Vec<String> {
        let mut path = vec![plain(frame).to_owned()];
        while let Some(known) = path.last().and_then(|last| self.frames.get(last)) {
            if path.len() > MAX_DEPTH {
                break;
            }
            path.push(known.parent.clone());
        }
        path
    }

    /// Every ancestor of a frame, itself first, with `ancestor_from_frame` or the reason it is not known.
    fn path_to_root<'a>(
        &'a self,
        frame: &'a str,
        stamp: TimeNs,
    ) -> Vec<(&'a str, Result<Pose, TransformError>)> {
        let mut path = vec![(frame, Ok(Pose::identity()))];
        let mut pose = Ok(Pose::identity());
        let mut child = frame;
        while let Some(known) = self.frames.get(child) {
            if path.len() > MAX_DEPTH {
                break;
            }
            pose = pose.and_then(|child_from_frame: Pose| {
                Ok(known.track.at(child, stamp)? * child_from_frame)
            });
            path.push((&known.parent, pose.clone()));
            child = &known.parent;
        }
        path
    }

    fn is_known(&self, frame: &str) -> bool {
        self.frames.contains_key(frame) || self.frames.values().any(|f| f.parent == frame)
    }

    fn known_frames(&self) -> String {
        let mut names: Vec<&str> = self
            .frames
            .iter()
            .flat_map(|(child, f)| [child.as_str(), f.parent.as_str()])
            .collect();
        names.sort_unstable();
        names.dedup();
        match names.is_empty() {
            true => "none".into(),
            false => names.join(", "),
        }
    }
}

impl Track {
    /// Newest time; None where it holds for all times.
    fn last(&self) -> Option<TimeNs> {
        match self {
            Track::Static(_) => None,
            Track::Moving(samples) => samples.back().map(|(time, _)| *time),
        }
    }

    fn at(&self, child: &str, stamp: TimeNs) -> Result<Pose, TransformError> {
        let samples = match self {
            Track::Static(pose) => return Ok(*pose),
            Track::Moving(samples) => samples,
        };
        let seconds = |t: Option<&(TimeNs, Pose)>| t.map_or(0.0, |(t, _)| *t as f64 * 1e-9);
        let outside = || TransformError::Extrapolation {
            child: child.to_owned(),
            wanted_s: stamp as f64 * 1e-9,
            first_s: seconds(samples.front()),
            last_s: seconds(samples.back()),
        };
        if stamp == 0 {
            return samples.back().map(|(_, pose)| *pose).ok_or_else(outside);
        }
        let after = samples.partition_point(|(t, _)| *t < stamp);
        let (t1, pose1) = samples.get(after).ok_or_else(outside)?;
        if *t1 == stamp {
            return Ok(*pose1);
        }
        let before = after.checked_sub(1).ok_or_else(outside)?;
        let (t0, pose0) = &samples[before];
        let ratio = seconds_between(*t0, stamp) / seconds_between(*t0, *t1);
        // Opposite rotations have no single shortest way; the nearer end is as good as any.
        Ok(pose0
            .try_lerp_slerp(pose1, ratio, 1e-9)
            .unwrap_or(if ratio < 0.5 { *pose0 } else { *pose1 }))
    }
}

/// tf1 wrote frames with a leading slash, and some publishers still do.
fn plain(frame: &str) -> &str {
    frame.strip_prefix('/').unwrap_or(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{UnitQuaternion, Vector3};

    const S: TimeNs = 1_000_000_000;

    fn pose(x: f64, yaw: f64) -> Pose {
        Pose::from_parts(
            Vector3::new(x, 0.0, 0.0).into(),
            UnitQuaternion::from_euler_angles(0.0, 0.0, yaw),
        )
    }

    fn tree() -> TransformBuffer {
        let mut buffer = TransformBuffer::default();
        buffer.set_static("world", "base", pose(1.0, 0.0));
        buffer.set_static("/world", "/rail", pose(0.0, 0.5));
        buffer.insert("rail", "camera", S, pose(0.0, 0.0));
        buffer.insert("rail", "camera", 3 * S, pose(2.0, 1.0));
        buffer
    }

    #[test]
    fn moving_frames_are_interpolated_through_the_common_ancestor() {
        let base_from_camera = tree().lookup("base", "camera", 2 * S).unwrap();
        let expected = pose(1.0, 0.0).inverse() * pose(0.0, 0.5) * pose(1.0, 0.5);
        let difference = expected.inverse() * base_from_camera;
        assert!(difference.translation.vector.norm() < 1e-12);
        assert!(difference.rotation.angle() < 1e-12);
        let back = tree().lookup("camera", "base", 2 * S).unwrap();
        assert!((back * base_from_camera).translation.vector.norm() < 1e-12);
    }

    #[test]
    fn time_zero_means_newest() {
        let rail_from_camera = tree().lookup("rail", "camera", 0).unwrap();
        assert_eq!(rail_from_camera.translation.vector.x, 2.0);
    }

    #[test]
    fn the_oldest_of_the_newest_times_is_the_frames_age() {
        let mut buffer = tree();
        assert_eq!(buffer.newest("base", "camera"), Ok(Some(3 * S)));
        assert_eq!(buffer.newest("/base", "rail"), Ok(None), "all fixed");
        buffer.insert("camera", "mug", 2 * S, pose(0.1, 0.0));
        assert_eq!(buffer.newest("base", "mug"), Ok(Some(2 * S)));
        assert_eq!(buffer.newest("mug", "camera"), Ok(Some(2 * S)));
        assert!(buffer.newest("base", "head").is_err());
    }

    #[test]
    fn errors_name_frames_and_times() {
        let buffer = tree();
        let late = buffer.lookup("base", "camera", 4 * S).unwrap_err();
        assert_eq!(
            late.to_string(),
            "transform of frame 'camera' at time 4.000 s: known from 1.000 s to 3.000 s only"
        );
        assert!(late.may_resolve());
        assert!(!buffer
            .lookup("base", "camera", S / 2)
            .unwrap_err()
            .may_resolve());
        let unknown = buffer.lookup("base", "head", 0).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "frame 'head' is unknown; known frames: base, camera, rail, world"
        );
        let mut two = tree();
        two.set_static("moon", "crater", pose(0.0, 0.0));
        assert!(matches!(
            two.lookup("base", "crater", 0),
            Err(TransformError::NotConnected { .. })
        ));
    }

    #[test]
    fn history_is_bounded_and_a_loop_ends() {
        let mut buffer = TransformBuffer::default();
        for i in 0..2000 {
            buffer.insert("a", "b", i * S / 50, pose(0.0, 0.0));
        }
        match &buffer.frames["b"].track {
            Track::Moving(samples) => assert!(samples.len() <= 502),
            Track::Static(_) => unreachable!(),
        }
        buffer.set_static("b", "a", pose(0.0, 0.0));
        buffer.set_static("m", "n", pose(0.0, 0.0));
        assert!(buffer.lookup("a", "n", 0).is_err());
    }
}
