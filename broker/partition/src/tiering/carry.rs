//! Brings one closed segment into the bucket, and looks whether it is there. Every byte of it is checked on its
//! way: what is damaged on this disk other brokers may have whole, so they are asked to take over, as for a reader.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use freshet_env::objects::{ObjectError, ObjectFailure, ObjectWait};
use freshet_log::{Busy, ClosedSegment, Done, ReadError as LogReadError};
use freshet_tier::{
    EpochStart, SegmentBytes, SegmentId, SegmentSource, Stored, UploadError, upload,
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
    /// It is damaged, or was removed meanwhile, or the store does not take it.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

/// Stores a segment and looks at it. Waits for the store as long as that takes.
pub(super) async fn carry(
    shared: &Arc<Shared>,
    carried: Carried,
    segment: &ClosedSegment,
) -> Result<Stored, CarryError> {
    let (partition, epoch) = (Arc::clone(&carried.partition), carried.leader_epoch);
    let stored = bring(shared, carried, segment).await;
    if let Err(CarryError::Upload(UploadError::Compose(error))) = &stored {
        tell_damage(&partition, epoch, (error.kind(), error));
    }
    stored
}

/// Asks this disk for something, as the leader of an epoch. That it does not give back what was written is told.
pub(super) async fn read_here<T: Send + 'static>(
    partition: &Partition,
    epoch: LeaderEpoch,
    ask: impl FnOnce(Done<T, LogReadError>) -> Result<(), Busy>,
) -> Result<T, ReadError> {
    let read = partition.cold(ask).await;
    if let Err(error) = &read {
        tell_damage(partition, epoch, (error.kind(), error));
    }
    read
}

/// Who leads no more may have cut its log while it was read.
fn tell_damage(
    partition: &Partition,
    epoch: LeaderEpoch,
    (kind, what): (ErrorKind, &impl ToString),
) {
    let leads = partition.leads() && partition.leader_epoch() == epoch;
    if leads && kind == ErrorKind::Corrupt {
        partition.tell_damage(what);
    }
}

async fn bring(
    shared: &Arc<Shared>,
    carried: Carried,
    segment: &ClosedSegment,
) -> Result<Stored, CarryError> {
    let CustodiansParts {
        objects, layout, ..
    } = &shared.parts;
    let partition = carried.partition;
    let batches = Box::new(Batches {
        partition: Arc::clone(&partition),
        leader_epoch: carried.leader_epoch,
        segment: segment.clone(),
        shared: Arc::clone(shared),
    });
    let key = layout.segment(partition.id(), segment.base(), carried.id);
    let ask = |done| segment.producers(done);
    let producers = read_here(&partition, carried.leader_epoch, ask).await?;
    let source = SegmentSource {
        partition: partition.id(),
        id: carried.id,
        leader_epoch: carried.leader_epoch,
        generation: carried.generation,
        start: segment.base(),
        end: segment.end(),
        epochs: carried.epochs,
        batches,
        producers,
        aborted: Bytes::new(),
        spacing: u32::try_from(carried.spacing).unwrap_or(u32::MAX),
    };
    Ok(upload(&**objects, &key, source).await?)
}

/// A closed segment's bytes, read no faster than they may be sent.
struct Batches {
    partition: Arc<Partition>,
    leader_epoch: LeaderEpoch,
    segment: ClosedSegment,
    shared: Arc<Shared>,
}

impl SegmentBytes for Batches {
    fn len_bytes(&self) -> u64 {
        self.segment.size_bytes()
    }

    fn read(&self, range: Range<u64>, memory: BytesMut) -> ObjectWait<'_, BytesMut> {
        Box::pin(async move {
            let bytes = range.end.saturating_sub(range.start);
            let held_up = &self.shared.parts.counts.copy_throttle_times;
            self.shared.sent.pass(bytes, Some(held_up)).await;
            let ask = |done| self.segment.read(range, memory, done);
            let read = read_here(&self.partition, self.leader_epoch, ask).await;
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
