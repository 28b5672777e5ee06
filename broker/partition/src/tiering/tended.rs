//! A manifest that is looked after: asked about, exported, and rid of what nobody reads any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use freshet_env::objects::ObjectError;
use freshet_tier::{Answer, Ask, Changed, Manifest, Refusal, Request, Said, SegmentId};
use freshet_types::{LeaderEpoch, Offset, TopicPartition};

use super::Shared;
use super::carry::CarryError;
use crate::traffic::{Traffic, count};

/// Why nobody goes on with a copy of a manifest.
pub(super) enum Trouble {
    /// It is not this broker's to keep any more.
    Over,
    /// The partition tiers no more, until it does again.
    Off,
    /// After a pause, with another copy.
    Again(String),
}

impl From<CarryError> for Trouble {
    fn from(error: CarryError) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fenced { .. } | Refusal::Deleted => Self::Over,
            refusal => Self::Again(refusal.to_string()),
        }
    }
}

/// See the module.
pub(super) struct Tended {
    pub(super) shared: Arc<Shared>,
    pub(super) at: TopicPartition,
    /// The leader's, or any for a topic that is deleted.
    pub(super) epoch: LeaderEpoch,
    /// What is counted for its topic, as long as there is one.
    pub(super) traffic: Option<Arc<Traffic>>,
}

impl Tended {
    /// What is on no disk can be restored by the newest manifest in the bucket.
    pub(super) async fn export(&self, copy: &mut Manifest) -> Result<(), Trouble> {
        if copy.exported() == copy.version() || copy.is_pristine() {
            return Ok(());
        }
        self.put_manifest(copy).await
    }

    /// The same whatever is there: each version has one name, and the same bytes whenever it is put.
    pub(super) async fn put_manifest(&self, copy: &mut Manifest) -> Result<(), Trouble> {
        let Answer::Export(exported) = self.ask(Ask::Export).await? else {
            return Err(strange());
        };
        let parts = &self.shared.parts;
        let key = parts.layout.manifest(self.at, exported.version);
        let (bytes, version) = (Bytes::from(exported.bytes), exported.version);
        match parts.objects.put_new(&key, &mut bytes.clone()).await {
            Ok(()) => {}
            Err(error) if !self.is_stored(&key, &bytes).await => return Err(failed(&error)),
            Err(_) => {}
        }
        parts.counts.exports.fetch_add(1, Ordering::Relaxed);
        self.change(copy, Ask::Exported { version }).await
    }

    /// Whether these bytes are there. Others may be: a part of them, or of a shard that has lost them since.
    /// The next claim has another version.
    async fn is_stored(&self, key: &str, bytes: &Bytes) -> bool {
        let objects = &self.shared.parts.objects;
        let stored = objects.get_range(key, 0..bytes.len() as u64).await;
        let head = objects.head(key).await;
        let is_whole = head.is_ok_and(|head| head.len_bytes == bytes.len() as u64);
        is_whole && stored.is_ok_and(|stored| stored == *bytes)
    }

    /// Objects that nobody is sent to any more go, once their time is over.
    pub(super) async fn collect(&self, copy: &mut Manifest) -> Result<(), Trouble> {
        if copy.unnamed().is_empty() && copy.open().is_empty() {
            return Ok(());
        }
        let doomed = self.doomed(copy, Ask::Collect).await?;
        if doomed.is_empty() {
            return Ok(());
        }
        if copy.is_deleted() {
            // Once all is collected the shard forgets it, and nobody looks again. That is a grace age later, so
            // what a leader was about to put is there by now.
            self.drop_manifests(copy.exported()).await?;
        }
        let ids = self.delete(doomed).await?;
        self.change(copy, Ask::Collected { ids }).await
    }

    /// No manifest before version `end` stays.
    pub(super) async fn drop_manifests(&self, end: u64) -> Result<(), Trouble> {
        let dropped = self.shared.drop_manifests(self.at, end, 0).await;
        dropped.map_err(|error| failed(&error))
    }

    /// What may be deleted, as an answer to `ask`.
    pub(super) async fn doomed(
        &self,
        copy: &mut Manifest,
        ask: Ask,
    ) -> Result<Vec<(SegmentId, Offset)>, Trouble> {
        let Answer::Doomed { changed, objects } = self.ask(ask).await? else {
            return Err(strange());
        };
        follow(copy, &changed)?;
        Ok(objects)
    }

    /// Deletes objects that are doomed; gives their ids.
    pub(super) async fn delete(
        &self,
        doomed: Vec<(SegmentId, Offset)>,
    ) -> Result<Vec<SegmentId>, Trouble> {
        let parts = &self.shared.parts;
        let mut ids = Vec::with_capacity(doomed.len());
        for (id, start) in doomed {
            let key = parts.layout.segment(self.at, start, id);
            let topic = self.traffic.iter().map(|it| it.remote());
            let both = || topic.clone().chain([&parts.counts.traffic]);
            count(both(), |it| &it.deletions, 1);
            if let Err(error) = self.shared.drop_object(&key).await {
                count(both(), |it| &it.failed_deletions, 1);
                return Err(failed(&error));
            }
            ids.push(id);
        }
        Ok(ids)
    }

    pub(super) async fn change(&self, copy: &mut Manifest, ask: Ask) -> Result<(), Trouble> {
        match self.ask(ask).await? {
            Answer::Changed(changed) => follow(copy, &changed),
            _ => Err(strange()),
        }
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, Trouble> {
        self.hear(ask).await?.map_err(Trouble::from)
    }

    /// The same for one who knows what to do about a refusal.
    pub(super) async fn hear(&self, ask: Ask) -> Result<Said, Trouble> {
        let request = Request {
            partition: self.at,
            leader_epoch: self.epoch,
            ask,
        };
        let said = self.shared.parts.manifests.ask(request).await;
        said.map_err(|unanswered| Trouble::Again(unanswered.to_string()))
    }
}

fn follow(copy: &mut Manifest, changed: &Changed) -> Result<(), Trouble> {
    match copy.follow(changed) {
        true => Ok(()),
        false => Err(Trouble::Again("an answer has been missed".to_owned())),
    }
}

pub(super) fn strange() -> Trouble {
    Trouble::Again("the answer is to another question".to_owned())
}

pub(super) fn failed(error: &ObjectError) -> Trouble {
    Trouble::Again(error.to_string())
}
