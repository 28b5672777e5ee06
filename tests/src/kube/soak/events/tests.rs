use std::collections::{HashMap, HashSet};

use super::{Class, Dealer, Event, KINDS, Kind, Step, World, go_together};

fn deal(seed: u64, count: usize) -> Vec<Step> {
    let mut dealer = Dealer::new(seed);
    (0..count).map(|_| dealer.deal()).collect()
}

#[test]
fn a_seed_gives_the_same_events_again_and_another_seed_others() {
    assert_eq!(deal(7, 100), deal(7, 100));
    assert_ne!(deal(7, 100), deal(8, 100));
}

#[test]
fn every_event_is_dealt_before_long() {
    for seed in 0..100 {
        let steps = deal(seed, 60);
        let seen: HashSet<Kind> = steps
            .iter()
            .flat_map(|step| &step.events)
            .map(|event| event.kind)
            .collect();
        for (kind, ..) in KINDS {
            assert!(seen.contains(kind), "seed {seed} never has {kind:?}");
        }
    }
}

#[test]
fn no_event_happens_where_it_cannot() {
    for seed in 0..100 {
        let mut world = World::default();
        for step in deal(seed, 200) {
            for event in &step.events {
                assert!(world.allows(event.kind), "seed {seed}: {step} in {world:?}");
            }
            if let [first, second] = step.events[..] {
                assert!(go_together(first.kind, second.kind), "seed {seed}: {step}");
            }
            world = step
                .events
                .iter()
                .fold(world, |world, event| world.after(*event));
            assert_eq!(world, step.world, "seed {seed}: {step}");
        }
    }
}

#[test]
fn two_at_a_time_happen_and_two_brokers_are_never_broken_at_once() {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for step in (0..20).flat_map(|seed| deal(seed, 100)) {
        *counts.entry(step.events.len()).or_default() += 1;
        let is_loss = |event: &&Event| event.kind.class() == Class::Loss;
        assert!(step.events.iter().filter(is_loss).count() <= 1, "{step}");
        if step.events.len() == 2 {
            let api = |event: &Event| event.kind.class() == Class::Api;
            assert!(!step.events.iter().any(api), "{step}");
        }
    }
    assert!(counts[&1] > 500 && counts[&2] > 500, "{counts:?}");
}

#[test]
fn a_node_with_the_only_voter_is_left_alone() {
    let alone = World {
        controller: true,
        ..World::default()
    };
    assert!(!alone.allows(Kind::NodeDies) && !alone.allows(Kind::NodeDrained));
    assert!(!go_together(Kind::ControllerComes, Kind::NodeDies));
    assert!(!go_together(Kind::ControllerDies, Kind::ControllerGoes));
    assert!(go_together(Kind::ControllerGoes, Kind::OperatorDies));
}

#[test]
fn what_an_operator_has_to_begin_is_not_asked_for_while_there_is_none() {
    assert!(!go_together(Kind::OperatorAway, Kind::ImageTurnedBack));
    assert!(!go_together(Kind::ImageTurnedBack, Kind::OperatorAway));
    assert!(!go_together(Kind::NodeDrained, Kind::OperatorAway));
    assert!(go_together(Kind::OperatorAway, Kind::Grow));
    assert!(go_together(Kind::OperatorDies, Kind::ImageTurnedBack));
}

#[test]
fn nobody_is_waited_for_who_cannot_come() {
    for asks in [Kind::NodeGone, Kind::BrokerStopped] {
        assert!(!go_together(asks, Kind::OperatorAway) && !go_together(Kind::RestartSetting, asks));
        assert!(go_together(asks, Kind::TopicsCome));
    }
    let five = World {
        replicas: 5,
        ..World::default()
    };
    assert!(!five.allows(Kind::NodeGone) && five.allows(Kind::BrokerStopped));
}
