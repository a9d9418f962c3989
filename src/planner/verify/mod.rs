//! Independent check of a timed motion: the last word before a plan leaves the planner.
//!
//! Shares no numerics with the costs: kinematics by the `k` chain, distances by `parry3d` between the URDF's
//! own collision shapes, derivatives by differences of the sampled positions, all in f64.
//!
//! Collision is checked continuously. Between two times a solid keeps within `beyond_hull` of the hull of what it is at
//! both, by bounds on joint motion and lever arms ([`excursion`]). If that hull is further from the other solid than
//! what is demanded and `beyond_hull` ([`apart`]), nothing can happen in between; if not, the interval is halved
//! and the distance in the middle measured. So a thin wall between two samples is found, and free space costs next to
//! nothing.

mod apart;
mod constraints;
mod continuous;
mod excursion;
mod inside;
mod links;
mod measure;
mod sampling;
mod scan;
mod solids;
mod surface;
#[cfg(test)]
mod tests;
mod timeline;

use super::constraints::ConstraintKind;
use crate::geometry::Pose;
use crate::robot::RobotModel;
use crate::scene::{Scene, Shape};
use crate::trajectory::TimedTrajectory;
use continuous::{Collider, Pair};
use links::LinkChain;
use sampling::Samples;
use solids::{Solid, SolidCache};

/// A motion as the verifier sees it: joint positions at any time, and nothing else. Two threads read it at once.
pub trait Motion: Sync {
    fn joint_names(&self) -> &[String];
    fn duration_s(&self) -> f64;
    /// Writes the joint positions `[D]`, rad or m, at `t_s` in `[0, duration]`.
    fn position(&self, t_s: f64, q: &mut [f64]);
}

impl Motion for TimedTrajectory {
    fn joint_names(&self) -> &[String] {
        self.joint_names()
    }

    fn duration_s(&self) -> f64 {
        self.duration_s()
    }

    fn position(&self, t_s: f64, q: &mut [f64]) {
        q.copy_from_slice(&self.sample(t_s).position);
    }
}

/// Something held by the robot: moves with a link as one body.
#[derive(Clone, Debug)]
pub struct AttachedObject {
    pub name: String,
    pub link: String,
    pub link_from_object: Pose,
    pub shape: Shape,
    /// Links that may touch it besides `link`: usually the fingers.
    pub touching_links: Vec<String>,
}

/// What a motion has to keep to.
#[derive(Clone, Debug)]
pub struct VerifySettings {
    /// Joint positions the motion must begin at, `[D]` rad or m; `None`: anywhere.
    pub start: Option<Vec<f64>>,
    /// Largest difference from `start` by joint, rad or m.
    pub start_tolerance: f64,
    /// Velocity and acceleration the motion must begin with, `[D]` rad/s and rad/s^2 (or m); empty: rest.
    pub start_velocity: Vec<f64>,
    pub start_acceleration: Vec<f64>,
    /// Share of the velocity limits, (0, 1].
    pub velocity_scaling: f64,
    /// Share of the acceleration and jerk limits, (0, 1].
    pub acceleration_scaling: f64,
    /// Distance kept from obstacles, m. At 0 touching is a violation.
    pub min_clearance_m: f64,
    /// Distance kept between the robot's links, m.
    pub min_self_clearance_m: f64,
    /// Pairs of names (link, obstacle or attached object) that may touch.
    pub allowed: Vec<(String, String)>,
    pub attached: Vec<AttachedObject>,
    /// What the whole motion must keep to.
    pub constraints: Vec<ConstraintKind>,
    /// Positions of joints that are not planned (fingers), by name, rad or m; others stand as the robot's settings say.
    pub other_joints: Vec<(String, f64)>,
    /// Time between samples for the limits, s.
    pub period_s: f64,
    /// Way below which an interval is not halved any further, m: the error of the whole check.
    pub resolution_m: f64,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self {
            start: None,
            start_tolerance: 1e-6,
            start_velocity: Vec::new(),
            start_acceleration: Vec::new(),
            velocity_scaling: 1.0,
            acceleration_scaling: 1.0,
            min_clearance_m: 0.0,
            min_self_clearance_m: 0.0,
            allowed: Vec::new(),
            attached: Vec::new(),
            constraints: Vec::new(),
            other_joints: Vec::new(),
            period_s: 1e-3,
            resolution_m: 1e-4,
        }
    }
}

impl VerifySettings {
    fn may_touch(&self, a: &str, b: &str) -> bool {
        self.allowed
            .iter()
            .any(|(x, y)| (x == a && y == b) || (x == b && y == a))
    }
}

