//! Deleted topics leave the bucket, with all their names, and no others do.

use freshet_metadata::{
    AlterConfigs, AlterResource, ConfigChange, ConfigEdit, ConfigOp, ConfigTarget, DeleteTopics,
    TopicRef,
};
use freshet_tier::{ExportedTopic, newest_manifest};
use tokio::task::AbortHandle;

use super::*;

const OTHER: TopicId = TopicId([4; 16]);
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker that keeps the manifests of two topics of its own.
struct Graveyard {
    rig: Rig,
    shards: Arc<ManifestShards>,
    metadata: MetadataMachine,
    burying: AbortHandle,
}

impl Graveyard {
    fn new() -> Self {
        let ground = Ground::new();
        let topics = [
            ("t", AT.topic),
            ("other", OTHER),
            (MANIFESTS_TOPIC, TopicId([9; 16])),
        ];
        let metadata = metadata(&ground.statics, &topics);
        // Long enough for an upload. What is due goes one by one.
        let limits = Limits {
            grace_ms: 3000,
            attempt_ms: 2900,
            doomed: 1,
            ..Limits::default()
        };
        let shards = Arc::new(ManifestShards::new(limits, Arc::clone(&ground.clock)));
        let rig = Rig::with(ground, &metadata, Some(&shards));
        let burying = rig.custodians.bury(Arc::clone(&shards));
        Self {
            rig,
            shards,
            metadata,
            burying,
        }
    }

