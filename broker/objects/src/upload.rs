//! Large objects travel in parts.
//!
//! A part that fails is sent again a few times: its number makes that harmless. When one is given up, so
//! is the upload, and what of it has arrived is thrown away; if not even that can be said, the bucket's
//! own rule has to (`AbortIncompleteMultipartUpload`). Nothing of an upload is visible before it is
//! completed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure};
use object_store::client::HttpErrorKind;
use object_store::path::Path;
use object_store::retry::{RetryContext, RetryFailure, RetryPolicy};
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions};

use crate::failure::tell;

/// S3 takes so many parts for one object.
pub(crate) const PARTS_MAX: u64 = 10_000;
/// How often a part is sent.
const TRIES: usize = 3;
/// The pause before the second try; before the third it is twice as long.
const PAUSE: Duration = Duration::from_millis(250);

const PUT: &str = "put";

/// A large object on its way.
pub(crate) struct Upload<'a> {
    pub(crate) store: &'a dyn ObjectStore,
    /// The name at the door, for errors.
    pub(crate) key: &'a str,
    /// The name in the store.
    pub(crate) path: &'a Path,
    pub(crate) body: &'a dyn ObjectBody,
    pub(crate) part_bytes: u64,
}

impl Upload<'_> {
    /// Sends all of it. The caller has looked whether the name is free: completion does not.
    pub(crate) async fn run(self) -> Result<(), ObjectError> {
        let len = self.body.len_bytes();
        if len.div_ceil(self.part_bytes) > PARTS_MAX {
            let why = format!("{len} bytes are more than {PARTS_MAX} parts");
            return Err(invalid(self.key, why));
        }
        let options = PutMultipartOptions::default().with_retry_policy(Arc::new(Tries));
        let upload = self.store.put_multipart_opts(self.path, options).await;
        let mut upload = upload.map_err(|error| tell(PUT, self.key, &error))?;
        let sent = self.send(upload.as_mut()).await;
        if sent.is_err() {
            // Whether this succeeds changes nothing for the caller.
            let _ = upload.abort().await;
        }
        sent
    }

    async fn send(&self, upload: &mut dyn MultipartUpload) -> Result<(), ObjectError> {
        let len = self.body.len_bytes();
        let mut from = 0;
        while from < len {
            let to = len.min(from.saturating_add(self.part_bytes));
            let part = part(self.key, self.body, from..to).await?;
            let sent = upload.put_part(part.into()).await;
            sent.map_err(|error| tell(PUT, self.key, &error))?;
            from = to;
        }
        let done = upload.complete().await;
        done.map(drop).map_err(|error| tell(PUT, self.key, &error))
    }
}

/// Reads a part of a body, all of it.
pub(crate) async fn part(
    key: &str,
    body: &dyn ObjectBody,
    range: Range<u64>,
) -> Result<Bytes, ObjectError> {
    let bytes = body.part(range.clone()).await?;
    if bytes.len() as u64 == range.end - range.start {
        return Ok(bytes);
    }
    let why = format!("bytes {range:?} of the body are {} bytes", bytes.len());
    Err(invalid(key, why))
}

fn invalid(key: &str, why: String) -> ObjectError {
    ObjectError {
        doing: PUT,
        key: key.to_owned(),
        failure: ObjectFailure::Invalid,
        why,
    }
}

/// Sends a part again that may arrive the next time.
#[derive(Debug)]
struct Tries;

#[async_trait]
impl RetryPolicy for Tries {
    async fn retry(&self, context: RetryContext) -> bool {
        // What will not be better next time is `Unknown`: see `answer`.
        let hopeless = RetryFailure::Transport(HttpErrorKind::Unknown);
        if context.attempt >= TRIES || context.failure == hopeless {
            return false;
        }
        let times = u32::try_from(context.attempt).unwrap_or(1);
        tokio::time::sleep(PAUSE * times).await;
        true
    }
}
