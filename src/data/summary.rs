//! What is in a folder of grasp files, by category.

use std::collections::BTreeMap;

use serde::Serialize;

use super::grasp_file::GraspFile;
use crate::field::Failure;

/// Counts over the objects of a category.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CategorySummary {
    pub objects: usize,
    /// Objects without any grasp that holds.
    pub ungraspable: usize,
    pub holding: usize,
    pub failing: usize,
    /// Failing grasps by reason.
    pub failures: BTreeMap<Failure, usize>,
    /// Share of candidates that hold: how graspable the category is; none where nobody counted.
    pub candidates_holding_share: Option<f64>,
    /// Least and largest radius about the middle of the bounding box, m.
    pub radius_m: [f64; 2],
    #[serde(skip)]
    candidates: [usize; 2],
}

/// Sums the files up, by category.
pub fn summarize<'a>(
    files: impl IntoIterator<Item = &'a GraspFile>,
) -> BTreeMap<String, CategorySummary> {
    let mut all: BTreeMap<String, CategorySummary> = BTreeMap::new();
    for file in files {
        let radius = file.radius_m();
        let sum = all.entry(file.about.category.clone()).or_default();
        sum.radius_m = match sum.objects {
            0 => [radius; 2],
            _ => [sum.radius_m[0].min(radius), sum.radius_m[1].max(radius)],
        };
        sum.objects += 1;
        sum.ungraspable += usize::from(file.holding.is_empty());
        sum.holding += file.holding.len();
        sum.failing += file.failing.len();
        for (_, why) in &file.failing {
            *sum.failures.entry(*why).or_default() += 1;
        }
        sum.candidates[0] += file.about.candidates_holding;
        sum.candidates[1] += file.about.candidates;
        sum.candidates_holding_share =
            (sum.candidates[1] > 0).then(|| sum.candidates[0] as f64 / sum.candidates[1] as f64);
    }
    all
}
