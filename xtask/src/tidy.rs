//! `cargo xtask tidy`: the rules of the house, held by a machine.
//!
//! A rule takes what it looks at as an argument and returns findings, so that its tests can feed
//! it a bad house and see it complain. Rules never repair anything.

mod calls;
mod deny;
mod docs;
mod floors;
mod fronts;
mod leftovers;
mod links;
mod names;
mod outside;
mod ratchets;
mod sizes;
mod tree;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::place;
use crate::process::say;
use tree::Tree;

/// What `cargo xtask tidy` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Leave out what compiles or asks the network: clippy, cargo-deny, generated pages.
    #[arg(long)]
    fast: bool,
    /// Check only these rules, by name.
    #[arg(value_name = "RULE")]
    only: Vec<String>,
}

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

type Rule = fn(&Tree) -> Result<Vec<Finding>>;

/// Rules that only read the tree.
const QUICK: &[(&str, Rule)] = &[
    ("syntax", |tree| Ok(tree.unreadable())),
    ("floors", |_| floors::check_house()),
    ("calls", calls::check_house),
    ("sizes", sizes::check_house),
    ("fronts", |tree| Ok(fronts::check(tree))),
    ("names", |tree| Ok(names::check(tree))),
    ("leftovers", |tree| Ok(leftovers::check(tree))),
    ("links", |tree| Ok(links::check(tree))),
    ("docs", |tree| Ok(docs::check(tree))),
    ("charts", |_| crate::charts::findings()),
    ("fmt", |_| outside::fmt()),
];

/// Rules that compile or ask the network.
const SLOW: &[(&str, Rule)] = &[
    ("generated", |_| {
        let mut stale = crate::docs::stale()?;
        stale.extend(crate::charts::stale()?);
        Ok(stale)
    }),
    ("clippy", |_| outside::clippy()),
    ("deny", |_| deny::check()),
];

/// Runs the rules; an error when one of them found something.
pub(crate) fn run(args: &Args) -> Result<()> {
    let all = || QUICK.iter().chain(SLOW);
    for name in &args.only {
        if !all().any(|(rule, _)| rule == name) {
            let names: Vec<_> = all().map(|(rule, _)| *rule).collect();
            bail!("no rule is called `{name}`; there are {}", names.join(", "));
        }
    }
    let tree = Tree::read(place::root())?;
    let chosen =
        all().filter(|(name, _)| args.only.is_empty() || args.only.iter().any(|n| n == name));
    let left_out = |name: &str| args.fast && SLOW.iter().any(|(slow, _)| *slow == name);
    let mut broken = 0;
    for (name, rule) in chosen.filter(|(name, _)| !left_out(name)) {
        let start = Instant::now();
        let findings = rule(&tree)?;
        let count = findings.len();
        say(&format!(
            "tidy {name}: {count} findings, {:.1} s",
            start.elapsed().as_secs_f64()
        ));
        report(name, findings);
        broken += count;
    }
    if broken > 0 {
        bail!("the house is not tidy: {broken} findings");
    }
    Ok(())
}

fn report(rule: &str, mut findings: Vec<Finding>) {
    findings.sort();
    for finding in findings {
        println!("{}: {} [{rule}]", finding.place, finding.what);
    }
}
