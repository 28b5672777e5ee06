//! Sees to what deleted topics have in the bucket. Nobody leads their partitions any more, so the brokers
//! that keep their manifests do it.
//!
//! Most leave nothing. Of each partition that had something there the last manifest stays, which
//! says that it is deleted: a restore may know of the topic by an export that is older.
//!
//! Of those that say so (`freshet.remote.delete.on.topic.delete`) all stays that readers were sent to, the
//! newest manifest, and beside them what the topic was. Then the shard forgets them; nobody lists, collects
//! or scrubs what nobody knows.
//!
//! That a topic is deleted must be agreed: an image that does not know a topic may be too old. What
//! was deleted so long ago that the image has forgotten it too stays, until a human collects it
//! (`freshet tier collect`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{ObjectError, ObjectFailure};
use freshet_metadata::KeptTopic;
use freshet_tier::{Answer, Ask, ExportedTopic, Layout, Manifest};
use freshet_types::{LeaderEpoch, TopicId, TopicPartition};
use tokio::time::sleep;

use super::Shared;
use super::tended::{Tended, Trouble, failed, strange};
use crate::manifests::ManifestShards;

/// For ever.
pub(super) async fn bury(shared: Arc<Shared>, kept: Arc<ManifestShards>) {
    loop {
        sleep(Duration::from_millis(shared.interval_ms())).await;
        for at in kept.kept().await {
            let (is_deleted, is_kept) = {
                let image = shared.parts.image.borrow();
                (image.is_deleted(at.topic), image.kept(at.topic).cloned())
            };
            let done = match is_kept {
                _ if !is_deleted => continue,
                Some(kept) => keep_one(&shared, at, &kept).await,
                None => bury_one(&shared, at).await,
            };
            if let Err(Trouble::Again(why)) = done {
                tracing::debug!(%at, why, "objects of a deleted topic are not seen to: trying again");
            }
        }
    }
}

/// Whoever asks about a topic that is to go.
const NOBODY: LeaderEpoch = -1;

/// The shard's copy, and who asks about it.
async fn look(
    shared: &Arc<Shared>,
    at: TopicPartition,
) -> Result<(Tended, Box<Manifest>), Trouble> {
    let tended = Tended {
        shared: Arc::clone(shared),
        at,
        epoch: NOBODY,
        traffic: None,
    };
    match tended.ask(Ask::Describe).await? {
        Answer::Manifest(copy) => Ok((tended, copy)),
        _ => Err(strange()),
    }
}

async fn bury_one(shared: &Arc<Shared>, at: TopicPartition) -> Result<(), Trouble> {
    let (tended, mut copy) = look(shared, at).await?;
    if !copy.is_deleted() {
        let is_bare =
            copy.segments().is_empty() && copy.open().is_empty() && copy.unnamed().is_empty();
        // The shard forgets it at once then. Nothing is left that a restore would have to be warned of; what
        // was never told of may be all that is left of a shard that has lost what it knew.
        if is_bare && copy.exported() > 0 {
            tended.drop_manifests(copy.version() + 1).await?;
        }
        // Of an earlier life.
        tended.drop_kept().await?;
        let keep_objects = false;
        tended
            .change(&mut copy, Ask::Delete { keep_objects })
            .await?;
        if is_bare {
            return Ok(());
        }
    }
    tended.export(&mut copy).await?;
    tended.collect(&mut copy).await
}

/// What was garbage while the topic lived is collected first: once it is forgotten nobody could tell it from
/// the rest. That takes a grace age, and until then its last leader may still be heard.
async fn keep_one(
    shared: &Arc<Shared>,
    at: TopicPartition,
    kept: &KeptTopic,
) -> Result<(), Trouble> {
    let (mut tended, mut copy) = look(shared, at).await?;
    if copy.is_deleted() {
        // It was to go, by somebody who was asked before.
        tended.export(&mut copy).await?;
        return tended.collect(&mut copy).await;
    }
    tended.epoch = copy.leader_epoch();
    // A shard that has lost what it knew says nothing of what is there.
    if !copy.is_pristine() || tended.has_manifests().await? {
        let parts = &shared.parts;
        let put = put_kept(&*parts.objects, &parts.layout, (at.topic, kept)).await;
        put.map_err(|error| failed(&error))?;
    }
    tended.export(&mut copy).await?;
    tended.collect(&mut copy).await?;
    if !copy.open().is_empty() || !copy.unnamed().is_empty() {
        return Ok(());
    }
    let keep_objects = true;
    tended
        .change(&mut copy, Ask::Delete { keep_objects })
        .await?;
    tracing::info!(topic = %kept.name, partition = at.partition, "kept in object storage");
    Ok(())
}

/// One for all partitions of the topic: whoever comes first puts it.
pub(super) async fn put_kept(
    objects: &dyn Objects,
    layout: &Layout,
    (id, kept): (TopicId, &KeptTopic),
) -> Result<(), ObjectError> {
    let partitions = usize::try_from(kept.partitions).unwrap_or(0);
    let topic = ExportedTopic {
        name: kept.name.to_string(),
        id,
        replication_factor: kept.replication_factor,
        leader_epochs: vec![kept.leader_epoch; partitions],
        configs: kept.configs.clone(),
    };
    let key = layout.kept(id, kept.leader_epoch);
    let mut bytes = Bytes::from(topic.to_kept_bytes());
    match objects.put_new(&key, &mut bytes).await {
        Err(error) if error.failure != ObjectFailure::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

impl Tended {
    async fn has_manifests(&self) -> Result<bool, Trouble> {
        let prefix = self.shared.parts.layout.manifests(self.at);
        let any = self.shared.has_any(self.at, &prefix).await;
        any.map_err(|error| failed(&error))
    }

    async fn drop_kept(&self) -> Result<(), Trouble> {
        // A page holds more lives than any topic has.
        let prefix = self.shared.parts.layout.kept_of(self.at.topic);
        let page = self.shared.list(self.at, &prefix, None).await;
        for (key, _) in page.map_err(|error| failed(&error))?.objects {
            let dropped = self.shared.drop_object(&key).await;
            dropped.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}
