//! What a bucket knows of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::Listing;
use freshet_objects::{Bucket, Limits};
use freshet_tier::{
    CLUSTERS, ClusterExport, ExportedTopic, GroupPositions, Layout, Manifest, PositionsExport,
    newest_manifest,
};
use freshet_types::{ClusterId, LeaderEpoch, Offset, PartitionId, TopicPartition};
use tokio::task::JoinSet;

/// Manifests that are asked for at a time.
const AT_ONCE: usize = 32;
/// Names in one page of a listing.
const PAGE: usize = 1000;
/// Behind all that a name of ours can have.
const BEHIND: char = '~';

/// A bucket, and whose part of it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    objects: Arc<dyn Objects>,
    layout: Layout,
    cluster: ClusterId,
}

/// All that can be restored.
#[derive(Debug)]
pub(crate) struct Found {
    /// Topics and settings.
    pub(crate) cluster: ClusterExport,
    /// Positions of groups: of each shard the newest.
    pub(crate) groups: Vec<GroupPositions>,
    /// The newest version of anything.
    pub(crate) version: u64,
    /// Partitions that have something in object storage.
    pub(crate) held: BTreeMap<TopicPartition, Held>,
    /// Ids of topics that are in the bucket and in no export: deleted, or younger than it.
    pub(crate) unnamed: Vec<String>,
    /// Names of deleted topics whose objects were kept.
    pub(crate) kept: Vec<String>,
    /// What was damaged, in sentences.
    pub(crate) damaged: Vec<String>,
}

/// What a partition has in object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// First offset that can be read.
    pub(crate) start: Offset,
    /// The offset after the last one.
    pub(crate) end: Offset,
    pub(crate) segments: usize,
    /// Bytes of all segments.
    pub(crate) bytes: u64,
    /// Who wrote it last.
    pub(crate) leader_epoch: LeaderEpoch,
}

impl Held {
    /// `None` for the manifest of a topic that was deleted.
    fn of(manifest: &Manifest) -> Option<Self> {
        (!manifest.is_deleted()).then(|| Self {
            start: manifest.log_start(),
            end: manifest.remote_end(),
            segments: manifest.segments().len(),
            bytes: manifest.size_bytes(),
            leader_epoch: manifest.leader_epoch(),
        })
    }
}

impl Source {
    /// Opens a bucket; nothing is asked of it yet.
    pub(crate) fn open(url: &str, cluster: &str) -> Result<Self> {
        Ok(Self::of(open(url)?, cluster))
    }

    /// Opens what a bucket has of a cluster, or of the only one where none is named.
    pub(super) async fn find(url: &str, cluster: Option<&str>) -> Result<Self> {
        match cluster {
            Some(id) => Self::open(url, id),
            None => Self::open_only(url).await,
        }
    }

    /// Opens a bucket of one cluster only, whichever that is.
    async fn open_only(url: &str) -> Result<Self> {
        let objects = open(url)?;
        let mut clusters = steps(&*objects, CLUSTERS).await?;
        match (clusters.pop(), clusters.as_slice()) {
            (None, _) => bail!("no cluster has anything in {url}"),
            (Some(cluster), []) => Ok(Self::of(objects, &cluster)),
            (Some(last), others) => bail!(
                "{url} has several clusters: {}, {last}; say which with --cluster-id ID",
                others.join(", ")
            ),
        }
    }

    pub(super) fn of(objects: Arc<dyn Objects>, cluster: &str) -> Self {
        let cluster = ClusterId(cluster.into());
        Self {
            objects,
            layout: Layout::new("", &cluster),
            cluster,
        }
    }

