//! Procedural data sets: which object falls to which shard, making one, making a folder of them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::antipodal::{labelled_grasps, AntipodalSettings, GraspCounts};
use super::grasp_file::{About, GraspFile, GraspFileError, ObjectSource, ENDING, FORMAT_VERSION};
use super::procedural::{Category, ProceduralObject};
use crate::robot::{GripperDescription, RobotError};

/// Mixed into object seeds so that grasps and shapes draw different numbers.
const GRASP_SEED: u64 = 0x6772_6173_7000;

/// Part `index` of `count` equal parts of a list, dealt out in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The whole list.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// Whether the item at a place of the list falls to this shard. Each falls to just one.
    pub fn contains(&self, place: usize) -> bool {
        place % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `i/n` with i from 0 to n - 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err(format!("'{text}' is no shard: i/n with i from 0 to n-1")),
        }
    }
}

/// How objects and grasps of a data set are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateSettings {
    pub counts: GraspCounts,
    /// Quads of the mesh from which contacts are drawn, and which is written, m.
    pub mesh_spacing_m: f64,
    pub antipodal: AntipodalSettings,
    pub gripper: GripperDescription,
}

impl GenerateSettings {
    /// Reads settings (YAML). `gripper` names a gripper file, relative to the settings' folder, or is one's content.
    ///
    /// # Errors
    /// [`RobotError::File`], [`RobotError::Gripper`].
    pub fn load(path: &Path) -> Result<Self, RobotError> {
        let (settings, gripper): (Self, _) = GripperDescription::load_beside(path)?;
        Ok(Self {
            gripper: gripper.unwrap_or(settings.gripper),
            ..settings
        })
    }
}

impl Default for GenerateSettings {
    fn default() -> Self {
        Self {
            counts: GraspCounts {
                holding: 400,
                failing: 400,
            },
            mesh_spacing_m: 0.003,
            antipodal: AntipodalSettings::default(),
            gripper: GripperDescription::default(),
        }
    }
}

/// What became of one object of a folder.
#[derive(Debug)]
pub enum Made {
    /// Written just now.
    New,
    /// There already, whole and from the same settings.
    Kept,
    Failed(GraspFileError),
}

/// The object of a category and seed with its labelled grasps. Equal arguments give equal files.
pub fn generate_object(category: Category, seed: u64, settings: &GenerateSettings) -> GraspFile {
    let object = ProceduralObject::new(category, seed);
    let mesh = object.mesh(settings.mesh_spacing_m);
    let grasps = labelled_grasps(
        &object.solid,
        &mesh,
        &settings.gripper.geometry,
        &settings.antipodal,
        settings.counts,
        GRASP_SEED ^ seed,
    );
    GraspFile {
        about: About {
            version: FORMAT_VERSION,
            name: object.name(),
            category: category.name().into(),
            source: ObjectSource::Procedural { category, seed },
            candidates: grasps.candidates,
            candidates_holding: grasps.candidates_holding,
            made_from: format!("{settings:?}"),
            gripper: settings.gripper.clone(),
        },
        mesh,
        holding: grasps.holding,
        failing: grasps.failing,
    }
}

/// Makes the shard's part of `wanted` in a folder, one file an object, and leaves finished files alone.
///
/// `observe` hears of each object, from any thread.
///
/// # Errors
/// [`GraspFileError::Io`] where the folder cannot be made. What is wrong with one object reaches `observe`.
pub fn generate_folder(
    folder: &Path,
    wanted: &[(Category, u64)],
    shard: Shard,
    settings: &GenerateSettings,
    observe: impl Fn(&Path, Made) + Sync,
) -> Result<(), GraspFileError> {
    std::fs::create_dir_all(folder).map_err(|source| GraspFileError::Io {
        path: folder.into(),
        source,
    })?;
    let mine: Vec<_> = wanted
        .iter()
        .enumerate()
        .filter(|(place, _)| shard.contains(*place))
        .map(|(_, item)| *item)
        .collect();
    // One at a time: a plate takes twenty times as long as a cylinder, and chunks would leave threads idle at the end.
    mine.into_par_iter()
        .with_max_len(1)
        .for_each(|(category, seed)| {
            let path = object_path(folder, category, seed);
            let made = make(&path, category, seed, settings);
            observe(&path, made);
        });
    Ok(())
}

/// Where an object's file lies in a folder.
pub fn object_path(folder: &Path, category: Category, seed: u64) -> PathBuf {
    folder.join(format!("{}_{seed:04}.{ENDING}", category.name()))
}

fn make(path: &Path, category: Category, seed: u64, settings: &GenerateSettings) -> Made {
    let made_from = format!("{settings:?}");
    if GraspFile::load(path).is_ok_and(|file| file.about.made_from == made_from) {
        return Made::Kept;
    }
    match generate_object(category, seed, settings).save(path) {
        Ok(()) => Made::New,
        Err(error) => Made::Failed(error),
    }
}
