//! Rids the bucket of topics that are deleted. Nobody leads their partitions any more, so the brokers
//! that keep their manifests do it. Of each partition that had something there the last manifest stays, which
//! says that it is deleted: a restore may know of the topic by an export that is older.
//!
//! That a topic is deleted must be agreed: an image that does not know a topic may be too old. What
//! was deleted so long ago that the image has forgotten it too stays: nobody lists it.

use std::sync::Arc;
use std::time::Duration;

use freshet_tier::{Answer, Ask};
use freshet_types::TopicPartition;
use tokio::time::sleep;

use super::Shared;
use super::tended::{Tended, Trouble, strange};
use crate::manifests::ManifestShards;

/// For ever.
pub(super) async fn bury(shared: Arc<Shared>, kept: Arc<ManifestShards>) {
    loop {
        sleep(Duration::from_millis(shared.interval_ms())).await;
        for at in kept.kept().await {
            let is_deleted = shared.parts.image.borrow().is_deleted(at.topic);
            if !is_deleted {
                continue;
            }
            if let Err(Trouble::Again(why)) = bury_one(&shared, at).await {
                tracing::debug!(%at, why, "objects of a deleted topic are not collected: trying again");
            }
        }
    }
}

async fn bury_one(shared: &Arc<Shared>, at: TopicPartition) -> Result<(), Trouble> {
    let tended = Tended {
        shared: Arc::clone(shared),
        at,
        epoch: -1,
    };
    let Answer::Manifest(mut copy) = tended.ask(Ask::Describe).await? else {
        return Err(strange());
    };
    if !copy.is_deleted() {
        let is_bare =
            copy.segments().is_empty() && copy.open().is_empty() && copy.unnamed().is_empty();
        // The shard forgets it at once then. Nothing is left that a restore would have to be warned of; what
        // was never told of may be all that is left of a shard that has lost what it knew.
        if is_bare && copy.exported() > 0 {
            tended.drop_manifests(copy.version() + 1).await?;
        }
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
