//! Brings one closed segment into the bucket, and looks whether it is there.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure, ObjectWait};
use freshet_log::{Busy, ClosedSegment, Done, ReadError};
use freshet_tier::{
    ComposeError, EpochStart, Layout, SegmentId, SegmentSource, Stored, VerifyError, compose,
    verify,
};
use freshet_types::{ErrorKind, LeaderEpoch, TopicPartition};
use tokio::sync::oneshot;

/// What is said of a segment beside its records.
pub(super) struct Carried {
    pub(super) partition: TopicPartition,
    pub(super) id: SegmentId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) epochs: Vec<EpochStart>,
    /// `index.interval.bytes`.
    pub(super) spacing: u64,
}

/// Why a segment is not in the bucket.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarryError {
    /// It cannot be read.
    #[error("reading the segment: {0}")]
    Read(#[from] ReadError),
    /// It is damaged, or was removed meanwhile.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] ObjectError),
    /// It is not what was put there.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Stores a segment and looks at it. Waits for the store as long as that takes.
pub(super) async fn carry(
    objects: &dyn Objects,
    layout: &Layout,
    carried: Carried,
    segment: &ClosedSegment,
) -> Result<Stored, CarryError> {
    let key = layout.segment(carried.partition, segment.base(), carried.id);
    let producers = wait(|done| segment.producers(done)).await?;
    let object = compose(SegmentSource {
        partition: carried.partition,
        id: carried.id,
        leader_epoch: carried.leader_epoch,
        generation: 0,
        start: segment.base(),
        end: segment.end(),
        epochs: carried.epochs,
        batches: Arc::new(SegmentBytes(segment.clone())),
        producers,
        aborted: Bytes::new(),
        spacing: u32::try_from(carried.spacing).unwrap_or(u32::MAX),
    })
    .await?;
    match objects.put_new(&key, &object).await {
        Ok(()) => {}
        // The answer to the first try may be lost: what is there tells.
        Err(ObjectError {
            failure: ObjectFailure::AlreadyExists | ObjectFailure::Unanswered,
            ..
        }) => {}
        Err(error) => return Err(error.into()),
    }
    verify(objects, &key, &object).await?;
    Ok(object.stored())
}

/// A closed segment's bytes, as an object is made of.
struct SegmentBytes(ClosedSegment);

impl ObjectBody for SegmentBytes {
    fn len_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn part(&self, range: Range<u64>) -> ObjectWait<'_, Bytes> {
        Box::pin(async move {
            let read = wait(|done| self.0.read(range, done)).await;
            read.map_err(|error| ObjectError {
                doing: "read a part of",
                key: "a closed segment".to_owned(),
                failure: match error.kind() {
                    ErrorKind::Busy => ObjectFailure::Throttled,
                    _ => ObjectFailure::Unreachable,
                },
                why: error.to_string(),
            })
        })
    }
}

/// Readers' threads answer, once they have time.
async fn wait<T: Send + 'static>(
    ask: impl FnOnce(Done<T, ReadError>) -> Result<(), Busy>,
) -> Result<T, ReadError> {
    let (tell, told) = oneshot::channel();
    let gone = |reason: &str| ReadError::Io {
        reason: reason.into(),
    };
    ask(Box::new(move |read| drop(tell.send(read)))).map_err(|busy| gone(&busy.to_string()))?;
    told.await
        .unwrap_or_else(|_| Err(gone("the readers have ended")))
}
