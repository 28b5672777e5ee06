//! Deleted topics leave the bucket, with all their names, and no others do.

use freshet_metadata::{DeleteTopics, TopicRef};
use freshet_tier::newest_manifest;
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