    /// The manifest, once it is as it is wanted and in the bucket; and once the other topic has one, too.
    async fn until(&self, what: &str, is_so: impl Fn(&Manifest) -> bool) -> Manifest {
        let describe = || Request {
            partition: AT,
            leader_epoch: -1,
            ask: Ask::Describe,
        };
        let waiting = async {
            loop {
                if let Ok(Ok(Answer::Manifest(manifest))) = self.shards.answer(0, describe()).await
                    && is_so(&manifest)
                    && manifest.exported() == manifest.version()
                    && self.shards.kept().await.len() == 2
                {
                    return *manifest;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("never {what}"))
    }

    /// The topic is deleted, and nobody looks after its partition any more.
    async fn bury(&mut self) {
        let topics = vec![TopicRef::Name("t".to_owned())];
        change(&mut self.metadata, DeleteTopics { topics }.into());
        let image = Arc::new(self.metadata.image().clone());
        self.rig.image.send_replace(image);
        let buried = async {
            while self.shards.kept().await.len() > 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let buried = tokio::time::timeout(PATIENCE, buried).await;
        buried.expect("buried");
        assert_eq!(self.shards.kept().await[0].topic, OTHER);
    }

    /// From now on its objects stay when it is deleted.
    fn keep(&mut self) {
        let edit = ConfigEdit {
            name: "freshet.remote.delete.on.topic.delete".to_owned(),
            op: ConfigOp::Set,
            value: Some("false".to_owned()),
        };
        let resource = AlterResource {
            target: ConfigTarget::Topic("t".to_owned()),
            change: ConfigChange::Edit(vec![edit]),
        };
        let alter = AlterConfigs {
            resources: vec![resource],
            validate_only: false,
        };
        change(&mut self.metadata, alter.into());
    }

    /// What the bucket says of deleted topics whose objects are kept.
    async fn kept(&self) -> Vec<(String, ExportedTopic)> {
        let objects = &self.rig.store.objects;
        let listing = objects.list(&self.rig.layout.all_kept(), None, 1000).await;
        let mut kept = Vec::new();
        for (key, _) in listing.expect("listed").objects {
            let length = objects.head(&key).await.expect("there").len_bytes;
            let bytes = objects.get_range(&key, 0..length).await.expect("read");
            kept.push((key, ExportedTopic::from_kept_bytes(&bytes).expect("sound")));
        }
        kept
    }

    async fn stop(self) {
        self.burying.abort();
        self.rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_leaves_the_bucket_and_nothing_else_does() {
    let mut yard = Graveyard::new();
    let mut end = 0;
    for _ in 0..3 {
        end = yard.rig.segment().await;
        yard.until("tiered", |manifest| manifest.remote_end() == end)
            .await;
    }
    let manifest = yard
        .until("tiered", |manifest| manifest.remote_end() == end)
        .await;
    yard.rig.check(&manifest).await;
    let others = [1, 7].map(|partition| TopicPartition { partition, ..AT });
    let others = others.map(|at| yard.rig.layout.manifest(at, 1));
    for key in &others {
        let bytes = Bytes::from_static(b"another partition's");
        yard.rig.store.objects.damage(key, bytes);
    }
    // Until a deletion is agreed, nothing goes.
    tokio::time::sleep(Duration::from_millis(4000)).await;
    yard.rig.check(&manifest).await;
    assert!(yard.rig.manifests().await.len() > 2);
    // Listings have several pages, and what is half done is gone on with.
    yard.rig.store.page.store(2, Ordering::Relaxed);
    yard.rig.store.spares.store(2, Ordering::Relaxed);
    yard.bury().await;
    let (objects, layout) = (&yard.rig.store.objects, &yard.rig.layout);
    let stays = newest_manifest(objects, layout, AT).await.expect("asked");
    let stays = stays.expect("a restore is told");
    let (bytes, stone) = stays.sound.expect("sound");
    assert!(stone.is_deleted() && stone.segments().is_empty());
    assert_eq!(bytes.len(), 59);
    assert_eq!(
        yard.rig.names().await,
        [layout.manifest(AT, stays.version)],
        "and nothing else"
    );
    for key in &others {
        objects.head(key).await.expect("not of this partition");
    }
    yard.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_when_nothing_is_left_of_it_leaves_no_name() {
    let mut yard = Graveyard::new();
    let mut end = 0;
    for _ in 0..2 {
        end = yard.rig.segment().await;
        yard.until("tiered", |manifest| manifest.remote_end() == end)
            .await;
    }
    yard.rig.partition().trim(end).await.expect("trimmed");
    yard.until("collected", |manifest| {
        manifest.segments().is_empty() && manifest.unnamed().is_empty()
    })
    .await;
    assert!(yard.rig.names().await.len() > 1);
    yard.rig.store.spares.store(2, Ordering::Relaxed);
    yard.bury().await;
    assert_eq!(yard.rig.names().await, [""; 0]);
    yard.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_a_topic_that_says_so_stay_with_what_a_restore_needs() {
    let mut yard = Graveyard::new();
    yard.keep();
    let mut ends = Vec::new();
    for _ in 0..3 {
        let end = yard.rig.segment().await;
        yard.until("tiered", |manifest| manifest.remote_end() == end)
            .await;
        ends.push(end);
    }
    // What is garbage when the topic is deleted is nobody's later.
    yard.rig.partition().trim(ends[0]).await.expect("trimmed");
    let manifest = yard
        .until("trimmed", |manifest| manifest.log_start() == ends[0])
        .await;
    assert_eq!(manifest.unnamed().len(), 1);
    yard.rig.store.spares.store(2, Ordering::Relaxed);
    yard.bury().await;
    let (objects, layout) = (&yard.rig.store.objects, &yard.rig.layout);
    let newest = newest_manifest(objects, layout, AT).await.expect("asked");
    let (_, newest) = newest.expect("there").sound.expect("sound");
    assert!(!newest.is_deleted());
    assert_eq!(newest.segments(), manifest.segments());
    yard.rig.check(&newest).await;
    let is_segment = |name: &ObjectName| matches!(name, ObjectName::Segment { .. });
    let left = yard.rig.objects().await.into_values().filter(is_segment);
    assert_eq!(left.count(), 2, "the third was garbage");
    let kept = yard.kept().await;
    let [(key, kept)] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    assert_eq!(*key, layout.kept(AT.topic, 0));
    assert_eq!(
        (kept.name.as_str(), kept.leader_epochs.as_slice()),
        ("t", &[0][..])
    );
    assert_eq!(kept.configs["remote.storage.enable"], "true");
    // Rounds and grace ages later nothing has changed.
    let before = yard.rig.names().await;
    tokio::time::sleep(Duration::from_millis(4000)).await;
    assert_eq!(yard.rig.names().await, before);
    yard.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_objects_leaves_nothing_to_keep_and_one_that_goes_takes_it_along() {
    let mut yard = Graveyard::new();
    yard.keep();
    let claimed = async {
        while yard.shards.kept().await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let claimed = tokio::time::timeout(PATIENCE, claimed).await;
    claimed.expect("claimed");
    yard.bury().await;
    assert_eq!(yard.kept().await, []);
    yard.stop().await;

    let mut yard = Graveyard::new();
    let end = yard.rig.segment().await;
    yard.until("tiered", |manifest| manifest.remote_end() == end)
        .await;
    // Left when it was deleted once before; and another topic's.
    for topic in [AT.topic, OTHER] {
        let key = yard.rig.layout.kept(topic, 7);
        let bytes = ExportedTopic {
            name: "t".to_owned(),
            id: topic,
            replication_factor: 1,
            leader_epochs: vec![7],
            configs: BTreeMap::new(),
        };
        let bytes = Bytes::from(bytes.to_kept_bytes());
        yard.rig.store.objects.damage(&key, bytes);
    }
    yard.bury().await;
    let left: Vec<_> = yard.kept().await.into_iter().map(|(_, it)| it.id).collect();
    assert_eq!(left, [OTHER]);
    yard.stop().await;
}
