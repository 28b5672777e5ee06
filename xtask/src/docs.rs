//! Pages that are written by the code they describe.

use std::fs;

use anyhow::{Context, Result};

use crate::place;
use crate::process::{self, cargo, say};
use crate::tidy::Finding;

/// A page and the example program that prints it.
struct Page {
    path: &'static str,
    package: &'static str,
    example: &'static str,
}

/// Everything generated that is kept in git.
const PAGES: &[Page] = &[
    Page {
        path: "docs/settings.md",
        package: "freshet-settings",
        example: "settings_page",
    },
    Page {
        path: "docs/apis.md",
        package: "freshet-server",
        example: "apis_page",
    },
    Page {
        path: "docs/faults.md",
        package: "freshet-tests",
        example: "faults_page",
    },
];

impl Page {
    fn print(&self) -> Result<String> {
        let args = [
            "run",
            "--quiet",
            "--package",
            self.package,
            "--example",
            self.example,
        ];
        process::read(&mut cargo(place::root(), &args))
            .with_context(|| format!("cannot generate {}", self.path))
    }
}

/// `cargo xtask docs`: writes each page.
pub(crate) fn run() -> Result<()> {
    for page in PAGES {
        say(&format!("writing {}", page.path));
        let text = page.print()?;
        fs::write(place::root().join(page.path), text)
            .with_context(|| format!("cannot write {}", page.path))?;
    }
    Ok(())
}

/// Pages whose kept text is not what the code says now.
pub(crate) fn stale() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for page in PAGES {
        let kept = fs::read_to_string(place::root().join(page.path)).unwrap_or_default();
        findings.extend(compare(page.path, &kept, &page.print()?));
    }
    Ok(findings)
}

fn compare(path: &str, kept: &str, now: &str) -> Option<Finding> {
    let what = "is not what the code says; run `cargo xtask docs`";
    (kept != now).then(|| Finding::new(path, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_page_is_found() {
        assert!(compare("a.md", "old", "new").is_some());
        assert!(compare("a.md", "new", "new").is_none());
    }
}
