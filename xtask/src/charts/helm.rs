//! The charts as Helm sees them: lint, templates against snapshots, values that must be refused.
//!
//! `charts/<chart>/tests/cases/NAME.yaml` are values, `tests/snapshots/NAME.yaml` what they make.
//! `tests/refused/NAME.yaml` are values that Helm must refuse, saying what the first line says.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

use super::{CHARTS, folder, read, write};
use crate::place;
use crate::process::{exists, say};

/// Which Kubernetes templates are made for.
const KUBERNETES: &str = "1.36.0";
/// Templates of which a snapshot keeps the first lines: the rest is in files that other checks hold.
const LONG: &[&str] = &["/templates/crds.yaml", "/templates/dashboards.yaml"];
const KEPT: usize = 18;
/// Where a copy of a chart has its notes as a template.
const NOTES: &str = "templates/notes.yaml";

/// How the checks went.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Told {
    fn note(&mut self, what: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                println!("FAILED {what}: {why}");
            }
        }
    }
}

/// Checks both charts; with `write` snapshots are written and not compared.
pub(super) fn check(write: bool) -> Result<Told> {
    let mut told = Told::default();
    let Some(helm) = find() else {
        told.skipped = 1;
        say(
            "SKIPPED charts: there is no helm; `cargo xtask kube build` builds one, FRESHET_HELM names one",
        );
        return Ok(told);
    };
    let helm = Helm(helm);
    for chart in CHARTS {
        helm.chart(chart, write, &mut told)?;
    }
    say(&format!(
        "charts: {} checks passed, {} failed",
        told.passed, told.failed
    ));
    Ok(told)
}

/// Helm: the one that is named, on the path, or that the tests' Kubernetes comes with.
fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("FRESHET_HELM") {
        return Some(named.into());
    }
    if exists("helm") {
        return Some("helm".into());
    }
    let kube = place::cache().join("kube");
    let folders = fs::read_dir(&kube).ok()?.filter_map(Result::ok);
    let mut found: Vec<PathBuf> = folders
        .map(|entry| entry.path().join("helm"))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.into_iter().next()
}

struct Helm(PathBuf);

impl Helm {
    fn run(&self, arguments: &[&str], values: Option<&Path>) -> Result<Output> {
        let mut command = Command::new(&self.0);
        command.args(arguments).current_dir(place::root());
        if let Some(values) = values {
            command.arg("--values").arg(values);
        }
        // No cluster is asked, whatever this shell knows of one.
        command.env_remove("KUBECONFIG").stdin(Stdio::null());
        command.output().context("cannot start helm")
    }

    fn chart(&self, chart: &str, write: bool, told: &mut Told) -> Result<()> {
        let path = format!("charts/{chart}");
        let tests = folder(chart).join("tests");
        let with_notes = with_notes(chart)?;
        for case in files(&tests.join("cases"))? {
            let name = stem(&case);
            let linted = self.run(&["lint", "--strict", "--quiet", &path], Some(&case))?;
            told.note(&format!("{chart} lint {name}"), succeeded(&linted));
            let template = [
                "template",
                "release",
                &path,
                "--namespace",
                "space",
                "--kube-version",
                KUBERNETES,
            ];
            let made = self.run(&template, Some(&case))?;
            let text = shortened(&String::from_utf8_lossy(&made.stdout));
            let snapshot = format!("{path}/tests/snapshots/{name}.yaml");
            let result = succeeded(&made).and_then(|()| compare(&snapshot, &text, write));
            told.note(&format!("{chart} template {name}"), result);
            let mut only = template;
            only[2] = with_notes
                .to_str()
                .context("the cache has a name that is no text")?;
            let notes = self.run(&[&only[..], &["--show-only", NOTES]].concat(), Some(&case))?;
            let text = String::from_utf8_lossy(&notes.stdout).into_owned();
            let snapshot = format!("{path}/tests/snapshots/{name}.txt");
            let notes = succeeded(&notes).and_then(|()| compare(&snapshot, &text, write));
            told.note(&format!("{chart} notes {name}"), notes);
        }
        for case in files(&tests.join("refused"))? {
            let text = read(&case)?;
            let first = text.lines().next().unwrap_or_default();
            let expected = first.trim_start_matches('#').trim();
            let template = ["template", "release", &path, "--kube-version", KUBERNETES];
            let made = self.run(&template, Some(&case))?;
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            let refused = !made.status.success() && said.contains(expected);
            let why = || format!("it should be refused with `{expected}`; helm said: {said}");
            let name = format!("{chart} refuses {}", stem(&case));
            told.note(&name, refused.then_some(()).ok_or_else(why));
        }
        Ok(())
    }
}

/// A copy of a chart whose notes are one of its templates: Helm shows notes only to those who have a
/// cluster.
fn with_notes(chart: &str) -> Result<PathBuf> {
    let copy = place::target().join("charts").join(chart);
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("cannot empty {}", copy.display()))?;
    }
    copy_folder(&folder(chart), &copy)?;
    let notes = read(&copy.join("templates/NOTES.txt"))?;
    let template = format!(
        "{{{{- define \"notes\" -}}}}\n{notes}{{{{- end -}}}}\nnotes: |\n{{{{ include \"notes\" . | indent 2 }}}}\n"
    );
    fs::write(copy.join(NOTES), template).context("cannot write a template")?;
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for path in files(from)? {
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &to)?;
        } else {
            fs::copy(&path, &to).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

fn succeeded(output: &Output) -> Result<(), String> {
    let said = || {
        let (out, err) = (&output.stdout, &output.stderr);
        [String::from_utf8_lossy(err), String::from_utf8_lossy(out)].join("\n")
    };
    output.status.success().then_some(()).ok_or_else(said)
}

/// A rendered chart without the ends of long files.
fn shortened(rendered: &str) -> String {
    let documents = rendered.split("---\n").map(|document| {
        let first = document.lines().next().unwrap_or_default();
        if !LONG.iter().any(|long| first.ends_with(long)) {
            return document.to_owned();
        }
        let mut kept: String = document
            .lines()
            .take(KEPT)
            .flat_map(|line| [line, "\n"])
            .collect();
        kept.push_str("# …\n");
        kept
    });
    documents.collect::<Vec<_>>().join("---\n")
}

fn compare(snapshot: &str, text: &str, writes: bool) -> Result<(), String> {
    if writes {
        return write(snapshot, text).map_err(|error| format!("{error:#}"));
    }
    let kept = fs::read_to_string(place::root().join(snapshot)).unwrap_or_default();
    if kept == text {
        return Ok(());
    }
    let lines = kept.lines().zip(text.lines());
    let other = lines.enumerate().find(|(_, (kept, now))| kept != now);
    let other = other.map_or_else(
        || "one is longer".to_owned(),
        |(at, (kept, now))| format!("line {}: `{kept}` became `{now}`", at + 1),
    );
    Err(format!(
        "{snapshot} is another: {other}; if it should be, run `cargo xtask charts --write`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_cut() {
        let long = "line\n".repeat(100);
        let rendered = format!(
            "---\n# Source: a/templates/crds.yaml\n{long}---\n# Source: a/templates/b.yaml\n{long}"
        );
        let text = shortened(&rendered);
        assert_eq!(text.matches("line\n").count(), KEPT - 1 + 100);
        assert!(text.contains("# …\n---\n# Source: a/templates/b.yaml"));
    }
}
