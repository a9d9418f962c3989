//! What a run writes down as it goes: tables of numbers in its folder, drawn as curves.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::trainer::TrainingError;
use crate::picture::curves::{draw, Panel, Table};

/// The tables of a run's folder.
pub(super) struct Record {
    folder: PathBuf,
}

impl Record {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Appends a row to a table, with step and time before it.
    pub(super) fn append(
        &self,
        file: &str,
        step: u64,
        trained_s: f64,
        columns: &str,
        row: &str,
    ) -> Result<(), TrainingError> {
        let path = self.folder.join(file);
        let is_new = !path.exists();
        let append = || {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)?;
            if is_new {
                writeln!(file, "step,trained_s,{columns}")?;
            }
            writeln!(file, "{step},{trained_s:.1},{row}")
        };
        append().map_err(|source| TrainingError::Io {
            path: path.clone(),
            source,
        })
    }

    /// Draws what `curves.csv` and `samples.csv` hold so far.
    pub(super) fn draw(&self) -> Result<(), TrainingError> {
        let table = |file: &str| {
            let text = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
            Table::from_csv(&text)
        };
        let (losses, samples) = (table("curves.csv"), table("samples.csv"));
        let by_level = [
            "score_loss",
            "held_out_q1",
            "held_out_q2",
            "held_out_q3",
            "held_out_q4",
        ];
        let panel = |title, table, columns| Panel {
            title,
            table,
            over: "step",
            columns,
            logarithmic: [false; 2],
        };
        let sampled = ["success", "collision", "emd", "emd_floor"];
        let picture = draw(&[
            panel("losses over steps", &losses, &by_level),
            panel("samples over steps", &samples, &sampled),
        ]);
        let path = self.folder.join("curves.svg");
        std::fs::write(&path, picture).map_err(|source| TrainingError::Io { path, source })
    }
}
