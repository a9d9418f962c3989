//! How good sampled grasps are: success by the closed-form checks on the exact solid, likeness to the data.

use std::ops::Range;

use rand::seq::SliceRandom;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::antipodal::{antipodal_grasps, AntipodalSettings};
use super::grasp_source::GraspSource;
use super::metrics::{coverage, earth_movers_distance, PoseCost};
use super::procedural::Category;
use super::subject::Subject;
use crate::field::contact::gripper_collides;
use crate::field::{select_grasps, Grasp, GraspTarget, ObjectError, SamplerSettings, Weight};
use crate::field::{FingerFace, Label, LabelLimits};
use crate::geometry::Pose;
use crate::robot::GripperGeometry;
use crate::scene::SignedDistance;

/// Half angle inside which the contacts of a successful grasp lie, deg; see [`LabelLimits`]. Rubber pads hold more, and the
/// physics check (docs/DATA.md) still finds most grasps to hold that this calls failing.
pub const SUCCESS_CONE_DEG: f64 = 35.0;
/// Overlap of gripper and object up to which a grasp still counts as free, m.
pub const COLLISION_TOLERANCE_M: f64 = 0.001;
/// A data grasp is covered by a sample this near, m and deg both.
pub const COVERED_M: f64 = 0.02;
pub const COVERED_DEG: f64 = 30.0;
/// Best grasps by energy that are counted apart.
const BEST: usize = 20;
/// Mixed into object seeds so that data grasps and shapes draw different numbers.
const DATA_SEED: u64 = 0x6576_616c;

/// What is drawn for an evaluation, and from which seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationSettings {
    /// Objects of each category, with seeds from `first_object`.
    pub objects: usize,
    pub first_object: u64,
    /// Samples of each object, raw and filtered each; also the size of the data sets they are compared with.
    pub count: usize,
    /// Seed of the sampler on the first object; counts up with the objects.
    pub seed: u64,
    pub sampler: SamplerSettings,
    /// How the data's grasps are made.
    pub antipodal: AntipodalSettings,
}

/// What becomes of a grasp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Holds,
    /// The open gripper overlaps the object by more than a millimetre.
    Collides,
    /// The fingers close on nothing, or not in force closure.
    Slips,
}

/// Judges grasps as the data is labelled, with wider limits: the whole faces of the fingers close on the object.
pub struct Judge<'a> {
    solid: &'a dyn SignedDistance,
    gripper: &'a GripperGeometry,
    face: FingerFace,
}

impl<'a> Judge<'a> {
    pub fn new(solid: &'a dyn SignedDistance, gripper: &'a GripperGeometry) -> Self {
        Self {
            solid,
            gripper,
            face: FingerFace::new(gripper),
        }
    }

    pub fn outcome(&self, object_from_gripper: &Pose) -> Outcome {
        let limits = LabelLimits {
            hold_cone_rad: SUCCESS_CONE_DEG.to_radians(),
            slip_cone_rad: SUCCESS_CONE_DEG.to_radians(),
            clearance_m: -COLLISION_TOLERANCE_M,
        };
        let opening_m = self.gripper.max_opening_m;
        let tolerance_m = -COLLISION_TOLERANCE_M;
        let Self { solid, gripper, .. } = self;
        if gripper_collides(*solid, object_from_gripper, gripper, opening_m, tolerance_m) {
            Outcome::Collides
        } else if self.face.label(*solid, object_from_gripper, &limits) == Label::Holds {
            Outcome::Holds
        } else {
            Outcome::Slips
        }
    }

    pub fn tally<'b>(&self, grasps: impl IntoIterator<Item = &'b Pose>) -> Tally {
        let mut tally = Tally::default();
        for pose in grasps {
            let outcome = self.outcome(pose);
            tally.n += 1;
            tally.held += usize::from(outcome == Outcome::Holds);
            tally.collided += usize::from(outcome == Outcome::Collides);
        }
        tally
    }
}

/// Outcomes counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub n: usize,
    /// Free of collision and held.
    pub held: usize,
    pub collided: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.held += other.held;
        self.collided += other.collided;
    }

    pub fn success(&self) -> f64 {
        self.held as f64 / self.n.max(1) as f64
    }

    pub fn collision(&self) -> f64 {
        self.collided as f64 / self.n.max(1) as f64
    }
}

/// Grasps drawn on one object and what became of them.
#[derive(Debug, Clone)]
pub struct ObjectEvaluation {
    pub object: Subject,
    /// Every sample, best first.
    pub raw: Vec<Grasp>,
    /// What [`select_grasps`] leaves: free, closing on the object, distinct.
    pub filtered: Vec<Grasp>,
    /// Grasps of the generator on the same body: two halves of `count` each.
    pub data: Vec<Pose>,
    pub raw_tally: Tally,
    /// Of the raw samples that pass the collision filter alone.
    pub free_tally: Tally,
    pub filtered_tally: Tally,
    pub best_tally: Tally,
    pub data_tally: Tally,
    pub likeness: Option<Likeness>,
}

