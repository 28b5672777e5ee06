//! Each rule is taken away, and somebody notices: else the lives would prove nothing of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use freshet_metadata as metadata;
use freshet_partition::replication;

use crate::life::live;
use crate::rules::{Duty, Rule};

/// Lives without a rule at most.
const LIVES: u64 = 400;

/// What is broken in a life without a rule.
fn broken(seed: u64, rule: Rule) -> Option<String> {
    let lived = catch_unwind(AssertUnwindSafe(|| live(seed, Some(rule))));
    match lived {
        Ok(lived) => lived.err(),
        Err(_) => Some("a brain could not believe it".to_owned()),
    }
}

fn is_noticed(rule: Rule) -> bool {
    let found = (0..LIVES).find_map(|seed| Some((seed, broken(seed, rule)?)));
    match &found {
        Some((seed, what)) => println!("without {rule:?}, seed {seed}: {what}"),
        None => println!("without {rule:?}: nothing in {LIVES} lives"),
    }
    found.is_some()
}

fn all_are_noticed(rules: impl Iterator<Item = Rule>) {
    let waits = |rule: &Rule| {
        use metadata::Guard as Controller;
        // Lives that notice these are still to be built.
        matches!(
            rule,
            Rule::Controller(
                Controller::CompareAndSet
                    | Controller::MemberEpochs
                    | Controller::MemberStanding
                    | Controller::ComersAreInSync
                    | Controller::UncleanEmptiesEligible
            ) | Rule::Replica(replication::Guard::OldBroker)
                | Rule::Body(Duty::LeaderEpochs | Duty::StaleIsOpen | Duty::OwnRegistration)
        )
    };
    let rules = rules.filter(|rule| !waits(rule));
    let unnoticed: Vec<_> = rules.filter(|rule| !is_noticed(*rule)).collect();
    assert!(
        unnoticed.is_empty(),
        "nothing is broken without {unnoticed:?}"
    );
}

#[test]
fn no_rule_of_the_controller_is_idle() {
    all_are_noticed(metadata::Guard::ALL.into_iter().map(Rule::Controller));
}

#[test]
fn no_rule_of_replicas_is_idle() {
    all_are_noticed(replication::Guard::ALL.into_iter().map(Rule::Replica));
}

#[test]
fn no_duty_of_the_bodies_is_idle() {
    all_are_noticed(Duty::ALL.into_iter().map(Rule::Body));
}
