//! The durable changes of manifests, and their bytes in the internal topic (docs/formats/tier.md).

use bytes::{Buf, BufMut};
use freshet_types::{LeaderEpoch, Offset, StoredRecord, StoredRecordError, TopicPartition};

use super::request::Purpose;
use freshet_records::envelope::{EnvelopeError, malformed};

use crate::codec;
use crate::manifest::{Head, Part, Unnamed};
use crate::segment::{Attempt, Segment, SegmentId};

const VERSION: u16 = 0;

/// A change of one partition's manifest. One decision that must not be torn is one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose manifest.
    pub partition: TopicPartition,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A leader has claimed it. Makes it, if there is none.
    Claimed {
        /// Its epoch.
        leader_epoch: LeaderEpoch,
        /// The log start from now on.
        log_start: Offset,
        /// Where the named segments end from now on, if some were taken from readers.
        cut: Option<Offset>,
    },
    /// An object may appear in the bucket.
    Begun {
        /// Its id.
        id: SegmentId,
        /// What it holds.
        attempt: Attempt,
    },
    /// Readers are sent to it.
    Committed {
        /// The segment as it is visible.
        segment: Segment,
    },
    /// Attempts are given up.
    Abandoned {
        /// Which.
        ids: Vec<SegmentId>,
    },
    /// The log starts later.
    StartMoved {
        /// Where.
        log_start: Offset,
    },
    /// Later generations take the place of earlier ones.
    Replaced {
        /// No more visible.
        removed: Vec<SegmentId>,
        /// Visible instead.
        added: Vec<Segment>,
    },
    /// A version of the manifest is in the bucket.
    Exported {
        /// Which.
        version: u64,
    },
    /// Objects may be deleted, for good.
    Doomed {
        /// Id and first offset.
        objects: Vec<(SegmentId, Offset)>,
    },
    /// Objects are deleted.
    Collected {
        /// Which.
        ids: Vec<SegmentId>,
    },
    /// The topic is deleted.
    Deleted {
        /// Whether its objects stay.
        keep_objects: bool,
    },
    /// Nothing. A refusal that nobody but the host of the shard may give waits for its commit: a host
    /// that lost the shard still answers what needs no record, from what it knew then.
    Confirmed,
    /// A part of a manifest that is to take the place of the present one: a snapshot, or one that is
    /// adopted. Nobody sees it before it is whole.
    Part(Part),
    /// It takes its place, if these are all its parts: who reads a part of an append finds what was
    /// there before.
    Whole {
        /// How many came before this.
        parts: u64,
    },
}

impl Change {
    /// Whether the bucket's view of the partition changes: these raise the version.
    pub(crate) fn is_shown(&self) -> bool {
        matches!(
            self,
            Self::Claimed { .. }
                | Self::Committed { .. }
                | Self::StartMoved { .. }
                | Self::Replaced { .. }
                | Self::Deleted { .. }
        )
    }

    pub(super) fn kind(&self) -> u16 {
        match self {
            Self::Claimed { .. } => 1,
            Self::Begun { .. } => 2,
            Self::Committed { .. } => 3,
            Self::Abandoned { .. } => 4,
            Self::StartMoved { .. } => 5,
            Self::Replaced { .. } => 6,
            Self::Exported { .. } => 7,
            Self::Doomed { .. } => 8,
            Self::Collected { .. } => 9,
            Self::Deleted { .. } => 10,
            Self::Part(part) => part_kind(part),
            Self::Confirmed => 14,
            Self::Whole { .. } => 15,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Claimed {
                leader_epoch,
                log_start,
                cut,
            } => {
                out.put_i32(*leader_epoch);
                out.put_i64(*log_start);
                out.put_i64(cut.unwrap_or(-1));
            }
            Self::Begun { id, attempt } => put_attempt(out, *id, attempt),
            Self::Committed { segment } => codec::put_segment(out, segment),
            Self::Abandoned { ids } | Self::Collected { ids } => put_ids(out, ids),
            Self::StartMoved { log_start } => out.put_i64(*log_start),
            Self::Replaced { removed, added } => {
                put_ids(out, removed);
                codec::put_count(out, added.len());
                added.iter().for_each(|s| codec::put_segment(out, s));
            }
            Self::Exported { version } => out.put_u64(*version),
            Self::Doomed { objects } => put_objects(out, objects),
            Self::Deleted { keep_objects } => out.put_u8(u8::from(*keep_objects)),
            Self::Confirmed => {}
            Self::Part(part) => put_part(out, part),
            Self::Whole { parts } => out.put_u64(*parts),
        }
    }

