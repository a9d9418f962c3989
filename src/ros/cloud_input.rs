//! Obstacles from the topic `obstacle_cloud`: the newest cloud is kept as it came, and made an obstacle for each goal, in the
//! planning frame, without the points on the robot and on known objects.

use super::failure::Failure;
use super::lock;
use super::objects::ObservedPose;
use super::parameters::Parameters;
use super::perception::{stamp_or_now, subscribe, SubscribeError};
use super::shared::Shared;
use super::state::{seconds_between, TimeNs};
use crate::geometry::Pose;
use crate::robot::RobotModel;
use crate::scene::{
    Carved, CloudError, CloudObstacle, CloudSettings, SceneObject, Shape, SignedDistance,
};
use futures::task::LocalSpawn;
use nalgebra::{Point3, Vector3};
use r2r::sensor_msgs::msg::{PointCloud2, PointField};
use r2r::{Node, QosProfile};
use std::sync::Arc;

/// Name of the obstacle in results and in `ignored_collision_objects`.
pub const CLOUD_ID: &str = "obstacle_cloud";

/// The newest cloud.
#[derive(Default)]
pub struct CloudSlot(Option<(Arc<PointCloud2>, TimeNs)>);

/// Subscribes the topic.
///
/// # Errors
/// [`SubscribeError`]
pub fn start(
    node: &mut Node,
    spawner: &impl LocalSpawn,
    shared: &Arc<Shared>,
) -> Result<(), SubscribeError> {
    let s = shared.clone();
    // Only the newest counts: clouds are large.
    let qos = QosProfile::sensor_data().keep_last(1);
    subscribe(node, spawner, CLOUD_ID, qos, move |message: PointCloud2| {
        Layout::of(&message)?;
        let stamp = stamp_or_now(&s, &message.header);
        lock(&s.cloud).0 = Some((Arc::new(message), stamp));
        Ok(())
    })
}

/// A known body whose points are no obstacle, with its pose in the planning frame.
pub type Known<'a> = (&'a dyn SignedDistance, Pose);

/// The obstacle for a goal; None where no cloud is there or nothing of it is left. `position`: of the arm, rad or m, whose own
/// points are left out; `world_from_cloud` gives the frame's pose.
///
/// # Errors
/// The cloud is older than `obstacle_cloud.max_age`, missing though required, or its frame is not known.
pub fn obstacle(
    shared: &Shared,
    p: &Parameters,
    robot: &RobotModel,
    position: &[f64],
    known: &[Known],
    world_from_cloud: impl Fn(&ObservedPose) -> Result<Pose, Failure>,
) -> Result<Option<SceneObject>, Failure> {
    let newest = lock(&shared.cloud).0.clone();
    let Some((cloud, stamp)) = newest else {
        return match p.cloud_required {
            false => Ok(None),
            true => Err(Failure::CloudStale(
                "no point cloud was received, and obstacle_cloud.required is true".into(),
            )),
        };
    };
    let age_s = seconds_between(stamp, shared.now());
    if p.cloud_max_age_s > 0.0 && age_s > p.cloud_max_age_s {
        return Err(Failure::CloudStale(format!(
            "the point cloud is {age_s:.3} s old, the limit is {} s (obstacle_cloud.max_age)",
            p.cloud_max_age_s
        )));
    }
    let frame = ObservedPose {
        frame: cloud.header.frame_id.clone(),
        frame_from_object: Pose::identity(),
        stamp,
    };
    let points = points(&cloud, &world_from_cloud(&frame)?, p)?;
    let own = own_bodies(robot, position)?;
    let margin_m = p.cloud_known_margin_m;
    let carved: Vec<Carved> = std::iter::once((&own as &dyn SignedDistance, Pose::identity()))
        .chain(known.iter().map(|(solid, pose)| (*solid, *pose)))
        .map(|(solid, cloud_from_solid)| Carved {
            solid,
            cloud_from_solid,
            margin_m,
        })
        .collect();
    let settings = CloudSettings {
        voxel_m: p.cloud_voxel_m,
        reach_m: p.cloud_reach_m,
        ..CloudSettings::default()
    };
    match CloudObstacle::new(&points, &settings, &carved) {
        Ok(cloud) => {
            let shape = Shape::Cloud(Arc::new(cloud));
            Ok(Some(SceneObject::new(CLOUD_ID, shape, Pose::identity())))
        }
        // The camera sees the robot and what is known, and nothing else.
        Err(CloudError::Empty(counts)) if counts.carved > 0 || !p.cloud_required => Ok(None),
        Err(error) => Err(Failure::Configuration(format!(
            "topic '{CLOUD_ID}': {error}"
        ))),
    }
}

