use std::collections::BTreeMap;

use super::super::brokers::{Copies, Seen};
use super::*;

const NEW: Before<'_> = Before {
    settled: false,
    id: None,
    moving: false,
};
const SETTLED: Before<'_> = Before {
    settled: true,
    id: Some("id"),
    moving: false,
};

fn settings(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    all.iter().map(owned).collect()
}

fn wanted(config: &[(&str, &str)]) -> Wanted {
    Wanted {
        name: "orders".to_owned(),
        partitions: Some(3),
        replicas: Some(2),
        config: settings(config),
        assumed: None,
        deletes: true,
        paused: false,
        way: crate::clusters::Way::open(&["main:9092".to_owned()]),
    }
}

fn seen(partitions: usize, count: i32, overrides: &[(&str, &str)]) -> Seen {
    let copies = Copies {
        count,
        moving: false,
    };
    Seen {
        id: Some("id".to_owned()),
        partitions: vec![copies; partitions],
        overrides: settings(overrides),
    }
}

fn changes(wanted: &Wanted, seen: &Seen, before: Before<'_>) -> Changes {
    match plan(wanted, Some(seen), before) {
        Plan::Change(changes) => changes,
        other => panic!("not a change: {other:?}"),
    }
}

fn refusal(wanted: &Wanted, seen: Option<&Seen>) -> (bool, &'static str, String) {
    match plan(wanted, seen, NEW) {
        Plan::Object(objection) => (objection.spec, objection.reason, objection.message),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn nothing_is_done_where_all_is_as_asked() {
    let asked = [
        ("retention.ms", "1000"),
        ("min.cleanable.dirty.ratio", "1"),
        ("cleanup.policy", "compact,delete"),
    ];
    let there = [
        ("retention.ms", "1000"),
        ("min.cleanable.dirty.ratio", "1.0"),
        ("cleanup.policy", "delete,compact"),
        // A move is under way somewhere.
        ("leader.replication.throttled.replicas", "0:1"),
        ("follower.replication.throttled.replicas", "*"),
    ];
    for before in [NEW, SETTLED] {
        let changes = changes(&wanted(&asked), &seen(3, 2, &there), before);
        assert_eq!(changes, Changes::default());
        assert!(changes.is_empty());
    }
}

#[test]
fn what_is_not_named_is_as_it_is() {
    let open = Wanted {
        partitions: None,
        replicas: None,
        ..wanted(&[])
    };
    assert!(changes(&open, &seen(7, 1, &[]), SETTLED).is_empty());
    let Plan::Create(new) = plan(&open, None, NEW) else {
        panic!("it is created");
    };
    assert_eq!((new.partitions, new.replication), (None, None));
}

#[test]
fn a_topic_is_made_as_it_is_asked_for() {
    let Plan::Create(new) = plan(&wanted(&[("retention.ms", "1000")]), None, NEW) else {
        panic!("it is created");
    };
    assert_eq!(new.name, "orders");
    assert_eq!((new.partitions, new.replication), (Some(3), Some(2)));
    assert_eq!(
        new.configs,
        [("retention.ms".to_owned(), "1000".to_owned())]
    );
}

#[test]
fn a_topic_that_was_there_is_adopted_and_loses_nothing() {
    let there = seen(2, 1, &[("retention.ms", "5"), ("segment.ms", "9")]);
    let found = changes(&wanted(&[("retention.ms", "1000")]), &there, NEW);
    let set = ConfigChange::set("retention.ms", "1000");
    assert_eq!(found.configure, [set, ConfigChange::unset("segment.ms")]);
    assert_eq!((found.widen, found.replicate), (Some(3), Some(2)));
    assert_eq!(found.drift, Vec::<String>::new(), "nobody was asked before");
    assert_eq!(
        found.words(),
        "retention.ms, segment.ms, partitions, replicas"
    );
}

#[test]
fn partitions_never_shrink() {
    let (spec, reason, message) = refusal(&wanted(&[]), Some(&seen(5, 2, &[("segment.ms", "9")])));
    assert_eq!((spec, reason), (true, "PartitionsCannotShrink"));
    assert!(
        message.contains("has 5") && message.contains("asks for 3"),
        "{message}"
    );
}

#[test]
fn drift_is_what_differs_from_a_spec_that_was_reached() {
    let asked = wanted(&[("retention.ms", "1000")]);
    let there = seen(3, 3, &[("retention.ms", "5"), ("segment.ms", "9")]);
    let drift = |before| changes(&asked, &there, before).drift;
    assert_eq!(drift(SETTLED), ["retention.ms", "segment.ms", "replicas"]);
    // The copies are on their way.
    let moving = Before {
        moving: true,
        ..SETTLED
    };
    assert_eq!(drift(moving), ["retention.ms", "segment.ms"]);
    // The spec is new, or the topic is.
    let fresh = Before {
        settled: false,
        ..SETTLED
    };
    let other = Before {
        id: Some("another"),
        ..SETTLED
    };
    assert!(drift(fresh).is_empty() && drift(other).is_empty() && drift(NEW).is_empty());
}

#[test]
fn what_the_cluster_asks_for_is_nobodys_drift() {
    let mut asked = wanted(&[(REMOTE, "true")]);
    asked.assumed = Some(REMOTE);
    let found = changes(&asked, &seen(3, 2, &[]), SETTLED);
    assert_eq!(found.configure, [ConfigChange::set(REMOTE, "true")]);
    assert!(found.drift.is_empty());
}

#[test]
fn tiering_ends_only_when_it_is_told_to() {
    let there = seen(3, 2, &[(REMOTE, "true"), ("local.retention.ms", "5")]);
    let found = changes(&wanted(&[]), &there, SETTLED);
    assert_eq!(found.configure, [ConfigChange::unset("local.retention.ms")]);
    assert!(found.left.is_some_and(|why| why.contains(REMOTE)));
    let told = changes(&wanted(&[(REMOTE, "false")]), &there, SETTLED);
    assert!(told.configure.contains(&ConfigChange::set(REMOTE, "false")));
    assert_eq!(told.left, None);
}

#[test]
fn copies_under_way_are_not_asked_for_again() {
    let mut there = seen(3, 2, &[]);
    there.partitions[1].moving = true;
    assert!(changes(&wanted(&[]), &there, SETTLED).is_empty());
    assert_eq!((there.moving(), there.copies()), (1, Some(2)));
    // One partition has other copies than the rest.
    there.partitions[2].count = 1;
    assert_eq!(changes(&wanted(&[]), &there, SETTLED).replicate, Some(2));
    assert_eq!(there.copies(), Some(1));
}

#[test]
fn topics_of_the_brokers_are_looked_after_and_not_made() {
    let internal = Wanted {
        name: "__consumer_offsets".to_owned(),
        ..wanted(&[("segment.bytes", "104857600")])
    };
    let (spec, reason, _) = refusal(&internal, None);
    assert_eq!((spec, reason), (false, "InternalTopic"));
    for partitions in [1, 50] {
        let (spec, reason, _) = refusal(&internal, Some(&seen(partitions, 2, &[])));
        assert_eq!((spec, reason), (true, "InternalTopic"));
    }
    let found = changes(&internal, &seen(3, 1, &[]), NEW);
    assert_eq!(found.words(), "segment.bytes, replicas");
}
