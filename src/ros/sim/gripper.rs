//! The simulated parallel gripper and the object it can carry.
//!
//! Quasi-static: the fingers close at constant speed until both touch the object. What lies between the pads is found
//! on rays across them through the object's signed distance. An object that is touched on one side first slides to
//! the middle, as it would on a table. There is no gravity: an object that is let go stays where it is.

use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::SignedDistance;
use nalgebra::Point3;

/// Rays across the pads, along y and along z.
const RAYS_Y: usize = 7;
const RAYS_Z: usize = 7;
/// Step along a ray, m: thinner walls are not seen.
const STEP_M: f64 = 5e-4;
/// A pad holds if this many rays end on it within `CONTACT_DEPTH_M` (a single corner would slip off).
const RAYS_IN_CONTACT: usize = 3;
const CONTACT_DEPTH_M: f64 = 0.002;
/// The fingers may press this deep into the object when they come to it, m.
const ALLOWED_OVERLAP_M: f64 = 0.003;

/// What the closing fingers meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// Distance of the fingers when both touch, m.
    pub width_m: f64,
    /// Where the middle of the touched part lies before it is centred, along x of the gripper, m.
    pub offset_m: f64,
}

/// What lies between the open pads, or None if they would close without holding it.
pub fn closing_contact(
    object: &dyn SignedDistance,
    object_from_gripper: &Pose,
    geometry: &GripperGeometry,
    opening_m: f64,
) -> Option<Contact> {
    let half = 0.5 * opening_m;
    let mut extents = Vec::with_capacity(RAYS_Y * RAYS_Z);
    for iy in 0..RAYS_Y {
        for iz in 0..RAYS_Z {
            let y = geometry.finger_width_m * ((iy as f64 + 0.5) / RAYS_Y as f64 - 0.5);
            let z = geometry.tip_m - geometry.pad_length_m * (iz as f64 + 0.5) / RAYS_Z as f64;
            extents.extend(extent_on_ray(object, object_from_gripper, [y, z], half));
        }
    }
    let low = extents.iter().map(|e| e[0]).fold(f64::INFINITY, f64::min);
    let high = extents
        .iter()
        .map(|e| e[1])
        .fold(f64::NEG_INFINITY, f64::max);
    let outside = half + ALLOWED_OVERLAP_M;
    if extents.is_empty() || low < -outside || high > outside {
        return None;
    }
    let low_rays = extents.iter().filter(|e| e[0] < low + CONTACT_DEPTH_M);
    let high_rays = extents.iter().filter(|e| e[1] > high - CONTACT_DEPTH_M);
    if low_rays.count() < RAYS_IN_CONTACT || high_rays.count() < RAYS_IN_CONTACT {
        return None;
    }
    Some(Contact {
        width_m: high - low,
        offset_m: 0.5 * (high + low),
    })
}

/// First and last x inside the object on a ray across the pads, beyond the pads as deep as a finger.
fn extent_on_ray(
    object: &dyn SignedDistance,
    object_from_gripper: &Pose,
    [y, z]: [f64; 2],
    half: f64,
) -> Option<[f64; 2]> {
    let mut extent: Option<[f64; 2]> = None;
    let end = half + 2.0 * ALLOWED_OVERLAP_M;
    let mut x = -end;
    while x <= end {
        let distance = object.distance(&(object_from_gripper * Point3::new(x, y, z)));
        // The surface is no nearer than the distance: the ray may go that far on this side of it.
        let free = distance.abs();
        if distance <= 0.0 {
            extent.get_or_insert([x, x])[1] = x + free;
        }
        x += free.max(STEP_M);
    }
    extent
}

/// A body that can be grasped.
pub struct SimulatedObject {
    pub distance: Box<dyn SignedDistance>,
    pub world_from_object: Pose,
}

/// The fingers, and whether they hold the object.
pub struct SimulatedGripper {
    geometry: GripperGeometry,
    speed_m_s: f64,
    opening_m: f64,
    target_m: f64,
    held: Option<Held>,
    /// Where the object was when the closing fingers were last looked at, and what they meet there.
    seen: Option<(Pose, Option<Contact>)>,
}

#[derive(Clone, Copy)]
struct Held {
    gripper_from_object: Pose,
    width_m: f64,
}

impl SimulatedGripper {
    /// An open gripper. `speed_m_s` is how fast the opening changes.
    pub fn new(geometry: GripperGeometry, speed_m_s: f64) -> Self {
        let opening_m = geometry.max_opening_m;
        Self {
            geometry,
            speed_m_s,
            opening_m,
            target_m: opening_m,
            held: None,
            seen: None,
        }
    }

    /// Moves the fingers towards an opening, within the stroke.
    pub fn command(&mut self, opening_m: f64) {
        self.target_m = opening_m.clamp(0.0, self.geometry.max_opening_m);
        self.seen = None;
    }

    /// Lets go and opens without taking time.
    pub fn open_at_once(&mut self) {
        self.held = None;
        self.target_m = self.geometry.max_opening_m;
        self.opening_m = self.target_m;
    }

    pub fn opening_m(&self) -> f64 {
        self.opening_m
    }

    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Whether the fingers stand where they were sent.
    pub fn has_arrived(&self) -> bool {
        (self.opening_m - self.target_m).abs() < 1e-6
    }

    /// Whether the fingers will not move further: arrived, or closed on the object.
    pub fn is_settled(&self) -> bool {
        self.has_arrived() || (self.held.is_some() && self.target_m <= self.opening_m)
    }

