//! What a restore needs beside segments and manifests: topics, settings, and how far groups have read
//! (docs/tiering.md, "Restore").
//!
//! Topics and settings are exported by the broker with the lowest number of those that are active; positions
//! by each broker, of the shards of groups that it hosts. Two may take themselves for that one for a while:
//! who has missed something has an earlier version of the metadata, and that is what its objects are
//! called.
//!
//! A topic whose objects stay when it is deleted is named by the bucket at all times: `kept/` says what it was
//! before there is an export without it, however long its manifests' shard is away. Else it would look like
//! one that nobody knows, and those are collected (`freshet tier collect`).
//!
//! A cluster that was made anew with the id of one whose disks are lost exports nothing before it is
//! restored: what it would write could take the place of what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use freshet_coordinators::groups::api::{Ask as _, FetchAll, FetchedTopic};
use freshet_env::objects::{ObjectError, ObjectFailure};
use freshet_env::{Objects, Rng};
use freshet_metadata::{ConfigOwner, KeptTopic, MetadataImage, Topic};
use freshet_settings::{Overrides, Scope, Setting};
use freshet_tier::{
    ClusterExport, ExportedShard, ExportedTopic, GroupPositions, Layout, OwnedSettings, Position,
    PositionsExport, PositionsOf, SettingsOwner,
};
use freshet_types::{LeaderEpoch, NodeId, PartitionId, TopicId};
use tokio::sync::watch;
use tokio::time::sleep;

use super::undertaker::put_kept;
use super::{CopyCounts, jittered};
use crate::groups::{GroupShards, OFFSETS_TOPIC};

/// Of each export so many stay.
const KEPT: usize = 3;
/// More than there ever are of one kind: what a listing shows at a time.
const LISTED: usize = 1000;
/// Positions of very many groups are exported less often: so many bytes a second.
const BYTES_PER_SECOND: f32 = 262_144.0;
/// A restore raises the version of the metadata by more than this, and nothing else does at once.
const RESTORED: u64 = 1 << 31;
/// How soon it is noticed that exports are wanted again.
const OFF_PAUSE: Duration = Duration::from_secs(5);

/// What exports are made of, and where they go.
pub struct ExporterParts {
    /// Where objects go.
    pub objects: Arc<dyn Objects>,
    /// What they are called.
    pub layout: Layout,
    /// Topics, settings, and who hosts which groups.
    pub image: watch::Receiver<Arc<MetadataImage>>,
    /// The groups of this broker.
    pub groups: Arc<GroupShards>,
    /// This broker.
    pub me: NodeId,
    /// Brokers do not export all at once.
    pub rng: Arc<dyn Rng>,
    /// Between two exports, ms (`freshet.remote.export.interval.ms`); 0 for none. Asked for each time.
    pub interval_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What was done.
    pub counts: Arc<CopyCounts>,
}

/// See the module.
pub struct Exporter {
    parts: ExporterParts,
    /// As they were exported last.
    cluster: Option<ClusterExport>,
    shards: Vec<ExportedShard>,
    shards_bytes: usize,
    /// Counts what was exported in one version.
    nth: u32,
    /// Nobody before has exported what this cluster does not have.
    may_export: bool,
    /// Deleted topics of which `kept/` says what they were, or that have left nothing.
    told: BTreeSet<(TopicId, LeaderEpoch)>,
    /// How often it was not so.
    refused: u32,
    is_failing: bool,
}

impl Exporter {
    /// Exports nothing yet.
    pub fn new(parts: ExporterParts) -> Self {
        Self {
            parts,
            cluster: None,
            shards: Vec::new(),
            shards_bytes: 0,
            nth: 0,
            may_export: false,
            told: BTreeSet::new(),
            refused: 0,
            is_failing: false,
        }
    }

    /// Whatever has changed, for ever.
    pub async fn keep(mut self) {
        loop {
            let Some(pause) = self.pause() else {
                sleep(OFF_PAUSE).await;
                continue;
            };
            sleep(pause).await;
            let done = self.export().await;
            self.tell(done);
        }
    }

    /// Between three and five quarters of the interval; `None` while nothing is to be exported.
    fn pause(&self) -> Option<Duration> {
        let interval = (self.parts.interval_ms)();
        #[expect(clippy::cast_precision_loss, reason = "a pause need not be exact")]
        let slow = Duration::from_secs_f32(self.shards_bytes as f32 / BYTES_PER_SECOND);
        let pause = Duration::from_millis(interval).max(slow);
        (interval > 0).then(|| jittered(&*self.parts.rng, pause))
    }

