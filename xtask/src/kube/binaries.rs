//! The programs of a cluster, built from the modules under `xtask/kube`.
//!
//! Nobody offers Kubernetes as binaries to the registries that this project installs from, but all of it is
//! there as source. Building takes about ten minutes, once for each version.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::layout::Layout;
use crate::peers::stamp;
use crate::place;
use crate::process::{command, say};

/// A folder with a `go.mod`, and the programs that are built from it: name and package.
struct Module {
    name: &'static str,
    /// The files that its programs follow from.
    sources: &'static [&'static str],
    programs: &'static [(&'static str, &'static str)],
}

const MODULES: &[Module] = &[
    Module {
        name: "kubernetes",
        sources: &["go.mod", "go.sum"],
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            (
                "kube-controller-manager",
                "k8s.io/kubernetes/cmd/kube-controller-manager",
            ),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
            ("etcd", "go.etcd.io/etcd/server/v3"),
        ],
    },
    Module {
        name: "coredns",
        sources: &["go.mod", "go.sum", "main.go"],
        programs: &[("coredns", ".")],
    },
    Module {
        name: "volumes",
        sources: &["go.mod", "go.sum", "main.go"],
        programs: &[("volumes", ".")],
    },
    Module {
        name: "helm",
        sources: &["go.mod", "go.sum"],
        programs: &[("helm", "helm.sh/helm/v3/cmd/helm")],
    },
    Module {
        name: "pause",
        sources: &["go.mod", "main.go"],
        programs: &[("pause", ".")],
    },
];

