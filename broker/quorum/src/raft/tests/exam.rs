//! openraft's exam for storage.

use std::sync::Arc;

use freshet_env::{Clock, SystemClock, SystemDisk};
use freshet_types::{
    Decision, Machine, Now, Position, Published, StoredRecord, StoredRecordError, Ticket,
};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use crate::RaftOptions;
use crate::raft::footing::types::Types;
use crate::raft::storage::log::Log;
use crate::raft::storage::state::State;
use crate::raft::storage::{self, Storage};
use crate::store::Store;

/// A machine that keeps what it is given.
#[derive(Debug, Default)]
pub(super) struct Pile(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece(pub(super) Vec<u8>);

impl Machine for Pile {
    type Request = Piece;
    type Reply = usize;
    type Record = Piece;
    type TimerKey = ();

    fn decide(&mut self, _now: Now, ticket: Ticket, piece: Piece) -> Decision<Self> {
        let replies = vec![(ticket, self.0.len() + 1)];
        Decision {
            records: vec![piece],
            replies,
            timers: Vec::new(),
        }
    }

    fn fire(&mut self, _now: Now, (): ()) -> Decision<Self> {
        Decision::default()
    }

    fn apply(&mut self, piece: &Piece) {
        self.0.push(piece.clone());
    }

    fn loaded(&mut self, _now: Now) -> Decision<Self> {
        Decision::default()
    }

    fn snapshot(&self) -> Vec<Piece> {
        self.0.clone()
    }
}

impl Published for Pile {
    type Image = (usize, Position);

    fn publish(&self, position: Position) -> Arc<Self::Image> {
        Arc::new((self.0.len(), position))
    }
}

impl StoredRecord for Piece {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoredRecordError> {
        Ok(Self(bytes.to_vec()))
    }
}

/// A fresh store for each question.
struct Fresh;

impl StoreBuilder<Types, Log, State<Pile>, tempfile::TempDir> for Fresh {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, State<Pile>), StorageError<Types>> {
        let home = tempfile::tempdir().expect("a temporary directory");
        let opened = Store::open(Arc::new(SystemDisk), home.path()).expect("opened");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let blank = Arc::new(Pile::default);
        let started = storage::start(opened, blank, &clock, &RaftOptions::default());
        let Storage { log, state, .. } = started.expect("started");
        Ok((home, log, state))
    }
}

#[tokio::test]
async fn the_storage_passes_its_exam() {
    Suite::test_all(Fresh).await.expect("passed");
}
