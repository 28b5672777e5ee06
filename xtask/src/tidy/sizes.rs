//! Files, functions, test modules and folders stay small.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::ratchets::{self, Ratchets, hold};
use super::tree::{Source, Tree, attributes, is_test, lines};

/// All size gates, with the exceptions and their history.
pub(crate) fn check_house(tree: &Tree) -> Result<Vec<Finding>> {
    let ratchets = Ratchets::of(tree)?;
    let mut findings = check(tree, &ratchets);
    findings.extend(ratchets.hollow(tree));
    for earlier in ratchets::history()? {
        findings.extend(ratchets.raised(&earlier));
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

fn check(tree: &Tree, ratchets: &Ratchets) -> Vec<Finding> {
    let gates = &ratchets.gates;
    let mut files = BTreeMap::new();
    let mut functions = BTreeMap::new();
    let mut test_modules = BTreeMap::new();
    for source in tree.shipped() {
        if !ratchets.tables.contains_key(&source.path) {
            files.insert(
                source.path.clone(),
                source.text.lines().count() - test_lines(source),
            );
        }
        functions.extend(function_lines(source));
        test_modules.extend(test_module_lines(source));
    }
    let mut folders = folder_modules(tree);
    folders.retain(|folder, _| !ratchets.lists.contains_key(folder));
    let mut findings = hold(&files, gates.file_lines, &ratchets.file_lines, "lines");
    findings.extend(hold(
        &functions,
        gates.function_lines,
        &ratchets.function_lines,
        "lines",
    ));
    let inline = "lines of inline tests";
    findings.extend(hold(
        &test_modules,
        gates.test_module_lines,
        &ratchets.test_module_lines,
        inline,
    ));
    findings.extend(hold(
        &folders,
        gates.folder_modules,
        &ratchets.folder_modules,
        "modules",
    ));
    findings
}

/// Lines of a file that belong to items of test builds.
fn test_lines(source: &Source) -> usize {
    source
        .syntax
        .items
        .iter()
        .filter(|item| is_test(attributes(item)))
        .map(lines)
        .sum()
}

fn test_module_lines(source: &Source) -> BTreeMap<String, usize> {
    let modules = source.syntax.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_test(&module.attrs) && module.content.is_some() => {
            Some(module)
        }
        _ => None,
    });
    modules
        .map(|module| (format!("{}::{}", source.path, module.ident), lines(module)))
        .collect()
}

fn function_lines(source: &Source) -> BTreeMap<String, usize> {
    let mut functions = Functions {
        path: source.path.clone(),
        found: BTreeMap::new(),
    };
    functions.visit_file(&source.syntax);
    functions.found
}

/// Walks a file and measures each function from `fn` to its closing brace.
struct Functions {
    path: String,
    found: BTreeMap<String, usize>,
}

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let size = block.span().end().line - signature.span().start().line + 1;
        let key = format!("{}::{}", self.path, signature.ident);
        let known = self.found.entry(key).or_default();
        *known = size.max(*known);
    }

    fn within(&mut self, name: &str, walk: impl FnOnce(&mut Self)) {
        let outer = self.path.clone();
        self.path = format!("{outer}::{name}");
        walk(self);
        self.path = outer;
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.within(&module.ident.to_string(), |this| {
            visit::visit_item_mod(this, module)
        });
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let name = match &*block.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()),
            _ => None,
        };
        self.within(&name.unwrap_or_else(|| "_".into()), |this| {
            visit::visit_item_impl(this, block)
        });
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(&item.ident.to_string(), |this| {
            visit::visit_item_trait(this, item)
        });
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            self.measure(&function.sig, &function.block);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
    }
}

/// How many modules stand beside each other in each folder of sources. The errors of a folder are not
/// counted: having a file for them is a rule, not a choice.
fn folder_modules(tree: &Tree) -> BTreeMap<String, usize> {
    let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in tree.shipped().filter(|source| source.path.contains("src/")) {
        let mut path = source.path.trim_end_matches(".rs");
        while let Some((folder, name)) = path.rsplit_once('/').filter(|(_, name)| *name != "src") {
            if !matches!(name, "mod" | "lib" | "main" | "error" | "errors") {
                folders
                    .entry(folder.into())
                    .or_default()
                    .insert(name.into());
            }
            path = folder;
        }
    }
    folders
        .into_iter()
        .map(|(folder, names)| (folder, names.len()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::ratchets::Gates;
    use super::*;

    fn gates() -> Ratchets {
        let gates = Gates {
            file_lines: 8,
            function_lines: 3,
            test_module_lines: 5,
            folder_modules: 2,
        };
        Ratchets {
            gates,
            ..Ratchets::default()
        }
    }

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::from_pairs(&[(path, text)]);
        check(&tree, &gates())
            .into_iter()
            .map(|f| format!("{}: {}", f.place, f.what))
            .collect()
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "const A: u8 = 1;\n".repeat(9);
        assert_eq!(
            complaints("a/src/x.rs", &long),
            ["a/src/x.rs: 9 lines; the gate is 8"]
        );
        let tests = format!(
            "{}#[cfg(test)]\nmod tests {{\n\n\n}}\n",
            "struct S;\n".repeat(7)
        );
        assert!(complaints("a/src/x.rs", &tests).is_empty());
        assert!(complaints("a/src/tests.rs", &long).is_empty());
    }

    #[test]
    fn a_declared_table_has_no_line_gate() {
        let long = "const A: u8 = 1;\n".repeat(9);
        let tree = Tree::from_pairs(&[("a/src/x.rs", &long)]);
        let mut ratchets = gates();
        ratchets
            .tables
            .insert("a/src/x.rs".into(), "a table".into());
        assert!(check(&tree, &ratchets).is_empty());
    }

    #[test]
    fn a_long_function_is_found_wherever_it_is() {
        let body = "fn f() {\n1;\n2;\n}";
        assert_eq!(
            complaints("a/src/x.rs", body),
            ["a/src/x.rs::f: 4 lines; the gate is 3"]
        );
        let found = complaints("a/src/x.rs", &format!("impl<T> S<T> {{ {body} }}"));
        assert_eq!(found, ["a/src/x.rs::S::f: 4 lines; the gate is 3"]);
        let found = complaints("a/src/x.rs", &format!("mod m {{ trait T {{ {body} }} }}"));
        assert_eq!(found, ["a/src/x.rs::m::T::f: 4 lines; the gate is 3"]);
        assert!(complaints("a/src/x.rs", &format!("#[test] {body}")).is_empty());
    }

    #[test]
    fn a_long_inline_test_module_is_found() {
        let found = complaints("a/src/x.rs", "#[cfg(test)]\nmod tests {\n\n\n\n\n}");
        assert_eq!(
            found,
            ["a/src/x.rs::tests: 7 lines of inline tests; the gate is 5"]
        );
    }

    #[test]
    fn a_crowded_folder_is_found_and_a_list_is_not() {
        let paths = [
            "a/src/lib.rs",
            "a/src/error.rs",
            "a/src/x.rs",
            "a/src/y.rs",
            "a/src/z/q.rs",
        ];
        let pairs: Vec<_> = paths.iter().map(|path| (*path, "")).collect();
        let tree = Tree::from_pairs(&pairs);
        let mut ratchets = gates();
        assert_eq!(
            check(&tree, &ratchets),
            [Finding::new("a/src", "3 modules; the gate is 2")]
        );
        ratchets
            .lists
            .insert("a/src".into(), "one file per API".into());
        assert!(check(&tree, &ratchets).is_empty());
    }
}
