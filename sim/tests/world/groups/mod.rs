//! Groups in the world: the real machine of a shard, hosted by whoever leads the partition of
//! `__consumer_offsets`, its members, and what is promised to them.
//!
//! ```text
//!  member ── asks ──▶ coordinator ── one row for each decision ──▶ log ── committed ──▶ answer
//!                         ▲                                         │
//!                         └────────── replayed after an election ───┘
//! ```
//!
//! A row of the log carries a number; what a coordinator has written under it is kept beside the
//! disks, in the format of the real topic, and goes through it on its way back.

mod coordinator;
mod history;
mod members;

use bytes::Bytes;
use freshet_coordinators::groups::Record;
use freshet_coordinators::groups::api;
use freshet_types::{Offset, TopicPartition};

use crate::network::Host;
pub(crate) use coordinator::Coordinator;
pub(crate) use history::Histories;
pub(crate) use members::Member;

/// A question to a coordinator.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Rises with each question of a client.
    pub(crate) id: u64,
    pub(crate) at: TopicPartition,
    /// How much was committed when it was asked: for the witness.
    pub(crate) known: usize,
    pub(crate) request: api::Request,
}

/// Why a coordinator has not heard a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unheard {
    NotCoordinator,
    Loading,
    /// Its log takes nothing now.
    NotAvailable,
}

pub(crate) type Outcome = Result<api::Reply, Unheard>;

/// What a coordinator wrote at once: all of it counts, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Written {
    entries: Vec<(Bytes, Option<Bytes>)>,
    /// The commit that it is the answer to.
    commit: Option<Committing>,
}

impl Written {
    fn of(records: &[Record], commit: Option<Committing>) -> Self {
        Self {
            entries: records.iter().map(Record::encode).collect(),
            commit,
        }
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        let decode = |(key, value): &(Bytes, Option<Bytes>)| Record::decode(key, value.as_deref());
        self.entries
            .iter()
            .filter_map(move |entry| decode(entry).unwrap())
    }
}

/// Who commits what.
#[derive(Debug, Clone)]
struct Committing {
    client: Host,
    member: std::sync::Arc<str>,
    generation: i32,
    /// It comes when its client has gone further already, or was misled.
    is_late: bool,
}

/// The one offset that a request commits.
fn committed(commit: &api::Commit) -> Offset {
    commit.topics[0].partitions[0].offset
}

/// The one offset that an answer tells.
fn told(topics: &[api::FetchedTopic]) -> Offset {
    let value = topics[0].partitions[0].1.as_ref();
    value.map_or(0, |value| value.offset)
}
