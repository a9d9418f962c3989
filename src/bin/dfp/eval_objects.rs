//! Which objects `dfp eval grasps` measures on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{bail, Context, Result};
use diffusion_field_planner::data::{load_folder, Category, DepthCamera, Subject};
use diffusion_field_planner::scene::{Completion, MeshError};

#[derive(clap::Args)]
pub struct ObjectArgs {
    /// Categories; all if not given
    #[arg(long, value_delimiter = ',', default_values_t = Category::ALL.map(|c| c.name().to_string()))]
    categories: Vec<String>,
    /// Objects of each category
    #[arg(long, default_value_t = 6)]
    pub objects: usize,
    /// Meshes (STL, OBJ, PLY) instead of procedural objects, each FILE or FILE:SCALE with the metres per unit; a row each
    #[arg(long, num_args = 1.., value_name = "FILE[:SCALE]")]
    mesh: Vec<String>,
    /// Objects of a folder of grasp files (dfp data) instead of procedural ones; EMD and coverage against their own grasps
    #[arg(long)]
    data: Option<PathBuf>,
    /// The sampler sees one side of each object, as a depth camera shows it, completed; judged is the whole object
    #[arg(long)]
    pub single_view: bool,
    /// Random views of each object, with --single-view
    #[arg(long, default_value_t = 1)]
    views: u64,
    /// How the hidden side is guessed, with --single-view: hull, extruded, mirrored, carved
    #[arg(long, default_value_t = Completion::default().name().to_string())]
    completion: String,
    /// Standard deviation of the camera's depths at 1 m, mm, with --single-view; it grows with the distance squared
    #[arg(long, default_value_t = 1e3 * DepthCamera::default().noise_at_1m_m)]
    depth_noise_mm: f64,
    /// Seed of the first object; training starts at 1000, validation at 500
    #[arg(long, default_value_t = 0)]
    pub first_object: u64,
}

/// Objects that share a row of the table; each is made when its turn comes.
pub struct Row {
    pub category: String,
    pub objects: Vec<Make>,
}

pub type Make = Box<dyn Fn() -> Result<Subject, MeshError>>;

impl Row {
    /// Each object is seen once from a number of directions instead of whole.
    fn see_once(&mut self, args: &ObjectArgs, completion: Completion, seed: u64) {
        let camera = DepthCamera {
            noise_at_1m_m: 1e-3 * args.depth_noise_mm,
            ..DepthCamera::default()
        };
        let views = args.views;
        let whole: Vec<Rc<Make>> = self.objects.drain(..).map(Rc::new).collect();
        for (number, make) in whole.into_iter().enumerate() {
            for view in 0..views {
                let make = make.clone();
                let seed = seed + number as u64 * views + view;
                self.objects.push(Box::new(move || {
                    make()?.seen_once(&camera, seed, completion)
                }));
            }
        }
    }
}

impl ObjectArgs {
    /// Objects from files instead of procedural ones.
    pub fn are_foreign(&self) -> bool {
        !self.mesh.is_empty() || self.data.is_some()
    }

    /// What is evaluated: meshes, grasp files for the gripper, else procedural objects; all of it seen whole, or one side.
    pub fn rows(&self, gripper: &str, seed: u64) -> Result<Vec<Row>> {
        let mut rows = match self.are_foreign() {
            true => self.foreign(gripper)?,
            false => self.procedural()?,
        };
        if self.single_view {
            let completion: Completion = self.completion.parse().map_err(anyhow::Error::msg)?;
            rows.iter_mut()
                .for_each(|row| row.see_once(self, completion, seed));
        }
        Ok(rows)
    }

    fn procedural(&self) -> Result<Vec<Row>> {
        let row = |name: &String| {
            let category: Category = name.parse().map_err(anyhow::Error::msg)?;
            let seeds = self.first_object..self.first_object + self.objects as u64;
            let make = |seed| Box::new(move || Ok(Subject::procedural(category, seed))) as Make;
            Ok(Row {
                category: category.name().into(),
                objects: seeds.map(make).collect(),
            })
        };
        self.categories.iter().map(row).collect()
    }

    fn foreign(&self, gripper: &str) -> Result<Vec<Row>> {
        let read = |text: &String| {
            let (path, scale) = mesh_and_scale(text);
            Subject::from_mesh_file(path, scale).with_context(|| format!("reading {text}"))
        };
        let mut found = self.mesh.iter().map(read).collect::<Result<Vec<_>>>()?;
        if let Some(folder) = &self.data {
            let (files, bad) = load_folder(folder)?;
            bad.iter()
                .for_each(|problem| eprintln!("warning: left out: {problem}"));
            for file in files
                .into_iter()
                .filter(|f| f.about.gripper.name == gripper)
            {
                found.push(Subject::from_grasp_file(file)?);
            }
        }
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for subject in found {
            let category = subject.category.clone();
            let row = rows.entry(category.clone()).or_insert_with(|| Row {
                category,
                objects: Vec::new(),
            });
            row.objects.push(Box::new(move || Ok(subject.clone())));
        }
        if rows.is_empty() {
            bail!("no object for this gripper in --mesh and --data");
        }
        Ok(rows.into_values().collect())
    }
}

/// `FILE` or `FILE:SCALE`.
fn mesh_and_scale(text: &str) -> (&Path, f64) {
    let parts = text.rsplit_once(':');
    let parsed = parts.and_then(|(path, scale)| Some((path, scale.parse().ok()?)));
    let (path, scale) = parsed.unwrap_or((text, 1.0));
    (Path::new(path), scale)
}