/// Samples against one half of the data, and the other half against it: the floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// Grasps in each set.
    pub n: usize,
    /// By [`PoseCost::ALL`].
    pub emd: [f64; 3],
    pub emd_floor: [f64; 3],
    pub coverage: f64,
    pub coverage_floor: f64,
}

impl Likeness {
    /// `None` where there are no data grasps or no samples. `samples` may be sorted: every part of them is used.
    pub fn new(samples: &[Pose], data: &[Pose]) -> Option<Self> {
        let n = samples.len().min(data.len() / 2);
        if n == 0 {
            return None;
        }
        let spread: Vec<Pose> = (0..n).map(|i| samples[i * samples.len() / n]).collect();
        let (reference, other) = (&data[..n], &data[n..2 * n]);
        let mut emd = [[0.0; 3]; 2];
        for (k, cost) in PoseCost::ALL.into_iter().enumerate() {
            emd[0][k] = earth_movers_distance(&spread, reference, cost)?;
            emd[1][k] = earth_movers_distance(other, reference, cost)?;
        }
        let covered = |set: &[Pose]| coverage(reference, set, COVERED_M, COVERED_DEG.to_radians());
        Some(Self {
            n,
            emd: emd[0],
            emd_floor: emd[1],
            coverage: covered(&spread),
            coverage_floor: covered(other),
        })
    }
}

/// Draws grasps on one object and judges them. The source sees a mesh of it, the judge the body itself. `number` counts
/// the sampler's seed up from that of the settings.
///
/// # Errors
/// [`ObjectError`] of an object that cannot be grasped at all.
pub fn evaluate_object(
    source: &dyn GraspSource,
    object: Subject,
    number: u64,
    settings: &EvaluationSettings,
) -> Result<ObjectEvaluation, ObjectError> {
    let gripper = source.gripper();
    let prepared = source.prepare(object.name.clone(), object.seen.clone())?;
    let surface = prepared.surface();
    let face = FingerFace::new(gripper);
    let target = GraspTarget {
        surface: &surface,
        seen: object.seen_side.as_deref(),
        face: &face,
        weight: Weight::of(&object.seen),
    };
    let raw_sampler = SamplerSettings {
        filter: false,
        distinct_m: 0.0,
        ..settings.sampler.clone()
    };
    let seed = settings.seed + number;
    // Raw and filtered samples share what is drawn.
    let mut drawn = Vec::new();
    let mut draw = |numbers: Range<u64>| {
        let first = drawn.len() as u64;
        if first < numbers.end {
            drawn.extend(prepared.draw(&settings.sampler, first..numbers.end, seed));
        }
        drawn[numbers.start as usize..numbers.end as usize].to_vec()
    };
    let raw = select_grasps(&target, &raw_sampler, settings.count, &mut draw, |_| ());
    let filtered = select_grasps(
        &target,
        &settings.sampler,
        settings.count,
        &mut draw,
        |_| (),
    );
    let data = antipodal_grasps(
        &*object.solid,
        &object.contacts,
        gripper,
        &settings.antipodal,
        2 * settings.count,
        DATA_SEED ^ object.seed,
    );
    let judge = Judge::new(&*object.solid, gripper);
    let tally = |grasps: &[Grasp]| judge.tally(grasps.iter().map(|g| &g.object_from_gripper));
    let is_free = |grasp: &&Grasp| {
        !gripper_collides(
            &surface,
            &grasp.object_from_gripper,
            gripper,
            gripper.max_opening_m,
            -settings.sampler.tolerance_m,
        )
    };
    let free: Vec<Grasp> = raw.iter().filter(is_free).copied().collect();
    let poses: Vec<Pose> = raw.iter().map(|g| g.object_from_gripper).collect();
    Ok(ObjectEvaluation {
        raw_tally: tally(&raw),
        free_tally: tally(&free),
        filtered_tally: tally(&filtered),
        best_tally: tally(&raw[..raw.len().min(BEST)]),
        data_tally: judge.tally(&data),
        likeness: Likeness::new(&poses, &reference(&object.known, &data)),
        object,
        raw,
        filtered,
        data,
    })
}

/// The grasps that samples are compared with: those that a data set brings, in any order, else the generator's.
fn reference(known: &[Pose], generated: &[Pose]) -> Vec<Pose> {
    if known.is_empty() {
        return generated.to_vec();
    }
    let mut known = known.to_vec();
    // A data set may list its grasps in an order that says something, and the two halves must not differ.
    known.shuffle(&mut Pcg64Mcg::seed_from_u64(DATA_SEED));
    known
}