/// Figures of a motion that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// Smallest distance to an obstacle over the whole motion, m, to [`tolerance_m`]; infinite without obstacles.
    pub min_clearance_m: f64,
    /// Where that is.
    pub nearest: Option<NearestObstacle>,
    /// Smallest measured distance between two links that may not touch, m; the true one is not below it by more than
    /// [`tolerance_m`], or not below [`SELF_CLEARANCE_OF_INTEREST_M`].
    pub min_self_clearance_m: f64,
    pub nearest_links: Option<(String, String)>,
    /// Largest value over the (scaled) limit, of any joint.
    pub max_velocity_ratio: f64,
    pub max_acceleration_ratio: f64,
    pub max_jerk_ratio: f64,
    /// Configurations whose kinematics were computed for the collision check, against obstacles and against itself.
    pub checked_states: usize,
    /// Distances between two true shapes that were measured, beside those only shown to be large enough.
    pub checked_distances: usize,
}

/// Where a motion comes nearest to an obstacle.
#[derive(Clone, Debug, PartialEq)]
pub struct NearestObstacle {
    pub link: String,
    pub object: String,
    /// The nearest points of their true shapes then, on link and object, in the base link's frame, m. `None` for shapes between
    /// which only the distance is known.
    pub points_m: Option<[[f64; 3]; 2]>,
}

/// How exactly a smallest distance is known, m. (Whether there is a collision is decided far more finely.)
pub fn tolerance_m(distance_m: f64) -> f64 {
    // Nothing measured yet: any finite number keeps infinity.
    (0.05 * distance_m.min(1e3)).max(5e-4)
}

/// Links keep larger distances than this all the time by their build, m: above it their smallest distance is an upper
/// bound of this size only.
pub const SELF_CLEARANCE_OF_INTEREST_M: f64 = 5e-3;

/// Why a motion must not be executed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    #[error("link '{link}' comes to {:.2} mm of '{object}' at {time_s:.4} s, at least {:.2} mm are required", 1e3 * .distance_m, 1e3 * .required_m)]
    Clearance {
        link: String,
        object: String,
        time_s: f64,
        /// Negative: depth of penetration.
        distance_m: f64,
        required_m: f64,
    },
    #[error("links '{link_a}' and '{link_b}' come to {:.2} mm at {time_s:.4} s, more than {:.2} mm are required", 1e3 * .distance_m, 1e3 * .required_m)]
    SelfClearance {
        link_a: String,
        link_b: String,
        time_s: f64,
        distance_m: f64,
        required_m: f64,
    },
    #[error(
        "joint '{joint}': {quantity} {value:.5} at {time_s:.4} s is beyond the limit {limit:.5}"
    )]
    Limit {
        joint: String,
        /// position, velocity, acceleration or jerk.
        quantity: &'static str,
        time_s: f64,
        value: f64,
        limit: f64,
    },
    #[error("joint '{joint}' begins at {value:.6}, the robot stands at {expected:.6} (tolerance {tolerance:.1e})")]
    Start {
        joint: String,
        value: f64,
        expected: f64,
        tolerance: f64,
    },
    #[error("joint '{joint}' begins with {quantity} {value:.5}, the robot has {expected:.5} (tolerance {tolerance:.5})")]
    StartRate {
        joint: String,
        /// velocity or acceleration.
        quantity: &'static str,
        value: f64,
        expected: f64,
        tolerance: f64,
    },
    #[error("joint '{joint}' is not at rest at the {end}: {quantity} {value:.5}, at most {tolerance:.5}")]
    NotAtRest {
        joint: String,
        /// start or end.
        end: &'static str,
        quantity: &'static str,
        value: f64,
        tolerance: f64,
    },
    #[error("link '{link}' is tilted by {:.3} deg at {time_s:.4} s, at most {:.3} deg are allowed", .tilt_rad.to_degrees(), .limit_rad.to_degrees())]
    Tilt {
        link: String,
        time_s: f64,
        tilt_rad: f64,
        limit_rad: f64,
    },
    #[error("'{what}' is {:.2} mm below the plane it must stay above at {time_s:.4} s", -1e3 * .height_m)]
    BelowPlane {
        /// A link, or the tool point.
        what: String,
        time_s: f64,
        height_m: f64,
    },
    #[error("the tool's {quantity} speed is {value:.4} {unit} at {time_s:.4} s, at most {limit:.4} {unit} are allowed")]
    ToolSpeed {
        /// linear or angular.
        quantity: &'static str,
        unit: &'static str,
        time_s: f64,
        value: f64,
        limit: f64,
    },
    #[error("the motion moves the joints [{found}], the robot has [{expected}]")]
    Joints { found: String, expected: String },
    #[error("joint '{joint}' has the value {value} at {time_s:.4} s")]
    NotFinite {
        joint: String,
        time_s: f64,
        value: f64,
    },
    #[error("cannot be checked: {reason}")]
    Setup { reason: String },
}

/// The check, with the robot's shapes and its chain prepared and its memory kept between motions.
pub struct Verifier {
    /// For the check against obstacles and everything else, and for that of the robot against itself: two for each, since their
    /// lanes run side by side.
    chains: [[LinkChain; 2]; 2],
    limits: crate::robot::JointLimits,
    links: Vec<Solid>,
    constraint_check: constraints::ConstraintCheck,
    /// Link pairs (indices into `links`) that are tested.
    self_pairs: Vec<(usize, usize)>,
    cache: SolidCache,
    collider: Collider,
    samples: Samples,
}

