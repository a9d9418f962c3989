//! A folder's summary as table, JSON and pictures.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use diffusion_field_planner::data::{load_folder, summarize};
use diffusion_field_planner::field::Failure;
use serde_json::json;

use crate::tiles::{self, Tile};

/// Prints the summary of a folder, writes it there as `summary.json` and draws one object of each category.
pub fn print(folder: &Path, pictures: Option<&Path>, as_json: bool) -> Result<()> {
    let (files, bad) = load_folder(folder)?;
    let summary = summarize(&files);
    let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
    let whole = json!({ "categories": summary, "unreadable": bad });
    let path = folder.join("summary.json");
    std::fs::write(&path, serde_json::to_string_pretty(&whole)?)
        .with_context(|| format!("writing {}", path.display()))?;
    if let Some(path) = pictures {
        let graspable = files.iter().filter(|f| !f.holding.is_empty());
        let mut first = BTreeMap::new();
        for file in graspable {
            first.entry(&file.about.category).or_insert(file);
        }
        let tiles: Vec<Tile> = first.into_values().map(Tile::of_file).collect();
        tiles::save(path, &tiles)?;
    }
    for problem in &bad {
        eprintln!("warning: skipped {problem}");
    }
    if as_json {
        println!("{whole}");
        return Ok(());
    }
    println!(
        "{:<10} {:>7} {:>11} {:>8} {:>8} {:>9} {:>7} {:>6} {:>6} {:>13} {:>14}",
        "category",
        "objects",
        "ungraspable",
        "holding",
        "failing",
        "collides",
        "misses",
        "slips",
        "drops",
        "hold of tried",
        "radius m"
    );
    for (category, s) in &summary {
        let count = |why| s.failures.get(&why).copied().unwrap_or(0);
        let share = s
            .candidates_holding_share
            .map_or("-".into(), |x| format!("{x:.4}"));
        println!(
            "{:<10} {:>7} {:>11} {:>8} {:>8} {:>9} {:>7} {:>6} {:>6} {:>13} {:>6.3}..{:.3}",
            category,
            s.objects,
            s.ungraspable,
            s.holding,
            s.failing,
            count(Failure::Collides),
            count(Failure::Misses),
            count(Failure::Slips),
            count(Failure::Drops),
            share,
            s.radius_m[0],
            s.radius_m[1]
        );
    }
    let total = |each: fn(&diffusion_field_planner::data::CategorySummary) -> usize| {
        summary.values().map(each).sum::<usize>()
    };
    println!(
        "{} objects, {} grasps that hold, {} that fail",
        total(|s| s.objects),
        total(|s| s.holding),
        total(|s| s.failing)
    );
    Ok(())
}
