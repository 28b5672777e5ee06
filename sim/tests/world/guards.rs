//! Each rule is taken away, and somebody notices: else the lives would prove nothing of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use freshet_coordinators as coordinators;
use freshet_metadata as metadata;
use freshet_partition::replication;

use crate::invariants::Code;
use crate::life::live;
use crate::rules::{Duty, Rule};
use crate::scenes::{Scene, is_missed};

/// Lives without a rule at most.
const LIVES: u64 = 2_000;

/// What is broken in a life without a rule.
fn broken(seed: u64, rule: Rule) -> Option<String> {
    let lived = catch_unwind(AssertUnwindSafe(|| live(seed, Some(rule))));
    match lived {
        Ok(lived) => lived.err(),
        Err(_) => Some("a brain could not believe it".to_owned()),
    }
}

/// Lives that were found to notice, so that a run need not search. Any change of the world may make
/// others of them; then it searches.
const KNOWN: [(&str, u64); 3] = [
    ("Group(CommitGeneration)", 310),
    ("Replica(OneProposal)", 398),
    ("Body(AgreedReplies)", 125),
];

fn is_noticed(rule: Rule) -> bool {
    let staged = Scene::ALL
        .into_iter()
        .filter(|scene| scene.shows().0 == rule);
    if let Some(what) = staged.into_iter().find_map(|scene| is_missed(scene, 0)) {
        println!("without {rule:?}, staged: {what}");
        return true;
    }
    let name = format!("{rule:?}");
    let known = KNOWN.iter().filter(|(of, _)| *of == name);
    let seeds = known.map(|(_, seed)| *seed).chain(0..LIVES);
    let found = seeds
        .into_iter()
        .find_map(|seed| Some((seed, broken(seed, rule)?)));
    match &found {
        Some((seed, what)) => println!("without {rule:?}, seed {seed}: {what}"),
        None => println!("without {rule:?}: nothing in {LIVES} lives"),
    }
    found.is_some()
}

/// `FRESHET_RULE=name` tries one alone.
fn all_are_noticed(rules: impl Iterator<Item = Rule>) {
    let wanted = std::env::var("FRESHET_RULE").unwrap_or_default();
    let asked = |rule: &Rule| format!("{rule:?}").contains(&wanted);
    let rules = rules.filter(asked);
    let unnoticed: Vec<_> = rules.filter(|rule| !is_noticed(*rule)).collect();
    assert!(
        unnoticed.is_empty(),
        "nothing is broken without {unnoticed:?}"
    );
}

#[test]
fn no_rule_of_the_controller_is_idle() {
    let all = metadata::Guard::ALL.iter().copied();
    all_are_noticed(all.map(Rule::Controller));
}

#[test]
fn no_rule_of_replicas_is_idle() {
    all_are_noticed(
        replication::Guard::OF_DECISIONS
            .into_iter()
            .map(Rule::Replica),
    );
}

#[test]
fn no_duty_of_the_bodies_is_idle() {
    all_are_noticed(Duty::ALL.into_iter().map(Rule::Body));
}

#[test]
fn no_rule_of_groups_is_idle() {
    let all = coordinators::Guard::ALL.iter().copied();
    all_are_noticed(all.map(Rule::Group));
}

#[test]
fn no_code_is_told_when_it_is_not_so() {
    all_are_noticed(Code::ALL.into_iter().map(Rule::Told));
}
