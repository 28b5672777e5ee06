//! Topics that a bucket has and that nobody names any more.
//!
//! That nobody names a topic proves nothing by itself: an export may be old, a restore under way, or a deletion
//! forgotten (the latest 10,000 are known). So what is found is only told here; what takes it away is a
//! human's word (`freshet tier collect`), and before that
//! - the cluster itself and its newest export must name the same topics: then neither is behind, no restore is
//!   half done, and nobody else writes under this id;
//! - no export that is there and no `kept/` may name it, whichever export was last;
//! - all of its objects must be old, by the store's clock at both ends: nothing is said by the clock of this
//!   machine;
//! - below its id there must be nothing but what a broker stores.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use freshet_env::objects::store_time;
use freshet_env::{Rng as _, SystemRng};
use freshet_tier::ClusterExport;
use freshet_types::{PartitionId, Timestamp, TopicId, TopicPartition};
use serde::Serialize;

use super::source::Source;
use crate::text;

/// Topics that an error names.
const SHOWN: usize = 5;

/// All that the bucket names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The newest export.
    newest: ClusterExport,
    /// Ids of topics that any export or `kept/` names.
    ids: BTreeSet<TopicId>,
    /// Names of objects that this was read from: nothing that has the same was changed.
    read: Vec<String>,
}

/// What a topic that nobody names has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Orphan {
    pub(super) id: TopicId,
    pub(super) partitions: usize,
    pub(super) objects: usize,
    pub(super) bytes: u64,
    /// Offsets that its newest manifests name.
    pub(super) offsets: i64,
    /// When the last of its objects was stored, by the store's clock.
    pub(super) newest: String,
    /// How long ago that is.
    pub(super) age_ms: u64,
    pub(super) says: Says,
    #[serde(skip)]
    modified: Timestamp,
    #[serde(skip)]
    numbers: BTreeSet<PartitionId>,
}

/// What its manifests say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Says {
    /// All of them that it was deleted: nobody can read what is left.
    Deleted,
    /// Some name records, or say nothing that can be read: a restore could bring them back, if somebody still
    /// knows what the topic was.
    Undeleted,
    /// Something lies there that no broker has stored.
    Foreign,
}

impl Says {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Undeleted => "undeleted",
            Self::Foreign => "foreign",
        }
    }
}

/// Reads all that the bucket names.
///
/// # Errors
/// Something cannot be read, or there is no export: then nothing can be judged by it.
pub(super) async fn named(source: &Source) -> Result<Named> {
    let layout = source.layout();
    let exports = source.exports(&layout.clusters()).await?;
    let kept = source.names(&layout.all_kept()).await?;
    let mut newest = None;
    let mut ids = BTreeSet::new();
    for name in &exports {
        let export = ClusterExport::from_bytes(&source.get(name).await?);
        let export =
            export.with_context(|| format!("{name}: nothing is judged by what is left"))?;
        ids.extend(export.topics.iter().map(|topic| topic.id));
        newest = Some(export);
    }
    let Some(newest) = newest else {
        bail!(
            "the bucket has no export of cluster {}, so nobody knows which topics it had",
            source.cluster_id()
        );
    };
    let all_kept = layout.all_kept();
    let kept_ids = kept.iter().filter_map(|key| {
        let id = key.strip_prefix(&all_kept)?.split('/').next()?;
        id.parse::<TopicId>().ok()
    });
    ids.extend(kept_ids);
    let read = exports.into_iter().chain(kept).collect();
    Ok(Named { newest, ids, read })
}

impl Named {
    /// The cluster's own topics, but for those that no export names, must be those of its newest export.
    ///
    /// # Errors
    /// They are not.
    pub(super) fn must_agree(&self, present: &BTreeMap<TopicId, String>) -> Result<()> {
        let exported: BTreeMap<TopicId, String> = self
            .newest
            .topics
            .iter()
            .map(|topic| (topic.id, topic.name.clone()))
            .collect();
        let only = |these: &BTreeMap<TopicId, String>, others: &BTreeMap<TopicId, String>| {
            let only = these.iter().filter(|(id, _)| !others.contains_key(id));
            let names: Vec<String> = only.map(|(_, name)| name.clone()).collect();
            let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
            (names.len() as u64, shown.join(", "))
        };
        let (new, new_names) = only(present, &exported);
        let (gone, gone_names) = only(&exported, present);
        if new + gone == 0 {
            return Ok(());
        }
        let mut told = Vec::new();
        if new > 0 {
            told.push(format!(
                "{} in the cluster only ({new_names})",
                text::count(new, "topic")
            ));
        }
        if gone > 0 {
            told.push(format!(
                "{} in the export only ({gone_names})",
                text::count(gone, "topic")
            ));
        }
        bail!(
            "the cluster and its newest export do not name the same topics: {}. Exports are behind or off \
             (freshet.remote.export.interval.ms), a restore is not done, or this user may not see all topics: \
             nothing is judged before they agree",
            told.join(", ")
        )
    }
}