impl Verifier {
    /// # Errors
    /// [`Violation::Setup`] for a shape that parry cannot hold.
    pub fn new(robot: &RobotModel) -> Result<Self, Violation> {
        let two = || Ok([LinkChain::new(robot)?, LinkChain::new(robot)?]);
        let chains = [two()?, two()?];
        let [[chain, ..], ..] = &chains;
        let mut cache = SolidCache::default();
        let mut links: Vec<Solid> = Vec::new();
        for part in &robot.collision.shapes {
            let frame = chain.link(&part.link)?;
            let index = links.iter().position(|s| s.name == part.link);
            let index = index.unwrap_or_else(|| {
                links.push(Solid::on_link(&part.link, frame));
                links.len() - 1
            });
            links[index].add(&part.shape, &part.link_from_shape, &mut cache)?;
        }
        let mut self_pairs = Vec::new();
        for a in 0..links.len() {
            for b in a + 1..links.len() {
                if !robot.collision.is_allowed(&links[a].name, &links[b].name) {
                    self_pairs.push((a, b));
                }
            }
        }
        Ok(Self {
            chains,
            limits: robot.limits.clone(),
            links,
            constraint_check: constraints::ConstraintCheck::new(robot),
            self_pairs,
            cache,
            collider: Collider::default(),
            samples: Samples::default(),
        })
    }

    /// Checks one motion in one scene.
    ///
    /// # Errors
    /// The violation that was met first: names and joint order, start, limits, constraints, then collisions.
    pub fn verify(
        &mut self,
        scene: &Scene,
        motion: &dyn Motion,
        settings: &VerifySettings,
    ) -> Result<Verification, Violation> {
        if motion.joint_names() != self.limits.names {
            return Err(Violation::Joints {
                found: motion.joint_names().join(", "),
                expected: self.limits.names.join(", "),
            });
        }
        self.samples.take(motion, &self.limits, settings)?;
        self.samples.check_start(&self.limits, settings)?;
        let ratios = self.samples.check_limits(&self.limits, settings)?;
        for chain in self.chains.as_flattened_mut() {
            chain.set_other_joints(&settings.other_joints)?;
        }
        let [[chain, ..], ..] = &mut self.chains;
        self.constraint_check.check(chain, motion, settings)?;
        self.prepare(scene, settings)?;
        self.collider
            .run(&mut self.chains, &self.samples, motion, settings)?;
        let robot = self.collider.nearest_robot();
        Ok(Verification {
            min_clearance_m: self.collider.nearest_world().distance_m,
            nearest: self.collider.nearest_obstacle(),
            min_self_clearance_m: robot.distance_m,
            nearest_links: robot.pair.map(|pair| self.collider.bodies.names(pair)),
            max_velocity_ratio: ratios[0],
            max_acceleration_ratio: ratios[1],
            max_jerk_ratio: ratios[2],
            checked_states: self.collider.checked_states(),
            checked_distances: self.collider.checked_distances(),
        })
    }

    /// Lists the solids (links, attached objects, obstacles) and the pairs of them to test.
    fn prepare(&mut self, scene: &Scene, settings: &VerifySettings) -> Result<(), Violation> {
        let bodies = &mut self.collider.bodies;
        let [[chain, ..], ..] = &self.chains;
        bodies.clear(&self.links);
        for held in &settings.attached {
            let mut solid = Solid::on_link(&held.name, chain.link(&held.link)?);
            solid.add(&held.shape, &held.link_from_object, &mut self.cache)?;
            bodies.solids.push(solid);
        }
        let moving = bodies.solids.len();
        for object in &scene.objects {
            let mut solid =
                Solid::in_world(&object.name, &object.world_from_object, object.margin_m);
            solid.add(&object.shape, &Pose::identity(), &mut self.cache)?;
            bodies.solids.push(solid);
        }
        for &(a, b) in &self.self_pairs {
            bodies.add_pair(chain, settings, Pair::between_links(a, b));
        }
        for (k, held) in settings.attached.iter().enumerate() {
            let index = self.links.len() + k;
            for a in 0..self.links.len() {
                let link = &self.links[a].name;
                if *link != held.link && !held.touching_links.contains(link) {
                    bodies.add_pair(chain, settings, Pair::between_links(a, index));
                }
            }
        }
        for b in moving..bodies.solids.len() {
            for a in 0..moving {
                bodies.add_pair(chain, settings, Pair::with_world(a, b));
            }
        }
        Ok(())
    }
}

/// Checks a motion once; a planner that checks often keeps a [`Verifier`].
///
/// # Errors
/// What [`Verifier::new`] and [`Verifier::verify`] return.
pub fn verify(
    robot: &RobotModel,
    scene: &Scene,
    trajectory: &TimedTrajectory,
    settings: &VerifySettings,
) -> Result<Verification, Violation> {
    Verifier::new(robot)?.verify(scene, trajectory, settings)
}
