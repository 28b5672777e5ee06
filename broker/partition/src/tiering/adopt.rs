//! A shard that knows nothing of a partition may have lost what it knew: then the newest manifest in
//! the bucket is true again. It names all that ever left a disk, and nothing that was deleted (T7, T8).
//! What was committed after it is nobody's, and is swept.

use bytes::Bytes;
use freshet_tier::{Answer, Ask, Manifest, newest_manifest};

use super::custodian::Custodian;
use super::tended::{Trouble, strange};
use crate::manifests::MANIFESTS_TOPIC;

impl Custodian {
    /// Gives the shard what the bucket has. `false` if that is nothing.
    pub(super) async fn adopt(&self) -> Result<bool, Trouble> {
        let (parts, at) = (&self.shared.parts, self.partition.id());
        let found = newest_manifest(&*parts.objects, &parts.layout, at).await;
        let Some(found) = found.map_err(|error| Trouble::Again(error.to_string()))? else {
            return Ok(false);
        };
        let newest = found.version;
        for (version, what) in found.damaged {
            let log = self.partition.name();
            tracing::warn!(%log, version, what, "a manifest in the bucket is damaged");
        }
        let Some((bytes, manifest)) = found.sound else {
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