    fn tell(&mut self, done: Result<(), ObjectError>) {
        match done {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                let failures = &self.parts.counts.failed_cluster_exports;
                failures.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(
                        %error,
                        "topics, settings and positions cannot be exported: trying again"
                    );
                }
            }
        }
    }

    async fn export(&mut self) -> Result<(), ObjectError> {
        if !self.may_export {
            if !self.goes_on().await? {
                self.refused += 1;
                // Once may be that others have exported what is not known here yet.
                if self.refused == 2 {
                    tracing::warn!(
                        "the bucket has a cluster of this id with topics that this one does not have: if \
                         its disks are lost, `freshet cluster restore` brings it back; nothing is \
                         exported before"
                    );
                }
                return Ok(());
            }
            self.may_export = true;
        }
        self.export_cluster().await?;
        self.export_positions().await
    }

    /// Whether this cluster is the one that has exported before, or goes on for it.
    async fn goes_on(&self) -> Result<bool, ObjectError> {
        let image = Arc::clone(&self.parts.image.borrow());
        let names = self.names(&self.parts.layout.clusters()).await?;
        let Some(newest) = names.last() else {
            return Ok(true);
        };
        let exported = Layout::export_version(newest).unwrap_or(0);
        if image.version() > exported.saturating_add(RESTORED) {
            return Ok(true);
        }
        if image.version() < exported {
            return Ok(false);
        }
        let head = self.parts.objects.head(newest).await?;
        let bytes = self
            .parts
            .objects
            .get_range(newest, 0..head.len_bytes)
            .await?;
        // One that cannot be read cannot be restored either.
        let before = ClusterExport::from_bytes(&bytes).map_or_else(|_| Vec::new(), |it| it.topics);
        let is_known = |topic: &ExportedTopic| {
            image.topic_by_id(topic.id).is_some() || image.is_deleted(topic.id)
        };
        Ok(before.iter().all(is_known))
    }

    async fn export_cluster(&mut self) -> Result<(), ObjectError> {
        let image = Arc::clone(&self.parts.image.borrow());
        let active = image.brokers().filter(|broker| broker.is_active());
        if active.map(|broker| broker.node).min() != Some(self.parts.me) {
            self.cluster = None;
            self.told.clear();
            return Ok(());
        }
        self.tell_kept(&image).await?;
        let export = cluster_of(&image);
        let version = export.version;
        if self
            .cluster
            .as_ref()
            .is_some_and(|told| is_same(told, &export))
        {
            return Ok(());
        }
        let key = self.parts.layout.cluster(version);
        let bytes = Bytes::from(export.to_bytes());
        match self.parts.objects.put_new(&key, &mut bytes.clone()).await {
            Ok(()) => {}
            // One version has one sequence of bytes.
            Err(error) if error.failure == ObjectFailure::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        self.count();
        self.cluster = Some(export);
        self.keep_newest(&self.parts.layout.clusters()).await
    }

    async fn tell_kept(&mut self, image: &MetadataImage) -> Result<(), ObjectError> {
        // One that is back may be deleted again, by another name: then its epochs go on.
        let is_kept = |(id, epoch): &(TopicId, LeaderEpoch)| {
            image
                .kept(*id)
                .is_some_and(|kept| kept.leader_epoch == *epoch)
        };
        self.told.retain(is_kept);
        let is_told =
            |(id, kept): (TopicId, &Arc<KeptTopic>)| self.told.contains(&(id, kept.leader_epoch));
        if image.all_kept().all(is_told) {
            return Ok(());
        }
        let before = self.names_of_kept().await?;
        let (objects, layout) = (&self.parts.objects, &self.parts.layout);
        for (id, kept) in image.all_kept() {
            let life = (id, kept.leader_epoch);
            if !self.told.contains(&life) && !before.contains(&layout.kept(id, kept.leader_epoch)) {
                let left = objects.list(&layout.topic(id), None, 1).await?;
                if !left.objects.is_empty() {
                    put_kept(&**objects, layout, (id, kept)).await?;
                }
            }
            self.told.insert(life);
        }
        Ok(())
    }

    /// What is in `kept/`.
    async fn names_of_kept(&self) -> Result<BTreeSet<String>, ObjectError> {
        let all = self.parts.layout.all_kept();
        let mut names = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let objects = &self.parts.objects;
            let page = objects.list(&all, after.as_deref(), LISTED).await?;
            after = page.objects.last().map(|(key, _)| key.clone());
            names.extend(page.objects.into_iter().map(|(key, _)| key));
            if !page.more || after.is_none() {
                return Ok(names);
            }
        }
    }

    async fn export_positions(&mut self) -> Result<(), ObjectError> {
        // First what it is a version of: what is heard afterwards is at least as new.
        let image = Arc::clone(&self.parts.image.borrow());
        let shards = self.hosted(&image).await;
        if shards == self.shards {
            return Ok(());
        }
        let (version, layout) = (image.version(), self.parts.layout.clone());
        let export = PositionsExport { version, shards };
        let bytes = Bytes::from(export.to_bytes());
        let all = layout.positions_of(self.parts.me);
        loop {
            self.nth += 1;
            let key = layout.positions(self.parts.me, version, self.nth);
            match self.parts.objects.put_new(&key, &mut bytes.clone()).await {
                Ok(()) => break,
                // An earlier process of this broker, in the same version; or an answer was lost.
                Err(error) if error.failure == ObjectFailure::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        self.count();
        (self.shards, self.shards_bytes) = (export.shards, bytes.len());
        self.keep_newest(&all).await
    }

    /// The groups of all shards that this broker hosts by an image.
    async fn hosted(&self, image: &MetadataImage) -> Vec<ExportedShard> {
        let topic = image.topic(OFFSETS_TOPIC);
        let is_mine = |shard: &PartitionId| {
            let partition = topic.and_then(|topic| topic.partition(*shard));
            partition.is_some_and(|partition| partition.leader == Some(self.parts.me))
        };
        let mut shards = Vec::new();
        for shard in self.parts.groups.hosted().into_iter().filter(is_mine) {
            match self.groups_of(shard).await {
                Some(groups) => shards.push(ExportedShard { shard, groups }),
                // It is loading, or its log fails: nobody else has hosted it since.
                None => shards.extend(self.shards.iter().find(|it| it.shard == shard).cloned()),
            }
        }
        shards
    }

    async fn groups_of(&self, shard: PartitionId) -> Option<Vec<GroupPositions>> {
        let machine = self.parts.groups.shard(shard).ok()?;
        let reply = machine.ask(FetchAll.into()).await.ok()?;
        let groups = FetchAll::answer(reply)?.into_iter();
        Some(
            groups
                .map(|(group, topics)| positions(&group, &topics))
                .collect(),
        )
    }

    fn count(&self) {
        let exports = &self.parts.counts.cluster_exports;
        exports.fetch_add(1, Ordering::Relaxed);
    }

    async fn keep_newest(&self, prefix: &str) -> Result<(), ObjectError> {
        let names = self.names(prefix).await?;
        for key in names.iter().rev().skip(KEPT) {
            self.parts.objects.delete(key).await?;
        }
        Ok(())
    }

    /// In the order of versions, but for what is not ours.
    async fn names(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let listed = self.parts.objects.list(prefix, None, LISTED).await?;
        let names = listed.objects.into_iter().map(|(key, _)| key);
        Ok(names
            .filter(|key| Layout::export_version(key).is_some())
            .collect())
    }
}

/// But for the version: not all that happens in a cluster is in its export.
fn is_same(told: &ClusterExport, export: &ClusterExport) -> bool {
    let ClusterExport {
        version: _,
        next_producer_id,
        topics,
        settings,
    } = told;
    (next_producer_id, topics, settings)
        == (&export.next_producer_id, &export.topics, &export.settings)
}

fn cluster_of(image: &MetadataImage) -> ClusterExport {
    let topics = image.topics().filter(|topic| !topic.name.is_internal());
    ClusterExport {
        version: image.version(),
        next_producer_id: image.next_producer_id(),
        topics: topics.map(|topic| exported(topic)).collect(),
        settings: image.config_owners().map(owned).collect(),
    }
}

fn exported(topic: &Topic) -> ExportedTopic {
    let factor = |target: usize| i16::try_from(target).unwrap_or(i16::MAX);
    let first = topic.partitions.first();
    ExportedTopic {
        name: topic.name.to_string(),
        id: topic.id,
        replication_factor: first.map_or(1, |first| factor(first.target().count())),
        leader_epochs: topic.partitions.iter().map(|it| it.leader_epoch).collect(),
        configs: topic.configs.as_ref().clone(),
    }
}

fn owned((owner, values): (&ConfigOwner, &Arc<Overrides>)) -> OwnedSettings {
    let (owner, scope) = match owner {
        ConfigOwner::Cluster => (SettingsOwner::Cluster, Some(Scope::Broker)),
        ConfigOwner::Broker(node) => (SettingsOwner::Broker(node.0), Some(Scope::Broker)),
        ConfigOwner::Group(group) => (SettingsOwner::Group(group.clone()), None),
        ConfigOwner::ClientMetrics(name) => (SettingsOwner::ClientMetrics(name.clone()), None),
    };
    // A bucket is no place for passwords; nor for what may be one.
    let is_open = |name: &str| {
        scope.is_none_or(|scope| Setting::find(scope, name).is_some_and(|it| !it.is_sensitive()))
    };
    let values = values.iter().filter(|(name, _)| is_open(name));
    OwnedSettings {
        owner,
        values: values
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

fn positions(group: &str, topics: &[FetchedTopic]) -> GroupPositions {
    let of = |topic: &FetchedTopic| {
        let known: BTreeMap<_, _> = topic.partitions.iter().cloned().collect();
        let position = |(partition, value)| {
            let value: freshet_coordinators::groups::OffsetValue = value?;
            Some(Position {
                partition,
                offset: value.offset,
                leader_epoch: value.leader_epoch,
                metadata: value.metadata.into(),
            })
        };
        PositionsOf {
            topic: topic.topic.to_string(),
            positions: known.into_iter().filter_map(position).collect(),
        }
    };
    GroupPositions {
        group: group.to_owned(),
        topics: topics.iter().map(of).collect(),
    }
}

#[cfg(test)]
mod tests;