    /// The cluster's id.
    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster.0
    }

    /// The door to the bucket.
    pub(crate) fn objects(&self) -> &Arc<dyn Objects> {
        &self.objects
    }

    /// What objects are called.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The name of whatever was exported last; an export that comes has a later one.
    pub(crate) async fn newest(&self) -> Result<BTreeSet<String>> {
        let mut names = self.exports(&self.layout.clusters()).await?;
        names.extend(self.exports(&self.layout.all_positions()).await?);
        Ok(names.into_iter().collect())
    }

    /// All there is.
    pub(crate) async fn read(&self) -> Result<Found> {
        let mut damaged = Vec::new();
        let cluster = self.cluster(&mut damaged).await?;
        let (groups, version) = self.groups(&mut damaged).await?;
        let kept = self.kept(&cluster, &mut damaged).await?;
        let held = self.held(&cluster.topics, &mut damaged).await?;
        Ok(Found {
            version: version.max(cluster.version),
            unnamed: self.unnamed(&cluster, &kept).await?,
            kept: kept.into_iter().map(|topic| topic.name).collect(),
            cluster,
            groups,
            held,
            damaged,
        })
    }

    /// Only these of the deleted topics whose objects were kept, by name or id; and all topics that the
    /// cluster had when it exported them last.
    pub(crate) async fn read_kept(&self, asked: &[String]) -> Result<(Found, Vec<ExportedTopic>)> {
        let mut damaged = Vec::new();
        let cluster = self.cluster(&mut damaged).await?;
        let mut kept = self.kept(&cluster, &mut damaged).await?;
        pick(&mut kept, asked)?;
        let held = self.held(&kept, &mut damaged).await?;
        let found = Found {
            version: cluster.version,
            unnamed: Vec::new(),
            kept: Vec::new(),
            groups: Vec::new(),
            held,
            damaged,
            cluster: ClusterExport {
                topics: kept,
                settings: Vec::new(),
                ..cluster
            },
        };
        Ok((found, cluster.topics))
    }

    /// What of these topics is in object storage.
    pub(super) async fn held(
        &self,
        topics: &[ExportedTopic],
        damaged: &mut Vec<String>,
    ) -> Result<BTreeMap<TopicPartition, Held>> {
        let mut held = BTreeMap::new();
        let partitions = topics.iter().flat_map(|topic| {
            let count = i32::try_from(topic.leader_epochs.len()).unwrap_or(i32::MAX);
            let at = |partition| TopicPartition {
                topic: topic.id,
                partition,
            };
            (0..count).map(at)
        });
        let mut reading = JoinSet::new();
        for at in partitions {
            if reading.len() >= AT_ONCE {
                note(&mut reading, &mut held, damaged).await?;
            }
            let source = self.clone();
            reading.spawn(async move {
                let (manifest, complaints) = source.manifest(at).await?;
                Ok((at, (manifest.as_ref().and_then(Held::of), complaints)))
            });
        }
        while !reading.is_empty() {
            note(&mut reading, &mut held, damaged).await?;
        }
        Ok(held)
    }

    /// Deleted topics whose objects were kept, by name; but for those that have come back.
    pub(crate) async fn kept(
        &self,
        cluster: &ClusterExport,
        damaged: &mut Vec<String>,
    ) -> Result<Vec<ExportedTopic>> {
        // Of several deletions of one topic the last one holds, and it comes last.
        let mut newest = BTreeMap::new();
        for name in self.names(&self.layout.all_kept()).await? {
            match ExportedTopic::from_kept_bytes(&self.get(&name).await?) {
                Ok(topic) => drop(newest.insert(topic.id, topic)),
                Err(error) => damaged.push(format!("{name}: {error}")),
            }
        }
        for topic in &cluster.topics {
            newest.remove(&topic.id);
        }
        let mut kept: Vec<_> = newest.into_values().collect();
        kept.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(kept)
    }

    /// Topics and settings, as they were exported last.
    pub(crate) async fn cluster(&self, damaged: &mut Vec<String>) -> Result<ClusterExport> {
        let names = self.exports(&self.layout.clusters()).await?;
        for name in names.iter().rev() {
            match ClusterExport::from_bytes(&self.get(name).await?) {
                Ok(export) => return Ok(export),
                Err(error) => damaged.push(format!("{name}: {error}; an earlier one was taken")),
            }
        }
        if !names.is_empty() {
            bail!("all exports of cluster {} are damaged", self.cluster);
        }
        let others = steps(&*self.objects, CLUSTERS).await?;
        let others = match others.is_empty() {
            true => "no cluster has exported anything there".to_owned(),
            false => format!(
                "it has {}: if that is the one, start the new brokers with freshet.cluster.id=ID",
                others.join(", ")
            ),
        };
        bail!(
            "the bucket has no export of cluster {}; {others}",
            self.cluster
        )
    }

    /// The groups of all shards, and the newest version that they are of.
    pub(crate) async fn groups(
        &self,
        damaged: &mut Vec<String>,
    ) -> Result<(Vec<GroupPositions>, u64)> {
        let mut newest: BTreeMap<PartitionId, (String, Vec<GroupPositions>)> = BTreeMap::new();
        let mut version = 0;
        for name in self.exports(&self.layout.all_positions()).await? {
            let export = match PositionsExport::from_bytes(&self.get(&name).await?) {
                Ok(export) => export,
                Err(error) => {
                    damaged.push(format!("{name}: {error}; other ones were taken"));
                    continue;
                }
            };
            version = version.max(export.version);
            // Its version and number, whichever broker it is of.
            let order = name.rsplit_once('/').map_or("", |(_, order)| order);
            for shard in export.shards {
                let known = newest.get(&shard.shard);
                if known.is_none_or(|(known, _)| known.as_str() < order) {
                    newest.insert(shard.shard, (order.to_owned(), shard.groups));
                }
            }
        }
        let groups = newest.into_values().flat_map(|(_, groups)| groups);
        Ok((groups.collect(), version))
    }

    /// The newest manifest of a partition that is whole; and what is said of others.
    pub(crate) async fn manifest(
        &self,
        at: TopicPartition,
    ) -> Result<(Option<Manifest>, Vec<String>)> {
        let found = newest_manifest(&*self.objects, &self.layout, at).await?;
        let Some(found) = found else {
            return Ok((None, Vec::new()));
        };
        let damaged = found.damaged.into_iter().map(|(version, what)| {
            let name = self.layout.manifest(at, version);
            format!("{name}: {what}")
        });
        let sound = found.sound.map(|(_, manifest)| *manifest);
        Ok((sound, damaged.collect()))
    }

    /// Topics that no export names.
    pub(crate) async fn unnamed(
        &self,
        cluster: &ClusterExport,
        kept: &[ExportedTopic],
    ) -> Result<Vec<String>> {
        let known = cluster.topics.iter().chain(kept);
        let known: BTreeSet<_> = known.map(|it| it.id.to_string()).collect();
        let is_strange =
            |name: &String| !matches!(name.as_str(), "cluster" | "groups" | "kept" | "probe");
        let steps = self.steps().await?.into_iter();
        let strange = steps.filter(|name| is_strange(name) && !known.contains(name));
        Ok(strange.collect())
    }

    /// In the order of names, but for what is no export.
    pub(super) async fn exports(&self, prefix: &str) -> Result<Vec<String>> {
        let names = self.names(prefix).await?.into_iter();
        Ok(names
            .filter(|name| Layout::export_version(name).is_some())
            .collect())
    }

    pub(super) async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map(String::as_str);
            let listed = self.page(prefix, after).await?;
            let more = listed.more && !listed.objects.is_empty();
            names.extend(listed.objects.into_iter().map(|(name, _)| name));
            if !more {
                return Ok(names);
            }
        }
    }

    /// One page of a listing.
    pub(super) async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Listing> {
        Ok(self.objects.list(prefix, after, PAGE).await?)
    }

    /// What comes right below the cluster's id.
    pub(super) async fn steps(&self) -> Result<Vec<String>> {
        steps(&*self.objects, &self.layout.home()).await
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes> {
        let head = self.objects.head(name).await?;
        Ok(self.objects.get_range(name, 0..head.len_bytes).await?)
    }
}

