//! Stores that refuse, and what is said of them.

use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{
    Listing, MemoryObjects, ObjectBody, ObjectError, ObjectFailure, ObjectHead, ObjectWait,
};
use freshet_tier::{ClusterExport, ExportedTopic, Manifest, Segment, SegmentId};
use freshet_types::{Timestamp, TopicPartition};

use super::*;

const AT: TopicPartition = TopicPartition {
    topic: TopicId([3; 16]),
    partition: 0,
};

/// Answers nothing but this; whether it lists is another thing.
#[derive(Debug, Default)]
struct Refusing {
    /// What is said of segments that begin here.
    says: BTreeMap<Offset, ObjectFailure>,
    lists: bool,
    asked: AtomicUsize,
}

impl Refusing {
    fn says(&self, key: &str) -> ObjectError {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let begins = |start: &Offset| key.contains(&format!("{start:020}"));
        let found = self.says.iter().find(|(start, _)| begins(start));
        ObjectError {
            doing: "ask for",
            key: key.to_owned(),
            failure: found.map_or(ObjectFailure::NotFound, |(_, failure)| *failure),
            why: "as the test wants it".to_owned(),
        }
    }
}

impl Objects for Refusing {
    fn put_new<'a>(&'a self, key: &'a str, _: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()> {
        Box::pin(async move { Err(self.says(key)) })
    }

    fn get_range<'a>(&'a self, key: &'a str, _: std::ops::Range<u64>) -> ObjectWait<'a, Bytes> {
        Box::pin(async move { Err(self.says(key)) })
    }

    fn head<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ObjectHead> {
        Box::pin(async move { Err(self.says(key)) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        _: Option<&'a str>,
        _: usize,
    ) -> ObjectWait<'a, Listing> {
        Box::pin(async move {
            let failure = ObjectFailure::Unreachable;
            let refused = ObjectError {
                failure,
                ..self.says(prefix)
            };
            let nothing = Listing {
                objects: Vec::new(),
                more: false,
            };
            self.lists.then_some(nothing).ok_or(refused)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ()> {
        Box::pin(async move { Err(self.says(key)) })
    }
}

/// Of one topic, of which nothing is known yet.
fn nothing() -> Verified {
    let topic = Topic {
        topic: "t".to_owned(),
        id: AT.topic.to_string(),
        partitions: 1,
        segments: 100,
        bytes: 0,
        offsets: 100,
        damaged: 0,
        unread: 0,
        deleted: false,
    };
    Verified {
        cluster_id: "c".to_owned(),
        topics: vec![topic],
        groups: 0,
        positions: 0,
        damaged: Vec::new(),
        unread: Vec::new(),
        damaged_books: Vec::new(),
        unread_books: Vec::new(),
        unnamed_topics: Vec::new(),
    }
}

async fn check(store: &Arc<Refusing>, starts: &[Offset]) -> anyhow::Result<Vec<Finding>> {
    let source = Source::of(Arc::clone(store) as Arc<dyn Objects>, "c");
    let progress = Arc::default();
    let mut checks = Checks::new(&source, false, Duration::from_millis(1), &progress);
    for start in starts {
        let segment = Segment {
            id: SegmentId([1; 16]),
            object_start: *start,
            start: *start,
            end: start + 1,
            generation: 0,
            size_bytes: 100,
            max_timestamp: Timestamp(1),
            epochs: Vec::new(),
        };
        checks.begin(AT, &segment).await?;
    }
    checks.end().await
}

#[tokio::test]
async fn what_is_refused_is_counted_and_the_others_are_looked_at() {
    let says = [
        (1, ObjectFailure::Denied),
        (2, ObjectFailure::Invalid),
        (3, ObjectFailure::Throttled),
    ];
    let store = Arc::new(Refusing {
        says: says.into(),
        lists: true,
        ..Refusing::default()
    });
    let starts: Vec<Offset> = (0..100).collect();
    let mut found = check(&store, &starts).await.expect("it walks on");
    found.sort_by_key(|(_, segment, _)| segment.start);
    let unread: Vec<Offset> = found
        .iter()
        .filter(|it| matches!(it.2, Fault::Unread(_)))
        .map(|it| it.1.start)
        .collect();
    assert_eq!((found.len(), unread), (100, vec![1, 2, 3]));
    let names = BTreeMap::from([(AT.topic, "t".to_owned())]);
    let mut verified = nothing();
    found.into_iter().for_each(|it| verified.note(&names, it));
    let [row] = &verified.topics[..] else {
        panic!("one topic");
    };
    assert_eq!((row.damaged, row.unread), (97, 3));
    let told = verdict(&verified).expect_err("it fails").to_string();
    assert!(
        told.contains("missing: 97 objects") && told.contains("read: 3 objects"),
        "{told}"
    );
    verified.damaged.clear();
    assert!(verdict(&verified).is_err(), "what is unread alone");
    verified.unread.clear();
    assert!(verdict(&verified).is_ok());
}

#[tokio::test]
async fn a_store_that_is_away_is_said_to_be_so_and_not_asked_for_each_object() {
    let store = Arc::new(Refusing {
        says: (0..1000).map(|n| (n, ObjectFailure::Unreachable)).collect(),
        ..Refusing::default()
    });
    let starts: Vec<Offset> = (0..1000).collect();
    let told = check(&store, &starts).await.expect_err("it ends");
    assert!(told.to_string().contains("the store is away"), "{told}");
    let asked = store.asked.load(Ordering::Relaxed);
    assert!(asked < 500, "asked {asked} times");
}

/// What is said of a bucket whose only manifest has these bytes.
async fn verified(manifest: Vec<u8>) -> Verified {
    let objects = Arc::new(MemoryObjects::default());
    let source = Source::of(Arc::clone(&objects) as Arc<dyn Objects>, "c");
    let topic = ExportedTopic {
        name: "t".to_owned(),
        id: AT.topic,
        replication_factor: 1,
        leader_epochs: vec![0],
        configs: BTreeMap::new(),
    };
    let cluster = ClusterExport {
        version: 1,
        next_producer_id: 0,
        topics: vec![topic],
        settings: Vec::new(),
    };
    let layout = source.layout();
    objects.damage(&layout.cluster(1), cluster.to_bytes().into());
    objects.damage(&layout.manifest(AT, 0), manifest.into());
    let args = Verify {
        from: String::new(),
        cluster_id: None,
        topics: Vec::new(),
        read: false,
    };
    let verified = verify(&source, &args, &Arc::default()).await;
    verified.expect("it lists")
}

#[tokio::test]
async fn a_newest_manifest_that_is_damaged_is_told() {
    let sound = Manifest::new(0, 0).export(AT).bytes;
    let told = verified(sound.clone()).await;
    assert!(told.damaged_books.is_empty() && verdict(&told).is_ok());
    let mut flipped = sound.clone();
    flipped[20] ^= 1;
    let cut = sound[..sound.len() / 2].to_vec();
    for damaged in [flipped, cut] {
        let told = verified(damaged).await;
        let [book] = &told.damaged_books[..] else {
            panic!("one is damaged: {:?}", told.damaged_books);
        };
        assert!(book.contains("/manifests/"), "{book}");
        assert!(verdict(&told).is_err());
    }
}
