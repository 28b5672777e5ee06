//! Rids the bucket of topics that are deleted. Nobody leads their partitions any more, so the brokers
//! that keep their manifests do it.
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
        let keep_objects = false;
        tended
            .change(&mut copy, Ask::Delete { keep_objects })
            .await?;
    }
    tended.export(&mut copy).await?;
    tended.collect(&mut copy).await
}