    /// Moves the fingers for `dt_s` and the object with them.
    pub fn step(
        &mut self,
        dt_s: f64,
        world_from_gripper: &Pose,
        object: Option<&mut SimulatedObject>,
    ) {
        let reach = self.speed_m_s * dt_s;
        let mut next = self.opening_m + (self.target_m - self.opening_m).clamp(-reach, reach);
        let Some(object) = object else {
            self.opening_m = next;
            self.held = None;
            return;
        };
        if self.held.is_some_and(|held| next > held.width_m + STEP_M) {
            self.held = None;
        }
        if self.held.is_none() && next < self.opening_m {
            self.held = self.close_on(object, world_from_gripper, next);
        }
        if let Some(held) = self.held {
            next = next.max(held.width_m);
            object.world_from_object = world_from_gripper * held.gripper_from_object;
        }
        self.opening_m = next;
    }

    /// Holds the object if the fingers touch it on both sides before they reach `next_m`.
    fn close_on(
        &mut self,
        object: &SimulatedObject,
        world_from_gripper: &Pose,
        next_m: f64,
    ) -> Option<Held> {
        let gripper_from_object = world_from_gripper.inverse() * object.world_from_object;
        let contact = match self.seen {
            Some((seen_at, contact)) if seen_at == gripper_from_object => contact,
            _ => closing_contact(
                object.distance.as_ref(),
                &gripper_from_object.inverse(),
                &self.geometry,
                self.opening_m,
            ),
        };
        self.seen = Some((gripper_from_object, contact));
        let contact = contact?;
        (next_m <= contact.width_m).then(|| Held {
            gripper_from_object: Pose::translation(-contact.offset_m, 0.0, 0.0)
                * gripper_from_object,
            width_m: contact.width_m,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Shape;

    const DT_S: f64 = 0.005;

    /// A cylinder of 50 mm, standing between the pads, `x` beside the middle.
    fn cylinder(x: f64) -> SimulatedObject {
        let tip_m = GripperGeometry::default().tip_m;
        SimulatedObject {
            distance: Box::new(Shape::Cylinder {
                radius_m: 0.025,
                length_m: 0.1,
            }),
            world_from_object: Pose::translation(x, 0.0, tip_m - 0.01),
        }
    }

    fn close(gripper: &mut SimulatedGripper, hand: &Pose, object: &mut SimulatedObject) {
        gripper.command(0.0);
        for _ in 0..400 {
            gripper.step(DT_S, hand, Some(object));
        }
    }

    #[test]
    fn it_closes_on_the_object_centres_it_and_carries_it() {
        let mut gripper = SimulatedGripper::new(GripperGeometry::default(), 0.1);
        let mut object = cylinder(0.008);
        close(&mut gripper, &Pose::identity(), &mut object);
        assert!(gripper.is_holding() && gripper.is_settled() && !gripper.has_arrived());
        assert!(
            (gripper.opening_m() - 0.05).abs() < 2e-3,
            "{}",
            gripper.opening_m()
        );
        assert!(object.world_from_object.translation.x.abs() < 1e-3);

        let lifted = Pose::translation(0.0, 0.0, 0.2);
        gripper.step(DT_S, &lifted, Some(&mut object));
        assert!((object.world_from_object.translation.z - 0.2 - 0.102).abs() < 1e-9);

        gripper.command(0.08);
        for _ in 0..400 {
            gripper.step(DT_S, &lifted, Some(&mut object));
        }
        let rest = object.world_from_object;
        gripper.step(DT_S, &Pose::identity(), Some(&mut object));
        assert_eq!(
            object.world_from_object, rest,
            "an object that was let go stays"
        );
        assert!(!gripper.is_holding());
    }

    #[test]
    fn it_closes_on_nothing_beside_the_object() {
        for (x, z) in [(0.08, 0.0), (0.0, 0.08), (0.06, 0.0)] {
            let mut gripper = SimulatedGripper::new(GripperGeometry::default(), 0.1);
            let mut object = cylinder(x);
            object.world_from_object.translation.z += z;
            let before = object.world_from_object;
            close(&mut gripper, &Pose::identity(), &mut object);
            assert!(!gripper.is_holding(), "x {x}, z {z}");
            assert_eq!(object.world_from_object, before);
            assert!(gripper.opening_m() < 1e-6);
        }
    }

    #[test]
    fn what_is_wider_than_the_hand_is_not_held() {
        let wide = Shape::Box {
            half_extents_m: [0.06, 0.05, 0.05],
        };
        let geometry = GripperGeometry::default();
        let hand = Pose::translation(0.0, 0.0, -geometry.tip_m);
        assert_eq!(closing_contact(&wide, &hand, &geometry, 0.08), None);
    }

    #[test]
    fn the_wall_of_a_cup_is_held_at_its_thickness() {
        // A plate of 4 mm stands for the wall; the rest of the cup would lie outside the pads.
        let wall = Shape::Box {
            half_extents_m: [0.002, 0.05, 0.05],
        };
        let geometry = GripperGeometry::default();
        let wall_from_hand = Pose::translation(0.01, 0.0, -geometry.tip_m + 0.05 - 0.02);
        let contact = closing_contact(&wall, &wall_from_hand, &geometry, 0.08).unwrap();
        assert!((contact.width_m - 0.004).abs() < 1.5e-3, "{contact:?}");
        assert!((contact.offset_m + 0.01).abs() < 1e-3, "{contact:?}");
    }
}
