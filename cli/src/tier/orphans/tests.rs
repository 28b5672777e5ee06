//! What is named stays; what is not is told, and goes only as it was looked at.

use bytes::Bytes;
use std::sync::Arc;

use freshet_env::Objects;
use freshet_env::objects::MemoryObjects;
use freshet_tier::{Change, Changed, ExportedTopic, Manifest};

use super::*;

const DAY_MS: i64 = 86_400_000;

impl Orphan {
    /// One without objects.
    pub(in crate::tier) fn sample(id: TopicId, says: Says) -> Self {
        Self {
            says,
            modified: Timestamp(0),
            ..Self::without_objects(id)
        }
    }
}

fn id(n: u8) -> TopicId {
    TopicId([n; 16])
}

fn topic(n: u8) -> ExportedTopic {
    ExportedTopic {
        name: format!("t{n}"),
        id: id(n),
        replication_factor: 1,
        leader_epochs: vec![0],
        configs: BTreeMap::new(),
    }
}

struct Rig {
    objects: Arc<MemoryObjects>,
    source: Source,
}

impl Rig {
    fn new() -> Self {
        let objects = Arc::new(MemoryObjects::default());
        let source = Source::of(Arc::clone(&objects) as Arc<dyn Objects>, "c");
        Self { objects, source }
    }

    fn export(&self, version: u64, topics: &[u8]) {
        let export = ClusterExport {
            version,
            next_producer_id: 0,
            topics: topics.iter().map(|n| topic(*n)).collect(),
            settings: Vec::new(),
        };
        let key = self.source.layout().cluster(version);
        self.objects.damage(&key, export.to_bytes().into());
    }

    fn keep(&self, n: u8) {
        let key = self.source.layout().kept(id(n), 0);
        self.objects.damage(&key, topic(n).to_kept_bytes().into());
    }

    /// A segment of a partition, and a manifest if one is said.
    fn store(&self, n: u8, manifest: Option<&[u8]>) {
        let (layout, at) = (self.source.layout(), at(n));
        let segment = freshet_tier::SegmentId([n; 16]);
        let key = layout.segment(at, 0, segment);
        self.objects.damage(&key, Bytes::from_static(b"records"));
        if let Some(manifest) = manifest {
            let version = Manifest::restore(manifest).map_or(0, |(_, it)| it.version());
            let key = layout.manifest(at, version);
            self.objects.damage(&key, Bytes::copy_from_slice(manifest));
        }
    }

    async fn look(&self, present: &[u8]) -> Result<(Named, Vec<Orphan>)> {
        let present = present.iter().map(|n| (id(*n), format!("t{n}"))).collect();
        let named = named(&self.source).await?;
        named.must_agree(&present)?;
        let now = now(&self.source).await?;
        let found = orphans(&self.source, (&named, &present), now).await?;
        Ok((named, found))
    }

    async fn left(&self, n: u8) -> usize {
        let home = self.source.layout().topic(id(n));
        self.source.names(&home).await.expect("a listing").len()
    }
}

fn at(n: u8) -> TopicPartition {
    TopicPartition {
        topic: id(n),
        partition: 3,
    }
}

fn alive(n: u8) -> Vec<u8> {
    Manifest::new(0, 0).export(at(n)).bytes
}

fn deleted(n: u8) -> Vec<u8> {
    let keep_objects = false;
    let mut manifest = Manifest::new(0, 0);
    let heard = manifest.follow(&Changed {
        changes: vec![Change::Deleted { keep_objects }],
        version: manifest.version() + 1,
    });
    assert!(heard && manifest.is_deleted());
    manifest.export(at(n)).bytes
}

#[tokio::test]
async fn what_the_cluster_an_export_or_a_kept_topic_names_is_no_orphan() {
    let rig = Rig::new();
    rig.export(1, &[1, 2]);
    rig.export(2, &[1]);
    rig.keep(3);
    for n in 1..=4 {
        rig.store(n, Some(&alive(n)));
    }
    rig.objects.damage(
        &format!("{}strange/x", rig.source.layout().home()),
        Bytes::new(),
    );
    let (_, found) = rig.look(&[1]).await.expect("they agree");
    let [orphan] = &found[..] else {
        panic!("1 lives, 2 is in an earlier export, 3 was kept: {found:?}");
    };
    assert_eq!(
        (orphan.id, orphan.objects, orphan.partitions),
        (id(4), 2, 1)
    );
    let probes = rig.source.names(&rig.source.layout().probes()).await;
    assert!(probes.expect("a listing").is_empty(), "the probe is gone");
}

