//! The tree that rules look at: every text file that git knows or would add.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use syn::spanned::Spanned;

use super::Finding;
use crate::process;

/// A Rust file, parsed.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
    /// Whether the whole file is test code.
    pub(crate) test: bool,
}

/// All files, by their path from the root with `/` between the parts.
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) sources: Vec<Source>,
    broken: Vec<Finding>,
}

impl Tree {
    /// Reads a checkout. Files that are no UTF-8 text are known by an empty text.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let args = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let listed = process::read(&mut process::command(root, "git", &args))?;
        let mut files = BTreeMap::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let place = root.join(path);
            if !place.is_file() {
                continue;
            }
            let bytes = fs::read(&place).with_context(|| format!("cannot read {path}"))?;
            files.insert(
                path.to_owned(),
                String::from_utf8(bytes).unwrap_or_default(),
            );
        }
        Ok(Self::new(files))
    }

    fn new(files: BTreeMap<String, String>) -> Self {
        let mut sources = Vec::new();
        let mut broken = Vec::new();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
            match syn::parse_file(text) {
                Ok(syntax) => sources.push(Source {
                    path: path.clone(),
                    text: text.clone(),
                    syntax,
                    test: named_as_test(path),
                }),
                Err(error) => {
                    let line = error.span().start().line;
                    broken.push(Finding::new(format!("{path}:{line}"), error.to_string()));
                }
            }
        }
        mark_test_modules(&mut sources);
        Self {
            files,
            sources,
            broken,
        }
    }

    /// A tree from paths and texts.
    #[cfg(test)]
    pub(crate) fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self::new(
            pairs
                .iter()
                .map(|(path, text)| ((*path).into(), (*text).into()))
                .collect(),
        )
    }

    /// Rust files that do not parse.
    pub(crate) fn unreadable(&self) -> Vec<Finding> {
        let clone = |finding: &Finding| Finding::new(&finding.place, &finding.what);
        self.broken.iter().map(clone).collect()
    }

    /// Files that are not tests.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| !source.test)
    }
}

/// Whether a path says that the file is test code: `tests.rs`, `..._tests.rs`, anything in a
/// `tests/` or `benches/` folder.
fn named_as_test(path: &str) -> bool {
    let mut parts: Vec<_> = path.split('/').collect();
    let file = parts.pop().unwrap_or_default();
    let stem = file.trim_end_matches(".rs");
    let folder = |part: &&str| matches!(*part, "tests" | "benches" | "fuzz");
    stem == "tests" || stem.ends_with("_tests") || parts.iter().any(folder)
}

/// Follows `#[cfg(test)] mod name;` to the files it names.
fn mark_test_modules(sources: &mut [Source]) {
    let mut stems = BTreeSet::new();
    for source in sources.iter() {
        for item in &source.syntax.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
                && is_test(&module.attrs)
            {
                stems.insert(format!("{}/{}", module_folder(&source.path), module.ident));
            }
        }
    }
    for source in sources {
        let path = source.path.trim_end_matches(".rs");
        let named = |stem: &String| path == stem || path.starts_with(&format!("{stem}/"));
        source.test |= stems.iter().any(named);
    }
}

/// The folder in which the child modules of a file live.
fn module_folder(path: &str) -> &str {
    let (folder, file) = path.rsplit_once('/').unwrap_or((".", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder,
        _ => path.trim_end_matches(".rs"),
    }
}

/// Whether attributes leave an item to test builds only.
pub(crate) fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("test")
            || attr.path().is_ident("cfg")
                && attr
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test"))
    })
}

/// The attributes of an item.
pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// How many lines a piece of source spans, its attributes included.
pub(crate) fn lines(piece: &impl Spanned) -> usize {
    let span = piece.span();
    span.end().line - span.start().line + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_are_known_by_name_and_by_declaration() {
        let tree = Tree::from_pairs(&[
            ("a/src/lib.rs", "mod x;\n#[cfg(test)]\nmod y;"),
            (
                "a/src/x.rs",
                "#[cfg(test)] mod tests;\n#[cfg(test)] mod bad_cases;",
            ),
            ("a/src/x/tests.rs", ""),
            ("a/src/x/bad_cases.rs", ""),
            ("a/src/y.rs", ""),
            ("tests/wire/java.rs", ""),
        ]);
        let shipped: Vec<_> = tree.shipped().map(|source| source.path.as_str()).collect();
        assert_eq!(shipped, ["a/src/lib.rs", "a/src/x.rs"]);
    }

    #[test]
    fn a_file_that_does_not_parse_is_told() {
        let tree = Tree::from_pairs(&[("a.rs", "fn (")]);
        assert_eq!(tree.unreadable().len(), 1);
    }
}
