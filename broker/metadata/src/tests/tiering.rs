//! What the controller decides about object storage: who tiers by default, and what stays of a deleted topic.

use freshet_settings::Overrides;
use freshet_types::StoredRecord;

use super::*;

const TIERS: &str = "freshet.remote.storage.enable";
const REMOTE: &str = "remote.storage.enable";
const MAY_GO: &str = "remote.log.delete.on.disable";
const GOES: &str = "freshet.remote.delete.on.topic.delete";
const STORE: [&str; 2] = [
    "remote.log.storage.system.enable=true",
    "remote.log.storage.url=file:///tmp",
];

/// One broker with object storage.
fn with_store(more: &[&str]) -> Cluster {
    let mut cluster = Cluster::with(&[&STORE, more].concat());
    cluster.ask(broker(1)).unwrap();
    cluster
}

fn named(name: &str) -> ConfigTarget {
    ConfigTarget::Topic(name.to_owned())
}

/// Sets, or takes away; says why not.
fn change(
    cluster: &mut Cluster,
    target: ConfigTarget,
    (name, value): (&str, Option<&str>),
) -> Result<(), String> {
    let edit = ConfigEdit {
        name: name.to_owned(),
        op: value.map_or(ConfigOp::Delete, |_| ConfigOp::Set),
        value: value.map(str::to_owned),
    };
    let change = ConfigChange::Edit(vec![edit]);
    let resources = vec![AlterResource { target, change }];
    let outcome = cluster.ask(AlterConfigs {
        resources,
        validate_only: false,
    });
    outcome
        .into_iter()
        .next()
        .unwrap()
        .map_err(|error| error.to_string())
}

fn create_with(cluster: &mut Cluster, name: &str, set: &[(&str, &str)]) -> Result<TopicId, String> {
    let config = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
    let topic = NewTopic {
        configs: set.iter().map(config).collect(),
        ..topic(name)
    };
    let created = cluster.ask(create(vec![topic])).remove(0);
    created.map(|it| it.id).map_err(|error| error.to_string())
}

fn delete(cluster: &mut Cluster, id: TopicId) {
    let topics = vec![TopicRef::Id(id)];
    cluster.ask(DeleteTopics { topics }).remove(0).unwrap();
}

/// An image that was read back from a snapshot's bytes.
fn read_back(cluster: &Cluster) -> MetadataImage {
    let mut image = MetadataImage::default();
    for record in cluster.machine.snapshot() {
        image.apply(&Record::from_bytes(&record.to_bytes()).unwrap());
    }
    image
}

#[test]
fn the_default_is_switched_off_when_no_topic_loses_what_it_has() {
    let mut cluster = with_store(&[]);
    cluster.create("before", 1);
    let set =
        |cluster: &mut Cluster, value| change(cluster, ConfigTarget::Cluster, (TIERS, Some(value)));
    set(&mut cluster, "true").unwrap();
    create_with(&mut cluster, "not", &[(REMOTE, "false")]).expect("it says no");
    create_with(&mut cluster, "yes", &[(REMOTE, "true")]).unwrap();
    create_with(&mut cluster, "__consumer_offsets", &[]).unwrap();
    let error = set(&mut cluster, "false").expect_err("a topic tiers");
    assert!(
        error.contains("before") && error.contains("1 of 1"),
        "{error}"
    );
    // Taking it away is switching it off, too.
    let error = change(&mut cluster, ConfigTarget::Cluster, (TIERS, None)).expect_err("the same");
    assert!(error.contains("before"), "{error}");
    change(&mut cluster, named("before"), (REMOTE, Some("false"))).expect_err("nor by the topic");
    change(&mut cluster, named("before"), (MAY_GO, Some("true"))).unwrap();
    set(&mut cluster, "false").unwrap();
    set(&mut cluster, "true").unwrap();
}

#[test]
fn the_default_needs_a_store_and_all_brokers() {
    let mut cluster = Cluster::of_brokers(1);
    let on = (TIERS, Some("true"));
    let error = change(&mut cluster, ConfigTarget::Cluster, on).expect_err("there is no store");
    assert!(error.contains("no object storage"), "{error}");
    let mut cluster = with_store(&[]);
    let error = change(&mut cluster, ConfigTarget::Broker(NodeId(1)), on).expect_err("for one");
    assert!(error.contains("all brokers at once"), "{error}");
    assert!(cluster.records.is_empty());
}

#[test]
fn what_stays_on_disks_is_never_set_to_more_than_all() {
    let mut cluster = with_store(&[]);
    let tiered = |cluster: &mut Cluster, name| create_with(cluster, name, &[(REMOTE, "true")]);
    for target in [ConfigTarget::Cluster, ConfigTarget::Broker(NodeId(1))] {
        for unit in ["ms", "bytes"] {
            let [local, all] = ["log.local.retention", "log.retention"];
            let [local, all] = [format!("{local}.{unit}"), format!("{all}.{unit}")];
            let mut set = |name: &str, value| change(&mut cluster, target.clone(), (name, value));
            set(&all, Some("50")).unwrap();
            let error = set(&local, Some("51")).expect_err("more than all");
            assert!(error.contains(&local) && error.contains("50"), "{error}");
            set(&local, Some("-1")).expect_err("no bound is more");
            set(&local, Some("50")).unwrap();
            let error = set(&all, Some("49")).expect_err("less than a part");
            assert!(error.contains(&all) && error.contains("49"), "{error}");
            set(&all, Some("-1")).unwrap();
            set(&local, Some("51")).unwrap();
            set(&local, None).unwrap();
            set(&all, None).unwrap();
        }
    }
    tiered(&mut cluster, "t").unwrap();
    // Without a store it means nothing, and topics are not kept from anything.
    let mut cluster = Cluster::of_brokers(1);
    let far = ("log.local.retention.ms", Some("-1"));
    change(&mut cluster, ConfigTarget::Cluster, far).unwrap();
}

