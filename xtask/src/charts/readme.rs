//! The table of values in a chart's README, from the comments in its `values.yaml`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Between these lines of a README the table is ours.
const BEGIN: &str = "<!-- values: written by `cargo xtask charts --write` -->";
const END: &str = "<!-- end of values -->";

/// A value with its comment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Documented {
    /// Its name, with dots.
    pub(super) path: String,
    about: String,
}

/// The README as it should be.
pub(super) fn of(chart: &Path) -> Result<String> {
    let text = super::read(&chart.join("README.md"))?;
    let values = super::read(&chart.join("values.yaml"))?;
    let marks = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = marks.with_context(|| {
        let chart = chart.display();
        format!("{chart}/README.md has no place for its values")
    })?;
    let table = table(&values)?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn table(values: &str) -> Result<String> {
    let parsed: Value = serde_saphyr::from_str(values).context("values.yaml is no YAML")?;
    let documented = documented(values)?;
    let mut leaves = Vec::new();
    leaves_of(&parsed, String::new(), &mut leaves);
    for leaf in leaves {
        let under = |value: &&Documented| {
            leaf == value.path || leaf.starts_with(&format!("{}.", value.path))
        };
        ensure!(
            documented.iter().any(|value| under(&value)),
            "the value {leaf} has no comment"
        );
    }
    let mut table = String::from("| Value | Default | |\n|---|---|---|\n");
    for value in &documented {
        let pointer = format!("/{}", value.path.replace('.', "/"));
        let default = parsed.pointer(&pointer);
        let default = default.with_context(|| format!("{} is not there", value.path))?;
        let (path, about) = (&value.path, &value.about);
        table.push_str(&format!("| `{path}` | `{default}` | {about} |\n"));
    }
    Ok(table)
}

/// Values with a comment `# -- …` above them, in their order.
pub(super) fn documented(values: &str) -> Result<Vec<Documented>> {
    let mut found: Vec<Documented> = Vec::new();
    let mut stack: Vec<(usize, String)> = Vec::new();
    let mut about: Option<String> = None;
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(comment) = text.strip_prefix('#') {
            let comment = comment.trim();
            match (comment.strip_prefix("-- "), &mut about) {
                (Some(first), _) => about = Some(first.to_owned()),
                (None, Some(more)) => more.push_str(&format!(" {comment}")),
                (None, None) => {}
            }
            continue;
        }
        let key = text.split_once(':').map(|(key, _)| key);
        let Some(key) = key.filter(|key| !key.starts_with('-')) else {
            continue;
        };
        stack.retain(|(outer, _)| *outer < indent);
        stack.push((indent, key.to_owned()));
        if let Some(about) = about.take() {
            if about.contains('|') {
                bail!("the comment of {key} would break its table");
            }
            let names: Vec<&str> = stack.iter().map(|(_, name)| name.as_str()).collect();
            let path = names.join(".");
            found.push(Documented { path, about });
        }
    }
    Ok(found)
}

/// The names of all values that have none below them.
fn leaves_of(value: &Value, path: String, leaves: &mut Vec<String>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                leaves_of(value, format!("{path}{dot}{name}"), leaves);
            }
        }
        None => leaves.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# About the file.

image:
  # -- Its tag,
  # or none.
  tag: \"\"
  list:
    - a: 1
# -- All of it.
open:
  some: thing
";

    #[test]
    fn comments_belong_to_the_next_value() {
        let found = documented(VALUES).expect("values");
        let paths: Vec<_> = found.iter().map(|value| value.path.as_str()).collect();
        assert_eq!(paths, ["image.tag", "open"]);
        assert_eq!(found[0].about, "Its tag, or none.");
    }

    #[test]
    fn a_value_without_comment_is_found() {
        let error = table(VALUES).expect_err("image.list has none");
        assert!(error.to_string().contains("image.list"), "{error}");
        let fine = VALUES.replace("  list:\n    - a: 1\n", "");
        let table = table(&fine).expect("a table");
        assert!(
            table.contains("| `open` | `{\"some\":\"thing\"}` | All of it. |"),
            "{table}"
        );
    }
}