    pub(super) fn get(kind: u16, from: &mut &[u8]) -> Result<Self, EnvelopeError> {
        Ok(match kind {
            1 => Self::Claimed {
                leader_epoch: from.try_get_i32()?,
                log_start: codec::offset(from)?,
                cut: match from.try_get_i64()? {
                    -1 => None,
                    cut if cut >= 0 => Some(cut),
                    _ => return Err(malformed("a negative cut")),
                },
            },
            2 => {
                let (id, attempt) = get_attempt(from)?;
                Self::Begun { id, attempt }
            }
            3 => Self::Committed {
                segment: codec::segment(from)?,
            },
            4 => Self::Abandoned { ids: ids(from)? },
            5 => Self::StartMoved {
                log_start: codec::offset(from)?,
            },
            6 => Self::Replaced {
                removed: ids(from)?,
                added: codec::list(from, codec::SEGMENT_BYTES, codec::segment)?,
            },
            7 => Self::Exported {
                version: from.try_get_u64()?,
            },
            8 => Self::Doomed {
                objects: objects(from)?,
            },
            9 => Self::Collected { ids: ids(from)? },
            10 => Self::Deleted {
                keep_objects: codec::flag(from)?,
            },
            14 => Self::Confirmed,
            15 => Self::Whole {
                parts: from.try_get_u64()?,
            },
            kind => Self::Part(get_part(kind, from)?),
        })
    }
}

pub(super) fn part_kind(part: &Part) -> u16 {
    match part {
        Part::Head(_) => 11,
        Part::Named { .. } => 12,
        Part::Left { .. } => 13,
        Part::Open { .. } => 16,
    }
}

pub(super) fn put_part(out: &mut Vec<u8>, part: &Part) {
    match part {
        Part::Head(head) => {
            out.put_i32(head.leader_epoch);
            out.put_i64(head.log_start);
            out.put_u64(head.version);
            out.put_u64(head.exported);
            out.put_u8(u8::from(head.deleted));
        }
        Part::Named { segment } => codec::put_segment(out, segment),
        Part::Left { id, unnamed } => {
            out.put_slice(&id.0);
            out.put_i64(unnamed.start);
            out.put_u64(unnamed.since);
            out.put_u8(u8::from(unnamed.doomed));
        }
        Part::Open { id, attempt } => put_attempt(out, *id, attempt),
    }
}

pub(super) fn get_part(kind: u16, from: &mut &[u8]) -> Result<Part, EnvelopeError> {
    Ok(match kind {
        11 => Part::Head(Head {
            leader_epoch: from.try_get_i32()?,
            log_start: codec::offset(from)?,
            version: codec::version(from)?,
            exported: from.try_get_u64()?,
            deleted: codec::flag(from)?,
        }),
        12 => Part::Named {
            segment: codec::segment(from)?,
        },
        13 => Part::Left {
            id: codec::id(from)?,
            unnamed: Unnamed {
                start: codec::offset(from)?,
                since: from.try_get_u64()?,
                doomed: codec::flag(from)?,
            },
        },
        16 => {
            let (id, attempt) = get_attempt(from)?;
            Part::Open { id, attempt }
        }
        _ => return Err(malformed("a kind that this broker does not know")),
    })
}

fn put_attempt(out: &mut Vec<u8>, id: SegmentId, attempt: &Attempt) {
    out.put_slice(&id.0);
    out.put_i64(attempt.start);
    out.put_i64(attempt.end);
    out.put_u8(u8::from(attempt.purpose == Purpose::Rewrite));
}

fn get_attempt(from: &mut &[u8]) -> Result<(SegmentId, Attempt), EnvelopeError> {
    let id = codec::id(from)?;
    let (start, end) = (codec::offset(from)?, codec::offset(from)?);
    if start >= end {
        return Err(malformed("an attempt without offsets"));
    }
    let purpose = if codec::flag(from)? {
        Purpose::Rewrite
    } else {
        Purpose::Append
    };
    let attempt = Attempt {
        start,
        end,
        purpose,
    };
    Ok((id, attempt))
}

pub(super) fn ids(from: &mut &[u8]) -> Result<Vec<SegmentId>, EnvelopeError> {
    codec::list(from, codec::ID_BYTES, codec::id)
}

pub(super) fn put_ids(out: &mut Vec<u8>, ids: &[SegmentId]) {
    codec::put_count(out, ids.len());
    ids.iter().for_each(|id| out.put_slice(&id.0));
}

pub(super) fn objects(from: &mut &[u8]) -> Result<Vec<(SegmentId, Offset)>, EnvelopeError> {
    codec::list(from, codec::ID_BYTES + 8, |from| {
        Ok((codec::id(from)?, codec::offset(from)?))
    })
}

pub(super) fn put_objects(out: &mut Vec<u8>, objects: &[(SegmentId, Offset)]) {
    codec::put_count(out, objects.len());
    for (id, start) in objects {
        out.put_slice(&id.0);
        out.put_i64(*start);
    }
}

impl Record {
    /// Reads a record back, with the reason if that fails.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut from = bytes;
        let from = &mut from;
        let kind = from.try_get_u16()?;
        let version = from.try_get_u16()?;
        if version != VERSION {
            return Err(EnvelopeError::Version {
                found: version,
                known: VERSION,
            });
        }
        let partition = codec::partition(from)?;
        let change = Change::get(kind, from)?;
        codec::done(from)?;
        Ok(Self { partition, change })
    }
}

impl StoredRecord for Record {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.put_u16(self.change.kind());
        out.put_u16(VERSION);
        codec::put_partition(&mut out, self.partition);
        self.change.put(&mut out);
        out
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoredRecordError> {
        Self::read(bytes).map_err(|error| StoredRecordError {
            what: error.to_string(),
        })
    }
}
