//! Large objects travel in parts.
//!
//! A part that fails is sent again a few times, from the same memory: its number makes that harmless.
//! When one is given up, or the body turns out to have no end, so is the upload, and what of it has
//! arrived is thrown away. The same goes for who drops an upload half-way, as each election does. If not
//! even that can be said, the process ends before, or a part arrives behind it, the bucket's own rule has
//! to (`AbortIncompleteMultipartUpload`). Nothing of an upload is visible before it is completed.
//!
//! Several parts are on their way at a time: a connection to a far store carries 50 to 100 MB/s, and waits
//! for an answer after each. One always may be, further ones as the window that all uploads share has room,
//! and only while parts arrive quickly: on a thin line each would take the others' time, and all would fail.
//!
//! Memory: the parts that are on their way, and the next one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use object_store::client::HttpErrorKind;
use object_store::path::Path;
use object_store::retry::{RetryContext, RetryFailure, RetryPolicy};
use object_store::{Error, MultipartUpload, ObjectStore, PutMultipartOptions, UploadPart};
use tokio::runtime::Handle;
use tokio::sync::{OwnedRwLockReadGuard, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::bucket::Limits;
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
    pub(crate) limits: &'a Limits,
    /// What all uploads may have on their way together, beyond the one part that each may.
    pub(crate) window: &'a Semaphore,
}

impl<'a> Upload<'a> {
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
        let mut going = Going {
            key: self.key,
            parts: FuturesUnordered::new(),
            last_took: None,
        };
        let part_bytes = self.limits.part_bytes;
        let mut part = first;
        let mut room = None;
        for _ in 0..PARTS_MAX {
            let is_full = length(&part) == part_bytes;
            going.begin(upload.put_part(part.into_iter().collect()), room);
            part = match is_full {
                true => going.beside(self.rest.part(part_bytes)).await?,
                false => Vec::new(),
            };
            if length(&part) == 0 {
                going.fall_to(0).await?;
                let completed = upload.complete().await;
                return completed
                    .map(drop)
                    .map_err(|error| tell(PUT, self.key, &error));
            }
            room = self.room(&mut going).await?;
        }
        Err(ObjectError {
            doing: PUT,
            key: self.key.to_owned(),
            failure: ObjectFailure::Invalid,
            why: format!("it has more than {PARTS_MAX} parts"),
        })
    }

    /// Waits until one more part may be sent. If none is on its way it may, whatever the others take.
    async fn room(&mut self, going: &mut Going<'a>) -> Result<Room<'a>, ObjectError> {
        let mut most = self.limits.parts_at_once.saturating_sub(1);
        loop {
            let is_quick = going
                .last_took
                .is_some_and(|took| took <= self.limits.quick);
            going.fall_to(if is_quick { most } else { 0 }).await?;
            if going.parts.is_empty() {
                return Ok(None);
            }
            if let Ok(room) = self.window.try_acquire() {
                return Ok(Some(room));
            }
            most = going.parts.len() - 1;
        }
    }
}

/// A place in the window, but for the one part that always may be on its way.
type Room<'a> = Option<SemaphorePermit<'a>>;

/// The parts of an upload that are on their way.
struct Going<'a> {
    key: &'a str,
    parts: FuturesUnordered<BoxFuture<'a, Arrived>>,
    /// How long the part took that arrived last, with all its tries.
    last_took: Option<Duration>,
}

type Arrived = (Duration, Result<(), Error>);

impl<'a> Going<'a> {
    fn begin(&self, sending: UploadPart, room: Room<'a>) {
        let part = async move {
            let began = Instant::now();
            let sent = sending.await;
            drop(room);
            (began.elapsed(), sent)
        };
        self.parts.push(Box::pin(part));
    }

    /// Waits until at most `count` are left.
    async fn fall_to(&mut self, count: usize) -> Result<(), ObjectError> {
        while self.parts.len() > count {
            self.next().await.transpose()?;
        }
        Ok(())
    }

    /// What became of the one that is done next; nothing if there is none.
    async fn next(&mut self) -> Option<Result<(), ObjectError>> {
        let (took, sent) = self.parts.next().await?;
        self.last_took = Some(took);
        Some(sent.map_err(|error| tell(PUT, self.key, &error)))
    }

    /// They go on meanwhile. Should one fail that is told when `work`, which may know better, is done.
    async fn beside<T>(
        &mut self,
        work: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        let mut work = pin!(work);
        let mut sent = Ok(());
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                Some(part) = self.next() => sent = sent.and(part),
            }
        };
        let done = done?;
        sent.map(|()| done)
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
