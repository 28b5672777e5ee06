//! Rules that other tools hold: the formatter and the linter.

use std::process::Command;

use anyhow::Result;

use super::Finding;
use crate::place;
use crate::process::{self, cargo};

pub(crate) fn fmt() -> Result<Vec<Finding>> {
    ask(
        "cargo fmt",
        &mut cargo(place::root(), &["fmt", "--all", "--", "--check", "-l"]),
    )
}

pub(crate) fn clippy() -> Result<Vec<Finding>> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    ask("cargo clippy", &mut cargo(place::root(), &args))
}

/// A tool's exit code as a rule: what it found is on the screen already.
pub(crate) fn ask(name: &str, command: &mut Command) -> Result<Vec<Finding>> {
    let fine = process::watch(command, |_| ())?;
    Ok(if fine {
        Vec::new()
    } else {
        vec![Finding::new(name, "see its output above")]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_fails_is_a_finding() {
        assert!(ask("true", &mut Command::new("true")).is_ok_and(|f| f.is_empty()));
        assert!(ask("false", &mut Command::new("false")).is_ok_and(|f| f.len() == 1));
    }
}
