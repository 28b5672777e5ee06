//! Topics that there were before.

use freshet_types::LeaderEpoch;

use super::*;

fn restored(name: &str, leader_epoch: LeaderEpoch) -> RestoredTopic {
    RestoredTopic {
        topic: NewTopic {
            partitions: 2,
            ..topic(name)
        },
        leader_epoch,
    }
}

fn restore(topics: Vec<RestoredTopic>) -> RestoreTopics {
    RestoreTopics {
        topics,
        version: 0,
        producer_id: 0,
        validate_only: false,
    }
}

#[test]
fn a_topic_comes_back_in_a_later_epoch() {
    let mut cluster = Cluster::of_brokers(1);
    let asked = restored("orders", 40);
    let id = asked.topic.id;
    let created = cluster.ask(restore(vec![asked])).remove(0).unwrap();
    assert_eq!((created.id, created.partitions), (id, 2));
    for number in 0..2 {
        let partition = cluster.partition("orders", number);
        assert_eq!((partition.leader_epoch, partition.partition_epoch), (40, 0));
    }
}

#[test]
fn what_was_done_is_not_done_again() {
    let mut cluster = Cluster::of_brokers(1);
    let before = cluster.image().version();
    let request = RestoreTopics {
        version: before + 100,
        producer_id: 5_000,
        ..restore(Vec::new())
    };
    assert!(cluster.ask(request.clone()).is_empty());
    assert!(cluster.image().version() > before + 100);
    let block = cluster.ask(AllocateProducerIds { count: 10 }).unwrap();
    assert_eq!(block.first, 5_000);
    // Floors never go down, and those that hold are not written again.
    let version = cluster.image().version();
    cluster.ask(request);
    assert!(cluster.records.is_empty());
    assert_eq!(cluster.image().version(), version);
    assert_eq!(cluster.image().next_producer_id(), 5_010);
}

#[test]
fn a_dry_run_of_a_restore_changes_nothing() {
    let mut cluster = Cluster::of_brokers(1);
    let request = RestoreTopics {
        version: 1_000_000,
        producer_id: 5_000,
        validate_only: true,
        ..restore(vec![restored("orders", 40)])
    };
    let created = cluster.ask(request).remove(0).unwrap();
    assert!(created.id.is_zero());
    assert!(cluster.records.is_empty());
}

#[test]
fn each_is_refused_for_a_reason_of_its_own() {
    let mut cluster = Cluster::of_brokers(1);
    let gone = cluster.create("gone", 1);
    cluster.create("taken", 1);
    let topics = vec![TopicRef::Id(gone)];
    cluster.ask(DeleteTopics { topics }).remove(0).unwrap();
    let mut other = restored("taken", 1);
    other.topic.id = TopicId([9; 16]);
    let mut nameless = restored("nameless", 1);
    nameless.topic.id = TopicId::ZERO;
    let answers = cluster.ask(restore(vec![
        other,
        restored("gone", 1),
        restored("early", -1),
        nameless,
        restored("fine", 1),
    ]));
    let told: Vec<String> = answers
        .into_iter()
        .map(|answer| answer.map_or_else(|error| error.to_string(), |_| "created".to_owned()))
        .collect();
    for (told, expected) in told.iter().zip([
        "already exists",
        "has been deleted",
        "negative",
        "needs an id",
        "created",
    ]) {
        assert!(told.contains(expected), "{told}: {expected}");
    }
}
