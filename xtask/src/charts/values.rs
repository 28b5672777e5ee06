//! What a chart's files must be like: a closed schema that knows each value, versions that agree, and
//! no role that may do everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{read, readme};
use crate::tidy::Finding;

/// What is wrong with a chart.
pub(super) fn check(chart: &Path) -> Result<Vec<Finding>> {
    let name = chart.file_name().unwrap_or_default().to_string_lossy();
    let at = |file: &str| format!("charts/{name}/{file}");
    let mut findings = Vec::new();
    let mut found = |file: &str, all: Vec<String>| {
        findings.extend(all.into_iter().map(|what| Finding::new(at(file), what)));
    };
    let schema = read(&chart.join("values.schema.json"))?;
    let schema: Value = serde_json::from_str(&schema).context("values.schema.json")?;
    found("values.schema.json", open_objects(&schema, ""));
    let values = read(&chart.join("values.yaml"))?;
    found("values.yaml", unknown(&schema, &values)?);
    let about = read(&chart.join("Chart.yaml"))?;
    found("Chart.yaml", versions(&about, env!("CARGO_PKG_VERSION")));
    for entry in fs::read_dir(chart.join("templates"))? {
        let path = entry?.path();
        if path.is_file() {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            found(&format!("templates/{file}"), wildcards(&read(&path)?));
        }
    }
    Ok(findings)
}

/// Objects of a schema that name their fields and take others as well.
fn open_objects(schema: &Value, path: &str) -> Vec<String> {
    let mut open = Vec::new();
    let Some(fields) = schema.as_object() else {
        return open;
    };
    let is_schema =
        fields.get("properties").is_some_and(Value::is_object) && !path.ends_with("/properties");
    if is_schema && fields.get("additionalProperties") != Some(&Value::Bool(false)) {
        // What must be there besides is said elsewhere in a list's items.
        let lists_some = path.ends_with("/extraEnv/items");
        if !lists_some {
            open.push(format!("{path} takes fields that it does not name"));
        }
    }
    for (name, value) in fields {
        open.extend(open_objects(value, &format!("{path}/{name}")));
    }
    open
}

/// Values that one of the file and the schema has, and the other has not.
fn unknown(schema: &Value, values: &str) -> Result<Vec<String>> {
    let documented: BTreeSet<String> = readme::documented(values)?
        .into_iter()
        .map(|value| value.path)
        .collect();
    let mut findings = Vec::new();
    for path in &documented {
        if find(schema, path).is_none() {
            findings.push(format!("{path} is not in the schema"));
        }
    }
    let top = schema["properties"].as_object();
    for name in top.context("a schema has properties")?.keys() {
        let known = |path: &String| path == name || path.starts_with(&format!("{name}."));
        if name != "global" && !documented.iter().any(known) {
            findings.push(format!("{name} is in the schema and not here"));
        }
    }
    Ok(findings)
}

/// The schema of one value, by its name with dots.
fn find<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |at, name| {
        let at = match at.get("$ref").and_then(Value::as_str) {
            Some(reference) => schema.pointer(reference.trim_start_matches('#'))?,
            None => at,
        };
        at.get("properties")?.get(name)
    })
}

/// Versions that are not those of the workspace.
fn versions(chart: &str, version: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for expected in [
        format!("version: {version}"),
        format!("appVersion: \"{version}\""),
    ] {
        if !chart.lines().any(|line| line == expected) {
            wrong.push(format!("has no line `{expected}`"));
        }
    }
    for line in chart
        .lines()
        .filter(|line| line.contains("image: freshet.dev/"))
    {
        if !line.ends_with(&format!(":{version}")) {
            wrong.push(format!("`{}` is of another version", line.trim()));
        }
    }
    wrong
}

/// Lines of roles that allow everything of something.
fn wildcards(template: &str) -> Vec<String> {
    let lists = ["apiGroups:", "resources:", "verbs:", "- \"*\"", "- '*'"];
    let lines = template.lines().enumerate().filter(|(_, line)| {
        line.contains('*')
            && !line.trim_start().starts_with('#')
            && lists.iter().any(|list| line.contains(list))
    });
    lines
        .map(|(number, _)| format!("line {}: a role names what it allows", number + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_open_object_is_found() {
        let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        assert_eq!(open_objects(&open, "").len(), 1);
        let mut closed = open.clone();
        closed["additionalProperties"] = json!(false);
        assert_eq!(open_objects(&closed, ""), [""; 0]);
        closed["properties"]["b"] = open;
        assert_eq!(open_objects(&closed, "").len(), 1);
    }

    #[test]
    fn values_and_schema_name_the_same() {
        let schema = json!({
            "definitions": {"m": {"properties": {"on": {}}}},
            "properties": {"a": {"$ref": "#/definitions/m"}, "b": {}},
        });
        let told = |values: &str| unknown(&schema, values).expect("values");
        let fine = "a:\n  # -- X.\n  on: 1\n# -- X.\nb: 2\n";
        assert_eq!(told(fine), [""; 0]);
        assert_eq!(told("a:\n  # -- X.\n  on: 1\n").len(), 1);
        assert_eq!(told(&format!("{fine}# -- X.\nc: 3\n")).len(), 1);
    }

    #[test]
    fn versions_are_those_of_the_workspace() {
        let chart = "version: 1.2.3\nappVersion: \"1.2.3\"\n  image: freshet.dev/x:1.2.3\n";
        assert_eq!(versions(chart, "1.2.3"), [""; 0]);
        assert_eq!(versions(chart, "1.2.4").len(), 3);
    }

    #[test]
    fn a_wildcard_is_found() {
        assert_eq!(wildcards("  verbs: [get]\n# verbs: [\"*\"]\n"), [""; 0]);
        assert_eq!(wildcards("  verbs: [\"*\"]\n").len(), 1);
        assert_eq!(wildcards("resources:\n  - \"*\"\n").len(), 1);
    }
}
