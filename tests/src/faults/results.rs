//! How often trials ran, and how it ended.
//!
//! Every run adds lines to a file in the target folder. `cargo xtask faults` folds them into the
//! results that are kept in git, from which the page is written.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One trial that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The trial.
    pub trial: String,
    /// Its seed.
    pub seed: u64,
    /// Whether it passed.
    pub passed: bool,
    /// The day, as `2026-11-21`.
    pub day: String,
}

/// What is kept of all runs of one trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Runs that passed since the last one that did not.
    pub passed_since: u64,
    /// All runs.
    pub runs: u64,
    /// The last run.
    pub last: Option<Outcome>,
}

/// Where runs are noted: the environment says it, else nowhere.
fn notes() -> Option<PathBuf> {
    env::var_os("FRESHET_TRIALS").map(PathBuf::from)
}

/// Notes that a trial ran. Nobody waits for it: a note that cannot be written is told and lost.
pub(crate) fn note(trial: &str, seed: u64, passed: bool) {
    let Some(path) = notes() else { return };
    let outcome = Outcome {
        trial: trial.into(),
        seed,
        passed,
        day: today(),
    };
    let written = serde_json::to_string(&outcome).map_err(anyhow::Error::from);
    let written = written.and_then(|line| {
        let mut file = File::options().create(true).append(true).open(&path)?;
        // In one write: two parts of the trials may run side by side.
        Ok(file.write_all(format!("{line}\n").as_bytes())?)
    });
    if let Err(why) = written {
        eprintln!("cannot note the outcome in {}: {why:#}", path.display());
    }
}

/// Adds the lines of `notes` to what is kept in `kept`, and removes `notes`.
pub fn fold(notes: &Path, kept: &Path) -> Result<usize> {
    let told = |path: &Path| format!("reading {}", path.display());
    let mut all: BTreeMap<String, Kept> = match fs::read_to_string(kept) {
        Ok(text) => serde_json::from_str(&text).with_context(|| told(kept))?,
        Err(_) => BTreeMap::new(),
    };
    let lines = fs::read_to_string(notes).unwrap_or_default();
    let mut count = 0;
    for line in lines.lines() {
        let outcome: Outcome = serde_json::from_str(line).with_context(|| told(notes))?;
        add(all.entry(outcome.trial.clone()).or_default(), outcome);
        count += 1;
    }
    let mut text = serde_json::to_string_pretty(&all)?;
    text.push('\n');
    fs::write(kept, text)?;
    if count > 0 {
        fs::remove_file(notes)?;
    }
    Ok(count)
}

pub(super) fn add(kept: &mut Kept, outcome: Outcome) {
    kept.runs += 1;
    kept.passed_since = if outcome.passed {
        kept.passed_since + 1
    } else {
        0
    };
    kept.last = Some(outcome);
}

/// Today in UTC, by the rule of civil days from the count of days since 1970.
fn today() -> String {
    day(crate::raw::now_ms().div_euclid(86_400_000))
}

/// The Gregorian date of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date
/// algorithms").
pub(crate) fn day(since_1970: i64) -> String {
    let shifted = since_1970 + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}