/// Shares over all samples of all objects of a category. `relative`: divided by the success of the data's own grasps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GraspScores {
    pub category: String,
    pub objects: usize,
    pub first_object: u64,
    pub seed: u64,
    /// Raw samples in all.
    pub n: usize,
    /// Closing contact inside the cone and no collision: raw samples, with its standard error over objects.
    pub success: f64,
    pub success_se: f64,
    pub success_relative: f64,
    /// Open gripper in collision: raw samples.
    pub collision: f64,
    /// Raw samples that are free of collision but do not hold.
    pub no_contact: f64,
    /// Raw samples that pass the collision filter alone.
    pub n_free: usize,
    pub success_free_relative: f64,
    /// After collision and contact filter and removal of twins: what a user gets.
    pub n_filtered: usize,
    pub success_filtered: f64,
    pub success_filtered_relative: f64,
    pub collision_filtered: f64,
    /// The twenty raw samples of each object with the lowest energy.
    pub success_best20: f64,
    pub success_best20_relative: f64,
    /// Success of the data's own grasps under the same judge.
    pub data_success: f64,
    /// Grasps in each set of the comparisons below, on an average object.
    pub n_compared: f64,
    pub emd_paper: f64,
    pub emd_floor: f64,
    pub emd_released_code: f64,
    pub emd_released_code_floor: f64,
    pub emd_geodesic: f64,
    pub emd_geodesic_floor: f64,
    pub coverage: f64,
    pub coverage_floor: f64,
}

impl GraspScores {
    /// Sums the objects of a category up.
    pub fn new(
        category: &str,
        settings: &EvaluationSettings,
        objects: &[ObjectEvaluation],
    ) -> Self {
        let total = |tally: fn(&ObjectEvaluation) -> &Tally| {
            objects.iter().fold(Tally::default(), |mut sum, object| {
                sum.add(tally(object));
                sum
            })
        };
        let (raw, free) = (total(|o| &o.raw_tally), total(|o| &o.free_tally));
        let filtered = total(|o| &o.filtered_tally);
        let (best, data) = (total(|o| &o.best_tally), total(|o| &o.data_tally));
        let relative = |tally: &Tally| match data.held {
            // Nothing to measure by.
            0 => f64::NAN,
            _ => tally.success() / data.success(),
        };
        let rates: Vec<f64> = objects.iter().map(|o| o.raw_tally.success()).collect();
        let likeness: Vec<Likeness> = objects.iter().filter_map(|o| o.likeness).collect();
        let mean = |value: fn(&Likeness) -> f64| mean(likeness.iter().map(value));
        Self {
            category: category.into(),
            objects: objects.len(),
            first_object: settings.first_object,
            seed: settings.seed,
            n: raw.n,
            success: raw.success(),
            success_se: standard_error(&rates),
            success_relative: relative(&raw),
            collision: raw.collision(),
            no_contact: 1.0 - raw.success() - raw.collision(),
            n_free: free.n,
            success_free_relative: relative(&free),
            n_filtered: filtered.n,
            success_filtered: filtered.success(),
            success_filtered_relative: relative(&filtered),
            collision_filtered: filtered.collision(),
            success_best20: best.success(),
            success_best20_relative: relative(&best),
            data_success: data.success(),
            n_compared: mean(|l| l.n as f64),
            emd_paper: mean(|l| l.emd[0]),
            emd_floor: mean(|l| l.emd_floor[0]),
            emd_released_code: mean(|l| l.emd[1]),
            emd_released_code_floor: mean(|l| l.emd_floor[1]),
            emd_geodesic: mean(|l| l.emd[2]),
            emd_geodesic_floor: mean(|l| l.emd_floor[2]),
            coverage: mean(|l| l.coverage),
            coverage_floor: mean(|l| l.coverage_floor),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), x| (sum + x, count + 1));
    sum / f64::from(count.max(1))
}

fn standard_error(values: &[f64]) -> f64 {
    let mean = mean(values.iter().copied());
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (squares / (values.len().max(2) - 1) as f64 / values.len().max(1) as f64).sqrt()
}

/// Evaluates procedural objects of a category, as [`evaluate_row`].
///
/// # Errors
/// [`ObjectError`] if none of them can be grasped.
pub fn evaluate_category(
    source: &dyn GraspSource,
    category: Category,
    settings: &EvaluationSettings,
    done: impl FnMut(&ObjectEvaluation),
) -> Result<GraspScores, ObjectError> {
    let seeds = (0..settings.objects as u64).map(|number| settings.first_object + number);
    let objects = seeds.map(|seed| Subject::procedural(category, seed));
    evaluate_row(source, category.name(), objects, settings, done)
}

/// Evaluates objects one after another and sums them up in a row; those that cannot be grasped are left out.
///
/// `done` is called after each object with its result.
///
/// # Errors
/// [`ObjectError`] if none of them can be grasped.
pub fn evaluate_row(
    source: &dyn GraspSource,
    category: &str,
    objects: impl IntoIterator<Item = Subject>,
    settings: &EvaluationSettings,
    mut done: impl FnMut(&ObjectEvaluation),
) -> Result<GraspScores, ObjectError> {
    let mut evaluated = Vec::new();
    let mut refused = None;
    for (number, object) in objects.into_iter().enumerate() {
        match evaluate_object(source, object, number as u64, settings) {
            Ok(object) => {
                done(&object);
                evaluated.push(object);
            }
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if evaluated.is_empty() => Err(error),
        _ => Ok(GraspScores::new(category, settings, &evaluated)),
    }
}
