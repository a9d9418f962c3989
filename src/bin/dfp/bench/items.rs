//! Objects of the benchmarks: procedural, of categories that stand by themselves, none of them seen in training.

use std::sync::Arc;

use anyhow::Context;
use diffusion_field_planner::data::{
    antipodal_grasps, AntipodalSettings, Category, ProceduralObject,
};
use diffusion_field_planner::field::contact::gripper_collides;
use diffusion_field_planner::field::{GraspNetwork, ObjectModel};
use diffusion_field_planner::geometry::Pose;
use diffusion_field_planner::planner::prepare_grasps;
use diffusion_field_planner::scene::{Scene, TriangleMesh};
use nalgebra::{UnitQuaternion, Vector3};

/// Grasps that show whether a scene leaves room for the hand.
const HOLDS: usize = 200;
/// Training draws from seeds below; procedural objects from here on are held out.
pub const FIRST_SEED: u64 = 1_000_000;
/// Air between the open hand and the object, without which no real hand would try [m].
const TARGET_AIR_M: f64 = 0.002;
/// Edge of the mesh that the planner gets: below the walls of cups, whose holds a coarser one blurs [m].
const MESH_SPACING_M: f64 = 0.003;
/// Categories that stand upright, and those of them that stand on their head too.
pub const STANDING: [Category; 7] = [
    Category::Mug,
    Category::Bottle,
    Category::Cylinder,
    Category::Box,
    Category::Cup,
    Category::Can,
    Category::Jar,
];
const EITHER_WAY_UP: [Category; 6] = [
    Category::Mug,
    Category::Cylinder,
    Category::Box,
    Category::Cup,
    Category::Can,
    Category::Jar,
];

/// An object before its field is baked.
pub struct Item {
    /// Grasps of the data's own generator, which knows nothing of the field.
    holds: Vec<Pose>,
    pub object: ProceduralObject,
    pub mesh: Arc<TriangleMesh>,
    pub model: Arc<ObjectModel>,
}

impl Item {
    /// The object of a category and seed, or the next seed's where nothing of it fits between the fingers.
    pub fn new(category: Category, seed: u64, network: &GraspNetwork) -> anyhow::Result<Self> {
        const TRIES: u64 = 20;
        // Seeds of one item do not reach those of the next.
        let mut refused = None;
        for k in 0..TRIES {
            let object = ProceduralObject::new(category, FIRST_SEED + seed * TRIES + k);
            let mesh = Arc::new(object.mesh(MESH_SPACING_M));
            match ObjectModel::from_mesh(object.name(), mesh.clone(), network) {
                Ok(model) if !prepare_grasps(&model).is_empty() => {
                    let gripper = &network.settings().gripper;
                    let settings = AntipodalSettings::default();
                    let mut holds =
                        antipodal_grasps(&object.solid, &mesh, gripper, &settings, HOLDS, seed);
                    let opening_m = gripper.max_opening_m;
                    holds.retain(|hold| {
                        !gripper_collides(&object.solid, hold, gripper, opening_m, TARGET_AIR_M)
                    });
                    return Ok(Self {
                        holds,
                        object,
                        mesh,
                        model: Arc::new(model),
                    });
                }
                Ok(_) => {}
                Err(error) => refused = Some(error),
            }
        }
        let category = category.name();
        match refused {
            Some(error) => Err(error).context(format!("no graspable {category}")),
            None => anyhow::bail!("no {category} with a grasp in {TRIES} seeds"),
        }
    }

    pub fn name(&self) -> String {
        self.object.name()
    }

    pub fn stands_on_its_head(&self) -> bool {
        EITHER_WAY_UP.contains(&self.object.category)
    }

    /// Height of the lowest vertex under the object's origin when it is turned so [m, negative].
    pub fn lowest_m(&self, rotation: &UnitQuaternion<f64>) -> f64 {
        self.turned(rotation).fold(f64::INFINITY, |m, v| m.min(v.z))
    }

    pub fn height_m(&self) -> f64 {
        let (low, high) = self.mesh.bounds();
        high[2] - low[2]
    }

    /// Radius about the vertical axis through the origin [m].
    pub fn radius_m(&self) -> f64 {
        let upright = UnitQuaternion::identity();
        self.turned(&upright).fold(0.0, |m, v| m.max(v.xy().norm()))
    }

    fn turned<'a>(
        &'a self,
        rotation: &'a UnitQuaternion<f64>,
    ) -> impl Iterator<Item = Vector3<f64>> + 'a {
        self.mesh
            .vertices
            .iter()
            .map(move |v| rotation * Vector3::from(*v))
    }

    /// Those of the generator's grasps that have room for the open hand at every one of these poses.
    pub fn holds_with_room<'a>(
        &'a self,
        scene: &'a Scene,
        world_from_object: Vec<Pose>,
    ) -> impl Iterator<Item = &'a Pose> {
        /// Air around the hand [m].
        const AIR_M: f64 = 0.008;
        let gripper = &self.model.field.settings().gripper;
        let opening_m = gripper.max_opening_m;
        self.holds.iter().filter(move |hold| {
            world_from_object.iter().all(|pose| {
                let hand = pose * **hold;
                scene.objects.iter().all(|o| {
                    let local = o.world_from_object.inverse() * hand;
                    !gripper_collides(&o.shape, &local, gripper, opening_m, AIR_M)
                })
            })
        })
    }

    /// Whether the object stands by itself when it is turned so: its middle lies over what touches the ground, with a margin.
    pub fn stands(&self, rotation: &UnitQuaternion<f64>) -> bool {
        const TOUCHING_M: f64 = 0.003;
        const MARGIN_M: f64 = 0.003;
        const DIRECTIONS: usize = 24;
        let ground = self.lowest_m(rotation) + TOUCHING_M;
        let feet: Vec<Vector3<f64>> = self.turned(rotation).filter(|v| v.z < ground).collect();
        let Some((_, middle)) = self.mesh.volume_and_middle() else {
            return false;
        };
        let middle = rotation * middle;
        (0..DIRECTIONS).all(|k| {
            let angle = std::f64::consts::TAU * k as f64 / DIRECTIONS as f64;
            let way = Vector3::new(angle.cos(), angle.sin(), 0.0);
            let reach = feet
                .iter()
                .map(|f| f.dot(&way))
                .fold(f64::NEG_INFINITY, f64::max);
            reach > middle.coords.dot(&way) + MARGIN_M
        })
    }
}