/// Where the coordinates lie in a point's bytes.
struct Layout {
    offsets: [usize; 3],
    doubles: bool,
    stride: usize,
    row: usize,
}

impl Layout {
    /// # Errors
    /// What the message lacks.
    fn of(m: &PointCloud2) -> Result<Self, String> {
        let mut layout = Self {
            offsets: [0; 3],
            doubles: false,
            stride: m.point_step as usize,
            row: m.row_step as usize,
        };
        let mut sizes = [0; 3];
        let places = layout.offsets.iter_mut().zip(&mut sizes);
        for (name, (offset, known_size)) in ["x", "y", "z"].iter().zip(places) {
            let field = m.fields.iter().find(|f| f.name == *name);
            let field = field.ok_or_else(|| format!("the cloud has no field '{name}'"))?;
            let size = match field.datatype {
                t if t == PointField::FLOAT32 as u8 => 4,
                t if t == PointField::FLOAT64 as u8 => 8,
                t => return Err(format!("field '{name}' has type {t}, it must be a float")),
            };
            (*offset, *known_size) = (field.offset as usize, size);
            if *offset + size > layout.stride {
                return Err(format!(
                    "field '{name}' ends beyond point_step {}",
                    layout.stride
                ));
            }
        }
        if sizes != [sizes[0]; 3] {
            return Err("fields 'x', 'y' and 'z' are not of one type".into());
        }
        layout.doubles = sizes[0] == 8;
        if m.is_bigendian {
            return Err("the cloud is big-endian".into());
        }
        let needed = match m.height {
            0 => 0,
            height => (height as usize - 1) * layout.row + m.width as usize * layout.stride,
        };
        match needed > m.data.len() {
            true => Err(format!(
                "{} bytes for {} x {} points, {needed} are needed",
                m.data.len(),
                m.height,
                m.width
            )),
            false => Ok(layout),
        }
    }

    fn read(&self, point: &[u8]) -> [f64; 3] {
        self.offsets.map(|at| match self.doubles {
            true => point[at..at + 8]
                .try_into()
                .map_or(f64::NAN, f64::from_le_bytes),
            false => {
                let value = point[at..at + 4]
                    .try_into()
                    .map_or(f32::NAN, f32::from_le_bytes);
                f64::from(value)
            }
        })
    }
}

/// At most `obstacle_cloud.max_points` of the points, evenly taken, in the planning frame, m.
fn points(
    m: &PointCloud2,
    world_from_cloud: &Pose,
    p: &Parameters,
) -> Result<Vec<[f64; 3]>, Failure> {
    let layout = Layout::of(m).map_err(Failure::Configuration)?;
    let width = m.width as usize;
    let total = width * m.height as usize;
    let every = total.div_ceil(p.cloud_max_points.max(1) as usize).max(1);
    let read = |index: usize| {
        let at = index / width * layout.row + index % width * layout.stride;
        let [x, y, z] = layout.read(&m.data[at..at + layout.stride]);
        let point = world_from_cloud * Point3::new(x, y, z);
        [point.x, point.y, point.z]
    };
    // A depth camera marks what it does not see by NaN.
    let finite = |p: &[f64; 3]| p.iter().all(|v| v.is_finite());
    Ok((0..total).step_by(every).map(read).filter(finite).collect())
}

