//! What objects are called (docs/formats/tier.md).
//!
//! A topic's id comes first in all that belongs to it: it is random, so buckets that split their
//! key space by prefix spread the load, and one listing gives one partition.

use freshet_records::crc32c;
use freshet_types::{ClusterId, LeaderEpoch, NodeId, Offset, PartitionId, TopicId, TopicPartition};

use crate::codec::MOST_VERSION;
use crate::segment::SegmentId;

/// Which of `shards` partitions of the internal topic keeps a partition's manifest. It is part of the
/// format: the number of partitions of that topic never changes.
pub fn shard_of(partition: TopicPartition, shards: i32) -> PartitionId {
    let mut key = [0; 20];
    key[..16].copy_from_slice(&partition.topic.0);
    key[16..].copy_from_slice(&partition.partition.to_be_bytes());
    let shards = u32::try_from(shards).unwrap_or(1).max(1);
    i32::try_from(crc32c(&key) % shards).expect("below a positive i32")
}

/// What objects of all clusters begin with, below the prefix of a bucket; the cluster's id comes next.
pub const CLUSTERS: &str = "freshet/";

/// What claims begin with, below the prefix of a bucket: which cluster has come to it while it was empty. No cluster's
/// objects begin so.
pub const CLAIMS: &str = "freshet.claims/";

/// The name of the `nth` claim, which takes the place of those before.
pub fn claim(nth: u32) -> String {
    format!("{CLAIMS}{nth:010}")
}

/// Which claim has this name; `None` for what is no claim.
pub fn nth_claim(key: &str) -> Option<u32> {
    let nth = key.strip_prefix(CLAIMS)?.parse().ok()?;
    (claim(nth) == key).then_some(nth)
}

/// Names objects of one cluster below one prefix of a bucket.
#[derive(Debug, Clone)]
pub struct Layout {
    root: String,
}

/// What an object of a partition is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectName {
    /// A segment.
    Segment {
        /// First offset in it.
        start: Offset,
        /// Which attempt wrote it.
        id: SegmentId,
    },
    /// A manifest.
    Manifest {
        /// How many changes it has seen.
        version: u64,
    },
}

impl Layout {
    /// Below `prefix`, which may be empty; slashes at its ends do not count.
    pub fn new(prefix: &str, cluster: &ClusterId) -> Self {
        let prefix = prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        Self {
            root: format!("{prefix}{slash}{CLUSTERS}{cluster}"),
        }
    }

    /// All objects of the cluster begin with this.
    pub fn home(&self) -> String {
        format!("{}/", self.root)
    }

    /// What all exports of topics and settings begin with.
    pub fn clusters(&self) -> String {
        format!("{}/cluster/", self.root)
    }

    /// Topics and settings as of a version of the metadata.
    pub fn cluster(&self, version: u64) -> String {
        format!("{}{version:020}", self.clusters())
    }

    /// What all positions of groups begin with.
    pub fn all_positions(&self) -> String {
        format!("{}/groups/", self.root)
    }

    /// What all positions of groups begin with that one broker has exported.
    pub fn positions_of(&self, node: NodeId) -> String {
        format!("{}{node}/", self.all_positions())
    }

    /// Positions of groups as of a version of the metadata; the `nth` that this broker exports in it.
    pub fn positions(&self, node: NodeId, version: u64, nth: u32) -> String {
        format!("{}{version:020}-{nth:010}", self.positions_of(node))
    }

    /// The version that is in the name of an export.
    pub fn export_version(key: &str) -> Option<u64> {
        let (_, name) = key.rsplit_once('/')?;
        let version = name.split_once('-').map_or(name, |(version, _)| version);
        let is_ours = version.len() == 20 && version.bytes().all(|it| it.is_ascii_digit());
        is_ours.then(|| version.parse().ok())?
    }

    /// What all says begin with that tell of deleted topics whose objects were kept.
    pub fn all_kept(&self) -> String {
        format!("{}/kept/", self.root)
    }

    /// What those begin with that tell of one of them. It may have been deleted more than once.
    pub fn kept_of(&self, topic: TopicId) -> String {
        format!("{}{topic}/", self.all_kept())
    }

    /// What a deleted topic was whose objects were kept, the latest epoch of its leaders being this one.
    pub fn kept(&self, topic: TopicId, leader_epoch: LeaderEpoch) -> String {
        format!("{}{leader_epoch:010}", self.kept_of(topic))
    }

    /// What a broker stores for a moment, to see whether it may.
    pub fn probe(&self, nonce: [u8; 16]) -> String {
        format!("{}{:032x}", self.probes(), u128::from_be_bytes(nonce))
    }

    /// What all begin with that brokers store for a moment.
    pub fn probes(&self) -> String {
        format!("{}/probe/", self.root)
    }

    /// All objects of a topic begin with this.
    pub fn topic(&self, topic: TopicId) -> String {
        format!("{}/{topic}/", self.root)
    }

    /// All objects of a partition begin with this.
    pub fn partition(&self, partition: TopicPartition) -> String {
        let TopicPartition { topic, partition } = partition;
        format!("{}/{topic}/{partition}/", self.root)
    }

    /// A segment's object. The start has 20 digits: listings come in the order of offsets.
    pub fn segment(&self, partition: TopicPartition, start: Offset, id: SegmentId) -> String {
        format!("{}{start:020}-{id}", self.segments(partition))
    }

    /// What all segments of a partition begin with.
    pub fn segments(&self, partition: TopicPartition) -> String {
        format!("{}segments/", self.partition(partition))
    }

