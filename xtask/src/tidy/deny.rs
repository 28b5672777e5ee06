//! Licences, sources and bans of what we depend on, through `cargo-deny`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Finding;
use super::outside::ask;
use crate::place;
use crate::process::{self, cargo, command, say};

/// The pinned version; a newer one may know more and complain about more.
const VERSION: &str = "0.20.2";

pub(crate) fn check() -> Result<Vec<Finding>> {
    let tool = tool()?;
    let tool = tool
        .to_str()
        .context("the cache has a name that is no text")?;
    let args = [
        "--offline",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "sources",
        "bans",
    ];
    let mut findings = ask("cargo deny", &mut command(place::root(), tool, &args))?;
    findings.extend(advisories(tool)?);
    Ok(findings)
}

/// Known weaknesses. Their database is a Git repository that not every network reaches; being
/// unable to ask is told on screen and is no finding.
fn advisories(tool: &str) -> Result<Vec<Finding>> {
    let fetched = process::read(&mut command(place::root(), tool, &["fetch", "db"]));
    if let Err(error) = fetched {
        say("SKIPPED: security advisories were NOT checked, their database cannot be reached");
        eprintln!("    {error:#}");
        return Ok(Vec::new());
    }
    let args = ["--offline", "check", "--hide-inclusion-graph", "advisories"];
    ask(
        "cargo deny advisories",
        &mut command(place::root(), tool, &args),
    )
}

/// The path of cargo-deny, installed into the cache if it is not there.
fn tool() -> Result<PathBuf> {
    let root = place::cache()
        .join("tools")
        .join(format!("cargo-deny-{VERSION}"));
    let tool = root.join("bin/cargo-deny");
    if !tool.is_file() {
        say("installing cargo-deny into the cache; this takes a few minutes once");
        let folder = root
            .to_str()
            .context("the cache has a name that is no text")?;
        let version = format!("cargo-deny@{VERSION}");
        let args = ["install", "--locked", "--root", folder, &version];
        process::run(cargo(place::root(), &args).env("CARGO_TARGET_DIR", root.join("target")))?;
        // What it was built from is not needed again.
        std::fs::remove_dir_all(root.join("target")).context("cannot clean up after cargo-deny")?;
    }
    Ok(tool)
}
