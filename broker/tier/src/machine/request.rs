//! What a leader asks of its manifest, and what it hears.

use std::borrow::Cow;

use freshet_types::{ErrorKind, LeaderEpoch, Offset, Retry, Timestamp, TopicPartition};

use super::record::Change;
use crate::manifest::{ExportedManifest, Manifest};
use crate::segment::{EpochStart, SegmentId};

/// One question about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which partition.
    pub partition: TopicPartition,
    /// In which epoch the asking broker leads it.
    pub leader_epoch: LeaderEpoch,
    /// What it wants.
    pub ask: Ask,
}

/// What is wanted. All of it may be asked again when an answer is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To be the one who changes the manifest: the first thing a leader asks. Whoever asked in an
    /// earlier epoch is refused from then on, and what it was uploading is abandoned.
    Claim(Claim),
    /// To have the newest manifest in the bucket be the shard's, which has lost it: it names all that
    /// ever left a disk, and nothing that was deleted. To be claimed then, as any other.
    Adopt {
        /// The object's bytes ([`ExportedManifest::bytes`]).
        exported: Vec<u8>,
        /// The greatest version that the bucket has a name of, also where its object is damaged: what
        /// comes goes on behind it.
        newest: u64,
    },
    /// To upload an object. Asked, and answered, before its first byte is sent: so every object in
    /// the bucket was known before it was there.
    Begin {
        /// Drawn for this attempt.
        id: SegmentId,
        /// First offset in it.
        start: Offset,
        /// The offset after the last one; at or below the high watermark.
        end: Offset,
        /// What it is to become.
        purpose: Purpose,
    },
    /// To send readers to an object that is stored, and verified to be.
    Commit(Stored),
    /// To give attempts up.
    Abandon {
        /// Which.
        ids: Vec<SegmentId>,
    },
    /// To have the log start later: retention, or DeleteRecords. At or below the high watermark.
    MoveStart {
        /// The new first offset.
        log_start: Offset,
    },
    /// To replace segments by rewritten ones, all at once.
    Replace {
        /// Named segments, one after the other.
        removed: Vec<SegmentId>,
        /// Stored and verified; together they cover what is removed.
        added: Vec<Stored>,
    },
    /// The manifest's bytes for the bucket.
    Export,
    /// To note that they are stored.
    Exported {
        /// The version that is.
        version: u64,
    },
    /// What may be deleted from the bucket now.
    Collect,
    /// What of these objects no manifest names, nor will: who has been in a listing for longer than
    /// the grace age without ever being begun.
    Sweep {
        /// Segment objects of this partition, at most as many as one answer dooms. Each question has
        /// all of a listing that the asker does not know: the ages of others begin anew.
        listed: Vec<(SegmentId, Offset)>,
    },
    /// To forget objects that are deleted.
    Collected {
        /// Doomed ones.
        ids: Vec<SegmentId>,
    },
    /// The topic is deleted. Needs no epoch: nobody leads it any more.
    Delete {
        /// Whether its objects stay in the bucket, known to nobody. Refused until the newest manifest is
        /// there, too, and all is collected that it does not name.
        keep_objects: bool,
    },
    /// The manifest as it is.
    Describe,
    /// All partitions whose manifests the shard keeps, whichever the request names.
    List,
}

/// A leader's log, for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is below shall not be read any more, as far as the leader knows; 0 if it knows nothing.
    pub log_start: Offset,
    /// First offset on its disk.
    pub local_start: Offset,
    /// The offset after its last one.
    pub log_end: Offset,
    /// The epochs of what is on its disk, ascending.
    pub epochs: Vec<EpochStart>,
    /// The latest epoch whose leader was elected uncleanly, as the cluster's metadata says. If that is
    /// later than the last claim, what departs from this log may be taken from readers; else a
    /// departure is refused, since what is in the bucket was acknowledged.
    pub unclean: Option<LeaderEpoch>,
}

/// What an upload is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The next segment.
    Append,
    /// A part of a later generation.
    Rewrite,
}

/// An object that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: SegmentId,
    /// First offset in it, as it was begun.
    pub start: Offset,
    /// The offset after the last one, as it was begun.
    pub end: Offset,
    /// Its length.
    pub size_bytes: u64,
    /// The largest timestamp in it.
    pub max_timestamp: Timestamp,
    /// The leader epochs of its offsets, ascending; the first one begins at or before `start`.
    pub epochs: Vec<EpochStart>,
}

