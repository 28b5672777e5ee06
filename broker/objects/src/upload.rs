//! Large objects travel in parts.
//!
//! A part that fails is sent again a few times, from the same memory: its number makes that harmless.
//! When one is given up, or the body turns out to have no end, so is the upload, and what of it has
//! arrived is thrown away. The same goes for who drops an upload half-way, as each election does. If not
//! even that can be said, the process ends before, or a part arrives behind it, the bucket's own rule has
//! to (`AbortIncompleteMultipartUpload`). Nothing of an upload is visible before it is completed.
//!
//! Memory: two parts, one on its way and the next one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure};
use object_store::client::HttpErrorKind;
use object_store::path::Path;
use object_store::retry::{RetryContext, RetryFailure, RetryPolicy};
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions};
use tokio::runtime::Handle;
use tokio::sync::OwnedRwLockReadGuard;

use crate::failure::tell;

/// S3 takes so many parts for one object.
pub(crate) const PARTS_MAX: u64 = 10_000;
/// How often a part is sent.
const TRIES: usize = 3;
/// The pause before the second try; before the third it is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// How long it may take to throw away what nobody waits for.
const ABORT_LIMIT: Duration = Duration::from_secs(60);

const PUT: &str = "put";

/// A large object on its way.
pub(crate) struct Upload<'a> {
    pub(crate) store: &'a dyn ObjectStore,
    /// The name at the door, for errors.
    pub(crate) key: &'a str,
    /// The name in the store.
    pub(crate) path: &'a Path,
    /// What comes behind the first part.
    pub(crate) rest: &'a mut dyn ObjectBody,
    pub(crate) part_bytes: u64,
}

impl Upload<'_> {
    /// Sends all of it. The caller has looked whether the name is free: completion does not. Whoever
    /// drops this half-way has what was sent thrown away; `open` is held until that is done as well.
    pub(crate) async fn run(mut self, first: Vec<Bytes>, open: Open) -> Result<(), ObjectError> {
        let options = PutMultipartOptions::default().with_retry_policy(Arc::new(Tries));
        let upload = self.store.put_multipart_opts(self.path, options).await;
        let upload = upload.map_err(|error| tell(PUT, self.key, &error))?;
        let mut begun = Begun::of(upload, open);
        let sent = self.send(begun.upload(), first).await;
        if sent.is_err() {
            // Whether this succeeds changes nothing for the caller.
            let _ = begun.upload().abort().await;
        }
        begun.end();
        sent
    }

    async fn send(
        &mut self,
        upload: &mut dyn MultipartUpload,
        first: Vec<Bytes>,
    ) -> Result<(), ObjectError> {
        let told = |error| tell(PUT, self.key, &error);
        let mut part = first;
        for _ in 0..PARTS_MAX {
            let is_full = length(&part) == self.part_bytes;
            let sending = upload.put_part(part.into_iter().collect());
            // The next part is read, and judged, while this one is on its way.
            let next = async {
                match is_full {
                    true => self.rest.part(self.part_bytes).await,
                    false => Ok(Vec::new()),
                }
            };
            let (sent, next) = futures_util::future::join(sending, next).await;
            part = next?;
            sent.map_err(told)?;
            if length(&part) == 0 {
                return upload.complete().await.map(drop).map_err(told);
            }
        }
        Err(ObjectError {
            doing: PUT,
            key: self.key.to_owned(),
            failure: ObjectFailure::Invalid,
            why: format!("it has more than {PARTS_MAX} parts"),
        })
    }
}

/// Held while an upload is open.
pub(crate) type Open = OwnedRwLockReadGuard<()>;

/// Has an upload thrown away that is dropped before its end.
struct Begun {
    /// None when it has ended.
    left: Option<(Box<dyn MultipartUpload>, Open)>,
    /// Where it began: its connections live there, and who drops it may live nowhere.
    runtime: Handle,
}

impl Begun {
    fn of(upload: Box<dyn MultipartUpload>, open: Open) -> Self {
        Self {
            left: Some((upload, open)),
            runtime: Handle::current(),
        }
    }

    fn upload(&mut self) -> &mut dyn MultipartUpload {
        let (upload, _) = self.left.as_mut().expect("it is asked for before its end");
        upload.as_mut()
    }

    fn end(mut self) {
        self.left = None;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some((mut upload, open)) = self.left.take() else {
            return;
        };
        // A runtime that ends drops this too: parts are left to the bucket's rule then, and a file stays.
        self.runtime.spawn(async move {
            let _ = tokio::time::timeout(ABORT_LIMIT, upload.abort()).await;
            drop(open);
        });
    }
}

/// Bytes of a part.
pub(crate) fn length(part: &[Bytes]) -> u64 {
    part.iter().map(|piece| piece.len() as u64).sum()
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
