//! What was understood of a problem.

use std::fmt;
use std::path::Path;

use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::{Goal, Problem};
use diffusion_field_planner::robot::RobotError;
use diffusion_field_planner::scene::SignedDistance;
use nalgebra::Point3;
use serde::Serialize;

#[derive(Serialize)]
pub struct ProblemReport {
    file: String,
    robot: String,
    task: String,
    start: Vec<StartJoint>,
    things: Vec<Thing>,
}

#[derive(Serialize)]
struct StartJoint {
    name: String,
    position: f64,
    lower: f64,
    upper: f64,
}

/// An obstacle, or the object to be grasped.
#[derive(Serialize)]
struct Thing {
    name: String,
    kind: &'static str,
    position_m: [f64; 3],
    /// Nearest link of the arm at its start, and how far the nearest of its collision spheres is.
    nearest_link: String,
    distance_m: f64,
}

impl ProblemReport {
    /// # Errors
    /// A start of another length than the robot has joints.
    pub fn new(file: &Path, problem: &Problem) -> Result<Self, RobotError> {
        let (robot, request) = (&problem.robot, &problem.request);
        let spheres = start_spheres(problem)?;
        let thing = |name: &str, kind, pose: &Pose, distance: &dyn Fn(&Point3<f64>) -> f64| {
            let nearest = spheres
                .iter()
                .map(|s| (distance(&s.world_center_m) - s.radius_m, s.link))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            let (distance_m, link) = nearest.map_or((f64::INFINITY, ""), |(d, l)| (d, l));
            Thing {
                name: name.into(),
                kind,
                position_m: pose.translation.vector.into(),
                nearest_link: link.into(),
                distance_m,
            }
        };
        let mut things: Vec<Thing> = Vec::new();
        if let Some((object, pose)) = request.goal.target() {
            let distance =
                |p: &Point3<f64>| object.surface.distance(&pose.inverse_transform_point(p));
            things.push(thing(&object.name, "object to grasp", pose, &distance));
        }
        things.extend(request.scene.objects.iter().map(|o| {
            let distance = |p: &Point3<f64>| o.distance(p);
            thing(&o.name, o.shape.kind(), &o.world_from_object, &distance)
        }));
        let limits = &robot.limits;
        let joint = |(j, &position): (usize, &f64)| StartJoint {
            name: limits.names[j].clone(),
            position,
            lower: limits.lower[j],
            upper: limits.upper[j],
        };
        Ok(Self {
            file: file.display().to_string(),
            robot: robot.name.clone(),
            task: task(&request.goal),
            start: request.start.iter().enumerate().map(joint).collect(),
            things,
        })
    }
}

fn task(goal: &Goal) -> String {
    match goal {
        Goal::Grasp { object, .. } => format!("any good grasp of '{}'", object.name),
        Goal::Grasps {
            object_from_gripper,
            ..
        } => format!("one of {} given grasps", object_from_gripper.len()),
        Goal::Pose { world_from_tool } => {
            let p = world_from_tool.translation.vector;
            format!("the tool at ({:.3}, {:.3}, {:.3}) m", p.x, p.y, p.z)
        }
        Goal::Joints(_) => "a joint configuration".into(),
    }
}

/// A collision sphere of the arm at its start.
struct StartSphere<'a> {
    link: &'a str,
    world_center_m: Point3<f64>,
    radius_m: f64,
}

fn start_spheres(problem: &Problem) -> Result<Vec<StartSphere<'_>>, RobotError> {
    let (robot, model) = (&problem.robot, &problem.robot.collision);
    let mut spheres = Vec::new();
    for group in &model.scene.groups {
        let link = model.links[group.link].as_str();
        let (_, body_from_link) = robot.kinematics.body_of_link(link)?;
        let world_from_link = robot
            .kinematics
            .forward_kinematics(&problem.request.start, link)?;
        let world_from_body = world_from_link * body_from_link.inverse();
        spheres.extend(model.scene.spheres[group.spheres.clone()].iter().map(|s| {
            let center_m = Point3::from(s.center_m.map(f64::from));
            StartSphere {
                link,
                world_center_m: world_from_body * center_m,
                radius_m: f64::from(s.radius_m),
            }
        }));
    }
    Ok(spheres)
}

impl fmt::Display for ProblemReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "problem {}: {} with '{}'",
            self.file, self.task, self.robot
        )?;
        for j in &self.start {
            let warning = match j.position >= j.lower && j.position <= j.upper {
                true => "",
                false => "  OUTSIDE",
            };
            writeln!(
                f,
                "  start {:<24} {:>8.3} in [{:.3}, {:.3}]{warning}",
                j.name, j.position, j.lower, j.upper
            )?;
        }
        for t in &self.things {
            let [x, y, z] = t.position_m;
            writeln!(
                f,
                "  {:<16} {:<20} at ({x:.3}, {y:.3}, {z:.3}) m, {:.0} mm from {}",
                t.kind,
                t.name,
                1e3 * t.distance_m,
                t.nearest_link
            )?;
        }
        Ok(())
    }
}