/// The robot's collision spheres where it stands.
struct Spheres {
    spheres: Vec<(Point3<f64>, f64)>,
    bounds: (Point3<f64>, Point3<f64>),
}

fn own_bodies(robot: &RobotModel, position: &[f64]) -> Result<Spheres, Failure> {
    let mut spheres = Vec::new();
    let mut body_poses = std::collections::BTreeMap::new();
    for group in &robot.collision.scene.groups {
        let link = &robot.collision.links[group.link];
        if let std::collections::btree_map::Entry::Vacant(entry) = body_poses.entry(group.body) {
            let world_from_link = robot
                .kinematics
                .forward_kinematics(position, link)
                .map_err(|error| Failure::RobotModel(error.to_string()))?;
            let (_, body_from_link) = robot
                .kinematics
                .body_of_link(link)
                .map_err(|error| Failure::RobotModel(error.to_string()))?;
            entry.insert(world_from_link * body_from_link.inverse());
        }
        let world_from_body = body_poses[&group.body];
        for sphere in &robot.collision.scene.spheres[group.spheres.clone()] {
            let center = Point3::from(sphere.center_m.map(f64::from));
            spheres.push((world_from_body * center, f64::from(sphere.radius_m)));
        }
    }
    Ok(Spheres {
        bounds: bounds(&spheres),
        spheres,
    })
}

impl SignedDistance for Spheres {
    fn distance(&self, point: &Point3<f64>) -> f64 {
        let distances = self
            .spheres
            .iter()
            .map(|(center, radius)| (point - center).norm() - radius);
        distances.fold(f64::INFINITY, f64::min)
    }

    fn distance_and_gradient(&self, point: &Point3<f64>) -> (f64, Vector3<f64>) {
        let apart = |(center, radius): &(Point3<f64>, f64)| {
            let away = point - center;
            (away.norm() - radius, away)
        };
        let (distance, away) =
            self.spheres
                .iter()
                .map(apart)
                .fold(
                    (f64::INFINITY, Vector3::z()),
                    |a, b| if b.0 < a.0 { b } else { a },
                );
        (distance, away.try_normalize(0.0).unwrap_or_else(Vector3::z))
    }

    fn bounds(&self) -> (Point3<f64>, Point3<f64>) {
        self.bounds
    }
}

fn bounds(spheres: &[(Point3<f64>, f64)]) -> (Point3<f64>, Point3<f64>) {
    let mut bounds = (
        Point3::from([f64::INFINITY; 3]),
        Point3::from([f64::NEG_INFINITY; 3]),
    );
    for (center, radius) in spheres {
        for axis in 0..3 {
            bounds.0[axis] = bounds.0[axis].min(center[axis] - radius);
            bounds.1[axis] = bounds.1[axis].max(center[axis] + radius);
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(types: [u8; 3]) -> PointCloud2 {
        let fields = ["x", "y", "z"].iter().zip(types).enumerate();
        PointCloud2 {
            height: 1,
            width: 1,
            point_step: 20,
            row_step: 20,
            data: vec![0; 20],
            fields: fields
                .map(|(k, (name, datatype))| PointField {
                    name: (*name).into(),
                    offset: 4 * k as u32,
                    datatype,
                    count: 1,
                })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn coordinates_must_be_floats_of_one_type() {
        let (single, double) = (PointField::FLOAT32 as u8, PointField::FLOAT64 as u8);
        assert!(!Layout::of(&message([single; 3])).unwrap().doubles);
        assert!(Layout::of(&message([double; 3])).unwrap().doubles);
        // Read as doubles, the last coordinate would end beyond the point.
        for mixed in [[single, single, double], [double, single, single]] {
            let reason = Layout::of(&message(mixed)).err().unwrap();
            assert!(reason.contains("not of one type"), "{reason}");
        }
        let reason = Layout::of(&message([PointField::INT16 as u8; 3])).err();
        assert!(reason.unwrap().contains("must be a float"));
    }
}
