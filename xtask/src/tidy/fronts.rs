//! A crate's front page is its documentation, its modules and what it hands out.

use syn::Item;
use syn::spanned::Spanned;

use super::Finding;
use super::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| is_front(&source.path)) {
        if !source
            .syntax
            .attrs
            .iter()
            .any(|attr| attr.path().is_ident("doc"))
        {
            findings.push(Finding::new(
                &source.path,
                "the crate has no `//!` documentation",
            ));
        }
        let library = source.path.ends_with("/lib.rs");
        for item in source
            .syntax
            .items
            .iter()
            .filter(|item| library && !belongs(item))
        {
            let place = format!("{}:{}", source.path, item.span().start().line);
            findings.push(Finding::new(
                place,
                "lib.rs holds only docs, `mod`, `use` and macros",
            ));
        }
    }
    findings
}

fn is_front(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

/// Modules in files of their own and imports belong, and so do macros, which can only be handed out
/// from here, and the entry points of a derive crate, which the compiler wants nowhere else.
fn belongs(item: &Item) -> bool {
    match item {
        Item::Mod(module) => module.content.is_none(),
        Item::Use(_) | Item::ExternCrate(_) | Item::Macro(_) => true,
        Item::Fn(function) => function.attrs.iter().any(|attr| {
            ["proc_macro", "proc_macro_derive", "proc_macro_attribute"]
                .iter()
                .any(|name| attr.path().is_ident(name))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::from_pairs(&[(path, text)])).len()
    }

    #[test]
    fn code_on_the_front_page_is_found() {
        assert_eq!(
            found("a/src/lib.rs", "//! Doc.\nmod x;\npub use x::X;\n"),
            0
        );
        assert_eq!(found("a/src/lib.rs", "//! Doc.\nfn f() {}"), 1);
        assert_eq!(found("a/src/lib.rs", "//! Doc.\nmod x { }"), 1);
        assert_eq!(
            found(
                "a/src/lib.rs",
                "//! Doc.\n#[proc_macro_derive(X)]\npub fn f() {}"
            ),
            0
        );
        assert_eq!(found("a/src/main.rs", "//! Doc.\nfn main() {}"), 0);
    }

    #[test]
    fn a_crate_without_documentation_is_found() {
        assert_eq!(found("a/src/lib.rs", "mod x;"), 1);
        assert_eq!(found("a/src/main.rs", "fn main() {}"), 1);
        assert_eq!(found("a/src/x.rs", ""), 0);
    }
}
