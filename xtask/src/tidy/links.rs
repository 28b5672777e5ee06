//! Links between the pages of the repository lead somewhere.

use super::Finding;
use super::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in targets(text) {
            let place = format!("{path}:{line}");
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let Some(file) = resolve(path, file) else {
                findings.push(Finding::new(
                    place,
                    format!("`{target}` leaves the repository"),
                ));
                continue;
            };
            let folder = format!("{file}/");
            match tree.files.get(&file) {
                Some(page) if !anchor.is_empty() && !headings(page).any(|h| h == anchor) => {
                    findings.push(Finding::new(
                        place,
                        format!("no heading `#{anchor}` in {file}"),
                    ));
                }
                Some(_) => {}
                None if file.is_empty() || tree.files.keys().any(|f| f.starts_with(&folder)) => {}
                None => findings.push(Finding::new(place, format!("`{target}` is not there"))),
            }
        }
    }
    findings
}

/// Link targets outside of code, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let mut rest = line.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            found.push((number, rest[..end].trim_matches(['<', '>']).to_owned()));
        }
    }
    found
}

/// Numbered lines without code blocks and code spans.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        let spoken = || line.split('`').step_by(2).collect::<String>();
        (!code && !fence).then(|| (number + 1, spoken()))
    })
}

/// The path that `target` means in the page at `from`; `None` when it is outside.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that a page's headings get on common Git hosts.
fn headings(page: &str) -> impl Iterator<Item = String> {
    let lines = page.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let tree = Tree::from_pairs(&[
            ("docs/a.md", text),
            ("docs/b.md", "# One page, two `words`\n"),
            ("docs/c/d.md", ""),
            ("README.md", ""),
        ]);
        check(&tree).len()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let good =
            "[x](b.md) [x](../README.md) [x](c) [x](b.md#one-page-two-words) [x](https://a.b)";
        assert_eq!(found(good), 0);
        assert_eq!(
            found("# Here\n[x](#here) `[x](nowhere.md)`\n```\n[x](nowhere.md)\n```\n"),
            0
        );
    }

    #[test]
    fn dead_links_are_found() {
        for bad in [
            "[x](nowhere.md)",
            "[x](b.md#two)",
            "[x](../../out.md)",
            "[x](#there)",
        ] {
            assert_eq!(found(bad), 1, "{bad}");
        }
    }
}