#[tokio::test]
async fn nothing_is_judged_where_cluster_and_export_differ_or_an_export_is_damaged() {
    let rig = Rig::new();
    rig.store(4, None);
    let none = rig.look(&[]).await.expect_err("nothing was exported");
    assert!(none.to_string().contains("no export"), "{none}");
    rig.export(1, &[1, 2]);
    for present in [&[1][..], &[1, 2, 3], &[]] {
        let told = rig.look(present).await.expect_err("one is behind");
        assert!(told.to_string().contains("do not name the same"), "{told}");
    }
    assert_eq!(rig.look(&[1, 2]).await.expect("they agree").1.len(), 1);
    let key = rig.source.layout().cluster(0);
    rig.objects.damage(&key, Bytes::from_static(b"torn"));
    assert!(rig.look(&[1, 2]).await.is_err(), "an older one is damaged");
}

#[tokio::test]
async fn ages_are_those_of_the_newest_object_by_the_clock_of_the_store() {
    let rig = Rig::new();
    rig.export(1, &[]);
    rig.objects.set_now(Timestamp(DAY_MS));
    rig.store(4, Some(&alive(4)));
    rig.objects.set_now(Timestamp(3 * DAY_MS));
    let segment = freshet_tier::SegmentId([9; 16]);
    let late = rig.source.layout().segment(at(4), 7, segment);
    rig.objects.damage(&late, Bytes::new());
    rig.objects.set_now(Timestamp(10 * DAY_MS));
    let (_, found) = rig.look(&[]).await.expect("they agree");
    assert_eq!(found[0].age_ms, 7 * DAY_MS.unsigned_abs());
    // A clock that has gone back makes it young.
    rig.objects.set_now(Timestamp(0));
    let (_, found) = rig.look(&[]).await.expect("they agree");
    assert_eq!(found[0].age_ms, 0);
}

#[tokio::test]
async fn manifests_say_whether_it_was_deleted() {
    let rig = Rig::new();
    rig.export(1, &[]);
    let mut torn = alive(3);
    torn[20] ^= 1;
    rig.store(1, Some(&deleted(1)));
    rig.store(2, Some(&alive(2)));
    rig.store(3, Some(&torn));
    rig.store(4, None);
    rig.store(5, Some(&deleted(5)));
    let strange = format!("{}3/notes", rig.source.layout().topic(id(5)));
    rig.objects.damage(&strange, Bytes::new());
    let (_, found) = rig.look(&[]).await.expect("they agree");
    let says: Vec<Says> = found.iter().map(|orphan| orphan.says).collect();
    let undeleted = Says::Undeleted;
    assert_eq!(
        says,
        [
            Says::Deleted,
            undeleted,
            undeleted,
            undeleted,
            Says::Foreign
        ]
    );
}

#[tokio::test]
async fn what_is_collected_is_what_was_looked_at_and_is_still_unnamed() {
    let rig = Rig::new();
    rig.export(1, &[]);
    for n in [4, 5, 6] {
        rig.store(n, Some(&deleted(n)));
    }
    let (named, found) = rig.look(&[]).await.expect("they agree");
    let [first, second, third] = &found[..] else {
        panic!("three: {found:?}");
    };
    assert_eq!(
        collect(&rig.source, &named, first).await.expect("it goes"),
        2
    );
    assert_eq!((rig.left(4).await, rig.left(5).await), (0, 2));
    // Somebody restores it.
    rig.export(2, &[5]);
    assert!(collect(&rig.source, &named, second).await.is_err());
    assert_eq!(rig.left(5).await, 2);
    rig.objects.set_now(Timestamp(1));
    rig.store(6, None);
    assert!(collect(&rig.source, &named, third).await.is_err());
    assert_eq!(rig.left(6).await, 2, "somebody writes there");
}