/// The store's time.
pub(super) async fn now(source: &Source) -> Result<Timestamp> {
    let key = source.layout().probe(SystemRng.id());
    Ok(store_time(&**source.objects(), &key).await?)
}

/// All topics that the bucket has and that neither `named` nor the cluster names, by id.
pub(super) async fn orphans(
    source: &Source,
    (named, present): (&Named, &BTreeMap<TopicId, String>),
    now: Timestamp,
) -> Result<Vec<Orphan>> {
    let mut orphans = Vec::new();
    for step in source.steps().await? {
        let Ok(id) = step.parse::<TopicId>() else {
            continue;
        };
        if named.ids.contains(&id) || present.contains_key(&id) {
            continue;
        }
        orphans.push(look(source, id, now).await?);
    }
    Ok(orphans)
}

impl Orphan {
    fn without_objects(id: TopicId) -> Self {
        Self {
            id,
            partitions: 0,
            objects: 0,
            bytes: 0,
            offsets: 0,
            newest: String::new(),
            age_ms: 0,
            says: Says::Deleted,
            modified: Timestamp(i64::MIN),
            numbers: BTreeSet::new(),
        }
    }
}

async fn look(source: &Source, id: TopicId, now: Timestamp) -> Result<Orphan> {
    let layout = source.layout();
    let home = layout.topic(id);
    let mut orphan = Orphan::without_objects(id);
    let mut after: Option<String> = None;
    loop {
        let page = source.page(&home, after.as_deref()).await?;
        for (key, head) in &page.objects {
            orphan.objects += 1;
            orphan.bytes += head.len_bytes;
            orphan.modified = orphan.modified.max(head.modified);
            let number = key
                .strip_prefix(&home)
                .and_then(|rest| rest.split('/').next());
            let number: Option<PartitionId> = number.and_then(|number| number.parse().ok());
            let at = number.map(|partition| TopicPartition {
                topic: id,
                partition,
            });
            match at.filter(|at| layout.parse(*at, key).is_some()) {
                Some(at) => drop(orphan.numbers.insert(at.partition)),
                None => orphan.says = Says::Foreign,
            }
        }
        after = page.objects.last().map(|(key, _)| key.clone());
        if !page.more || after.is_none() {
            break;
        }
    }
    for partition in &orphan.numbers {
        let at = TopicPartition {
            topic: id,
            partition: *partition,
        };
        let (manifest, complaints) = source.manifest(at).await?;
        let is_deleted = manifest.as_ref().is_some_and(|it| it.is_deleted());
        if let Some(manifest) = &manifest {
            orphan.offsets += manifest.remote_end() - manifest.log_start();
        }
        if orphan.says == Says::Deleted && (!is_deleted || !complaints.is_empty()) {
            orphan.says = Says::Undeleted;
        }
    }
    orphan.partitions = orphan.numbers.len();
    orphan.newest = text::time::show(orphan.modified);
    // One that is stored later than now is young, whatever that means.
    orphan.age_ms = u64::try_from(now.0.saturating_sub(orphan.modified.0)).unwrap_or(0);
    Ok(orphan)
}

/// Takes away all that a topic has left, one object after another: segments first, so that what is left of one
/// that is broken off still says what it was. Says how many went.
///
/// # Errors
/// Somebody names it by now, or has stored something there since; or the store's.
pub(super) async fn collect(source: &Source, judged: &Named, orphan: &Orphan) -> Result<u64> {
    let layout = source.layout();
    let mut names = source.exports(&layout.clusters()).await?;
    names.extend(source.names(&layout.all_kept()).await?);
    if names != judged.read && named(source).await?.ids.contains(&orphan.id) {
        bail!("somebody names it by now");
    }
    let mut gone = 0;
    for partition in &orphan.numbers {
        let at = TopicPartition {
            topic: orphan.id,
            partition: *partition,
        };
        for prefix in [layout.segments(at), layout.manifests(at)] {
            let mut after: Option<String> = None;
            loop {
                let page = source.page(&prefix, after.as_deref()).await?;
                for (key, head) in &page.objects {
                    if head.modified > orphan.modified {
                        bail!(
                            "{key} was stored after the others were looked at: somebody writes there"
                        );
                    }
                    source.objects().delete(key).await?;
                    gone += 1;
                }
                after = page.objects.last().map(|(key, _)| key.clone());
                if !page.more || after.is_none() {
                    break;
                }
            }
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests;
