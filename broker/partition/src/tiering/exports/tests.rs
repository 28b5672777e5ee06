//! Exports, from a cluster's metadata to what a restore reads.

use freshet_coordinators::groups::{Limits, OffsetValue};
use freshet_env::{SystemClock, SystemRng};
use freshet_metadata::{
    AllocateProducerIds, Ask as _, CreateTopics, DeleteTopics, FenceBroker, MetadataMachine,
    MetadataOptions, NewTopic, PastLife, RegisterBroker, Reply, RestoreTopics, TopicRef,
};
use freshet_types::{ClusterId, Machine, Millis, Now, Ticket, Timestamp, TopicId};

use super::*;
use crate::tiering::tests::Store;

/// A cluster's metadata, and brokers that export.
struct Rig {
    machine: MetadataMachine,
    image: watch::Sender<Arc<MetadataImage>>,
    store: Arc<Store>,
    layout: Layout,
    counts: Arc<CopyCounts>,
}

impl Rig {
    fn new(brokers: i32) -> Self {
        let machine = MetadataMachine::new(MetadataOptions::of(Arc::default()));
        let mut rig = Self {
            image: watch::Sender::new(Arc::new(machine.image().clone())),
            machine,
            store: Arc::default(),
            layout: Layout::new("", &ClusterId("c".into())),
            counts: Arc::default(),
        };
        for node in 1..=brokers {
            rig.change(RegisterBroker {
                node: NodeId(node),
                incarnation: [1; 16],
                listeners: Vec::new(),
                rack: None,
                directories: Vec::new(),
                features: Vec::new(),
                past: PastLife::None,
            });
        }
        rig
    }

    fn change(&mut self, request: impl Into<freshet_metadata::Request>) -> Reply {
        let now = Now {
            monotonic: Millis(1),
            wall: Timestamp(1_700_000_000_000),
        };
        let decision = self.machine.decide(now, Ticket(0), request.into());
        for record in &decision.records {
            self.machine.apply(record);
        }
        self.image
            .send_replace(Arc::new(self.machine.image().clone()));
        let (_, reply) = decision.replies.into_iter().next().expect("an answer");
        reply
    }

    fn create(&mut self, name: &str, id: u8) {
        self.create_with(name, id, &[]);
    }

    fn create_with(&mut self, name: &str, id: u8, more: &[(&str, &str)]) {
        let said = [("retention.ms", "7")].iter().chain(more);
        let topic = NewTopic {
            name: name.to_owned(),
            id: TopicId([id; 16]),
            partitions: 2,
            replication_factor: 1,
            configs: said
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect(),
            ..NewTopic::default()
        };
        let reply = self.change(CreateTopics {
            topics: vec![topic],
            validate_only: false,
        });
        let created = CreateTopics::answer(reply);
        assert!(created.iter().all(Result::is_ok), "{created:?}");
    }

    fn exporter(&self, node: i32) -> Exporter {
        let clock = Arc::new(SystemClock::new());
        Exporter::new(ExporterParts {
            objects: Arc::clone(&self.store) as _,
            layout: self.layout.clone(),
            image: self.image.subscribe(),
            groups: Arc::new(GroupShards::new(Limits::default(), clock)),
            me: NodeId(node),
            rng: Arc::new(SystemRng),
            interval_ms: Arc::new(|| 1),
            counts: Arc::clone(&self.counts),
        })
    }

    /// Versions that are there.
    async fn versions(&self) -> Vec<u64> {
        let listed = self.store.list(&self.layout.clusters(), None, 100).await;
        let names = listed.expect("it answers").objects.into_iter();
        names
            .filter_map(|(key, _)| Layout::export_version(&key))
            .collect()
    }

    async fn newest(&self) -> ClusterExport {
        let version = *self.versions().await.last().expect("an export");
        let key = self.layout.cluster(version);
        let head = self.store.head(&key).await.expect("it is there");
        let bytes = self.store.get_range(&key, 0..head.len_bytes).await;
        ClusterExport::from_bytes(&bytes.expect("it is there")).expect("whole")
    }
}

