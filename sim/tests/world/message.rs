//! What hosts say to each other.

use std::sync::Arc;

use freshet_metadata::{Record, Reply, Request};
use freshet_partition::replication::Answer;
use freshet_types::{LeaderEpoch, Offset, ProducerId, TopicPartition};

use crate::groups;
use crate::network::Host;

/// One stored record: a batch of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) epoch: LeaderEpoch,
    /// Unique in a life.
    pub(crate) value: u64,
    /// Producer id and sequence of an idempotent producer.
    pub(crate) sender: Option<(ProducerId, i32)>,
}

impl Row {
    /// In the place of a record that was deleted.
    pub(crate) const GONE: Self = Self {
        epoch: -1,
        value: 0,
        sender: None,
    };
}

/// One round of decisions.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) records: Vec<Record>,
    /// How long the log was that it was decided on; `None` for the first entry of a term.
    pub(crate) on: Option<usize>,
}

/// A leader of the quorum to everybody.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    pub(crate) term: u64,
    pub(crate) before: (u64, usize),
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) committed: usize,
    pub(crate) beat: u64,
}

/// A follower's question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch {
    pub(crate) id: u64,
    pub(crate) at: TopicPartition,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) broker_epoch: i64,
    pub(crate) log_start: Offset,
    pub(crate) end: Offset,
    pub(crate) last_epoch: LeaderEpoch,
}

/// A leader's answer to it.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) id: u64,
    pub(crate) at: TopicPartition,
    pub(crate) leader_epoch: LeaderEpoch,
    /// Where the rows begin.
    pub(crate) asked: Offset,
    pub(crate) answer: Answer,
    pub(crate) rows: Vec<Row>,
}

/// A producer's batch of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Produce {
    pub(crate) id: u64,
    pub(crate) at: TopicPartition,
    pub(crate) value: u64,
    pub(crate) sender: Option<(ProducerId, i32)>,
    /// `acks=all`
    pub(crate) all: bool,
    /// How long it waits for the replicas then (`timeout.ms`).
    pub(crate) wait_ms: u64,
}

/// A consumer's question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) id: u64,
    pub(crate) at: TopicPartition,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) from: Offset,
    /// For the end only (ListOffsets).
    pub(crate) end_only: bool,
}

/// Whether what a client asked for was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotLeader,
    NotEnoughReplicas,
    /// It is stored, and the time is over while too few are in sync.
    NotEnoughAfterAppend,
    /// It is stored, and the time is over.
    TimedOut,
    OutOfOrder,
    /// What is asked for was deleted; the log starts there.
    Deleted(Offset),
    /// A newer epoch than the client's has begun here.
    FencedEpoch,
    /// The client's epoch has not begun here yet.
    UnknownEpoch,
    /// The log ends before what is asked for.
    OutOfRange,
    /// A leader does not know yet what was committed.
    NotAvailable,
    Failed,
}

/// Where a batch is that is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    At(Offset),
    /// A producer sends it again that has written so much since that nobody knows where.
    Below(Offset),
}

impl Place {
    /// It is committed when this offset is.
    pub(crate) fn last(self) -> Offset {
        match self {
            Self::At(offset) => offset,
            Self::Below(end) => end - 1,
        }
    }
}

/// The controller's answer: with how much of the log it holds, or who else might decide.
pub(crate) type Told = Result<(Reply, usize), Option<Host>>;

#[derive(Debug, Clone)]
pub(crate) enum Message {
    Stand {
        term: u64,
        last: (u64, usize),
    },
    Voted {
        term: u64,
        granted: bool,
    },
    Append(Append),
    Appended {
        term: u64,
        fits: bool,
        matched: usize,
        beat: u64,
    },
    Ask {
        id: u64,
        request: Request,
    },
    Told {
        id: u64,
        told: Told,
    },
    Fetch(Fetch),
    Fetched(Fetched),
    Produce(Produce),
    Produced {
        id: u64,
        outcome: Result<Place, Refusal>,
    },
    Read(Read),
    ReadDone {
        id: u64,
        outcome: Result<(Vec<Row>, Offset), Refusal>,
    },
    WhoLeads {
        id: u64,
        at: TopicPartition,
    },
    Leads {
        id: u64,
        leader: Option<(Host, LeaderEpoch)>,
        replicas: Vec<Host>,
    },
    NewProducer {
        id: u64,
    },
    NewProducerId {
        id: u64,
        producer: Option<ProducerId>,
    },
    Group(groups::Ask),
    GroupTold {
        id: u64,
        outcome: groups::Outcome,
    },
}
