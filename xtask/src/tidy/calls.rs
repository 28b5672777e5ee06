//! The code of a floor names nothing that the floor must not know.
//!
//! Paths are read from the syntax, so comments and strings do not count. Inside of macro calls the
//! tokens are searched, because a macro's own grammar is not known.

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::floors::{self, House, Plan};
use super::tree::{Source, Tree, attributes, is_test};

/// The forbidden paths of each crate against its sources.
pub(crate) fn check_house(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(check(tree, &Plan::read()?, &floors::house()?))
}

fn check(tree: &Tree, plan: &Plan, house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.shipped() {
        let Some(room) = owner(&source.path, house).and_then(|name| plan.crates.get(name)) else {
            continue;
        };
        let forbidden: Vec<_> = plan.forbidden_paths(room).collect();
        for (path, line) in named(source) {
            if let Some(bad) = forbidden.iter().find(|bad| within(&path, bad)) {
                let about = plan
                    .floors
                    .get(&room.floor)
                    .map_or("", |floor| &floor.about);
                let what = format!("`{bad}` is not for {}: {about}", room.floor);
                findings.push(Finding::new(format!("{}:{line}", source.path), what));
            }
        }
    }
    findings.dedup();
    findings
}

/// The crate whose folder holds a file: the longest folder that fits.
fn owner<'a>(path: &str, house: &'a House) -> Option<&'a str> {
    let fits = house
        .iter()
        .filter(|(_, k)| path.starts_with(&format!("{}/src/", k.folder)));
    fits.max_by_key(|(_, krate)| krate.folder.len())
        .map(|(name, _)| name.as_str())
}

/// Whether `path` is `bad` or something inside of it.
fn within(path: &str, bad: &str) -> bool {
    path.strip_prefix(bad)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that a file names outside of tests, and the line it does so on.
fn named(source: &Source) -> Vec<(String, usize)> {
    let mut names = Names::default();
    names.visit_file(&source.syntax);
    let imports: Vec<_> = names.imports.clone();
    let mut paths = names.found;
    // `use std::time; time::Instant::now()` names what the import makes it name.
    let mut resolved = Vec::new();
    for (path, line) in &paths {
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        for (name, full) in imports.iter().filter(|(name, _)| name == first) {
            debug_assert_eq!(name, first);
            let joined = if rest.is_empty() {
                full.clone()
            } else {
                format!("{full}::{rest}")
            };
            resolved.push((joined, *line));
        }
    }
    paths.extend(resolved);
    paths
}

#[derive(Default)]
struct Names {
    found: Vec<(String, usize)>,
    imports: Vec<(String, String)>,
}

impl Names {
    fn import(&mut self, prefix: &str, tree: &syn::UseTree) {
        let join = |name: &str| match prefix {
            "" => name.to_owned(),
            _ => format!("{prefix}::{name}"),
        };
        match tree {
            syn::UseTree::Path(path) => self.import(&join(&path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) => {
                let ident = name.ident.to_string();
                let itself = ident == "self";
                let full = if itself {
                    prefix.to_owned()
                } else {
                    join(&ident)
                };
                let short = full.rsplit("::").next().unwrap_or(&full).to_owned();
                self.keep(short, full, name.span().start().line);
            }
            syn::UseTree::Rename(rename) => {
                let full = join(&rename.ident.to_string());
                self.keep(rename.rename.to_string(), full, rename.span().start().line);
            }
            syn::UseTree::Glob(glob) => {
                self.found
                    .push((prefix.to_owned(), glob.span().start().line));
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(prefix, tree);
                }
            }
        }
    }

    fn keep(&mut self, short: String, full: String, line: usize) {
        self.found.push((full.clone(), line));
        self.imports.push((short, full));
    }

    fn search(&mut self, tokens: TokenStream) {
        let mut path = String::new();
        let mut line = 0;
        let mut open = false;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if open => {
                    path.push_str(&format!("::{ident}"));
                    open = false;
                }
                TokenTree::Ident(ident) => {
                    self.flush(&mut path, line);
                    line = ident.span().start().line;
                    path = ident.to_string();
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => open = !path.is_empty(),
                other => {
                    self.flush(&mut path, line);
                    open = false;
                    if let TokenTree::Group(group) = other {
                        self.search(group.stream());
                    }
                }
            }
        }
        self.flush(&mut path, line);
    }

    fn flush(&mut self, path: &mut String, line: usize) {
        if !path.is_empty() {
            self.found.push((std::mem::take(path), line));
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.found
            .push((segments.join("::"), path.span().start().line));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.search(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        [floors.pure]
        level = 0
        about = "pure"
        forbid_crates = []
        forbid_paths = ["std::fs", "std::time::Instant::now", "tokio"]
        [crates.a]
        floor = "pure"
        uses = []
        [crates.env]
        floor = "pure"
        uses = []
        allow_paths = ["std::fs"]
    "#;

    fn found(path: &str, text: &str) -> usize {
        let plan = Plan::parse(PLAN).expect("the plan is well formed");
        let folder = |folder: &str| floors::Crate {
            folder: folder.into(),
            ..Default::default()
        };
        let house = [
            ("a".to_owned(), folder("a")),
            ("env".to_owned(), folder("a/env")),
        ]
        .into();
        check(&Tree::from_pairs(&[(path, text)]), &plan, &house).len()
    }

    #[test]
    fn forbidden_paths_are_found_however_they_are_written() {
        for bad in [
            "use std::fs;",
            "use std::{fs::File, io};",
            "use std::fs as files;",
            "use tokio::*;",
            "fn f() { std::fs::read(\"x\"); }",
            "use std::time::Instant; fn f() { Instant::now(); }",
            "use std::time; fn f() { time::Instant::now(); }",
            "fn f(x: Option<std::fs::File>) {}",
            "fn f() { println!(\"{:?}\", std::fs::read(\"x\")); }",
            "m! { { tokio::spawn(x) } }",
        ] {
            assert!(found("a/src/x.rs", bad) > 0, "{bad}");
        }
    }

    #[test]
    fn what_is_allowed_passes() {
        for good in [
            "use std::time::Instant; fn f(now: Instant) {}",
            "// std::fs::read\nconst S: &str = \"std::fs\";",
            "#[cfg(test)] mod tests { use std::fs; }",
            "use std::fsx;",
            "mod fs {}",
        ] {
            assert_eq!(found("a/src/x.rs", good), 0, "{good}");
        }
        assert_eq!(found("a/env/src/x.rs", "use std::fs;"), 0);
        assert!(found("a/env/src/x.rs", "use tokio::net;") > 0);
    }
}
