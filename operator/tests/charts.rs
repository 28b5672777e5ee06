//! What the checkout carries for Kubernetes is what the code says: definitions, examples, links.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use freshet_api::{Cluster, Topic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder with their text, sorted by name.
fn files(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let mut files: Vec<(String, String)> = entries
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy().into_owned();
            let text = read(&format!("{folder}/{name}"));
            (name, text)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn definitions_are_what_the_types_say() {
    let mut print = Command::new(env!("CARGO_BIN_EXE_freshet-operator"));
    let printed = print.arg("crds").output().expect("the binary runs");
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).expect("text");
    for folder in ["crds", "charts/freshet-operator/files/crds"] {
        let files = files(folder);
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cluster.yaml", "topic.yaml"], "{folder}");
        let kept: String = files
            .iter()
            .map(|(_, text)| format!("---\n{text}"))
            .collect();
        assert!(kept == printed, "{folder} is old: run `cargo xtask crds`");
    }
}

/// All documents of a file.
fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("\n---\n");
    let parsed = parts.map(|part| serde_saphyr::from_str(part).expect("YAML"));
    parsed.collect()
}

/// Nothing of an object is lost when our types read it.
fn known<K: Serialize + DeserializeOwned>(file: &str, object: &Value) {
    let typed: K = serde_json::from_value(object.clone())
        .unwrap_or_else(|error| panic!("{file} is no {}: {error}", object["kind"]));
    let back = serde_json::to_value(&typed).expect("JSON");
    lost(file, "", object, &back);
}

#[track_caller]
fn lost(file: &str, path: &str, asked: &Value, back: &Value) {
    match (asked, back) {
        (Value::Object(asked), Value::Object(back)) => {
            for (name, value) in asked {
                let path = format!("{path}.{name}");
                let found = back.get(name);
                let found = found.unwrap_or_else(|| panic!("{file}: nobody knows {path}"));
                lost(file, &path, value, found);
            }
        }
        (Value::Array(asked), Value::Array(back)) if asked.len() == back.len() => {
            for (at, (asked, back)) in asked.iter().zip(back).enumerate() {
                lost(file, &format!("{path}[{at}]"), asked, back);
            }
        }
        _ => assert_eq!(asked, back, "{file}: {path}"),
    }
}

/// Reads what is ours, and leaves the rest to Kubernetes; gives how many were ours.
fn judge(file: &str, objects: &[Value]) -> usize {
    let mut ours = 0;
    for object in objects {
        match object["kind"].as_str() {
            Some("Cluster") => known::<Cluster>(file, object),
            Some("Topic") => known::<Topic>(file, object),
            other => {
                assert_ne!(object["apiVersion"], "freshet.dev/v1", "{file}: {other:?}");
                continue;
            }
        }
        ours += 1;
    }
    ours
}

#[test]
fn examples_are_what_the_types_know() {
    let files = files("charts/freshet-operator/examples");
    let ours: usize = files
        .iter()
        .map(|(name, text)| judge(name, &documents(text)))
        .sum();
    assert_eq!(ours, files.len(), "each example has one object of ours");
}

#[test]
fn what_the_charts_make_is_what_the_types_know() {
    for case in ["default", "shop"] {
        let path = format!("charts/freshet-cluster/tests/snapshots/{case}.yaml");
        let text = read(&path);
        let objects = documents(text.trim_start_matches("---\n"));
        assert_eq!(judge(&path, &objects), objects.len());
    }
    let about: Value =
        serde_saphyr::from_str(&read("charts/freshet-operator/Chart.yaml")).expect("YAML");
    let examples = about["annotations"]["artifacthub.io/crdsExamples"].as_str();
    let examples: Vec<Value> = serde_saphyr::from_str(examples.expect("examples")).expect("YAML");
    assert_eq!(judge("Chart.yaml", &examples), 2);
}

#[test]
fn unknown_fields_are_noticed() {
    let topic = "apiVersion: freshet.dev/v1\nkind: Topic\nmetadata: {name: a}\nspec:\n  clusterRef: {name: b}\n";
    let fine = documents(topic);
    assert_eq!(judge("fine", &fine), 1);
    let odd = documents(&format!("{topic}  partition: 3\n"));
    let caught = std::panic::catch_unwind(|| judge("odd", &odd));
    assert!(caught.is_err(), "`partition` is no field");
}

/// Alerts in a rules file: name, severity and annotations.
fn alerts() -> Vec<Value> {
    let files = files("charts/freshet-operator/rules");
    let groups = files.iter().flat_map(|(_, text)| {
        let file: Value = serde_saphyr::from_str(text).expect("YAML");
        file["groups"].as_array().expect("groups").clone()
    });
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules").clone());
    rules.collect()
}

#[test]
fn every_alert_says_what_to_do() {
    const PAGE: &str = "https://github.com/freshet-dev/freshet/blob/main/docs/operations.md#";
    let operations = read("docs/operations.md");
    let monitoring = read("docs/monitoring.md");
    let alerts = alerts();
    assert!(alerts.len() >= 20, "{}", alerts.len());
    for alert in &alerts {
        let name = alert["alert"].as_str().expect("a name");
        let text = |field: &str| {
            let text = alert["annotations"][field].as_str();
            text.unwrap_or_else(|| panic!("{name} has no {field}"))
        };
        assert!(
            text("description").len() > 20 && text("summary").len() > 10,
            "{name}"
        );
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity}"
        );
        let anchor = text("runbook_url").strip_prefix(PAGE);
        assert_eq!(anchor, Some(&*name.to_lowercase()), "{name}");
        let heading = format!("### {name}");
        assert!(
            operations.lines().any(|line| line == heading),
            "operations.md: {heading}"
        );
        assert!(
            monitoring.contains(&format!("[{name}](operations.md#")),
            "monitoring.md: {name}"
        );
    }
    // And none is described that is not there.
    for heading in operations
        .lines()
        .filter_map(|line| line.strip_prefix("### Freshet"))
    {
        let name = format!("Freshet{heading}");
        assert!(
            alerts.iter().any(|alert| alert["alert"] == *name),
            "nobody raises {name}"
        );
    }
}
