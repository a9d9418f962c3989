//! Objects with their grasps, made from seeds.

use nalgebra::Isometry3;
use rayon::prelude::*;

use super::config::DataConfig;
use crate::data::{antipodal_grasps, Category, ProceduralObject};
use crate::robot::GripperGeometry;

/// One object to train on.
#[derive(Debug, Clone)]
pub struct TrainingObject {
    pub object: ProceduralObject,
    pub object_from_gripper: Vec<Isometry3<f64>>,
}

/// Objects that are trained on, or held out.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    pub objects: Vec<TrainingObject>,
    /// Names of objects that allow too few grasps.
    pub left_out: Vec<String>,
}

/// Mixed into object seeds so that grasps and shapes draw different numbers.
const GRASP_SEED: u64 = 0x6772_6173_7000;

impl Dataset {
    /// The objects that `config` trains on. `made` is called after each, from any thread.
    pub fn training(config: &DataConfig, gripper: &GripperGeometry, made: impl Fn() + Sync) -> Self {
        let wanted = config
            .objects
            .iter()
            .flat_map(|(&category, &count)| (0..count as u64).map(move |i| (category, i)))
            .map(|(category, i)| (category, config.first_seed + i))
            .collect();
        Self::generate(wanted, config, gripper, made)
    }

    /// The validation objects of `config`, never trained on.
    pub fn held_out(config: &DataConfig, gripper: &GripperGeometry, made: impl Fn() + Sync) -> Self {
        let wanted = config
            .objects
            .iter()
            .filter(|(_, &count)| count > 0)
            .flat_map(|(&category, _)| (0..config.held_out_per_category as u64).map(move |i| (category, i)))
            .map(|(category, i)| (category, config.held_out_first_seed + i))
            .collect();
        Self::generate(wanted, config, gripper, made)
    }

    fn generate(
        wanted: Vec<(Category, u64)>,
        config: &DataConfig,
        gripper: &GripperGeometry,
        made: impl Fn() + Sync,
    ) -> Self {
        let all: Vec<TrainingObject> = wanted
            .into_par_iter()
            .map(|(category, seed)| {
                let object = ProceduralObject::new(category, seed);
                let object_from_gripper = antipodal_grasps(
                    &object.solid,
                    &object.mesh(config.mesh_spacing_m),
                    gripper,
                    &config.antipodal,
                    config.grasps_per_object,
                    GRASP_SEED ^ seed,
                );
                made();
                TrainingObject { object, object_from_gripper }
            })
            .collect();
        let (objects, few): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|o| o.object_from_gripper.len() >= config.least_grasps);
        Self { objects, left_out: few.iter().map(|o| o.object.name()).collect() }
    }
}