#[tokio::test]
async fn what_changes_is_exported_and_three_stay() {
    let mut rig = Rig::new(1);
    let mut exporter = rig.exporter(1);
    for (id, name) in (1..).zip(["a", "b", "c", "d", "__consumer_offsets"]) {
        rig.create(name, id);
        exporter.export_cluster().await.expect("exported");
        // Nothing has changed.
        exporter.export_cluster().await.expect("exported");
    }
    // The broker's own topic is not worth an export.
    assert_eq!(rig.versions().await.len(), KEPT);
    assert_eq!(rig.counts.cluster_exports.load(Ordering::Relaxed), 4);
    let export = rig.newest().await;
    let by_name = |it: &ExportedTopic| (it.name.clone(), it.clone());
    let topics: BTreeMap<_, _> = export.topics.iter().map(by_name).collect();
    assert!(topics.keys().eq(["a", "b", "c", "d"]), "{topics:?}");
    let first = &topics["a"];
    assert_eq!(
        (first.id, first.leader_epochs.as_slice()),
        (TopicId([1; 16]), &[0, 0][..])
    );
    assert_eq!(first.configs["retention.ms"], "7");
    rig.change(AllocateProducerIds { count: 1_000 });
    exporter.export_cluster().await.expect("exported");
    assert_eq!(rig.newest().await.next_producer_id, 1_000);
}

#[tokio::test]
async fn what_was_kept_of_a_topic_is_told_before_an_export_without_it() {
    let mut rig = Rig::new(1);
    let mut exporter = rig.exporter(1);
    for (id, name, keeps) in [(1, "a", "false"), (2, "b", "false"), (3, "c", "true")] {
        rig.create_with(
            name,
            id,
            &[("freshet.remote.delete.on.topic.delete", keeps)],
        );
    }
    exporter.export_cluster().await.expect("exported");
    // The second one has left nothing, the third one was not to be kept.
    for id in [1, 3] {
        let key = format!("{}0/x", rig.layout.topic(TopicId([id; 16])));
        let put = rig.store.put_new(&key, &mut Bytes::new()).await;
        put.expect("it is stored");
    }
    for name in ["a", "b", "c"] {
        rig.change(DeleteTopics {
            topics: vec![TopicRef::Name(name.to_owned())],
        });
    }
    let kept = |rig: &Rig| {
        let (store, all) = (Arc::clone(&rig.store), rig.layout.all_kept());
        async move { store.list(&all, None, 100).await.expect("names").objects }
    };
    *rig.store.refuses.lock() = Some((rig.layout.all_kept(), ObjectFailure::Denied));
    assert!(exporter.export_cluster().await.is_err());
    assert_eq!(rig.newest().await.topics.len(), 3);
    *rig.store.refuses.lock() = None;
    exporter.export_cluster().await.expect("exported");
    assert!(rig.newest().await.topics.is_empty());
    let told = kept(&rig).await;
    let [(key, head)] = &told[..] else {
        panic!("one was kept and has left something: {told:?}");
    };
    let bytes = rig.store.get_range(key, 0..head.len_bytes).await;
    let topic = ExportedTopic::from_kept_bytes(&bytes.expect("it is there")).expect("whole");
    assert_eq!((&*topic.name, topic.id), ("a", TopicId([1; 16])));
    assert_eq!(topic.leader_epochs.len(), 2);
    // Somebody else begins to export.
    exporter = rig.exporter(1);
    exporter.export_cluster().await.expect("nothing to do");
    assert_eq!(kept(&rig).await, told);
}

#[tokio::test]
async fn the_first_of_those_that_are_active_exports() {
    let mut rig = Rig::new(2);
    rig.create("a", 1);
    let (mut first, mut second) = (rig.exporter(1), rig.exporter(2));
    second.export_cluster().await.expect("nothing to do");
    assert!(rig.versions().await.is_empty());
    first.export_cluster().await.expect("exported");
    let before = rig.versions().await;
    assert_eq!(before.len(), 1);
    rig.change(FenceBroker {
        node: NodeId(1),
        epoch: 1,
    });
    second.export_cluster().await.expect("exported");
    first.export_cluster().await.expect("nothing to do");
    let after = rig.versions().await;
    assert!(after.last() > before.last(), "{before:?} {after:?}");
}

