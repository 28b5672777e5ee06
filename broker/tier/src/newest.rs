//! The newest manifest that a bucket has of a partition: what its shard adopts, and what a restore counts on.

use std::collections::VecDeque;

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::ObjectError;
use freshet_types::TopicPartition;

use crate::layout::{Layout, ObjectName};
use crate::manifest::Manifest;
use crate::object::{VerifyError, twice};

/// Manifests that are looked at, the newest first: a patrol leaves three.
const MOST_TRIED: usize = 16;
/// Names in one page of a listing.
const PAGE: usize = 1000;
/// A manifest of 100,000 segments has 15 MB; what is longer is none.
const MOST_BYTES: u64 = 256 << 20;

/// What is there under the names of manifests.
#[derive(Debug)]
pub struct NewestManifest {
    /// The greatest version that has a name, whatever it holds.
    pub version: u64,
    /// The newest one that is sound: its bytes, and what they say.
    pub sound: Option<(Bytes, Box<Manifest>)>,
    /// Newer ones that are not, by their versions, and what is wrong.
    pub damaged: Vec<(u64, String)>,
}

/// Looks for the newest manifest; none if there is no name of one.
///
/// # Errors
/// The store's. What is gone since it was listed has a successor: that is for the next try.
pub async fn newest_manifest(
    objects: &dyn Objects,
    layout: &Layout,
    at: TopicPartition,
) -> Result<Option<NewestManifest>, ObjectError> {
    let mut versions = newest_versions(objects, layout, at).await?;
    let Some(version) = versions.back().copied() else {
        return Ok(None);
    };
    let mut newest = NewestManifest {
        version,
        sound: None,
        damaged: Vec::new(),
    };
    while let Some(version) = versions.pop_back() {
        match look_at(objects, layout, (at, version)).await? {
            Ok(sound) => {
                newest.sound = Some(sound);
                break;
            }
            Err(what) => newest.damaged.push((version, what)),
        }
    }
    Ok(Some(newest))
}

/// Whether the manifest object that a restore would take is what was put there: whole, of this partition and
/// version, and as long as nothing was changed since, byte for byte what the `manifest` says. What looks wrong is
/// asked for once more before that is said. Two requests; memory: the object, twice.
///
/// # Errors
/// See [`VerifyError`].
pub async fn check_exported(
    objects: &dyn Objects,
    layout: &Layout,
    at: TopicPartition,
    manifest: &Manifest,
) -> Result<(), VerifyError> {
    twice(|| look_at_exported(objects, layout, at, manifest)).await
}

async fn look_at_exported(
    objects: &dyn Objects,
    layout: &Layout,
    at: TopicPartition,
    manifest: &Manifest,
) -> Result<(), VerifyError> {
    let version = manifest.exported();
    let key = layout.manifest(at, version);
    let looked = look_at(objects, layout, (at, version)).await;
    let what = match looked.map_err(|error| VerifyError::asking_for(&key, error))? {
        // One version has one sequence of bytes.
        Ok((bytes, _)) if version == manifest.version() && bytes != manifest.export(at).bytes => {
            "it says something else than its version".to_owned()
        }
        Ok(_) => return Ok(()),
        Err(what) => what,
    };
    Err(VerifyError::Manifest { key, what })
}

/// Ascending.
async fn newest_versions(
    objects: &dyn Objects,
    layout: &Layout,
    at: TopicPartition,
) -> Result<VecDeque<u64>, ObjectError> {
    let prefix = layout.manifests(at);
    let mut after: Option<String> = None;
    let mut newest = VecDeque::new();
    loop {
        let page = objects.list(&prefix, after.as_deref(), PAGE).await?;
        for (key, _) in &page.objects {
            if let Some(ObjectName::Manifest { version }) = layout.parse(at, key) {
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

/// A sound manifest, or what is wrong with it.
async fn look_at(
    objects: &dyn Objects,
    layout: &Layout,
    (at, version): (TopicPartition, u64),
) -> Result<Result<(Bytes, Box<Manifest>), String>, ObjectError> {
    let key = layout.manifest(at, version);
    let head = objects.head(&key).await?;
    if head.len_bytes > MOST_BYTES {
        return Ok(Err(format!("it has {} bytes", head.len_bytes)));
    }
    let bytes = objects.get_range(&key, 0..head.len_bytes).await?;
    Ok(match Manifest::restore(&bytes) {
        Err(error) => Err(error.to_string()),
        Ok((whose, manifest)) if whose != at || manifest.version() != version => {
            let version = manifest.version();
            Err(format!("it is version {version} of {whose}"))
        }
        Ok((_, manifest)) => Ok((bytes, Box::new(manifest))),
    })
}
