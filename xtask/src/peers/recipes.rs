//! How each peer is installed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{self, command};

/// One peer: the programs it needs, and how its sources become something that runs.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) programs: &'static [&'static str],
    /// Installs from the sources (first) into the cache folder (second).
    pub(crate) install: fn(&Path, &Path) -> Result<()>,
    /// Makes the checkout see what is installed; runs each time, because a checkout may be new
    /// while the cache is old.
    pub(crate) join: fn(&Path, &Path) -> Result<()>,
}

pub(crate) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "java",
        programs: &["java", "javac", "mvn"],
        install: java,
        join: nothing,
    },
    Recipe {
        name: "python",
        programs: &["python3"],
        install: python,
        join: nothing,
    },
    Recipe {
        name: "go",
        programs: &["go"],
        install: go,
        join: nothing,
    },
    Recipe {
        name: "node",
        programs: &["node", "npm"],
        install: node,
        join: join_node,
    },
];

fn nothing(_: &Path, _: &Path) -> Result<()> {
    Ok(())
}

/// All jars of the pom into `lib/`, our own programs into `classes/`.
fn java(sources: &Path, folder: &Path) -> Result<()> {
    let lib = fresh(folder, "lib")?;
    let classes = fresh(folder, "classes")?;
    let output = format!("-DoutputDirectory={}", lib.display());
    let goal = "dependency:copy-dependencies";
    let args = [
        "--batch-mode",
        "--no-transfer-progress",
        goal,
        &output,
        "-DincludeScope=runtime",
    ];
    process::run(&mut command(sources, "mvn", &args))?;
    let mut args = vec!["-d".into(), classes.into_os_string()];
    args.extend(["-cp".into(), lib.join("*").into_os_string()]);
    let listing = fs::read_dir(sources.join("src")).context("tests/peers/java/src is missing")?;
    for entry in listing {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("java")) {
            args.push(path.into_os_string());
        }
    }
    process::run(&mut command(sources, "javac", &args)).map(drop)
}

/// A virtual environment in the folder itself.
fn python(sources: &Path, folder: &Path) -> Result<()> {
    let args = [
        OsStr::new("-m"),
        OsStr::new("venv"),
        OsStr::new("--clear"),
        folder.as_os_str(),
    ];
    process::run(&mut command(sources, "python3", &args))?;
    let python = folder.join("bin/python");
    let python = python
        .to_str()
        .context("the cache has a name that is no text")?;
    let args = [
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "-r",
        "requirements.txt",
    ];
    process::run(&mut command(sources, python, &args)).map(drop)
}

/// One program, `peer`.
fn go(sources: &Path, folder: &Path) -> Result<()> {
    let program = folder.join("peer");
    let args = [
        OsStr::new("build"),
        OsStr::new("-o"),
        program.as_os_str(),
        OsStr::new("."),
    ];
    process::run(command(sources, "go", &args).env("GOFLAGS", "-mod=readonly")).map(drop)
}

/// `node_modules` as the lock file says.
fn node(sources: &Path, folder: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json"] {
        fs::copy(sources.join(file), folder.join(file))
            .with_context(|| format!("tests/peers/node/{file} is missing"))?;
    }
    process::run(&mut command(
        folder,
        "npm",
        &["ci", "--no-audit", "--no-fund"],
    ))
    .map(drop)
}

/// Node looks for modules beside the program: a link there leads to the cache.
fn join_node(sources: &Path, folder: &Path) -> Result<()> {
    let link = sources.join("node_modules");
    let goal = folder.join("node_modules");
    if fs::read_link(&link).is_ok_and(|found| found == goal) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        fs::remove_file(&link).context("cannot remove the old link to node_modules")?;
    }
    symlink(&goal, &link).with_context(|| format!("cannot make the link {}", link.display()))
}

/// An empty folder called `name` in `folder`.
fn fresh(folder: &Path, name: &str) -> Result<std::path::PathBuf> {
    let path = folder.join(name);
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("cannot empty {}", path.display()))?;
    }
    fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}