/// How often a long build says that it is still at it.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Whether everything is there, built from what is in the checkout.
pub(crate) fn built(layout: &Layout) -> Result<bool> {
    for module in MODULES {
        if !current(layout, module)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Builds what is not there or was built from something else.
pub(crate) fn build(layout: &Layout) -> Result<()> {
    let mut stale = Vec::new();
    for module in MODULES {
        if !current(layout, module)? {
            stale.push(module);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    let start = Instant::now();
    let all: usize = stale.iter().map(|module| module.programs.len()).sum();
    say(&format!(
        "building {all} programs of the cluster from source"
    ));
    fs::create_dir_all(layout.bin()).context("cannot make a folder for programs")?;
    let mut at = 0;
    for module in stale {
        let stamps = stamps(layout, module);
        // Without its stamp, a module that is cut short is not taken for a whole one.
        if stamps.exists() {
            fs::remove_dir_all(&stamps).context("cannot remove a stamp")?;
        }
        for (program, package) in module.programs {
            at += 1;
            go(
                layout,
                module,
                program,
                package,
                &format!("kube build {at}/{all}: {program}"),
            )?;
        }
        fs::create_dir_all(&stamps).context("cannot make a folder for stamps")?;
        stamp::write(&stamps, &wanted(module)?)?;
    }
    // Nine gigabytes, which only the next version would want a part of.
    say("removing what the programs were built from");
    let _ = fs::remove_file(log(layout));
    fs::remove_dir_all(go_cache(layout))
        .context("cannot remove what the programs were built from")?;
    say(&format!(
        "programs built in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn current(layout: &Layout, module: &Module) -> Result<bool> {
    let there = |(program, _): &(&str, &str)| layout.bin().join(program).is_file();
    let stamped = stamp::read(&stamps(layout, module))
        .is_some_and(|stamp| wanted(module).is_ok_and(|wanted| wanted == stamp));
    Ok(stamped && module.programs.iter().all(there))
}

fn stamps(layout: &Layout, module: &Module) -> std::path::PathBuf {
    layout.root().join("stamps").join(module.name)
}

fn go_cache(layout: &Layout) -> std::path::PathBuf {
    layout.root().join("go")
}

fn log(layout: &Layout) -> std::path::PathBuf {
    layout.root().join("build.log")
}

fn folder(module: &Module) -> std::path::PathBuf {
    place::root().join("xtask/kube").join(module.name)
}

/// The stamp that a module built now would get; other flags are other programs.
fn wanted(module: &Module) -> Result<String> {
    let sources = stamp::of(&folder(module), module.sources)?;
    Ok(format!("{sources} {}", linker_flags(module)?))
}

/// Symbols and paths of this machine stay out; Kubernetes is told its version, which it otherwise learns from
/// its own scripts.
fn linker_flags(module: &Module) -> Result<String> {
    let manifest = folder(module).join("go.mod");
    let manifest = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let mut flags = "-s -w".to_owned();
    if let Some(version) = required(&manifest, "k8s.io/kubernetes") {
        let mut parts = version.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next(), parts.next());
        let (major, minor) = major.zip(minor).context("a version has two parts")?;
        for (name, value) in [
            ("gitVersion", version),
            ("gitMajor", major),
            ("gitMinor", minor),
        ] {
            flags += &format!(" -X k8s.io/component-base/version.{name}={value}");
        }
    }
    Ok(flags)
}

/// The version of a module that a `go.mod` requires.
fn required<'a>(manifest: &'a str, module: &str) -> Option<&'a str> {
    let mut lines = manifest
        .lines()
        .map(|line| line.trim().trim_start_matches("require "));
    lines.find_map(|line| {
        line.strip_prefix(module)?
            .strip_prefix(' ')?
            .split(' ')
            .next()
    })
}

/// Builds one program.
fn go(
    layout: &Layout,
    module: &Module,
    program: &str,
    package: &str,
    progress: &str,
) -> Result<()> {
    let cache = go_cache(layout);
    let scratch = cache.join("scratch");
    fs::create_dir_all(&scratch).context("cannot make a folder to build in")?;
    let mut build = command(&folder(module), "go", &["build", "-trimpath", "-ldflags"]);
    build
        .arg(linker_flags(module)?)
        .arg("-o")
        .arg(layout.bin().join(program))
        .arg(package)
        .env("CGO_ENABLED", "0")
        .env("GOMODCACHE", cache.join("modules"))
        .env("GOCACHE", cache.join("objects"))
        // On the disk of the programs, for two reasons: linking takes a gigabyte, which a `/tmp` in memory may
        // not have; and a program that runs can be renamed over, but not written to.
        .env("GOTMPDIR", &scratch)
        // Go makes its cache read-only unless told otherwise, and then nobody can remove it.
        .env("GOFLAGS", "-modcacherw -mod=readonly -buildvcs=false");
    let start = Instant::now();
    if !patiently(&mut build, &log(layout), progress)? {
        let text = fs::read_to_string(log(layout)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!("{program} could not be built:\n{tail}");
    }
    say(&format!(
        "{progress}: {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Runs a command with its output in a file, and says now and then that it still runs.
fn patiently(command: &mut Command, log: &Path, progress: &str) -> Result<bool> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .context("cannot start go")?;
    let start = Instant::now();
    let mut told = start;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if told.elapsed() > HEARTBEAT {
            told = Instant::now();
            say(&format!(
                "{progress}: still building, {} s",
                start.elapsed().as_secs()
            ));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_version_is_found() {
        let manifest =
            "module x\n\nrequire (\n\tk8s.io/kubernetes-x v1.0.0\n\tk8s.io/kubernetes v1.36.3\n)\n";
        assert_eq!(required(manifest, "k8s.io/kubernetes"), Some("v1.36.3"));
        assert_eq!(
            required("require a.b/c v1.2.3 // indirect", "a.b/c"),
            Some("v1.2.3")
        );
        assert_eq!(required(manifest, "k8s.io/api"), None);
    }

    #[test]
    fn kubernetes_is_told_the_version_that_is_pinned() {
        let flags = linker_flags(&MODULES[0]).expect("flags");
        assert!(flags.contains("version.gitMinor=36"), "{flags}");
        let stamps: Vec<_> = MODULES
            .iter()
            .map(|module| wanted(module).expect("a stamp"))
            .collect();
        assert_eq!(stamps.len(), MODULES.len());
    }
}
