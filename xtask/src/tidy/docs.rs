//! The pages that a repository of ours always has, and the notes that keep its numbering.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

const PAGES: &[&str] = &[
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/ARCHITECTURE.md",
    "docs/decisions/README.md",
    "docs/formats/README.md",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let missing = |page: &&&str| {
        tree.files
            .get(**page)
            .is_none_or(|text| text.trim().is_empty())
    };
    let pages = PAGES.iter().filter(missing);
    let mut findings: Vec<_> = pages
        .map(|page| Finding::new(*page, "the page is missing"))
        .collect();
    findings.extend(decisions(tree));
    findings.extend(unlisted(tree, "docs/decisions/"));
    findings.extend(unlisted(tree, "docs/formats/"));
    findings
}

/// Pages of a folder that its README does not name.
fn unlisted(tree: &Tree, folder: &str) -> Vec<Finding> {
    let list = tree
        .files
        .get(&format!("{folder}README.md"))
        .map_or("", String::as_str);
    let pages = tree
        .files
        .keys()
        .filter_map(|path| Some((path, path.strip_prefix(folder)?)));
    let unlisted = pages.filter(|(_, name)| *name != "README.md" && !list.contains(name));
    let finding = |(path, _)| Finding::new(path, format!("{folder}README.md does not list it"));
    unlisted.map(finding).collect()
}

/// Decision notes are `NNNN-title.md` and each number is used once.
fn decisions(tree: &Tree) -> Vec<Finding> {
    let folder = "docs/decisions/";
    let mut findings = Vec::new();
    let mut numbers = BTreeSet::new();
    for path in tree.files.keys().filter(|path| path.starts_with(folder)) {
        let name = &path[folder.len()..];
        if matches!(name, "README.md" | "template.md") {
            continue;
        }
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            findings.push(Finding::new(
                path,
                "a decision note is called NNNN-title.md",
            ));
        } else if !numbers.insert(number) {
            findings.push(Finding::new(path, format!("the number {number} is taken")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_page_is_found() {
        assert_eq!(check(&Tree::from_pairs(&[])).len(), PAGES.len());
        let all: Vec<_> = PAGES.iter().map(|page| (*page, "text")).collect();
        assert!(check(&Tree::from_pairs(&all)).is_empty());
    }

    #[test]
    fn decision_notes_keep_their_numbers() {
        let found = |pairs: &[(&str, &str)]| decisions(&Tree::from_pairs(pairs)).len();
        assert_eq!(
            found(&[
                ("docs/decisions/0001-a.md", ""),
                ("docs/decisions/README.md", "")
            ]),
            0
        );
        assert_eq!(
            found(&[
                ("docs/decisions/0001-a.md", ""),
                ("docs/decisions/0001-b.md", "")
            ]),
            1
        );
        assert_eq!(found(&[("docs/decisions/x.md", "")]), 1);
    }

    #[test]
    fn a_page_that_no_list_names_is_found() {
        let page = ("docs/formats/segment.md", "");
        let with = |list| Tree::from_pairs(&[page, ("docs/formats/README.md", list)]);
        assert!(unlisted(&with("[segment](segment.md)"), "docs/formats/").is_empty());
        assert_eq!(unlisted(&with(""), "docs/formats/").len(), 1);
    }
}
