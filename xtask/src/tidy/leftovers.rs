//! Nothing is left for later without a word: marks of unfinished work, switched-off tests and
//! silenced lints.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::tree::Tree;

/// Spelled in halves, so that this file does not find itself.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

const READ: &[&str] = &[
    "rs", "toml", "md", "py", "sh", "java", "go", "js", "mjs", "ts", "yaml", "yml", "proto",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = marks(tree);
    for source in &tree.sources {
        let mut attributes = Attributes {
            test: source.test,
            found: Vec::new(),
        };
        attributes.visit_file(&source.syntax);
        for (line, what) in attributes.found {
            findings.push(Finding::new(format!("{}:{line}", source.path), what));
        }
    }
    findings
}

fn marks(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        if !path
            .rsplit_once('.')
            .is_some_and(|(_, end)| READ.contains(&end))
        {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(mark) = words.find(|word| MARKS.contains(word)) {
                let place = format!("{path}:{}", number + 1);
                findings.push(Finding::new(
                    place,
                    format!("{mark}: finish it, or open an issue"),
                ));
            }
        }
    }
    findings
}

struct Attributes {
    /// Test code may silence lints without a word.
    test: bool,
    found: Vec<(usize, String)>,
}

impl<'ast> Visit<'ast> for Attributes {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let line = attribute.span().start().line;
        let name = attribute.path();
        if name.is_ident("ignore") && matches!(attribute.meta, syn::Meta::Path(_)) {
            self.found.push((
                line,
                "an ignored test says why: #[ignore = \"reason\"]".into(),
            ));
        }
        let silences = name.is_ident("allow") || name.is_ident("expect");
        if silences && !self.test && !has_reason(attribute) {
            self.found
                .push((line, "a silenced lint says why: reason = \"...\"".into()));
        }
        visit::visit_attribute(self, attribute);
    }
}

fn has_reason(attribute: &syn::Attribute) -> bool {
    let mut found = false;
    let read = attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("reason") {
            found = true;
            meta.value()?.parse::<syn::LitStr>()?;
        }
        Ok(())
    });
    read.is_ok() && found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::from_pairs(&[(path, text)])).len()
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        for mark in MARKS {
            assert_eq!(found("a/src/x.rs", &format!("// {mark}: later")), 1);
            assert_eq!(found("a.py", &format!("# {mark}(me)")), 1);
        }
        assert_eq!(found("a/src/x.rs", "// todo list of a client"), 0);
    }

    #[test]
    fn a_switched_off_test_needs_a_reason() {
        assert_eq!(found("a/src/x.rs", "#[test] #[ignore] fn f() {}"), 1);
        assert_eq!(
            found("a/src/x.rs", "#[test] #[ignore = \"needs root\"] fn f() {}"),
            0
        );
    }

    #[test]
    fn a_silenced_lint_needs_a_reason() {
        assert_eq!(found("a/src/x.rs", "#[allow(dead_code)] fn f() {}"), 1);
        assert_eq!(found("a/src/x.rs", "#[expect(clippy::all)] fn f() {}"), 1);
        assert_eq!(
            found(
                "a/src/x.rs",
                "#[expect(clippy::all, reason = \"r\")] fn f() {}"
            ),
            0
        );
    }
}
