//! How each peer is installed.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{self, command};

/// One peer: what says its versions, the programs that install it, and how they do.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    /// The files under `tests/peers/<name>` that a new installation follows from.
    pub(crate) manifests: &'static [&'static str],
    pub(crate) programs: &'static [&'static str],
    /// Installs what the manifests (in the first folder) say into the second folder, which is empty.
    pub(crate) install: fn(&Path, &Path) -> Result<()>,
}

pub(crate) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "java",
        manifests: &["pom.xml"],
        programs: &["java", "javac", "mvn"],
        install: java,
    },
    Recipe {
        name: "python",
        manifests: &["requirements.txt"],
        programs: &["python3"],
        install: python,
    },
    Recipe {
        name: "go",
        manifests: &["go.mod", "go.sum"],
        programs: &["go"],
        install: go,
    },
    Recipe {
        name: "node",
        manifests: &["package.json", "package-lock.json"],
        programs: &["node", "npm"],
        install: node,
    },
    Recipe {
        name: "s3",
        manifests: &["go.mod", "go.sum"],
        programs: &["go"],
        install: s3,
    },
    Recipe {
        name: "azure",
        manifests: &["package.json", "package-lock.json"],
        programs: &["node", "npm"],
        install: node,
    },
    Recipe {
        name: "gcs",
        manifests: &["go.mod", "go.sum", "main.go", "account.go"],
        programs: &["go"],
        install: gcs,
    },
];

/// The jars of the pom and all that they need, in one flat folder: a class path of `folder/*`.
fn java(sources: &Path, folder: &Path) -> Result<()> {
    let output = format!("-DoutputDirectory={}", folder.display());
    let goal = "dependency:copy-dependencies";
    let args = [
        "--batch-mode",
        "--no-transfer-progress",
        goal,
        &output,
        "-DincludeScope=runtime",
    ];
    process::run(&mut command(sources, "mvn", &args)).map(drop)
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

/// A module cache; the tests build their program from it without a network.
fn go(sources: &Path, folder: &Path) -> Result<()> {
    let mut download = command(sources, "go", &["mod", "download"]);
    // Go makes its cache read-only unless told otherwise, and then nobody can remove it.
    download
        .env("GOMODCACHE", folder)
        .env("GOFLAGS", "-modcacherw");
    process::run(&mut download).map(drop)
}

/// `node_modules` as the lock file says.
fn node(sources: &Path, folder: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json"] {
        fs::copy(sources.join(file), folder.join(file))
            .with_context(|| format!("{} has no {file}", sources.display()))?;
    }
    process::run(&mut command(
        folder,
        "npm",
        &["ci", "--no-audit", "--no-fund"],
    ))
    .map(drop)
}

/// The S3 server.
fn s3(sources: &Path, folder: &Path) -> Result<()> {
    let server = "github.com/versity/versitygw/cmd/versitygw";
    go_program(sources, server, &folder.join("bin/versitygw"))
}

/// What speaks as Google's does, before the S3 server.
fn gcs(sources: &Path, folder: &Path) -> Result<()> {
    go_program(sources, ".", &folder.join("bin/gcs"))
}

/// A package as one program; what it was built from is not needed again.
fn go_program(sources: &Path, package: &str, program: &Path) -> Result<()> {
    let folder = program.parent().context("a program is in a folder")?;
    let program = program
        .to_str()
        .context("the cache has a name that is no text")?;
    let (modules, objects) = (folder.join("modules"), folder.join("objects"));
    let mut build = command(sources, "go", &["build", "-o", program, package]);
    build
        .env("GOMODCACHE", &modules)
        .env("GOCACHE", &objects)
        .env("GOFLAGS", "-modcacherw -mod=readonly -buildvcs=false");
    process::run(&mut build)?;
    for used in [modules, objects] {
        fs::remove_dir_all(&used).with_context(|| format!("cannot remove {}", used.display()))?;
    }
    Ok(())
}