#[tokio::test]
async fn a_cluster_that_is_to_be_restored_overwrites_nothing() {
    let mut before = Rig::new(1);
    before.create("a", 1);
    before.exporter(1).export().await.expect("exported");
    let was = before.newest().await;
    // It has an earlier version, or a later one: it is not the one that exported.
    let mut rig = Rig {
        store: Arc::clone(&before.store),
        ..Rig::new(1)
    };
    for (id, name) in (2..).zip(["b", "c", "d"]) {
        let mut exporter = rig.exporter(1);
        exporter.export().await.expect("nothing to do");
        assert!(!exporter.may_export);
        assert_eq!(rig.newest().await, was);
        rig.create(name, id);
    }
    assert!(rig.machine.image().version() > was.version);
    let mut exporter = rig.exporter(1);
    rig.change(RestoreTopics {
        topics: Vec::new(),
        version: was.version + (1 << 32),
        producer_id: 0,
        validate_only: false,
    });
    exporter.export().await.expect("exported");
    assert_eq!(rig.newest().await.topics.len(), 3);
}

#[tokio::test]
async fn another_process_of_the_same_cluster_goes_on() {
    let mut rig = Rig::new(1);
    rig.create("a", 1);
    rig.create("b", 2);
    rig.exporter(1).export().await.expect("exported");
    let topics = vec![TopicRef::Id(TopicId([1; 16]))];
    rig.change(DeleteTopics { topics });
    rig.exporter(1).export().await.expect("exported");
    let newest = rig.newest().await;
    assert_eq!(newest.topics.len(), 1);
    // Nothing is known of an export that is damaged.
    let damaged = rig.layout.cluster(newest.version + 1);
    let mut body = Bytes::from_static(b"no export");
    rig.store
        .put_new(&damaged, &mut body)
        .await
        .expect("stored");
    rig.create("c", 3);
    rig.create("d", 4);
    rig.exporter(1).export().await.expect("exported");
    assert_eq!(rig.newest().await.topics.len(), 3);
}

#[tokio::test]
async fn a_store_that_is_away_gets_it_later() {
    let mut rig = Rig::new(1);
    rig.create("a", 1);
    let mut exporter = rig.exporter(1);
    rig.store.away.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let done = exporter.export_cluster().await;
        assert!(done.is_err());
        exporter.tell(done);
    }
    assert_eq!(rig.counts.failed_cluster_exports.load(Ordering::Relaxed), 2);
    rig.store.away.store(false, Ordering::Relaxed);
    exporter.export_cluster().await.expect("exported");
    assert_eq!(rig.newest().await.topics.len(), 1);
}

#[test]
fn settings_are_exported_and_secrets_are_not() {
    let values = [
        ("log.retention.ms", "5"),
        ("ssl.keystore.password", "hunter2"),
        ("listener.name.x.unheard.of", "hunter2"),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let values = Arc::new(Overrides::from(values));
    let told = |owner| {
        owned((&owner, &values))
            .values
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(told(ConfigOwner::Cluster), ["log.retention.ms"]);
    assert_eq!(told(ConfigOwner::Broker(NodeId(1))), ["log.retention.ms"]);
    assert_eq!(told(ConfigOwner::Group("g".to_owned())).len(), 3);
}

#[test]
fn positions_are_as_they_were_committed() {
    let value = OffsetValue {
        offset: 7,
        leader_epoch: 3,
        metadata: "m".into(),
        committed_at: Timestamp(1),
        expires_at: None,
        topic_id: TopicId::ZERO,
    };
    let topic = FetchedTopic {
        topic: "t".into(),
        topic_id: TopicId::ZERO,
        partitions: vec![(4, Some(value)), (5, None)],
    };
    let told = positions("g", &[topic]);
    assert_eq!(told.group, "g");
    let [of] = told.topics.as_slice() else {
        panic!("{told:?}");
    };
    let expected = Position {
        partition: 4,
        offset: 7,
        leader_epoch: 3,
        metadata: "m".to_owned(),
    };
    assert_eq!(
        (of.topic.as_str(), of.positions.as_slice()),
        ("t", &[expected][..])
    );
}