/// What a leader hears once it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The manifest is yours: a copy, to be kept by applying the changes that follow.
    Claimed(Box<Manifest>),
    /// It is the shard's now, and nobody's before it is claimed.
    Adopted,
    /// For the copy.
    Changed(Changed),
    /// Put this into the bucket.
    Export(ExportedManifest),
    /// Apply the changes, delete the objects, say so.
    Doomed {
        /// For the copy.
        changed: Changed,
        /// For the bucket: id and first offset make a name.
        objects: Vec<(SegmentId, Offset)>,
    },
    /// As asked by [`Ask::Describe`].
    Manifest(Box<Manifest>),
    /// As asked by [`Ask::List`].
    Partitions(Vec<TopicPartition>),
}

/// Changes for a leader's copy: [`Manifest::follow`](crate::Manifest::follow).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// What becomes of the manifest. Also told to who asks again, as far as it can be known by then.
    pub changes: Vec<Change>,
    /// The manifest's version with them. A request that was sent twice may have been answered twice,
    /// differently; by this a copy notices that it has missed something.
    pub version: u64,
}

/// Why a request changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody leads in a later epoch.
    #[error("epoch {current} leads by now: asked in {asked}")]
    Fenced {
        /// Of the request.
        asked: LeaderEpoch,
        /// Of the manifest.
        current: LeaderEpoch,
    },
    /// The epoch is new here.
    #[error("epoch {asked} has to claim the manifest first")]
    NotClaimed {
        /// Of the request.
        asked: LeaderEpoch,
    },
    /// The topic is gone.
    #[error("the topic is deleted")]
    Deleted,
    /// An id is drawn once.
    #[error("segment id {0} has been used: draw another one")]
    IdInUse(SegmentId),
    /// It was never begun, or is given up since: its object may go at any time.
    #[error("attempt {0} is not open: begin another one")]
    NotOpen(SegmentId),
    /// What lies before it is not there yet, or it has nothing new.
    #[error("it does not go on where the manifest ends, at {remote_end}")]
    NotContiguous {
        /// Where it does.
        remote_end: Offset,
    },
    /// Something else has happened to what was to be replaced.
    #[error("what was to be replaced is not named any more: look again")]
    NotCurrent,
    /// A reader would find less, or twice as much.
    #[error("the replacement does not cover exactly what it replaces")]
    NotCovering,
    /// The leader's log contradicts or lacks what is in the bucket.
    #[error("the log departs from the bucket at {at}; the bucket ends at {remote_end}")]
    Departs {
        /// The first such offset.
        at: Offset,
        /// A log that has nothing of its own from `at` on begins anew here, and loses nothing.
        remote_end: Offset,
    },
    /// Offsets are neither in the bucket nor on the leader's disk.
    #[error("offsets {from} to {to} are in neither tier")]
    Hole {
        /// The first one.
        from: Offset,
        /// The one after the last.
        to: Offset,
    },
    /// A limit is reached.
    #[error("more than {limit} {what}")]
    Full {
        /// Of what.
        what: Cow<'static, str>,
        /// How many there may be.
        limit: usize,
    },
    /// A manifest takes the place of none but one that knows nothing.
    #[error("the shard knows of something in the bucket")]
    NotNew,
    /// What is kept has to be there as it is, and nothing else.
    #[error("the bucket does not have the newest manifest, or has what it does not name")]
    NotWhole,
    /// It contradicts itself.
    #[error("malformed request: {0}")]
    Malformed(Cow<'static, str>),
}

impl Refusal {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::NotClaimed { .. }
            | Self::IdInUse(_)
            | Self::NotOpen(_)
            | Self::NotContiguous { .. }
            | Self::NotCurrent
            | Self::NotNew
            | Self::NotWhole
            | Self::Departs { .. } => ErrorKind::Conflict,
            Self::Deleted => ErrorKind::NotFound,
            Self::Hole { .. } => ErrorKind::Corrupt,
            Self::Full { .. } => ErrorKind::Busy,
            Self::NotCovering | Self::Malformed(_) => ErrorKind::Invalid,
        }
    }

    /// Whether the same request can succeed later: only what waits for its predecessor, for an
    /// export, or for room.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotContiguous { .. } | Self::NotWhole => Retry::After,
            other => other.kind().retry(),
        }
    }
}
