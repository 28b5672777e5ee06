//! Brings one closed segment into the bucket, and looks whether it is there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure, ObjectWait};
use freshet_log::ClosedSegment;
use freshet_tier::{
    ComposeError, EpochStart, SegmentId, SegmentSource, Stored, VerifyError, compose, verify,
};
use freshet_types::{ErrorKind, LeaderEpoch};

use super::{CustodiansParts, Shared};
use crate::partition::{Partition, ReadError};

/// What is said of a segment beside its records.
pub(super) struct Carried {
    pub(super) partition: Arc<Partition>,
    pub(super) id: SegmentId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) epochs: Vec<EpochStart>,
    /// Of the manifest's segment, once it is there.
    pub(super) generation: u32,
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
    shared: &Arc<Shared>,
    carried: Carried,
    segment: &ClosedSegment,
) -> Result<Stored, CarryError> {
    let CustodiansParts {
        objects, layout, ..
    } = &shared.parts;
    let partition = carried.partition;
    let batches = Arc::new(SegmentBytes {
        partition: Arc::clone(&partition),
        segment: segment.clone(),
        shared: Arc::clone(shared),
        is_sent: AtomicBool::new(false),
    });
    let key = layout.segment(partition.id(), segment.base(), carried.id);
    let producers = partition.cold(|done| segment.producers(done)).await?;
    let object = compose(SegmentSource {
        partition: partition.id(),
        id: carried.id,
        leader_epoch: carried.leader_epoch,
        generation: carried.generation,
        start: segment.base(),
        end: segment.end(),
        epochs: carried.epochs,
        batches: Arc::clone(&batches) as _,
        producers,
        aborted: Bytes::new(),
        spacing: u32::try_from(carried.spacing).unwrap_or(u32::MAX),
    })
    .await?;
    batches.is_sent.store(true, Ordering::Relaxed);
    match objects.put_new(&key, &object).await {
        Ok(()) => {}
        // The answer to the first try may be lost: what is there tells.
        Err(ObjectError {
            failure: ObjectFailure::AlreadyExists | ObjectFailure::Unanswered,
            ..
        }) => {}
        Err(error) => return Err(error.into()),
    }
    verify(&**objects, &key, &object).await?;
    Ok(object.stored())
}

/// A closed segment's bytes, as an object is made of.
struct SegmentBytes {
    partition: Arc<Partition>,
    segment: ClosedSegment,
    shared: Arc<Shared>,
    /// It is read a second time: to be sent, no faster than that may be.
    is_sent: AtomicBool,
}

impl ObjectBody for SegmentBytes {
    fn len_bytes(&self) -> u64 {
        self.segment.size_bytes()
    }

    fn part(&self, range: Range<u64>) -> ObjectWait<'_, Bytes> {
        Box::pin(async move {
            if self.is_sent.load(Ordering::Relaxed) {
                let bytes = range.end.saturating_sub(range.start);
                self.shared.sent.pass(bytes).await;
            }
            let ask = |done| self.segment.read(range, done);
            let read = self.partition.cold(ask).await;
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
