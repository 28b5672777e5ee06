//! Who has come to a bucket first while it was empty: then names say nothing yet, and two clusters that start at the
//! same moment would both find nobody (decision 20).
//!
//! A claim is put under a name that only one can have, and is never replaced: what takes its place is the next one.
//! It counts for [`STALE_MS`], by the store's clock at both ends, and only while nobody has objects: a cluster that
//! was let in has some by then, and one that has gone for ever must not keep others out.

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{ObjectError, ObjectFailure, store_time};
use freshet_objects::Bucket;
use freshet_tier::{CLAIMS, Layout, claim, nth_claim};
use freshet_types::{ClusterId, Timestamp};

/// How long a claim counts whose cluster has no objects: 10 min. With exports it has some after ten seconds.
const STALE_MS: i64 = 600_000;
/// Claims that are looked at; each further one is another cluster that came in the meantime.
const LISTED: usize = 1000;
/// What is longer is no cluster's id.
const MOST_BYTES: u64 = 1024;
/// How often somebody else may be faster.
const TRIES: usize = 4;

/// Claims an empty bucket.
pub(super) struct Claims<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) me: &'a ClusterId,
    /// Nobody else's object has this name.
    pub(super) nonce: [u8; 16],
}

/// Another cluster was there first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) by: String,
    /// The object that says so.
    pub(super) key: String,
}

impl Claims<'_> {
    /// Claims the bucket for this cluster, unless another one has.
    ///
    /// # Errors
    /// The store's, and of one that lets everybody be faster.
    pub(super) async fn claim(&self) -> Result<Option<Claimed>, ObjectError> {
        let objects: &dyn Objects = self.bucket;
        let mut tries = 1;
        loop {
            let mut nth = 1;
            if let Some((last, modified)) = self.newest().await? {
                let key = claim(last);
                match self.owner(&key).await? {
                    Some(owner) if owner == *self.me.0 => return Ok(None),
                    Some(by) if !self.is_stale(modified).await? => {
                        return Ok(Some(Claimed { by, key }));
                    }
                    // One that is damaged must keep nobody out.
                    Some(_) | None => nth = last.saturating_add(1),
                }
            }
            let mut id = Bytes::copy_from_slice(self.me.0.as_bytes());
            let put = objects.put_new(&claim(nth), &mut id).await;
            match put.map_err(|error| (error.failure, error)) {
                Ok(()) => return Ok(None),
                // Who was it? It may have been this one, whose answer was lost.
                Err((ObjectFailure::AlreadyExists | ObjectFailure::Unanswered, _))
                    if tries < TRIES =>
                {
                    tries += 1;
                }
                Err((_, error)) => return Err(error),
            }
        }
    }

    async fn newest(&self) -> Result<Option<(u32, Timestamp)>, ObjectError> {
        let listed = self.bucket.list(CLAIMS, None, LISTED).await?;
        let claims = listed.objects.iter();
        let claims = claims.filter_map(|(key, head)| Some((nth_claim(key)?, head.modified)));
        Ok(claims.max_by_key(|(nth, _)| *nth))
    }

    /// Whose claim it is; none if that cannot be read.
    async fn owner(&self, key: &str) -> Result<Option<String>, ObjectError> {
        let length = self.bucket.head(key).await?.len_bytes;
        if length == 0 || length > MOST_BYTES {
            return Ok(None);
        }
        let bytes = self.bucket.get_range(key, 0..length).await?;
        Ok(String::from_utf8(bytes.into()).ok())
    }

    async fn is_stale(&self, modified: Timestamp) -> Result<bool, ObjectError> {
        let key = Layout::new("", self.me).probe(self.nonce);
        let now = store_time(self.bucket, &key).await?;
        Ok(now.0.saturating_sub(modified.0) >= STALE_MS)
    }
}
