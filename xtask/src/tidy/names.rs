//! Names say what a thing is; these say only that somebody did not know.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::tree::Tree;

const EMPTY: &[&str] = &[
    "manager", "managers", "helper", "helpers", "util", "utils", "common", "base", "impl", "impls",
    "data", "info", "misc",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for part in source.path.trim_end_matches(".rs").split('/') {
            if let Some(word) = empty(part) {
                let what = format!("`{part}`: `{word}` says nothing about what is in it");
                findings.push(Finding::new(&source.path, what));
            }
        }
        let mut modules = Modules(Vec::new());
        modules.visit_file(&source.syntax);
        for (name, line) in modules.0 {
            if let Some(word) = empty(&name) {
                let place = format!("{}:{line}", source.path);
                findings.push(Finding::new(
                    place,
                    format!("module `{name}`: `{word}` says nothing"),
                ));
            }
        }
    }
    findings
}

/// The empty word that a name is, or ends in.
fn empty(name: &str) -> Option<&'static str> {
    let last = name.rsplit(['_', '-']).next().unwrap_or(name);
    EMPTY.iter().find(|word| **word == last).copied()
}

struct Modules(Vec<(String, usize)>);

impl<'ast> Visit<'ast> for Modules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.0
                .push((module.ident.to_string(), module.span().start().line));
        }
        visit::visit_item_mod(self, module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found() {
        let found = |path: &str, text: &str| check(&Tree::from_pairs(&[(path, text)])).len();
        assert_eq!(found("a/src/utils.rs", ""), 1);
        assert_eq!(found("a/src/common/x.rs", ""), 1);
        assert_eq!(found("a/src/topic_manager.rs", ""), 1);
        assert_eq!(found("a/src/x.rs", "mod outer { mod helpers {} }"), 1);
        assert_eq!(found("a/src/metadata.rs", ""), 0);
        assert_eq!(found("a/src/base_offset.rs", "mod database {}"), 0);
    }
}
