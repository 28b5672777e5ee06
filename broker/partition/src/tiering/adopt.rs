//! A shard that knows nothing of a partition may have lost what it knew: then the newest manifest in
//! the bucket is true again. It names all that ever left a disk, and nothing that was deleted (T7, T8).
//! What was committed after it is nobody's, and is swept.

use std::collections::VecDeque;

use bytes::Bytes;
use freshet_env::objects::ObjectError;
use freshet_tier::{Answer, Ask, Manifest, ObjectName};

use super::custodian::Custodian;
use super::tended::{Trouble, strange};
use crate::manifests::MANIFESTS_TOPIC;

/// Manifests that are looked at, the newest first: a patrol leaves three.
const MOST_TRIED: usize = 16;
/// Names in one page of a listing.
const PAGE: usize = 1000;
/// A manifest of 100,000 segments has 15 MB; what is longer is none.
const MOST_BYTES: u64 = 256 << 20;

/// What is there under a manifest's name.
enum Found {
    Sound(Bytes, Box<Manifest>),
    Damaged(String),
}

impl Custodian {
    /// Gives the shard what the bucket has. `false` if that is nothing.
    pub(super) async fn adopt(&self) -> Result<bool, Trouble> {
        let versions = self.newest_versions().await?;
        let Some(newest) = versions.back().copied() else {
            return Ok(false);
        };
        let Some((bytes, manifest)) = self.newest_sound(versions).await? else {
            let key = self.manifest_key(newest);
            return Err(Trouble::Again(format!(
                "{MANIFESTS_TOPIC} knows nothing of this partition, {key} is in the bucket, and no \
                 manifest there is sound: bring one of them back"
            )));
        };
        if manifest.is_deleted() {
            let key = self.manifest_key(manifest.version());
            return Err(Trouble::Again(format!(
                "by {key} the topic is deleted: delete it here, too"
            )));
        }
        self.hand_in(bytes, newest).await?;
        self.tell_adopted(&manifest, newest);
        Ok(true)
    }

    async fn newest_sound(
        &self,
        mut versions: VecDeque<u64>,
    ) -> Result<Option<(Bytes, Box<Manifest>)>, Trouble> {
        while let Some(version) = versions.pop_back() {
            match self.look_at(version).await? {
                Found::Sound(bytes, manifest) => return Ok(Some((bytes, manifest))),
                Found::Damaged(what) => {
                    let log = self.partition.name();
                    tracing::warn!(%log, version, what, "a manifest in the bucket is damaged");
                }
            }
        }
        Ok(None)
    }

    fn tell_adopted(&self, manifest: &Manifest, newest: u64) {
        let (log, version) = (self.partition.name(), manifest.version());
        let (end, segments) = (manifest.remote_end(), manifest.segments().len());
        tracing::warn!(
            %log, version, end, segments,
            "{MANIFESTS_TOPIC} has lost this partition: the newest manifest in the bucket is adopted"
        );
        if version < newest {
            tracing::warn!(
                %log, version, newest, end,
                "newer manifests are damaged: records from the end on are lost where no disk has them, and \
                 of those before some may be"
            );
        }
    }

    fn manifest_key(&self, version: u64) -> String {
        let layout = &self.shared.parts.layout;
        layout.manifest(self.partition.id(), version)
    }

    /// Ascending.
    async fn newest_versions(&self) -> Result<VecDeque<u64>, Trouble> {
        let (parts, at) = (&self.shared.parts, self.partition.id());
        let prefix = parts.layout.manifests(at);
        let mut after: Option<String> = None;
        let mut newest = VecDeque::new();
        loop {
            let page = parts.objects.list(&prefix, after.as_deref(), PAGE).await;
            let page = page.map_err(|error| Trouble::Again(error.to_string()))?;
            for (key, _) in &page.objects {
                if let Some(ObjectName::Manifest { version }) = parts.layout.parse(at, key) {
                    newest.push_back(version);
                }
            }
            newest.drain(..newest.len().saturating_sub(MOST_TRIED));
            after = page.objects.last().map(|(key, _)| key.clone());
            if !page.more || after.is_none() {
                return Ok(newest);
            }
        }
    }

    /// What is gone since it was listed has a successor: that is for the next try.
    async fn look_at(&self, version: u64) -> Result<Found, Trouble> {
        let objects = &self.shared.parts.objects;
        let key = self.manifest_key(version);
        let away = |error: ObjectError| Trouble::Again(error.to_string());
        let head = objects.head(&key).await.map_err(away)?;
        if head.len_bytes > MOST_BYTES {
            return Ok(Found::Damaged(format!("it has {} bytes", head.len_bytes)));
        }
        let bytes = objects.get_range(&key, 0..head.len_bytes).await;
        let bytes = bytes.map_err(away)?;
        let at = self.partition.id();
        Ok(match Manifest::restore(&bytes) {
            Err(error) => Found::Damaged(error.to_string()),
            Ok((whose, manifest)) if whose != at || manifest.version() != version => {
                let version = manifest.version();
                Found::Damaged(format!("it is version {version} of {whose}"))
            }
            Ok((_, manifest)) => Found::Sound(bytes, Box::new(manifest)),
        })
    }

    async fn hand_in(&self, bytes: Bytes, newest: u64) -> Result<(), Trouble> {
        let exported = bytes.to_vec();
        let adopt = Ask::Adopt { exported, newest };
        match self.tended.hear(adopt).await? {
            Ok(Answer::Adopted) => Ok(()),
            Ok(_) => Err(strange()),
            Err(refusal) => Err(refusal.into()),
        }
    }
}
