use std::collections::BTreeMap;

use freshet_types::{Position, Published, StoredRecord};
use proptest::prelude::*;

use super::*;

/// One step of a life, small numbers so that steps meet.
fn request() -> impl Strategy<Value = Request> {
    let name = (0..6u8).prop_map(|n| ["a", "b", "a.b", "a_b", "c", "bad name"][usize::from(n)]);
    let create = (
        name.clone(),
        any::<[u8; 16]>(),
        -1..4i32,
        -1..3i16,
        any::<bool>(),
    )
        .prop_map(|(name, id, partitions, replication_factor, flush)| {
            let flush = flush.then(|| ("flush.ms".to_owned(), Some("7".to_owned())));
            let topic = NewTopic {
                id: TopicId(id),
                partitions,
                replication_factor,
                configs: flush.into_iter().collect(),
                ..topic(name)
            };
            create(vec![topic]).into()
        });
    let delete = name.clone().prop_map(|name| {
        DeleteTopics {
            topics: vec![TopicRef::Name(name.into())],
        }
        .into()
    });
    let grow = (name.clone(), 0..6i32).prop_map(|(name, count)| {
        let more = MorePartitions {
            name: name.into(),
            count,
            assignments: None,
        };
        CreatePartitions {
            topics: vec![more],
            validate_only: false,
        }
        .into()
    });
    let alter = (name, 0..4u8, any::<bool>()).prop_map(|(name, target, set)| {
        let (target, setting) = match target {
            0 => (ConfigTarget::Topic(name.into()), "retention.ms"),
            1 => (ConfigTarget::Cluster, "log.retention.ms"),
            2 => (ConfigTarget::Broker(NodeId(1)), "log.retention.ms"),
            _ => (
                ConfigTarget::Group(name.into()),
                "consumer.heartbeat.interval.ms",
            ),
        };
        let op = if set { ConfigOp::Set } else { ConfigOp::Delete };
        let edit = ConfigEdit {
            name: setting.into(),
            op,
            value: Some("5".into()),
        };
        let change = ConfigChange::Edit(vec![edit]);
        AlterConfigs {
            resources: vec![AlterResource { target, change }],
            validate_only: false,
        }
        .into()
    });
    let register = (1..4i32, 0..3u8).prop_map(|(node, life)| {
        RegisterBroker {
            incarnation: [life; 16],
            ..broker(node)
        }
        .into()
    });
    let ids = Just(AllocateProducerIds { count: 10 }.into());
    prop_oneof![4 => create, 2 => delete, 2 => grow, 2 => alter, 2 => register, 1 => ids]
}

fn machine() -> MetadataMachine {
    MetadataMachine::new(MetadataOptions::of(statics(&[])))
}

/// All there is to see in an image, with its position left out.
fn seen(image: &MetadataImage) -> String {
    let topics: BTreeMap<_, _> = image.topics().map(|t| (t.name.to_string(), t)).collect();
    let brokers: Vec<_> = image.brokers().collect();
    let owners: Vec<_> = image.config_owners().collect();
    let counts = (image.topic_count(), image.partition_count());
    format!(
        "{topics:?} {brokers:?} {owners:?} {counts:?} {:?}",
        image.features()
    )
}

/// The topics that differ, found by looking at all.
fn differing(old: &MetadataImage, new: &MetadataImage) -> (Vec<TopicId>, Vec<TopicId>) {
    let changed = new.topics().filter(|t| old.topic_by_id(t.id) != Some(*t));
    let gone = old.topics().filter(|t| new.topic_by_id(t.id).is_none());
    let mut found = (
        changed.map(|t| t.id).collect::<Vec<_>>(),
        gone.map(|t| t.id).collect::<Vec<_>>(),
    );
    found.0.sort_unstable();
    found.1.sort_unstable();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replay_and_snapshot_give_the_same_state(life in prop::collection::vec(request(), 1..40), cut in 0..40usize) {
        let mut live = machine();
        let mut log: Vec<Vec<u8>> = Vec::new();
        let mut images = vec![live.publish(Position::START)];
        for request in life {
            let decision = live.decide(NOW, Ticket(0), request);
            for record in decision.records {
                live.apply(&record);
                log.push(record.to_bytes());
            }
            images.push(live.publish(Position { offset: log.len() as i64 - 1, epoch: 0 }));
        }
        let read = |bytes: &Vec<u8>| Record::from_bytes(bytes).unwrap();
        let mut replayed = machine();
        log.iter().for_each(|bytes| replayed.apply(&read(bytes)));
        prop_assert_eq!(seen(replayed.image()), seen(live.image()));
        prop_assert_eq!(replayed.snapshot(), live.snapshot());
        let mut restored = machine();
        for record in live.snapshot() {
            restored.apply(&read(&record.to_bytes()));
        }
        prop_assert_eq!(seen(restored.image()), seen(live.image()));
        prop_assert_eq!(restored.snapshot(), live.snapshot());
        // Later decisions agree too: ids, epochs and collisions are part of the state.
        for request in [Request::from(AllocateProducerIds { count: 5 }), broker(9).into(), create(vec![topic("a_b")]).into()] {
            let decide = |m: &mut MetadataMachine| m.decide(NOW, Ticket(0), request.clone()).records;
            prop_assert_eq!(decide(&mut restored), decide(&mut live));
        }
        let old = &images[cut.min(images.len() - 1)];
        let new = images.last().unwrap();
        let changes = new.changes_since(old);
        let mut topics: Vec<_> = changes.topics.iter().map(|t| t.id).collect();
        let mut deleted: Vec<_> = changes.deleted.iter().map(|t| t.id).collect();
        topics.sort_unstable();
        deleted.sort_unstable();
        prop_assert_eq!((topics, deleted), differing(old, new));
        prop_assert!(new.changes_since(new).is_empty());
    }

    #[test]
    fn unreadable_bytes_are_an_error(bytes: Vec<u8>) {
        let _ = Record::from_bytes(&bytes);
        for kind in 1..=11i16 {
            let mut framed = kind.to_be_bytes().to_vec();
            framed.extend_from_slice(&[0, 0]);
            framed.extend_from_slice(&bytes);
            let _ = Record::from_bytes(&framed);
        }
    }
}

#[test]
fn an_old_image_does_not_change() {
    let mut cluster = Cluster::of_brokers(1);
    cluster.create("a", 1);
    let before = cluster.machine.publish(Position::START);
    let text = seen(&before);
    cluster.create("b", 1);
    let more = MorePartitions {
        name: "a".into(),
        count: 3,
        assignments: None,
    };
    cluster.ask(CreatePartitions {
        topics: vec![more],
        validate_only: false,
    });
    assert_eq!(seen(&before), text);
    assert_eq!(cluster.image().partition_count(), 4);
}