    /// The manifest as of a version.
    pub fn manifest(&self, partition: TopicPartition, version: u64) -> String {
        format!("{}{version:020}", self.manifests(partition))
    }

    /// What all manifests of a partition begin with.
    pub fn manifests(&self, partition: TopicPartition) -> String {
        format!("{}manifests/", self.partition(partition))
    }

    /// Reads a name back; `None` for what is not of this partition, or not ours.
    pub fn parse(&self, partition: TopicPartition, key: &str) -> Option<ObjectName> {
        let rest = key.strip_prefix(&self.partition(partition))?;
        let name = match rest.split_once('/')? {
            ("segments", name) => {
                let (start, id) = name.split_once('-')?;
                let (start, id) = (start.parse().ok()?, parse_id(id)?);
                ObjectName::Segment { start, id }
            }
            ("manifests", name) => {
                let version = name.parse().ok()?;
                (version <= MOST_VERSION).then_some(ObjectName::Manifest { version })?
            }
            _ => return None,
        };
        // One spelling for each object: what we would not write is not ours.
        (self.key(partition, name) == key).then_some(name)
    }

    fn key(&self, partition: TopicPartition, name: ObjectName) -> String {
        match name {
            ObjectName::Segment { start, id } => self.segment(partition, start, id),
            ObjectName::Manifest { version } => self.manifest(partition, version),
        }
    }
}

fn parse_id(text: &str) -> Option<SegmentId> {
    let digits = text.as_bytes();
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(SegmentId(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> (Layout, TopicPartition) {
        let partition = TopicPartition {
            topic: TopicId([7; 16]),
            partition: 3,
        };
        let cluster = ClusterId("c1".into());
        (Layout::new("/a/b/", &cluster), partition)
    }

    #[test]
    fn names_are_these() {
        let (layout, at) = place();
        let id = SegmentId([0xab; 16]);
        let segment = layout.segment(at, 42, id);
        let home = "a/b/freshet/c1/BwcHBwcHBwcHBwcHBwcHBw/3/";
        let name = "00000000000000000042-abababababababababababababababab";
        assert_eq!(segment, format!("{home}segments/{name}"));
        assert_eq!(layout.segments(at), format!("{home}segments/"));
        let manifest = layout.manifest(at, 5);
        assert_eq!(manifest, format!("{home}manifests/00000000000000000005"));
        let start = 42;
        assert_eq!(
            layout.parse(at, &segment),
            Some(ObjectName::Segment { start, id })
        );
        let named = ObjectName::Manifest { version: 5 };
        assert_eq!(layout.parse(at, &manifest), Some(named));
        let bare = Layout::new("", &ClusterId("c1".into()));
        assert!(bare.partition(at).starts_with("freshet/c1/"));
    }

    #[test]
    fn exports_are_named_in_the_order_of_versions() {
        let (layout, _) = place();
        let home = "a/b/freshet/c1";
        let cluster = layout.cluster(42);
        assert_eq!(cluster, format!("{home}/cluster/00000000000000000042"));
        assert!(cluster.starts_with(&layout.clusters()));
        let positions = layout.positions(NodeId(3), 42, 7);
        let name = "00000000000000000042-0000000007";
        assert_eq!(positions, format!("{home}/groups/3/{name}"));
        assert!(positions.starts_with(&layout.positions_of(NodeId(3))));
        for key in [&cluster, &positions] {
            assert_eq!(Layout::export_version(key), Some(42), "{key}");
        }
        for strange in ["a/b", "42", "a/42", "a/+0000000000000000042", ""] {
            assert_eq!(Layout::export_version(strange), None, "{strange}");
        }
    }

    #[test]
    fn what_is_kept_of_a_topic_is_named_in_the_order_of_its_lives() {
        let (layout, at) = place();
        let home = "a/b/freshet/c1/kept/BwcHBwcHBwcHBwcHBwcHBw/";
        let keys = [7, 1_007].map(|epoch| layout.kept(at.topic, epoch));
        assert_eq!(keys[0], format!("{home}0000000007"));
        assert!(keys.is_sorted() && keys[1].starts_with(&layout.kept_of(at.topic)));
        assert!(keys[0].starts_with(&layout.all_kept()));
    }

    #[test]
    fn claims_are_named_in_their_order_and_no_cluster_has_such_names() {
        assert_eq!(claim(7), "freshet.claims/0000000007");
        assert_eq!(nth_claim(&claim(7)), Some(7));
        assert!(!claim(7).starts_with(CLUSTERS));
        for strange in ["freshet.claims/7", "freshet.claims/", "freshet/0000000007"] {
            assert_eq!(nth_claim(strange), None, "{strange}");
        }
    }

    #[test]
    fn strangers_have_no_name() {
        let (layout, at) = place();
        let home = layout.partition(at);
        for rest in [
            "segments/42-abababababababababababababababab",
            "segments/00000000000000000042-ABABABABABABABABABABABABABABABAB",
            "segments/00000000000000000042-ab",
            "segments/+0000000000000000042-abababababababababababababababab",
            "manifests/5",
            "manifests/18446744073709551615",
            "other/5",
            "",
        ] {
            assert_eq!(layout.parse(at, &format!("{home}{rest}")), None, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_key_is_read_without_panic(key: String) {
            let (layout, at) = place();
            let _ = layout.parse(at, &key);
            let _ = layout.parse(at, &format!("{}segments/{key}", layout.partition(at)));
        }
    }
}