/// Leaves those that were asked for, by name or id.
fn pick(kept: &mut Vec<ExportedTopic>, asked: &[String]) -> Result<()> {
    let is_called =
        |topic: &ExportedTopic, name: &String| topic.name == *name || topic.id.to_string() == *name;
    for name in asked {
        let found: Vec<_> = kept.iter().filter(|topic| is_called(topic, name)).collect();
        match found.as_slice() {
            [_] => {}
            [] => bail!("no deleted topic {name:?} was kept; `freshet tier kept` shows which were"),
            several => {
                let ids: Vec<_> = several.iter().map(|it| it.id.to_string()).collect();
                bail!(
                    "topics {name:?} were deleted more than once; say which by its id: {}",
                    ids.join(", ")
                );
            }
        }
    }
    kept.retain(|topic| asked.iter().any(|name| is_called(topic, name)));
    Ok(())
}

fn open(url: &str) -> Result<Arc<dyn Objects>> {
    let bucket = Bucket::open(url, std::env::vars(), &Limits::default());
    Ok(Arc::new(
        bucket.with_context(|| format!("cannot use {url}"))?,
    ))
}

/// What comes next in names that begin with `prefix`, up to a slash; a request for each.
async fn steps(objects: &dyn Objects, prefix: &str) -> Result<Vec<String>> {
    let mut steps = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let listed = objects.list(prefix, after.as_deref(), 1).await?;
        let Some((key, _)) = listed.objects.first() else {
            return Ok(steps);
        };
        let rest = key.strip_prefix(prefix).unwrap_or(key);
        let step = rest.split('/').next().unwrap_or(rest).to_owned();
        if steps.last() == Some(&step) {
            bail!("the listing of {prefix} does not go on behind {key}");
        }
        after = Some(format!("{prefix}{step}/{BEHIND}"));
        steps.push(step);
    }
}

type Looked = (TopicPartition, (Option<Held>, Vec<String>));

/// Waits for one of those that are under way.
async fn note(
    reading: &mut JoinSet<Result<Looked>>,
    all: &mut BTreeMap<TopicPartition, Held>,
    damaged: &mut Vec<String>,
) -> Result<()> {
    let Some(looked) = reading.join_next().await else {
        return Ok(());
    };
    let (at, (found, complaints)) = looked??;
    all.extend(found.map(|held| (at, held)));
    damaged.extend(complaints);
    Ok(())
}