#[test]
fn a_default_of_the_file_becomes_the_clusters() {
    let on = "freshet.remote.storage.enable=true";
    let mut cluster = with_store(&[on]);
    let of = |image: &MetadataImage| image.configs(&ConfigOwner::Cluster).get(TIERS).cloned();
    assert_eq!(of(cluster.image()), Some("true".to_owned()));
    cluster.create("orders", 1);
    change(&mut cluster, ConfigTarget::Cluster, (TIERS, Some("false"))).expect_err("orders tiers");
    // In the next life the file says nothing, and the topic tiers all the same.
    let mut other = Cluster::with(&STORE);
    let records = cluster.machine.snapshot();
    records.iter().for_each(|it| other.machine.apply(it));
    other.ask(broker(1)).unwrap();
    assert!(other.machine.layers().tiers_by_default());
    for value in [Some("false"), None] {
        change(&mut other, ConfigTarget::Cluster, (TIERS, value)).expect_err("orders tiers");
    }
    // As long as the file says so it cannot be taken away; another value can be set.
    change(&mut cluster, ConfigTarget::Cluster, (TIERS, None)).unwrap();
    assert_eq!(of(cluster.image()), Some("true".to_owned()));
    change(&mut cluster, named("orders"), (MAY_GO, Some("true"))).unwrap();
    change(&mut cluster, ConfigTarget::Cluster, (TIERS, Some("false"))).unwrap();
    cluster.ask(broker(1)).unwrap();
    assert_eq!(
        of(cluster.image()),
        Some("false".to_owned()),
        "who has said it is heeded"
    );
    assert_eq!(of(with_store(&[]).image()), None);
}

#[test]
fn what_a_topic_was_stays_with_its_objects() {
    let mut cluster = with_store(&[]);
    change(&mut cluster, ConfigTarget::Cluster, (TIERS, Some("true"))).unwrap();
    let kept = create_with(
        &mut cluster,
        "kept",
        &[(GOES, "false"), ("retention.ms", "-1")],
    )
    .unwrap();
    let gone = cluster.create("gone", 1);
    delete(&mut cluster, kept);
    delete(&mut cluster, gone);
    for image in [cluster.image(), &read_back(&cluster)] {
        assert!(image.is_deleted(kept) && image.is_deleted(gone));
        assert_eq!(image.kept(gone), None);
        let kept = image.kept(kept).expect("it is kept");
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let configs: Overrides = [(GOES, "false"), (REMOTE, "true"), ("retention.ms", "-1")]
            .map(owned)
            .into();
        let expected = KeptTopic {
            name: freshet_types::TopicName::new("kept").unwrap(),
            partitions: 1,
            replication_factor: 1,
            leader_epoch: 0,
            configs,
        };
        assert_eq!(**kept, expected);
    }
}

#[test]
fn the_brokers_may_say_that_objects_stay() {
    let mut cluster = with_store(&["freshet.remote.delete.on.topic.delete=false"]);
    let [kept, gone] = [("kept", "false"), ("gone", "true")].map(|(name, goes)| {
        create_with(
            &mut cluster,
            name,
            &[(GOES, goes)][usize::from(goes == "false")..],
        )
        .unwrap()
    });
    delete(&mut cluster, kept);
    delete(&mut cluster, gone);
    assert!(cluster.image().kept(kept).is_some() && cluster.image().kept(gone).is_none());
    let internal = cluster.create("__consumer_offsets", 1);
    delete(&mut cluster, internal);
    assert!(cluster.image().kept(internal).is_none(), "it never had any");
}

#[test]
fn what_was_kept_comes_back_and_nothing_else() {
    let mut cluster = with_store(&[]);
    let kept = create_with(&mut cluster, "kept", &[(GOES, "false")]).unwrap();
    delete(&mut cluster, kept);
    let asked = RestoredTopic {
        topic: NewTopic {
            partitions: 1,
            ..topic("kept")
        },
        leader_epoch: 40,
    };
    let request = RestoreTopics {
        topics: vec![asked],
        version: 0,
        producer_id: 0,
        validate_only: false,
    };
    let created = cluster.ask(request.clone()).remove(0).unwrap();
    assert_eq!(created.id, kept);
    for image in [cluster.image(), &read_back(&cluster)] {
        assert!(image.topic_by_id(kept).is_some() && !image.is_deleted(kept));
        assert_eq!(image.kept(kept), None);
    }
    // Its second life says nothing: it is deleted with its objects, and for good.
    delete(&mut cluster, kept);
    assert!(cluster.image().is_deleted(kept) && cluster.image().kept(kept).is_none());
    let refused = cluster.ask(request).remove(0).expect_err("gone");
    assert!(
        refused.to_string().contains("has been deleted"),
        "{refused}"
    );
}

#[test]
fn what_is_forgotten_is_kept_no_more() {
    let mut cluster = with_store(&[]);
    let kept = create_with(&mut cluster, "kept", &[(GOES, "false")]).unwrap();
    delete(&mut cluster, kept);
    let mut image = read_back(&cluster);
    for i in 0..10_000_u32 {
        assert!(image.kept(kept).is_some() && image.is_deleted(kept), "{i}");
        let mut id = [8; 16];
        id[..4].copy_from_slice(&i.to_be_bytes());
        let id = TopicId(id);
        image.apply(&Record::TopicDeleted { id, kept: None });
    }
    assert!(image.kept(kept).is_none() && !image.is_deleted(kept));
}
