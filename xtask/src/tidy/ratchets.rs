//! Gates that only tighten: what stands above one is listed with a number that may only fall.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Finding;
use super::tree::Tree;
use crate::place;
use crate::process;

/// Where the gates and the exceptions are declared.
pub(crate) const FILE: &str = "docs/ratchets.toml";

/// One exception: how large a thing may be, and why it is.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    pub(crate) max: usize,
    pub(crate) why: String,
}

/// The limits of the house, in lines and modules.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gates {
    pub(crate) file_lines: usize,
    pub(crate) function_lines: usize,
    pub(crate) test_module_lines: usize,
    pub(crate) folder_modules: usize,
}

type Exceptions = BTreeMap<String, Exception>;

/// The whole file.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ratchets {
    pub(crate) gates: Gates,
    /// Folders that hold one list of equal things, with the reason.
    #[serde(default)]
    pub(crate) lists: BTreeMap<String, String>,
    /// Files that are declared tables, with the reason.
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) file_lines: Exceptions,
    #[serde(default)]
    pub(crate) function_lines: Exceptions,
    #[serde(default)]
    pub(crate) test_module_lines: Exceptions,
    #[serde(default)]
    pub(crate) folder_modules: Exceptions,
}

impl Ratchets {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).with_context(|| format!("{FILE} is not as expected"))
    }

    pub(crate) fn of(tree: &Tree) -> Result<Self> {
        Self::parse(
            tree.files
                .get(FILE)
                .with_context(|| format!("{FILE} is missing"))?,
        )
    }

    fn all(&self) -> [(&'static str, &Exceptions); 4] {
        [
            ("file_lines", &self.file_lines),
            ("function_lines", &self.function_lines),
            ("test_module_lines", &self.test_module_lines),
            ("folder_modules", &self.folder_modules),
        ]
    }

    /// Entries without a reason, and entries that point at nothing in `tree`.
    pub(crate) fn hollow(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        let reasons = self
            .lists
            .iter()
            .chain(&self.tables)
            .map(|(key, why)| (key, why.as_str()));
        let entries = self.all().into_iter().flat_map(|(_, entries)| entries);
        let entries = entries.map(|(key, entry)| (key, entry.why.as_str()));
        for (key, why) in reasons.chain(entries) {
            if why.trim().is_empty() {
                findings.push(Finding::new(FILE, format!("`{key}` has no reason")));
            }
            let path = key.split("::").next().unwrap_or(key);
            if !tree
                .files
                .keys()
                .any(|file| file == path || file.starts_with(&format!("{path}/")))
            {
                findings.push(Finding::new(
                    FILE,
                    format!("`{key}` is gone; remove the entry"),
                ));
            }
        }
        findings
    }

    /// Entries that stand higher than in an earlier version of the file.
    pub(crate) fn raised(&self, earlier: &Self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for ((table, now), (_, before)) in self.all().into_iter().zip(earlier.all()) {
            for (key, entry) in now {
                if let Some(old) = before.get(key).filter(|old| old.max < entry.max) {
                    let what = format!(
                        "{table} of `{key}` rose from {} to {}; numbers here only fall",
                        old.max, entry.max
                    );
                    findings.push(Finding::new(FILE, what));
                }
            }
        }
        findings
    }
}

/// Holds measured sizes against a gate and its exceptions.
pub(crate) fn hold(
    measured: &BTreeMap<String, usize>,
    gate: usize,
    exceptions: &Exceptions,
    unit: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, &size) in measured {
        let allowed = exceptions
            .get(key)
            .map_or(gate, |entry| entry.max.max(gate));
        if size > allowed {
            findings.push(Finding::new(
                key,
                format!("{size} {unit}; the gate is {allowed}"),
            ));
        }
    }
    for (key, entry) in exceptions {
        match measured.get(key) {
            Some(&size) if size <= gate => {
                let what = format!("`{key}` has {size} {unit}, under the gate; remove the entry");
                findings.push(Finding::new(FILE, what));
            }
            Some(&size) if size < entry.max => {
                let what = format!("`{key}` has {size} {unit}; lower its entry to that");
                findings.push(Finding::new(FILE, what));
            }
            Some(_) => {}
            None => {
                let what = format!("`{key}` is not measured any more; remove the entry");
                findings.push(Finding::new(FILE, what));
            }
        }
    }
    findings
}

/// Earlier versions of the file that git still has, newest first.
pub(crate) fn history() -> Result<Vec<Ratchets>> {
    let git = |args: &[&str]| process::read(&mut process::command(place::root(), "git", args));
    let commits = git(&["log", "--format=%H", "--", FILE])?;
    let mut versions = Vec::new();
    for commit in commits.lines() {
        // A commit may have removed the file, or held an older shape of it: no number to compare.
        let Ok(text) = git(&["show", &format!("{commit}:{FILE}")]) else {
            continue;
        };
        versions.extend(Ratchets::parse(&text).ok());
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(max: usize) -> Exceptions {
        [(
            "x.rs".to_owned(),
            Exception {
                max,
                why: "old".into(),
            },
        )]
        .into()
    }

    fn measured(size: usize) -> BTreeMap<String, usize> {
        [("x.rs".to_owned(), size)].into()
    }

    #[test]
    fn a_gate_holds_without_and_with_an_exception() {
        assert!(hold(&measured(10), 10, &Exceptions::new(), "lines").is_empty());
        assert_eq!(
            hold(&measured(11), 10, &Exceptions::new(), "lines").len(),
            1
        );
        assert!(hold(&measured(15), 10, &entry(15), "lines").is_empty());
        assert_eq!(hold(&measured(16), 10, &entry(15), "lines").len(), 1);
    }

    #[test]
    fn an_exception_must_be_lowered_and_then_removed() {
        assert!(
            hold(&measured(12), 10, &entry(15), "lines")[0]
                .what
                .contains("lower")
        );
        assert!(
            hold(&measured(9), 10, &entry(15), "lines")[0]
                .what
                .contains("remove")
        );
        assert!(
            hold(&BTreeMap::new(), 10, &entry(15), "lines")[0]
                .what
                .contains("remove")
        );
    }

    #[test]
    fn an_exception_may_not_rise() {
        let old = Ratchets {
            file_lines: entry(15),
            ..Ratchets::default()
        };
        let new = Ratchets {
            file_lines: entry(16),
            ..Ratchets::default()
        };
        assert_eq!(new.raised(&old).len(), 1);
        assert!(old.raised(&new).is_empty());
    }

    #[test]
    fn an_exception_needs_a_reason_and_a_place() {
        let tree = Tree::from_pairs(&[("x.rs", "")]);
        let mut ratchets = Ratchets {
            file_lines: entry(15),
            ..Ratchets::default()
        };
        assert!(ratchets.hollow(&tree).is_empty());
        ratchets.file_lines.insert(
            "y.rs".into(),
            Exception {
                max: 1,
                why: " ".into(),
            },
        );
        assert_eq!(ratchets.hollow(&tree).len(), 2);
    }
}
